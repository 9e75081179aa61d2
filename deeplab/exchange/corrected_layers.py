"""Which layers of a slide are true where a training learns from corrections only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deeplab.annotations.formats.girder_json import FileAnnotation
from deeplab.annotations.pieces import piece_of
from deeplab.errors import AnnotationError
from deeplab.exchange.labelling import Labelling
from deeplab.exchange.maker import corrected_within, is_corrected, is_remark, maker
from deeplab.report.words import listed


def choose_corrected(
    entries: Sequence[FileAnnotation], rules: Labelling, slide: str
) -> list[FileAnnotation]:
    """Return the layers that people drew or have marked as corrected, of those of a slide.

    A layer that a task made and nobody has marked is not among them, also where it is called as
    one that is.

    Args:
        entries: of a file of all its layers; what is none stays among them.
        rules: by which layers become labels.
        slide: its name.

    Raises:
        AnnotationError: of a class there is nothing but what a task made and nobody has marked, so
            that nobody has looked whether it is all there; or layers are corrected in regions only,
            and these are not known or not marked.
    """
    chosen = [each for each in entries if each.prefix is None or _is_true(each)]
    marked = [_attributes(each) for each in chosen if is_corrected(_attributes(each))]
    runs = {str(each.get("run")) for each in marked if each.get("run")}
    there = {_meaning(each, rules) for each in chosen}
    unmarked = dict.fromkeys(
        meaning
        for each in entries
        if not _is_true(each) and not is_remark(_attributes(each))
        if (meaning := _meaning(each, rules)) and meaning not in there
        # Regions of another run say nothing of what was corrected in this one.
        if meaning != rules.exhaustive_layer or str(_attributes(each).get("run")) in runs
    )
    if unmarked:
        problem = (
            f"has layers of a task that nobody has marked as corrected: {listed(tuple(unmarked))}"
        )
        raise AnnotationError(slide, f"{problem}; mark them, or delete them")
    for within in filter(None, map(corrected_within, marked)):
        if not rules.exhaustive_layer or rules.meaning(within) != rules.exhaustive_layer:
            problem = f"is corrected within the layer {within} only; name it as exhaustive_layer"
            raise AnnotationError(slide, problem)
        if rules.exhaustive_layer not in there:
            problem = f"is corrected within a layer {within} that is not there any more"
            raise AnnotationError(slide, f"{problem}; mark its layers anew")
    return chosen


def _is_true(entry: FileAnnotation) -> bool:
    attributes = _attributes(entry)
    return is_corrected(attributes) or not maker(attributes)


def _meaning(entry: FileAnnotation, rules: Labelling) -> str:
    return rules.meaning(piece_of(entry.annotation).layer)


def _attributes(entry: FileAnnotation) -> Mapping[str, object]:
    attributes = entry.annotation.get("attributes")
    return attributes if isinstance(attributes, dict) else {}
