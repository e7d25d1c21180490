"""The one error of the readers, and how it is raised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fastdrop.model import Summary

# Obstacles that a message names; all are in the error.
_SHOWN = 12


class ModelFormatError(ValueError):
    """A model file is malformed, unsafe, or asks for something fastdrop does not do.

    Attributes
    ----------
    obstacles : tuple of str
        Everything that was found to stand in the way, a line each; mostly one.
    summary : Summary or None
        What could be read of the model: its ``layers`` with their names, classes, and as much of
        their shapes, weights and rates as is known. None where the file does not get that far.
    """

    def __init__(
        self, message: str, obstacles: Sequence[str] = (), summary: Summary | None = None
    ) -> None:
        super().__init__(message)
        self.obstacles: tuple[str, ...] = tuple(obstacles) or (message,)
        self.summary = summary

    @classmethod
    def of(cls, obstacles: Sequence[str]) -> ModelFormatError:
        """Return the error that names some obstacles."""
        if len(obstacles) == 1:
            return cls(obstacles[0])
        listed = "; ".join(f"({i}) {text}" for i, text in enumerate(obstacles[:_SHOWN], 1))
        more = f"; and {len(obstacles) - _SHOWN} more" if len(obstacles) > _SHOWN else ""
        return cls(f"{len(obstacles)} obstacles: {listed}{more}", obstacles)

    def within(self, name: str) -> ModelFormatError:
        """Return the same error with the name of the file in front."""
        return ModelFormatError(f"{name}: {self}", self.obstacles, self.summary)


def show(value: object) -> str:
    """Return what a file says as one short line of ASCII, safe to print."""
    text = ascii(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def printable(text: str, room: int = 100, encoding: str = "utf-8") -> str:
    """Return text on one line that any terminal can show.

    Parameters
    ----------
    text : str
        The text. What is not printable in it, or not in the encoding, is
        escaped.
    room : int
        How many characters the result may have; "..." is where it was cut.
    encoding : str
        What the result can be encoded in.

    Returns
    -------
    str
        The text, escaped and cut.
    """
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: room + 1])
    line = line.encode(encoding, "backslashreplace").decode(encoding)
    return line if len(line) <= room else f"{line[: room - 3]}..."


@contextmanager
def malformed(part: str) -> Iterator[None]:
    """Turn whatever a parser raises on bad bytes into a `ModelFormatError`.

    Parsers of other projects raise nearly any class of exception when their
    input is damaged, hence the broad net. It must hold calls to such parsers
    only: around other code it would hide mistakes.

    Parameters
    ----------
    part : str
        The part of the file that is read, for the message.

    Raises
    ------
    ModelFormatError
        From the exception that was caught. MemoryError and KeyboardInterrupt
        are not caught.
    """
    try:
        yield
    except (MemoryError, ModelFormatError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ModelFormatError(f"{part} is malformed: {show(reason)}") from error
