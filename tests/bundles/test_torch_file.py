"""Files of PyTorch's, good ones and such as would run something."""

import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplab.bundles.importers.tensor_files import is_tensor_file, open_tensor_file
from deeplab.errors import BundleError
from tests.bundles import torch_for_tests as torch

KERNEL = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
STATE = {"conv.weight": KERNEL, "bn.num_batches_tracked": np.array(7, np.int64)}


def read(path: Path) -> dict[str, np.ndarray]:
    assert is_tensor_file(path)
    with open_tensor_file(path) as tensors:
        values = {name: tensors.read(name) for name in tensors.shapes}
        assert {name: value.shape for name, value in values.items()} == tensors.shapes
    return values


def assert_is_state(values: dict[str, np.ndarray]) -> None:
    assert list(values) == list(STATE)
    for name, value in values.items():
        np.testing.assert_array_equal(value, STATE[name])
        assert value.dtype == STATE[name].dtype


@pytest.mark.parametrize("wrap", [None, "desc", "state_dict"])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_state_dict_comes_back_as_it_was(tmp_path: Path, wrap, legacy):
    assert_is_state(read(torch.write_state(tmp_path / "a.tar", STATE, wrap=wrap, legacy=legacy)))


def test_the_word_of_parallel_training_is_taken_away(tmp_path: Path):
    state = {f"module.{name}": value for name, value in STATE.items()}
    assert_is_state(read(torch.write_state(tmp_path / "a.tar", state, wrap="desc")))


def test_a_whole_network_gives_its_parameters_and_buffers_and_imports_no_class(tmp_path: Path):
    parameter = torch.name("torch._utils", "_rebuild_parameter")
    parameter += b"(" + torch.of_array(0, KERNEL) + b"\x88}tR"
    conv = torch.network("Conv", _parameters=torch.table({"weight": parameter, "bias": b"N"}))
    passing = torch.name("__builtin__", "set") + b"(](" + torch.text("seen") + b"etR"
    norm = torch.network(
        "Norm",
        _buffers=torch.table(
            {"num_batches_tracked": torch.of_array(1, STATE["bn.num_batches_tracked"]),
             "seen": torch.of_array(0, KERNEL)}
        ),
        _non_persistent_buffers_set=passing,
    )  # fmt: skip
    whole = torch.network("Net", _modules=torch.table({"conv": conv, "bn": norm}))
    storages = {key: array.tobytes() for key, array in enumerate(STATE.values())}
    assert_is_state(read(torch.write_zip(tmp_path / "net.pt", whole, storages)))


def test_half_precision_of_both_kinds_is_read(tmp_path: Path):
    half = torch.of_array(0, KERNEL.astype(np.float16))
    upper = (KERNEL.view(np.uint32) >> 16).astype(np.uint16)
    shape, steps = KERNEL.shape, (12, 4, 2, 1)
    brain = torch.tensor(torch.storage(1, torch.BFLOAT16, KERNEL.size), shape, steps)
    storages = {0: KERNEL.astype(np.float16).tobytes(), 1: upper.tobytes()}
    path = torch.write_zip(
        tmp_path / "a.pth", torch.table({"half": half, "brain": brain}), storages
    )
    for value in read(path).values():
        np.testing.assert_array_equal(value, KERNEL)  # small whole numbers lose nothing


def test_numbers_of_a_big_endian_machine_are_read(tmp_path: Path):
    value = torch.table({"w": torch.of_array(0, KERNEL)})
    path = torch.write_zip(tmp_path / "a.pth", value, {0: KERNEL.astype(">f4").tobytes()}, "big")
    np.testing.assert_array_equal(read(path)["w"], KERNEL)


@settings(max_examples=60)
@given(
    sides=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    order=st.randoms(use_true_random=False),
    before=st.integers(0, 3),
)
def test_any_view_of_a_storage_is_read_as_it_lies(tmp_path_factory, sides, order, before):
    axes = list(range(len(sides)))
    order.shuffle(axes)
    content = np.arange(before + np.prod(sides), dtype=np.float32)
    view = content[before:].reshape(sides).transpose(axes)
    steps = [step // view.itemsize for step in view.strides]
    stored = torch.storage(0, "FloatStorage", content.size)
    value = torch.table({"w": torch.tensor(stored, view.shape, steps, before)})
    path = tmp_path_factory.mktemp("view") / "a.pth"
    torch.write_zip(path, value, {0: content.tobytes()})
    np.testing.assert_array_equal(read(path)["w"], view)


class Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def harmful(path: Path, protocol: int) -> bytes:
    return pickle.dumps({"w": Harmful(path)}, protocol=protocol)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_would_run_something_is_refused_and_runs_nothing(tmp_path: Path, protocol):
    path, made = tmp_path / "a.pth", tmp_path / "made"
    torch.write_zip(path, harmful(made, protocol)[2:-1], {})
    with pytest.raises(BundleError, match=r"is refused: it would run \S+ when it is opened in Py"):
        read(path)
    assert not made.exists()


@pytest.mark.parametrize(
    "value",
    [
        torch.name("os", "system") + b"(" + torch.text("true") + b"tR",
        torch.name("builtins", "eval") + b"(" + torch.text("1") + b"tR",
        torch.name("torch", "load") + b"(" + torch.text("x") + b"tR",
        torch.name("torch.serialization", "load") + b"(" + torch.text("x") + b"tR",
        torch.name("subprocess", "Popen") + b"(" + torch.text("true") + b"t\x81",
        torch.name("numpy", "ndarray") + b"(" + torch.numbers(1) + b"tR",
    ],
)
def test_only_what_makes_a_tensor_may_be_called(tmp_path: Path, value: bytes):
    path = torch.write_zip(tmp_path / "a.pth", torch.table({"w": value}), {})
    with pytest.raises(BundleError, match="it would run"):
        read(path)


def of_storage(shape, steps, offset=0, count=24, held=24) -> tuple[bytes, dict[int, bytes]]:
    stored = torch.storage(0, "FloatStorage", count)
    value = torch.table({"w": torch.tensor(stored, shape, steps, offset)})
    return value, {0: bytes(4 * held)}


DEEP = b"]" * 100 + b"a" * 99
MANY = b"]q\x00(" + b"h\x00" * 2 + b"e"  # a list of itself, twice


@pytest.mark.parametrize(
    ("value", "storages", "sentence"),
    [
        (*of_storage((5, 5), (5, 1)), "larger than what is there of it"),
        (*of_storage((1000, 1000), (0, 0)), "larger than what is there of it"),
        (*of_storage((4, 6), (7, 1)), "larger than what is there of it"),
        (*of_storage((24,), (1,), offset=1), "larger than what is there of it"),
        (*of_storage((24,), (1,), held=23), "it has not all values of w"),
        (of_storage((24,), (1,))[0], {}, "it has not the values of w"),
        (*of_storage((-1,), (1,)), "size is no number"),
        (*of_storage((2**50,), (1,)), "size is no number"),
        (*of_storage((4, 6), (1,)), "shape makes no sense"),
        (torch.table({"w": torch.tensor(torch.storage(0, "ComplexFloatStorage", 1), (1,), (1,))}),
         {0: bytes(8)}, "of the type ComplexFloatStorage"),
        (torch.table({"w": torch.integer(1)}), {}, "holds no tensors by name"),
        (torch.table({"w": DEEP}), {}, "more tables within tables"),
        (MANY, {}, "more tables within tables|more values"),
        (torch.table({"x" * 600: of_storage((1,), (1,))[0]}), {}, "a name that is too long"),
        (b"}(" + b")" * 1 + b"\x85" * 5000 + b"Nu", {}, "keys are no plain values"),
        (b"0", {}, "cannot be read: it is damaged"),
        (b"h\x09", {}, "cannot be read: it is damaged"),
        (b"r\xff\xff\xff\x7f", {}, "cannot be read: it is damaged"),
        (b"X\xff\xff\xff\xff", {}, "a text that is too long"),
        (b"\x95\xff\xff\xff\xff\xff\xff\xff\xff", {}, "holds no tensors|damaged|cut short"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_one_sentence(tmp_path: Path, value, storages, sentence):
    path = torch.write_zip(tmp_path / "a.pth", value, storages)
    with pytest.raises(BundleError, match=sentence):
        read(path)


@pytest.mark.parametrize("keep", [20, 60, -1])
def test_an_old_file_that_is_cut_short_is_one_sentence(tmp_path: Path, keep):
    path = torch.write_state(tmp_path / "a.pth", STATE, legacy=True)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BundleError, match="cut short|damaged"):
        read(path)


def write_safetensors(path: Path, told: object, content: bytes) -> Path:
    table = told if isinstance(told, bytes) else json.dumps(told).encode()
    path.write_bytes(struct.pack("<Q", len(table)) + table + content)
    return path


def test_safetensors_come_back_as_they_were(tmp_path: Path):
    told, content = {"__metadata__": {"format": "pt"}}, b""
    for name, value in STATE.items():
        offsets = [len(content), len(content) + value.nbytes]
        kind = "F32" if value.dtype == np.float32 else "I64"
        told[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": offsets}
        content += value.tobytes()
    assert_is_state(read(write_safetensors(tmp_path / "a.safetensors", told, content)))


def one(**changes: object) -> dict[str, object]:
    return {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (one(shape=[3]), "nothing possible of 'w'"),
        (one(data_offsets=[4, 12]), "nothing possible of 'w'"),
        (one(data_offsets=[8, 0]), "nothing possible of 'w'"),
        (one(shape=[-2]), "nothing possible of 'w'"),
        (one(dtype="F8"), "of the type F8"),
        ({**one(), "v": one()["w"]}, "lie in each other"),
        (b'{"w": 1, "w": 2}', "not JSON"),
        (b"{" * 9000, "not JSON"),
    ],
)
def test_a_table_of_safetensors_that_makes_no_sense_is_one_sentence(tmp_path, told, sentence):
    with pytest.raises(BundleError, match=sentence):
        read(write_safetensors(tmp_path / "a.safetensors", told, bytes(8)))


def test_arrays_of_numpy_are_read_whatever_their_order(tmp_path: Path):
    np.savez(tmp_path / "a.npz", **{"group0/W:0": np.asfortranarray(KERNEL), "step:0": KERNEL[0]})
    values = read(tmp_path / "a.npz")
    np.testing.assert_array_equal(values["group0/W:0"], KERNEL)
    np.testing.assert_array_equal(values["step:0"], KERNEL[0])


def test_arrays_of_objects_are_refused(tmp_path: Path):
    np.savez(tmp_path / "a.npz", w=np.array([Harmful(tmp_path / "made")], object))
    with pytest.raises(BundleError, match="an array that is no"):
        read(tmp_path / "a.npz")
    assert not (tmp_path / "made").exists()


def test_other_files_are_none(tmp_path: Path):
    (tmp_path / "a.txt").write_text("{}")
    np.save(tmp_path / "a.npy", KERNEL)
    assert not any(is_tensor_file(path) for path in [*tmp_path.iterdir(), tmp_path])
