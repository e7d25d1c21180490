"""The figures of recurrent layers as Markdown. Rows that lose stay."""

from collections.abc import Iterator, Sequence

from benchmarks.keras_calls import ENGINES
from benchmarks.measure import About
from benchmarks.recurrent import Figure, Figures
from benchmarks.recurrent_peers import (
    OFF,
    OPENVINO,
    ORT,
    PACKED_ANEW,
    PER_GATE,
    SHARED,
    TIED,
    TORCH,
    Shape,
    Task,
)
from benchmarks.tables import NONE, markdown, number, ratio, verdict

CELLS = {"lstm": "LSTM", "gru": "GRU"}
THREADS = {1: "one thread", 2: "two threads"}
OTHERS = (TORCH, ORT, OPENVINO)
NOT_INSTALLED = "not installed"


class Results:
    """What all processes of one run measured."""

    def __init__(self, processes: Sequence[Figures]) -> None:
        versions = {n: v for one in processes for n, v in one["versions"].items()}
        self.about: About = {**processes[0], "versions": versions}
        self.tiers = self.about["tiers"]
        self.ours = f"**fastdrop, {self.tiers[0]}**"
        self.figures: dict[tuple[str, str, str, Shape, int], Figure] = {}
        self.sgemm: dict[int, float] = {}
        self.fma: dict[tuple[str, int], float] = {}
        self.inner: dict[tuple[str, int], float] = {}
        for process in processes:
            for f in process["figures"]:
                key = (f["engine"], f["dropout"], f["cell"], Shape(*f["shape"]), f["threads"])
                self.figures[key] = f
            if process["sgemm"] is not None:
                threads = process["figures"][0]["threads"]
                self.sgemm[threads] = process["sgemm"]
                for into, of in ((self.fma, process["fma"]), (self.inner, process["inner"])):
                    into.update({(f"**fastdrop, {t}**", threads): v for t, v in of.items()})
        self.shapes = list(dict.fromkeys(key[3] for key in self.figures))
        self.ways = list(dict.fromkeys(key[:2] for key in self.figures))

    def seconds(
        self, engine: str, dropout: str, cell: str, shape: Shape, threads: int
    ) -> float | None:
        figure = self.figures.get((engine, dropout, cell, shape, threads))
        return figure["seconds"] if figure else None

    def mine(self, dropout: str, cell: str, shape: Shape, threads: int) -> float | None:
        """Seconds of fastdrop's strongest tier."""
        return self.seconds(self.ours, dropout, cell, shape, threads)

    def best(self, cell: str, shape: Shape, threads: int) -> tuple[float, str] | None:
        """Seconds and name of the fastest of the engines without dropout."""
        found = [(self.seconds(e, OFF, cell, shape, threads), e) for e in OTHERS]
        return min(((s, e) for s, e in found if s is not None), default=None)

    def times_best(self, dropout: str, cell: str, shape: Shape, threads: int) -> float | None:
        """Return how many times as fast fastdrop is."""
        best = self.best(cell, shape, threads)
        return ratio(best[0] if best else None, self.mine(dropout, cell, shape, threads))

    def cost(self, dropout: str, cell: str, shape: Shape, threads: int) -> float | None:
        """Time with dropout over that without, of fastdrop's strongest tier."""
        return ratio(self.mine(dropout, cell, shape, threads), self.mine(OFF, cell, shape, threads))


def gflops(cell: str, shape: Shape, seconds: float | None) -> float | None:
    return None if seconds is None else 1e-9 * Task(cell, shape, 1).flop / seconds


def percent(share: float | None) -> str:
    return NONE if share is None else f"{number(100 * share)} %"


def overview(results: Results, cell: str, threads: int) -> str:
    """GFLOP/s by shape; of fastdrop the two strongest tiers."""
    engines = {results.ours, f"**fastdrop, {results.tiers[1]}**"}
    body = []
    for engine, dropout in results.ways:
        if "fastdrop" in engine and engine not in engines:
            continue
        cells = [
            number(gflops(cell, shape, results.seconds(engine, dropout, cell, shape, threads)))
            for shape in results.shapes
        ]
        if any(text != NONE for text in cells):
            body.append([engine, dropout, *cells])
    return markdown(["", "dropout", *map(str, results.shapes)], body)


def point(results: Results, cell: str, shape: Shape) -> str:
    """Everything that was measured of one layer, the fastest first."""
    body, notes = [], set()
    columns = ["ms", "GFLOP/s", "of sgemm", *(["of FMA peak"] if results.fma else [])]
    for engine, dropout in results.ways:
        cells: list[str] = []
        times: list[float] = []
        name = engine
        for threads in THREADS:
            figure = results.figures.get((engine, dropout, cell, shape, threads))
            seconds = figure["seconds"] if figure else None
            speed = gflops(cell, shape, seconds)
            cells += [
                number(seconds and seconds * 1e3),
                number(speed),
                percent(ratio(speed, results.sgemm.get(threads))),
                percent(ratio(speed, results.fma.get((engine, threads)))),
            ][: len(columns)]
            times += [seconds] if seconds is not None else []
            if figure and figure["steps"] is not None:
                notes.add(f"{engine}: {figure['steps']} steps were run, and scaled.")
            if figure and seconds is None:
                name = f"{engine}, {NOT_INSTALLED}"
        if times or NOT_INSTALLED in name:
            body.append((min(times, default=1e9), [name, dropout, *cells]))
    head = ["", "dropout", *(f"{c}, {t}" for t in ("one", "two") for c in columns)]
    table = markdown(head, (cells for _, cells in sorted(body, key=lambda pair: pair[0])))
    return table + "".join(f"\n{note}" for note in sorted(notes)) + ("\n" if notes else "")


def points(results: Results) -> str:
    parts = []
    for cell, name in CELLS.items():
        for shape in results.shapes:
            parts.append(f"### {name} {shape}\n\n{point(results, cell, shape)}")
    return "\n".join(parts)


def against_best(results: Results) -> str:
    """Return how fastdrop does beside the best of the engines without dropout."""
    body = []
    for cell, name in CELLS.items():
        for shape in results.shapes:
            cells = []
            for threads in THREADS:
                best = results.best(cell, shape, threads)
                cells += [best[1] if best else NONE]
                cells += [
                    number(results.times_best(dropout, cell, shape, threads))
                    for dropout in (OFF, PER_GATE, TIED, SHARED)
                ]
            body.append([f"{name} {shape}", *cells])
    head = [""]
    for threads in THREADS.values():
        head += [f"best other, {threads}", *("off", PER_GATE, TIED, SHARED)]
    return markdown(head, body)


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


TIMES_BEST = {
    Shape(32, 498, 64, 100): 1.2,
    Shape(256, 100, 64, 100): 1.2,
    Shape(1, 498, 64, 100): 1.2,
    Shape(32, 100, 256, 256): 1.0,
    Shape(64, 50, 512, 512): 1.0,
    Shape(64, 25, 1024, 1024): 1.0,
}
COST, SHARED_GAIN, OF_PEAK = 1.03, 1.5, 0.88


def targets(results: Results) -> Iterator[list[str]]:
    """One row a target that is about a layer: what, wanted, reached, and whether."""
    for shape, wanted in TIMES_BEST.items():
        for threads, word in THREADS.items():
            name = f"LSTM {shape}, per_gate, {word}: times the best without dropout"
            reached = results.times_best(PER_GATE, "lstm", shape, threads)
            yield [name, *verdict(wanted, reached)]
    for cell, cell_name in CELLS.items():
        for threads, word in THREADS.items():
            found = [
                (value, shape)
                for shape in results.shapes
                if (value := results.cost(PER_GATE, cell, shape, threads)) is not None
            ]
            worst, shape = max(found, default=(None, ""))
            name = f"{cell_name}, {word}: time of per_gate over that of off, worst shape {shape}"
            yield [name, *verdict(COST, worst, at_most=True)]
            gains = [
                (a / b, shape)
                for shape in results.shapes
                if shape.batch >= 32
                and (a := results.mine(PER_GATE, cell, shape, threads)) is not None
                and (b := results.mine(SHARED, cell, shape, threads)) is not None
            ]
            least, shape = min(gains, default=(None, ""))
            name = f"{cell_name}, {word}: shared times as fast as per_row, worst shape {shape}"
            yield [name, *verdict(SHARED_GAIN, least)]
    for tier in ("avx512", "avx2"):
        engine = f"**fastdrop, {tier}**"
        share = ratio(results.inner.get((engine, 1)), results.fma.get((engine, 1)))
        name = (
            f"inner kernel, a product of 512 x 1,024 x 4,096, one thread, {tier}: of the FMA peak"
        )
        yield [name, *verdict(OF_PEAK, share)]


def losses(results: Results) -> Iterator[str]:
    """Say which layers another engine runs faster than fastdrop's strongest tier, like for like."""
    faster: dict[str, list[str]] = {}
    for (engine, dropout, cell, shape, threads), figure in results.figures.items():
        ours = results.mine(dropout, cell, shape, threads)
        other = figure["seconds"]
        if "fastdrop" not in engine and ours and other and other < ours:
            where = f"{CELLS[cell]} {shape}, dropout {dropout}, {THREADS[threads]}"
            faster.setdefault(where, []).append(f"{engine} by {number(ours / other)} times")
    yield from (f"* {where}: {', '.join(engines)}\n" for where, engines in faster.items())


def short(results: Results) -> str:
    """Render the README's table: per_gate dropout against the others."""
    body = []
    for cell, name in CELLS.items():
        for shape in results.shapes:
            seconds = results.mine(PER_GATE, cell, shape, 1)
            keras = [results.seconds(e, PER_GATE, cell, shape, 1) for e in ENGINES.values()]
            body.append(
                [
                    f"{name} {shape}",
                    number(gflops(cell, shape, seconds)),
                    *(number(results.times_best(PER_GATE, cell, shape, t)) for t in THREADS),
                    number(ratio(min((s for s in keras if s), default=None), seconds)),
                ]
            )
    head = ["(batch, steps, features, units)", "GFLOP/s", "times the best without dropout"]
    return markdown([*head, "the same, two threads", "times the best Keras with dropout"], body)
