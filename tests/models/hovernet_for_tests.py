"""Nuclei for tests of HoVer-Net: what its maps depend on, and ellipses that touch."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deeplab.config.nuclei import Convention, Gradients
from deeplab.models.hovernet.targets import encode


@dataclass(frozen=True, kw_only=True)
class NucleiConfig:
    """What targets, losses and decoding ask of a config."""

    convention: Convention = "local"
    gradients: Gradients = "same_axis"
    margin: int = 0
    edge_kernel: int = 9
    type_count: int = 0


def touching_ellipses(
    seed: int, side: int, *, radius: tuple[float, float] = (6.0, 14.0), crowd: float = 0.5
) -> NDArray[np.int32]:
    """Ellipses, many of which touch: instances (side, side), numbered from 1.

    A later one gives way to an earlier one, and is left out where that takes a quarter of it.

    Args:
        seed: of all that is drawn by chance.
        side: of the map, pixels.
        radius: least and greatest half axis, pixels.
        crowd: share of the map that ellipses are drawn for.
    """
    random = np.random.default_rng(seed)
    instances = np.zeros((side, side), np.int32)
    count = 0
    for _ in range(int(crowd * side**2 / (np.pi * np.mean(radius) ** 2))):
        centre = random.uniform(0, side, 2)
        axes = random.uniform(*radius, 2)
        turned = random.uniform(0, np.pi)
        reach = int(axes.max()) + 2
        top, left = np.maximum(centre.astype(int) - reach, 0)
        part = instances[top : top + 2 * reach + 2, left : left + 2 * reach + 2]
        ys, xs = np.indices(part.shape)
        y, x = ys + top - centre[0], xs + left - centre[1]
        along = x * np.cos(turned) + y * np.sin(turned)
        across = y * np.cos(turned) - x * np.sin(turned)
        ellipse = (along / axes[0]) ** 2 + (across / axes[1]) ** 2 <= 1
        seen = ellipse & (part == 0)
        if np.count_nonzero(seen) < 0.75 * np.pi * axes.prod():
            continue
        if cv2.connectedComponents(seen.astype(np.uint8), connectivity=4)[0] != 2:
            continue
        count += 1
        part[seen] = count
    return instances


def blurred_maps(instances: NDArray[np.int32], seed: int) -> dict[str, NDArray[np.float32]]:
    """The maps "np" (h, w) and "hv" (h, w, 2) of nuclei as a network would give them: soft and uneven."""
    random = np.random.default_rng(seed)
    truth = {"instances": instances, "labels": (instances > 0).astype(np.uint8)}
    targets = encode(NucleiConfig(), truth)

    def uneven(values: NDArray[np.float32], blur: float, noise: float) -> NDArray[np.float32]:
        waves = cv2.GaussianBlur(random.normal(size=values.shape).astype(np.float32), (0, 0), 2)
        return cv2.GaussianBlur(values, (0, 0), blur) + noise * waves / waves.std()

    return {
        "np": np.clip(uneven(targets["np"].astype(np.float32), 0.7, 0.1), 0, 1),
        "hv": uneven(targets["hv"], 1.0, 0.1),
    }


def found_again(truth: NDArray[np.int32], found: NDArray[np.int32]) -> NDArray[np.float64]:
    """The greatest IoU of each instance of `truth` with one of `found`, (instances,)."""
    count = int(found.max(initial=0)) + 1
    both = np.bincount(
        (truth.astype(np.int64) * count + found).ravel(), minlength=(int(truth.max()) + 1) * count
    ).reshape(-1, count)
    either = both.sum(axis=1)[:, None] + both.sum(axis=0) - both
    iou = (both / np.maximum(either, 1))[1:, 1:]
    return iou.max(axis=1, initial=0)
