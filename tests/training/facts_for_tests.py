"""Facts of a training that never was."""

import numpy as np

from deeplab.config.classes import ClassList
from deeplab.evaluation.semantic import Confusion
from deeplab.training.history import CheckNote, History, StepNote
from deeplab.training.reporting.examples import Example
from deeplab.training.reporting.facts import SlideFact, TrainingReportFacts
from tests.training.validations_for_tests import region, validation

WICKED = "<script>alert('$x$')</script>"
CLASSES = ClassList.named(["tumour", WICKED])
SLIDES = tuple(
    SlideFact(
        name=name, patient=patient, side=side, mpp=0.5, objects=(40, 50), area_mm2=(1.25, 0.5)
    )
    for name, patient, side in (
        ("t1.svs", "P1", "train"),
        ("t2.svs", "P1", "train"),
        ("t3.svs", "P2", "train"),
        ("a", "P3", "validation"),
        ("b", "P4", "validation"),
    )
)
VALIDATION = validation([region(1000), region(200, at=(64, 0)), region(0, slide="b")])


def history(scores, steps=100):
    """Losses that fall and validations with these shares of right pixels."""
    told = History()
    for step in range(10, steps + 1, 10):
        told = told.with_step(
            StepNote(step=step, loss=10 / step, learning_rate=1e-3, waiting_share=0.04)
        )
    for number, right in enumerate(scores, start=1):
        counts = Confusion.of(np.diag([100] * 3) * right + 5)
        note = CheckNote(step=steps * number // len(scores), tally=counts)
        told = told.with_check(note)
    return told


def example(kind="worst"):
    panels = np.random.default_rng(0).integers(0, 256, (40, 130, 3), np.uint8)
    return Example(
        kind=kind, slide="a", x_level0=64, y_level0=0, error_share=0.125, bar_um=20.0,
        commonest_error=("tumour", WICKED), panels=panels,
    )  # fmt: skip


FACTS = TrainingReportFacts(
    model="m.zip",
    classes=CLASSES,
    work_mpp=0.5,
    mpp_range=(0.33, 0.75),
    source="slides",
    slides=SLIDES,
    left_out={"bare.tiff": "does not state its microns per pixel"},
    history=history([1, 3, 2]),
    planned_steps=100,
    kept_step=66,
    validation=VALIDATION,
    examples=(example("best"), example()),
    settings={"Network": "DeepLabV3+ on mobilenet_v2"},
    all_settings={"steps": "100"},
    versions={"TensorFlow": "2.21"},
    seed=17,
    seconds=7265,
    patches_per_s=1.25,
    peak_memory_gb={"main memory": 3.456},
    finished="today",
)
