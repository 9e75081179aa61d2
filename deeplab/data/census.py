"""What there is to learn from: slides, area and objects of each class, odd names, what is left out.

A value for the log, the dry run and the report; it holds no pixels and no shapes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from deeplab.annotations.formats.instance_images import UNTYPED as UNTYPED_OBJECTS
from deeplab.annotations.formats.type_info import UNTYPED as UNTYPED_NUCLEI
from deeplab.data.object_sizes import ObjectSizes
from deeplab.data.split import Side
from deeplab.data.truth import AnnotatedSlide
from deeplab.exchange.labelling import Labelling, nearest
from deeplab.exchange.samples import LeftOut
from deeplab.report.words import counted, said_once

UM2_PER_MM2 = 1e6
GAP = "  "
NOT_MEASURED: Mapping[str, ObjectSizes] = MappingProxyType({})
UNTYPED_LAYERS = frozenset({UNTYPED_NUCLEI, UNTYPED_OBJECTS})  # as files without types are read


@dataclass(frozen=True, slots=True)
class Amount:
    """Objects, and their area; where two overlap it counts twice."""

    objects: int = 0
    area_mm2: float = 0.0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.objects + other.objects, self.area_mm2 + other.area_mm2)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideCount:
    """One slide of a census; `amounts` has all names asked for, `patient` "" is not known.

    `kind` says what the pixels are where they are not RGB bytes, as "5 channels, 16 bit";
    `remarks` what reading what is drawn took for what, mended or left out; `fold` in which of all
    folds it is held out, 0 where these are not told.
    """

    name: str
    width_level0: int
    height_level0: int
    mpp: float
    kind: str
    patient: str
    side: Side
    amounts: Mapping[str, Amount]
    remarks: tuple[str, ...] = ()
    fold: int = 0

    @classmethod
    def of(
        cls, slide: AnnotatedSlide, side: Side, rules: Labelling, *, fold: int = 0
    ) -> SlideCount:
        """Return what is on a slide."""
        amounts = dict.fromkeys(rules.asked, Amount())
        for layer in slide.layers:
            if layer.meaning:
                amounts[layer.meaning] += Amount(layer.objects, layer.area_um2 / UM2_PER_MM2)
        return cls(
            name=slide.name,
            width_level0=slide.slide.width_level0,
            height_level0=slide.slide.height_level0,
            mpp=slide.slide.mpp.mean,
            kind=slide.slide.kind,
            patient=slide.patient,
            side=side,
            amounts=amounts,
            remarks=slide.remarks,
            fold=fold,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OddName:
    """A layer whose name is none of those asked for.

    Attributes:
        drawn: its name.
        taken_for: what it is taken for all the same; "": it is not learnt from.
        near: the name that it may be a misspelling of; "": none.
        advice: what it means that it is not learnt from, and what to do, as the end of a sentence.
        slides: that have it.
        objects: on all of these.
    """

    drawn: str
    taken_for: str
    near: str
    slides: int
    objects: int
    advice: str = ""

    def sentence(self) -> str:
        """Return what is done with it and what to do, for a person."""
        objects, slides = counted(self.objects, "object"), counted(self.slides, "slide")
        where = f"layer {self.drawn!r} ({objects} on {slides})"
        if self.taken_for:
            return f"{where} is taken for {self.taken_for}"
        if self.near:
            alias = f"{self.drawn.strip()}={self.near}"
            return f'{where} is not learnt from; if it is {self.near}, set aliases to "{alias}"'
        return f"{where} is not learnt from{self.advice}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """What there is to learn from.

    Attributes:
        classes: in the order of their labels.
        others: the layers of another meaning, as the ignored one, where there are such.
        slides: by name.
        left_out: slides that are not learnt from, and why.
        odd_names: of layers; those that may be misspelt first.
        smaller_than_patch: slides that are, at the finest working scale.
        idle_aliases: aliases whose name no layer has.
        sizes: of the objects of each class that has some, where they were measured.
    """

    classes: tuple[str, ...]
    others: tuple[str, ...] = ()
    slides: tuple[SlideCount, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    odd_names: tuple[OddName, ...] = ()
    smaller_than_patch: tuple[str, ...] = ()
    idle_aliases: tuple[str, ...] = ()
    sizes: Mapping[str, ObjectSizes] = field(default_factory=dict)

    @property
    def asked(self) -> tuple[str, ...]:
        """All names that mean something."""
        return (*self.classes, *self.others)

    @property
    def undrawn(self) -> tuple[str, ...]:
        """The classes of which there is no object on any slide."""
        return tuple(name for name in self.classes if not self.total(name).objects)

    @property
    def drawn(self) -> tuple[str, ...]:
        """The names of all layers with objects, as far as they are known."""
        meant = [name for name in self.asked if self.total(name).objects]
        return (*meant, *(o.drawn for o in self.odd_names if o.objects and not o.taken_for))

    def on(self, side: Side) -> tuple[SlideCount, ...]:
        """Return the slides of one side of the split."""
        return tuple(slide for slide in self.slides if slide.side == side)

    def total(self, name: str, side: Side | None = None) -> Amount:
        """Return all objects of a name, on all slides or on those of one side."""
        slides = self.slides if side is None else self.on(side)
        return sum((slide.amounts.get(name, Amount()) for slide in slides), Amount())

    def summary(self) -> list[str]:
        """Short lines for the log of a training."""
        lines = [*self._folds()] or [
            f"{counted(len(self.on('train')), 'slide')} to learn from, "
            f"{len(self.on('validation'))} held out, {len(self.left_out)} left out"
        ]
        for name in self.asked:
            total = self.total(name)
            if name in self.others and not total.objects:
                continue
            slides = sum(slide.amounts[name].objects > 0 for slide in self.slides)
            lines.append(
                f"{name}: {counted(total.objects, 'object')}, {total.area_mm2:.4g} mm2 "
                f"on {counted(slides, 'slide')}"
                + (f", {self.sizes[name]}" if name in self.sizes else "")
            )
        return lines

    def remarks(self) -> list[str]:
        """Return what a person should look at before a training: left out, odd or missing."""
        return [
            *(f"left out: {entry.name} {entry.why}" for entry in self.left_out),
            *said_once((slide.name, said) for slide in self.slides for said in slide.remarks),
            *(f"{name} is smaller than a patch" for name in self.smaller_than_patch),
            *(odd.sentence() for odd in self.odd_names),
            *(f"no layer has the first name of the alias {alias}" for alias in self.idle_aliases),
            *(f"nobody drew {name}{self._hint(name)}" for name in self.undrawn),
        ]

    def text(self) -> str:
        """Return all of it as a table and remarks, in characters of one width."""
        drawn = [name for name in self.asked if self.total(name).objects]
        head = ["slide", "pixels", "um/px", "kind", "patient", self._division]
        head += [f"{name} {unit}" for name in drawn for unit in ("n", "mm2")]
        rows = [_cells(slide, drawn) for slide in self._in_order()]
        total = ["total", *[""] * 5]
        total += _amounts([self.total(name) for name in drawn])
        table = _aligned([head, *rows, total], left={0, 3, 4, 5})
        return "\n".join([*table, "", *self.summary(), *self.remarks()])

    @property
    def _division(self) -> str:
        """What the slides are divided into."""
        return "fold" if any(slide.fold for slide in self.slides) else "side"

    def _in_order(self) -> list[SlideCount]:
        """Return the slides, those of a fold together."""
        return sorted(self.slides, key=lambda slide: slide.fold)

    def _folds(self) -> Iterator[str]:
        """Yield what each fold has, where the slides are told by fold."""
        if self._division == "side":
            return
        folds = sorted({slide.fold for slide in self.slides})
        yield (
            f"{counted(len(self.slides), 'slide')} in {len(folds)} folds, "
            f"{len(self.left_out)} left out"
        )
        for fold in folds:
            held = [slide for slide in self.slides if slide.fold == fold]
            patients = len({slide.patient or f"slide {slide.name}" for slide in held})
            drawn = [
                f"{name} {counted(sum(slide.amounts[name].objects for slide in held), 'object')}"
                for name in self.classes
            ]
            yield (
                f"fold {fold} holds out {counted(len(held), 'slide')} of "
                f"{counted(patients, 'patient')} ({', '.join(drawn)}) and learns from "
                f"{len(self.slides) - len(held)}"
            )

    def _hint(self, name: str) -> str:
        near = nearest(name, tuple(odd.drawn for odd in self.odd_names if not odd.taken_for))
        return f"; did you mean {near}?" if near else ""


def take_census(
    rules: Labelling,
    slides: Sequence[tuple[AnnotatedSlide, Side]],
    left_out: Sequence[LeftOut],
    *,
    smaller_than_patch: Sequence[str] = (),
    folds: Sequence[int] = (),
    sizes: Mapping[str, ObjectSizes] = NOT_MEASURED,
) -> Census:
    """Return the census of opened slides and their sides, and of those that are not learnt from.

    With `folds`, in which each slide is held out, it is one of all folds; `sizes` are those of the
    objects, by class.
    """
    drawn = [
        *({layer.name: layer.objects for layer in slide.layers} for slide, _ in slides),
        *(entry.drawn for entry in left_out),
    ]
    return Census(
        classes=rules.classes,
        others=rules.asked[len(rules.classes) :],
        slides=tuple(
            SlideCount.of(slide, side, rules, fold=fold)
            for (slide, side), fold in zip(slides, folds or [0] * len(slides), strict=True)
        ),
        left_out=tuple(left_out),
        odd_names=_odd_names(rules, drawn),
        smaller_than_patch=tuple(smaller_than_patch),
        idle_aliases=rules.idle_aliases({name for layers in drawn for name in layers}),
        sizes=sizes,
    )


def _odd_names(rules: Labelling, drawn: Sequence[Mapping[str, int]]) -> tuple[OddName, ...]:
    """Return the layers of slides, each objects by name, that are not called as asked for."""
    on, objects = Counter[str](), Counter[str]()
    for layers in drawn:
        on.update(layers.keys())
        objects.update(layers)
    odd = [
        OddName(
            drawn=name,
            taken_for=meaning,
            near="" if meaning else rules.near(name),
            slides=on[name],
            objects=objects[name],
            advice=_advice(name, rules),
        )
        for name in on
        if (meaning := rules.meaning(name)) != name
    ]
    return tuple(sorted(odd, key=lambda each: (not each.near, not each.taken_for, each.drawn)))


def _advice(name: str, rules: Labelling) -> str:
    """Return what becomes of a layer that is none of those asked for, and what else can be done."""
    if name in UNTYPED_LAYERS and len(rules.classes) > 1:
        return f'; if nobody knows of which class its objects are, set untyped_layer to "{name}"'
    if rules.unjudged != "nowhere":
        return ""
    said = ": what it alone outlines counts as background; if that is wrong, add it to classes"
    meanings = (rules.classes[0] if len(rules.classes) == 1 else "", rules.ignore_class)
    aliases = [f'"{name.strip()}={meaning}"' for meaning in meanings if meaning]
    return said + (f", or set aliases to {' or '.join(aliases)}" if aliases else "")


def _cells(slide: SlideCount, drawn: Sequence[str]) -> list[str]:
    size = f"{slide.width_level0:,} x {slide.height_level0:,}"
    division = str(slide.fold) if slide.fold else slide.side
    cells = [slide.name, size, f"{slide.mpp:.4f}", slide.kind, slide.patient, division]
    return cells + _amounts([slide.amounts[each] for each in drawn])


def _amounts(amounts: Sequence[Amount]) -> list[str]:
    return [text for a in amounts for text in (f"{a.objects:,}", f"{a.area_mm2:.4f}")]


def _aligned(rows: Sequence[Sequence[str]], left: set[int]) -> list[str]:
    """Rows as lines; columns `left` begin, the others end, at the same place; empty ones go."""
    columns = [
        [cell.ljust(width) if place in left else cell.rjust(width) for cell in column]
        for place, column in enumerate(zip(*rows, strict=True))
        if any(column[1:]) and (width := max(map(len, column)))
    ]
    return [GAP.join(line).rstrip() for line in zip(*columns, strict=True)]
