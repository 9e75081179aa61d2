"""Settings follow from what is drawn, the machine and the hours; what was given stays."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from deeplab.bundles.card import Card
from deeplab.config.classes import ClassList
from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.config.families import network_config
from deeplab.config.plan_settings import PLANNED
from deeplab.config.train_request import TrainRequest
from deeplab.config.unet import UNetConfig
from deeplab.data.census import Amount, Census, SlideCount
from deeplab.data.object_sizes import ObjectSizes
from deeplab.errors import ConfigError
from deeplab.training.identity import agreed_settings
from deeplab.training.machine_facts import MachineFacts
from deeplab.training.plan import plan_of, with_plan
from deeplab.training.plan_rules import COARSEST_MPP, LEAST_ACROSS_PX, STEPS, make_plan
from deeplab.training.planning import shaped_as

LAPTOP = MachineFacts(cores=4, memory_gb=16)
ROOMY = MachineFacts(cores=16, memory_gb=64, gpus_gb=(200.0,))
STATION = MachineFacts(cores=16, memory_gb=64, gpus_gb=(24.0,))


def request(*classes, hours=8.0, **given):
    out = Path("never-written.zip")
    given = {"source": "slides", "output_model": out, "hours": hours} | given
    return TrainRequest(classes=classes or ("gland",), **given)


def sizes(median_um, *, touching=0.0, spread=1.3):
    return ObjectSizes(
        tenth_um=median_um / spread,
        median_um=median_um,
        ninetieth_um=median_um * spread,
        touching=touching,
    )


def census(slides=4, *, mpp=0.25, side=40_000, counts=100, **of_classes):
    """A census of equal slides, of classes by name with their sizes."""
    areas = {n: counts * math.pi * s.median_um**2 / 4e6 for n, s in of_classes.items()}
    mpps = mpp if isinstance(mpp, list) else [mpp] * slides
    return Census(
        classes=tuple(of_classes),
        sizes=of_classes,
        slides=tuple(
            SlideCount(
                name=f"s{n}", width_level0=side, height_level0=side // 2, mpp=mpp, kind="",
                patient="", side="train",
                amounts={name: Amount(counts, area) for name, area in areas.items()},
            )
            for n, mpp in enumerate(mpps)
        ),
    )  # fmt: skip


def planned(asked, taken, machine=LAPTOP):
    return with_plan(asked, make_plan(asked, taken, machine))


def reasons(asked, taken, machine=LAPTOP):
    return {each.name: each.reason for each in make_plan(asked, taken, machine).fields}


@pytest.mark.parametrize(
    ("median_um", "mpp", "work_mpp"),
    [
        (180, 0.25, 2.0),  # glomeruli: 90 pixels
        (100, 0.25, 1.0),
        (8, 0.25, 0.25),  # nuclei, on slides that are no finer
        (8, 0.5, 0.5),
        (3000, 0.25, 2.0),  # tumour: coarser, its tissue is not told
        (180, 0.2527, 2.0),  # 0.25 but for what the scanner calls it
        (180, 3.3, 3.3),
    ],
)
def test_the_scale_shows_a_typical_object_at_some_tens_of_pixels_and_no_finer_than_slides_are(
    median_um, mpp, work_mpp
):
    assert planned(request(), census(gland=sizes(median_um), mpp=mpp)).work_mpp == work_mpp


def test_the_scale_is_for_the_class_of_the_smallest_objects_and_for_nearly_all_slides():
    asked = request("gland", "lumen")
    of = {"gland": sizes(400), "lumen": sizes(30)}
    assert planned(asked, census(**of)).work_mpp == 0.25
    assert planned(asked, census(mpp=[0.25] * 8 + [0.5] * 2, **of)).work_mpp == 0.5
    assert planned(asked, census(mpp=[0.25] * 10 + [8.0], **of)).work_mpp == 0.25
    assert (
        reasons(asked, census(**of))["work_mpp"]
        == "the median lumen is 30 um across, so 120 pixels"
    )


def test_a_patch_holds_a_large_object_with_what_is_around_it_within_bounds_memory_and_slides():
    glands = census(gland=sizes(180))
    # 180 um and 30 % more are 117 pixels of 2 um.
    assert planned(request(), glands).patch_size == 256
    at_half = request(fixed=("work_mpp",))
    assert planned(at_half, glands).patch_size == 512
    assert planned(at_half, glands, ROOMY).patch_size == 1024
    small = [MachineFacts(cores=2, memory_gb=gb) for gb in (16, 6, 2)]
    sides = [planned(at_half, glands, machine).patch_size for machine in small]
    assert sides[0] > sides[1] > sides[2] == 256
    for side, patch in ((2000, 512), (800, 384), (500, 128), (200, 96), (90, 64)):
        # Half as many pixels of 0.5 um on slides of 0.25.
        assert planned(at_half, census(gland=sizes(180), side=side)).patch_size == patch, side


def test_a_batch_is_what_memory_holds_and_devices_share():
    glands = census(gland=sizes(180))
    assert planned(request(), glands).batch_size == 4
    assert planned(request(), glands, STATION).batch_size == 16
    small = [MachineFacts(cores=2, memory_gb=gb) for gb in (3.2, 1.0)]
    sizes_of = [planned(request(), glands, machine).batch_size for machine in small]
    assert 4 > sizes_of[0] > sizes_of[1] == 1
    two = MachineFacts(cores=16, memory_gb=64, gpus_gb=(24.0, 24.0))
    assert planned(request(num_clones=2), glands, two).batch_size == 32
    assert planned(request(gradient_accumulation=3), glands).batch_size == 3


def test_a_gpu_gets_a_larger_backbone_unless_its_memory_is_small():
    glands = census(gland=sizes(180))
    assert planned(request(), glands).backbone == "mobilenet_v2"
    assert planned(request(), glands, STATION).backbone == "resnet_50"
    small = MachineFacts(cores=4, memory_gb=16, gpus_gb=(6.0,))
    assert planned(request(), glands, small).backbone == "mobilenet_v2"


def test_steps_follow_the_hours_until_what_is_drawn_was_seen_often_enough():
    glands = census(gland=sizes(180))
    steps = {h: planned(request(hours=h), glands).steps for h in (0.001, 1, 2, 2000, 4000)}
    assert steps[0.001] == STEPS[0]
    assert steps[2] == pytest.approx(2 * steps[1], rel=0.1)
    # 4 slides with 100 objects, as much background, 300 times, 4 a step.
    assert steps[2000] == steps[4000] == 60_000
    halves = planned(request(hours=2, folds=2), glands).steps
    assert halves == steps[1]
    twice = planned(request(hours=2), glands, MachineFacts(cores=8, memory_gb=16)).steps
    assert twice == pytest.approx(2 * steps[2], rel=0.1)


def test_what_counts_in_steps_follows_them():
    glands = census(gland=sizes(180))
    short, long = (planned(request(hours=h), glands) for h in (0.001, 4000))
    assert (short.slow_start_step, short.validate_every) == (2, 50)
    assert (long.slow_start_step, long.validate_every) == (200, 2000)


def test_classes_of_little_area_weigh_more_but_not_without_bounds():
    asked = request("gland", "vessel", "dot")
    of = {"gland": sizes(180), "vessel": sizes(60), "dot": sizes(1)}
    assert planned(asked, census(**of)).class_weights == (1.0, 1.0, 3.0, 5.0)
    assert planned(request(), census(gland=sizes(180))).class_weights == ()
    assert reasons(asked, census(**of))["class_weights"].startswith("dot covers 3.1e-05 of")


def test_nuclei_are_found_one_by_one_where_they_were_outlined_so():
    nuclei = {"nucleus": sizes(8, touching=0.2)}
    asked = request("nucleus")
    found = planned(asked, census(counts=5000, **nuclei))
    assert (found.network, found.class_weights) == ("hovernet", ())
    assert "20% of which touch others" in reasons(asked, census(counts=5000, **nuclei))["network"]
    for other in (
        census(counts=10, **nuclei),  # few
        census(counts=5000, nucleus=sizes(8)),  # none touches: areas are enough
        census(counts=5000, nucleus=sizes(40, touching=0.2)),  # glands
    ):
        assert planned(asked, other).network == "deeplabv3plus"
    told = request("nucleus", "mitosis", untyped_layer="cell")
    both = census(counts=5000, nucleus=sizes(8), mitosis=sizes(9))
    assert planned(told, both).network == "hovernet"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"depth_multiplier": 0.5}, ("network", "backbone")),
        ({"companion": "autoencoder"}, ("network", "backbone")),
        ({"backbone": "xception_65"}, ("network", "backbone")),
        ({"network": "unet"}, ("network", "backbone")),
        ({"initial_model": Path("m.zip")}, ("network", "backbone")),
        ({"freeze_encoder_steps": 400}, ("steps", "slow_start_step")),
        ({"decay_steps": 9000}, ("steps", "slow_start_step")),
        ({"wsi_downsample": (2.0, 4.0)}, ("work_mpp",)),
        ({"resolution": 0.5}, ("work_mpp",)),
    ],
)
def test_what_others_rest_on_is_left_as_it_is(given, kept):
    nuclei = census(counts=5000, gland=sizes(8, touching=0.3))
    asked = request(**given)
    made = make_plan(asked, nuclei, STATION)
    assert {each.name for each in made.fields if each.is_given} == set(kept)
    with_plan(asked, made)


def test_what_is_begun_with_says_network_and_scale():
    glands = census(gland=sizes(180))
    config = UNetConfig(label_count=2, backbone="resnet_18", crop_size=256)
    card = Card(
        config=config, classes=ClassList.named(["gland"]), work_mpp=1.0, halo=160, tile=1024
    )

    def begun(**given):
        asked = request(initial_model=Path("m.zip"), **given)
        made = with_plan(asked, make_plan(asked, glands, STATION, card))
        return made.network, made.backbone, made.work_mpp

    assert begun() == ("unet", "resnet_18", 1.0)
    assert begun(work_mpp=4.0) == ("unet", "resnet_18", 4.0)
    assert begun(resolution=0.7) == ("unet", "resnet_18", 0.7)
    asked = request(initial_model=Path("m.h5"))
    assert planned(asked, glands, STATION).network == "deeplabv3plus", "a file without a card"


def test_what_is_begun_with_says_the_knobs_of_the_network_so_that_its_weights_fit():
    glands = census(gland=sizes(180))
    config = DeepLabV3PlusConfig(
        label_count=2, crop_size=161, aspp_filters=128, atrous_rates=(3, 6), dropout=0.0
    )
    classes = ClassList.named(["gland"])
    card = Card(config=config, classes=classes, work_mpp=1.0, halo=160, tile=1025)

    def begun(**given):
        asked = request(initial_model=Path("m.zip"), **given)
        made = make_plan(asked, glands, STATION, card)
        return network_config(shaped_as(with_plan(asked, made), card), classes)

    as_it_was = replace(config, crop_size=begun().crop_size)
    assert begun() == as_it_was
    options = ("dropout=0.3",)
    assert begun(aspp_filters=64, network_options=options) == replace(
        as_it_was, aspp_filters=64, dropout=0.3
    )
    assert begun(network="unet").class_count == 1, "of another network, whose knobs are others"


def test_a_network_that_options_shape_has_the_patch_that_it_suggests():
    asked = request(
        network="hovernet", backbone="preact_resnet50", network_options=("mode=original",)
    )
    assert planned(asked, census(gland=sizes(180))).patch_size == 270


def test_a_default_that_was_given_stays_where_it_is_named():
    glands = census(gland=sizes(180))
    assert planned(request(steps=5000), glands).steps != 5000
    assert planned(request(steps=5000, fixed=("steps",)), glands).steps == 5000
    assert planned(request(patch_size=512), glands).patch_size == 512
    assert planned(request(patch_size=0, fixed=("patch_size",)), glands).patch_size == 512


def test_a_planned_training_goes_on_where_one_with_the_same_settings_stopped():
    asked = request()
    made = planned(asked, census(gland=sizes(180)))
    plan = plan_of(made)
    by_hand = request(hours=0.0, **plan.chosen)
    assert plan_of(by_hand) is None
    assert agreed_settings(made) == agreed_settings(by_hand)


def test_the_plan_is_told_in_lines_and_facts():
    plan = make_plan(request(hours=0.5, batch_size=2), census(gland=sizes(180)), LAPTOP)
    head, *lines = plan.lines()
    assert head == "the plan for 0.5 hours:"
    assert [line.split()[0] for line in lines] == list(PLANNED)
    assert (
        "work_mpp         2              the median gland is 180 um across, so 90 pixels"
        in lines[2]
    )
    assert lines[4].endswith("2              as it was given")
    facts = plan.facts()
    assert facts["plan hours"] == 0.5
    assert facts["plan batch_size"] == "2: as it was given"
    assert len(facts) == 1 + len(PLANNED)


measures = st.floats(0.5, 20_000)
machines = st.builds(
    MachineFacts,
    cores=st.integers(1, 128),
    memory_gb=st.floats(0.5, 4000),
    gpus_gb=st.lists(st.floats(1, 200), max_size=1).map(tuple),
)
GIVEN = {
    "network": st.sampled_from(["deeplabv3plus", "efficientdet_seg", "hovernet", "unet"]),
    "backbone": st.sampled_from(["mobilenet_v2", "resnet_18", "efficientnet_b0"]),
    "work_mpp": st.floats(0.1, 9),
    "patch_size": st.sampled_from([128, 256, 1024]),
    "batch_size": st.integers(1, 64),
    "steps": st.integers(1, 10**6),
    "slow_start_step": st.integers(0, 10**4),
    "validate_every": st.integers(1, 10**4),
    "precision": st.sampled_from(["float32", "mixed_bfloat16"]),
    "gradient_accumulation": st.integers(1, 9),
    "freeze_encoder_steps": st.integers(0, 4000),
    "recipe": st.sampled_from(["default", "original", "dedl"]),
    "depth_multiplier": st.sampled_from([0.25, 1.0]),
    "wsi_downsample": st.lists(st.floats(1, 64), max_size=2).map(tuple),
    "folds": st.sampled_from([0, 3]),
    "hours": st.floats(1e-4, 1e5),
}


@st.composite
def drawn_classes(draw):
    count = draw(st.integers(1, 3))
    found = {}
    for n in range(count):
        tenth, median, ninetieth = sorted(draw(st.tuples(measures, measures, measures)))
        found[f"class {n}"] = ObjectSizes(
            tenth_um=tenth, median_um=median, ninetieth_um=ninetieth,
            touching=draw(st.floats(0, 1)),
        )  # fmt: skip
    return found


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    of=drawn_classes(),
    mpp=st.lists(st.floats(0.05, 20), min_size=1, max_size=5),
    side=st.integers(200, 300_000),
    counts=st.integers(1, 10**6),
    machine=machines,
    options=st.fixed_dictionaries({}, optional=GIVEN),
)
def test_any_census_gives_a_training_that_can_be_asked_for_and_keeps_what_was_given(
    of, mpp, side, counts, machine, options
):
    if options.get("network") == "efficientdet_seg":
        options.pop("backbone", None)
        options.pop("depth_multiplier", None)
    try:
        asked = request(*of, **options)
    except ConfigError:  # they do not go together without a plan either
        reject()
    made = planned(asked, census(mpp=mpp, side=side, counts=counts, **of), machine)
    for name, value in options.items():
        if name in PLANNED and value != TrainRequest.__dataclass_fields__[name].default:
            assert getattr(made, name) == value, name
    assert STEPS[0] <= made.steps <= STEPS[1] or {"steps", "freeze_encoder_steps"} & options.keys()
    parts = made.batch_size % made.gradient_accumulation
    assert parts == 0 or {"batch_size", "recipe"} & options.keys()
    assert not made.hours
    finest_um = min(each.median_um for each in of.values())
    if not {"work_mpp", "wsi_downsample"} & options.keys():
        bound = max(finest_um / LEAST_ACROSS_PX, max(mpp) * 1.06)
        assert made.work_mpp <= min(bound, max(COARSEST_MPP, max(mpp) * 1.06))
