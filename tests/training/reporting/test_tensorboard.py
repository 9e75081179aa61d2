"""Events that TensorBoard reads, written without it."""

import io
import os
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab.config.classes import ClassList
from deeplab.errors import OutputError, UnreadableSlideError
from deeplab.geometry.frames import Mpp
from deeplab.slides.array_slide import ArraySlide
from deeplab.training.history import CheckNote, History, StepNote
from deeplab.training.reporting.tensorboard import EventLog
from tests.data.annotated_slides import annotated
from tests.training.validations_for_tests import region, validation

CLASSES = ClassList.named(["tumour", "stroma"])


def read(folder):
    """All events by tag: (step, tensor, plug-in, data class)."""
    found = {}
    for path in sorted(folder.glob("events*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                tensor = tf.make_ndarray(value.tensor)
                kind = (value.metadata.plugin_data.plugin_name, value.metadata.data_class)
                found.setdefault(value.tag, []).append((event.step, tensor, *kind))
    return found


@pytest.fixture
def events(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    with EventLog(tmp_path / "new" / "tensorboard", CLASSES) as log:
        for step in (20, 40):
            note = StepNote(step=step, loss=1 / step, learning_rate=1e-3, waiting_share=0.02)
            log.add(History(steps=(note,)))
        log.add(History(checks=(CheckNote(step=40, tally=region(100).tally),)))
        log.add_picture("worst 1", picture, 40)
    return read(tmp_path / "new" / "tensorboard"), picture


def test_losses_rates_and_waiting_are_read_back_step_by_step(events):
    found, _ = events
    told = [(step, float(value)) for step, value, *_ in found["training/loss"]]
    assert told == [(20, pytest.approx(0.05)), (40, pytest.approx(0.025))]
    assert found["training/learning rate"][0][2:] == ("scalars", 1)
    assert float(found["training/share of time waiting for patches"][1][1]) == pytest.approx(0.02)


def test_figures_of_each_class_are_read_back_and_one_that_is_nowhere_is_left_out(events):
    found, _ = events
    ((step, dice, plugin, _),) = found["Dice/tumour"]
    right = 64 * 64 - 100
    assert (step, plugin) == (40, "scalars")
    assert float(dice) == pytest.approx(2 * right / (2 * right + 100))
    assert "IoU/stroma" in found
    assert "IoU/background" not in found


def test_pictures_are_read_back_pixel_for_pixel(events):
    found, picture = events
    ((step, blobs, plugin, kind),) = found["examples/worst 1"]
    assert (step, plugin, kind) == (40, "images", 3)
    assert [int(blobs[0]), int(blobs[1])] == [30, 20]
    with Image.open(io.BytesIO(blobs[2])) as image:
        assert (np.asarray(image) == picture).all()


def test_the_same_regions_are_shown_at_every_validation(tmp_path):
    slide = annotated([(1, 0, 0, 200)], name="a")
    frame = slide.slide.frame(0.5)
    with EventLog(tmp_path, CLASSES) as log:
        for step, errors in ((1, range(7)), (2, range(7, 0, -1))):
            pieces = [
                region(100 * wrong, at=(64 * i, 0), frame=frame) for i, wrong in enumerate(errors)
            ]
            log.add_examples(validation(pieces, step=step), {"a": slide})
    found = read(tmp_path)
    assert len(found) == 4
    assert all([step for step, *_ in events] == [1, 2] for events in found.values())


def test_a_slide_that_cannot_be_read_has_no_pictures(tmp_path):
    class Broken(ArraySlide):
        def read(self, *_):
            raise UnreadableSlideError("a", "is cut short")

    slide = annotated([(1, 0, 0, 200)], name="a")
    broken = replace(slide, slide=Broken(np.zeros((9, 9, 3), np.uint8), Mpp.square(0.5)))
    with EventLog(tmp_path, CLASSES) as log:
        log.add_examples(validation([region(9, frame=slide.slide.frame(0.5))]), {"a": broken})
    assert read(tmp_path) == {}


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("no folder")
    log = EventLog(tmp_path / "file" / "tensorboard", CLASSES)
    with pytest.raises(OutputError, match="file"):
        log.add_picture("a", np.zeros((9, 9, 3), np.uint8), 1)
    log.close()


def test_nothing_is_made_where_nothing_is_written(tmp_path):
    with EventLog(tmp_path / "new", CLASSES):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_may_have_a_name_that_is_no_utf_8(tmp_path):
    folder = tmp_path / os.fsdecode(b"m\xfcller\n.work")
    with EventLog(folder, CLASSES) as log:
        log.add(History(checks=(CheckNote(step=4, tally=region(1).tally),)))
    assert len(list(folder.glob("events*"))) == 1
