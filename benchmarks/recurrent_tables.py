"""The figures of recurrent layers as Markdown. Rows that lose stay."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from benchmarks.keras_calls import ENGINES
from benchmarks.measure import About
from benchmarks.montecarlo_tables import BesideKeras
from benchmarks.peers import fastdrop_label
from benchmarks.recurrent import Figure, Figures
from benchmarks.recurrent_peers import (
    BFLOAT16,
    FLOAT32,
    OFF,
    ORT,
    OTHERS,
    PACKED_ANEW,
    PER_GATE,
    SHARED,
    TIED,
    WAYS,
    Shape,
    Task,
)
from benchmarks.tables import NONE, bars, markdown, number, ratio, verdict

CELLS = {"lstm": "LSTM", "gru": "GRU"}
THREADS = {1: "one thread", 2: "two threads"}


class Way(NamedTuple):
    """An engine, and what it runs."""

    engine: str
    dropout: str
    precision: str = FLOAT32

    @property
    def name(self) -> str:
        return self.engine + (f", {self.precision}" if self.precision != FLOAT32 else "")


class Results:
    """What all processes of one run measured."""

    def __init__(self, processes: Sequence[Figures]) -> None:
        versions = {n: v for one in processes for n, v in one["versions"].items()}
        first = processes[0]
        self.about: About = {
            "cpu": first["cpu"],
            "system": first["system"],
            "date": first["date"],
            "tiers": first["tiers"],
            "versions": versions,
            "rounds": first["rounds"],
        }
        self.tiers = self.about["tiers"]
        self.ours = fastdrop_label(self.tiers[0])
        self.figures: dict[tuple[Way, str, Shape, int], Figure] = {}
        self.missing: dict[Way, str] = {}
        self.sgemm: dict[int, float] = {}
        self.fma: dict[tuple[str, int], float] = {}
        self.inner: dict[tuple[str, int], float] = {}
        for process in processes:
            for f in process["figures"]:
                way = Way(f["engine"], f["dropout"], f["precision"])
                self.figures[way, f["cell"], Shape(*f["shape"]), f["threads"]] = f
                if f["missing"] is not None:
                    self.missing[way] = f["missing"]
            if process["sgemm"] is not None:
                threads = process["figures"][0]["threads"]
                self.sgemm[threads] = process["sgemm"]
                for into, of in ((self.fma, process["fma"]), (self.inner, process["inner"])):
                    into.update({(fastdrop_label(t), threads): v for t, v in of.items()})
        self.shapes = list(dict.fromkeys(key[2] for key in self.figures))
        self.ways = list(dict.fromkeys(key[0] for key in self.figures))

    def title(self, way: Way) -> str:
        """What a table calls it, and why it has no figures."""
        return way.name + (f", {self.missing[way]}" if way in self.missing else "")

    def of(self, way: Way, cell: str, shape: Shape, threads: int) -> float | None:
        figure = self.figures.get((way, cell, shape, threads))
        return figure["seconds"] if figure else None

    def mine(
        self, dropout: str, cell: str, shape: Shape, threads: int, precision: str = FLOAT32
    ) -> float | None:
        """Seconds of fastdrop's strongest tier."""
        return self.of(Way(self.ours, dropout, precision), cell, shape, threads)

    def fastest(
        self, ways: Iterable[Way], cell: str, shape: Shape, threads: int
    ) -> tuple[float, str] | None:
        """Seconds and engine of the fastest of several."""
        found = [(self.of(way, cell, shape, threads), way.engine) for way in ways]
        return min(((s, e) for s, e in found if s is not None), default=None)

    def best(
        self, cell: str, shape: Shape, threads: int, precision: str = FLOAT32
    ) -> tuple[float, str] | None:
        """Seconds and name of the fastest of the engines without dropout."""
        ways = [Way(engine, OFF, precision) for engine in OTHERS[precision]]
        return self.fastest(ways, cell, shape, threads)

    def best_keras(self, cell: str, shape: Shape, threads: int) -> tuple[float, str] | None:
        """Seconds and name of the fastest Keras, which has dropout."""
        ways = [Way(engine, PER_GATE) for engine in ENGINES.values()]
        return self.fastest(ways, cell, shape, threads)

    def times_best(
        self, dropout: str, cell: str, shape: Shape, threads: int, precision: str = FLOAT32
    ) -> float | None:
        """Return how many times as fast fastdrop is as the engines without dropout."""
        best = self.best(cell, shape, threads, precision)
        mine = self.mine(dropout, cell, shape, threads, precision)
        return ratio(best[0] if best else None, mine)

    def times_float32(self, dropout: str, cell: str, shape: Shape, threads: int) -> float | None:
        """Return how many times as fast fastdrop is in bfloat16 as in float32."""
        both = (self.mine(dropout, cell, shape, threads, p) for p in (FLOAT32, BFLOAT16))
        return ratio(*both)

    def cost(self, dropout: str, cell: str, shape: Shape, threads: int) -> float | None:
        """Time with dropout over that without, of fastdrop's strongest tier."""
        return ratio(self.mine(dropout, cell, shape, threads), self.mine(OFF, cell, shape, threads))


def gflops(cell: str, shape: Shape, seconds: float | None) -> float | None:
    return None if seconds is None else 1e-9 * Task(cell, shape, 1).flop / seconds


def percent(share: float | None) -> str:
    return NONE if share is None else f"{number(100 * share)} %"


def overview(results: Results, cell: str, threads: int) -> str:
    """GFLOP/s by shape; of fastdrop the two strongest tiers."""
    engines = {fastdrop_label(tier) for tier in results.tiers[:2]}
    body = []
    for way in results.ways:
        if "fastdrop" in way.engine and way.engine not in engines:
            continue
        cells = [
            number(gflops(cell, shape, results.of(way, cell, shape, threads)))
            for shape in results.shapes
        ]
        if way in results.missing or any(text != NONE for text in cells):
            body.append([results.title(way), way.dropout, *cells])
    return markdown(["", "dropout", *map(str, results.shapes)], body)


def point(results: Results, cell: str, shape: Shape) -> str:
    """Everything that was measured of one layer, the fastest first."""
    body, notes = [], set()
    columns = ["ms", "GFLOP/s", "of sgemm", *(["of FMA peak"] if results.fma else [])]
    for way in results.ways:
        cells: list[str] = []
        times: list[float] = []
        for threads in THREADS:
            figure = results.figures.get((way, cell, shape, threads))
            seconds = figure["seconds"] if figure else None
            speed = gflops(cell, shape, seconds)
            peak = results.fma.get((way.engine, threads)) if way.precision == FLOAT32 else None
            cells += [
                number(seconds and seconds * 1e3),
                number(speed),
                percent(ratio(speed, results.sgemm.get(threads))),
                percent(ratio(speed, peak)),
            ][: len(columns)]
            times += [seconds] if seconds is not None else []
            if figure and figure["steps"] is not None:
                notes.add(f"{way.engine}: {figure['steps']} steps were run, and scaled.")
        if times or way in results.missing:
            body.append((min(times, default=1e9), [results.title(way), way.dropout, *cells]))
    head = ["", "dropout", *(f"{c}, {t}" for t in ("one", "two") for c in columns)]
    table = markdown(head, (cells for _, cells in sorted(body, key=lambda pair: pair[0])))
    return table + "".join(f"\n{note}" for note in sorted(notes)) + ("\n" if notes else "")


def points(results: Results) -> str:
    parts = []
    for cell, name in CELLS.items():
        for shape in results.shapes:
            parts.append(f"### {name} {shape}\n\n{point(results, cell, shape)}")
    return "\n".join(parts)


def against_best(results: Results, precision: str = FLOAT32) -> str:
    """Return how fastdrop does beside the best of the engines without dropout.

    In bfloat16 beside itself in float32 too.
    """
    dropouts, extra = WAYS[precision], precision == BFLOAT16
    body = []
    for cell, name in CELLS.items():
        for shape in results.shapes:
            cells = []
            for threads in THREADS:
                best = results.best(cell, shape, threads, precision)
                cells += [best[1] if best else NONE]
                cells += [
                    number(results.times_best(dropout, cell, shape, threads, precision))
                    for dropout in dropouts
                ]
                if extra:
                    own = results.times_float32(PER_GATE, cell, shape, threads)
                    cells.append(number(own))
            body.append([f"{name} {shape}", *cells])
    head = [""]
    for threads_word in THREADS.values():
        head += [f"best other, {threads_word}", *dropouts]
        head += [f"{PER_GATE}, times own float32"] if extra else []
    absent = [way for way in results.missing if way.precision == precision]
    notes = [f"{results.title(way)}.\n" for way in absent if way.engine in OTHERS[precision]]
    return "\n".join([markdown(head, body), *notes])


def costs(results: Results) -> str:
    """Time with dropout over time without."""
    ways = (PER_GATE, TIED, SHARED, PACKED_ANEW)
    body = [
        [f"{name} {shape}"]
        + [number(results.cost(way, cell, shape, t)) for t in THREADS for way in ways]
        for cell, name in CELLS.items()
        for shape in results.shapes
    ]
    return markdown(["", *(f"{way}, {t}" for t in ("one", "two") for way in ways)], body)


def peaks(results: Results) -> str:
    body = [["sgemm", *(number(results.sgemm.get(t)) for t in THREADS)]]
    for engine in dict.fromkeys(engine for engine, _ in results.fma):
        for name, of in (("FMA", results.fma), ("inner kernel", results.inner)):
            body.append([f"{engine}, {name}", *(number(of.get((engine, t))) for t in THREADS)])
    return markdown(["GFLOP/s", *THREADS.values()], body)


# The groups of layers that targets are about.
LAYERS: dict[str, Callable[[Shape], bool]] = {
    "one row": lambda s: s.batch == 1,
    "one row, H = 32": lambda s: s.batch == 1 and s.units == 32,
    "one row, H = 100": lambda s: s.batch == 1 and s.units == 100,
    "one row, H = 256": lambda s: s.batch == 1 and s.units == 256,
    "32 rows or more": lambda s: s.batch >= 32,
    "32 rows or more, H = 100": lambda s: s.batch >= 32 and s.units == 100,
    "32 rows or more, H ≥ 32": lambda s: s.batch >= 32 and s.units >= 32,
    "32 rows or more, H ≥ 256": lambda s: s.batch >= 32 and s.units >= 256,
    "H = 100": lambda s: s.units == 100,
    "H ≥ 256": lambda s: s.units >= 256,
}
OF_PEAK = 0.88


class Target(NamedTuple):
    """What is wanted of the worst layer of each group."""

    what: str
    reached: Callable[[Results, str, Shape, int], float | None]
    wanted: Mapping[str, float]
    at_most: bool = False
    threads: Sequence[int] = tuple(THREADS)

    def worst(
        self, results: Results, group: str, cell: str, threads: int
    ) -> tuple[float, Shape] | None:
        found = [
            (value, shape)
            for shape in results.shapes
            if LAYERS[group](shape)
            and (value := self.reached(results, cell, shape, threads)) is not None
        ]
        return (max if self.at_most else min)(found, default=None)


def _times_best(results: Results, cell: str, shape: Shape, threads: int) -> float | None:
    return results.times_best(PER_GATE, cell, shape, threads)


def _times_best_bfloat16(results: Results, cell: str, shape: Shape, threads: int) -> float | None:
    return results.times_best(PER_GATE, cell, shape, threads, BFLOAT16)


def _times_float32(results: Results, cell: str, shape: Shape, threads: int) -> float | None:
    return results.times_float32(PER_GATE, cell, shape, threads)


def _times_ort(results: Results, cell: str, shape: Shape, threads: int) -> float | None:
    other = results.of(Way(ORT, OFF), cell, shape, threads)
    return ratio(other, results.mine(PER_GATE, cell, shape, threads))


def _cost(results: Results, cell: str, shape: Shape, threads: int) -> float | None:
    return results.cost(PER_GATE, cell, shape, threads)


def _shared_gain(results: Results, cell: str, shape: Shape, threads: int) -> float | None:
    both = (results.mine(dropout, cell, shape, threads) for dropout in (PER_GATE, SHARED))
    return ratio(*both)


def _threads_gain(results: Results, cell: str, shape: Shape, threads: int) -> float | None:
    return ratio(*(results.mine(PER_GATE, cell, shape, t) for t in (1, threads)))


TARGETS = [
    Target(
        "per_gate, times the best without dropout",
        _times_best,
        {
            "32 rows or more, H = 100": 1.2,
            "32 rows or more, H ≥ 256": 1.0,
            "one row, H = 100": 1.7,
            "one row, H = 256": 1.5,
        },
    ),
    Target("per_gate, times ONNX Runtime without dropout", _times_ort, {"one row, H = 32": 1.3}),
    Target(
        "per_gate, bfloat16, times the best bfloat16 without dropout",
        _times_best_bfloat16,
        {"32 rows or more, H = 100": 1.15, "32 rows or more, H ≥ 256": 1.0, "one row": 1.3},
    ),
    Target(
        "per_gate, bfloat16, times its own float32",
        _times_float32,
        {"H = 100": 1.5, "H ≥ 256": 1.8},
    ),
    Target(
        "time of per_gate over that of off",
        _cost,
        {"32 rows or more, H ≥ 32": 1.03},
        at_most=True,
    ),
    Target(
        "shared times as fast as per_row",
        _shared_gain,
        {"32 rows or more, H = 100": 1.6, "32 rows or more, H ≥ 256": 1.8},
    ),
    Target("per_gate, times one thread", _threads_gain, {"32 rows or more": 1.85}, threads=(2,)),
]


def targets(results: Results) -> Iterator[list[str]]:
    """One row a target that is about layers: what, wanted, reached, and whether."""
    for target in TARGETS:
        for cell, cell_name in CELLS.items():
            for group, wanted in target.wanted.items():
                for threads in target.threads:
                    worst = target.worst(results, group, cell, threads)
                    name = f"{cell_name}, {group}, {THREADS[threads]}: {target.what}"
                    name += f"; worst {worst[1]}" if worst else ""
                    yield [name, *verdict(wanted, worst and worst[0], target.at_most)]
    for tier in ("avx512", "avx2"):
        engine = fastdrop_label(tier)
        share = ratio(results.inner.get((engine, 1)), results.fma.get((engine, 1)))
        name = (
            f"inner kernel, a product of 512 x 1,024 x 4,096, one thread, {tier}: of the FMA peak"
        )
        yield [name, *verdict(OF_PEAK, share)]


def losses(results: Results) -> Iterator[str]:
    """Say which layers another engine runs faster than fastdrop's strongest tier, like for like."""
    faster: dict[str, list[str]] = {}
    for (way, cell, shape, threads), figure in results.figures.items():
        ours = results.mine(way.dropout, cell, shape, threads, way.precision)
        other = figure["seconds"]
        if "fastdrop" not in way.engine and ours and other and other < ours:
            where = f"{CELLS[cell]} {shape}, dropout {way.dropout}, {THREADS[threads]}"
            by = f"{way.name} by {number(ours / other)} times"
            faster.setdefault(where, []).append(by)
    yield from (f"* {where}: {', '.join(engines)}\n" for where, engines in faster.items())


# The layers that the README shows, if they were measured: one row, many rows, a wide one.
SHOWN = (Shape(1, 498, 64, 100), Shape(32, 498, 64, 100), Shape(64, 50, 512, 512))
BAR_OF_OURS = "fastdrop with dropout"


def shown(results: Results) -> list[tuple[str, Shape]]:
    """Return the layers of the README: some LSTMs, and the layer where fastdrop does worst."""
    layers = [("lstm", shape) for shape in SHOWN if shape in results.shapes]
    found = [(cell, shape) for _, cell, shape in by_times(results, 1)]
    return layers + [layer for layer in found if layer not in layers][:1]


def by_times(results: Results, threads: int) -> list[tuple[float, str, Shape]]:
    """Return how many times as fast as the best without dropout layers are, the worst first."""
    return sorted(
        (times, cell, shape)
        for cell in CELLS
        for shape in results.shapes
        if (times := results.times_best(PER_GATE, cell, shape, threads)) is not None
    )


def worst_layer(results: Results, threads: int) -> str:
    """Render the first of them, if there is any."""
    return next((number(times) for times, _, _ in by_times(results, threads)), NONE)


def summary(results: Results, jobs: Sequence[BesideKeras]) -> str:
    """Render the README's table: a layer and a job, and those where fastdrop does worst."""
    layers = shown(results)
    body = []
    for cell, shape in [*layers[:1], *layers[-1:]]:
        mine = results.mine(PER_GATE, cell, shape, 1)
        keras = results.best_keras(cell, shape, 1)
        speed = NONE if mine is None else f"{number(gflops(cell, shape, mine))} GFLOP/s"
        times = [results.times_best(PER_GATE, cell, shape, 1), ratio(keras and keras[0], mine)]
        body.append([f"layer: {CELLS[cell]} {shape}", speed, *map(number, times)])
    for job in [*jobs[:1], *sorted(jobs, key=lambda job: job.times)[:1]]:
        speed = f"{number(1e3 * job.seconds)} ms"
        body.append([f"job: {job.name}", speed, NONE, number(job.times)])
    head = ["", "fastdrop", "times the best without dropout", "times the best Keras with dropout"]
    return markdown(head, body)


def plot(results: Results) -> str:
    """Draw the README's layers with letters, for it is read where no image can stand beside it."""
    lines: list[tuple[str, float | None]] = []
    for cell, shape in shown(results):
        best, keras = results.best(cell, shape, 1), results.best_keras(cell, shape, 1)
        lines.append((f"{CELLS[cell]} {shape}", None))
        ways = [(BAR_OF_OURS, results.mine(PER_GATE, cell, shape, 1))]
        ways += [(f"{best[1]} without", best[0])] if best else []
        ways += [(f"{keras[1]} with", keras[0])] if keras else []
        lines += [(f"  {name}", gflops(cell, shape, seconds)) for name, seconds in ways]
    return bars(lines)
