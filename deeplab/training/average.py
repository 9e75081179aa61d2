"""The flow of an averaging: models of a folder in, their mean out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deeplab.bundles.archive import MAX_BYTES
from deeplab.bundles.average import average_bundles
from deeplab.bundles.learnt_appearance import facts_to_tell
from deeplab.bundles.save import save_bundle
from deeplab.config.progress import Progress
from deeplab.config.requests import AverageRequest
from deeplab.device import choose_device
from deeplab.errors import ConfigError, TrainingError
from deeplab.files import check_spared, check_writable, safe_name, scratch_folder
from deeplab.server.folder_files import download_item, named_items
from deeplab.server.session import ServerLogin, Session

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AverageResult:
    """The model that was written, and what it is the mean of, in words."""

    model: Path
    parts: tuple[str, ...]

    def summary(self) -> str:
        """Return a few lines for a person."""
        return "\n".join([f"model {self.model}, the average of", *(f"  {p}" for p in self.parts)])


def average_models(request: AverageRequest, progress: Progress) -> AverageResult:
    """Average models as `request` says and write the bundle of their mean.

    Raises:
        TrainingError: there are fewer than two models, or one that is named is not there.
        ConfigError, BundleError, ServerError, OutputError: as named.
    """
    check_writable(request.output_model)
    choose_device(-1)
    with _models(request, progress) as paths:
        if len(paths) < 2:
            raise TrainingError(
                f"an average takes two models or more, but {request.source} has {len(paths)}"
            )
        shares = request.weights or (1.0,) * len(paths)
        if len(shares) != len(paths):
            names = ", ".join(path.name for path in paths)
            raise ConfigError("weights", shares, f"{len(paths)}, one for each of {names}")
        check_spared([request.output_model], paths)
        bundle = average_bundles(paths, shares)
        save_bundle(bundle.network, bundle.card, request.output_model)
    parts = tuple(str(part) for part in facts_to_tell(bundle.card.training).values())
    return AverageResult(model=request.output_model, parts=parts)


@contextmanager
def _models(request: AverageRequest, progress: Progress) -> Iterator[list[Path]]:
    """The models of a request as files, in the order of its weights."""
    source = Path(request.source)
    if request.api_url:
        with scratch_folder() as scratch:
            yield _fetched(request, scratch, progress)
    elif source.is_dir():
        found = {path.name: path for path in sorted(source.glob("*.zip"))}
        yield [found[name] for name in _chosen(list(found), request)]
    else:
        yield [source, *map(Path, request.models)]


def _fetched(request: AverageRequest, scratch: Path, progress: Progress) -> list[Path]:
    with Session(ServerLogin(request.api_url, request.token)) as session:
        items = named_items(session, request.source, "")
        found = {item.name: item for item in items if item.name.endswith(".zip")}
        names = _chosen(list(found), request)
        paths = []
        for number, name in enumerate(names):
            progress("fetch models", number, len(names))
            # Its name for messages and the card; a folder of its own, for names may be alike.
            path = scratch / str(number) / safe_name(name)
            path.parent.mkdir()
            download_item(session, found[name], path, limit_bytes=MAX_BYTES)
            paths.append(path)
        progress("fetch models", len(names), len(names))
    return paths


def _chosen(names: Sequence[str], request: AverageRequest) -> Sequence[str]:
    missing = [name for name in request.models if name not in names]
    if missing:
        raise TrainingError(
            f"{request.source} has no model {missing[0]} (there are: {', '.join(names) or 'none'})"
        )
    return request.models or names
