"""What needs no network answers without loading one."""

import json
import subprocess
import sys

import pytest

HEAVY = {"tensorflow", "keras", "numpy", "large_image", "girder_client", "openvino", "rich"}
SCRIPT = """
import json, sys
from deeplab_cli.main import main
try:
    code = main()
except SystemExit as stop:
    code = stop.code
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--list_cli"], 0),
        (["--version"], 0),
        (["--help"], 0),
        (["SegmentWSI", "--xml"], 0),
        (["TrainNetwork", "--xml"], 0),
        (["segment", "--help"], 0),
        (["train", "--help"], 0),
        (["import-checkpoint", "--help"], 0),
        (["export", "--help"], 0),
        (["stage", "--help"], 0),
        (["froc", "--help"], 0),
        (["compare", "--help"], 0),
        (["doctor", "--help"], 0),
        (["patches", "--help"], 0),
        (["stage", "none", "--lesions", "l.csv", "--merge_um", "-1"], 2),
        (["import-checkpoint", "m", "--output", "o", "--work-mpp", "-1"], 2),
        (["segment", __file__, "--model", __file__, "--annotation", "o", "--batch_size", "0"], 2),
        (["train", "/", "out.zip", "--classes", "a", "--steps", "0"], 2),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_forms_help_and_wrong_numbers_load_nothing_heavy(words: list[str], code: int):
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, check=True
    )
    ended, loaded = json.loads(answer.stderr.splitlines()[-1])
    assert (ended or 0) == code
    assert not HEAVY & set(loaded)
