"""The rules by which settings of a training follow from what is drawn, the machine and the hours.

They are those of nnU-Net (Isensee 2021, doi 10.1038/s41592-020-01008-z), which plans by sizes and
memory, as far as they hold for slides, where there is more to choose: the scale.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from deeplab.bundles.card import Card
from deeplab.config.classes import ClassList
from deeplab.config.families import (
    config_to_json,
    learning_networks,
    network_config,
    network_of_objects,
    suggested_patch_size,
    training_cost,
)
from deeplab.config.network import NetworkConfig, labels_pixels
from deeplab.config.plan_settings import PLANNED
from deeplab.config.train_request import TrainRequest
from deeplab.data.census import Census
from deeplab.data.object_sizes import ObjectSizes
from deeplab.report.words import counted
from deeplab.training.machine_facts import GB, MachineFacts
from deeplab.training.plan import PlannedField, PlanValue, TrainingPlan

Chosen = tuple[PlanValue, str]  # a value, and why

# Of objects that a network finds one by one.
NUCLEUS_UM, MANY, TOUCHING = 15.0, 500, 0.05
LARGE_BACKBONE, LARGE_BACKBONE_GB = "resnet_50", 8.0

LEAST_ACROSS_PX = 64  # of an object of the middle size: at half of that borders are blurred
COARSEST_MPP = 2.0  # where nuclei are still seen, by which tissue is told
NOMINAL_MPP, NEAR = 0.25, 0.05  # scanners differ by as much from what they are called
FINER_SHARE = 0.9  # of the slides that are as fine as the scale at least

AROUND = 2.0  # sides of a patch by that of a large object: as much around it as in it
SIDES, GPU_SIDES = (256, 512), (256, 1024)
SIDE_STEP, SMALL_STEP = 128, 32  # pixels; all cells of all networks fit the first

BATCH, GPU_BATCH = 4, 16  # patches a step of one device
LEAST_BATCH = 4  # for which patches are made smaller: batch normalisation wants some
MEMORY_SHARE, GPU_MEMORY_SHARE = 0.6, 0.8
PROGRAM_GB = 1.5  # of main memory: the program, the weights and what updates them

TRAINING_SHARE = 0.8  # of the time; the rest goes into the start and into validations
BUSY_CORES = 16  # more of them hardly make a training faster
EPOCHS = 300  # after so many passes over what is drawn a network learns little more
STEPS = (20, 200_000)
SLOW_START = 200
VALIDATIONS, BETWEEN = 10, (50, 2000)  # looks at held-out slides, and steps from one to the next

MOST_WEIGHT = 5.0

# Settings that are of one network, so that no other one is chosen where they are changed.
_OF_A_NETWORK = (
    "network_options", "atrous_rates", "output_stride", "aspp_filters", "decoder_filters",
    "depth_multiplier", "drop_path_keep_prob", "initial_model", "initial_encoder", "recipe",
    "companion", "label_sets", "network", "backbone",
)  # fmt: skip
_SCALES = ("wsi_downsample", "resolution")  # that take the place of the working um per pixel
# Settings that count in steps, so that the number of all of them stays where they are changed.
_IN_STEPS = ("freeze_encoder_steps", "global_step", "decay_steps")


def make_plan(
    request: TrainRequest, census: Census, machine: MachineFacts, begun_with: Card | None = None
) -> TrainingPlan:
    """Return the plan of a training, with a reason for each setting.

    What is `fixed` in the request, or rests on what was given, is as it is there.

    Args:
        request: what is asked for, the hours included.
        census: of its slides; the objects of at least one class were measured.
        machine: on which it is trained.
        begun_with: card of the initial model, where it has one.
    """
    given = "as it was given" + ("" if request.recipe == "default" else " or the recipe has it")
    of_model = _of_initial_model(request, begun_with)
    planned: list[PlannedField] = []
    known = _Known(request, census, machine)
    for name in PLANNED:
        kept = given if name in request.fixed else ""
        if name not in of_model:
            kept = kept or _rests_on_given(request, name)
        if kept:
            value: PlanValue = getattr(request, name)
            planned.append(PlannedField(name=name, value=value, reason=kept, is_given=True))
            continue
        value, why = of_model.get(name) or _RULES[name](known)
        chosen: Mapping[str, Any] = {name: value}
        known = replace(known, request=replace(known.request, **chosen))
        planned.append(PlannedField(name=name, value=value, reason=why))
    return TrainingPlan(hours=request.hours, fields=tuple(planned))


def _of_initial_model(request: TrainRequest, card: Card | None) -> Mapping[str, Chosen]:
    """Return what a training must have as its initial model has it, or its weights were of no use.

    Nothing is of a model that cannot be trained; whoever opens it says so.
    """
    if card is None or card.family not in learning_networks():
        return {}
    told = {
        "network": card.family,
        "backbone": config_to_json(card.config).get("backbone"),  # that of some comes with them
        "work_mpp": None if _changed(request, _SCALES) else card.work_mpp,
    }
    return {name: (value, "as the initial model has it") for name, value in told.items() if value}


def _rests_on_given(request: TrainRequest, name: str) -> str:
    """Return why a setting is left as it is for the sake of others; "": it is not."""
    if name in ("network", "backbone"):
        changed = _changed(request, _OF_A_NETWORK)
    elif name in ("steps", "slow_start_step"):
        changed = _changed(request, _IN_STEPS)
    elif name == "work_mpp":
        changed = _changed(request, _SCALES)
    else:
        return ""
    return f"left as it is, because {changed} was given" if changed else ""


def _changed(request: TrainRequest, names: Sequence[str]) -> str:
    """Return the first of some settings that was given; "": none was."""
    known = TrainRequest.__dataclass_fields__
    return next(
        (n for n in names if n in request.fixed or getattr(request, n) != known[n].default), ""
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """What a rule may ask.

    Attributes:
        request: what is asked for, with what is chosen so far.
        census: of its slides.
        machine: on which it is trained.
    """

    request: TrainRequest
    census: Census
    machine: MachineFacts

    @property
    def smallest(self) -> tuple[str, ObjectSizes]:
        """The class whose objects are smallest, by their middle."""
        return min(self.census.sizes.items(), key=lambda each: each[1].median_um)

    @property
    def largest(self) -> tuple[str, ObjectSizes]:
        """The class whose large objects are largest."""
        return max(self.census.sizes.items(), key=lambda each: each[1].ninetieth_um)

    @property
    def config(self) -> NetworkConfig:
        """The network that is chosen."""
        return network_config(self.request, ClassList.named(self.request.classes))

    @property
    def work_mpp(self) -> float:
        """Um per pixel of the patches, the finest where there are several."""
        finest = min(self.request.wsi_downsample, default=0) * self._middle_mpp
        return finest or self.request.work_mpp

    @property
    def _middle_mpp(self) -> float:
        return statistics.median(slide.mpp for slide in self.census.on("train"))

    @property
    def devices(self) -> int:
        """GPUs that share the work; 1 where processors do it."""
        return max(len(self.machine.gpus_gb), 1)

    def patch_bytes(self, side: int) -> float:
        """Return the memory that a patch of so many pixels a side takes."""
        cost = training_cost(self.request).bytes_per_px
        return cost * side**2 / (1 if self.request.precision == "float32" else 2)

    @property
    def memory_bytes(self) -> float:
        """Memory of one device that the maps of a network may have."""
        if self.machine.gpus_gb:
            return GPU_MEMORY_SHARE * min(self.machine.gpus_gb) * GB
        return max(MEMORY_SHARE * self.machine.memory_gb - PROGRAM_GB, 0) * GB

    @property
    def trainings(self) -> int:
        """How many networks the hours are for."""
        request = self.request
        folds = request.folds if request.folds and not request.fold else 1
        return folds * (1 + request.compare_without_companion)


def _choose_network(known: _Known) -> Chosen:
    """Return one that finds objects, where they are nuclei that were outlined one by one."""
    request, sizes = known.request, known.census.sizes
    counts = {name: known.census.total(name).objects for name in sizes}
    total = sum(counts.values())
    touching = sum(sizes[name].touching * counts[name] for name in sizes) / max(total, 1)
    small = max(each.median_um for each in sizes.values())
    is_one_by_one = touching >= TOUCHING or bool(request.untyped_layer)
    if small < NUCLEUS_UM and total >= MANY and is_one_by_one:
        said = f"{total:,} objects of {small:.3g} um and less, {touching:.0%} of which touch others"
        return network_of_objects(), f"{said}, are found one by one"
    return request.network, f"gives every pixel a class, which serves objects of {small:.3g} um"


def _choose_backbone(known: _Known) -> Chosen:
    if known.machine.gpus_gb and min(known.machine.gpus_gb) >= LARGE_BACKBONE_GB:
        return LARGE_BACKBONE, f"large, for {known.machine}"
    return known.request.backbone, f"small, for {known.machine}"


def _choose_scale(known: _Known) -> Chosen:
    """Return the coarsest scale at which objects are large enough, each twice the one before."""
    name, sizes = known.smallest
    mpps = sorted(slide.mpp for slide in known.census.on("train"))
    finest = _nominal(mpps[math.ceil(FINER_SHARE * len(mpps)) - 1])
    work_mpp = finest
    while 2 * work_mpp <= COARSEST_MPP and sizes.median_um >= LEAST_ACROSS_PX * 2 * work_mpp:
        work_mpp *= 2
    across = f"the median {name} is {sizes.median_um:.3g} um across"
    pixels = f"{sizes.median_um / work_mpp:.3g} pixels"
    why = f"{across}, so {pixels}"
    if work_mpp == finest:
        why += "; slides are no finer" if sizes.median_um < LEAST_ACROSS_PX * finest else ""
    elif 2 * work_mpp > COARSEST_MPP:
        why += "; coarser, tissue is not told any more"
    return work_mpp, why


def _nominal(mpp: float) -> float:
    """Return um per pixel as the scanner is called, 0.25 or a multiple, where it is near that."""
    called = NOMINAL_MPP * 2.0 ** round(math.log2(mpp / NOMINAL_MPP))
    return called if abs(mpp / called - 1) <= NEAR else float(f"{mpp:.4g}")


def _choose_patch(known: _Known) -> Chosen:
    """Return the side that holds a large object and its surroundings, as far as memory goes."""
    if known.request.network_options:
        return suggested_patch_size(known.request), "what the network suggests"
    name, sizes = known.largest
    large_px = sizes.ninetieth_um / known.work_mpp
    least, most = GPU_SIDES if known.machine.gpus_gb else SIDES
    wanted = SIDE_STEP * math.ceil(AROUND * large_px / SIDE_STEP)
    side = min(max(wanted, least), most)
    why = f"a large {name} is {large_px:.3g} pixels across and has as much around it"
    if wanted < least:
        why = f"a large {name} is {large_px:.3g} pixels across; smaller patches show too little"
    elif wanted > most:
        why = f"a large {name} is {large_px:.3g} pixels across, too large for a patch"
    fits = _side_that_fits(known, side, least)
    if fits < side:
        side, why = fits, f"larger ones do not fit into the memory of {known.machine}"
    extents = (max(s.width_level0, s.height_level0) * s.mpp for s in known.census.on("train"))
    longest_px = int(statistics.median_low(extents) / known.work_mpp)
    if longest_px < side:
        step = SIDE_STEP if longest_px >= SIDE_STEP else SMALL_STEP
        step = max(step, known.config.tiling.multiple)
        side = max(longest_px // step * step, step, 2 * SMALL_STEP)
        why = f"slides have {longest_px:,} pixels"
    return side, why


def _side_that_fits(known: _Known, side: int, least: int) -> int:
    """Return the side of patches of which memory holds some, but no less than `least`."""
    while side > least and LEAST_BATCH * known.patch_bytes(side) > known.memory_bytes:
        side -= SIDE_STEP
    return side


def _choose_batch(known: _Known) -> Chosen:
    """Return as many patches as memory holds, up to what a step needs."""
    most = GPU_BATCH if known.machine.gpus_gb else BATCH
    parts = known.request.gradient_accumulation
    fits = int(known.memory_bytes / known.patch_bytes(known.request.patch_size))
    each = max(min(fits, most // parts), 1)
    batch = each * parts * known.devices
    if fits < most // parts:
        return batch, f"more would not fit into the memory of {known.machine}"
    return batch, f"enough for a steady step, on {known.machine}"


def _choose_steps(known: _Known) -> Chosen:
    """Return as many as the hours allow, but no more than what is drawn is worth."""
    request, cost = known.request, training_cost(known.request)
    batch_mpx = request.batch_size * request.patch_size**2 / 1e6
    if known.machine.gpus_gb:
        step_s = batch_mpx * cost.gpu_s_per_mpx / known.devices
    else:
        step_s = batch_mpx * cost.core_s_per_mpx / min(known.machine.cores, BUSY_CORES)
    seconds = request.hours * 3600 * TRAINING_SHARE / known.trainings
    patch_mm2 = (request.patch_size * known.work_mpp) ** 2 / 1e6
    amounts = [known.census.total(name, "train") for name in known.census.classes]
    drawn = sum(max(each.objects, each.area_mm2 / patch_mm2) for each in amounts)
    epoch = 2 * drawn / request.batch_size  # as many patches of background as of classes
    by_time, by_data = seconds / step_s, EPOCHS * epoch
    steps = _rounded_down(min(max(min(by_time, by_data), STEPS[0]), STEPS[1]))
    if by_time < STEPS[0]:
        return steps, f"the fewest, which take about {STEPS[0] * step_s / 3600:.2g} hours"
    if by_data < by_time:
        return steps, f"what is drawn is then seen {EPOCHS} times; more hours would be of no use"
    of = f", for {known.trainings} trainings" if known.trainings > 1 else ""
    return steps, f"in {request.hours:g} hours{of}, at about {step_s:.2g} s a step"


def _rounded_down(count: float) -> int:
    """Return a number with two digits that are not 0."""
    unit: int = 10 ** max(math.floor(math.log10(count)) - 1, 0)
    return int(count // unit) * unit


def _choose_slow_start(known: _Known) -> Chosen:
    steps = max(min(SLOW_START, known.request.steps // 10), 1)
    return steps, "a tenth of the steps" if steps < SLOW_START else "enough for any number of steps"


def _choose_validations(known: _Known) -> Chosen:
    steps = known.request.steps
    every = min(max(steps // VALIDATIONS, BETWEEN[0]), BETWEEN[1])
    return every, f"{counted(math.ceil(steps / every), 'look')} at the held-out slides"


def _choose_weights(known: _Known) -> Chosen:
    """Return the inverse roots of the areas; that places are drawn by class does the rest."""
    if not labels_pixels(known.config):
        return (), "the losses of this network are of objects"
    areas = {name: known.census.total(name, "train").area_mm2 for name in known.request.classes}
    widest = max(areas.values())
    weights = {
        name: round(min(math.sqrt(widest / area), MOST_WEIGHT), 1) if area else MOST_WEIGHT
        for name, area in areas.items()
    }
    rarest = max(weights, key=lambda name: weights[name])
    if weights[rarest] == 1:
        return (), "each counts 1: no class covers much less than another"
    share = areas[rarest] / widest
    return (1.0, *weights.values()), f"{rarest} covers {share:.2g} of the area of the largest class"


_RULES: Mapping[str, Callable[[_Known], Chosen]] = MappingProxyType(
    {
        "network": _choose_network,
        "backbone": _choose_backbone,
        "work_mpp": _choose_scale,
        "patch_size": _choose_patch,
        "batch_size": _choose_batch,
        "steps": _choose_steps,
        "slow_start_step": _choose_slow_start,
        "validate_every": _choose_validations,
        "class_weights": _choose_weights,
    }
)
