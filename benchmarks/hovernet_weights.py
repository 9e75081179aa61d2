"""Weights for HoVer-Net of the published size that find dark spots, as a trained network would.

    PYTHON_WITH_TIATOOLBOX benchmarks/hovernet_weights.py WEIGHTS.tar LABELS PICTURES.npz [STEPS]

The published weights may not be passed on. Random ones answer at random, so that half of all pixels
lie on the edge of an answer, which rounding decides. So the decoders are trained for some minutes,
upon a random encoder, on spots that are darker than most, in pictures of nuclei, uint8 (h, w, 3).
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from tiatoolbox.models.architecture.hovernet import HoVerNet

READ, MARGIN = 270, 95  # px of a patch, and of it at each side that is not answered
DARK = 0.85  # of all pixels of a picture are lighter than a spot
BATCH = 2
Scene = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]


def main() -> None:
    """Train and write."""
    target, labels, pictures = sys.argv[1:4]
    steps = int(sys.argv[4]) if len(sys.argv) > 4 else 80
    torch.manual_seed(0)
    scenes = list(_scenes(list(np.load(pictures).values())))
    network = HoVerNet(num_types=int(labels), mode="original")
    doubling = network.upsample2x
    network.upsample2x = torch.nn.Upsample(scale_factor=2)  # theirs takes float32 only
    _train(network, scenes, steps)
    network.upsample2x = doubling
    torch.save({"desc": network.state_dict()}, target)


def _scenes(pictures: list[NDArray[np.uint8]]) -> list[Scene]:
    """Return each picture with its spots, 0 or 1, hv maps (2, h, w) and types 0, 1 or 2."""
    scenes = []
    for picture in pictures:
        density = ndimage.gaussian_filter(-np.log((picture[..., 0] + 1.0) / 256), 2)
        mask = ndimage.binary_opening(density > np.quantile(density, DARK), iterations=2)
        spots, count = ndimage.label(mask)
        darkness = ndimage.mean(density, spots, np.arange(count + 1))
        types = np.where(darkness > np.median(darkness[1:]), 2, 1)
        types[0] = 0
        hv = np.zeros((2, *mask.shape), np.float32)
        for number, box in enumerate(ndimage.find_objects(spots), start=1):
            inside = spots[box] == number
            rows, columns = np.nonzero(inside)
            for axis, places in enumerate((columns, rows)):
                away = places - places.mean()
                hv[axis][box][inside] = away / max(np.abs(away).max(), 1)
        scenes.append((picture, mask.astype(np.int64), hv, types[spots]))
    return scenes


def _train(network: torch.nn.Module, scenes: list[Scene], steps: int) -> None:
    random = np.random.default_rng(0)
    norms = {n: m for n, m in network.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    for norm in norms.values():
        norm.momentum = None  # means over all that was seen, for the encoder's statistics
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        network.train()(_draw(scenes, 3 * BATCH, random)[0])
    for norm in norms.values():
        norm.momentum = 0.1
    for name, weights in network.named_parameters():
        weights.requires_grad_(name.startswith("decoder"))
    trained = [weights for weights in network.parameters() if weights.requires_grad]
    optimizer = torch.optim.Adam(trained)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.5e-3, total_steps=steps)
    for _ in range(steps):
        rgb, mask, hv, types = _draw(scenes, BATCH, random)
        network.train()
        for name, norm in norms.items():
            norm.train(name.startswith("decoder"))
        with torch.autocast("cpu", torch.bfloat16):
            maps = {name: values.float() for name, values in network(rgb).items()}
        errors, on_spots = (maps["hv"] - hv) ** 2, mask[:, None].float()
        loss = torch.nn.functional.cross_entropy(maps["np"], mask)
        loss = loss + torch.nn.functional.cross_entropy(maps["tp"], types)
        loss = loss + 2 * errors.mean()
        loss = loss + 2 * (errors * on_spots).sum() / (on_spots.sum() + 1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def _draw(scenes: list[Scene], count: int, random: np.random.Generator) -> list[torch.Tensor]:
    """Return patches (n, 3, 270, 270), and of their middles spots, hv maps and types.

    Every second one is of the first picture.
    """
    patches = []
    for index in range(count):
        picture, *truth = scenes[0 if index % 2 == 0 else random.integers(1, len(scenes))]
        y, x = (random.integers(0, side - READ + 1) for side in picture.shape[:2])
        rows, columns = (slice(i + MARGIN, i + READ - MARGIN) for i in (y, x))
        rgb = torch.from_numpy(picture[y : y + READ, x : x + READ].transpose(2, 0, 1).copy())
        middles = [torch.from_numpy(each[..., rows, columns].copy()) for each in truth]
        patches.append([rgb.float(), *middles])
    return [torch.stack(each) for each in zip(*patches, strict=True)]


if __name__ == "__main__":
    main()
