"""`deeplab import-checkpoint`: a checkpoint of another program in, a bundle out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from deeplab.config.backbones import Pixels
from deeplab.config.import_request import ARCHITECTURES, ImportRequest
from deeplab.config.patch_encoders import Problem
from deeplab.native_log import remarks_left_out
from deeplab_cli.binding import NO_NUMBERS, check_is_readable
from deeplab_cli.command import Command, CommandParser


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _numbers(text: str) -> tuple[int, ...]:
    """Return the whole numbers in a word, which commas may part; none in the word "none"."""
    if text.lower() in NO_NUMBERS:
        return ()
    try:
        return tuple(int(word) for word in _words(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid whole numbers: {text[:100]!r}") from None


def _number_or_none(text: str) -> int | None:
    numbers = _numbers(text)
    if len(numbers) > 1:
        raise argparse.ArgumentTypeError(f"one number, not {text[:100]!r}")
    return numbers[0] if numbers else None


def _add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "prefix",
        type=Path,
        metavar="PREFIX",
        help="prefix of the checkpoint (as model.ckpt-400000) or one of its files, a folder, zip "
        "or tar.gz that holds it and perhaps an args.txt, a frozen graph (.pb), a HoVer-Net's "
        ".tar or .npz, a U-Net's or U-Net++'s .pth or .pt, a patch classifier of timm's (.pth, "
        ".pt, .safetensors) or WSSS-Tissue's (.pth), a DeepLabV3+ of WSSS-Tissue's second stage "
        "(.pth, .pth.tar), an EfficientDet's object checkpoint (as "
        "12_ckpt), or the weights of Keras' DeepLabV3+ (.h5)",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="MODEL", help="bundle (.zip)")
    parser.add_argument(
        "--classes", type=_words, default=(), metavar="a,b", help="names of the classes; "
        "the background's may be the first"
    )  # fmt: skip
    parser.add_argument(
        "--colours", type=_words, default=(), metavar="#rrggbb,#rrggbb", help="one a class"
    )
    parser.add_argument(
        "--work-mpp",
        "--mpp-work",
        type=float,
        default=0.0,
        metavar="UM",
        help="um per pixel of its training",
    )
    graph = parser.add_argument_group(
        "the graph", "What the variables do not tell; give it as the training did."
    )
    graph.add_argument(
        "--atrous-rates", type=_numbers, nargs="*", default=(), metavar="RATE",
        help="of the ASPP's atrous branches, as 6 12 18; none, or left out: it has none",
    )  # fmt: skip
    graph.add_argument(
        "--output-stride", type=int, metavar="N", help="left out: 16; of Keras' MobileNetV2 8"
    )
    graph.add_argument(
        "--multi-grid", type=_numbers, nargs="*", default=(), metavar="RATE", help="left out: all 1"
    )
    graph.add_argument(
        "--crop-size",
        type=int,
        metavar="N",
        help="left out: what args.txt says, else 513; of a U-Net and of Keras 512, of an "
        "EfficientDet 1024, of WSSS-Tissue 224",
    )
    graph.add_argument(
        "--image-pooling-crop-size", type=int, metavar="N", help="left out: the crop size"
    )
    graph.add_argument(
        "--image-pooling-stride", type=int, nargs=2, default=(1, 1), metavar=("DOWN", "ACROSS")
    )
    _add_told(parser)
    nuclei = parser.add_argument_group(
        "of a HoVer-Net", "Its mode and number of types are worked out from the file."
    )
    nuclei.add_argument(
        "--type-info-path", type=Path, metavar="JSON", help="names and colours of its types"
    )
    nuclei.add_argument(
        "--nr-types", type=int, metavar="N",
        help="compared; with the background, 0 for none, as in HoVer-Net's own commands",
    )  # fmt: skip
    patches = parser.add_argument_group(
        "of a patch classifier", "Its encoder and number of classes are worked out from the file."
    )
    patches.add_argument(
        "--problem", choices=get_args(Problem),
        help="whether a patch has one class or any number of them; left out: one, and any number "
        "of a resnet38d",
    )  # fmt: skip
    skips = parser.add_argument_group(
        "of a U-Net, U-Net++ or WSSS-Tissue's DeepLabV3+, --channels also of a patch classifier",
        "Encoder, depth, attention, channels and classes are worked out from the file.",
    )
    skips.add_argument(
        "--channels", type=_words, default=(), metavar="a,b",
        help="names of what it is shown, as DAPI; left out: R, G and B, or numbers",
    )  # fmt: skip
    skips.add_argument(
        "--normalisation", choices=get_args(Pixels),
        help="what its training did to pixels: as the encoder's on ImageNet, or from 0 to 255 to "
        "0 to 1 and no more; left out: the latter",
    )  # fmt: skip


def _add_told(parser: CommandParser) -> None:
    told = parser.add_argument_group(
        "compared", "What the variables tell: it may be left out, and must be right if given."
    )
    told.add_argument("--architecture", metavar="NAME", help=", ".join(ARCHITECTURES))
    told.add_argument("--decoder-output-stride", type=_number_or_none, metavar="N")
    told.add_argument("--aspp-filters", type=int, metavar="N")
    told.add_argument("--decoder-filters", type=int, metavar="N")
    told.add_argument(
        "--no-concat-projection", dest="aspp_merge", action="store_const", const="concat"
    )
    told.add_argument(
        "--aspp-squeeze-excite", dest="image_pooling", action="store_const", const="hard_gate",
        help="image pooling gates the features by a hard sigmoid",
    )  # fmt: skip
    told.add_argument(
        "--aspp-squeeze-excite-sigmoid", dest="image_pooling", action="store_const", const="gate",
        help="the same by a true sigmoid, which the variables do not tell",
    )  # fmt: skip
    told.add_argument(
        "--decoder-sum-merge", dest="decoder_merge", action="store_const", const="sum"
    )
    told.add_argument(
        "--decoder-output-is-logits", dest="decoder_output", action="store_const", const="logits"
    )


def _request(asked: argparse.Namespace) -> ImportRequest:
    check_is_readable("prefix", str(asked.prefix))
    down, across = asked.image_pooling_stride
    return ImportRequest(
        source=asked.prefix,
        output=asked.output,
        architecture=asked.architecture,
        atrous_rates=tuple(rate for rates in asked.atrous_rates for rate in rates),
        output_stride=asked.output_stride,
        decoder_output_stride=asked.decoder_output_stride,
        multi_grid=tuple(rate for rates in asked.multi_grid for rate in rates),
        crop_size=asked.crop_size,
        classes=asked.classes,
        colours=asked.colours,
        work_mpp=asked.work_mpp,
        pooling_crop_size=asked.image_pooling_crop_size,
        pooling_strides=(down, across),
        image_pooling=asked.image_pooling,
        aspp_filters=asked.aspp_filters,
        aspp_merge=asked.aspp_merge,
        decoder_filters=asked.decoder_filters,
        decoder_merge=asked.decoder_merge,
        decoder_output=asked.decoder_output,
        nr_types=asked.nr_types,
        type_info=asked.type_info_path,
        problem=asked.problem,
        channels=asked.channels,
        normalisation=asked.normalisation,
    )


def _run(request: ImportRequest) -> str:
    # Help and a wrong number are answered without TensorFlow.
    with remarks_left_out():
        from deeplab.bundles.import_model import import_model  # noqa: PLC0415

    return import_model(request).summary()


COMMAND = Command(
    name="import-checkpoint",
    help="Makes a model of what DeepLab (TensorFlow 1), HoVer-Net, timm, WSSS-Tissue, a U-Net or "
    "an EfficientDet has learnt.",
    add_arguments=_add_arguments,
    request=_request,
    run=_run,
)
