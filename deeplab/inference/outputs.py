"""Write what a segmentation found: all the files asked for, or none."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deeplab.annotations.girder_json import write_girder_json
from deeplab.annotations.heatmap import Heatmap
from deeplab.annotations.shapes import Annotations
from deeplab.files import scratch_folder, whole_file
from deeplab.geometry.frames import Mpp
from deeplab.server.annotations import post_annotations
from deeplab.server.items import item_with
from deeplab.server.session import ServerLogin, Session

COLUMNS = (
    "class", "x_level0", "y_level0", "area_um2", "perimeter_um", "confidence",
    "left_level0", "top_level0", "right_level0", "bottom_level0",
)  # fmt: skip


@contextmanager
def all_or_none(writers: Mapping[Path, Callable[[Path], None]]) -> Iterator[None]:
    """Write every file; they appear when the block ends well, and none of them otherwise.

    Raises:
        OutputError, AnnotationError: as the writers do.
    """
    with ExitStack() as stack:
        drafts = [(stack.enter_context(whole_file(path)), write) for path, write in writers.items()]
        for draft, write in drafts:
            write(draft)
        yield


def post_layers(
    annotations: Annotations, heatmaps: Sequence[Heatmap], slide: str, login: ServerLogin
) -> None:
    """Put the layers on a slide of a Girder server, as HistomicsUI shows them.

    Args:
        annotations: one annotation is made of each layer.
        heatmaps: likewise.
        slide: id of the item or of its file.
        login: with the right to write there.

    Raises:
        AccessDeniedError, ServerError: the server refuses or fails.
    """
    with scratch_folder() as folder, Session(login) as session:
        path = folder / "layers.json"
        write_girder_json(path, annotations, heatmaps=heatmaps)
        with path.open(encoding="utf-8") as file:
            post_annotations(session, item_with(session, slide).id, json.load(file))


def write_table(path: Path, annotations: Annotations, mpp: Mpp) -> None:
    """A CSV with one row a shape: where it is (level-0 pixels), how large (um), how sure.

    Raises:
        OutputError: it cannot be written.
    """
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for layer in annotations.layers:
            for shape in layer.shapes:
                centre, bounds = shape.polygon.centroid, shape.polygon.bounds
                rows.writerow(
                    [
                        layer.name,
                        f"{centre.x:.2f}",
                        f"{centre.y:.2f}",
                        shape.properties["area_um2"],
                        f"{shape.polygon.length * mpp.mean:.2f}",
                        shape.properties.get("confidence", ""),
                        *(f"{edge:.2f}" for edge in bounds),
                    ]
                )
