"""The command of a training as a process, and slides that it learns from in seconds."""

import os
import subprocess
import sys

import numpy as np
from PIL import Image

from tests.slides_for_tests import PINK, PURPLE, write_tiff

SIDE = 200


def three_squares(path):
    """The folder `path` with three slides that have a square each."""
    for number in range(3):
        rgb = np.full((SIDE, SIDE, 3), PINK, np.uint8)
        labels = np.zeros((SIDE, SIDE), np.uint8)
        square = np.s_[40 : 100 + 10 * number, 50:130]
        rgb[square], labels[square] = PURPLE, 1
        write_tiff(path / f"{number}.tiff", rgb, compression="deflate")
        Image.fromarray(labels).save(path / f"{number}.mask.png")
    return path


def start_training(slides, model, options, *more, command="train", **environment):
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return subprocess.Popen(
        [sys.executable, "-m", "deeplab_cli.entry", command, slides, model, *words, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


def wait_for_step(process, step):
    """Read what a process shows until it has taken so many steps, or ends."""
    for line in process.stdout:
        _, _, told = line.partition("<filter-comment>train: ")
        if told and int(told.split()[0]) >= step:
            break
