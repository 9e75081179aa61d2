"""What of a held-out slide is judged: tiles over what was annotated, or a draw of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from deeplab.bundles.card import Card
from deeplab.config.classes import IGNORE
from deeplab.data.truth import AnnotatedSlide
from deeplab.geometry.frames import WorkBox, WorkFrame
from deeplab.geometry.grid import TilePlan, TileSlot
from deeplab.inference.plan import Area, plan_tiles

TIME_SHARE = 0.1  # of the time between validations that one may take
LEARNING_COST = 2.0  # times the network's answer, as measured with mobilenet_v2 on a CPU
LEAST_PX = 2_000_000  # work pixels a slide; judged on less a figure says little
COARSE = 4  # truth is looked at on every fourth pixel to see what there is


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSlide:
    """A held-out slide and the tiles on which it is judged.

    Attributes:
        slide: pixels and truth.
        frame: in which a network sees it.
        slots: the tiles in reading order, and whether each holds tissue; without, a segmentation
            passes over it, so it is background there.
        region_px: work pixels of all tiles over what was annotated, those left out too.
    """

    slide: AnnotatedSlide
    frame: WorkFrame
    slots: tuple[tuple[TileSlot, bool], ...]
    region_px: int

    @property
    def chosen_px(self) -> int:
        """Work pixels that are judged or ignored in the tiles."""
        return sum(_px(slot) for slot, _ in self.slots)


def judged_px(card: Card, *, every_steps: int, batch_size: int, slides: int) -> int:
    """Work pixels that may be judged on each slide, for a validation to take its share of time.

    Args:
        card: of the network.
        every_steps: from one validation to the next.
        batch_size: patches a step.
        slides: held out.
    """
    learnt = every_steps * batch_size * card.config.crop_size**2
    kept = ((card.tile - 1 - 2 * card.halo) / card.tile) ** 2
    return max(LEAST_PX, int(TIME_SHARE * LEARNING_COST * learnt * kept / max(slides, 1)))


def judged_slide(slide: AnnotatedSlide, card: Card, *, most_px: int, seed: int) -> JudgedSlide:
    """Choose the tiles on which a slide is judged, as a segmentation would cut it.

    They lie over what was annotated and a patch around it, and hold tissue or a class, and some
    truth. Of more than `most_px` work pixels a seeded draw is taken, the same every time; a tile
    of each class on the slide is in it, so that a rare one is seen.

    Raises:
        SlideError, ServerError: as reading the slide does.
    """
    if card.work_mpp is None:
        raise ValueError("the card of a training says its um per pixel")
    frame = slide.slide.frame(card.work_mpp)
    plan = _plan(slide, card, frame)
    if plan is None:
        return JudgedSlide(slide=slide, frame=frame, slots=(), region_px=0)
    coarse = slide.slide.frame(card.work_mpp * COARSE)
    found: list[tuple[TileSlot, bool, frozenset[int]]] = []
    for slot in plan:
        box = coarse.to_work(frame.to_level0(slot.write)).intersection(coarse.box)
        labels = frozenset(np.unique(slide.labels(coarse, box)).tolist()) - {IGNORE}
        on_tissue = slide.tissue.touches(frame, slot.write)
        if labels and (on_tissue or labels != {0}):
            found.append((slot, on_tissue, labels))
    kept = _draw([(slot, labels) for slot, _, labels in found], most_px, slide.name, seed)
    return JudgedSlide(
        slide=slide,
        frame=frame,
        slots=tuple((slot, on_tissue) for slot, on_tissue, _ in found if slot in kept),
        region_px=sum(_px(slot) for slot, _, _ in found),
    )


def _plan(slide: AnnotatedSlide, card: Card, frame: WorkFrame) -> TilePlan | None:
    """Return the tiles over what was annotated; None where that is beside the slide."""
    extent, margin = frame.to_work(slide.extent()), card.config.crop_size
    box = WorkBox(
        extent.x - margin, extent.y - margin, extent.width + 2 * margin, extent.height + 2 * margin
    ).intersection(frame.box)
    if box.is_empty:
        return None
    area = Area(box=box, polygons=(), frame=frame)
    return plan_tiles(card, area, tile=card.tile, halo=card.halo)


def _draw(
    slots: list[tuple[TileSlot, frozenset[int]]], most_px: int, name: str, seed: int
) -> set[TileSlot]:
    """Return a draw of tiles up to so many pixels, one at least, with every label that is there."""
    salt = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
    shuffled = [slots[i] for i in np.random.default_rng([seed, salt]).permutation(len(slots))]
    first: list[TileSlot] = []
    seen: set[int] = set()
    for slot, labels in shuffled:
        if labels - seen:
            first.append(slot)
            seen |= labels
    kept, taken_px = set(first), sum(map(_px, first))
    for slot, _ in shuffled:
        if slot not in kept and taken_px + _px(slot) <= most_px:
            kept.add(slot)
            taken_px += _px(slot)
    return kept


def _px(slot: TileSlot) -> int:
    return slot.write.width * slot.write.height
