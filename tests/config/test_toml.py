"""A file of settings is TOML with known names, or one sentence says why not."""

from pathlib import Path

import pytest

from deeplab.config.toml import read_settings
from deeplab.errors import ConfigError


def test_known_settings_come_back_with_their_types(tmp_path: Path):
    path = tmp_path / "train.toml"
    path.write_text('classes = ["a", "b"]\nsteps = 5\naugment = 0.5\nbatch_norm = true\n')
    assert read_settings(path, {"classes", "steps", "augment", "batch_norm"}) == {
        "classes": ["a", "b"],
        "steps": 5,
        "augment": 0.5,
        "batch_norm": True,
    }


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"step = 5\n", "must be one of steps, but is 'step'"),
        (b"steps = \n", "must be a TOML file"),
        (b"steps = '\xff'\n", "must be a TOML file .in UTF-8, which byte 10 is not: save it so"),
        ("steps = 5".encode("utf-16"), "must be a TOML file .in UTF-8, which byte 1 is not"),
        (b"#" * (1 << 20) + b"#", "must be a TOML file of at most"),
        (None, "must be a file that can be read"),
        (b"steps = " + b"[" * 100_000, "must be a TOML file .without lists in lists"),
        (b"steps = " + b"9" * 5000, "must be a TOML file .with numbers of fewer digits"),
        (b"steps = 2026-13-45", "must be a TOML file"),
        (b'"' + b"s" * 100_000 + b'" = 5', "must be one of steps, but is 'sss"),
    ],
    ids=[
        "unknown",
        "no value",
        "not UTF-8",
        "UTF-16",
        "large",
        "absent",
        "deep",
        "long",
        "date",
        "name",
    ],
)
def test_any_other_file_is_refused(tmp_path: Path, content: bytes | None, sentence: str):
    path = tmp_path / "train.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=sentence) as caught:
        read_settings(path, {"steps"})
    assert len(str(caught.value)) < 1500


def test_the_mark_that_windows_writes_before_a_text_does_not_matter(tmp_path: Path):
    path = tmp_path / "train.toml"
    path.write_bytes(b"\xef\xbb\xbfsteps = 5\r\n")
    assert read_settings(path, {"steps"}) == {"steps": 5}
