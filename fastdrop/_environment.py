"""Variables of the environment: how they are read, and what happens where they say nonsense."""

import os
import sys
from collections.abc import Mapping
from itertools import pairwise
from typing import NoReturn


def read(name: str, environ: Mapping[str, str] | None = None) -> str | None:
    """Return what a variable says; one that is empty is as good as none."""
    return (os.environ if environ is None else environ).get(name) or None


def refuse(message: str) -> NoReturn:
    """Refuse to be imported; the command, which cannot catch that, ends with the message alone."""
    if not _is_command():
        raise ImportError(message)
    if sys.stderr is not None:
        print(f"fastdrop: {message}", file=sys.stderr)
    raise SystemExit(2)


def _is_command() -> bool:
    """Whether this process is ``fastdrop``, or ``python -m fastdrop``, and not one of a user."""
    started = os.path.basename((getattr(sys, "argv", None) or [""])[0])
    if started == "-m":  # as long as what it names is looked for
        return ("-m", "fastdrop") in pairwise(sys.orig_argv)
    return started in ("fastdrop", "fastdrop.exe")
