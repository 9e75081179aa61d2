"""How fast is a slide segmented, by us and by a careful loop of equal cost? One table, one run.

    python benchmarks/slide.py --sample SLIDE --torch PYTHON [--tiatoolbox PYTHON]
                               [--backbone mobilenet_v2] [--side 8192]

The loop (careful_loop.py) runs segmentation_models_pytorch's DeepLabV3+ of the same backbone by
OpenVINO in bfloat16; --torch is the Python of an environment that has it, and OpenVINO. Our network
is run with the tiles that its training suggests, and with the loop's halo, in bfloat16, too: it has
learnt for a few steps only, so its trial, which may choose float32, would say nothing. A first run
on a small region, which converts the model, is not counted. With --tiatoolbox its engine runs the
loop's network in PyTorch, with the loop's tiles, in float32 and under autocast. The slide is
composed of the sample, repeated and mirrored. Each program is a process of its own on all
processors, start, reading and writing included; peak memory is what the system says of it
(ru_maxrss).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from patch_reading import paint
from slide_size import compose
from timed_process import DEEPLAB, Taken, run_timed

from deeplab.inference.conversions import GRAPH, keep_verdict

MPP = 0.5  # um per pixel, of slides and networks
TILE, HALO = 1280, 128  # of the loop
LOOP = Path(__file__).with_name("careful_loop.py")
EXPORT = """
import sys
import openvino, torch
import segmentation_models_pytorch as smp
backbone, path, tile, halo = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
class Labels(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = smp.DeepLabV3Plus(backbone, encoder_weights=None, classes=2).eval()
    def forward(self, tiles):
        pixels = tiles.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1
        logits = self.network(pixels)[:, :, halo:-halo, halo:-halo]
        return logits.argmax(1).to(torch.uint8)
tiles = torch.zeros((1, tile, tile, 3), dtype=torch.uint8)
model = openvino.convert_model(Labels(), example_input=tiles, input=[1, tile, tile, 3])
openvino.save_model(model, path, compress_to_fp16=False)
"""
TIATOOLBOX = """
import sys
import numpy as np, torch
import segmentation_models_pytorch as smp
from tiatoolbox.models.engine.io_config import IOSegmentorConfig
from tiatoolbox.models.engine.semantic_segmentor import SemanticSegmentor
from tiatoolbox.models.models_abc import ModelABC
backbone, slide, out = sys.argv[1:4]
tile, halo, halves = int(sys.argv[4]), int(sys.argv[5]), sys.argv[6] == "bf16"
class Network(ModelABC):
    def __init__(self):
        super().__init__()
        self.network = smp.DeepLabV3Plus(backbone, encoder_weights=None, classes=2)
    def forward(self, pixels):
        return self.network(pixels)
    @staticmethod
    def infer_batch(model, batch_data, *, device):
        model.eval()
        pixels = batch_data.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=halves):
            logits = model(pixels)[:, :, halo:-halo, halo:-halo]
        return logits.float().softmax(1).permute(0, 2, 3, 1).numpy()
    @staticmethod
    def postproc(scores):
        return np.argmax(scores, axis=-1)
at = {"units": "baseline", "resolution": 1.0}
kept = tile - 2 * halo
config = IOSegmentorConfig(
    input_resolutions=[at], output_resolutions=[at], save_resolution=at,
    patch_input_shape=[tile, tile], patch_output_shape=[kept, kept], stride_shape=[kept, kept],
)
SemanticSegmentor(Network(), batch_size=1, device="cpu", verbose=False).run(
    [slide], patch_mode=False, ioconfig=config, save_dir=out, output_type="annotationstore",
    overwrite=True, auto_get_mask=True, class_dict={0: "other", 1: "gland"},
)
"""
THEIR_NAMES = {
    "mobilenet_v2": "mobilenet_v2",
    "xception_65": "tu-xception65",
    "resnet_50": "resnet50",
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=Path, required=True, help="slide to compose another of")
    parser.add_argument(
        "--torch", type=Path, required=True, help="Python that has the loop's network"
    )
    parser.add_argument("--tiatoolbox", type=Path, help="Python that has it and that network")
    parser.add_argument("--backbone", choices=THEIR_NAMES, default="mobilenet_v2")
    parser.add_argument("--side", type=int, default=8192, help="of the slide, px")
    parser.add_argument("--steps", type=int, default=20, help="that our network learns")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["DEEPLAB_CACHE"] = str(folder / "cache")
        slide = compose(options.sample, options.side, folder / "slide.tiff", MPP)
        graph, model = folder / "loop.xml", folder / "model.zip"
        words = [THEIR_NAMES[options.backbone], str(graph), str(TILE), str(HALO)]
        subprocess.run([str(options.torch), "-c", EXPORT, *words], check=True)
        train(model, options, folder)
        loop = [sys.executable, str(LOOP), str(graph), str(slide), str(folder / "loop.json")]
        own = segment(slide, model, folder)
        same_halo = [*own, "--tile_size", str(TILE + 1), "--halo", str(HALO)]
        run_timed([*own, "--region", "0,0,512,512"], "the first run")
        for graph_folder in {each.parent for each in (folder / "cache").rglob(GRAPH)}:
            keep_verdict(graph_folder, "bf16")
        programs = {
            "careful loop": [*loop, "--tile", str(TILE), "--halo", str(HALO)],
            "deeplab, its own tiles": own,
            "deeplab, the loop's halo": same_halo,
        }
        if options.tiatoolbox:
            for precision, given in (("float32", "f32"), ("bfloat16", "bf16")):
                theirs = [THEIR_NAMES[options.backbone], str(slide), str(folder / given)]
                theirs += [str(TILE), str(HALO), given]
                programs[f"TIAToolbox, {precision}"] = [
                    str(options.tiatoolbox), "-c", TIATOOLBOX, *theirs
                ]  # fmt: skip
        rows: dict[str, Taken] = {}
        try:
            for what, words in programs.items():
                rows[what] = run_timed(words, what)
        finally:  # one that fails at the end takes nothing from the others
            if rows:
                report(options, rows)


def report(options: argparse.Namespace, rows: dict[str, Taken]) -> None:
    """Print the table."""
    megapixels = options.side**2 / 1e6
    print(f"{options.backbone}, {megapixels:.0f} Mpx, {os.cpu_count()} processors\n")
    print("| program | s | s a Mpx | of processors | peak MB | time x the loop's |")
    print("|---|---|---|---|---|---|")
    first = next(iter(rows.values()))
    for what, taken in rows.items():
        print(
            f"| {what} | {taken.seconds:.0f} | {taken.seconds / megapixels:.3f} "
            f"| {taken.busy_seconds:.0f} | {taken.peak_mb:.0f} "
            f"| {taken.seconds / first.seconds:.2f} |"
        )


def train(model: Path, options: argparse.Namespace, folder: Path) -> None:
    """Write a model that tells painted glands from what is around them."""
    slides = folder / "slides"
    slides.mkdir()
    paint(slides)
    words = ["train", str(slides), str(model), "--classes", "gland", "--work_mpp", str(MPP)]
    words += ["--network", "deeplabv3plus", "--backbone", options.backbone, "--gpu", "-1"]
    words += ["--patch_size", "257", "--batch_size", "4", "--steps", str(options.steps)]
    words += ["--validation_fraction", "0", "--ema_decay", "0", "--slow_start_step", "5"]
    words += ["--learning_rate", "1e-3"]
    subprocess.run([*DEEPLAB, *words], check=True, stdout=subprocess.DEVNULL)


def segment(slide: Path, model: Path, folder: Path) -> list[str]:
    """Return the command that segments the slide."""
    words = ["segment", str(slide), "--model", str(model)]
    return [*DEEPLAB, *words, "--annotation", str(folder / "found.anot"), "--gpu", "-1"]


if __name__ == "__main__":
    main()
