"""Layers put on a slide of a Girder server, as HistomicsUI shows them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from deeplab.annotations.girder_json import write_girder_json
from deeplab.annotations.heatmap import Heatmap
from deeplab.annotations.shapes import Annotations
from deeplab.files import scratch_folder
from deeplab.server.annotations import post_annotations
from deeplab.server.items import item_with
from deeplab.server.session import ServerLogin, Session


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
