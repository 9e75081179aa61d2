"""Notes of a training: kept, read again, and undone where a run is taken up earlier."""

import pytest

from deeplab.errors import TrainingError
from deeplab.evaluation.semantic import Confusion
from deeplab.training.history import (
    CheckNote,
    History,
    StepNote,
    history_from_json,
    history_to_json,
)


def step(number, loss=1.0):
    return StepNote(step=number, loss=loss, learning_rate=1e-3, waiting_share=0.25)


def check(number, right):
    return CheckNote(step=number, tally=Confusion.of([[right, 10 - right], [10 - right, right]]))


def test_a_history_reads_back_as_it_was_written():
    history = History().with_step(step(20)).with_step(step(40)).with_check(check(40, 7))
    again = history_from_json(history_to_json(history))
    assert again.steps == history.steps
    assert [(c.step, c.tally.counts.tolist()) for c in again.checks] == [(40, [[7, 3], [3, 7]])]


def test_a_run_taken_up_earlier_undoes_what_was_noted_later():
    history = History()
    for number in (20, 40, 60, 40):
        history = history.with_step(step(number)).with_check(check(number, 5))
    assert [note.step for note in history.steps] == [20, 40]
    assert [note.step for note in history.checks] == [20, 40]


def test_the_best_validation_is_the_first_of_the_highest_scores():
    history = History()
    for number, right in ((1, 5), (2, 9), (3, 9), (4, 8)):
        history = history.with_check(check(number, right))
    assert history.best.step == 2
    assert History().best is None
    assert History().with_check(CheckNote(step=1, tally=Confusion(2))).best is None


@pytest.mark.parametrize("text", ["", "[]", '{"steps": [{}], "checks": []}', '{"steps": []}'])
def test_a_damaged_history_is_said_to_be_damaged(text):
    with pytest.raises(TrainingError, match="history of a training is damaged"):
        history_from_json(text)
