"""The lists of what is read, against the rows that they are made from, and what the site holds."""

import ast
import importlib
import importlib.util
import inspect
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import fastdrop as fd
import fastdrop.typing
from fastdrop import _check, cli
from fastdrop.formats.keras._registry import LAYERS
from fastdrop.formats.keras.functions import KERAS
from fastdrop.formats.keras.tensorflow_functions import TENSORFLOW
from fastdrop.formats.onnx._registry import OPERATORS

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(
    not (ROOT / "docs").is_dir(), reason="docs/ and README.md are in a checkout alone"
)


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made() -> ModuleType:
    """Return the script that writes them."""
    return script("layers")


@pytest.mark.parametrize(
    "page", ["docs/layers.md", "docs/formats/onnx.md", "docs/reference/command.md"]
)
def test_the_pages_are_those_of_the_rows(made: ModuleType, page: str) -> None:
    assert (ROOT / page).read_text("utf-8") == made.PAGES[page](), "run `make docs`"


@pytest.mark.parametrize("page", ["docs/pytorch.md"])
def test_parts_of_pages_are_those_of_the_rows(made: ModuleType, page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    assert text == made.with_blocks(page, text), "run `make docs`"


def test_all_pages_that_are_written_are_tested(made: ModuleType) -> None:
    assert [*made.PAGES, *made.BLOCKS] == [
        *("docs/layers.md", "docs/formats/onnx.md", "docs/reference/command.md"),
        "docs/pytorch.md",
    ]


def test_the_command_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """By its help, which names every command, and each option of these."""
    page = (ROOT / "docs" / "reference" / "command.md").read_text("utf-8")
    found = re.split(r"^## fastdrop (\w+)\n", page, flags=re.MULTILINE)
    parts = dict(zip(found[1::2], found[2::2], strict=True))
    assert len(parts) >= 6
    for name, part in parts.items():
        with pytest.raises(SystemExit):
            cli.main([name, "--help"])
        said = {*re.findall(r"(?<![\w-])--[a-z][a-z-]*", capsys.readouterr().out)} - {"--help"}
        assert said == {*re.findall(r"(?<![\w-])--[a-z][a-z-]*", part)}, name
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert {*re.findall(r"^    (\w+)  ", capsys.readouterr().out, re.MULTILINE)} == {*parts}


def test_variables_are_those_that_are_read() -> None:
    page = (ROOT / "docs" / "reference" / "environment.md").read_text("utf-8")
    told = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    read = set()
    for file in [*(ROOT / "fastdrop").glob("**/*.py"), ROOT / "setup.py"]:
        read |= {*re.findall(r"(?:read|get)\(\"(FASTDROP_\w+)\"", file.read_text("utf-8"))}
        plain = {*re.findall(r"environ(?:\.get\(|\[)\"(\w+)", file.read_text("utf-8"))}
        assert plain <= {"FASTDROP_BUILD", "CFLAGS", "SOURCE_DATE_EPOCH"}, file
    assert sorted(told) == sorted(read)
    assert f"[1, {_check.MAX_THREADS}]" in page


def test_everything_is_listed() -> None:
    """Whoever reads the page finds each class with all its options, and each function."""
    page = (ROOT / "docs" / "layers.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| (\w+) \| (.*) \|.*\|$", page, re.MULTILINE))
    for name, row in LAYERS.items():
        if not row.per_call:
            assert re.findall(r"`(\w+)`", rows[name]) == [option.key for option in row.options]
    for name, function in KERAS.items():
        assert f"`{name}({', '.join(function.arguments)})`" in page.replace("\n", " ")
    for name in TENSORFLOW:
        assert f"`{name}`" in page
    page = (ROOT / "docs" / "formats" / "onnx.md").read_text("utf-8")
    assert set(OPERATORS) == set(re.findall(r"`(\w+)`", page.partition("\n## ")[2]))


# ---- the reference ----

NAMED = re.compile(r"^ {3}(\w+)$|^\.\. (?:auto)?(?:data|class):: (\w+)$", re.MULTILINE)
EXTRAS = ("fastdrop.sklearn", "fastdrop.dask", "fastdrop.torch")


def public(module: str) -> set[str]:
    """Return a module's public names, from its source where what it needs may be missing."""
    if module not in EXTRAS:
        return set(importlib.import_module(module).__all__)
    path = ROOT / module.replace(".", "/")
    text = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text("utf-8")
    return set(ast.literal_eval(re.findall(r"^__all__ = (\[.*?\])", text, re.M | re.S)[0]))


def listed() -> dict[str, set[str]]:
    """Return the names in the reference by their modules."""
    found: dict[str, set[str]] = {}
    for page in sorted((ROOT / "docs" / "reference").glob("*.rst")):
        _, *parts = re.split(r"^\.\. currentmodule:: ", page.read_text("utf-8"), flags=re.MULTILINE)
        for part in parts:
            module, _, text = part.partition("\n")
            names = {one or other for one, other in NAMED.findall(text)}
            found.setdefault(module, set()).update(names)
    return found


def test_the_reference_has_every_public_name() -> None:
    modules = {name for name in fd.__all__ if inspect.ismodule(getattr(fd, name))}
    reference = listed()
    # What a type is says the module itself, in a list.
    page = (ROOT / "docs" / "reference" / "typing.rst").read_text("utf-8")
    assert ".. automodule:: fastdrop.typing\n" in page
    lines = re.findall(r"^[A-Z]\w+(?:, \w+)*$", fastdrop.typing.__doc__ or "", re.MULTILINE)
    reference["fastdrop.typing"] = {name for line in lines for name in line.split(", ")} - {
        "Examples"
    }
    assert {f"fastdrop.{name}" for name in modules} | set(EXTRAS) | {"fastdrop"} == set(reference)
    assert reference.pop("fastdrop") == set(fd.__all__) - modules
    for module, names in reference.items():
        assert names == public(module), module


# ---- what pages say of the code ----


def test_how_a_key_travels() -> None:
    """Every file and every name on the page is there, and defined there."""
    page = (ROOT / "docs" / "contributing" / "mask_key.md").read_text("utf-8")
    steps = re.findall(r"^\| \d+ \| `([\w/.]+)` \| `([\w.]+)` \|", page, re.MULTILINE)
    assert len(steps) == 18
    for file, name in steps:
        text = (ROOT / file).read_text("utf-8")
        if file.endswith((".c", ".h")):
            assert re.search(rf"^[^\n;]*\W{name}\)?\(", text, re.MULTILINE), name
            continue
        *outer, inner = name.split(".")
        for part in outer:
            _, _, text = text.partition(f"class {part}")
        assert re.search(rf"^ *(def|class) {inner}\b", text, re.MULTILINE), f"{file}: {name}"
    for file in re.findall(r"`((?:fastdrop|src)/[\w/.]+)`", page):
        assert (ROOT / file).is_file(), file


PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """In the repository; on the site `make docs` looks at them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, place = target.partition("#")
        if file.startswith(("https://", "mailto:")):
            continue
        to = page.parent / file if file else page
        assert to.exists(), target
        if place:
            headings = re.findall(r"^#+ (.*)$", to.read_text("utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings]
            assert place in slugs, target


# Pages that are written for those who read files.
READ_AS_FILES = ("docs/contributing/", "docs/guides/performance.md")


def test_pages_of_the_site_are_linked() -> None:
    """A path of the repository is no address on the site."""
    for page in ROOT.glob("docs/**/*.md"):
        name = page.relative_to(ROOT).as_posix()
        if not name.startswith(READ_AS_FILES):
            assert re.findall(r"`docs/[\w/]+\.md`", page.read_text("utf-8")) == [], name
    for file in (ROOT / "fastdrop").glob("**/*.py"):
        for before, path, after in re.findall(r"(`*)\b(docs/\w+\.md)(`*)", file.read_text("utf-8")):
            assert (before, after) == ("``", "``"), file  # which is made a link of
            assert (ROOT / path).is_file()


def test_numpys_addresses_are_of_what_numpy_has() -> None:
    lines = (ROOT / "docs" / "numpy.inv").read_text("utf-8").splitlines()[3:]
    assert lines
    for line in lines:
        name, kind, address = line.split()
        assert kind == "class"
        assert inspect.isclass(eval(name, {"numpy": np})), name
        assert address.startswith("reference/")


def test_links_that_are_dead_are_found(tmp_path: Path) -> None:
    links = script("check_links")
    (tmp_path / "a.html").write_text('<a href="b.html#here">1</a><a href="b.html#there">2</a>')
    (tmp_path / "b.html").write_text('<p id="here"><img src="c.svg"><a href="https://x.org/#y">')
    found, others = links.dead(tmp_path)
    assert found == ["a.html: b.html#there", "b.html: c.svg"]
    assert others == {"https://x.org/": 1}
