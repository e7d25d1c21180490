"""Whether the code on the pages runs, and prints what they show.

Blocks that do not run are listed one by one, with why.
"""

from pathlib import Path

import pytest

import pages
from pages import ROOT, Block, alike, blocks

pytestmark = pytest.mark.skipif(
    not (ROOT / "docs").is_dir(), reason="docs/ and README.md are in a checkout alone"
)

# Pages whose blocks need more than a folder; the tests that run them.
ELSEWHERE = {"docs/guides/many_machines.md": "tests/test_many_machines.py"}
MARKDOWN = [*ROOT.glob("README.md"), *ROOT.glob("docs/**/*.md")]
PAGES = [
    page
    for page in sorted(path.relative_to(ROOT).as_posix() for path in MARKDOWN)
    if any(block.language in pages.CODE for block in blocks(page))
]
RUN = [page for page in PAGES if page not in ELSEWHERE]


def of_code() -> list[Block]:
    return [b for page in RUN for b in blocks(page) if b.language in pages.CODE]


def live(page: str) -> list[pytest.MarkDecorator]:
    """Other libraries may warn of what they do themselves."""
    others = any(block.needs for block in blocks(page))
    return [pytest.mark.live, pytest.mark.filterwarnings("default")] if others else []


@pytest.mark.parametrize("page", [pytest.param(page, id=page, marks=live(page)) for page in RUN])
def test_the_code_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    for _ in pages.run(page):
        pass


@pytest.mark.parametrize(
    "block",
    [pytest.param(block, id=block.place) for block in of_code() if block.kept_from(False)],
)
def test_blocks_that_did_not_run(block: Block) -> None:
    pytest.skip(f"NOT RUN: {block.place}: {block.kept_from(False)}")


@pytest.mark.parametrize("page", [pytest.param(page, id=page) for page in ELSEWHERE])
def test_pages_that_other_tests_run(page: str) -> None:
    assert page in PAGES
    assert Path(page).name in (ROOT / ELSEWHERE[page]).read_text("utf-8")


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        pytest.param("a 1.234 b", "a  1.235\tb\n", True, id="last-places"),
        pytest.param("a 1.23 b", "a 1.25 b", False, id="other-number"),
        pytest.param("12,345", "12,346", True, id="thousands"),
        pytest.param("a 1", "b 1", False, id="other-word"),
        pytest.param("a\n…\nd", "a\nb\nc\nd", True, id="left-out"),
        pytest.param("a\n…", "a\nb", True, id="the-rest-left-out"),
        pytest.param("a\n…\nd", "a\nb", False, id="left-out-and-missing"),
        pytest.param("a", "a\nb", False, id="more"),
        pytest.param("a\nb", "a", False, id="less"),
    ],
)
def test_what_is_shown_against_what_is_printed(shown: str, printed: str, same: bool) -> None:
    assert alike(shown, printed) == same


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("```python later\n1\n```\n", id="unknown-word"),
        pytest.param("```pyhton\n1\n```\n", id="unknown-language"),
        pytest.param("```\npip install x\n```\n", id="a-command-without-a-language"),
        pytest.param("```python not run:\n1\n```\n", id="no-reason"),
        pytest.param("```python\n1 / 0\n```\n", id="an-error"),
        pytest.param("```python\n>>> 1\n2\n```\n", id="a-doctest"),
        pytest.param("```sh\nfalse\n```\n", id="a-command-that-fails"),
        pytest.param("```python\nprint(1)\n```\n\n```text output\n2\n```\n", id="other-output"),
    ],
)
def test_a_page_that_is_wrong_fails(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    (tmp_path / "page.md").write_text(text, "utf-8")
    with pytest.raises((AssertionError, ValueError), match=r"page\.md:[15]"):
        list(pages.run("page.md"))
