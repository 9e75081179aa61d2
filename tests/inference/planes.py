"""A plane of nuclei, and tiles over it that a network which finds them all would answer."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from skimage.draw import ellipse

from deeplab.config.classes import ClassList
from deeplab.config.requests import SegmentRequest
from deeplab.geometry.frames import WorkBox, WorkFrame
from deeplab.geometry.grid import TileSlot
from deeplab.inference.collectors.objects import ObjectCollector
from deeplab.inference.plan import Area
from deeplab.inference.rasters import Rasters
from deeplab.models.answers import ObjectAnswer

LARGEST = 12  # work pixels from a nucleus's centre to its farthest
TYPES = 3  # and 0, of no type


@dataclass(frozen=True)
class Plane:
    """Instances int32 (h, w); nucleus i has the label i % TYPES."""

    instances: np.ndarray

    @property
    def box(self) -> WorkBox:
        height, width = self.instances.shape
        return WorkBox(0, 0, width, height)

    @property
    def frame(self) -> WorkFrame:
        return WorkFrame(2.0, 2.0, self.box.width, self.box.height, 0.5)

    def area(self, *regions) -> Area:
        return Area.of(regions, self.frame)


def plane_of(seed: int, width: int, height: int, count: int, least: float = 3) -> Plane:
    """Nuclei as a tissue has them: ellipses, many touching, some over the edge of the plane."""
    rng = np.random.default_rng(seed)
    instances = np.zeros((height, width), np.int32)
    found = 0
    for _ in range(count):
        row, column = rng.uniform(-4, height + 4), rng.uniform(-4, width + 4)
        long, short = rng.uniform(least, LARGEST - 1), rng.uniform(least, 8)
        place = ellipse(row, column, long, short, instances.shape, rng.uniform(0, 3))
        if len(place[0]) > 8 and not instances[place].any():
            found += 1
            instances[place] = found
    return Plane(instances)


def without_edge(plane: Plane) -> Plane:
    """The plane without the nuclei that its edge cuts."""
    edge = np.pad(np.zeros_like(plane.instances[2:-2, 2:-2], bool), 2, constant_values=True)
    inner = np.where(np.isin(plane.instances, plane.instances[edge]), 0, plane.instances)
    _, numbered = np.unique(inner, return_inverse=True)
    return Plane(numbered.reshape(inner.shape).astype(np.int32))


def slots_over(
    area: WorkBox, *, step: int, lead: int = LARGEST + 2, margin: int = 5, shift: int = 0
) -> Iterator[TileSlot]:
    """Tiles that keep `step` pixels and answer for `lead` more on every side."""
    halo = lead + margin
    starts = [
        range(first - (first - shift) % 8, end, step)
        for first, end in ((area.x, area.right), (area.y, area.bottom))
    ]
    for y in starts[1]:
        for x in starts[0]:
            yield TileSlot(
                read=WorkBox(x - halo, y - halo, step + 2 * halo, step + 2 * halo),
                write=WorkBox(x, y, step, step).intersection(area),
                margin=margin,
            )


def answer_of(plane: Plane, slot: TileSlot, jitter: int = 0) -> ObjectAnswer:
    """What a network that finds every nucleus answers of a tile.

    With `jitter`, each nucleus lies up to so many pixels beside its place, in each tile elsewhere.
    """
    seen = slot.answer
    canvas = np.zeros((seen.height, seen.width), np.int32)
    shown = seen.intersection(plane.box)
    canvas[shown.within(seen)] = plane.instances[shown.within(plane.box)]
    if jitter:
        canvas = _moved(canvas, slot, jitter)
    numbers, instances = np.unique(canvas, return_inverse=True)
    instances = instances.reshape(canvas.shape).astype(np.int32)
    instances += int(numbers[0] != 0)  # a tile without background
    numbers = numbers[numbers > 0]
    return ObjectAnswer(
        instances=instances,
        labels=(numbers % TYPES).astype(np.uint8),
        confidence=np.full(len(numbers), 0.9, np.float32),
        label_probability=(0.5 + numbers % 7 / 20).astype(np.float32),
    )


def _moved(canvas: np.ndarray, slot: TileSlot, jitter: int) -> np.ndarray:
    moved = np.zeros_like(canvas)
    for number in np.unique(canvas[canvas > 0]):
        rng = np.random.default_rng([slot.read.x + 999, slot.read.y + 999, int(number)])
        rows, columns = np.nonzero(canvas == number)
        rows = rows + rng.integers(-jitter, jitter + 1)
        columns = columns + rng.integers(-jitter, jitter + 1)
        inside = (rows >= 0) & (rows < canvas.shape[0]) & (columns >= 0)
        inside &= columns < canvas.shape[1]
        rows, columns = rows[inside], columns[inside]
        free = moved[rows, columns] == 0
        moved[rows[free], columns[free]] = number
    return moved


def collect(plane: Plane, slots, area: Area | None = None, *, jitter=0, see=None, **settings):
    """The objects that a collector finds, and the rasters with what it put there.

    `see` gives the plane that a tile sees by the left edge of the tile.
    """
    area = area or plane.area()
    request = SegmentRequest(slide="s", model="m", **({"output_annotation": "a.anot"} | settings))
    rasters = Rasters(request, ClassList.named(["first", "second"]), plane.frame)
    collector = ObjectCollector(area, rasters, 2)
    for slot in slots:
        wanted = area.touches(slot.write)
        collector.add(
            slot, answer_of((see or {}).get(slot.read.x, plane), slot, jitter) if wanted else None
        )
    found = list(collector.found())
    collector.close()
    return found, rasters


def ious(plane: Plane, found) -> np.ndarray:
    """The IoU of each nucleus (rows) and each object found (columns)."""
    count = int(plane.instances.max())
    table = np.zeros((count, len(found)))
    sizes = np.bincount(plane.instances.ravel(), minlength=count + 1)[1:]
    for column, shape in enumerate(found):
        work = shapely.transform(shape.polygon, lambda points: points / 2)
        x, y, right, bottom = (int(each) for each in work.bounds)
        rows, columns = np.mgrid[y:bottom, x:right]
        inside = shapely.contains_xy(work, columns + 0.5, rows + 0.5)
        within = (rows < plane.box.height) & (columns < plane.box.width) & inside
        under = np.bincount(plane.instances[rows[within], columns[within]], minlength=count + 1)[1:]
        table[:, column] = under / (sizes + inside.sum() - under)
    return table
