"""Who made a layer, by what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping

# Tasks whose layers say something of other layers: what was missed there, what was measured.
REMARKING = frozenset({"EvaluateSegmentation", "ExtractFeaturesFromAnnotations", "TrainNetwork"})


def maker(attributes: object) -> str:
    """Return the task that outlined a layer, told by its attributes as HistomicsTK's tasks do.

    It is "" where a person did, also when the layer came to the server in a file.
    """
    cli = attributes.get("cli") if isinstance(attributes, Mapping) else None
    return cli if isinstance(cli, str) else ""


def is_remark(attributes: object) -> bool:
    """Return whether a layer of these attributes only says something of other layers."""
    return maker(attributes) in REMARKING
