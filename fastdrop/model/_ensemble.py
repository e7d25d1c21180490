"""Several models as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.model._graph import check_sequence
from fastdrop.model._model import Model
from fastdrop.model._sampling import reporter
from fastdrop.random import as_key
from fastdrop.typing import Inputs, Kind, Likelihood, RNGLike, Scale, Scope
from fastdrop.uncertainty._prediction import Prediction


class EnsemblePrediction(Prediction):
    """What the samples of several models say together, each model for as much as the others.

    Attributes
    ----------
    members : tuple of Prediction
        What each model says.
    """

    members: tuple[Prediction, ...] = ()
    _fixed: tuple[bool, ...] = ()

    @classmethod
    def of(cls, members: Sequence[Prediction], fixed: Sequence[bool]) -> EnsemblePrediction:
        """Put predictions for the same rows together; `fixed` says which have equal samples."""
        whole = members[0]
        for member in members[1:]:
            whole = whole.merge(member)
        found = cls(
            whole.kind,
            whole._shape,
            whole._rows,
            whole._parts,
            row_offset=whole._row_offset,
            transformed=whole._transformed,
        )
        found.members, found._fixed = tuple(members), tuple(fixed)
        return found

    def merge(self, other: Prediction) -> Prediction:
        """Put together what two predictions have seen, as `Prediction.merge` does.

        Of ensembles of as many models, model by model, so that `within` and `between` stay.
        """
        if not isinstance(other, EnsemblePrediction) or len(other.members) != len(self.members):
            return super().merge(other)
        pairs = zip(self.members, other.members, strict=True)
        return EnsemblePrediction.of([a.merge(b) for a, b in pairs], self._fixed)

    @property
    def within(self) -> NDArray[np.float64]:
        """Variance within the models, shaped like `mean`: the mean of theirs.

        NaN where a model in which something is random has a single sample.
        """
        each = [
            np.zeros_like(member.mean) if fixed else member.var
            for member, fixed in zip(self.members, self._fixed, strict=True)
        ]
        return np.asarray(np.mean(each, axis=0))

    @property
    def between(self) -> NDArray[np.float64]:
        """Variance between the models, shaped like `mean`: that of their means.

        With the number of models less 1 in the denominator.
        """
        means = [member.mean for member in self.members]
        with np.errstate(all="ignore"):
            return np.asarray(np.var(means, axis=0, ddof=1))


class Ensemble:
    """Models that were trained apart for one task, and predict together (a deep ensemble).

    Parameters
    ----------
    models : sequence of Model
        Two or more, of the same inputs and outputs.

    Attributes
    ----------
    models : tuple of Model

    Raises
    ------
    TypeError, ValueError
        If there are fewer, or they do not fit each other.

    Notes
    -----
    Lakshminarayanan, Pritzel and Blundell, "Simple and Scalable Predictive Uncertainty Estimation
    using Deep Ensembles", NIPS 2017.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> def model(weight):
    ...     kernel = np.full((2, 1), weight, np.float32)
    ...     return fd.Model([fd.layers.Dense(name="dense", kernel=kernel)], (2,))
    >>> ensemble = fd.Ensemble([model(1.0), model(1.5), model(2.0)])
    >>> p = ensemble.mc_predict(np.ones((1, 2)), samples=1)
    >>> p.mean, p.between
    (array([[3.]]), array([[1.]]))
    """

    def __init__(self, models: Sequence[Model]) -> None:
        found = check_sequence(models, "models", Model, "fastdrop.Model", least=2)
        self.models: tuple[Model, ...] = found
        first = found[0]
        for number, model in enumerate(found[1:], 1):
            for what in ("input_shape", "output_shape"):
                expected, got = getattr(first, what), getattr(model, what)
                if expected != got:
                    raise ValueError(
                        f"models: expected models of one {what.replace('_', ' ')} ({expected}), "
                        f"got {got} of model {number}"
                    )

    def __repr__(self) -> str:
        return f"<Ensemble of {len(self.models)} models, {self.models[0]!r} first>"

    def predict(self, x: Inputs, *, threads: int | None = None) -> NDArray[np.float32] | Any:
        """Average what the models predict with dropout off.

        Parameters
        ----------
        x, threads : optional
            As in `Model.predict`.

        Returns
        -------
        ndarray of float32, or list or dict of such
            As `Model.predict` gives.

        Raises
        ------
        TypeError, ValueError
            As `Model.predict` does.
        """
        each = [model.predict(x, threads=threads) for model in self.models]
        return _together(each, lambda some: np.mean(some, axis=0))

    def mc_predict(
        self,
        x: Inputs,
        samples: int = 200,
        *,
        rng: RNGLike = None,
        scope: Scope = "per_row",
        row_offset: int = 0,
        first_sample: int = 0,
        kind: Kind = "auto",
        folds: Sequence[Any] | Mapping[str, Any] = (),
        transform: Callable[[NDArray[Any]], Any] | None = None,
        likelihood: Likelihood | None = None,
        scale: Scale = "log_variance",
        progress: bool | Callable[[int, int], object] = False,
        keep_samples: bool = False,
        threads: int | None = None,
    ) -> EnsemblePrediction | Any:
        """Sample the outputs of all models.

        Parameters
        ----------
        x : array_like, or list or dict of such
            As in `Model.predict`.
        samples : int, optional
            How many samples of each model to draw. Where nothing in a model is random, and there is
            no likelihood, one is enough.
        rng : optional
            As in `bernoulli`; model i has the key ``key.fold_in("ensemble").fold_in(i)``.
        scope, row_offset, first_sample, kind, folds, transform, likelihood, scale : optional
            As in `Model.mc_predict`.
        progress, keep_samples, threads : optional
            As in `Model.mc_predict`.

        Returns
        -------
        EnsemblePrediction, or list or dict of such
            Of all samples together, with ``within``, the mean of the models' variances,
            ``between``, the variance of their means, and ``members``, the models' own predictions.

        Raises
        ------
        TypeError, ValueError, ImportError
            As `Model.mc_predict` does, but nothing need be random.
        """
        count = len(self.models)
        bar = reporter(progress, 0)
        reports: list[Callable[[int, int], object]] = []

        def told(number: int, done: int, total: int) -> None:
            for report in reports:
                report(number * total + done, count * total)

        meanings = [model.graph.meanings for model in self.models]
        for number, meaning in enumerate(meanings):
            if kind == "auto" and transform is None and meaning != meanings[0]:
                raise ValueError(
                    "kind: expected one that is given, for the outputs of models[0] are "
                    f"{', '.join(meanings[0])}, those of models[{number}] {', '.join(meaning)}"
                )
        # Every model checks before anything is drawn.
        drawing = [
            model._sampled(
                x,
                samples,
                None,
                fixed=True,
                scope=scope,
                row_offset=row_offset,
                first_sample=first_sample,
                kind=kind,
                folds=folds,
                transform=transform,
                likelihood=likelihood,
                scale=scale,
                until=None,
                progress=partial(told, number),
                on_interrupt="raise",
                keep_samples=keep_samples,
                threads=threads,
            )
            for number, model in enumerate(self.models)
        ]
        key = as_key(rng).fold_in("ensemble")
        with bar as report:
            reports += [] if report is None else [report]
            each = [sampled(key.fold_in(number)) for number, sampled in enumerate(drawing)]
        fixed = [not model.stochastic and likelihood is None for model in self.models]
        return _together(each, lambda some: EnsemblePrediction.of(some, fixed))


def _together(each: Sequence[Any], join: Callable[[Sequence[Any]], Any]) -> Any:
    """Join what models give, output by output."""
    first = each[0]
    if isinstance(first, dict):
        return {name: join([one[name] for one in each]) for name in first}
    if isinstance(first, list):
        return [join(some) for some in zip(*each, strict=True)]
    return join(each)
