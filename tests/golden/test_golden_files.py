"""Every file of what an original computed has a test that serves it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.golden.golden_files import (
    COMPLETE,
    GOLDEN,
    SERVED,
    each_golden,
    golden_paths,
    kind_of,
    needs_golden,
)


@needs_golden
@pytest.mark.parametrize("family", SERVED)
def test_each_file_of_a_family_is_of_a_kind_that_a_test_serves(family: str):
    paths = golden_paths(family)
    if not paths and GOLDEN != COMPLETE:
        pytest.skip(f"{GOLDEN} holds no file of {family}")
    assert paths
    strange = {str(path): kind_of(path) for path in paths if kind_of(path) not in SERVED[family]}
    assert not strange, "no test serves these files, which have the kinds shown"


@pytest.mark.parametrize(("family", "kind"), [(f, kind) for f in SERVED for kind in SERVED[f]])
def test_each_kind_that_is_listed_has_a_test(family: str, kind: str):
    tests = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")]
    assert any(f'@each_golden("{family}", "{kind}"' in text for text in tests)


def test_a_kind_that_is_not_listed_is_not_asked_for_unseen():
    with pytest.raises(ValueError, match="not in"):
        each_golden("hovernet", "colours")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("meta", "status"), [({"kind": "instance metrics"}, 0), ({"kind": "colours"}, 1), (None, 1)]
)
def test_the_folder_is_of_the_environment_and_a_strange_file_fails(
    meta: dict[str, str] | None, status: int, tmp_path: Path
):
    (tmp_path / "hovernet").mkdir()
    arrays = {"x": np.zeros(1)} | ({"meta": np.array(json.dumps(meta))} if meta else {})
    np.savez(tmp_path / "hovernet/more.npz", **arrays)
    test = f"{__file__}::{test_each_file_of_a_family_is_of_a_kind_that_a_test_serves.__name__}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", test, "-p", "no:cacheprovider"],
        env=os.environ | {"DEEPLAB_GOLDEN": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout
    assert all(f"holds no file of {each}" in done.stdout for each in SERVED if each != "hovernet")


@pytest.mark.slow
def test_without_the_folder_the_tests_are_skipped_with_a_sentence(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", __file__, "-m", "not slow",
         "-p", "no:cacheprovider"],
        env=os.environ | {"DEEPLAB_GOLDEN": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "there are no files of what the original computed" in done.stdout
