"""The groups in which people draw: those of a model's classes, in its colours."""

from __future__ import annotations

import yaml
from girder.constants import AccessType
from girder.models.folder import Folder
from girder_large_image import yamlConfigFile, yamlConfigFileWrite

from girder_deeplab.cards import Document

CONFIG = ".histomicsui_config.yaml"
FILL, LINE_WIDTH = 0.25, 2  # as the tasks draw


def write_palette(folder: Document, classes: list[Document], user: Document) -> None:
    """Give a folder a group for each class, unless there is any list of groups for it.

    Args:
        folder: of slides.
        classes: `name` and `colour` of each.
        user: who must be allowed to write to the folder; else nothing is written.
    """
    if not classes or not Folder().hasAccess(folder, user, AccessType.WRITE):
        return
    if "annotationGroups" in (yamlConfigFile(folder, CONFIG, user) or {}):
        return
    if any(True for _ in Folder().childItems(folder, filters={"name": CONFIG}, limit=1)):
        return  # somebody has one without groups, which is theirs to change
    groups = [_group(each["name"], each["colour"]) for each in classes]
    config = {
        "__inherit__": True,  # what the folders around say of other things goes on to hold
        "annotationGroups": {"defaultGroup": groups[0]["id"], "groups": groups},
    }
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=False)
    yamlConfigFileWrite(folder, CONFIG, user, text, False)  # noqa: FBT003


def _group(name: str, colour: str) -> Document:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return {
        "id": name,
        "lineColor": f"rgb({red}, {green}, {blue})",
        "fillColor": f"rgba({red}, {green}, {blue}, {FILL})",
        "lineWidth": LINE_WIDTH,
    }
