"""What is printed arrives in some form on every terminal, and its absence is a sentence."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deeplab.errors import OutputError
from deeplab_cli.hidden import Secrets
from deeplab_cli.streams import SafeStream

MAIN = [sys.executable, "-m", "deeplab_cli.entry"]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "PYTHONCOERCECLOCALE": "0"}


def safe(stream) -> SafeStream:
    return SafeStream(stream, "the output", Secrets())


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", rb"0.5 \xb5m \u2013 M\xfcller, \U0001f52c m\xfcller"),
        ("latin-1", b"0.5 \xb5m \\u2013 M\xfcller, \\U0001f52c m\\xfcller"),
        ("utf-8", "0.5 µm – Müller, 🔬 m\\xfcller".encode()),
    ],
)
def test_letters_that_a_terminal_does_not_have_are_written_otherwise(encoding, shown):
    under = io.BytesIO()
    with io.TextIOWrapper(under, encoding, errors="strict", write_through=True) as terminal:
        assert safe(terminal).write("0.5 µm – Müller, 🔬 m\udcfcller") > 0
        assert under.getvalue() == shown


@pytest.mark.parametrize("locale", [{}, ASCII])
def test_a_sentence_about_any_name_arrives_in_any_locale(tmp_path: Path, locale):
    name = os.fsdecode("Müller–µm ".encode() + b"\xfc\n.svs")
    answer = subprocess.run(
        [*MAIN, "segment", name, "--model", name, "--annotation", "o.anot"],
        capture_output=True, cwd=tmp_path, env={**os.environ, **locale}, timeout=60, check=False,
    )  # fmt: skip
    assert answer.returncode == 2
    assert answer.stderr.startswith(b"error: M")
    assert answer.stderr.count(b"\n") == 1
    assert rb"\xfc" in answer.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_an_output_that_nobody_takes_is_one_sentence(tmp_path: Path):
    with Path("/dev/full").open("w") as full:
        answer = subprocess.run(
            [*MAIN, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
            check=False,
        )  # fmt: skip
    assert answer.returncode == 2
    sentence = "error: cannot write the standard output: No space left on device\n"
    assert answer.stderr == sentence


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
@pytest.mark.parametrize("words", ["--help", "segment none.svs --model m --annotation o.anot"])
def test_where_nothing_can_be_said_the_exit_code_says_it(tmp_path: Path, words):
    (tmp_path / "tmp").mkdir()
    line = f"{sys.executable} -m deeplab_cli.entry {words} >/dev/full 2>&1"
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    answer = subprocess.run(
        ["/bin/sh", "-c", line], cwd=tmp_path, env=environment, timeout=60, check=False
    )
    assert answer.returncode == 2
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize("closed", [">&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_change_no_exit_code(tmp_path: Path, closed):
    words = "--model m --annotation o.anot"
    line = f"{sys.executable} -m deeplab_cli.entry segment none.svs {words} {closed}"
    assert subprocess.run(["/bin/sh", "-c", line], cwd=tmp_path, check=False).returncode == 2


def test_a_reader_that_is_gone_is_a_sentence_too():
    class Gone(io.StringIO):
        def write(self, _text):
            raise BrokenPipeError(32, "Broken pipe")

        def flush(self):
            raise BrokenPipeError(32, "Broken pipe")

    for tell in (lambda: safe(Gone()).write("x"), safe(Gone()).flush):
        with pytest.raises(OutputError, match="^cannot write the output: Broken pipe$"):
            tell()
