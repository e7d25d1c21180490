"""What `make bench-compare` calls changed, from figures made by hand."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent))
pytest.importorskip("benchmarks", reason="the benchmarks are not here")

from benchmarks.compare import Change, compared, report, runs_for


@pytest.mark.parametrize("benchmarks", [1, 10, 500])
def test_so_many_runs_are_made_as_the_test_of_mann_and_whitney_needs(benchmarks: int) -> None:
    stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
    n = runs_for(benchmarks)
    for runs, enough in ((n, True), (n - 1, False)):
        apart = stats.mannwhitneyu(range(runs), range(runs, 2 * runs), method="exact")
        assert (benchmarks * apart.pvalue <= 0.05) == enough


def test_nothing_is_called_changed_where_nothing_is() -> None:
    """In at most one of twenty comparisons, whatever the noise is like."""
    rng = np.random.default_rng(0)
    benchmarks, comparisons = 10, 2000
    runs = rng.exponential(1, (comparisons, benchmarks, 2, runs_for(benchmarks)))
    wrong = sum(
        any(Change("", list(base), list(head)).beyond_noise for base, head in comparison)
        for comparison in runs
    )
    # Four standard deviations of a binomial above its mean.
    assert 0 < wrong <= 0.05 * comparisons + 4 * (0.05 * 0.95 * comparisons) ** 0.5


@pytest.mark.parametrize(
    ("head", "ratio", "beyond"),
    [
        ([4.1, 5.0, 4.5], 3.0, True),
        ([0.5, 0.9, 0.8], 0.8 / 1.5, True),
        ([1.9, 5.0, 4.5], 3.0, False),
        ([2.0, 3.0, 4.0], 2.0, False),  # one run as long as the longest of the base
    ],
    ids=["slower", "faster", "overlapping", "touching"],
)
def test_a_change_is_beyond_noise_where_all_runs_are_apart(
    head: list[float], ratio: float, beyond: bool
) -> None:
    change = Change("a", [1.0, 1.5, 2.0], head)
    assert change.beyond_noise == beyond
    assert change.ratio == pytest.approx(ratio)


def test_the_report_says_what_changed_and_what_was_not_compared() -> None:
    base = {"slow": [1.0, 1.1], "fast": [1.0, 1.1], "same": [1.0, 1.1], "old": [1.0, 1.0]}
    head = {"slow": [2.0, 2.2], "fast": [0.5, 0.5], "same": [1.0, 1.2], "flaky": [1.0]}
    assert [change.name for change in compared(base, head)] == ["slow", "same", "fast"]
    lines = report(base, head).splitlines()
    assert [line.split()[-1] for line in lines[1:3]] == ["slow", "fast"]
    assert lines[3] == "3 benchmarks: 1 slower, 1 faster, 1 not changed beyond noise"
    assert lines[5:] == [
        "NOT COMPARED, it ran 0 times on the base, 1 here: flaky",
        "NOT COMPARED, it ran 2 times on the base, 0 here: old",
    ]
    assert report({}, {}).splitlines()[0] == "nothing changed beyond noise"
