"""Write the lists of what is read of Keras, ONNX and PyTorch, and of the command's options.

They come from the rows by which files are read, and from the command's parser, so they say what
these do.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType

from fastdrop import _check, cli
from fastdrop.formats import aten
from fastdrop.formats.keras import _registry, _rows, rnn
from fastdrop.formats.keras.functions import KERAS
from fastdrop.formats.keras.tensorflow_functions import TENSORFLOW
from fastdrop.formats.onnx import _registry as onnx

ROOT = Path(__file__).resolve().parent.parent
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

COMMAND_PAGE = """# The command

Written by `make docs` from the command's parser. It is called as `fastdrop COMMAND` or
`python -m fastdrop COMMAND`; `fastdrop COMMAND --help` says the same.

Bad data or a bad model exit with 1 and a line on standard error, bad usage and
[variables](environment.md) that cannot be honoured with 2, Ctrl-C with 130.

{commands}"""

ONNX_PAGE = """# What is read of ONNX

Written by `make docs` from the rows by which files are read. Files of operator set 9 on, as
PyTorch's two exporters and tf2onnx write them: {count} operators, with the attributes and forms
that these exporters write. What is not here is refused by name, and so is an attribute that is not
known. What is computed of shapes and constants, and the branch that an `If` takes by them, is known
when a file is loaded.

LSTM, GRU and RNN are read with all of their attributes, and run by the kernels where these have
them. Dropout is off in `predict` and on in `mc_predict`, whatever mode the file is for. ONNX has no
recurrent dropout: `rates=` of [`load`](../reference/models.rst) gives it, by the names of nodes
(`.` stands for `:`). A row that `sequence_lens` gives no step keeps its initial state.

The batch may be on any axis of an input. A file for one row, also one that has no axis for it, or
for so many, serves any number: rows are on the first axis here, and `notes` say where that differs.
What a file leaves open may decide which branch of an `If` is taken, and an input of one number for
all rows too; `inputs=` says what they are, which is part of the model then. So the voice activity
detector of Silero is read, for pieces of 576 numbers at 16,000 a second:

```python not run: the file is Silero's
model = fd.load("silero_vad.onnx", inputs={{"input": (None, 576), "sr": 16000}})
```

Weights in another file are not read: `onnx.save(onnx.load(path), path)` brings all into one.

{families}"""


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
    functions = KERAS.items()
    return PAGE.format(
        common=filled(f"Without effect in every layer: {code(sorted(_rows.WITHOUT_EFFECT))}"),
        cells=filled(
            f"The cell of an RNN is one of {code((*rnn.CELL_CLASSES, 'StackedRNNCells'))}"
        ),
        families="\n\n".join(tables) + "\n",
        activations=filled(code(activations)),
        objects=", ".join(_rows.LAYER_ACTIVATIONS),
        keras=filled(code(f"{name}({', '.join(f.arguments)})" for name, f in functions)),
        tensorflow=filled(code(sorted(TENSORFLOW))),
    )


def onnx_names(family: ModuleType | None = None) -> list[str]:
    """Return the names of a family's operators, or of all."""
    rows = onnx.OPERATORS.items()
    return sorted(name for name, row in rows if family is None or row.__module__ == family.__name__)


def onnx_page() -> str:
    """Return docs/formats/onnx.md."""
    parts = []
    for family in onnx.FAMILIES:
        title = family.__name__.rpartition(".")[2].capitalize()
        parts.append(f"## {title}\n\n{filled(code(onnx_names(family)))}.\n")
    return ONNX_PAGE.format(count=len(onnx.OPERATORS), families="\n".join(parts))


def options(command: argparse.ArgumentParser) -> Iterator[str]:
    """Return a row of a table for each argument of a command."""
    for action in command._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        takes = action.metavar or "|".join(map(str, action.choices or ())) or action.dest.upper()
        names = ", ".join(action.option_strings)
        if action.nargs != 0:
            names = f"{names} {takes}{' ...' if action.nargs in ('+', '*') else ''}".strip()
        text = (action.help or "").replace("%%", "%")
        yield "| " + f"`{names}` | {text}".replace("|", r"\|").replace(r"` \|", "` |") + " |"


def command_page() -> str:
    """Return docs/reference/command.md."""
    parts = []
    parser = cli._parser()
    commands = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    for name, command in commands.choices.items():
        rows = "\n".join(options(command))
        table = f"\n| argument | |\n|---|---|\n{rows}\n" if rows else ""
        parts.append(f"## fastdrop {name}\n\n{filled(command.description or '')}\n{table}")
    return COMMAND_PAGE.format(commands="\n".join(parts))


def torch_names() -> list[str]:
    """Return the names of PyTorch's operators."""
    return sorted({name.partition(".")[0] for name in aten.ROWS} - aten.OWN)


def with_blocks(page: str, text: str) -> str:
    """Return a page with its parts, each between comments of its name, written anew."""
    for name, part in BLOCKS[page].items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            sys.exit(f"{page} has no place for the list: {begin.strip()} … {end}")
        text = before + begin + part() + end + after
    return text


PAGES: dict[str, Callable[[], str]] = {
    "docs/layers.md": page,
    "docs/formats/onnx.md": onnx_page,
    "docs/reference/command.md": command_page,
}
BLOCKS: dict[str, dict[str, Callable[[], str]]] = {
    "docs/pytorch.md": {"operators": lambda: filled(code(torch_names())) + ".\n"},
}


def main() -> None:
    """Write what has changed; what has not may be read by others meanwhile."""
    for name in [*PAGES, *BLOCKS]:
        path = ROOT / name
        text = path.read_text("utf-8")
        made = PAGES[name]() if name in PAGES else with_blocks(name, text)
        if made != text:
            path.write_text(made, "utf-8")


if __name__ == "__main__":
    main()
