"""Models as files, as they arrive in Girder, and what routes tell of them."""

import io
import json
import zipfile

from girder.models.item import Item
from girder.models.upload import Upload
from pytest_girder.assertions import assertStatusOk

CARD = {
    "format": "histomics-deeplab",
    "family": "unet",
    "classes": [{"name": "gland", "colour": "#009e73"}],
    "work_mpp": 0.5,
    "metrics": {"held-out dice a.b": 0.75},
    "training": {"finished": "2026-11-30T06:00:00+00:00"},
    "trained_on": "three slides",
}


def packed(card=CARD, **more):
    """A zip with a card."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in (({} if card is None else {"card.json": card}) | more).items():
            archive.writestr(name, text if isinstance(text, (str, bytes)) else json.dumps(text))
    return content.getvalue()


def upload(content, folder, user, name="model.zip"):
    """The item of a file that was uploaded."""
    file = Upload().uploadFromFile(
        io.BytesIO(content), len(content), name, parentType="folder", parent=folder, user=user
    )
    return Item().load(file["itemId"], force=True)


def told(server, path, user, method="GET", **params):
    answer = server.request(path, method=method, user=user, params=params)
    assertStatusOk(answer)
    return answer.json
