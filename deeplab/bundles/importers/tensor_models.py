"""The network in a file of tensors, and what its card says, for each program that is known."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields

import keras

from deeplab.bundles.card import MAX_TILE
from deeplab.bundles.importers.class_names import named_classes
from deeplab.bundles.importers.hovernet import import_hovernet, infer_hovernet
from deeplab.bundles.importers.smp import import_smp, infer_smp, is_smp, with_told
from deeplab.bundles.importers.stored_tensors import StoredTensors
from deeplab.bundles.importers.tensor_files import open_tensor_file
from deeplab.bundles.importers.timm import import_classifier, infer_classifier, is_classifier
from deeplab.bundles.importers.torch_deeplab import (
    import_torch_deeplab,
    infer_torch_deeplab,
    is_torch_deeplab,
)
from deeplab.bundles.importers.type_classes import read_type_classes
from deeplab.config.classes import ClassList
from deeplab.config.hovernet import HoverNetConfig
from deeplab.config.import_request import ImportRequest
from deeplab.config.network import NetworkConfig
from deeplab.errors import CheckpointError

MPP = 0.25  # um per pixel of all published weights, 40x
# What a request may tell of each network; the rest is of DeepLab's graph.
OF_EACH = frozenset({"source", "output", "architecture", "classes", "colours", "work_mpp"})
OF_HOVERNET = OF_EACH | {"nr_types", "type_info"}
OF_CLASSIFIER = OF_EACH | {"crop_size", "problem", "channels"}
OF_SMP = OF_EACH | {"crop_size", "channels", "normalisation"}
OF_DEEPLAB = OF_EACH | {"crop_size", "normalisation"}
PIXELS = (
    "pixels are brought from 0 to 255 to 0 to 1 and no more; if its training standardised them as "
    "ImageNet's, import it with --normalisation backbone"
)
ALL_CLASSES = (
    "every output is taken for a class, so that it never answers background; if its first one is "
    "that, name one class less"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorModel:
    """A network with the values of a file.

    Attributes:
        config: Its knobs.
        network: With its weights.
        taken: How many variables of the file it took.
        skipped: Names of those that it has no use for.
        classes: Of its labels 1, 2, ...
        work_mpp: um per pixel that it was trained at; None: not known.
        tile: Side in work pixels that suits it.
        remarks: What its user should know.
    """

    config: NetworkConfig
    network: keras.Model
    taken: int
    skipped: tuple[str, ...]
    classes: ClassList
    work_mpp: float | None
    tile: int
    remarks: tuple[str, ...] = ()


def read_tensor_model(request: ImportRequest) -> TensorModel:
    """Return the network in a file of tensors, as a request tells of it.

    Raises:
        CheckpointError: the file is damaged, would run something, or is of another network.
        BundleError, ConfigError: the names of its types make no sense, or are not as many.
    """
    with open_tensor_file(request.source) as tensors:
        if is_smp(tensors):
            return _smp(request, tensors)
        if is_torch_deeplab(tensors):
            return _deeplab(request, tensors)
        return (_classifier if is_classifier(tensors) else _hovernet)(request, tensors)


def _hovernet(request: ImportRequest, tensors: StoredTensors) -> TensorModel:
    config = infer_hovernet(tensors)
    check_told(request, config, "a HoVer-Net", OF_HOVERNET)
    _check_types(request, config)
    classes = _types(request, config)
    imported = import_hovernet(tensors)
    return TensorModel(
        config=config,
        network=imported.network,
        taken=imported.taken,
        skipped=imported.skipped,
        classes=classes,
        work_mpp=request.work_mpp or MPP,
        tile=config.tiling.side_with(config.tiling.halo, most=MAX_TILE),
    )


def _classifier(request: ImportRequest, tensors: StoredTensors) -> TensorModel:
    config = infer_classifier(
        tensors,
        crop_size=request.crop_size,
        problem=request.problem,
        architecture=request.architecture,
        channels=request.channels,
    )
    check_told(request, config, "a patch classifier", OF_CLASSIFIER)
    names = request.classes or tuple(f"class {at}" for at in range(1, config.classes + 1))
    classes = named_classes(names, request.colours, config.classes + 1)
    imported = import_classifier(tensors, config)
    return TensorModel(
        config=config,
        network=imported.network,
        taken=imported.taken,
        skipped=imported.skipped,
        classes=classes,
        work_mpp=request.work_mpp or None,
        tile=config.crop_size,
    )


def _smp(request: ImportRequest, tensors: StoredTensors) -> TensorModel:
    told = {"crop_size": request.crop_size, "normalisation": request.normalisation}
    config = with_told(infer_smp(tensors), request.channels, told)
    check_told(request, config, "a U-Net or U-Net++", OF_SMP)
    classes = named_classes(request.classes, request.colours, config.label_count)
    imported = import_smp(tensors, config)
    tiling = config.tiling
    return TensorModel(
        config=config,
        network=imported.network,
        taken=imported.taken,
        skipped=imported.skipped,
        classes=classes,
        work_mpp=request.work_mpp or None,
        tile=tiling.side_with(tiling.halo, most=MAX_TILE),
        remarks=() if request.normalisation else (PIXELS,),
    )


def _deeplab(request: ImportRequest, tensors: StoredTensors) -> TensorModel:
    config = infer_torch_deeplab(
        tensors,
        crop_size=request.crop_size,
        normalisation=request.normalisation,
        named=len(request.classes) or None,
    )
    check_told(request, config, "a DeepLabV3+ of PyTorch", OF_DEEPLAB)
    imported = import_torch_deeplab(tensors, config)
    remarks = () if request.normalisation else (PIXELS,)
    tiling = config.tiling
    return TensorModel(
        config=config,
        network=imported.network,
        taken=imported.taken,
        skipped=imported.skipped,
        classes=named_classes(request.classes, request.colours, config.label_count),
        work_mpp=request.work_mpp or None,
        tile=tiling.side_with(tiling.halo, most=MAX_TILE),
        remarks=remarks if imported.has_background else (*remarks, ALL_CLASSES),
    )


def check_told(
    request: ImportRequest, config: NetworkConfig, what: str, told: Collection[str]
) -> None:
    """Raise CheckpointError where a request tells of another network than the variables."""
    if request.architecture not in (None, config.backbone):
        problem = f"is of {config.backbone}, not of {request.architecture}"
        raise CheckpointError(request.source, problem)
    for field in fields(request):
        if field.name not in told and getattr(request, field.name) != field.default:
            problem = f"is {what}, which has no {field.name.replace('_', ' ')}; leave it away"
            raise CheckpointError(request.source, problem)


def _check_types(request: ImportRequest, config: HoverNetConfig) -> None:
    """Raise CheckpointError where a request tells of another number of types."""
    found = config.type_count + 1 if config.type_count else 0
    if request.nr_types not in (None, found):
        raise CheckpointError(
            request.source,
            f"tells {found or 'no'} types apart{', with the background' if found else ''}, not "
            f"{request.nr_types}; leave nr_types away to have it worked out",
        )


def _types(request: ImportRequest, config: HoverNetConfig) -> ClassList:
    if request.type_info is not None:
        return read_type_classes(request.type_info, config.type_count)
    count = config.type_count
    names = tuple(f"type {label}" for label in range(1, count + 1)) or ("nucleus",)
    return named_classes(request.classes or names, request.colours, config.class_count + 1)
