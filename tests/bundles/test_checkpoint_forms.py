"""A TensorFlow checkpoint is taken in any form it is handed over in, or it is said what to give."""

import gzip
import io
import logging
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from deeplab.bundles.archive import open_archive
from deeplab.bundles.checkpoint_files import checkpoint_files, index_beside
from deeplab.bundles.importers.tensor_bundle import (
    TensorBundleError,
    _handle,
    _masked_checksum,
    open_tensor_bundle,
)
from deeplab.bundles.load import load_bundle
from deeplab.bundles.read import is_bundle, read_card
from deeplab.errors import BundleError, CheckpointError
from deeplab_cli.main import main
from tests.bundles.test_import_model import CONFIG, RATES
from tests.bundles.tf1_for_tests import tf1_variables, write_checkpoint
from tests.bundles.tiny_models import tiny_network

NAME = "model.ckpt-400000"
PARTS = (".index", ".data-00000-of-00001")
VALUES = {
    "a/weights": np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3),
    "a/biases": np.arange(3, dtype=np.float32),
    "global_step": np.int64(7),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as TensorFlow 1 leaves it, brought from another machine."""
    folder = tmp_path / "brought"
    folder.mkdir()
    write_checkpoint(folder / NAME, VALUES)
    (folder / f"{NAME}.meta").write_bytes(b"")
    (folder / "checkpoint").write_text(
        f'model_checkpoint_path: "/home/u/{NAME}"\nall_model_checkpoint_paths: "/home/u/{NAME}"\n'
    )
    return folder


def packed(folder: Path, path: Path, inside: str = "", names: tuple[str, ...] = ()) -> Path:
    """The files of a folder, or some of them, in a zip or tar."""
    files = [file for file in sorted(folder.iterdir()) if not names or file.name in names]
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as zipped:
            for file in files:
                zipped.write(file, inside + file.name)
        return path
    with tarfile.open(path, "w:" if path.suffix == ".tar" else "w:gz") as tar:
        for file in files:
            tar.add(file, inside + file.name)
    return path


def values_of(path: Path) -> dict[str, np.ndarray]:
    with checkpoint_files(path) as files:
        bundle = open_tensor_bundle(files.index, files.data)
        return {name: bundle.read(name) for name in bundle.entries}


def check(path: Path, expected: dict[str, np.ndarray] = VALUES) -> None:
    found = values_of(path)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        np.testing.assert_array_equal(value, expected[name])
        assert value.dtype == np.asarray(expected[name]).dtype


@pytest.mark.parametrize(
    "name", ["", NAME, *(NAME + part for part in PARTS), f"{NAME}.meta", "checkpoint"]
)
def test_a_folder_and_each_of_its_files_are_taken(folder: Path, name: str):
    check(folder / name)
    assert not is_bundle(folder / name)


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz", "called.otherwise"])
@pytest.mark.parametrize("inside", ["", "./", "train/out/"])
def test_archives_are_taken(folder: Path, tmp_path: Path, name: str, inside: str):
    path = packed(folder, tmp_path / name, inside)
    check(path)
    assert not is_bundle(path)


def test_a_path_relative_to_here_is_taken(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    for name in (".", NAME, "checkpoint", f"./{NAME}.meta", f"{NAME}{PARTS[1]}"):
        check(Path(name))


@pytest.mark.parametrize(
    "told",
    [
        f"/home/u/{NAME}",
        NAME,
        f"gs://bucket/{NAME}",
        f"C:\\\\Users\\\\u\\\\{NAME}",
        f"../../../../etc/{NAME}",
    ],
)
def test_the_file_checkpoint_counts_by_the_last_name_in_it(folder: Path, told: str):
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "{told}"\n')
    check(folder / "checkpoint")
    (folder / "checkpoint").rename(folder / "checkpoint.txt")
    check(folder / "checkpoint.txt")


def test_the_file_checkpoint_may_name_what_is_not_ascii(tmp_path: Path):
    write_checkpoint(tmp_path / "größe [1]*", VALUES)
    octal = "".join(f"\\{byte:03o}" if byte > 127 else chr(byte) for byte in "größe [1]*".encode())
    (tmp_path / "checkpoint").write_text(f'model_checkpoint_path: "/a/{octal}"\n')
    check(tmp_path / "checkpoint")


@pytest.mark.parametrize("text", ["", "model_checkpoint_path: 7", 'model_checkpoint_path: "/a/.."'])
def test_a_file_checkpoint_that_names_none_is_one_sentence(tmp_path: Path, text: str):
    (tmp_path / "checkpoint").write_text(text)
    with pytest.raises(CheckpointError, match=r"names no model_checkpoint_path; a checkpoint is"):
        values_of(tmp_path / "checkpoint")


def in_two_parts(prefix: Path) -> None:
    shards = [f"{prefix}_part{number}" for number in range(2)]
    for shard, names in zip(shards, (["a/weights"], ["a/biases", "global_step"]), strict=True):
        write_checkpoint(Path(shard), {name: VALUES[name] for name in names})
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=shards, destination_prefix=str(prefix))


@pytest.mark.parametrize("given", ["", ".index", ".data-00001-of-00002"])
def test_a_checkpoint_in_two_parts_is_taken(tmp_path: Path, given: str):
    in_two_parts(tmp_path / "m")
    check(tmp_path / f"m{given}")
    check(packed(tmp_path, tmp_path / "m.zip"))


@pytest.mark.parametrize("given", ["m", "m.index", "m.data-00000-of-00002", "all.tgz"])
def test_a_part_that_is_missing_is_named(tmp_path: Path, given: str):
    in_two_parts(tmp_path / "m")
    (tmp_path / "m.data-00001-of-00002").unlink()
    packed(tmp_path, tmp_path / "all.tgz")
    with pytest.raises(CheckpointError, match=r"whose m\.data-00001-of-00002 is not .*one zip"):
        values_of(tmp_path / given)


@pytest.mark.parametrize(
    ("names", "given", "sentence"),
    [
        ((PARTS[0],), PARTS[0], rf"whose {NAME}\.data-00000-of-00001 is not beside it"),
        ((PARTS[1],), PARTS[1], rf"whose {NAME}\.index is not beside it"),
        ((".meta",), ".meta", rf"whose {NAME}\.index is not beside it"),
        ((PARTS[1],), None, rf"only {NAME}\.data-00000-of-00001 of one; a checkpoint is its"),
        ((PARTS[0],), None, rf"whose {NAME}\.data-00000-of-00001 is not there"),
        ((".meta",), None, "holds neither a card.json nor a checkpoint"),
    ],
)
def test_what_is_missing_is_said(folder: Path, tmp_path: Path, names, given, sentence):
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in names:
        (folder / (NAME + name)).rename(alone / (NAME + name))
    path = packed(alone, tmp_path / "a.zip") if given is None else alone / (NAME + given)
    for read in (read_card, load_bundle):
        with pytest.raises(CheckpointError, match=sentence):
            read(path)


def test_a_checkpoint_that_names_no_classes_says_how_to_make_a_model_of_it(folder: Path):
    with pytest.raises(BundleError, match="nor an args.txt .*: deeplab import-checkpoint"):
        read_card(folder)


@pytest.mark.parametrize("word", ["1e999", "NaN", "[]", "9" * 400, '"x"'])
def test_arguments_that_are_no_numbers_are_one_sentence(folder: Path, word: str):
    (folder / "args.txt").write_text(f'{{"num_classes": {word}, "compartments": "gland"}}')
    with pytest.raises(BundleError, match=r"args\.txt") as caught:
        read_card(folder)
    assert len(str(caught.value)) < 400


def test_the_file_checkpoint_alone_says_what_else_to_give(folder: Path, tmp_path: Path):
    (folder / "checkpoint").rename(tmp_path / "checkpoint")
    with pytest.raises(CheckpointError, match=rf"whose {NAME}\.index is not beside it; a check"):
        load_bundle(tmp_path / "checkpoint")


def test_of_several_the_newest_that_is_whole_is_taken_and_said(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    newest = {name: value + 1 for name, value in VALUES.items()}
    write_checkpoint(folder / "model.ckpt-500000", newest)
    write_checkpoint(folder / "model.ckpt-600000", newest)
    (folder / f"model.ckpt-600000{PARTS[1]}").unlink()
    (folder / f"._{NAME[:-6]}700000.index").write_bytes(b"macOS' own")
    with caplog.at_level(logging.INFO):
        for path in (folder, packed(folder, tmp_path / "a.tar.gz", "x/")):
            check(path, newest)
    assert "holds 3 checkpoints; model.ckpt-500000 is taken" in caplog.text
    assert "holds 3 checkpoints; x/model.ckpt-500000 is taken" in caplog.text
    check(folder / "checkpoint")  # which names the other


def test_an_initial_model_counts_by_its_index(folder: Path):
    for name in (NAME, f"{NAME}.meta", "checkpoint", NAME + PARTS[1]):
        assert index_beside(folder / name) == folder / f"{NAME}.index"
    assert index_beside(folder) is None
    assert index_beside(folder / "none") is None


@pytest.mark.slow
def test_each_form_is_imported_on_the_command_line(tmp_path: Path):
    folder = tmp_path / "in"
    folder.mkdir()
    write_checkpoint(folder / NAME, tf1_variables(tiny_network(CONFIG), "mobilenet_v2"))
    (folder / f"{NAME}.meta").touch()
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "/home/u/{NAME}"\n')
    packed(folder, tmp_path / "deeplab.tar.gz")
    for path in (folder / "checkpoint", folder / f"{NAME}.meta", tmp_path / "deeplab.tar.gz"):
        words = ["import-checkpoint", str(path), *RATES, "--crop-size", "65"]
        assert main([*words, "--output", str(tmp_path / "m.zip")]) == 0
        assert load_bundle(tmp_path / "m.zip").card.config == CONFIG
        (tmp_path / "m.zip").unlink()


def hdf5(path: Path) -> None:
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 100)


def of_one_file(path: Path) -> None:
    path.write_bytes(b"\0" * 100 + bytes.fromhex("57fb808b247547db"))


def gzipped(path: Path) -> None:
    path.write_bytes(gzip.compress(b"weights"))


def keras_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", b"")


def text(path: Path) -> None:
    path.write_text("weights")


def zip_of_a_tar(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("deeplab.tar.gz", b"")


def zip_of_a_graph(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("frozen_inference_graph.pb", b"graph")


def zip_of_a_folder(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("glomeruli/card.json", "{}")


def unpacked_bundle(path: Path) -> None:
    path.mkdir()
    (path / "card.json").write_text("{}")


def saved_model(path: Path) -> None:
    path.mkdir()
    (path / "saved_model.pb").write_bytes(b"graph")


def exported(path: Path) -> None:
    saved_model(path)
    (path / "assets").mkdir()
    (path / "assets/deeplab_card.json").write_text("{}")


@pytest.mark.parametrize(
    ("name", "make", "sentence"),
    [
        ("m.h5", hdf5, r"of Keras, which can only start a training \(--initial-model\)"),
        ("m.keras", keras_zip, "of Keras, which can only start a training"),
        ("m.ckpt", of_one_file, "of one file, as TensorFlow wrote before 2016; restore it"),
        ("m.data.gz", gzipped, "packed by gzip, but holds no tar; unpack it"),
        ("m.onnx", text, "is an ONNX graph; a model is the .zip that a training"),
        ("m.pth", text, "is a file of PyTorch; a model is the .zip"),
        ("m.tflite", text, "is a graph of TensorFlow Lite; a model is"),
        ("m.pb", text, "is a frozen graph; make a model of it: deeplab import-checkpoint"),
        ("m.txt", text, "is none; a model is the .zip that a training or import-checkpoint wrote"),
        ("m.zip", zip_of_a_tar, "holds neither .*; unpack it and give its deeplab.tar.gz"),
        ("m.zip", zip_of_a_graph, "deeplab import-checkpoint frozen_inference_graph.pb"),
        ("m.zip", zip_of_a_folder, "has its card.json in the folder glomeruli; zip what is in"),
        ("m", unpacked_bundle, "is a model that was unpacked; zip its card.json and its folder"),
        ("m", saved_model, "is a SavedModel without variables, of which nothing can be"),
        ("m", exported, r"is a SavedModel that was exported; give the model \(.zip\)"),
    ],
)
def test_what_is_no_model_is_named_and_it_is_said_what_to_do(
    tmp_path: Path, name: str, make: Callable[[Path], None], sentence: str
):
    make(tmp_path / name)
    with pytest.raises(BundleError, match=sentence) as caught:
        load_bundle(tmp_path / name)
    assert "damaged" not in str(caught.value)


def test_a_saved_model_of_variables_is_taken_as_the_checkpoint_in_it(folder: Path, tmp_path: Path):
    (tmp_path / "saved/variables").mkdir(parents=True)
    (tmp_path / "saved/saved_model.pb").write_bytes(b"graph")
    write_checkpoint(tmp_path / "saved/variables/variables", VALUES)
    check(tmp_path / "saved")
    check(tmp_path / "saved/saved_model.pb")


def test_an_index_that_is_packed_is_not_called_damaged(folder: Path):
    index = folder / f"{NAME}.index"
    content = bytearray(index.read_bytes())
    _, place = _handle(content[-48:], 0)
    (start, size), _ = _handle(content[-48:], place)
    end = start + size
    content[end] = 1
    content[end + 1 : end + 5] = _masked_checksum(bytes(content[start : end + 1])).to_bytes(
        4, "little"
    )
    index.write_bytes(content)
    with pytest.raises(CheckpointError, match="is packed, as few .*; restore it in TensorFlow 1"):
        load_bundle(folder)


def test_no_byte_of_an_index_can_change_unnoticed(folder: Path):
    index = folder / f"{NAME}.index"
    content = index.read_bytes()
    good = open_tensor_bundle(index, [folder / (NAME + PARTS[1])]).entries
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        index.write_bytes(changed)
        try:
            found = open_tensor_bundle(index, [folder / (NAME + PARTS[1])])
        except TensorBundleError:
            continue
        assert found.entries == good, place  # what is not used, as the place of the other table


def test_no_byte_of_a_value_can_change_unnoticed(folder: Path):
    data = folder / (NAME + PARTS[1])
    content = data.read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        data.write_bytes(changed)
        with pytest.raises(TensorBundleError, match="are not those that were written"):
            values_of(folder)


def tar_of(path: Path, **header: object) -> Path:
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("m.index")
        for name, value in header.items():
            setattr(member, name, value)
        archive.addfile(member, io.BytesIO(bytes(member.size)) if member.isreg() else None)
    return path


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ({"name": "../m.index"}, "points outside of the zip"),
        ({"name": "/etc/m.index"}, "points outside of the zip"),
        ({"name": "a" * 250}, "has a name that is too long"),
        ({"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "is a link or a device"),
        ({"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}, "is a link or a device"),
        ({"type": tarfile.CHRTYPE}, "is a link or a device"),
        ({"type": tarfile.FIFOTYPE}, "is a link or a device"),
    ],
)
def test_a_tar_with_a_member_no_model_has_is_refused(tmp_path: Path, header, sentence: str):
    with pytest.raises(BundleError, match=sentence):
        load_bundle(tar_of(tmp_path / "m.tar", **header))


def test_a_tar_that_unpacks_to_far_more_is_refused(tmp_path: Path):
    with gzip.open(tmp_path / "m.tar.gz", "wb") as file:
        member = tarfile.TarInfo("m.index")
        member.size = 2**28
        file.write(member.tobuf())
        for _ in range(2**8):
            file.write(bytes(2**20))
    with pytest.raises(BundleError, match="far more than weights can"):
        load_bundle(tmp_path / "m.tar.gz")


def with_check_sum(header: bytearray) -> bytes:
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def test_a_tar_whose_headers_lead_back_or_are_long_ends(tmp_path: Path):
    back = bytearray(tarfile.TarInfo("m.index").tobuf())
    back[124:136] = b"\xff" * 4 + (-2048).to_bytes(8, "big", signed=True)
    long = bytearray(tarfile.TarInfo("m.index").tobuf())
    long[156:157] = tarfile.XHDTYPE
    long[124:136] = b"%011o\0" % 2**31
    # Up to Python 3.11.2 a tar ends before a header that makes no sense.
    said = "is damaged or was not|is a link or a device|holds neither a card.json nor"
    for header in (back, long):
        first = tarfile.TarInfo("a").tobuf()
        (tmp_path / "m.tar").write_bytes(first + with_check_sum(header) + bytes(2048))
        with pytest.raises(BundleError, match=said):
            load_bundle(tmp_path / "m.tar")


@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_a_tar_that_is_cut_short_is_one_sentence(folder: Path, tmp_path: Path, cut: float):
    path = packed(folder, tmp_path / "m.tar.gz")
    path.write_bytes(path.read_bytes()[: int(cut * path.stat().st_size)])
    with pytest.raises(BundleError, match="is damaged or was not copied whole"):
        load_bundle(path)


def test_files_of_an_archive_are_those_that_were_packed(folder: Path, tmp_path: Path):
    for name in ("m.zip", "m.tar", "m.tgz"):
        with open_archive(packed(folder, tmp_path / name, "a/")) as archive:
            sizes = {f"a/{file.name}": file.stat().st_size for file in folder.iterdir()}
            assert dict(archive.sizes) == sizes
            for file in folder.iterdir():
                assert archive.read(f"a/{file.name}", 2**20) == file.read_bytes()
                archive.copy(f"a/{file.name}", tmp_path / "copy")
                assert (tmp_path / "copy").read_bytes() == file.read_bytes()
