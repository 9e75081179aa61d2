"""Layers put on a slide of a Girder server, also in the place of those a task put there before."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from deeplab import __version__
from deeplab.annotations.formats.girder_json import write_girder_json
from deeplab.annotations.heatmap import Heatmap
from deeplab.annotations.pieces import MOST_CORNERS, Piece, in_pieces
from deeplab.annotations.shapes import Annotations
from deeplab.errors import ServerError
from deeplab.exchange.maker import is_corrected
from deeplab.files import scratch_folder
from deeplab.interrupt import finishing
from deeplab.report.words import listed
from deeplab.server.annotations import (
    AnnotationFile,
    AnnotationHead,
    annotation_heads,
    delete_annotation,
    post_annotation_files,
)
from deeplab.server.items import item_with
from deeplab.server.session import ServerLogin, Session

ON_SERVER = "layers on the server"
ORIGIN = "deeplab"  # the attribute by which a task knows its own layers again
Fact = str | int | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What puts layers on a slide, and of what it makes them.

    Attributes:
        task: name of the task.
        source: which of the things that it makes layers of, such as the name of a file.
        digest: of the content of that, where layers of the same content need not be put there
            again; "": they always are.
        facts: what else the layers are to say of it.
    """

    task: str
    source: str
    digest: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """What became of the layers of a slide.

    Attributes:
        posted: names of those put there, by what they are called in the annotations.
        present: those that were there already, of the same content.
        removed: names of earlier ones that are no longer there.
        kept: names of earlier ones that somebody has changed since, so they stay.
    """

    posted: Mapping[str, str] = field(default_factory=dict)
    present: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The layers that are there now of those given, as the annotations call them."""
        return (*self.posted, *self.present)


def post_layers(
    annotations: Annotations, heatmaps: Sequence[Heatmap], slide: str, login: ServerLogin
) -> None:
    """Put the layers on a slide of a Girder server as HistomicsUI shows them, all or none.

    Args:
        annotations: one annotation is made of each layer, or several of a very large one.
        heatmaps: one annotation is made of each.
        slide: id of the item or of its file.
        login: with the right to write there.

    Raises:
        AccessDeniedError, ServerError: the server refuses or fails.
    """
    with scratch_folder() as folder, Session(login) as session:
        item_id = item_with(session, slide).id
        with finishing(ON_SERVER):
            files = _files(folder / "layer.json", annotations, heatmaps)
            post_annotation_files(session, item_id, files)


def _files(
    path: Path,
    annotations: Annotations,
    heatmaps: Sequence[Heatmap] = (),
    mark: Mapping[str, Fact] | None = None,
) -> Iterator[AnnotationFile]:
    """Yield `path` again and again, each time with the next annotation in it.

    Args:
        path: the next takes the place of the one before.
        annotations: one annotation is made of each piece of each layer.
        heatmaps: one annotation is made of each.
        mark: what each is to say of its making beside its name.
    """
    for piece in in_pieces(annotations, MOST_CORNERS):
        told = dict(piece.attributes)
        if mark is not None:
            told[ORIGIN] = {**mark, "name": piece.names[0]}
        write_girder_json(path, replace(piece, attributes=told))
        yield AnnotationFile(path, piece.names)
    for heatmap in heatmaps:
        write_girder_json(path, replace(annotations, layers=()), heatmaps=[heatmap])
        yield AnnotationFile(path, (heatmap.layer,))


@contextmanager
def tell_what_is_there(done: Sequence[str]) -> Iterator[None]:
    """Add to a server's refusal in the block what has been put there before.

    Args:
        done: names of that; the block adds to it.
    """
    try:
        yield
    except ServerError as error:
        if not done:
            raise
        there = f"{listed(done)} had been put there before and will be replaced"
        raise type(error)(
            error.what, f"{error.problem}; {there} when this is started again"
        ) from error


def layers_in_place(session: Session, item_id: str, origin: Origin) -> Sequence[Mapping[str, Any]]:
    """Return what the layers say that a task made of a source on a slide.

    None is told where some of them say other facts than `origin`: then there is something to do.

    Raises:
        AccessDeniedError, ServerError: the server refuses or fails.
    """
    own = _own(annotation_heads(session, item_id), item_id, origin)
    whole = _whole(each for each in own if each.source == origin.source)
    told = [each.head.attributes[ORIGIN] for each in whole]
    same = all(each.get(key) == fact for each in told for key, fact in origin.facts.items())
    return told if same else []


def replace_layers(
    session: Session,
    item_id: str,
    annotations: Annotations,
    origin: Origin,
    *,
    only: Collection[str] = (),
) -> Replaced:
    """Put layers on a slide in the place of those that the same task made of the same source.

    A layer of very many corners is put there in pieces, and counts here as the one that it is. A
    layer of which pieces are missing is put there anew.

    The earlier ones go when the new ones are there, so that nothing is lost where the server fails
    in between; asked again, this does what is left. What anybody has changed since stays, and a
    new layer of its name is called `name (2)`. Layers of other tasks and of people are not touched.

    Args:
        session: with the right to write there.
        item_id: of the slide.
        annotations: the layers; their attributes are kept.
        origin: what makes them, and of what.
        only: names of the layers that this is about; none: all.

    Raises:
        AnnotationError: a layer cannot be one of HistomicsUI.
        AccessDeniedError, ServerError: the server refuses or fails.
    """
    own = _own(annotation_heads(session, item_id), item_id, origin)
    whole = _whole(each for each in own if origin.digest and each.digest == origin.digest)
    present = {each.layer for each in whole}
    stale = {
        each.head.id: each
        for each in own
        if each not in whole and each.source == origin.source and _is_meant(each.layer, only)
    }
    kept = {each.shown for each in stale.values() if not _is_untouched(each.head)}
    posted: dict[str, str] = {}
    there: list[str] = []
    with finishing(ON_SERVER):
        with tell_what_is_there(there):
            for name in annotations.names:
                if _is_meant(name, only) and name not in present:
                    posted[name] = _free(name, {*kept, *posted.values()})
                    layer = replace(annotations.layer(name), name=posted[name])
                    mark = _marked(origin, item_id, name)
                    _post(session, item_id, replace(annotations, layers=(layer,)), mark)
                    there.append(layer.name)
        removed = set(_remove(session, item_id, stale))
    return Replaced(
        posted=posted,
        present=tuple(n for n in annotations.names if n in present and _is_meant(n, only)),
        removed=_names(stale, removed.__contains__),
        kept=_names(stale, lambda id_: id_ not in removed),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Own:
    """A layer that the task has put there, or a piece of one.

    Attributes:
        head: its annotation.
        source: of the layer.
        digest: of the source's content.
        layer: what the source calls it.
        piece: which one it was when it was put there.
    """

    head: AnnotationHead
    source: str
    digest: str
    layer: str
    piece: Piece

    @property
    def shown(self) -> str:
        """What the layer is called now; all pieces of one are called alike."""
        return Piece.of(self.head.name, self.head.attributes).layer

    @classmethod
    def of(cls, head: AnnotationHead, item_id: str, origin: Origin) -> Self | None:
        """None where another made the layer, or it is a copy from another slide."""
        told = head.attributes.get(ORIGIN)
        if not isinstance(told, dict):
            return None
        if (told.get("task"), told.get("item")) != (origin.task, item_id):
            return None
        if head.is_as_made and told.get("name") != head.name:
            return None  # put there with the attributes of another one, as by a converted file
        source, digest, layer = (str(told.get(key, "")) for key in ("source", "digest", "layer"))
        piece = Piece.of(str(told.get("name")), head.attributes)
        return cls(head=head, source=source, digest=digest, layer=layer, piece=piece)


def _own(heads: Iterable[AnnotationHead], item_id: str, origin: Origin) -> list[_Own]:
    return list(filter(None, (_Own.of(head, item_id, origin) for head in heads)))


def _whole(own: Iterable[_Own]) -> list[_Own]:
    """Return those of which all pieces are there."""
    pieces: dict[tuple[str, str, str, int], list[_Own]] = {}
    for each in own:
        key = (each.source, each.digest, each.piece.layer, each.piece.count)
        pieces.setdefault(key, []).append(each)
    return [
        each
        for (*_, count), those in pieces.items()
        if len({one.piece.number for one in those}) == count
        for each in those
    ]


def _names(own: Mapping[str, _Own], is_meant: Callable[[str], bool]) -> tuple[str, ...]:
    """Return what the layers of these ids are called, each once."""
    return tuple(dict.fromkeys(each.shown for id_, each in own.items() if is_meant(id_)))


def _marked(origin: Origin, item_id: str, layer: str) -> dict[str, Fact]:
    """Return what a layer says of its making, beside its name."""
    return {
        **origin.facts,
        "task": origin.task,
        "version": __version__,
        "item": item_id,
        "source": origin.source,
        "digest": origin.digest,
        "layer": layer,
    }


def _post(
    session: Session, item_id: str, annotations: Annotations, mark: Mapping[str, Fact]
) -> None:
    with scratch_folder() as folder:
        files = _files(folder / "layer.json", annotations, mark=mark)
        post_annotation_files(session, item_id, files)


def _remove(session: Session, item_id: str, stale: Mapping[str, _Own]) -> Iterator[str]:
    """Remove what nobody has changed up to this moment; the ids of that."""
    for head in annotation_heads(session, item_id) if stale else ():
        if head.id in stale and _is_untouched(head):
            delete_annotation(session, head.id)
            yield head.id


def _is_untouched(head: AnnotationHead) -> bool:
    """Return whether no person has changed a layer, or marked it as corrected.

    A copy of a marked layer is as it was made, too.
    """
    return head.is_as_made and not is_corrected(head.attributes)


def _is_meant(name: str, only: Collection[str]) -> bool:
    return not only or name in only


def _free(name: str, taken: Collection[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free
