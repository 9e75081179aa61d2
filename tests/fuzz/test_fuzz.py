"""Damaged files are read or refused in a sentence: a short run of each parser."""

import pytest

from tests.fuzz.harness import fuzz
from tests.fuzz.targets import TARGETS

CASES = 60


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_damaged_files_are_read_or_refused(target):
    report = fuzz(target, range(CASES))
    assert not report.failures, "\n\n".join(map(str, report.failures))
    assert report.counts.total() == CASES
