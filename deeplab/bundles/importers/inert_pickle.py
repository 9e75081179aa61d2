"""Read a pickle without running it: plain values, and records of whatever else it asks for.

A pickle is a program for a stack machine whose instructions import names and call them. Here they
are carried out by hand: plain values and containers are made, what belongs to a tensor becomes a
record of it, an object becomes a record of its class's name and of its state, and a call of
anything else ends the reading. Nothing is imported and nothing called; `pickle` itself is not used.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import IO, Any, cast

MAX_OPCODES = 3_000_000  # the largest network that people save as a whole has some 100,000
MAX_BYTES = 64 * 2**20
MAX_DIMENSIONS = 16
MAX_READ_BYTES = 2**20  # of one text or number
# What reading opcodes raises on what is cut short, altered or made up.
DAMAGED = (ValueError, LookupError, TypeError, OverflowError, AttributeError, MemoryError)
# Libraries whose classes hold networks: their objects are kept as records, also where making one
# is written as a call, as for enumerations.
NETWORK_LIBRARIES = frozenset(
    {"torch", "torchvision", "timm", "segmentation_models_pytorch", "efficientnet_pytorch"}
)


class InertPickleError(ValueError):
    """The pickle is damaged, or holds what is not read; its text says what, after "it"."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name that the pickle would import."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"[:200]


@dataclass(frozen=True, slots=True)
class StorageRecord:
    """Numbers that lie elsewhere in the file.

    Attributes:
        kind: Their type, as "FloatStorage".
        key: What the file calls them.
        count: How many there are.
        start: The first of them within what `key` names.
    """

    kind: str
    key: str
    count: int
    start: int = 0


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """A view of a storage: sizes and steps are counted in numbers."""

    storage: StorageRecord
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(slots=True, eq=False)
class ObjectRecord:
    """An object: the name of its class, and its state once that was read."""

    kind: Name
    state: Mapping[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InertPickle:
    """What a pickle says.

    Attributes:
        value: Numbers, texts, None, tuples, lists, dicts whose keys are plain, and records.
        storages: All storages that are spoken of, by their keys.
    """

    value: Any
    storages: Mapping[str, StorageRecord]


def read_inert(stream: IO[bytes]) -> InertPickle:
    """Read the pickle at the stream's place, and leave the stream behind its end.

    Raises:
        InertPickleError: it is damaged, too large, or would call something.
    """
    machine = _Machine()
    return InertPickle(machine.run(_Reader(stream)), machine.storages)


class _Reader:
    """What opcodes are read from, in pieces and as a whole no longer than a pickle's."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._left = stream, MAX_BYTES

    def read(self, size: int) -> bytes:
        if size > MAX_READ_BYTES:
            raise InertPickleError("holds a text that is too long")
        return self._counted(self._stream.read(size))

    def readline(self) -> bytes:
        return self._counted(self._stream.readline(MAX_READ_BYTES))

    def tell(self) -> int:
        return self._stream.tell()

    def _counted(self, content: bytes) -> bytes:
        self._left -= len(content)
        if self._left < 0:
            raise InertPickleError("is longer than the description of any network")
        return content


class _Machine:
    """The stack machine; a method for each group of opcodes."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self.storages: dict[str, StorageRecord] = {}

    def run(self, reader: _Reader) -> Any:  # noqa: ANN401  a pickle holds any value
        try:
            for opcode, argument in _opcodes(reader):
                if opcode == "STOP":
                    return self._stack.pop()
                self._carry_out(opcode, argument)
        except InertPickleError:
            raise
        except DAMAGED as error:
            raise InertPickleError("is damaged or was not copied whole") from error
        raise InertPickleError("is cut short")

    def _carry_out(self, opcode: str, argument: Any) -> None:  # noqa: ANN401  numbers, texts
        if opcode in PLAIN:
            self._stack.append(argument)
        elif opcode in CONSTANTS:
            self._stack.append(CONSTANTS[opcode])
        elif opcode in EMPTY:
            self._stack.append(EMPTY[opcode]())
        elif opcode in STEPS:
            STEPS[opcode](self, argument)
        elif opcode not in IGNORED:
            raise InertPickleError(f"holds what PyTorch does not write ({opcode})")

    def pop(self) -> Any:  # noqa: ANN401
        if self._marks and len(self._stack) <= self._marks[-1]:
            raise InertPickleError("is damaged: it takes what it has not")
        return self._stack.pop()

    def above_mark(self) -> list[Any]:
        """Return everything since the last mark, which is taken away."""
        place = self._marks.pop()
        values = self._stack[place:]
        del self._stack[place:]
        return values

    def mark(self, _: object) -> None:
        self._marks.append(len(self._stack))

    def drop(self, _: object) -> None:
        self.pop()

    def drop_to_mark(self, _: object) -> None:
        self.above_mark()

    def copy_last(self, _: object) -> None:
        self._stack.append(self._stack[-1])

    def remember(self, index: object) -> None:
        self._memo[index if isinstance(index, int) else len(self._memo)] = self._stack[-1]

    def recall(self, index: int) -> None:
        self._stack.append(self._memo[index])

    def make_tuple(self, _: object) -> None:
        self._stack.append(tuple(self.above_mark()))

    def make_list(self, _: object) -> None:
        self._stack.append(self.above_mark())

    def make_dict(self, _: object) -> None:
        table: dict[Any, Any] = {}
        _fill(table, self.above_mark())
        self._stack.append(table)

    def make_frozenset(self, _: object) -> None:
        self._stack.append(tuple(self.above_mark()))

    def append(self, _: object) -> None:
        value = self.pop()
        self._extended([value])

    def append_all(self, _: object) -> None:
        self._extended(self.above_mark())

    def _extended(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise InertPickleError("is damaged: it adds to what is no list")
        target.extend(values)

    def set_item(self, _: object) -> None:
        value, key = self.pop(), self.pop()
        self._filled([key, value])

    def set_items(self, _: object) -> None:
        self._filled(self.above_mark())

    def _filled(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not dict:
            raise InertPickleError("is damaged: it adds to what is no table")
        _fill(target, values)

    def name(self, text: str) -> None:
        module, _, name = text.partition(" ")
        self._stack.append(Name(module, name))

    def name_from_stack(self, _: object) -> None:
        name, module = self.pop(), self.pop()
        if type(name) is not str or type(module) is not str:
            raise InertPickleError("is damaged: it imports what is no name")
        self._stack.append(Name(module, name))

    def call(self, _: object) -> None:
        arguments, called = self.pop(), self.pop()
        if not isinstance(called, Name) or type(arguments) is not tuple:
            raise InertPickleError("is damaged: it calls what is no name")
        # Python 2 called its own module of functions otherwise, and PyTorch keeps to that.
        known = CALLS.get((called.module, called.name))
        if known is not None:
            self._stack.append(known(*arguments))
        elif _is_of_network(called):
            self._stack.append(ObjectRecord(called))
        else:
            raise InertPickleError(f"would run {called}")

    def make_object(self, _: object) -> None:
        arguments, kind = self.pop(), self.pop()
        if not isinstance(kind, Name) or (arguments != () and not _is_of_network(kind)):
            raise InertPickleError(f"would run {kind if isinstance(kind, Name) else 'something'}")
        self._stack.append(ObjectRecord(kind))

    def build(self, _: object) -> None:
        state = self.pop()
        target = self._stack[-1]
        # Of an ordered dict or a tensor there may be attributes, which matter to nobody here.
        if isinstance(target, ObjectRecord) and type(state) is dict:
            target.state = state  # not a copy: one state may be built into many objects

    def storage(self, _: object) -> None:
        told = self.pop()
        if type(told) is tuple and len(told) == 4 and told[0] == "module":
            self._stack.append(told[1])  # a class with its source, before PyTorch 1.6
            return
        storage = _storage(told)
        self.storages[storage.key] = storage
        self._stack.append(storage)


def _is_of_network(name: Name) -> bool:
    """Tell whether a name is of a class of a library whose objects make up networks."""
    return name.module.partition(".")[0] in NETWORK_LIBRARIES and name.name[:1].isupper()


def _opcodes(reader: _Reader) -> Iterator[tuple[str, Any]]:
    for count, (opcode, argument, _) in enumerate(pickletools.genops(cast("IO[bytes]", reader))):
        if count >= MAX_OPCODES:
            raise InertPickleError("is longer than the description of any network")
        yield opcode.name, argument


def _fill(target: dict[Any, Any], values: list[Any]) -> None:
    for key, value in zip(values[::2], values[1::2], strict=True):
        # Of a tuple within tuples, however deep, the hash would be taken without a limit.
        if type(key) not in (str, int, float, bool, bytes, type(None)):
            raise InertPickleError("holds a table whose keys are no plain values")
        target[key] = value


def _storage(told: object) -> StorageRecord:
    """Return the storage of what PyTorch keeps apart: a word, type, key, place and count.

    Before PyTorch 1.6 a sixth value may name a part: its key, its first number and its count.
    """
    if type(told) is not tuple or len(told) not in (5, 6) or told[0] != "storage":
        raise InertPickleError("keeps apart what is no storage of a tensor")
    kind, key, count = told[1], told[2], told[4]
    if not isinstance(kind, Name) or kind.module != "torch" or type(key) is not str:
        raise InertPickleError("has a storage of no known type")
    start, part = 0, told[5] if len(told) == 6 else None
    if part is not None:
        _, start, count = part
    return StorageRecord(kind=kind.name, key=key, count=_counted(count), start=_counted(start))


def _counted(number: object) -> int:
    if type(number) is not int or not 0 <= number < 2**40:
        raise InertPickleError("has a tensor whose size is no number")
    return number


def _tensor(
    storage: object, offset: object, shape: object, strides: object, *_: object
) -> TensorRecord:
    """Return the record of `torch._utils._rebuild_tensor_v2`, whose further values say nothing."""
    if not isinstance(storage, StorageRecord) or not isinstance(shape, tuple):
        raise InertPickleError("has a tensor without a storage")
    if not isinstance(strides, tuple) or len(strides) != len(shape) or len(shape) > MAX_DIMENSIONS:
        raise InertPickleError("has a tensor whose shape makes no sense")
    return TensorRecord(
        storage=storage,
        offset=_counted(offset),
        shape=tuple(map(_counted, shape)),
        strides=tuple(map(_counted, strides)),
    )


def _parameter(tensor: object, *_: object) -> object:
    return tensor


def _table() -> dict[Any, Any]:
    """Return the table of `OrderedDict()`, which is filled later."""
    return {}


def _sequence(items: object = ()) -> object:
    """Return the values of `set([...])` or `torch.Size(...)`, not copied."""
    return items


Call = Callable[..., Any]
# The names that may be called, and what stands for calling them.
CALLS: Mapping[tuple[str, str], Call] = MappingProxyType(
    {
        ("torch._utils", "_rebuild_tensor"): _tensor,
        ("torch._utils", "_rebuild_tensor_v2"): _tensor,
        ("torch._utils", "_rebuild_parameter"): _parameter,
        ("collections", "OrderedDict"): _table,
        ("torch", "Size"): _sequence,
        **{
            (module, name): _sequence
            for module in ("builtins", "__builtin__")
            for name in ("set", "frozenset")
        },
    }
)
PLAIN = frozenset(
    {
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    }
)
IGNORED = frozenset({"PROTO", "FRAME"})
CONSTANTS = MappingProxyType({"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()})
EMPTY: Mapping[str, Callable[[], Any]] = MappingProxyType(
    {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": list}
)


def _tuple_of(count: int) -> Callable[[_Machine, Any], None]:
    def make(machine: _Machine, _: object) -> None:
        values = [machine.pop() for _ in range(count)]
        machine._stack.append(tuple(reversed(values)))  # noqa: SLF001  the machine's own opcode

    return make


STEPS: Mapping[str, Callable[[_Machine, Any], None]] = MappingProxyType(
    {
        "MARK": _Machine.mark,
        "POP": _Machine.drop,
        "POP_MARK": _Machine.drop_to_mark,
        "DUP": _Machine.copy_last,
        **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.remember),
        **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.recall),
        "TUPLE": _Machine.make_tuple,
        "TUPLE1": _tuple_of(1),
        "TUPLE2": _tuple_of(2),
        "TUPLE3": _tuple_of(3),
        "LIST": _Machine.make_list,
        "DICT": _Machine.make_dict,
        "FROZENSET": _Machine.make_frozenset,
        "APPEND": _Machine.append,
        **dict.fromkeys(("APPENDS", "ADDITEMS"), _Machine.append_all),
        "SETITEM": _Machine.set_item,
        "SETITEMS": _Machine.set_items,
        "GLOBAL": _Machine.name,
        "STACK_GLOBAL": _Machine.name_from_stack,
        "REDUCE": _Machine.call,
        "NEWOBJ": _Machine.make_object,
        "BUILD": _Machine.build,
        "BINPERSID": _Machine.storage,
    }
)
