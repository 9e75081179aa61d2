import zipfile
from pathlib import Path

from deeplab.annotations.formats.table import FORMATS
from deeplab.exchange.packed import write_all


def test_files_are_called_after_their_slides_and_lead_nowhere(tmp_path):
    (tmp_path / "0.anot").write_text("a")
    (tmp_path / "1.anot").write_text("b")
    files = [("../../ä, 🔬.svs", tmp_path / "0.anot"), ("a.svs", tmp_path / "1.anot")]
    write_all(tmp_path / "all.zip", files, FORMATS[0], called=tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as packed:
        first, second = packed.namelist()
        assert packed.read(second) == b"b"
    assert second == "02 a.svs.anot"
    assert first.startswith("01 ")
    assert first.endswith("ä, 🔬.svs.anot")
    assert "/" not in first


def test_the_same_files_are_the_same_zip(tmp_path):
    (tmp_path / "0.anot").write_text("a")
    for name in ("one.zip", "two.zip"):
        (tmp_path / "0.anot").touch()
        write_all(tmp_path / name, [("a.svs", tmp_path / "0.anot")], FORMATS[0], called=Path(name))
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
