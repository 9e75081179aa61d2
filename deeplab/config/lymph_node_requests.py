"""What is asked about slides of lymph nodes: stages of patients, and how good detections are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deeplab.config.checks import check_at_least, check_kind_of_file, check_range
from deeplab.config.paths import coerce_paths
from deeplab.errors import ConfigError
from deeplab.files import real_place

# What the layers of metastases are called: here, in CAMELYON17, and in CAMELYON16.
METASTASES = ("tumour", "tumor", "metastasis", "metastases", "_0", "_1")
MERGE_UM = 75.0  # CAMELYON: five tumour cells; metastases that are nearer are one
FARTHEST_UM = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRequest:
    """Measure the metastases on slides of lymph nodes, and stage the patients.

    Attributes:
        prediction: folder of annotations or label masks that are called as the slides are, one
            such file, or a table (.csv) of slides and the categories of their largest lesions.
        output_lesions: CSV to write, one row a slide.
        output_stages: CSV to write, one row a patient.
        reference: CSV of given stages (patient, stage), to be compared with.
        slide: file or folder of the slides, for their um per pixel.
        classes: names of the layers of metastases.
        slide_mpp: um per level-0 pixel, where it is not known or known wrong; 0: as stated.
        merge_um: metastases that are nearer to one another are one.
    """

    prediction: Path
    output_lesions: Path | None = None
    output_stages: Path | None = None
    reference: Path | None = None
    slide: str = ""
    classes: tuple[str, ...] = METASTASES
    slide_mpp: float = 0.0
    merge_um: float = MERGE_UM

    def __post_init__(self) -> None:
        coerce_paths(self)
        _check_measures(self.classes, self.slide_mpp, self.merge_um)
        for name in ("output_lesions", "output_stages"):
            check_kind_of_file(name, getattr(self, name), ".csv")
        if not self.outputs and not self.reference:
            raise ConfigError("output_lesions", "", "given, or output_stages or a reference")
        if len(set(map(real_place, self.outputs))) < len(self.outputs):
            raise ConfigError("output_stages", self.output_stages, "another file than the lesions'")

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The files to write."""
        return tuple(path for path in (self.output_lesions, self.output_stages) if path)

    @property
    def stages_patients(self) -> bool:
        """Whether patients are staged."""
        return self.output_stages is not None or self.reference is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionRequest:
    """Judge detections of metastases by FROC, and slides by AUC, as CAMELYON16 did.

    Attributes:
        reference: folder of annotations or label masks of the slides that have metastases.
        prediction: folder with, for every slide, a table of detections (.csv: confidence, x, y) or
            annotations: heatmaps of metastases, whose peaks are detections, or else shapes that
            have a confidence.
        output_table: CSV to write: the figures, then the curve.
        slide: file or folder of the slides, for their um per pixel.
        normal: patterns of names (as "normal_*") of slides that have no metastasis and so no file
            in the reference.
        classes: names of the layers of metastases.
        slide_mpp: um per level-0 pixel, where it is not known or known wrong; 0: as stated.
        merge_um: metastases that are nearer to one another are one; half as far from one it is hit.
    """

    reference: Path
    prediction: Path
    output_table: Path | None = None
    slide: str = ""
    normal: tuple[str, ...] = ()
    classes: tuple[str, ...] = METASTASES
    slide_mpp: float = 0.0
    merge_um: float = MERGE_UM

    def __post_init__(self) -> None:
        coerce_paths(self)
        _check_measures(self.classes, self.slide_mpp, self.merge_um)
        check_kind_of_file("output_table", self.output_table, ".csv")


def _check_measures(classes: tuple[str, ...], slide_mpp: float, merge_um: float) -> None:
    if not classes:
        raise ConfigError("classes", "", "at least one name of a layer of metastases")
    check_at_least("slide_mpp", slide_mpp, 0)
    check_range("merge_um", merge_um, 0, FARTHEST_UM)
