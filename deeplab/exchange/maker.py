"""Who made a layer, and who has corrected it, by what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping

from deeplab.annotations.formats.girder_json import CORRECTED

# Tasks whose layers say something of other layers: what was missed there, what was measured.
REMARKING = frozenset({"EvaluateSegmentation", "ExtractFeaturesFromAnnotations", "TrainNetwork"})
WITHIN = "within"  # of the mark of a layer that is corrected in regions only: their layer


def maker(attributes: object) -> str:
    """Return the task that outlined a layer, told by its attributes as HistomicsTK's tasks do.

    It is "" where a person did, also when the layer came to the server in a file, and where a
    person has marked all of the layer as corrected.
    """
    cli = attributes.get("cli") if isinstance(attributes, Mapping) else None
    if not isinstance(cli, str) or (is_corrected(attributes) and not corrected_within(attributes)):
        return ""
    return cli


def is_corrected(attributes: object) -> bool:
    """Return whether a person has marked a layer of these attributes as corrected."""
    return _mark(attributes) is not None


def corrected_within(attributes: object) -> str:
    """Return the layer of the regions in which a layer is corrected; "": all of it is, or none."""
    within = (_mark(attributes) or {}).get(WITHIN)
    return within if isinstance(within, str) else ""


def is_remark(attributes: object) -> bool:
    """Return whether a layer of these attributes only says something of other layers."""
    return maker(attributes) in REMARKING


def _mark(attributes: object) -> Mapping[str, object] | None:
    mark = attributes.get(CORRECTED) if isinstance(attributes, Mapping) else None
    return mark if isinstance(mark, Mapping) else None
