"""Measure calls of microseconds, and write the figures to standard output.

    python -m benchmarks.steps > figures.json

Steps of an LSTM one at a time, short sequences, and masks of 64 elements: what a call does before
it computes counts here. One process pinned to one core, in which batches of calls take turns.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchmarks import measure, recurrent

if TYPE_CHECKING:
    from benchmarks import peers, recurrent_peers

# (batch, steps, features, units): single steps, and sequences in one call.
STEPS = ((1, 1, 64, 100), (100, 1, 64, 100))
SEQUENCES = ((1, 1, 64, 100), (1, 20, 16, 16))
ELEMENTS, RATE = 64, 0.1


class Figures(recurrent.Figures):
    """What was measured of layers, and of masks."""

    masks: list[measure.Figure]


def layers() -> Iterator[tuple["recurrent_peers.Task", list["recurrent_peers.Row"]]]:
    """Each with dropout off and on, beside ONNX Runtime, which has none."""
    from benchmarks.peers import STRONGEST
    from benchmarks.recurrent_peers import OFF, ORT, PER_GATE, Shape, Task, on_tier, rows, stepping

    for shape in dict.fromkeys(STEPS + SEQUENCES):
        task = Task("lstm", Shape(*shape), threads=1)
        ways = list(rows(task, [ORT]))
        if shape in STEPS:
            ways += [stepping(task, dropout) for dropout in (OFF, PER_GATE)]
        if shape in SEQUENCES:
            ways += on_tier(task, STRONGEST, (OFF, PER_GATE))
        yield task, ways


def masks() -> Iterator[tuple["peers.Task", list["peers.Row"]]]:
    """Masks of a byte an element and dropout, both written to a given array; NumPy as it likes."""
    from benchmarks import peers

    wanted = {peers.fastdrop_label(peers.STRONGEST), peers.NUMPY, peers.NUMPY_NEW}
    for kind in ("dropout", "masks"):
        task = peers.Task(kind, ELEMENTS, RATE, threads=1)
        ways = (*peers.fastdrop(task), *peers.numpy(task))
        yield task, [row for row in ways if row.label in wanted and row.operation != "packed"]


def figures(quick: bool) -> Figures:
    from benchmarks import peers
    from benchmarks.recurrent_peers import LIBRARIES, ORT

    rounds, budget = (3, 0.01) if quick else (200, 0.5)
    of_layers: list[recurrent.Figure] = []
    for task, ways in layers():
        of_layers += recurrent.run(task, ways, rounds, budget)
    of_masks: list[measure.Figure] = []
    for mask_task, mask_ways in masks():
        of_masks += measure.measure(mask_task, mask_ways, rounds, budget)
    versions = peers.versions({"NumPy": peers.LIBRARIES["NumPy"], ORT: LIBRARIES[ORT]})
    return {
        **measure.about(versions, rounds),
        "sgemm": None,
        "fma": {},
        "inner": {},
        "figures": of_layers,
        "masks": of_masks,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few rounds")
    options = parser.parse_args()
    measure.pin(1)
    json.dump(figures(options.quick), sys.stdout)


if __name__ == "__main__":
    main()
