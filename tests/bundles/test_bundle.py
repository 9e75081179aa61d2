"""Bundles written and read back, and files that only look like one."""

import dataclasses
import io
import json
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from deeplab.bundles import archive as archives
from deeplab.bundles import load
from deeplab.bundles.load import load_bundle
from deeplab.bundles.read import read_card
from deeplab.bundles.save import save_bundle
from deeplab.bundles.weight_members import read_weight
from deeplab.bundles.weights import named_weights
from deeplab.errors import BundleError, OutputError
from tests.bundles.tiny_models import TINY, noise_tile, tiny_card, tiny_network


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "tiny.zip"
    save_bundle(tiny_network(), tiny_card(), path)
    return path


def test_a_loaded_bundle_is_what_was_saved(bundle: Path):
    loaded = load_bundle(bundle)
    assert loaded.card == tiny_card() == read_card(bundle)
    tiles = noise_tile(65)
    np.testing.assert_array_equal(
        loaded.network(tiles)["semantic_logits"], tiny_network()(tiles)["semantic_logits"]
    )


def test_the_same_weights_give_the_same_bytes(bundle: Path, tmp_path: Path):
    save_bundle(tiny_network(), tiny_card(), tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == bundle.read_bytes()


def test_nothing_in_a_bundle_can_run(bundle: Path):
    with zipfile.ZipFile(bundle) as archive:
        names = set(archive.namelist())
        assert {Path(name).suffix for name in names} == {".json", ".npy"}
        for name in names - {"card.json"}:
            np.load(io.BytesIO(archive.read(name)), allow_pickle=False)


def test_a_bundle_that_cannot_be_written_leaves_nothing(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        save_bundle(tiny_network(), tiny_card(), tmp_path / "file" / "model.zip")

    class Broken:
        @property
        def weights(self) -> list[object]:
            raise MemoryError

    with pytest.raises(MemoryError):
        save_bundle(Broken(), tiny_card(), tmp_path / "model.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_weights_that_are_all_alike_are_no_bomb(tmp_path: Path):
    rows = archives.SMALL_BYTES // 4 + 1
    dense = keras.layers.Dense(1, kernel_initializer="ones", name="a")
    numbers = keras.Input((rows,))
    network = keras.Model(numbers, dense(numbers))
    save_bundle(network, tiny_card(), tmp_path / "model.zip")
    with archives.open_archive(tmp_path / "model.zip") as archive:
        kernel = read_weight(archive, "a/kernel", (rows, 1))
    np.testing.assert_array_equal(kernel, np.ones((rows, 1)))


def test_a_card_is_read_without_tensorflow(bundle: Path):
    code = (
        "import sys; from pathlib import Path; from deeplab.bundles.read import read_card;"
        f"read_card(Path({str(bundle)!r}));"
        "sys.exit(bool({'tensorflow', 'keras', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def rewritten(bundle: Path, folder: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    with zipfile.ZipFile(bundle) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    path = folder / "changed.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def npy(array: np.ndarray, *, pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=pickle)
    return buffer.getvalue()


LOGITS = "weights/logits/kernel.npy"
SHAPE = (1, 1, 8, 3)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, f"does not fit its card: it lacks, 1, as {LOGITS}"),
        (npy(np.zeros((1, 1, 8, 2), np.float32)), "of shape .*2\\), but its card means .*3\\)"),
        (npy(np.zeros(SHAPE, np.float64)), "not made of floats: logits/kernel"),
        (npy(np.array([print] * 24).reshape(SHAPE), pickle=True), "not made of plain numbers"),
        (npy(np.zeros(SHAPE, np.float32))[:-1], "cut short: logits/kernel"),
        (npy(np.full(SHAPE, np.nan, np.float32)), "not a finite number: logits/kernel"),
        (npy(np.asfortranarray(np.zeros(SHAPE, np.float32))), "not made of plain numbers"),
        (b"weights", "is no array: logits/kernel"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535, "is no array: logits/kernel"),
    ],
)
def test_a_weight_that_does_not_fit_is_named(
    bundle: Path, tmp_path: Path, content: bytes | None, sentence: str
):
    def change(members: dict[str, bytes]) -> None:
        del members[LOGITS]
        if content is not None:
            members[LOGITS] = content

    with pytest.raises(BundleError, match=sentence):
        load_bundle(rewritten(bundle, tmp_path, change))


@pytest.mark.parametrize("read", [read_card, load_bundle])
def test_a_card_of_more_than_its_weights_fill_is_refused_before_anything_is_built(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read
):
    def widen(members: dict[str, bytes]) -> None:
        card = json.loads(members["card.json"])
        card["config"] |= dict.fromkeys(("aspp_filters", "decoder_filters"), 4096)
        members["card.json"] = json.dumps(card).encode()

    monkeypatch.setattr(load, "family_of", None)
    path = rewritten(bundle, tmp_path, widen)
    with pytest.raises(
        BundleError, match=r"a network with more than 67,108,864 weights, but holds"
    ):
        read(path)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"atrous_rates": ()},
        {"image_pooling": "none"},
        {"aspp_merge": "concat"},
        {"decoder_output_stride": None},
        {"decoder_merge": "sum"},
        {"decoder_output": "logits", "decoder_filters": 3},
        {"aspp_merge": "concat", "decoder_output_stride": None},
    ],
)
def test_no_network_has_fewer_weights_than_its_card_means(changes: dict[str, object]):
    config = dataclasses.replace(TINY, **{"aspp_filters": 64, "decoder_filters": 48, **changes})
    assert config.least_weight_count <= tiny_network(config).count_params()


def test_half_precision_weights_are_taken(bundle: Path, tmp_path: Path):
    value = np.arange(24, dtype=np.float16).reshape(SHAPE)
    path = rewritten(bundle, tmp_path, lambda members: members.update({LOGITS: npy(value)}))
    np.testing.assert_array_equal(
        named_weights(load_bundle(path).network)["logits/kernel"].numpy(), value.astype(np.float32)
    )


def test_weights_stored_in_half_are_loaded_as_their_rounded_float32(bundle: Path, tmp_path: Path):
    small = tmp_path / "small.zip"
    network = tiny_network()
    save_bundle(network, tiny_card(), small, stored="float16")
    with zipfile.ZipFile(small) as archive:
        kinds = {archive.read(n)[:40].count(b"<f2") for n in archive.namelist() if n != "card.json"}
    assert kinds == {1}
    loaded = load_bundle(small).network
    rounded = [weight.numpy().astype(np.float16).astype(np.float32) for weight in network.weights]
    for weight, value in zip(loaded.weights, rounded, strict=True):
        assert weight.dtype == "float32"
        np.testing.assert_array_equal(weight, value)
    network.set_weights(rounded)
    tiles = noise_tile(65)
    maps = (each(tiles)["semantic_logits"] for each in (network, loaded))
    np.testing.assert_array_equal(*maps)


def test_a_weight_too_large_for_half_is_one_sentence(tmp_path: Path):
    network = tiny_network()
    network.get_layer("logits").bias.assign([0.0, 70000.0, 0.0])
    with pytest.raises(BundleError, match="float16, for which logits/bias is too large"):
        save_bundle(network, tiny_card(), tmp_path / "m.zip", stored="float16")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_not_of_the_model_is_refused(bundle: Path, tmp_path: Path):
    path = rewritten(bundle, tmp_path, lambda members: members.update({"run.py": b"x"}))
    with pytest.raises(BundleError, match="has unknown files, 1, as run.py"):
        load_bundle(path)


@pytest.mark.parametrize(
    ("cut", "sentence"),
    [(0, "is empty; upload it again"), (100, "is damaged or was not"), (-30, "is damaged or was")],
)
def test_a_damaged_file_is_one_sentence(bundle: Path, tmp_path: Path, cut: int, sentence: str):
    path = tmp_path / "damaged.zip"
    path.write_bytes(bundle.read_bytes()[:cut])
    for read in (read_card, load_bundle):
        with pytest.raises(BundleError, match=rf"damaged\.zip {sentence}"):
            read(path)


def test_bytes_changed_inside_are_noticed(bundle: Path, tmp_path: Path):
    content = bytearray(bundle.read_bytes())
    content[len(content) // 2] ^= 255
    path = tmp_path / "altered.zip"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"altered\.zip"):
        load_bundle(path)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path):
    for read in (read_card, load_bundle):
        with pytest.raises(BundleError, match=r"none\.zip does not exist"):
            read(tmp_path / "none.zip")


def member(name: str, **attributes: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info


@pytest.mark.parametrize(
    ("info", "content", "sentence"),
    [
        (member("../card.json"), b"", "points outside of the zip"),
        (member("a/../../b"), b"", "points outside of the zip"),
        (member("/etc/passwd"), b"", "points outside of the zip"),
        (member("C:/x"), b"", "points outside of the zip"),
        (member("a\\..\\b"), b"", "points outside of the zip"),
        (member("link", external_attr=(stat.S_IFLNK | 0o777) << 16), b"/", "is a link"),
        (member("bomb", compress_type=zipfile.ZIP_DEFLATED), bytes(2**24), "more than weights"),
    ],
)
def test_a_zip_with_a_member_no_model_has_is_refused(
    tmp_path: Path, info: zipfile.ZipInfo, content: bytes, sentence: str
):
    path = tmp_path / "hostile.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, content)
    for read in (read_card, load_bundle):
        with pytest.raises(BundleError, match=sentence):
            read(path)


def test_a_zip_of_too_many_or_too_large_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(5):
            archive.writestr(str(number), bytes(100))
    monkeypatch.setattr(archives, "MAX_BYTES", 499)
    with pytest.raises(BundleError, match="more than 4 GiB"):
        read_card(path)
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(archives.MAX_MEMBERS + 1):
            archive.writestr(str(number), b"")
    with pytest.raises(BundleError, match="has 10001 files inside; at most 10,000 are read"):
        read_card(path)
