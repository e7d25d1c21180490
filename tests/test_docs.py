"""The lists of what is read of Keras and ONNX, against the rows that they are made from."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from fastdrop.formats.keras import operations
from fastdrop.formats.keras._registry import LAYERS

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(
    not (ROOT / "docs").is_dir(), reason="docs/ and README.md are in a checkout alone"
)


@pytest.fixture(scope="module")
def made() -> ModuleType:
    """Return the script that writes them."""
    spec = importlib.util.spec_from_file_location("layers", ROOT / "docs" / "layers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_that_of_the_rows(made: ModuleType) -> None:
    assert (ROOT / "docs" / "layers.md").read_text("utf-8") == made.page(), "run `make docs`"


def test_the_readme_is_that_of_the_rows(made: ModuleType) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert readme == made.with_blocks(readme), "run `make docs`"


def test_everything_is_listed() -> None:
    """Whoever reads the page finds each class with all its options, and each function."""
    page = (ROOT / "docs" / "layers.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| (\w+) \| (.*) \|.*\|$", page, re.MULTILINE))
    for name, row in LAYERS.items():
        if not row.per_call:
            assert re.findall(r"`(\w+)`", rows[name]) == [option.key for option in row.options]
    for name, function in operations.KERAS.items():
        assert f"`{name}({', '.join(function.arguments)})`" in page.replace("\n", " ")
    for name in operations.TENSORFLOW:
        assert f"`{name}`" in page
    readme = (ROOT / "README.md").read_text("utf-8")
    listed = readme.partition("<!-- layers -->")[2].partition("<!-- /layers -->")[0]
    words = set(re.findall(r"\w+", listed))
    assert {name for name, row in LAYERS.items() if not row.per_call} <= words
