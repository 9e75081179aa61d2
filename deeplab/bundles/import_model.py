"""Make a bundle of a model that TensorFlow 1 DeepLab trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import tensorflow as tf

from deeplab import __version__
from deeplab.bundles.card import MAX_TILE, Card
from deeplab.bundles.checkpoint_files import SAVED_MODEL_NAME
from deeplab.bundles.importers.deeplab_wsi import read_arguments
from deeplab.bundles.importers.frozen_graph import read_frozen_graph
from deeplab.bundles.importers.tf1_architecture import GraphOptions
from deeplab.bundles.importers.tf1_checkpoint import open_checkpoint
from deeplab.bundles.importers.tf1_network import Variables, config_of, trained_network
from deeplab.bundles.read import is_bundle
from deeplab.bundles.save import save_bundle
from deeplab.config.classes import ClassList, parse_colour
from deeplab.config.import_request import ImportRequest
from deeplab.config.network import NetworkConfig
from deeplab.errors import BundleError, CheckpointError, ConfigError
from deeplab.files import check_writable

# What the variables tell: where a request says it as well, both must say the same.
TOLD = (
    "decoder_output_stride",
    "image_pooling",
    "aspp_filters",
    "aspp_merge",
    "decoder_filters",
    "decoder_merge",
    "decoder_output",
)
# How variables of a network end; those of an optimiser end in its name.
WEIGHTS = {"weights", "biases", "gamma", "beta", "moving_mean", "moving_variance"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """What was imported: the card of the bundle, and what became of the variables."""

    request: ImportRequest
    card: Card
    taken: int
    weights: int
    skipped: tuple[str, ...]

    def summary(self) -> str:
        """The result in lines for people."""
        config, names = self.card.config, self.card.classes.names
        lines = [
            f"imported {config.describe()}, crop {config.crop_size}, of {self.request.source}: "
            f"{self.taken} variables with {self.weights:,} numbers",
            "classes: background, " + ", ".join(names),
        ]
        if self.skipped:
            kinds = Counter(_kind(name) for name in self.skipped)
            counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
            lines.append(f"not of the network, so left out: {counts}")
        if self.card.mpp_work is None:
            lines.append("it does not say its um per pixel: give --work_mpp wherever it is used")
        return "\n".join([*lines, f"written to {self.request.output}"])


def import_model(request: ImportRequest) -> ImportResult:
    """Write the bundle that `request` asks for, or nothing.

    Raises:
        CheckpointError: there is no checkpoint or graph, it is damaged, or it is not of the
            network that the request tells of.
        BundleError: the zip is not safe to read, or its args.txt makes no sense.
        ConfigError: the names of the classes are not as many as the network tells apart.
        OutputError: the bundle cannot be written.
    """
    check_writable(request.output)
    arguments = None
    if not request.classes or request.crop_size is None:
        arguments = read_arguments(request.source)
    crop_size = request.crop_size or (arguments.crop_size if arguments else 513)
    with _open(request.source) as variables:
        config = config_of(variables, _options(request, crop_size))
        _check_told(request, config)
        names = request.classes or (arguments.class_names if arguments else ())
        card = _card(request, config, _classes(names, request.colours, config.label_count))
        trained = trained_network(variables, config)
    save_bundle(trained.network, card, request.output)
    return ImportResult(
        request=request,
        card=card,
        taken=trained.taken,
        weights=trained.network.count_params(),
        skipped=trained.skipped,
    )


@contextmanager
def _open(path: Path) -> Iterator[Variables]:
    if path.suffix == ".pb" and path.name != SAVED_MODEL_NAME:
        yield read_frozen_graph(path)
    elif is_bundle(path):
        raise BundleError(path, "is a model of this program already; use it as it is")
    else:
        with open_checkpoint(path) as variables:
            yield variables


def _options(request: ImportRequest, crop_size: int) -> GraphOptions:
    return GraphOptions(
        crop_size=crop_size,
        output_stride=request.output_stride,
        atrous_rates=request.atrous_rates,
        decoder_output_stride=request.decoder_output_stride,
        multi_grid=request.multi_grid,
        pooling_crop_size=request.pooling_crop_size,
        pooling_strides=request.pooling_strides,
        gate="gate" if request.image_pooling == "gate" else "hard_gate",
    )


def _check_told(request: ImportRequest, config: NetworkConfig) -> None:
    """Raise CheckpointError where the request tells of another network than the variables."""
    if request.architecture not in (None, config.backbone):
        raise CheckpointError(
            request.source, f"is of {config.backbone}, not of {request.architecture}"
        )
    for name in TOLD:
        asked, found = getattr(request, name), getattr(config, name)
        if asked not in (None, found):
            words = "none" if found is None else found
            raise CheckpointError(
                request.source,
                f"has {name.replace('_', ' ')} {words}, not {asked}; leave it away to have it "
                "worked out",
            )


def _classes(names: tuple[str, ...], colours: tuple[str, ...], label_count: int) -> ClassList:
    """The names of labels 1, 2, ...; of as many names as labels the first is the background's."""
    if not names:
        names = tuple(f"class {label}" for label in range(1, label_count))
    if len(names) == label_count:
        names = names[1:]
    if len(names) != label_count - 1:
        must = f"{label_count - 1} names, or {label_count} with the background's first"
        raise ConfigError("classes", ",".join(names), must)
    named = ClassList.named(names)
    if not colours:
        return named
    if len(colours) != len(names):
        raise ConfigError("colours", ",".join(colours), f"{len(names)}, one a class")
    return ClassList(
        tuple(
            replace(entry, colour=parse_colour(colour))
            for entry, colour in zip(named, colours, strict=True)
        )
    )


def _card(request: ImportRequest, config: NetworkConfig, classes: ClassList) -> Card:
    tiling = config.tiling
    return Card(
        config=config,
        classes=classes,
        mpp_work=request.mpp_work or None,
        halo=tiling.halo,
        tile=tiling.side_with(tiling.halo, most=MAX_TILE),
        trained_on=f"imported from {request.source.name}",
        versions={
            "histomics-deeplab": __version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
        },
    )


def _kind(name: str) -> str:
    """What a variable that is left out belongs to: an optimiser's by the last of its name."""
    scope, _, last = name.rpartition("/")
    return f"of {scope.partition('/')[0]}'s classifier" if last in WEIGHTS else last
