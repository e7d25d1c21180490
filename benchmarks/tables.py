"""The figures as Markdown. Ratios first; rows that lose stay."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from benchmarks.measure import About, Figures
from benchmarks.peers import (
    LIBRARIES,
    LIMIT,
    NUMPY,
    NUMPY_NEW,
    RBG,
    TF,
    THREEFRY,
    TORCH,
    fastdrop_label,
)

IDIOMS = (NUMPY, NUMPY_NEW)
NONE = "-"
WORDS = {"packed": "packed masks", "bool": "bool masks", "dropout": "float32 dropout"}


class Results:
    """What one process measured: seconds by operation, label, size, rate and threads."""

    def __init__(self, figures: Figures) -> None:
        self.about = figures
        self.tiers = figures["tiers"]
        self.ours = fastdrop_label(self.tiers[0])
        self._seconds = {
            (f["operation"], f["label"], f["size"], f["rate"], f["threads"]): f["seconds"]
            for f in figures["figures"]
        }

    def seconds(
        self, operation: str, label: str | Sequence[str], size: int, rate: float, threads: int = 1
    ) -> float | None:
        """Seconds for one call; of several labels the fastest."""
        labels = [label] if isinstance(label, str) else label
        found = [self._seconds.get((operation, one, size, rate, threads)) for one in labels]
        return min((s for s in found if s is not None), default=None)

    def labels(self, operation: str, size: int) -> list[str]:
        """Every label that was measured, and the libraries that are not installed."""
        return list(
            dict.fromkeys(key[1] for key in self._seconds if key[0] == operation and key[2] == size)
        )

    def line(self, operation: str, label: str, rate: float) -> list[tuple[int, float]]:
        """Sizes and seconds."""
        return sorted(
            (key[2], s)
            for key, s in self._seconds.items()
            if key[:2] == (operation, label) and key[3] == rate and s is not None
        )

    def caption(self, threads: str = "one thread") -> str:
        return caption(self.about, threads)


def caption(about: About, threads: str) -> str:
    """Say below a table where its figures are from."""
    libraries = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return (
        f"{about['cpu']}, {about['system']}; {threads}; fastdrop's tiers: "
        f"{', '.join(about['tiers'])}; {libraries}; best of up to {about['rounds']} rounds; "
        f"{about['date']}."
    )


def ratio(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a / b


def number(value: float | None) -> str:
    """Three digits."""
    if value is None:
        return NONE
    return f"{value:.0f}" if value >= 99.95 else f"{value:.3g}"


def markdown(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def bars(lines: Sequence[tuple[str, float | None]], width: int = 40) -> str:
    """Draw numbers as lines of letters, the largest so wide; lines without one are titles."""
    longest = max((value for _, value in lines if value is not None), default=1.0)
    names = max((len(name) for name, value in lines if value is not None), default=0)
    drawn = [
        name
        if value is None
        else f"{name:<{names}}  {'█' * max(1, round(width * value / longest))} {number(value)}"
        for name, value in lines
    ]
    return "\n".join(drawn) + "\n"


def speeds(results: Results, operation: str, size: int, rates: Sequence[float]) -> str:
    """One operation at some rates: times NumPy, share of the memory limit, elements a second.

    Only fastdrop packs its masks, so that table holds the others' masks of bytes.
    """
    labels = dict.fromkeys(results.labels(operation, size), operation)
    baseline = "dropout" if operation == "dropout" else "bool"
    if operation == "packed":
        for label in results.labels("bool", size):
            if label != LIMIT and "fastdrop" not in label:
                labels.setdefault(label, "bool")
    body = []
    for label, kind in labels.items():
        times, shares, absolute = [], [], []
        for rate in rates:
            seconds = results.seconds(kind, label, size, rate)
            idiom = results.seconds(baseline, IDIOMS, size, rate)
            limit = results.seconds(operation, LIMIT, size, rate)
            times.append(number(ratio(idiom, seconds)))
            share = ratio(limit, seconds)
            shares.append(NONE if share is None else f"{number(100 * share)} %")
            absolute.append(number(ratio(size / 1e9, seconds)))
        fastest = min(
            (s for rate in rates if (s := results.seconds(kind, label, size, rate))), default=1e9
        )
        if label in LIBRARIES and fastest == 1e9:
            times[0] = "not installed"
        note = " (a byte each)" if kind != operation and fastest < 1e9 else ""
        body.append((fastest, [label + note, *times, *shares, *absolute]))
    head = ["", *(f"times NumPy, {rate}" for rate in rates), *(f"of the limit, {r}" for r in rates)]
    head += [f"G elements/s, {rate}" for rate in rates]
    return markdown(head, (cells for _, cells in sorted(body, key=lambda pair: pair[0])))


def small_calls(results: Results, size: int, rate: float) -> str:
    body = []
    for label in results.labels("dropout", size):
        seconds = results.seconds("dropout", label, size, rate)
        idiom, torch = (results.seconds("dropout", of, size, rate) for of in (IDIOMS, TORCH))
        cells = [number(ratio(idiom, seconds)), number(ratio(torch, seconds))]
        missing = "not installed" if label in LIBRARIES else NONE
        cells.append(missing if seconds is None else number(seconds * 1e6))
        body.append((seconds or 1e9, [label, *cells]))
    head = ["", "times NumPy", "times PyTorch", "µs a call"]
    return markdown(head, (cells for _, cells in sorted(body, key=lambda pair: pair[0])))


TWO_THREADS = (("packed", 0.1), ("bool", 0.1), ("dropout", 0.1))


def two_threads(one: Results, two: Results, size: int) -> str:
    """For fastdrop and the limit both figures are of one process, for the others of two."""
    body = []
    for operation, rate in TWO_THREADS:
        for label in two.labels(operation, size):
            both = two.seconds(operation, label, size, rate, 2)
            single = two.seconds(operation, label, size, rate, 1)
            single = single or one.seconds(operation, label, size, rate)
            if both is not None:
                speed = [number(ratio(size / 1e9, seconds)) for seconds in (single, both)]
                gain = number(ratio(single, both))
                body.append([f"{WORDS[operation]}, {rate}", label, gain, *speed])
    head = ["", "", "times one thread", "G elements/s, one", "G elements/s, two"]
    return markdown(head, body)


class Target(NamedTuple):
    """`fastdrop` must be at least `wanted[tier]` times as fast as `against`."""

    operation: str
    rate: float
    against: str | Sequence[str]
    wanted: dict[str, float]
    small: bool = False

    def reached(self, results: Results, tier: str, large: int) -> float | None:
        size = 64 if self.small else large
        packed_or_bool = "bool" if self.operation == "packed" else self.operation
        other = results.seconds(packed_or_bool, self.against, size, self.rate)
        ours = results.seconds(self.operation, fastdrop_label(tier), size, self.rate)
        return ratio(other, ours)


def _both(avx512: float, avx2: float) -> dict[str, float]:
    return {"avx512": avx512, "avx2": avx2}


TARGETS = [
    Target("packed", 0.5, IDIOMS, _both(120, 60)),
    Target("packed", 0.1, IDIOMS, _both(20, 9)),
    Target("bool", 0.1, IDIOMS, {**_both(15, 8), "portable": 1.5}),
    Target("bool", 0.1, TORCH, _both(60, 30)),
    Target("dropout", 0.5, LIMIT, _both(0.9, 0.9)),
    Target("dropout", 0.1, LIMIT, _both(0.85, 0.75)),
    *(
        Target("dropout", rate, against, _both(wanted, wanted))
        for against, wanted in ((IDIOMS, 6), (TORCH, 25), (TF, 4))
        for rate in (0.5, 0.1)
    ),
    Target("dropout", 0.1, TORCH, _both(1, 1), small=True),
]
WANTED_OF_TWO_THREADS = 1.8


def verdict(wanted: float, reached: float | None, at_most: bool = False) -> list[str]:
    """Return three cells: what is wanted, what was reached, and whether that is enough."""
    bound = f"≤ {number(wanted)}" if at_most else number(wanted)
    if reached is None:
        return [bound, NONE, "not measured"]
    share = wanted / reached if at_most else reached / wanted
    if share >= 1:
        return [bound, number(reached), "reached"]
    gap = 100 / share - 100 if at_most else 100 - 100 * share
    return [bound, number(reached), f"**missed** by {gap:.{0 if gap >= 1 else 1}f} %"]


def targets(one: Results, two: Results, large: int, huge: int) -> str:
    body = []
    for target in TARGETS:
        against = target.against if isinstance(target.against, str) else "NumPy idiom"
        size = ", 64 elements" if target.small else ""
        name = f"{WORDS[target.operation]}, {target.rate}{size}: times {against}"
        for tier, wanted in target.wanted.items():
            body.append([name, tier, *verdict(wanted, target.reached(one, tier, large))])
    for operation, rate in TWO_THREADS:
        for label, tier in ((fastdrop_label(tier), tier) for tier in ("avx512", "avx2")):
            pair = (two.seconds(operation, label, huge, rate, threads) for threads in (1, 2))
            name = f"{WORDS[operation]}, {rate}, {huge:,} elements: two threads, times one"
            body.append([name, tier, *verdict(WANTED_OF_TWO_THREADS, ratio(*pair))])
    return markdown(["", "tier", "wanted", "reached", ""], body)


def times(results: Results, size: int) -> str:
    """Say for the README how many times as fast dropout is as that of each library."""
    seconds = results.seconds("dropout", results.ours, size, 0.1)
    others = {"NumPy": IDIOMS, "PyTorch": TORCH, "TensorFlow": TF, "JAX": (THREEFRY, RBG)}
    said = [
        f"{number(ratio(results.seconds('dropout', labels, size, 0.1), seconds))} ({name})"
        for name, labels in others.items()
    ]
    return ", ".join(said)


def losses(results: Results, large: int) -> str:
    """Say what is faster than fastdrop's strongest tier, limits apart."""
    ours = results.ours
    lines: list[str] = []
    for operation, rates in (("packed", (0.5, 0.25, 0.1)), ("bool", (0.5, 0.25, 0.1))):
        lines += _faster(results, ours, operation, rates, large)
    for size in (large, 64):
        lines += _faster(results, ours, "dropout", (0.5, 0.1), size)
    return "".join(lines) or "Nothing that was measured.\n"


def _faster(
    results: Results, ours: str, operation: str, rates: Sequence[float], size: int
) -> Iterable[str]:
    for rate in rates:
        seconds = results.seconds(operation, ours, size, rate)
        for label in results.labels(operation, size):
            other = results.seconds(operation, label, size, rate)
            if label == LIMIT or "fastdrop" in label or not seconds or not other:
                continue
            if other < seconds:
                times = number(seconds / other)
                what = WORDS[operation]
                yield f"* {what}, rate {rate}, {size:,} elements: {label}, by {times} times\n"
