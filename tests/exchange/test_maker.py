import pytest

from deeplab.exchange.maker import corrected_within, is_corrected, is_remark, maker
from deeplab_cli.main import TASKS


@pytest.mark.parametrize(
    "attributes", [None, {}, [], "cli", {"cli": 3}, {"deeplab": {"task": "a"}}]
)
def test_what_names_no_task_was_made_by_a_person(attributes):
    assert (maker(attributes), is_remark(attributes)) == ("", False)


def test_errors_and_measurements_say_something_of_other_layers_and_predictions_do_not():
    remarking = {task.name for task in TASKS if is_remark({"cli": task.name})}
    assert remarking == {"EvaluateSegmentation", "ExtractFeaturesFromAnnotations", "TrainNetwork"}
    assert maker({"cli": "SegmentWSI"}) == "SegmentWSI"


def test_a_layer_that_is_marked_as_corrected_is_a_persons_and_one_of_regions_the_tasks():
    made = {"cli": "SegmentWSI"}
    assert maker(made | {"corrected": {"by": "anna"}}) == ""
    assert maker(made | {"corrected": {"by": "anna", "within": "annotate next"}}) == "SegmentWSI"
    assert corrected_within({"corrected": {"within": "annotate next"}}) == "annotate next"
    for no_mark in (None, False, "yes", [1]):
        assert maker(made | {"corrected": no_mark}) == "SegmentWSI"
        assert not is_corrected({"corrected": no_mark})
