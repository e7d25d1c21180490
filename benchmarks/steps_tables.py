"""The figures of steps and small calls as Markdown, in microseconds."""

from collections.abc import Iterator, Sequence

from benchmarks import recurrent_tables, tables
from benchmarks.recurrent_peers import OFF, ORT, PER_GATE, STEPPER, Shape
from benchmarks.recurrent_tables import Way
from benchmarks.steps import ELEMENTS, RATE, SEQUENCES, STEPS, Figures
from benchmarks.tables import IDIOMS, markdown, number, ratio, verdict

# Wanted of a step of one row, in microseconds and times ONNX Runtime; of a step of 100 rows, in
# ONNX Runtime's time; of 64 elements, times NumPy's idiom.
STEP, TIMES_ORT, OF_ORT = 4.0, 2.0, 0.85
SMALL = {"dropout": 1.3, "bool": 1.1}
FUNCTIONS = {"dropout": "`fd.dropout`", "bool": "`fd.bernoulli`"}


class Results:
    """What was measured of layers, and of masks."""

    def __init__(self, figures: Figures) -> None:
        self._layers = recurrent_tables.Results([figures])
        self._masks = tables.Results({**self._layers.about, "figures": figures["masks"]})
        self.about = self._layers.about
        self.sequences = self._layers.ours

    def of(self, engine: str, dropout: str, shape: Sequence[int]) -> float | None:
        """Seconds of a step or a sequence of an LSTM."""
        return self._layers.of(Way(engine, dropout), "lstm", Shape(*shape), 1)

    def ort(self, shape: Sequence[int]) -> float | None:
        return self.of(ORT, OFF, shape)

    def mask(self, operation: str) -> tuple[float | None, float | None]:
        """Seconds of fastdrop and of the faster of NumPy's idioms."""
        ours, idiom = (
            self._masks.seconds(operation, label, ELEMENTS, RATE)
            for label in (self._masks.ours, IDIOMS)
        )
        return ours, idiom


def micro(seconds: float | None) -> float | None:
    return None if seconds is None else 1e6 * seconds


def layers(results: Results) -> str:
    """Steps and sequences of an LSTM beside ONNX Runtime."""
    calls = [("a step by `fd.Stepper`", STEPPER, shape) for shape in STEPS]
    calls += [("`fd.rnn`", results.sequences, shape) for shape in SEQUENCES]
    body = []
    for name, engine, shape in calls:
        ours = [results.of(engine, dropout, shape) for dropout in (OFF, PER_GATE)]
        ort = results.ort(shape)
        cells = [*map(micro, [*ours, ort]), *(ratio(ort, seconds) for seconds in ours)]
        body.append([f"{name}, LSTM {Shape(*shape)}", *map(number, cells)])
    head = ["", "off, µs", "per_gate, µs", f"{ORT} without dropout, µs"]
    return markdown([*head, f"off, times {ORT}", f"per_gate, times {ORT} without"], body)


def masks(results: Results) -> str:
    """Masks of few elements beside NumPy's idiom."""
    body = []
    for operation, name in FUNCTIONS.items():
        ours, idiom = results.mask(operation)
        cells = map(number, (micro(ours), micro(idiom), ratio(idiom, ours)))
        body.append([f"{name}, rate {RATE}, {ELEMENTS} elements", *cells])
    return markdown(["", "µs", "NumPy idiom, µs", "times NumPy"], body)


def targets(results: Results) -> Iterator[list[str]]:
    """One row a target: what, wanted, reached, and whether."""
    one, many = STEPS
    for dropout in (OFF, PER_GATE):
        seconds = results.of(STEPPER, dropout, one)
        name = f"a step of LSTM {Shape(*one)}, {dropout}"
        yield [f"{name}: µs", *verdict(STEP, micro(seconds), at_most=True)]
        yield [f"{name}: times {ORT}", *verdict(TIMES_ORT, ratio(results.ort(one), seconds))]
    share = ratio(results.of(STEPPER, PER_GATE, many), results.ort(many))
    name = f"a step of LSTM {Shape(*many)}, {PER_GATE}: of {ORT}'s time without dropout"
    yield [name, *verdict(OF_ORT, share, at_most=True)]
    for operation, wanted in SMALL.items():
        ours, idiom = results.mask(operation)
        name = f"{FUNCTIONS[operation]} of {ELEMENTS} elements, rate {RATE}: times NumPy idiom"
        yield [name, *verdict(wanted, ratio(idiom, ours))]
