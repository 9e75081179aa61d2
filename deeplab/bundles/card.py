"""The card of a model: what it is, what it was trained for, and how to use it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from deeplab.config.classes import ClassList, SlideClass, parse_colour
from deeplab.config.families import config_from_json, config_to_json, family_name
from deeplab.config.network import NetworkConfig
from deeplab.errors import BundleError, ConfigError
from deeplab.files import file_digest

CARD_NAME = "card.json"  # in a bundle
FORMAT = "histomics-deeplab"
FORMAT_VERSION = 1
MAX_TILE = 8193  # work pixels; at a stride of 2 its maps take gigabytes
MAX_NAME = 1000  # letters
MAX_TEXT = 100_000
# Among the facts of a training: what a model is made of, for programs.
MADE_OF = SLIDES, LAYERS, MODELS = "slides", "layers", "models"
Fact = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a model says of itself.

    Attributes:
        config: Every knob of the network.
        classes: Classes 1, 2, ...; label 0 is the background.
        work_mpp: um per pixel the network works at; None if the model does not say (the ancestor's
            models do not), then whoever runs it must.
        mpp_range: Least and greatest um per pixel at which it may be run; None for `work_mpp` only.
        tile: Side in work pixels of the tiles to predict, one that the network's tiling accepts.
        halo: Work pixels to cut off around each, a multiple of the tiling's.
        trained_on: The data, in words.
        training: Facts of the training: steps, seed, date ...
        metrics: Figures on data held out, by name.
        versions: Of the programs that made the model.
        demonstration: Whether it only shows how things work.
        notice: What a user must know before using its results.
    """

    config: NetworkConfig
    classes: ClassList
    work_mpp: float | None
    mpp_range: tuple[float, float] | None = None
    tile: int = 1025
    halo: int = 128
    trained_on: str = ""
    training: Mapping[str, Fact] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    demonstration: bool = False
    notice: str = ""

    def __post_init__(self) -> None:
        count = self.config.class_count
        if len(self.classes) != count:
            raise ConfigError("classes", ", ".join(self.classes.names), f"{count} names")
        if self.work_mpp is not None and not 0 < self.work_mpp < 1000:
            raise ConfigError("work_mpp", self.work_mpp, "above 0 um per pixel")
        if self.mpp_range is not None:
            low, high = self.mpp_range
            if not 0 < low <= high < 1000:
                raise ConfigError("mpp_range", self.mpp_range, "two rising um per pixel")
            if self.work_mpp is not None and not low <= self.work_mpp <= high:
                raise ConfigError("work_mpp", self.work_mpp, f"from {low:g} to {high:g}")
        if self.tile > MAX_TILE:
            raise ConfigError("tile", self.tile, f"at most {MAX_TILE}")
        if self.halo > self.tile // 2:
            raise ConfigError("halo", self.halo, f"at most half of the tile, which is {self.tile}")
        self.config.tiling.check(tile=self.tile, halo=self.halo)

    @property
    def family(self) -> str:
        """The name of the network's family."""
        return family_name(self.config)

    @property
    def slides(self) -> tuple[str, ...]:
        """The ids of the Girder items that it is known to have learnt from."""
        return tuple(str(self.training.get(SLIDES) or "").split())

    @property
    def models(self) -> tuple[str, ...]:
        """The SHA-256 of the models that it is known to be made of, the nearest first."""
        return tuple(str(self.training.get(MODELS) or "").split())

    def accepts_mpp(self, mpp: float) -> bool:
        """Return whether the model may be run at `mpp` um per pixel, within 2 % of rounding."""
        if self.mpp_range is not None:
            low, high = self.mpp_range
        elif self.work_mpp is not None:
            low = high = self.work_mpp
        else:
            return True
        return low / 1.02 <= mpp <= high * 1.02


def slides_as_fact(ids: Iterable[str]) -> dict[str, Fact]:
    """Return which Girder items a model has learnt from as a fact of its training, {} for none."""
    told = " ".join(dict.fromkeys(ids))
    return {SLIDES: told} if told else {}


def layers_as_fact(ids: Iterable[str]) -> dict[str, Fact]:
    """Return which annotations of a server a model learnt from as a fact of its training.

    {} for none, or for more than a card tells.
    """
    told = " ".join(dict.fromkeys(ids))
    return {LAYERS: told} if 0 < len(told) <= MAX_TEXT else {}


def models_as_fact(made_of: Sequence[tuple[Path, Card]]) -> dict[str, Fact]:
    """Return which models one is made of as a fact of its training, {} for none.

    Those that these are made of come after them, also where their files are gone.

    Args:
        made_of: file and card of each.
    """
    own = [file_digest(path) for path, _ in made_of]
    told = " ".join(dict.fromkeys([*own, *(each for _, card in made_of for each in card.models)]))
    return {MODELS: told} if told else {}


def card_to_json(card: Card) -> str:
    """Return the card as text."""
    plain = ("work_mpp", "tile", "halo", "trained_on", "demonstration", "notice")
    value = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "family": card.family,
        "config": config_to_json(card.config),
        "classes": [
            {"name": c.name, "colour": "#{:02x}{:02x}{:02x}".format(*c.colour)}
            for c in card.classes
        ],
        "mpp_range": None if card.mpp_range is None else list(card.mpp_range),
        **{name: getattr(card, name) for name in plain},
        **{name: dict(getattr(card, name)) for name in ("training", "metrics", "versions")},
    }
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def card_from_json(text: str | bytes, bundle: str | Path) -> Card:
    """Return the card that `card_to_json` wrote, checked; `bundle` is what errors call it.

    Raises:
        BundleError: it is not a card of this format, or one of its values is not possible.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        # What cannot be written again, as half of a pair of surrogates, cannot be shown either.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise BundleError(bundle, "has a card.json that is not JSON") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise BundleError(bundle, f"has a card.json that is not of the format {FORMAT}")
    if value.get("format_version") != FORMAT_VERSION:
        raise BundleError(
            bundle,
            f"is of format version {value.get('format_version')}, but this program reads version "
            f"{FORMAT_VERSION}; use a newer version of the program",
        )
    try:
        return _card(value)
    except ConfigError as error:
        raise BundleError(bundle, f"has a card.json in which {error}") from error


def _refuse_constant(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")


def _card(value: Mapping[str, Any]) -> Card:
    # The name that the first bundles have for it.
    value = {"work_mpp" if name == "mpp_work" else name: value[name] for name in value}
    known = {f.name for f in fields(Card)} | {"format", "format_version", "family"}
    for name in value:
        if name not in known:
            raise ConfigError("entry", name, "one that a card can have")
    for name in ("family", "config", "classes", "work_mpp"):
        if name not in value:
            raise ConfigError("card", sorted(value), f"one with {name}")
    mpp_range = value.get("mpp_range")
    if mpp_range is not None:
        numbers = _of_type("mpp_range", mpp_range, list)
        if len(numbers) != 2:
            raise ConfigError("mpp_range", numbers, "two numbers")
        mpp_range = (_number("mpp_range", numbers[0]), _number("mpp_range", numbers[1]))
    work_mpp = value["work_mpp"]
    facts = {
        name: _facts(name, value.get(name, {})) for name in ("training", "metrics", "versions")
    }
    return Card(
        config=config_from_json(
            _of_type("family", value["family"], str), _of_type("config", value["config"], dict)
        ),
        classes=ClassList(
            tuple(_slide_class(c) for c in _of_type("classes", value["classes"], list))
        ),
        work_mpp=None if work_mpp is None else _number("work_mpp", work_mpp),
        mpp_range=mpp_range,
        tile=_of_type("tile", value.get("tile", 1025), int),
        halo=_of_type("halo", value.get("halo", 128), int),
        trained_on=_of_type("trained_on", value.get("trained_on", ""), str),
        training=facts["training"],
        metrics={name: _number(name, number) for name, number in facts["metrics"].items()},
        versions={name: str(text) for name, text in facts["versions"].items()},
        demonstration=_of_type("demonstration", value.get("demonstration", False), bool),
        notice=_of_type("notice", value.get("notice", ""), str),
    )


def _of_type(name: str, value: Any, kind: type) -> Any:  # noqa: ANN401  JSON is any value
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigError(name, value, f"a {kind.__name__}")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise ConfigError(name, value, f"at most {MAX_TEXT} letters long")
    return value


def _number(name: str, value: object) -> float:
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        number = math.inf
    if isinstance(value, bool) or not math.isfinite(number):
        raise ConfigError(name, value, "a number")
    return number


def _facts(name: str, value: object) -> dict[str, Fact]:
    if not isinstance(value, dict) or any(isinstance(v, dict | list) for v in value.values()):
        raise ConfigError(name, value, "names with one value each")
    return value


def _slide_class(value: object) -> SlideClass:
    if not isinstance(value, dict) or set(value) != {"name", "colour"}:
        raise ConfigError("class", value, "a name and a colour")
    name = _of_type("class name", value["name"], str)
    if len(name) > MAX_NAME:
        raise ConfigError("class name", name, f"at most {MAX_NAME} letters long")
    return SlideClass(name, parse_colour(_of_type("colour", value["colour"], str)))
