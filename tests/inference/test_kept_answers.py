"""What tiles gave is kept as it was, for the same slide, model and settings only."""

from dataclasses import astuple, fields

import numpy as np
import pytest

from deeplab.config.requests import SegmentRequest
from deeplab.errors import ConfigError, OutputError
from deeplab.geometry.frames import WorkBox
from deeplab.geometry.grid import TileSlot
from deeplab.inference.kept_answers import KINDS, KeptAnswers
from deeplab.models.answers import LabelAnswer, ObjectAnswer

SLOT = TileSlot(read=WorkBox(-8, -8, 80, 80), write=WorkBox(0, 0, 64, 60))
OTHER = TileSlot(read=WorkBox(56, -8, 80, 80), write=WorkBox(64, 0, 64, 60))
RANDOM = np.random.default_rng(0)
ANSWERS = {
    "labels": LabelAnswer(
        labels=RANDOM.integers(0, 3, (80, 80), np.uint8),
        confidence=RANDOM.random((20, 20), np.float32),
    ),
    "labels with probabilities": LabelAnswer(
        labels=np.zeros((80, 80), np.uint8),
        confidence=RANDOM.random((20, 20), np.float32),
        probabilities=RANDOM.random((20, 20, 3), np.float32),
    ),
    "objects": ObjectAnswer(
        instances=RANDOM.integers(0, 9, (80, 80), np.int32),
        labels=np.ones(8, np.uint8),
        confidence=RANDOM.random(8, np.float32),
    ),
    "no objects": ObjectAnswer(
        instances=np.zeros((80, 80), np.int32),
        labels=np.zeros(0, np.uint8),
        confidence=np.zeros(0, np.float32),
        label_probability=np.zeros(0, np.float32),
    ),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_comes_back_as_it_was(tmp_path, answer):
    (kind,) = [name for name, made in KINDS.items() if made is type(answer)]
    kept = KeptAnswers(tmp_path, {"model": "a"}, kind)
    assert SLOT not in kept
    kept.keep(SLOT, answer)
    again = KeptAnswers(tmp_path, {"model": "a"}, kind)
    assert SLOT in again
    assert OTHER not in again
    found = again.load(SLOT)
    for each in fields(answer):
        before, after = getattr(answer, each.name), getattr(found, each.name)
        if before is None:
            assert after is None
        else:
            assert after.dtype == before.dtype
            np.testing.assert_array_equal(after, before)
    assert SLOT not in KeptAnswers(tmp_path, {"model": "b"}, kind)
    again.remove()
    assert SLOT not in KeptAnswers(tmp_path, {"model": "a"}, kind)


def test_each_place_of_a_slot_is_its_own():
    boxes = [WorkBox(*(place == at for at in range(4))) for place in range(4)]
    slots = [TileSlot(read=SLOT.read, write=each) for each in boxes]
    slots += [TileSlot(read=each, write=SLOT.write) for each in boxes[:2]]
    assert len({astuple(each) for each in slots}) == len(slots)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"\x80\x04K\x01."])
def test_a_damaged_file_is_named(tmp_path, content):
    kept = KeptAnswers(tmp_path, {}, "labels")
    kept.keep(SLOT, ANSWERS["labels"])
    (file,) = tmp_path.rglob("*.npz")
    file.write_bytes(content)
    with pytest.raises(OutputError, match="is damaged; remove it"):
        KeptAnswers(tmp_path, {}, "labels").load(SLOT)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file"):
        KeptAnswers(tmp_path / "file", {}, "labels")


def test_a_server_has_no_work_folder(tmp_path):
    of_server = {"slide": "a" * 24, "api_url": "https://h/api/v1", "token": "t"}
    with pytest.raises(ConfigError, match="work_folder"):
        SegmentRequest(model="m.zip", work_folder=tmp_path, output_annotation="a.anot", **of_server)
