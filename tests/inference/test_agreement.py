"""Another runtime's answers are held against TensorFlow's by their kind."""

import numpy as np
import pytest
from scipy import ndimage

from deeplab.inference.agreement import AGREE, AGREE_OBJECTS, AGREE_OF_OBJECTS, COMPARISONS
from deeplab.models.answers import ObjectAnswer
from tests.inference.planes import TYPES, plane_of

PLANE = plane_of(4, 200, 160, 200).instances
COUNT = int(PLANE.max())


def decode(maps):
    """The map of a fake network holds the instances; what it has of a nucleus may be another's."""
    numbers, instances = np.unique(maps["instances"], return_inverse=True)
    return ObjectAnswer(
        instances=instances.reshape(PLANE.shape).astype(np.int32),
        labels=((numbers[1:] + int(maps["turn"])) % TYPES).astype(np.uint8),
        confidence=np.ones(len(numbers) - 1, np.float32),
    )


def maps_of(*instances, turn=0):
    return {"instances": np.stack(instances), "turn": np.full(len(instances), turn)}


def shares(found, wanted=None):
    compare = COMPARISONS["objects"]
    wanted = maps_of(PLANE) if wanted is None else wanted
    both = (compare.answers(maps, decode) for maps in (wanted, found))
    return {each.of: each for each in compare.agreements(*both)}


def test_the_same_objects_agree_wholly():
    assert [each.share for each in shares(maps_of(PLANE)).values()] == [1, 1]
    nothing = maps_of(PLANE * 0)
    assert [each.share for each in shares(nothing, nothing).values()] == [1, 1]


def test_a_nucleus_in_two_or_not_there_is_seen_in_the_share_of_objects():
    parted = PLANE.copy()
    rows, _ = np.nonzero(PLANE == 1)
    parted[(PLANE == 1) & (np.arange(160)[:, None] < np.median(rows))] = COUNT + TYPES
    assert shares(maps_of(parted))["objects"].share == pytest.approx(COUNT / (COUNT + 1))
    lost = np.where(PLANE == 1, 0, PLANE)
    assert shares(maps_of(lost))["objects"].share == pytest.approx((COUNT - 1) / COUNT)
    two = maps_of(PLANE, lost)
    assert shares(two, maps_of(PLANE, PLANE))["objects"].share == pytest.approx(1 - 0.5 / COUNT)


def test_another_type_is_seen_in_the_share_of_labels():
    found = shares(maps_of(PLANE, turn=1))
    assert found["objects"].share == 1
    assert found["labels"].share == pytest.approx(np.mean(PLANE == 0))
    assert found["labels"].share < found["labels"].least == AGREE_OF_OBJECTS


def test_rounding_that_moves_an_outline_by_a_pixel_is_let_pass_and_a_lost_object_in_ten_is_not():
    inner = ndimage.minimum_filter(PLANE, size=3) == ndimage.maximum_filter(PLANE, size=3)
    few = np.random.default_rng(1).random(PLANE.shape) < 0.005
    moved = shares(maps_of(np.where(inner | ~few, PLANE, 0)))
    assert all(each.share >= each.least for each in moved.values())
    lost = shares(maps_of(np.where(PLANE % 10 == 1, 0, PLANE)))
    assert lost["objects"].share < lost["objects"].least == AGREE_OBJECTS


def test_what_a_pixel_is_tells_nothing_from_no_type_from_the_types():
    compare = COMPARISONS["objects"]
    labels = compare.labels(compare.answers(maps_of(PLANE), decode))
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels[0], np.where(PLANE, PLANE % TYPES + 1, 0))


def test_labels_are_compared_pixel_by_pixel():
    wanted = {"labels": np.zeros((1, 10, 10), np.uint8)}
    found = {"labels": wanted["labels"].copy()}
    found["labels"][0, 0, :3] = 1
    compare = COMPARISONS["labels"]
    both = (compare.answers(maps, decode) for maps in (wanted, found))
    (agreement,) = compare.agreements(*both)
    assert (agreement.share, agreement.least, agreement.of) == (0.97, AGREE, "labels")
