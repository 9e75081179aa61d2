"""Proves inside the image that its tasks answer and that a small slide can be segmented.

Run while the image is built: a build with a broken task fails instead of a pathologist's job.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import tifffile

LIGHT_ANSWER_S = 5.0  # far above a good answer, far below what loading TensorFlow takes twice over
NOBODY = 65534  # the image serves any user: the segmentation runs as one without rights


def main() -> None:
    """Check each task's form, then segment a painted slide with each model in the image."""
    tasks = json.loads(answer("--list_cli"))
    if not tasks:
        sys.exit("the image lists no tasks")
    for task in tasks:
        ET.fromstring(answer(task, "--xml"))  # noqa: S314  our own form
        answer(task, "--help")
    for bundle in demonstration_models():
        check_segmentation(bundle)
    print(f"{', '.join(tasks)}: all answer")


def answer(*words: str) -> str:
    """Return what the command prints for a light question, answered without TensorFlow."""
    begun_s = time.monotonic()
    done = subprocess.run(["deeplab", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"deeplab {' '.join(words)} failed: {done.stderr}")
    if time.monotonic() - begun_s > LIGHT_ANSWER_S:
        sys.exit(f"deeplab {' '.join(words)} took more than {LIGHT_ANSWER_S} s to answer")
    return done.stdout


def demonstration_models() -> list[Path]:
    """The bundles that ship inside the package."""
    where = "import deeplab, pathlib; print(pathlib.Path(deeplab.__file__).parent)"
    package = subprocess.run(
        [sys.executable, "-c", where], capture_output=True, text=True, check=True
    ).stdout.strip()
    return sorted(Path(package, "demonstration").glob("*.zip"))


def check_segmentation(bundle: Path) -> None:
    """Segment a painted slide; the annotation must be a JSON list."""
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o777)
        slide, out = Path(scratch, "painted.tiff"), Path(scratch, "painted.anot")
        paint_slide(slide)
        options = ["--inputModelFile", bundle, "--outputAnnotationFile", out]
        options += ["--slide_mpp", "0.5", "--tissue", "off"]
        done = subprocess.run(
            ["deeplab", "SegmentWSI", slide, *options],
            user=NOBODY,
            group=NOBODY,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not isinstance(json.loads(out.read_text()), list):
            sys.exit(f"SegmentWSI with {bundle.name} failed:\n{done.stdout}\n{done.stderr}")


def paint_slide(path: Path) -> None:
    """A pink field with dark discs, 600 x 500 pixels, as a tiled TIFF."""
    row, col = np.mgrid[:500, :600]
    disc = (row % 60 - 30) ** 2 + (col % 60 - 30) ** 2 < 100
    rgb = np.where(disc[..., None], (90, 50, 130), (230, 190, 210)).astype(np.uint8)
    tifffile.imwrite(path, rgb, tile=(256, 256), photometric="rgb", compression="deflate")


if __name__ == "__main__":
    main()
