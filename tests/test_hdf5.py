"""The reader of HDF5, on files written by hand: what each check refuses and lets through."""

import io
import re
import struct
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("h5py", reason="the files under test are written with h5py")

import h5py

from fastdrop.formats import ModelFormatError
from fastdrop.formats._safe_hdf5 import Group, Hdf5, read_arrays
from hdf5_files import (
    ATTRIBUTE,
    CONTINUATION,
    FLOAT32,
    LAYOUT,
    NIL,
    SPACE,
    TABLE,
    TYPE,
    VARIABLE,
    Image,
    Message,
    attribute,
    continuation,
    fixed,
    messages,
    pad,
    space,
)

NUMBERS = np.arange(4, dtype=np.float32).reshape(2, 2)
ONE = Group({"x": (2, 2)})


def plain(extra: tuple[Message, ...] = ()) -> bytes:
    """Return a file with one dataset, and more messages in its root."""
    image = Image()
    return image.finish(image.group({"x": image.dataset(NUMBERS)}, extra))


def refused(content: bytes, fragment: str, root: Group = ONE) -> None:
    """Check that a file is refused within the memory and the time it may take."""
    with pytest.raises(ModelFormatError) as caught:
        bounded(content, root)
    assert fragment in str(caught.value)


def bounded(content: bytes, root: Group) -> dict[str, Any]:
    """Read a file within the memory and the time it may take."""
    tracemalloc.start()
    begin = time.process_time()
    try:
        arrays = read_arrays(content, root)
    finally:
        seconds = time.process_time() - begin
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3 * len(content) + 2**16  # and the file itself is the fourth
        assert seconds < 2 + len(content) / 2**18
    return arrays


def read(content: bytes, root: Group = ONE) -> None:
    """Check that a file is read, and right."""
    assert all(np.array_equal(a, NUMBERS) for a in bounded(content, root).values())


def test_a_file_by_hand_is_one_to_the_library() -> None:
    """The files below are valid but for what each is about."""
    image = Image()
    heap = image.heap([b"one", b"two"])
    content = image.finish(
        image.group(
            {f"x{i}": image.dataset(NUMBERS + i) for i in range(20)},
            [image.strings("list", [b"one", b"two"], heap), image.string("name", b"three")],
        )
    )
    with h5py.File(io.BytesIO(content)) as file:
        assert [np.array_equal(file[f"x{i}"], NUMBERS + i) for i in range(20)] == [True] * 20
        assert list(file.attrs["list"]) == ["one", "two"]
        assert file.attrs["name"] == "three"
    root = Group({f"x{i}": (2, 2) for i in range(20)}, name="three")
    arrays = bounded(content, root)
    assert list(arrays) == [f"/x{i}" for i in range(20)]
    assert all(np.array_equal(arrays[f"/x{i}"], NUMBERS + i) for i in range(20))


# ---- memory and work: what a small file could ask for ----


def test_one_block_continued_many_times() -> None:
    """Each of 60 copies of 60 kB was kept, and again on each level of groups."""
    image = Image()
    block = messages([attribute(b"more\0", fixed(60_000), space(1), bytes(60_000))])
    at = image.put(block)
    child = image.dataset(NUMBERS)
    root = Group({"x": (2, 2)})
    for _ in range(30):
        table = image.table({"x": child})
        child = image.header([table, *[continuation(at, len(block))] * 60], total=121)
        root = Group({"x": root}, name="layer")
    assert isinstance(root.children["x"], Group)
    refused(image.finish(child), "used twice", root.children["x"])


def test_many_names_in_a_large_heap() -> None:
    """The whole heap was walked for each of the attributes."""
    image = Image()
    heap = image.heap([b""] * 4000 + [b"layer"], size=2**17)
    name = image.string("name", b"layer", heap, 4001)
    content = image.finish(image.group({"x": image.dataset(NUMBERS)}, [name] * 1000))
    refused(content, "the attribute name occurs twice", Group({"x": (2, 2)}, name="layer"))


def test_a_heap_is_indexed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups share a heap, as they do in files of the library."""
    calls: list[int] = []
    index = Hdf5._index
    monkeypatch.setattr(
        Hdf5, "_index", lambda self, heap, path: calls.append(heap) or index(self, heap, path)
    )
    image = Image()
    heap = image.heap([f"layer{i}".encode() for i in range(2000)], size=2**17)
    groups = {
        f"g{i}": image.group(
            {"x": image.dataset(NUMBERS)},
            [image.string("name", f"layer{i}".encode(), heap, i + 1)],
        )
        for i in range(2000)
    }
    root = Group({f"g{i}": Group({"x": (2, 2)}, name=f"layer{i}") for i in range(2000)})
    read(image.finish(image.group(groups)), root)
    assert len(calls) == 1


def test_one_block_of_empty_messages_for_all_objects() -> None:
    image = Image()
    block = messages([(NIL, b"")] * 8000)
    at = image.put(block)
    groups = {
        f"g{i}": image.header([image.table({}), continuation(at, len(block))], total=8002)
        for i in range(200)
    }
    root = Group({f"g{i}": Group() for i in range(200)})
    refused(image.finish(image.group(groups)), "used twice", root)


def test_long_names_that_share_their_bytes() -> None:
    image = Image()
    heap, _ = image.local_heap([b"x" * 1000])
    data = image.dataset(NUMBERS)
    leaf = image.leaf([(8 + i, data) for i in range(1000)])
    root = image.header([(TABLE, struct.pack("<2Q", image.node([leaf]), heap))])
    names = frozenset("x" * (1000 - i) for i in range(1000))
    refused(image.finish(root), "used twice", Group(ignored=names))


def test_strings_that_share_their_bytes() -> None:
    """One text of a heap, named again and again."""
    image = Image()
    heap = image.heap([b"x" * 30_000], size=2**15)
    reference = struct.pack("<IQI", 30_000, heap, 1)
    listed = attribute(b"name\0", VARIABLE, space(4000), reference * 4000)
    file = Hdf5(image.finish(image.group({}, [listed])), "")
    group = file.open_group(file.root, "", re.compile(b"name"))
    tracemalloc.start()
    with pytest.raises(ModelFormatError, match="more bytes than the file"):
        file.texts(group.attributes["name"], "name", "", "max", 4000)
    assert tracemalloc.get_traced_memory()[1] < 3 * len(file.image)
    tracemalloc.stop()


def overlapping(shift: int) -> bytes:
    """Return two datasets whose numbers stand so many bytes apart."""
    image = Image()
    at = image.put(bytes(64))
    zeros = np.zeros((2, 2))
    return image.finish(
        image.group({"x": image.dataset(zeros, at), "y": image.dataset(zeros, at + shift)})
    )


def test_blocks_do_not_overlap() -> None:
    root = Group({"x": (2, 2), "y": (2, 2)})
    assert set(bounded(overlapping(16), root)) == {"/x", "/y"}
    for shift in (0, 1, 15):
        refused(overlapping(shift), "are used twice", root)


def test_numbers_are_not_a_header() -> None:
    image = Image()
    inner = image.dataset(NUMBERS)
    content = image.finish(image.group({"x": inner, "y": image.dataset(NUMBERS, inner - 8)}))
    refused(content, "are used twice", Group({"x": (2, 2), "y": (2, 2)}))


# ---- each check, just within and just beyond ----


def header(**change: Any) -> bytes:
    """Return a file whose dataset has a header with something changed."""
    image = Image()
    data = image.put(NUMBERS.tobytes())
    parts: dict[str, bytes] = {
        "space": space(2, 2),
        "type": FLOAT32,
        "layout": b"\x03\x01" + struct.pack("<2Q", data, 16),
    }
    extra = change.pop("extra", [])
    total = change.pop("total", 0)
    links = change.pop("links", 1)
    parts |= change
    kinds = {"space": SPACE, "type": TYPE, "layout": LAYOUT}
    items = [(kinds[k], v) for k, v in parts.items() if v is not None] + extra
    return image.finish(image.group({"x": image.header(items, len(items) + total, links)}))


def edited(content: bytes, signature: bytes, offset: int, form: str, *values: object) -> bytes:
    """Return a file changed behind the first place where some bytes stand."""
    changed = bytearray(content)
    struct.pack_into(form, changed, content.index(signature) + offset, *values)
    return bytes(changed)


def huge_rank(rank: int) -> bytes:
    return space(2, 2, *[1] * (rank - 2))


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        pytest.param(content, fragment, id=name)
        for name, content, fragment in [
            ("links", header(links=2), "has 2 links"),
            ("one message more", header(total=1), "its object header is truncated"),
            ("no shape", header(space=None), "expected a shape, found something else"),
            ("no type", header(type=None), "expected a type of numbers, found"),
            ("no layout", header(layout=None), "expected contiguous storage, found"),
            ("two shapes", header(extra=[(SPACE, space(2, 2))]), "expected a shape, found several"),
            ("two layouts", header(extra=[(LAYOUT, b"\x03\x01")]), "found several"),
            ("new space", header(space=b"\x02" + space(2, 2)[1:]), "dataspace is malformed"),
            ("short space", header(space=space(2, 2)[:-8]), "dataspace is malformed"),
            ("rank 9", header(space=huge_rank(9)), "dataspace is malformed"),
            ("rank 8", header(space=huge_rank(8)), "expected shape (2, 2), found (2, 2, 1"),
            ("short type", header(type=FLOAT32[:8]), "expected a type of numbers"),
            ("cut float", header(type=FLOAT32[:16]), "expected float32, found something else"),
            ("compact", header(layout=b"\x03\x00" + bytes(16)), "expected contiguous storage"),
            ("old layout", header(layout=b"\x02\x01" + bytes(16)), "expected contiguous storage"),
            ("short layout", header(layout=b"\x03\x01" + bytes(6)), "expected contiguous"),
            ("17 bytes", header(layout=b"\x03\x01" + struct.pack("<2Q", 96, 17)), "found 17"),
            ("20 bytes", header(layout=b"\x03\x01" + struct.pack("<2Q", 96, 20)), "found 20"),
            ("15 bytes", header(layout=b"\x03\x01" + struct.pack("<2Q", 96, 15)), "found 15"),
            ("dense", header(extra=[(0x15, bytes(16))]), "found dense storage of attributes"),
            ("new links", plain(((0x2, bytes(8)),)), "found links of a newer form"),
            ("new link", plain(((0x6, bytes(8)),)), "found links of a newer form"),
            ("group info", plain(((0xA, bytes(8)),)), "found links of a newer form"),
            ("external", header(extra=[(0x7, bytes(8))]), "found external storage"),
            ("fill of a group", plain(((0x5, bytes(8)),)), "found a message of type 0x5"),
            ("filter", header(extra=[(0xB, bytes(8))]), "found a filter"),
            ("unknown", header(extra=[(0x77, b"")]), "found a message of type 0x77"),
            ("base", edited(plain(), b"\x89HDF", 24, "<Q", 8), "not HDF5 of the form"),
            ("driver", edited(plain(), b"\x89HDF", 48, "<Q", 96), "not HDF5 of the form"),
            ("offsets", edited(plain(), b"\x89HDF", 13, "<B", 4), "not HDF5 of the form"),
            ("one byte less", edited(plain(), b"\x89HDF", 40, "<Q", len(plain()) - 1), "declares"),
            ("leaf", edited(plain(), b"SNOD", 0, "4s", b"XXXX"), "symbol table is malformed"),
            ("leaf version", edited(plain(), b"SNOD", 4, "<B", 0), "symbol table is malformed"),
            ("heap", edited(plain(), b"HEAP", 0, "4s", b"XXXX"), "local heap is malformed"),
            ("heap version", edited(plain(), b"HEAP", 4, "<B", 1), "local heap is malformed"),
            ("heap size", edited(plain(), b"HEAP", 8, "<Q", len(plain())), "beyond the end"),
            ("name cut", edited(plain(), b"HEAP", 8, "<Q", 9), "a name is malformed"),
            ("no name", edited(plain(), b"SNOD", 8, "<Q", 0), "a name is malformed"),
            ("soft link", edited(plain(), b"SNOD", 24, "<I", 2), "is a soft or external link"),
            ("tree", edited(plain(), b"TREE", 0, "4s", b"XXXX"), "its tree is malformed"),
            ("chunk tree", edited(plain(), b"TREE", 4, "<B", 1), "its tree is malformed"),
        ]
    ],
)
def test_refused(content: bytes, fragment: str) -> None:
    refused(content, fragment)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(content, id=name)
        for name, content in [
            ("plain", plain()),
            ("header", header()),
            ("nothing between", header(extra=[(NIL, b""), (NIL, bytes(8))])),
            *(
                (name, header(extra=[(kind, bytes(8))]))
                for name, kind in (("fill", 0x5), ("old fill", 0x4), ("time", 0x12))
            ),
            ("time of a group", plain(((0x12, bytes(8)),))),
            ("other attributes", plain((attribute(b"y\0", FLOAT32, space(), bytes(4)),))),
            ("cached", edited(plain(), b"SNOD", 24, "<I", 1)),
            ("name of 8 bytes with its end", edited(plain(), b"HEAP", 8, "<Q", 10)),
            ("padded type", header(type=FLOAT32 + bytes(12))),
        ]
    ],
)
def test_accepted(content: bytes) -> None:
    read(content)


def test_an_object_is_linked_once() -> None:
    image = Image()
    data = image.dataset(NUMBERS)
    root = Group({"x": (2, 2), "y": (2, 2)})
    refused(image.finish(image.group({"x": data, "y": data})), "linked twice", root)


def test_a_group_in_itself() -> None:
    image = Image()
    inner = image.header([(TABLE, bytes(16))])
    tree, heap = struct.unpack("<2Q", image.table({"x": inner})[1])
    struct.pack_into("<2Q", image.data, inner + 24, tree, heap)
    refused(image.finish(inner), "linked twice", Group({"x": ONE}))


def test_the_same_name_twice() -> None:
    image = Image()
    heap, (first, second) = image.local_heap([b"x", b"x"])
    leaf = image.leaf([(first, image.dataset(NUMBERS)), (second, image.dataset(NUMBERS))])
    root = image.header([(TABLE, struct.pack("<2Q", image.node([leaf]), heap))])
    refused(image.finish(root), "'x' occurs twice")


@pytest.mark.parametrize(("count", "good"), [(64, True), (65, False)])
def test_blocks_of_a_header(count: int, good: bool) -> None:
    image = Image()
    table = image.table({"x": image.dataset(NUMBERS)})
    size = len(messages([table]))
    at = image.put(messages([table]))
    for _ in range(count - 2):
        block = messages([continuation(at, size)])
        at, size = image.put(block), len(block)
    content = image.finish(image.header([continuation(at, size)], total=count))
    if good:
        read(content)
    else:
        refused(content, "its object header is malformed")


def test_messages_stay_within_their_block() -> None:
    image = Image()
    table = image.table({"x": image.dataset(NUMBERS)})
    root = image.header([table])
    content = image.finish(root)
    read(content)
    for size in (23, 8):
        changed = bytearray(content)
        struct.pack_into("<I", changed, root + 8, size)
        refused(bytes(changed), "a message reaches beyond its block")
    struct.pack_into("<I", changed, root + 8, 7)
    refused(bytes(changed), "its object header is truncated")


def test_a_short_continuation() -> None:
    refused(plain(((CONTINUATION, bytes(8)),)), "its object header is malformed")


def test_shared_messages() -> None:
    changed = bytearray(header())
    at = changed.index(FLOAT32) - 4
    changed[at] |= 1  # constant, as the library has it
    read(bytes(changed))
    changed[at] |= 2
    refused(bytes(changed), "a shared message")


@pytest.mark.parametrize("version", [0, 2])
def test_versions_of_headers(version: int) -> None:
    image = Image()
    data = image.dataset(NUMBERS)
    image.data[data] = version
    refused(image.finish(image.group({"x": data})), "an object header of another form")


@pytest.mark.parametrize(("length", "good"), [(1, True), (1024, True), (1025, False)])
def test_the_length_of_a_name(length: int, good: bool) -> None:
    image = Image()
    name = "n" * length
    content = image.finish(image.group({name: image.dataset(NUMBERS)}))
    if good:
        read(content, Group({name: (2, 2)}))
    else:
        refused(content, "a name is malformed", Group({name: (2, 2)}))


@pytest.mark.parametrize(("levels", "good"), [(8, True), (9, False)])
def test_the_height_of_a_tree(levels: int, good: bool) -> None:
    image = Image()
    heap, (name,) = image.local_heap([b"x"])
    node = image.leaf([(name, image.dataset(NUMBERS))])
    for level in range(levels + 1):
        node = image.node([node], level)
    content = image.finish(image.header([(TABLE, struct.pack("<2Q", node, heap))]))
    if good:
        read(content)
    else:
        refused(content, "the levels of its tree")


def test_levels_count_down() -> None:
    image = Image()
    heap, (name,) = image.local_heap([b"x"])
    leaf = image.node([image.leaf([(name, image.dataset(NUMBERS))])])
    content = image.finish(image.header([(TABLE, struct.pack("<2Q", image.node([leaf], 2), heap))]))
    refused(content, "the levels of its tree")


def test_an_empty_node_below_the_root() -> None:
    image = Image()
    heap, _ = image.local_heap([])
    root = image.node([image.node([])], 1)
    content = image.finish(image.header([(TABLE, struct.pack("<2Q", root, heap))]))
    refused(content, "its tree is malformed", Group())


def test_an_empty_group() -> None:
    image = Image()
    assert bounded(image.finish(image.group({})), Group()) == {}


def named(**change: Any) -> bytes:
    """Return a file whose root has an attribute `name`, with something changed."""
    image = Image()
    heap = image.put(change.pop("heap", None) or heap_block())
    text = change.get("length", 5), heap, change.get("number", 1)
    content = change.get("content", struct.pack("<IQI", *text))
    kind, content = attribute(
        change.get("name", b"name\0"),
        change.get("type", VARIABLE),
        space(*change.get("shape", ())),
        content,
    )
    content = change.get("head", b"") + content[len(change.get("head", b"")) :]
    message = kind, content[: change.get("cut", len(content))]
    extra = [message] * change.get("times", 1)
    return image.finish(image.group({"x": image.dataset(NUMBERS)}, extra))


def heap_block(texts: tuple[bytes, ...] = (b"layer", b"other"), size: int = 4096) -> bytes:
    image = Image()
    image.heap(texts, size)
    return bytes(image.data[96:])


def changed_heap(offset: int, form: str, *values: object) -> bytes:
    heap = bytearray(heap_block())
    struct.pack_into(form, heap, offset, *values)
    return bytes(heap)


# The first text of a heap stands at 16, with its number, count and size; the second at 40.
FULL = heap_block((b"layer", bytes(4096 - 16 - 24 - 16)))
LAYER = Group({"x": (2, 2)}, name="layer")
FORM = "not a string as Keras writes it"


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        pytest.param(content, fragment, id=name)
        for name, content, fragment in [
            ("other", named(number=2), "is of layer 'other', expected 'layer'"),
            ("prefix", named(length=4), "is of layer 'laye', expected 'layer'"),
            ("none", named(length=0, number=0), "is of layer '', expected"),
            ("too long", named(length=6), "a string is not in the global heap"),
            ("number", named(number=3), "a string is not in the global heap"),
            ("number 0", named(number=0), "a string is not in the global heap"),
            ("twice", named(times=2), "the attribute name occurs twice"),
            ("version 3", named(head=b"\x03"), "an attribute of another form"),
            ("no end of its name", named(name=b"nameless"), "the name of an attribute is"),
            ("short", named(cut=8), "the name of an attribute is malformed"),
            ("shorter", named(cut=0), "an attribute is malformed"),
            ("cut", named(cut=56), FORM),
            ("list", named(shape=(1,)), FORM),
            ("number as name", named(type=FLOAT32), FORM),
            ("sequence", named(type=b"\x19\0" + VARIABLE[2:]), FORM),
            ("item", named(type=VARIABLE[:4] + b"\x08" + VARIABLE[5:]), FORM),
            ("short type", named(type=VARIABLE[:4]), FORM),
            ("no bytes", named(type=fixed(0)), FORM),
            ("spaces", named(type=fixed(5, 2)), FORM),
            ("too many bytes", named(type=fixed(17)), FORM),
            ("heap", named(heap=changed_heap(0, "4s", b"XXXX")), "global heap is malformed"),
            ("heap version", named(heap=changed_heap(4, "<B", 2)), "global heap is malformed"),
            ("small heap", named(heap=changed_heap(8, "<Q", 4095)), "global heap is malformed"),
            ("large heap", named(heap=changed_heap(8, "<Q", 2**60)), "beyond the end"),
            ("size", named(heap=changed_heap(48, "<Q", 4041)), "global heap is malformed"),
            ("huge", named(heap=changed_heap(48, "<Q", 2**64 - 8)), "global heap is malformed"),
            ("number twice", named(heap=changed_heap(40, "<H", 1)), "occurs twice in the global"),
            ("freed", named(heap=changed_heap(16, "<H", 0)), "a string is not in the global"),
        ]
    ],
)
def test_names_refused(content: bytes, fragment: str) -> None:
    refused(content, fragment, LAYER)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(content, id=name)
        for name, content in [
            ("as it is", named()),
            ("full heap", named(heap=FULL)),
            ("numbers out of order", named(number=3, heap=changed_heap(16, "<H", 3))),
            ("fixed", named(type=fixed(16), content=b"layer".ljust(16, b"\0"))),
            ("fixed, all of it", named(type=fixed(5), content=b"layer" + bytes(3))),
            ("fixed, up to a zero", named(type=fixed(8, 0), content=b"layer\0xx")),
            ("UTF-8", named(type=VARIABLE[:2] + b"\1" + VARIABLE[3:])),
            ("not asked for", named(name=b"Name\0", number=9)),
            ("longer name", named(name=b"names\0", number=9)),
        ]
    ],
)
def test_names_accepted(content: bytes) -> None:
    read(content, LAYER)


# ---- types of numbers ----


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
def test_types_of_numbers(order: str, kind: str) -> None:
    """As the library writes them; each is returned in its own type, in the order of the machine."""
    numbers = np.array([[1, 2], [3, 100]], order + kind)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["x"] = numbers
    native = np.dtype(kind).name
    arrays = read_arrays(buffer.getvalue(), ONE, dtypes={native})
    assert arrays["/x"].dtype == np.dtype(kind)
    assert arrays["/x"].dtype.isnative
    assert arrays["/x"].flags.writeable
    assert np.array_equal(arrays["/x"], numbers)
    with pytest.raises(ModelFormatError, match=rf"the part: /x: expected other, found {native}"):
        read_arrays(buffer.getvalue(), ONE, dtypes={"other"}, part="the part")


# ---- names of groups as Windows spelled them ----


def windows(paths: dict[str, np.ndarray], edit: Callable[[Any], object] = id) -> bytes:
    """Return a file of Keras 2.13 on Windows: every path is one group of the root."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for path, array in paths.items():
            file[path] = array
        edit(file)
    return buffer.getvalue()


NESTED = Group(
    {
        "layers": Group(
            {
                "lstm": Group(
                    {"vars": Group(), "cell": Group({"vars": Group({"0": (2, 2)})})},
                    ignored=frozenset({"seed_generator"}),
                ),
                "dense": Group({"vars": Group({"0": (2, 2)})}),
            }
        ),
        "vars": Group(),
    },
    ignored=frozenset({"optimizer", "metrics"}),
)
BACKSLASHES = {r"layers\lstm\cell/vars/0": NUMBERS, r"layers\dense/vars/0": NUMBERS + 4}


def test_backslashes_are_slashes() -> None:
    def edit(file: Any) -> None:
        for name in (r"layers\lstm\vars", r"metrics\mean", r"optimizer\x\y", "vars"):
            file.create_group(name)
        file.create_group(r"layers\lstm\seed_generator")

    arrays = read_arrays(windows(BACKSLASHES, edit), NESTED)
    assert set(arrays) == {"/layers/lstm/cell/vars/0", "/layers/dense/vars/0"}
    assert np.array_equal(arrays["/layers/lstm/cell/vars/0"], NUMBERS)
    assert np.array_equal(arrays["/layers/dense/vars/0"], NUMBERS + 4)


@pytest.mark.parametrize(
    ("paths", "fragment"),
    [
        ({r"layers\lstm\cell/vars/0": NUMBERS}, "/layers: dense is missing"),
        ({"vars/x": NUMBERS}, "/vars: unexpected 'x'"),
        ({r"layers\gru/vars/0": NUMBERS}, r"weights.h5: /: unexpected 'layers\\gru'"),
        ({r"layers\dense\vars\0\x/y": NUMBERS}, "unexpected 'layers"),
        (BACKSLASHES | {"layers/dense/vars/0": NUMBERS}, "/layers/dense: occurs twice"),
        (BACKSLASHES | {r"layers\dense\vars\0": NUMBERS}, "/layers/dense/vars/0: occurs twice"),
        ({r"layers/dense\vars/0": NUMBERS}, "/layers: unexpected 'dense"),
        ({r"\layers\dense/vars/0": NUMBERS}, "unexpected '"),
    ],
)
def test_backslashes_refused(paths: dict[str, np.ndarray], fragment: str) -> None:
    refused(windows(paths), fragment, NESTED)


# ---- damage ----


def test_ignored_groups_are_not_opened() -> None:
    image = Image()
    root = image.group({"x": image.dataset(NUMBERS), "optimizer": 2**40})
    read(image.finish(root), Group({"x": (2, 2)}, ignored=frozenset({"optimizer"})))


def test_padding_is_not_read() -> None:
    assert pad(b"123") == b"123" + bytes(5)
    assert plain(((ATTRIBUTE, bytes(8)),))  # of no interest where no attribute is asked for
    read(plain(((ATTRIBUTE, bytes(8)),)))
