"""What is asked of a comparison of two models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deeplab.config.checks import check_kind_of_file
from deeplab.config.paths import coerce_paths


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareRequest:
    """Tell whether a model is better than another one, on slides that both were evaluated on.

    Attributes:
        old: table of figures (.csv) that the evaluation of one model wrote.
        new: that of the other one, against the same reference.
        output_table: CSV to write, a row a class and figure; None: none.
    """

    old: Path
    new: Path
    output_table: Path | None = None

    def __post_init__(self) -> None:
        coerce_paths(self)
        check_kind_of_file("output_table", self.output_table, ".csv")
