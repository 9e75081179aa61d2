"""Models as files, as they arrive in Girder, and what routes tell of them."""

import csv
import io
import json
import zipfile

from girder.models.item import Item
from girder.models.upload import Upload
from pytest_girder.assertions import assertStatusOk

from girder_deeplab import tables
from girder_deeplab.models import MODEL_KEY

REFERENCE = "ab" * 8  # what models are held against in a table
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


def table(model, values, *, metric="dice", reference=REFERENCE, more=()):
    """The bytes of a table: a figure of each slide, of the class gland or of several."""
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow((*tables.COLUMNS, *tables.IDENTITY))
    for slide, value in values.items():
        for name, one in (value if isinstance(value, dict) else {"gland": value}).items():
            identity = (slide, reference, model["meta"][MODEL_KEY]["sha256"])
            rows.writerow(("slide", f"{slide}.svs", name, "", metric, one, "", "", *identity))
    rows.writerow(("mean", "", "gland", "", metric, 0.5, 0.4, 0.6, "", "", ""))
    rows.writerow(("pooled", "", "gland", "", metric, 0.9, "", "", "", "", ""))
    rows.writerows(more)
    return text.getvalue().encode()
