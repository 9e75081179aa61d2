"""From the slides of a patient's lymph nodes to the pN stage, and how far two stagings agree.

The rules are those of CAMELYON17 (Bándi et al. 2019, IEEE TMI 38:550), a short form of the TNM
classification: five slides a patient, a node each, and isolated tumour cells make no node positive.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from deeplab.annotations.slide_names import without_folder
from deeplab.errors import SourceError
from deeplab.evaluation.lesions import Category, most_severe
from deeplab.exchange.beside import SLIDES, split_name
from deeplab.report.words import counted

Stage = Literal["pN0", "pN0(i+)", "pN1mi", "pN1", "pN2"]
STAGES: tuple[Stage, ...] = ("pN0", "pN0(i+)", "pN1mi", "pN1", "pN2")  # by severity
NODES = 5  # slides of a patient
FEW_NODES = 3  # positive nodes
_NODE = re.compile(r"(?P<patient>.+)_node_(?P<node>\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Node:
    """Which node of which patient a slide is of."""

    patient: str
    number: int


def node_of(slide: str) -> Node | None:
    """Return the node that a slide is of by its name, patient_017_node_4.tif; None: of none."""
    name = without_folder(slide)
    stem, suffix = split_name(name)
    found = _NODE.fullmatch(stem if suffix in SLIDES else name)
    return Node(found["patient"], int(found["node"])) if found else None


def stage_of(nodes: Sequence[Category]) -> Stage:
    """Return the stage of a patient with nodes of these categories."""
    worst = most_severe(nodes)
    if worst == "macro":
        positive = sum(category in ("micro", "macro") for category in nodes)
        return "pN1" if positive <= FEW_NODES else "pN2"
    return {"negative": STAGES[0], "itc": STAGES[1], "micro": STAGES[2]}[worst]


def check_patients(slides: Iterable[str]) -> None:
    """Refuse slides that are not five a patient.

    Raises:
        SourceError: a slide is not called after its node, or a patient has not five slides.
    """
    patients: dict[str, list[int]] = defaultdict(list)
    for slide in slides:
        node = node_of(slide)
        if node is None:
            raise SourceError(
                f"{slide} does not say whose node it is; to stage patients call slides as"
                " patient_017_node_4 is"
            )
        patients[node.patient].append(node.number)
    for patient, numbers in sorted(patients.items()):
        if len(set(numbers)) != len(numbers):
            raise SourceError(f"{patient} has a node that is on two slides; leave one of them away")
        if len(numbers) != NODES:
            told = ", ".join(map(str, sorted(numbers)))
            raise SourceError(
                f"{patient} has {counted(len(numbers), 'slide')} (of node {told}), but a stage"
                f" takes {NODES}; add the others, or ask for the lesions only"
            )


def stage_patients(slides: Mapping[str, Category]) -> dict[str, Stage]:
    """Return the stage of each patient, by the categories of the slides of the nodes.

    Raises:
        SourceError: as `check_patients` does.
    """
    check_patients(slides)
    nodes: dict[str, list[Category]] = defaultdict(list)
    for slide, category in slides.items():
        if node := node_of(slide):
            nodes[node.patient].append(category)
    return {patient: stage_of(categories) for patient, categories in sorted(nodes.items())}


def quadratic_kappa(first: Sequence[Stage], second: Sequence[Stage]) -> float:
    """Return how far two stagings of the same patients agree: 1 wholly, 0 as chance would.

    Cohen 1968, Psychological Bulletin 70:213, with weights that grow with the square of the
    distance. NaN where all patients have one stage in both, so that chance agrees wholly.
    """
    counts = np.zeros((len(STAGES), len(STAGES)))
    for one, other in zip(first, second, strict=True):
        counts[STAGES.index(one), STAGES.index(other)] += 1
    places = np.arange(len(STAGES))
    weights = (places[:, None] - places) ** 2
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / max(counts.sum(), 1)
    by_chance = float((weights * expected).sum())
    return 1 - float((weights * counts).sum()) / by_chance if by_chance else float("nan")
