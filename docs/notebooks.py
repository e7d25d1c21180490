"""Make notebooks of guides, and run them: `make docs`.

A page's blocks of Python become cells of code; those with prompts lose them, and what they show is
left to the cell. All else is cells of text. What does not run fails here.
"""

from __future__ import annotations

import doctest
import re
import sys
import tempfile
from contextlib import chdir
from pathlib import Path

import nbclient
import nbformat
from nbformat import v4
from traitlets.config import Config

DOCS = Path(__file__).resolve().parent
PAGES = ("guides/recurrent_masks.md", "guides/uncertainty.md")
SETTINGS = Config({"KernelManager": {"transport": "ipc"}})  # no ports
BLOCK = re.compile(r"^```python *\n(.*?)^``` *\n", re.M | re.S)
# Links between pages lead nowhere from a notebook that was taken away; what they say stays.
LINK = re.compile(r"!?\[([^\]]*)\]\((?!https://)[^)]*\)")


def code(block: str) -> str:
    if not block.startswith(">>> "):
        return block
    parts = doctest.DocTestParser().get_examples(block)
    return "".join(part.source for part in parts)


def notebook(text: str) -> nbformat.NotebookNode:
    """Return a page as a notebook that has not run."""
    cells = []
    for number, part in enumerate(BLOCK.split(text)):
        if number % 2:
            cells.append(v4.new_code_cell(code(part).rstrip()))
        elif part.strip():
            cells.append(v4.new_markdown_cell(LINK.sub(r"\1", part).strip()))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # else they are random, and no two builds the same
    return v4.new_notebook(cells=cells)


def main() -> None:
    to = Path(sys.argv[1]).resolve()
    to.mkdir(parents=True, exist_ok=True)
    for page in PAGES:
        made = notebook((DOCS / page).read_text("utf-8"))
        # Files of a page stay there; so do the sockets, whose names both processes see from here.
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            nbclient.NotebookClient(made, config=SETTINGS, timeout=300).execute()
        nbformat.write(made, to / f"{Path(page).stem}.ipynb")
        print(f"{page}: {sum(cell.cell_type == 'code' for cell in made.cells)} cells ran")


if __name__ == "__main__":
    main()
