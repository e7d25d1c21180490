"""Write the lists of what is read of Keras and of ONNX: docs/layers.md, and the README's parts.

They come from the rows by which files are read, so they say what these do.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from fastdrop import _check
from fastdrop.formats.keras import _registry, _rows, operations, rnn
from fastdrop.formats.onnx._registry import OPERATORS

ROOT = Path(__file__).resolve().parent.parent
# Between comments of these names, a part of the README each.
LAYERS, ONNX = "layers", "operators"
WIDTH = 110

PAGE = """# What is read of Keras

Written by `make docs` from the rows by which files are read. A model is a Sequential or a
functional one (InputLayer, Sequential, Functional, Model), and may hold models. A class that is not
here is refused by name, and so is an option: one that is neither read nor without effect is refused
unless it is null or false. Values that are not supported are refused too: `data_format` must be
channels_last, for one.

{common}.

{cells}.

{families}
## Activations

In `activation=` and, but for the last two, in recurrent layers too:
{activations}.
They may be given by name or as a function of Keras's; {objects} also as objects.

## Functions of Keras 3

A call of `keras.ops` in a functional model, with the arguments that are read:
{keras}.

## Functions of TensorFlow

TFOpLambda in models of Keras 2:
{tensorflow}.
SlicingOpLambda is GetItem.
"""


def code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def filled(text: str, indent: str = "") -> str:
    """Break lines at blanks."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and len(lines[-1]) + 1 + len(word) <= WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(indent * bool(lines) + word)
    return "\n".join(lines)


def families() -> Iterator[tuple[str, list[_rows.Row]]]:
    for name, rows in _registry.FAMILIES.items():
        if name != "operations":
            yield name, list(rows)


def page() -> str:
    """Return docs/layers.md."""
    tables = []
    for name, rows in families():
        tables.append(
            f"## {name.capitalize()}\n\n| class | options | without effect |\n|---|---|---|"
        )
        for row in rows:
            options = code(option.key for option in row.options)
            tables[-1] += f"\n| {row.name} | {options} | {code(sorted(row.without_effect))} |"
    activations = [*_rows.NAMES, *_check.ROW_ACTIVATIONS]
    functions = operations.KERAS.items()
    return PAGE.format(
        common=filled(f"Without effect in every layer: {code(sorted(_rows.WITHOUT_EFFECT))}"),
        cells=filled(
            f"The cell of an RNN is one of {code((*rnn.CELL_CLASSES, 'StackedRNNCells'))}"
        ),
        families="\n\n".join(tables) + "\n",
        activations=filled(code(activations)),
        objects=", ".join(_rows.LAYER_ACTIVATIONS),
        keras=filled(code(f"{name}({', '.join(f.arguments)})" for name, f in functions)),
        tensorflow=filled(code(sorted(operations.TENSORFLOW))),
    )


def block() -> str:
    """Return the README's part."""
    lines = [
        filled(f"* **{name}**: {', '.join(row.name for row in rows)}", "  ")
        for name, rows in families()
    ]
    many = f"{len(operations.KERAS)} of `keras.ops`, {len(operations.TENSORFLOW)} of TensorFlow's"
    lines.append(f"* **functions** that functional models hold: {many}, and slices")
    return "\n".join(lines) + "\n"


def with_blocks(readme: str) -> str:
    """Return the README with its parts written anew."""
    operators = filled(", ".join(sorted(OPERATORS))) + ".\n"
    for name, part in ((LAYERS, block()), (ONNX, operators)):
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, found, rest = readme.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            sys.exit(f"README.md has no place for the list: {begin.strip()} … {end}")
        readme = before + begin + part + end + after
    return readme


def main() -> None:
    (ROOT / "docs" / "layers.md").write_text(page(), "utf-8")
    readme = ROOT / "README.md"
    readme.write_text(with_blocks(readme.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
