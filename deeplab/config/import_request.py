"""What an import of another program's model is asked to do: one frozen value, checked when made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from deeplab.config.backbones import BACKBONES, Pixels
from deeplab.config.checks import check_kind_of_file, check_range, check_value
from deeplab.config.classes import parse_colour
from deeplab.config.deeplabv3plus import AsppMerge, DecoderMerge, DecoderOutput, ImagePooling
from deeplab.config.patch_encoders import PATCH_ENCODERS, Problem
from deeplab.config.paths import coerce_paths
from deeplab.errors import ConfigError

ARCHITECTURES = (*BACKBONES, *PATCH_ENCODERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    """Make a bundle of another program's: DeepLab's, HoVer-Net, U-Net, EfficientDet, classifier.

    What its variables tell may be left None; where it is given it is compared.

    Attributes:
        source: a checkpoint by its prefix or one of its files, a folder, zip or tar that has one,
            a frozen graph (.pb), or a file of tensors of a HoVer-Net, of a network of
            segmentation_models_pytorch or of a patch classifier (.tar, .pth, .safetensors, .npz,
            .params).
        output: the bundle to write.
        architecture: the backbone; None: told by the variables.
        atrous_rates: one for each atrous branch of the ASPP; none: it has no such branch.
        output_stride: work pixels per feature cell; None: 16, or the one that the backbone has.
        decoder_output_stride: work pixels per logit of a decoder; None: told by the variables.
        multi_grid: rates of the last block's convolutions or units; none: all 1.
        crop_size: side of the training crops, work pixels; None: what an args.txt says, else 513,
            512 of a U-Net and 1024 of an EfficientDet.
        classes: names of labels 1, 2, ..., the background's before them or not; none: what an
            args.txt says, else numbers.
        colours: of the classes without the background, as #rrggbb; none: a palette's.
        work_mpp: um per pixel that it was trained at; 0: not known, of a HoVer-Net 0.25.
        pooling_crop_size: side of the image pooling's window, if it is smaller than the crop.
        pooling_strides: from one such window to the next, in feature cells, down and across.
        image_pooling: what becomes of it; None: told by the variables.
        aspp_filters: channels of each branch of the ASPP; None: told by the variables.
        aspp_merge: whether the branches are projected; None: told by the variables.
        decoder_filters: channels of the decoder; None: told by the variables.
        decoder_merge: how low-level features are taken in; None: told by the variables.
        decoder_output: whether the decoder ends in logits; None: told by the variables.
        nr_types: of a HoVer-Net's types, the background included; None: told by the variables.
        type_info: a HoVer-Net's type_info.json, with names and colours of its types.
        problem: of a patch classifier, which no variable tells: whether a patch has one class or
            any number; None: one, where there are several; of a resnet38d any number.
        channels: names of what a U-Net or a patch classifier is shown; none: red, green and blue,
            or numbers.
        normalisation: what the training of a U-Net or of PyTorch's DeepLabV3+ did to pixels;
            None: from 0 to 255 to 0 to 1.
    """

    source: Path
    output: Path
    architecture: str | None = None
    atrous_rates: tuple[int, ...] = ()
    output_stride: int | None = None
    decoder_output_stride: int | None = None
    multi_grid: tuple[int, ...] = ()
    crop_size: int | None = None
    classes: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    work_mpp: float = 0.0
    pooling_crop_size: int | None = None
    pooling_strides: tuple[int, int] = (1, 1)
    image_pooling: ImagePooling | None = None
    aspp_filters: int | None = None
    aspp_merge: AsppMerge | None = None
    decoder_filters: int | None = None
    decoder_merge: DecoderMerge | None = None
    decoder_output: DecoderOutput | None = None
    nr_types: int | None = None
    type_info: Path | None = None
    problem: Problem | None = None
    channels: tuple[str, ...] = ()
    normalisation: Pixels | None = None

    def __post_init__(self) -> None:
        coerce_paths(self)
        if self.architecture is not None and self.architecture not in ARCHITECTURES:
            must = "one of " + ", ".join(ARCHITECTURES)
            raise ConfigError("architecture", self.architecture, must)
        check_range("work_mpp", self.work_mpp, 0, 1000)
        check_kind_of_file("output", self.output, ".zip")
        for colour in self.colours:
            parse_colour(colour)
        if self.nr_types is not None:
            check_range("nr_types", self.nr_types, 0, 255)
        if self.normalisation is not None:
            check_value("normalisation", self.normalisation, get_args(Pixels))
        if self.type_info is not None and (self.classes or self.colours):
            raise ConfigError("type_info", self.type_info, "left away where classes are named")
