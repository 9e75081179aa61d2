"""Whatever is asked of the plugin's routes, the answer is never that the server has a fault."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("girder")

from fake_workers import as_task
from girder.models.token import Token

from girder_deeplab import driver
from girder_deeplab.comparisons import ModelComparison
from girder_deeplab.runs import Batch, Run

EXAMPLES = 60  # of requests a route

pytestmark = pytest.mark.plugin("deeplab")


@pytest.mark.parametrize("known", [False, True], ids=["any ids", "ids that there are"])
def test_no_request_makes_the_server_fail(
    boundServer,  # noqa: N803  pytest-girder calls it so
    user, folder, slides, model, register, started, tmp_path, known,
):  # fmt: skip
    for task in ("SegmentWSI", "ClassifyPatches", "TrainNetwork"):
        register(task)
    batch = Batch().create(user, driver.now_utc(), title="a", jobId=None)
    Run().save(Run().describe(slides[0], user, driver.now_utc(), batchId=batch["_id"]))
    (layer,) = as_task(slides[0], user, "", "a run", names=["gland"])
    comparison = ModelComparison().create(
        user, driver.now_utc(), like=folder, title="a", folderId=folder["_id"], state="training"
    )
    ids = {
        "folderId": folder,
        "outputFolderId": folder,
        "modelId": model,
        "annotationId": layer,
        "itemId": model,
        "compareFolderId": folder,
        "oldModelId": model,
    }
    settings = [f"{name} = {json.dumps(str(of['_id']))}" for name, of in ids.items()]
    config = tmp_path / "schemathesis.toml"
    config.write_text(
        "[parameters]\n" + "\n".join(settings) + "\n"
        f'[[operations]]\ninclude-path-regex = "/batch/"\nparameters = {{ id = "{batch["_id"]}" }}\n'
        f'[[operations]]\ninclude-path-regex = "/annotation/"\nparameters = {{ id = "{layer["_id"]}" }}\n'
        f'[[operations]]\ninclude-path-regex = "/comparison/"\nparameters = {{ id = "{comparison["_id"]}" }}\n'
        f'[[operations]]\ninclude-path-regex = "/model/"\nparameters = {{ id = "{model["_id"]}" }}\n'
        if known
        else ""
    )
    address = f"http://127.0.0.1:{boundServer.boundPort}/api/v1"
    # Not the phase that sends bodies of undeclared kinds: CherryPy stumbles over them before Girder.
    words = ["--phases", "examples,fuzzing,stateful", "--checks", "not_a_server_error"]
    words += ["--include-path-regex", "^/deeplab/", "--max-examples", str(EXAMPLES), "--seed", "1"]
    words += ["--workers", "4"]  # a request waits for the database more than it computes
    words += ["--header", f"Girder-Token: {Token().createToken(user)['_id']}", "--url", address]
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run",
         f"{address}/describe", *words, "--no-color"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-6000:]
    assert "Tested: 27" in said, said[-3000:]
