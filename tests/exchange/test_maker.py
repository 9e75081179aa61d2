import pytest

from deeplab.exchange.maker import is_remark, maker
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
