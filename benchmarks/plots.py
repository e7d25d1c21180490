"""Throughput against size, one line a library, as SVG files that are the same for the same data."""

from pathlib import Path
from typing import Any

from benchmarks.keras_calls import ENGINES
from benchmarks.peers import LIMIT, NUMPY, RBG, TF, TORCH
from benchmarks.recurrent_peers import BFLOAT16, OFF, OPENVINO, ORT, PER_GATE
from benchmarks.recurrent_tables import CELLS, THREADS, Way, gflops
from benchmarks.recurrent_tables import Results as Recurrent
from benchmarks.tables import Results

# Colours that stay apart for colour-blind readers (Okabe and Ito).
OTHERS = {
    NUMPY: "#0072b2",
    "randomgen, Xoroshiro128": "#56b4e9",
    "mkl_random `uniform < p`": "#009e73",
    "mkl_random idiom": "#009e73",
    TORCH: "#e69f00",
    RBG: "#cc79a7",
    TF: "#7f7f7f",
}
STYLE = {
    "svg.hashsalt": "fastdrop",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    # Opaque, so that it can be read on a dark page too.
    "savefig.facecolor": "white",
}


def _panel(axes: Any, results: Results, operation: str, rate: float, title: str) -> None:
    def line(kind: str, label: str, name: str, **style: Any) -> None:
        points = results.line(kind, label, rate)
        if points:
            sizes, seconds = zip(*points, strict=True)
            speed = [n / s for n, s in zip(sizes, seconds, strict=True)]
            axes.loglog(sizes, speed, label=name, **style)

    kinds = ("packed", "bool") if operation == "bool" else (operation,)
    for kind, dashes in zip(kinds, ("-", "--"), strict=False):
        note = f", {kind}" if len(kinds) > 1 else ""
        style: dict[str, Any] = {"linestyle": dashes, "linewidth": 2.2}
        line(kind, results.ours, f"fastdrop{note}", color="#d55e00", **style)
        line(kind, LIMIT, f"memory limit{note}", color="#bbbbbb", linestyle=dashes)
    for label, colour in OTHERS.items():
        line(operation, label, label.replace("`", ""), color=colour, marker=".")
    axes.set_xticks([4**n for n in range(3, 14)])
    axes.set_xticklabels([f"$2^{{{2 * n}}}$" for n in range(3, 14)])
    axes.minorticks_off()
    axes.set_xlabel("elements")
    axes.set_ylabel("elements per second")
    axes.set_title(title, fontsize="medium")
    axes.grid(color="#eeeeee")
    axes.legend(fontsize="x-small", frameon=False, loc="lower right")


def write(results: Results, directory: Path) -> list[Path]:
    """Write both figures and return their paths."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    pages = {
        "masks.svg": [("bool", 0.1)],
        "dropout.svg": [("dropout", 0.1), ("dropout", 0.5)],
    }
    paths = []
    with mpl.rc_context(STYLE):
        for name, panels in pages.items():
            figure = Figure(figsize=(6.4 * len(panels), 4.6), layout="constrained")
            row = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
            for axes, (operation, rate) in zip(row, panels, strict=True):
                what = "float32 dropout" if operation == "dropout" else "masks"
                _panel(axes, results, operation, rate, f"{what}, rate {rate}, one thread")
            paths.append(directory / name)
            figure.savefig(paths[-1], metadata={"Date": None})
    return paths


# Dropout off: full lines. On: broken ones, and dotted in bfloat16.
RECURRENT = {
    TORCH: "#e69f00",
    ORT: "#0072b2",
    OPENVINO: "#009e73",
    ENGINES["tensorflow"]: "#7f7f7f",
    ENGINES["jax"]: "#cc79a7",
    ENGINES["torch"]: "#e69f00",
}


def _shapes(axes: Any, results: Recurrent, cell: str, threads: int) -> None:
    """Draw one line an engine over the shapes, which are in no order of size."""
    places = range(len(results.shapes))
    lines = [
        ("fastdrop", "-", "#d55e00", Way(results.ours, OFF)),
        ("fastdrop, dropout", "--", "#d55e00", Way(results.ours, PER_GATE)),
        ("fastdrop, dropout, bfloat16", ":", "#d55e00", Way(results.ours, PER_GATE, BFLOAT16)),
    ]
    for engine, colour in RECURRENT.items():
        if engine in ENGINES.values():
            lines.append((f"{engine}, dropout", "--", colour, Way(engine, PER_GATE)))
        else:
            lines.append((engine, "-", colour, Way(engine, OFF)))
    for label, dashes, colour, way in lines:
        speeds = [
            gflops(cell, shape, results.of(way, cell, shape, threads)) for shape in results.shapes
        ]
        points = [(x, speed) for x, speed in zip(places, speeds, strict=True) if speed is not None]
        if points:
            style = {"color": colour, "linestyle": dashes, "marker": "."}
            width = 2.2 if way.engine == results.ours else 1.2
            axes.plot(*zip(*points, strict=True), label=label, linewidth=width, **style)
    if threads in results.sgemm:
        axes.axhline(results.sgemm[threads], color="#bbbbbb", label="sgemm")
    axes.set_xticks(places)
    axes.set_xticklabels(map(str, results.shapes), rotation=40, ha="right", fontsize="x-small")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("GFLOP/s")
    axes.set_title(f"{CELLS[cell]}, {THREADS[threads]}", fontsize="medium")
    axes.grid(color="#eeeeee")


def write_recurrent(results: Recurrent, directory: Path) -> list[Path]:
    """Write a figure for each cell and return their paths."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    paths = []
    with mpl.rc_context(STYLE):
        for cell in CELLS:
            figure = Figure(figsize=(6.4 * len(THREADS), 4.8), layout="constrained")
            row = figure.subplots(1, len(THREADS), squeeze=False)[0]
            for axes, threads in zip(row, THREADS, strict=True):
                _shapes(axes, results, cell, threads)
            named = row[0].get_legend_handles_labels()
            figure.legend(*named, loc="outside lower center", ncols=5, frameon=False)
            paths.append(directory / f"recurrent-{cell}.svg")
            figure.savefig(paths[-1], metadata={"Date": None})
    return paths
