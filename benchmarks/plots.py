"""Throughput against size, one line a library, as SVG files that are the same for the same data."""

from pathlib import Path
from typing import Any

from benchmarks.peers import LIMIT, NUMPY, RBG, TF, TORCH, fastdrop_label
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
        ours = fastdrop_label(results.tiers[0])
        line(kind, ours, f"fastdrop{note}", color="#d55e00", **style)
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
