"""Running what pages of Markdown show: their blocks of code, from the top to the bottom.

The first word of a block's info string is its language, and what follows says how it runs:

    python              in one namespace for the whole page; with prompts, as a doctest
    sh                  by bash
    python needs torch  where that can be imported
    sh fresh            only in a fresh environment, by .ci/try-start
    python not run: why
    text output         is what the block before has printed; numbers to three places

``text`` and what has no language show something; there is no code in it. As a program this runs
pages in the folder where it is called: ``python pages.py PAGE ...``.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib.util
import io
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^(?P<fence>```+)(?P<info>[^`\n]*)\n(?P<code>.*?)^(?P=fence)[ ]*$", re.M | re.S)
CODE = ("python", "sh")
NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")

# What a page takes that its reader has: a file beside the page's name, out of an archive.
CHECKPOINTS = "tests/references/checkpoints/checkpoints-2.13.0.tar.xz"
GIVEN = {"docs/start/pytorch.md": {"net.pt": (CHECKPOINTS, "state.pt")}}

# What a page takes for granted, as its reader would have it.
BEFORE = {
    "README.md": """
import os
import numpy as np
import fastdrop as fd
from fastdrop import layers


def numbers(*shape):
    return random.normal(size=shape).astype(np.float32)


random = np.random.default_rng(0)
kernel, recurrent_kernel, bias = numbers(3, 20), numbers(5, 20), numbers(20)
weights = {"kernel": kernel, "recurrent_kernel": recurrent_kernel, "bias": bias}
lstm = layers.LSTM(name="lstm", **weights, dropout=0.2)
dense = layers.Dense(name="dense", kernel=numbers(5, 1))
fd.Model([lstm, dense], (None, 3)).save("model")
os.rename("model", "model.keras")  # what is read is seen by its content
x, x_held_back, y, y_held_back = *numbers(2, 50, 4, 3), *numbers(2, 50, 1)
p_held_back = fd.load("model.keras").mc_predict(x_held_back, rng=1)
""",
    "docs/pytorch.md": """
import importlib.util
if importlib.util.find_spec("torch"):
    import numpy as np
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(5, 3)
            self.encoder = nn.ModuleDict({"lstm": nn.LSTM(3, 4, 2, batch_first=True, dropout=0.3)})
            self.head = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))

        def forward(self, words):
            return self.head(self.encoder["lstm"](self.embedding(words))[0][:, -1])

    module, x = Net(), np.array([[0, 1, 2, 3], [4, 3, 2, 1]])
    example_inputs = (torch.tensor(x),)
    torch.save(module.state_dict(), "model.pt")
""",
}


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    rest: str
    code: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    def kept_from(self, fresh: bool) -> str | None:
        """Why it does not run here, if so."""
        if self.rest.startswith("not run:"):
            return self.rest.removeprefix("not run:").strip()
        if self.rest == "fresh":
            return None if fresh else "it needs a fresh environment: .ci/try-start runs it"
        missing = [name for name in self.needs if importlib.util.find_spec(name) is None]
        return f"{', '.join(missing)}: not installed" if missing else None

    @property
    def needs(self) -> list[str]:
        return self.rest.split()[1:] if self.rest.startswith("needs ") else []


def blocks(page: str) -> list[Block]:
    """Return a page's blocks; what nothing is known to be done with is refused."""
    text = (ROOT / page).read_text("utf-8")
    found = []
    for match in FENCE.finditer(text):
        language, _, rest = match["info"].strip().partition(" ")
        line = text.count("\n", 0, match.start()) + 1
        block = Block(page, line, language, rest.strip(), match["code"])
        allowed = {
            "python": r"|fresh|needs( \w+)+|not run: \S.*",
            "sh": r"|fresh|not run: \S.*",
            "text": r"|output",
            "": "",
        }.get(language)
        directive = re.fullmatch(r"\{[\w-]+\}", language)
        if not directive and (allowed is None or not re.fullmatch(allowed, block.rest)):
            raise ValueError(f"{block.place}: ```{match['info']}: not known; see tests/pages.py")
        if language in ("", "text"):
            command = re.search(
                r"^(\$ |>>> |pip |fastdrop |python |import |make )", block.code, re.M
            )
            if command and not block.code.startswith("$ fastdrop demo"):
                raise ValueError(f"{block.place}: {command[0]!r} is code: say so after the ```")
        found.append(block)
    return found


def alike(shown: str, printed: str) -> bool:
    """Whether the same is said, but for blanks, the last places of numbers and lines left out: …"""

    def lines(text: str) -> list[str]:
        return [" ".join(line.split()) for line in text.strip().splitlines()]

    def same(one: str, other: str) -> bool:
        if NUMBER.sub("#", one) != NUMBER.sub("#", other):
            return False
        numbers = zip(NUMBER.findall(one), NUMBER.findall(other), strict=True)
        pairs = [(float(a.replace(",", "")), float(b.replace(",", ""))) for a, b in numbers]
        return all(abs(a - b) <= 2e-3 * max(1.0, abs(a)) for a, b in pairs)

    rest = lines(printed)
    gap = False
    for line in lines(shown):
        if line == "…":
            gap = True
            continue
        while gap and rest and not same(line, rest[0]):
            rest.pop(0)
        if not rest or not same(line, rest.pop(0)):
            return False
        gap = False
    return gap or not rest


def give(page: str, folder: Path) -> None:
    """Put what the page's reader has into the folder."""
    for name, (archive, member) in GIVEN.get(page, {}).items():
        with tarfile.open(ROOT / archive) as tar:
            file = tar.extractfile(member)
            assert file is not None
            (folder / name).write_bytes(file.read())


def run(page: str, *, fresh: bool = False) -> Iterator[tuple[Block, str | None]]:
    """Run a page in the current folder: each block, and why it did not run, if so.

    A block that fails raises AssertionError, and so does output that is shown and not printed.
    """
    names: dict[str, object] = {"__name__": "__main__"}
    before = BEFORE.get(page, "")
    give(page, Path())
    printed: str | None = None
    for block in blocks(page):
        if block.language == "text" and block.rest == "output" and printed is not None:
            said = f"{block.place}: shown\n{block.code}\nprinted\n{printed}"
            assert alike(block.code, printed), said
        if block.language not in CODE:
            continue
        kept = block.kept_from(fresh)
        if block.language == "python" and before:  # after what installs fastdrop
            exec(before, names)
            before = ""
        printed = None if kept else one(block, names)
        yield block, kept


def one(block: Block, names: dict[str, object]) -> str:
    """Run a block and return what it printed."""
    try:
        if block.language == "sh":
            return shell(block.code)
        if block.code.startswith(">>> "):
            return prompts(block, names)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            # As far down as the block is down the page, so that a traceback says where.
            exec(compile("\n" * block.line + block.code, block.page, "exec"), names)
        return out.getvalue()
    except Exception:
        raise AssertionError(f"{block.place}:\n{traceback.format_exc()}") from None


def shell(code: str) -> str:
    path = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=900,
    )
    if done.returncode:
        raise RuntimeError(f"{code}\n{done.stdout}{done.stderr}")
    return done.stdout


def prompts(block: Block, names: dict[str, object]) -> str:
    test = doctest.DocTestParser().get_doctest(block.code, {}, block.place, block.page, block.line)
    test.globs = names
    out = io.StringIO()
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    doctest.DocTestRunner(optionflags=flags).run(test, out=out.write, clear_globs=False)
    if out.getvalue():
        raise RuntimeError(out.getvalue())
    return ""


def main() -> None:
    for page in sys.argv[1:]:
        ran = 0
        for block, kept in run(page, fresh=True):
            ran += not kept
            if kept:
                print(f"NOT RUN: {block.place}: {kept}")
        print(f"{page}: {ran} blocks ran")


if __name__ == "__main__":
    main()
