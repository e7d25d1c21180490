"""Read what a pickle of tensors says, by an interpreter that imports, makes and calls nothing.

It knows the opcodes of plain values and tensors of PyTorch, and of what checkpoints have beside
them. A name in a pickle is looked up in a table, never imported; what PyTorch would call is written
down as a value of our own, and of what stands beside the weights only what it is.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from fastdrop.formats._errors import ModelFormatError, show

RECIPE = (
    'save the tensors alone, where it can be loaded: torch.save(model.state_dict(), "model.pt"), '
    'or safetensors.torch.save_file(model.state_dict(), "model.safetensors")'
)
_MAX_RANK = 8
# What a pickle may become: so many times the bytes of its file, or for small ones this.
_GROWTH, _FREE_BYTES = 3, 8 * 2**20
# Upper bounds of what values take in CPython, in bytes.
_SLOT, _EMPTY, _NUMBER, _STRING, _ENTRY = 9, 64, 32, 56, 104
_LIST, _DICT = _EMPTY + 40, _EMPTY + 64  # with room for the first entries
_MAX_INTEGER_BYTES = 8

# Types of storages, and how NumPy has their numbers; bfloat16 stays bits.
STORAGES = {
    "torch.DoubleStorage": "f8",
    "torch.FloatStorage": "f4",
    "torch.HalfStorage": "f2",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "i8",
    "torch.IntStorage": "i4",
    "torch.ShortStorage": "i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "b1",
}


class Storage(NamedTuple):
    """Numbers in the file that tensors are views of: their type, which ones, and how many."""

    dtype: str
    key: str
    length: int


class Tensor(NamedTuple):
    """A view of a storage; offset and strides in numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Pickled(NamedTuple):
    """What a pickle says, how many bytes it has, and all storages that it refers to, by key."""

    value: Any
    size: int
    storages: dict[str, Storage]


class Beside:
    """Something beside the weights, of which only what it is is known; no two are equal."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


class _Name(NamedTuple):
    """A class or function that a pickle names."""

    text: str


def read_pickle(data: memoryview, part: str, file_bytes: int) -> Pickled:
    """Return what a pickle at the beginning of `data` says.

    That may be None, True, False, integers of 64 bits, floats, texts, lists, tuples, dicts whose
    keys are texts or integers, `Tensor`, and `Beside` for larger integers, bytes, sets, other keys
    and what has a name that is known to hold no weights. Time is in proportion to the pickle;
    memory besides it is at most 8 MiB, or three times the bytes of the file that it is in.

    Raises
    ------
    ModelFormatError
        It is malformed, or says anything else; names are told.
    """
    return _Machine(data, part, file_bytes).run()


class _Machine:
    def __init__(self, data: memoryview, part: str, file_bytes: int) -> None:
        self._data = data
        self._part = part
        self._at = 0
        self._stack: list[Any] = []
        self._highest = 0
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._storages: dict[str, Storage] = {}
        self._room = max(_GROWTH * file_bytes, _FREE_BYTES)

    def run(self) -> Pickled:
        while True:
            code = self._byte()
            if code == 0x2E:  # STOP
                value = self._pop()
                if self._stack or self._marks:
                    raise self._wrong("more than one value")
                return Pickled(value, self._at, self._storages)
            step = _STEPS.get(code)
            if step is None:
                raise self._wrong(f"the opcode {chr(code)!a}, which is not for plain tensors")
            step(self)

    # ---- what steps need ----

    def _wrong(self, what: str) -> ModelFormatError:
        return ModelFormatError(f"{self._part} has {what}")

    def _refused(self, what: str) -> ModelFormatError:
        return ModelFormatError(f"{self._part} {what}; {RECIPE}")

    def _take(self, room: int) -> None:
        self._room -= room
        if self._room < 0:
            raise self._wrong(f"too many values for its {len(self._data)} bytes")

    def _read(self, count: int) -> memoryview:
        found = self._data[self._at : self._at + count]
        if len(found) != count:
            raise ModelFormatError(f"{self._part} is truncated")
        self._at += count
        return found

    def _byte(self) -> int:
        if self._at >= len(self._data):
            raise ModelFormatError(f"{self._part} is truncated")
        self._at += 1
        return self._data[self._at - 1]

    def _integer(self, width: int, *, signed: bool = False) -> int:
        return int.from_bytes(self._read(width), "little", signed=signed)

    def _line(self) -> str:
        line = bytes(self._data[self._at : self._at + 256])
        end = line.find(b"\n")
        if end < 0:
            raise self._wrong("a name without end")
        self._at += end + 1
        return line[:end].decode("utf-8", "backslashreplace")

    def _push(self, value: Any, room: int = 0) -> None:
        self._stack.append(value)
        if len(self._stack) > self._highest:
            self._highest = len(self._stack)
            room += _SLOT
        self._take(room)

    def _pop(self) -> Any:
        least = self._marks[-1] if self._marks else 0
        if len(self._stack) <= least:
            raise self._wrong("an opcode without its values")
        return self._stack.pop()

    def _top(self, kind: type) -> Any:
        """Return what is filled, which stays where it is."""
        value = self._pop()
        self._stack.append(value)
        if type(value) not in (kind, Beside):
            raise self._wrong(f"no {kind.__name__} where one is filled")
        return value

    def _marked(self) -> list[Any]:
        """Return what was put down since the last mark."""
        if not self._marks:
            raise self._wrong("an opcode without its mark")
        mark = self._marks.pop()
        found = self._stack[mark:]
        del self._stack[mark:]
        return found

    # ---- steps ----

    def protocol(self) -> None:
        if self._integer(1) > 5:
            raise self._wrong("a protocol that is not known")

    def frame(self) -> None:
        if self._integer(8) > len(self._data) - self._at:
            raise ModelFormatError(f"{self._part} is truncated")

    def mark(self) -> None:
        self._take(_SLOT + _NUMBER)
        self._marks.append(len(self._stack))

    def long(self, width: int) -> None:
        size = self._integer(width)
        if size > _MAX_INTEGER_BYTES:  # seeds, and states of generators of random numbers
            self._read(size)
            self._push(_LARGE)
        else:
            self._push(self._integer(size, signed=True), _NUMBER)

    def text(self, width: int) -> None:
        content = bytes(self._read(self._integer(width)))
        self._take(_STRING + len(content) * (1 if content.isascii() else 5))
        try:
            self._push(content.decode("utf-8", "surrogatepass"))
        except UnicodeDecodeError as error:
            raise self._wrong("a text that is no UTF-8") from error

    def octets(self, width: int) -> None:
        self._read(self._integer(width))
        self._push(_BYTES)

    def put(self, number: int) -> None:
        value = self._pop()
        self._stack.append(value)
        self._take(_ENTRY)
        self._memo[number] = value

    def get(self, number: int) -> None:
        if number not in self._memo:
            raise self._wrong("a value that was not put down")
        self._push(self._memo[number])

    def tuple_of(self, count: int | None) -> None:
        items = self._marked() if count is None else [self._pop() for _ in range(count)][::-1]
        self._push(tuple(items), _EMPTY + _SLOT * len(items))

    def append(self, items: list[Any]) -> None:
        self._take(_SLOT * len(items))
        target = self._top(list)
        if type(target) is list:
            target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        if len(items) % 2:
            raise self._wrong("a key without a value")
        self._take(_ENTRY * (len(items) // 2))
        target = self._top(dict)
        if type(target) is Beside:
            return
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in (str, int):  # others may be long to compare, or many that are alike
                self._take(_EMPTY)
                key = Beside("a key")
            target[key] = value

    def add_items(self) -> None:
        self._marked()
        self._top(set)

    def frozenset_of(self) -> None:
        self._marked()
        self._push(_SET)

    def two(self) -> list[Any]:
        value = self._pop()
        return [self._pop(), value]

    def name(self, module: object, attribute: object) -> None:
        if not (isinstance(module, str) and isinstance(attribute, str)):
            raise self._wrong("a name that is no text")
        text = f"{module}.{attribute}"
        if text not in _NAMES:
            raise self._refused(f"names {show(text)}, which is no part of plain tensors")
        self._push(_NAMES[text])

    def name_on_stack(self) -> None:
        self.name(*self.two())

    def persistent(self) -> None:
        """A storage: what it is, the type of its numbers, which one, where it was, how many."""
        match self._pop():
            case ("storage", _Name(text), str(key), str(), int(count), *view) if (
                text in STORAGES and count >= 0 and view in ([], [None])
            ):
                storage = Storage(STORAGES[text], key, count)
                if self._storages.setdefault(key, storage) != storage:
                    raise self._wrong(f"two types or lengths for the storage {show(key)}")
                self._push(storage, _EMPTY + 3 * _SLOT + _ENTRY)
            case _:
                raise self._refused("refers to what is no storage of a tensor")

    def reduce(self) -> None:
        function, arguments = self.two()
        if type(arguments) is not tuple:
            raise self._wrong("a call of what is no function")
        if type(function) is Beside:
            self._push(function)
            return
        if type(function) is not _Name:
            raise self._wrong("a call of what is no function")
        if function.text not in _FUNCTIONS:
            raise self._refused(f"calls {show(function.text)}")
        found = _FUNCTIONS[function.text](*arguments) if len(arguments) <= 7 else None
        if found is None:
            raise self._wrong(f"other arguments of {function.text} than are known")
        self._push(found, 4 * _EMPTY)

    def new(self) -> None:
        made, arguments = self.two()
        if type(made) is not Beside or type(arguments) is not tuple:
            raise self._refused("makes what is no part of plain tensors")
        self._push(made)

    def build(self) -> None:
        """Attributes of an OrderedDict, in which state_dicts keep versions of modules."""
        attributes = self._pop()
        if type(self._top(dict)) is dict and type(attributes) is not dict:
            raise self._wrong("attributes that are no dict")


# ---- what PyTorch would call ----


def _are_counts(*values: object) -> bool:
    return all(type(value) is int and value >= 0 for value in values)  # of 63 bits at most


def _tensor(
    storage: object = None,
    offset: Any = None,
    shape: Any = None,
    strides: Any = None,
    requires_grad: object = False,
    hooks: object = None,
    metadata: object = None,
) -> Tensor | None:
    """Return a view that lies within its storage, and has no more numbers than that."""
    if metadata:  # that its numbers are stored with the other sign
        return None
    if type(storage) is not Storage or type(shape) is not tuple or type(strides) is not tuple:
        return None
    if not _are_counts(offset, *shape, *strides) or len(shape) != len(strides):
        return None
    size = math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if len(shape) > _MAX_RANK or size > storage.length or (size and last >= storage.length):
        return None
    if math.prod(n or 1 for n in shape) >= 2**59:
        return None
    return Tensor(storage, offset, shape, strides)


def _parameter(data: object = None, *rest: object) -> Tensor | None:
    return data if type(data) is Tensor else None


def _ordered(*arguments: object) -> dict[Any, Any] | None:
    return None if arguments else {}


def _default(factory: object = None) -> dict[Any, Any]:
    return {}


def _size(value: object = (), *rest: object) -> tuple[Any, ...] | None:
    return value if type(value) is tuple and not rest else None


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered,
    "collections.defaultdict": _default,
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
}

# What stands beside weights: options, paths, versions, results, states of random numbers. Whether a
# class is meant, or what is made by it, makes no difference.
_LARGE, _BYTES, _SET, _ARRAY = map(Beside, ("a large integer", "bytes", "a set", "numpy.ndarray"))
_KINDS = """
float64 float32 float16 int64 int32 int16 int8 uint64 uint32 uint16 uint8 complex64 complex128 bool
"""
_MODULES = {
    "builtins": """
        Ellipsis bool bytearray bytes complex dict float frozenset int list range set slice str
        tuple
        """,
    "__builtin__": """
        Ellipsis bool bytearray complex dict float frozenset int list long set slice str tuple
        unicode xrange
        """,
    "_codecs": "encode",
    "argparse": "Namespace",
    "collections": "Counter deque",
    "datetime": "date datetime time timedelta timezone",
    "numpy": f"bool_ dtype float_ int_ str_ {_KINDS}",
    "numpy.core.multiarray": "scalar",
    "numpy._core.multiarray": "scalar",
    "omegaconf.base": "ContainerMetadata Metadata",
    "omegaconf.dictconfig": "DictConfig",
    "omegaconf.listconfig": "ListConfig",
    "omegaconf.nodes": """
        AnyNode BooleanNode BytesNode EnumNode FloatNode IntegerNode PathNode StringNode
        """,
    "torch": f"device bfloat16 {_KINDS}",
    "torch.serialization": "_get_layout",
    "torch.torch_version": "TorchVersion",
    "types": "SimpleNamespace",
    "typing": "Any",
    # Of PyTorch Lightning: options, and what states of callbacks were called by.
    "lightning.fabric.utilities.data": "AttributeDict",
    "lightning_fabric.utilities.data": "AttributeDict",
    "pytorch_lightning.utilities.parsing": "AttributeDict",
    "pytorch_lightning.callbacks.early_stopping": "EarlyStopping",
    "pytorch_lightning.callbacks.model_checkpoint": "ModelCheckpoint",
    **dict.fromkeys(
        ("pathlib", "pathlib._local"),
        "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",
    ),
}
_ARRAYS = (
    "numpy.ndarray",
    *(
        f"numpy.{core}.{function}"
        for core in ("core", "_core")
        for function in ("multiarray._reconstruct", "numeric._frombuffer")
    ),
)
_NAMES: dict[str, _Name | Beside] = {
    **{text: _Name(text) for text in (*_FUNCTIONS, *STORAGES)},
    **{
        text: Beside(text)
        for module, names in _MODULES.items()
        for text in (f"{module}.{name}" for name in names.split())
    },
    **dict.fromkeys(_ARRAYS, _ARRAY),
}


# ---- opcodes ----

_STEPS: dict[int, Callable[[_Machine], object]] = {
    ord(code): step
    for code, step in {
        "\x80": _Machine.protocol,
        "\x95": _Machine.frame,
        "(": _Machine.mark,
        "N": lambda m: m._push(None),
        "\x88": lambda m: m._push(True),
        "\x89": lambda m: m._push(False),
        "J": lambda m: m._push(m._integer(4, signed=True), _NUMBER),
        "K": lambda m: m._push(m._byte()),
        "M": lambda m: m._push(m._integer(2), _NUMBER),
        "\x8a": lambda m: m.long(1),
        "\x8b": lambda m: m.long(4),
        "G": lambda m: m._push(struct.unpack(">d", m._read(8))[0], _NUMBER),
        "\x8c": lambda m: m.text(1),
        "X": lambda m: m.text(4),
        "\x8d": lambda m: m.text(8),
        "U": lambda m: m.text(1),  # of Python 2, whose texts are bytes
        "T": lambda m: m.text(4),
        "C": lambda m: m.octets(1),
        "B": lambda m: m.octets(4),
        "\x8e": lambda m: m.octets(8),
        "\x96": lambda m: m.octets(8),  # a bytearray
        "\x8f": lambda m: m._push(_SET),
        "\x90": _Machine.add_items,
        "\x91": _Machine.frozenset_of,
        "]": lambda m: m._push([], _LIST),
        "a": lambda m: m.append([m._pop()]),
        "e": lambda m: m.append(m._marked()),
        ")": lambda m: m._push(()),
        "\x85": lambda m: m.tuple_of(1),
        "\x86": lambda m: m.tuple_of(2),
        "\x87": lambda m: m.tuple_of(3),
        "t": lambda m: m.tuple_of(None),
        "}": lambda m: m._push({}, _DICT),
        "s": lambda m: m.set_items(m.two()),
        "u": lambda m: m.set_items(m._marked()),
        "q": lambda m: m.put(m._byte()),
        "r": lambda m: m.put(m._integer(4)),
        "\x94": lambda m: m.put(len(m._memo)),
        "h": lambda m: m.get(m._byte()),
        "j": lambda m: m.get(m._integer(4)),
        "c": lambda m: m.name(m._line(), m._line()),
        "\x93": _Machine.name_on_stack,
        "Q": _Machine.persistent,
        "R": _Machine.reduce,
        "\x81": _Machine.new,
        "b": _Machine.build,
    }.items()
}
