"""Axes of shapes: which are meant, and what several shapes are together."""

from collections.abc import Sequence

from fastdrop.layers._layer import Shape


def broadcast(label: str, shapes: Sequence[Shape]) -> Shape:
    """Return the shape to which shapes of as many axes broadcast."""
    found: list[int | None] = []
    for lengths in zip(*shapes, strict=True):
        fixed = {n for n in lengths if n not in (1, None)}
        if len(fixed) > 1:
            raise ValueError(f"{label}: expected shapes that broadcast, got {list(shapes)}")
        found.append(fixed.pop() if fixed else None if None in lengths else 1)
    return tuple(found)


def axis_of(label: str, axis: int, rank: int) -> int:
    """Return an axis of a row counted from the front."""
    if not -rank <= axis < rank:
        raise ValueError(f"{label}: expected an axis of a row of {rank} axes, got {axis}")
    return axis % rank


def axes_of(label: str, axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Return axes of a row counted from the front."""
    found = tuple(axis_of(label, axis, rank) for axis in axes)
    if len({*found}) < len(found):
        raise ValueError(f"{label}: expected axes that differ, got {tuple(axes)}")
    return found
