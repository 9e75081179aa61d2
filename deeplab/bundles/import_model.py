"""Make a bundle of a model that another program trained."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import keras
import tensorflow as tf

from deeplab import __version__
from deeplab.bundles.card import MAX_TILE, Card
from deeplab.bundles.checkpoint_files import SAVED_MODEL_NAME
from deeplab.bundles.foreign import is_hdf5
from deeplab.bundles.importers.class_names import named_classes
from deeplab.bundles.importers.deeplab_wsi import read_arguments
from deeplab.bundles.importers.efficientdet import (
    import_efficientdet,
    infer_efficientdet,
    is_object_checkpoint,
)
from deeplab.bundles.importers.frozen_graph import read_frozen_graph
from deeplab.bundles.importers.keras_deeplab import (
    import_keras_deeplab,
    infer_keras_deeplab,
    list_keras_deeplab,
)
from deeplab.bundles.importers.tensor_files import is_tensor_file
from deeplab.bundles.importers.tensor_models import (
    OF_EACH,
    TensorModel,
    check_told,
    read_tensor_model,
)
from deeplab.bundles.importers.tf1_architecture import GraphOptions
from deeplab.bundles.importers.tf1_checkpoint import open_checkpoint
from deeplab.bundles.importers.tf1_network import Variables, config_of, trained_network
from deeplab.bundles.read import is_bundle
from deeplab.bundles.save import save_bundle
from deeplab.config.classes import ClassList
from deeplab.config.families import class_weight_count
from deeplab.config.import_request import ImportRequest
from deeplab.config.network import NetworkConfig
from deeplab.errors import BundleError, CheckpointError
from deeplab.files import check_spared, check_writable

BACKGROUND = "background"
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
# What a request may tell of a DeepLab of Keras.
OF_LAYERS = OF_EACH | {"crop_size", "output_stride", "atrous_rates"}
OF_OBJECTS = OF_EACH | {"crop_size"}  # what a request may tell of an EfficientDet
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
    remarks: tuple[str, ...] = ()

    def summary(self) -> str:
        """Return the result in lines for people."""
        config, names = self.card.config, self.card.classes.names
        if class_weight_count(config) > len(names):
            names = (BACKGROUND, *names)
        lines = [
            f"imported {config.describe()}, crop {config.crop_size}, of {self.request.source}: "
            f"{self.taken} variables with {self.weights:,} numbers",
            "classes: " + ", ".join(names),
        ]
        if self.skipped:
            kinds = Counter(_kind(name) for name in self.skipped)
            counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
            lines.append(f"not of the network, so left out: {counts}")
        lines += self.remarks
        if self.card.work_mpp is None:
            lines.append("it does not say its um per pixel: give --work_mpp wherever it is used")
        return "\n".join([*lines, f"written to {self.request.output}"])


def import_model(request: ImportRequest) -> ImportResult:
    """Write the bundle that `request` asks for, or nothing.

    Raises:
        CheckpointError: there is no checkpoint or graph, it is damaged, it would run something, or
            it is not of the network that the request tells of.
        BundleError: the zip is not safe to read, or its args.txt makes no sense.
        ConfigError: the names of the classes are not as many as the network tells apart.
        OutputError: the bundle cannot be written.
    """
    check_writable(request.output)
    source = request.source  # a file, or the beginning of the names of several
    check_spared([request.output], [source, *source.parent.glob(f"{glob.escape(source.name)}.*")])
    if is_tensor_file(source):
        trained, card = _of_tensors(request)
    else:
        trained, card = (_of_layers if is_hdf5(source) else _of_variables)(request)
    save_bundle(trained.network, card, request.output)
    return ImportResult(
        request=request,
        card=card,
        taken=trained.taken,
        weights=trained.network.count_params(),
        skipped=trained.skipped,
        remarks=trained.remarks if isinstance(trained, TensorModel) else (),
    )


class _Trained(Protocol):
    """A network with the values of a file."""

    @property
    def network(self) -> keras.Model:
        """With its weights."""

    @property
    def taken(self) -> int:
        """How many variables of the file it took."""

    @property
    def skipped(self) -> tuple[str, ...]:
        """Names of those that it has no use for."""


def _of_tensors(request: ImportRequest) -> tuple[_Trained, Card]:
    """Return the network in a file of tensors."""
    model = read_tensor_model(request)
    card = _card(request, model.config, model.classes)
    return model, replace(card, work_mpp=model.work_mpp, tile=model.tile)


def _of_layers(request: ImportRequest) -> tuple[_Trained, Card]:
    """Return the DeepLab in a weights file of Keras."""
    shapes = list_keras_deeplab(request.source)
    config = infer_keras_deeplab(
        shapes,
        request.source,
        crop_size=request.crop_size,
        output_stride=request.output_stride,
        atrous_rates=request.atrous_rates,
    )
    check_told(request, config, "a DeepLabV3+ of Keras", OF_LAYERS)
    classes = named_classes(request.classes, request.colours, config.label_count)
    trained = import_keras_deeplab(request.source, shapes, config)
    return trained, _card(request, config, classes)


def _of_variables(request: ImportRequest) -> tuple[_Trained, Card]:
    """Return the DeepLab in a checkpoint or frozen graph of TensorFlow 1."""
    if not _is_graph(request.source) and is_bundle(request.source):
        raise BundleError(request.source, "is a model of this program already; use it as it is")
    if request.nr_types is not None or request.type_info is not None:
        raise CheckpointError(
            request.source,
            "is no HoVer-Net, which is a .tar, .pth or .npz of tensors; give nr_types and "
            "type_info for one only",
        )
    if request.channels or request.normalisation is not None:
        raise CheckpointError(
            request.source,
            "is no U-Net or patch classifier, which is a .pth, .pt or .safetensors of tensors; "
            "leave channels and normalisation away",
        )
    arguments = None
    if not request.classes or request.crop_size is None:
        arguments = read_arguments(request.source)
    crop_size = request.crop_size or (arguments.crop_size if arguments else 513)
    with _open(request.source) as variables:
        if is_object_checkpoint(variables):
            return _of_objects(request, variables)
        config = config_of(variables, _options(request, crop_size))
        _check_told(request, config)
        names = request.classes or (arguments.class_names if arguments else ())
        card = _card(request, config, named_classes(names, request.colours, config.label_count))
        return trained_network(variables, config), card


def _of_objects(request: ImportRequest, variables: Variables) -> tuple[_Trained, Card]:
    """Return the EfficientDet in an object checkpoint of TensorFlow 2."""
    config = infer_efficientdet(variables, request.crop_size)
    check_told(request, config, "an EfficientDet", OF_OBJECTS)
    classes = named_classes(request.classes, request.colours, config.label_count)
    return import_efficientdet(variables, config), _card(request, config, classes)


def _is_graph(path: Path) -> bool:
    return path.suffix == ".pb" and path.name != SAVED_MODEL_NAME


@contextmanager
def _open(path: Path) -> Iterator[Variables]:
    if _is_graph(path):
        yield read_frozen_graph(path)
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


def _card(request: ImportRequest, config: NetworkConfig, classes: ClassList) -> Card:
    tiling = config.tiling
    return Card(
        config=config,
        classes=classes,
        work_mpp=request.work_mpp or None,
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
    """Return what a variable left out belongs to: an optimiser's by the last of its name."""
    scope, _, last = name.rpartition("/")
    last = last.rpartition(".")[2]
    return f"of {scope.partition('/')[0]}'s classifier" if last in WEIGHTS else last
