"""What other libraries say of the same forecasts.

    cd tests && python -m references.scores.make_scores [FILE]

writes scores.npz; it needs scoringrules, properscoring, scikit-learn and MAPIE. A case is
(library and function, options, arrays, outputs): the arrays are what fastdrop's function of the
same meaning takes, the one output is what that library makes of them, in fastdrop's order of axes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..stored import Arrays, Result, save

FILE = Path(__file__).with_name("scores.npz")
LEVEL = 0.8
BINS = 10


# ---- forecasts ----


def forecasts(seed: int = 0) -> dict[str, Arrays]:
    """Return arguments by what kind of forecast they are, with ties among numbers."""
    rng = np.random.default_rng(seed)
    y = rng.integers(-8, 9, (6, 4)) / 4
    levels = np.array([0.02, 0.1, 0.25, 0.5, 0.6, 0.9, 0.99])
    quantiles = np.sort(rng.integers(-9, 10, (7, 6, 4)) / 4, axis=0)
    probabilities = rng.dirichlet(np.full(4, 0.5), 60)
    labels = np.array([rng.choice(4, p=p) for p in probabilities])
    chances = rng.beta(0.7, 0.7, 60)
    mean = rng.normal(size=59)
    std = 0.3 + rng.gamma(2, 1, 59)  # scoringrules has no logarithms of densities below 1e-308
    middle = rng.normal(size=59)
    width = rng.uniform(1.5, 2, 59)  # to become narrower, but not to cross: MAPIE leaves that so
    return {
        "samples": {"y": y, "samples": rng.integers(-9, 10, (17, 6, 4)) / 4},
        "quantiles": {"y": y, "quantiles": quantiles, "levels": levels},
        "interval": {"y": y, "low": quantiles[1], "high": quantiles[5]},
        "normal": {"y": rng.normal(size=59), "mean": mean, "std": std},
        "classes": {"y": labels, "probabilities": probabilities},
        "binary": {"y": (rng.random(60) < chances).astype(np.int64), "probabilities": chances},
        "calibrated": {"y": mean + rng.normal(size=59), "mean": mean},
        "conformal": {
            "y": middle + rng.normal(size=59),
            "low": middle - width,
            "high": middle + width,
        },
    }


# ---- what others say ----


def sr(name: str, *given: Any, **options: Any) -> Any:
    import scoringrules

    return getattr(scoringrules, name)(*given, **options)


def ps(name: str, *given: Any) -> Any:
    import properscoring

    return getattr(properscoring, name)(*given)


def metric(name: str, *given: Any, **options: Any) -> Any:
    import sklearn.metrics

    return getattr(sklearn.metrics, name)(*given, **options)


def last(a: np.ndarray) -> np.ndarray:
    """Return it with its first axis as the last one."""
    return np.moveaxis(a, 0, -1)


def mean_pinball(y: Any, quantiles: Any, levels: Any) -> list[float]:
    return [
        metric("mean_pinball_loss", y, q, alpha=level)
        for q, level in zip(quantiles, levels, strict=True)
    ]


def diagram(y: Any, probabilities: Any) -> Any:
    """Return accuracies and confidences of the bins that hold any."""
    from sklearn.calibration import calibration_curve

    right = probabilities.argmax(axis=1) == y
    return calibration_curve(right, probabilities.max(axis=1), n_bins=BINS)


def columns(count: int) -> list[Any]:
    """Return estimators that have learnt to say what they are given: a column of X each."""
    from sklearn.base import BaseEstimator, RegressorMixin

    class Column(RegressorMixin, BaseEstimator):
        def __init__(self, column: int = 0) -> None:
            self.column = column
            self.fitted_ = True

        def fit(self, X: Any, y: Any) -> Column:  # noqa: N803
            return self

        def predict(self, X: Any) -> Any:  # noqa: N803
            return X[:, self.column]

    return [Column(column) for column in range(count)]


def mapie_absolute(y: Any, mean: Any) -> Any:
    from mapie.regression import SplitConformalRegressor

    (column,) = columns(1)
    made = SplitConformalRegressor(column, confidence_level=LEVEL, prefit=True)
    made.conformalize(mean[:, None], y)
    return made.predict_interval(mean[:, None])[1][:, :, 0].T


def mapie_cqr(y: Any, low: Any, high: Any) -> Any:
    from mapie.regression import ConformalizedQuantileRegressor

    x = np.stack([low, high, (low + high) / 2], axis=1)
    made = ConformalizedQuantileRegressor(columns(3), confidence_level=LEVEL, prefit=True)
    made.conformalize(x, y)
    return made.predict_interval(x, symmetric_correction=True)[1][:, :, 0].T


def mapie_lac(y: Any, probabilities: Any) -> Any:
    from mapie.classification import SplitConformalClassifier
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Given(ClassifierMixin, BaseEstimator):
        def __init__(self) -> None:
            self.fitted_ = True
            self.classes_ = np.arange(probabilities.shape[1])

        def fit(self, X: Any, y: Any) -> Given:  # noqa: N803
            return self

        def predict(self, X: Any) -> Any:  # noqa: N803
            return X.argmax(axis=1)

        def predict_proba(self, X: Any) -> Any:  # noqa: N803
            return X

    made = SplitConformalClassifier(
        Given(), confidence_level=LEVEL, conformity_score="lac", prefit=True
    )
    made.conformalize(probabilities, y)
    return made.predict_set(probabilities)[1][:, :, 0]


Says = Callable[..., Any]
# The kind of forecast, and what is made of it.
THEIRS: dict[str, tuple[str, Says]] = {
    "scoringrules crps_ensemble nrg": (
        "samples",
        lambda y, samples: sr("crps_ensemble", y, last(samples), estimator="nrg"),
    ),
    "scoringrules crps_ensemble int": (
        "samples",
        lambda y, samples: sr("crps_ensemble", y, last(samples), estimator="int"),
    ),
    "properscoring crps_ensemble": (
        "samples",
        lambda y, samples: ps("crps_ensemble", y, last(samples)),
    ),
    "scoringrules quantile_score": (
        "quantiles",
        lambda y, quantiles, levels: sr("quantile_score", y, quantiles, levels[:, None, None]),
    ),
    "scikit-learn mean_pinball_loss": ("quantiles", mean_pinball),
    "scoringrules crps_quantile": (
        "quantiles",
        lambda y, quantiles, levels: sr("crps_quantile", y, last(quantiles), levels),
    ),
    "scoringrules interval_score": (
        "interval",
        lambda y, low, high: sr("interval_score", y, low, high, 1 - LEVEL),
    ),
    "scoringrules crps_normal": (
        "normal",
        lambda y, mean, std: sr("crps_normal", y, mean, std),
    ),
    "properscoring crps_gaussian": (
        "normal",
        lambda y, mean, std: ps("crps_gaussian", y, mean, std),
    ),
    "scoringrules logs_normal": (
        "normal",
        lambda y, mean, std: sr("logs_normal", y, mean, std),
    ),
    "scikit-learn log_loss of classes": (
        "classes",
        lambda y, probabilities: metric("log_loss", y, probabilities, labels=range(4)),
    ),
    "scikit-learn log_loss of two": (
        "binary",
        lambda y, probabilities: metric("log_loss", y, probabilities),
    ),
    "scikit-learn brier_score_loss of classes": (
        "classes",
        lambda y, probabilities: metric(
            "brier_score_loss", y, probabilities, labels=range(4), scale_by_half=False
        ),
    ),
    "scikit-learn brier_score_loss of two": (
        "binary",
        lambda y, probabilities: metric("brier_score_loss", y, probabilities),
    ),
    "scoringrules brier_score": (
        "binary",
        lambda y, probabilities: sr("brier_score", y, probabilities),
    ),
    "properscoring brier_score": (
        "binary",
        lambda y, probabilities: ps("brier_score", y, probabilities),
    ),
    "scikit-learn calibration_curve": ("classes", diagram),
    "MAPIE SplitConformalRegressor": ("calibrated", mapie_absolute),
    "MAPIE ConformalizedQuantileRegressor": ("conformal", mapie_cqr),
    "MAPIE SplitConformalClassifier lac": ("classes", mapie_lac),
}
# What has to be installed for the cases whose names begin so.
MODULES = {
    "scoringrules": "scoringrules",
    "properscoring": "properscoring",
    "scikit-learn": "sklearn",
    "MAPIE": "mapie",
}


def cases() -> Iterator[Result]:
    given = forecasts()
    for name, (kind, says) in THEIRS.items():
        yield name, {}, given[kind], {"score": np.asarray(says(**given[kind]))}


if __name__ == "__main__":
    save(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE, cases())
