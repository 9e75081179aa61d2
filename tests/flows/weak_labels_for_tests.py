"""Patches in the layout of WSSS-Tissue: presence in their names, pseudo masks in folders beside."""

import numpy as np
from PIL import Image

from tests.slides_for_tests import PINK, PURPLE

SIDE = 64
CLASSES = ("gland", "stroma")
GLASS = (250, 250, 250)
COLOURS = (PURPLE, PINK, GLASS)  # of the values 0, 1 and of what is neither
SETS = ("PM_bn7", "PM_b5_2", "PM_b4_5")


def paint(values, seed=0):
    """Pixels (side, side, 3) of a mask of 0 gland, 1 stroma, 2 neither."""
    noise = np.random.default_rng(seed).integers(0, 20, (*values.shape, 1))
    return np.clip(np.array(COLOURS)[values] - noise, 0, 255).astype(np.uint8)


def halves(left, right, side=SIDE):
    values = np.full((side, side), left, np.uint8)
    values[:, side // 2 :] = right
    return values


def save_mask(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values)
    picture.putpalette([value for colour in COLOURS for value in colour])
    picture.save(path)


def save_patch(folder, number, values):
    """Save a patch whose name says its classes, and return the name."""
    folder.mkdir(parents=True, exist_ok=True)
    flags = "".join(str(int((values == at).any())) for at in range(len(CLASSES)))
    name = f"p-{number}-[{flags}].png"
    Image.fromarray(paint(values, seed=number)).save(folder / name)
    return name


def published(folder, repeats=3):
    """Fill a folder with train/, train_masks/, val/ and test/, and return it.

    What is neither is not in train_masks' patches but as glass; in those of val and test there is
    none.
    """
    kinds = [halves(0, 0), halves(1, 1), halves(0, 1), halves(1, 0), halves(0, 2), halves(1, 2)]
    for number, values in enumerate(kinds * repeats):
        name = save_patch(folder / "train", number, values)
        save_mask(folder / "train_masks" / name, values)
    for part, first in (("val", 100), ("test", 200)):
        for number, values in enumerate(kinds[2:4], start=first):
            name = save_patch(folder / part / "img", number, values)
            save_mask(folder / part / "mask" / name, values)
    return folder


def pseudo_masks(folder, sets=SETS):
    """Put masks of several layers beside train/: the first is right, others lose a stripe."""
    for at, name in enumerate(sets):
        for path in sorted((folder / "train_masks").iterdir()):
            values = np.asarray(Image.open(path)).copy()
            values[: 4 * at] = 2
            save_mask(folder / "train_PM" / name / path.name, values)
    return folder / "train_PM"
