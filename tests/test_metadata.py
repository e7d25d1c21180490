"""What a package index shows of fastdrop, from the metadata that was built."""

import importlib.metadata
import re

import pytest

import fastdrop as fd

METADATA = importlib.metadata.metadata("fastdrop-rnn")

# Targets of Markdown's links and images, inline and by reference, and of HTML's.
LINK = re.compile(
    r"""\]\(\s*<?([^\s)>]*)|^ *\[[^\]]+\]:\s*(\S+)|(?:href|src)=["']?([^"'\s>]*)""", re.MULTILINE
)


def targets(text: str) -> list[str]:
    return [next(filter(None, found), "") for found in LINK.findall(text)]


def test_links_of_all_kinds_are_found() -> None:
    text = """See [a](docs/a.md), ![b](<b.svg> "title"), [c](#c), <a href="d">, <img src='e.png'>
[f] and [g](https://example.org/g).

[f]: ../f
"""
    expected = ["docs/a.md", "b.svg", "#c", "d", "e.png", "https://example.org/g", "../f"]
    assert targets(text) == expected


def test_the_description_has_no_dead_links() -> None:
    """On an index nothing lies beside it."""
    text = METADATA.get_payload() or METADATA["Description"]
    assert "## Install" in text
    assert METADATA["Description-Content-Type"].startswith("text/markdown")
    assert [target for target in targets(text) if not target.startswith("https://")] == []


def test_names_and_addresses() -> None:
    assert METADATA["Name"] == "fastdrop-rnn"
    assert METADATA["Version"] == fd.__version__
    for url in METADATA.get_all("Project-URL", []):
        label, address = url.split(", ")
        assert label
        assert re.match(r"https://\S", address)


def test_the_command_is_fastdrop() -> None:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="fastdrop")
    assert script.dist is not None
    assert script.dist.name == "fastdrop-rnn"
    assert script.load().__module__ == "fastdrop.cli"


@pytest.mark.parametrize("extra", ["keras", "test"])
def test_extras_that_the_readme_names(extra: str) -> None:
    assert extra in METADATA.get_all("Provides-Extra", [])
