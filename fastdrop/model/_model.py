"""A model: calls of layers, predicting with dropout off and sampling with dropout on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import _check, _threads
from fastdrop.layers._layer import Layer, Shape
from fastdrop.model import _file, _sampling
from fastdrop.model._graph import (
    Call,
    Graph,
    build,
    check_dtypes,
    check_inputs,
    check_sequence,
)
from fastdrop.model._sampling import Draws, Feedback, Sampling
from fastdrop.model._stream import Stream
from fastdrop.model._summary import LayerSummary, Summary, shown
from fastdrop.random import Key, as_key
from fastdrop.typing import (
    ArrayLike,
    Inputs,
    Interrupt,
    Kind,
    Likelihood,
    Precision,
    RNGLike,
    Scale,
    Scope,
)
from fastdrop.uncertainty._folding import LIKELIHOODS, SCALES, Folding, Wanted
from fastdrop.uncertainty._prediction import Prediction

Array = NDArray[Any]


class Model:
    """A trained network for inference.

    Parameters
    ----------
    layers : sequence of Layer or Call
        Each layer takes what the entry before it makes, the first one the input; a `Call` names
        what it takes. They run in the order given, as far as their inputs are there.
    input_shape : tuple of int or None, or dict of str to such
        Shape of one input, without the batch axis; None for a length left open. Several inputs are
        given by name, in their order.
    outputs : str, sequence of str, or dict of str to str, optional
        The tensors to put out: one, several, or several by names of their own. The last entry's
        first one if not given.
    source : str, optional
        Where the model came from, for people.
    notes : sequence of str, optional
        What a reader should know about it.
    input_dtypes : dict of str to str, optional
        Inputs that hold whole numbers or truths alone, by name (of a single one "input"), and their
        types, as "int32" or "bool". They may be given in any type; what theirs does not hold is
        refused.

    Attributes
    ----------
    layers : tuple of Layer
        In the order in which they run first.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, there is no layer, or one does not fit what it takes.

    Notes
    -----
    Results do not depend on how inputs are split into calls (given ``row_offset``), nor on
    ``threads``. A model is never changed by use, and may be used from many threads.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> from fastdrop import layers
    >>> kernel = np.ones((2, 3), np.float32)
    >>> chain = fd.Model(
    ...     [layers.Dropout(name="drop", rate=0.5), layers.Dense(name="dense", kernel=kernel)], (2,)
    ... )
    >>> chain.output_shape
    (3,)
    >>> two = fd.Model(
    ...     [
    ...         fd.Call(layers.Dense(name="a", kernel=kernel), "left"),
    ...         fd.Call(layers.Dense(name="b", kernel=kernel), "right"),
    ...     ],
    ...     {"left": (2,), "right": (2,)},
    ...     outputs=["a", "b"],
    ... )
    >>> [y.shape for y in two.predict({"left": np.ones((1, 2)), "right": np.ones((1, 2))})]
    [(1, 3), (1, 3)]
    """

    def __init__(
        self,
        layers: Sequence[Layer | Call],
        input_shape: Sequence[int | None] | Mapping[str, Sequence[int | None]],
        *,
        outputs: str | Sequence[str] | Mapping[str, str] | None = None,
        source: str = "",
        notes: Sequence[str] = (),
        input_dtypes: Mapping[str, str] | None = None,
    ) -> None:
        self._entries = check_sequence(layers, "layers", (Layer, Call))
        self._inputs_given = check_inputs(input_shape)
        self._input_dtypes = check_dtypes(input_dtypes, self._inputs_given)
        self.source: str = _check.text(source, "source")
        self._notes = tuple(notes)
        self._outputs = outputs
        wanted: list[str] | None = None
        if isinstance(outputs, Mapping):
            wanted = list(outputs.values())
        elif outputs is not None:
            wanted = [outputs] if isinstance(outputs, str) else list(outputs)
        if wanted == []:
            _check.refuse(ValueError, "outputs", "at least one tensor", outputs)
        self.graph: Graph = build(self._entries, self._inputs_given, wanted)
        self.layers: tuple[Layer, ...] = tuple(
            {id(step.layer): step.layer for step in self.graph.steps}.values()
        )

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, in their order."""
        return tuple(self.graph.names[i] for i in self.graph.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in their order: their own, or those of the tensors."""
        if isinstance(self._outputs, Mapping):
            return tuple(self._outputs)
        return tuple(self.graph.names[i] for i in self.graph.outputs)

    @property
    def input_shape(self) -> Shape | Any:
        """Shape of one input, without the batch axis; of several inputs a dict by name."""
        shapes = self._inputs_given
        return dict(shapes) if len(shapes) > 1 else next(iter(shapes.values()))

    @property
    def input_dtypes(self) -> dict[str, str]:
        """Types of the inputs that hold whole numbers or truths alone, by name."""
        return dict(self._input_dtypes)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know about the model."""
        shapes = self.graph.shapes
        found = [
            remark
            for step in self.graph.steps
            for remark in step.layer.remarks([shapes[i] for i in step.inputs])
        ]
        return tuple(dict.fromkeys([*self._notes, *found]))

    @property
    def output_shapes(self) -> list[Any]:
        """Shapes of one row of what each call makes, in the order in which they run."""
        shapes = self.graph.shapes
        made = [[shapes[i] for i in step.outputs] for step in self.graph.steps]
        return [some[0] if len(some) == 1 else some for some in made]

    @property
    def stochastic(self) -> bool:
        """Whether any call draws masks."""
        return any(step.draws for step in self.graph.steps)

    @property
    def output_shape(self) -> Shape | Any:
        """Shape of one output, without the batch axis, None for a length left open.

        A list or dict of such where `predict` returns one.
        """
        return self._arranged([self.graph.shapes[i] for i in self.graph.outputs])

    def __repr__(self) -> str:
        drawing = sum(1 for layer in self.layers if layer.stochastic)
        inputs = ", ".join(shown(self.graph.shapes[i]) for i in self.graph.inputs)
        outputs = ", ".join(shown(self.graph.shapes[i]) for i in self.graph.outputs)
        of = f" of {self.source}" if self.source else ""
        kinds = f"{len(self.layers)} layers, {drawing} stochastic"
        if any(layer.rounds for layer in self.layers):
            kinds += ", in bfloat16"
        return f"<Model{of}: {kinds}, {inputs} -> {outputs}>"

    def with_rates(self, rates: object) -> Model:
        """Return the same model with other rates of dropout.

        Parameters
        ----------
        rates : float or mapping
            A number sets both rates of all recurrent layers. A mapping gives layers by name either
            a number, for all their rates, or a mapping of rates by name:
            ``{"lstm": {"dropout": 0.1, "recurrent_dropout": 0.2}, "dropout_1": 0.3}``. Rates are
            probabilities of dropping. `weight_dropout`, of the recurrent weights of such a layer,
            is set by its name alone.

        Returns
        -------
        Model
            Of the same weights, which are not copied.

        Raises
        ------
        TypeError, ValueError
            If a layer or rate is unknown (the message lists the known ones), or out of range.

        Examples
        --------
        >>> import fastdrop as fd
        >>> from fastdrop import layers
        >>> model = fd.Model([layers.Dropout(name="drop", rate=0.0)], (3,))
        >>> model.with_rates({"drop": 0.25}).layers[0].rate
        0.25
        """
        changed: dict[int, Layer] = {}
        if isinstance(rates, Mapping):
            known: dict[str, list[Layer]] = {}  # of one name there may be several
            for layer in self.layers:
                if layer.rates():
                    known.setdefault(layer.name, []).append(layer)
            for name, value in rates.items():
                if name not in known:
                    what = f"one of the layers with rates ({', '.join(known) or 'there is none'})"
                    _check.refuse(ValueError, "rates", what, name)
                changed |= {id(layer): layer.with_rates(value) for layer in known[name]}
        else:
            recurrent = [layer for layer in self.layers if layer.is_recurrent]
            if not recurrent:
                _check.refuse(ValueError, "rates", "rates by layer: none is recurrent", rates)
            changed = {id(layer): layer.with_rates(rates) for layer in recurrent}
        return self._replaced(changed)

    def with_precision(self, precision: Precision) -> Model:
        """Return the same model whose recurrent layers take products in another precision.

        Parameters
        ----------
        precision : {"float32", "bfloat16"}
            With "bfloat16" the weights of recurrent layers, and what they are multiplied by, are
            rounded to it; products are added in float32, and all else stays float32. Masks are the
            same.

        Returns
        -------
        Model
            Of the same weights, which are not copied.

        Raises
        ------
        TypeError, ValueError
            If `precision` is another, or no layer is recurrent.

        Examples
        --------
        >>> import fastdrop as fd
        >>> from fastdrop.demo import model_path
        >>> model = fd.load(model_path()).with_precision("bfloat16")
        >>> model.notes
        ("layer 'lstm_1': products are taken in bfloat16",)
        """
        _check.choice(precision, "precision", _check.PRECISIONS)
        recurrent = [layer for layer in self.layers if layer.has_precision]
        if not recurrent:
            expected = "none for a model without recurrent layers that have one"
            _check.refuse(ValueError, "precision", expected, precision)
        return self._replaced({id(layer): layer.with_precision(precision) for layer in recurrent})

    def _noted(self, notes: Sequence[str]) -> Model:
        """Return the same model with more notes."""
        return self._replaced({}, notes) if notes else self

    def _replaced(self, layers: Mapping[int, Layer], notes: Sequence[str] = ()) -> Model:
        """Return the same model with other layers in the place of some, by their identity."""
        entries: list[Layer | Call] = []
        for entry in self._entries:
            if isinstance(entry, Call):
                layer = layers.get(id(entry.layer), entry.layer)
                entries.append(Call(layer, entry.inputs, entry.name, entry.training))
            else:
                # The tensor keeps its name, which other calls may ask for.
                entries.append(layers.get(id(entry), entry))
        return Model(
            entries,
            self._inputs_given,
            outputs=self._outputs,
            source=self.source,
            notes=[*self._notes, *notes],
            input_dtypes=self._input_dtypes,
        )

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to a file, from which `load` makes the same model.

        It is a safetensors file that says ``fastdrop-model-file/1`` of itself; the weights in it
        are for any reader of such files, and the rest is described in the project's
        ``docs/contracts.md``. Rates, precision and notes are kept. It is written whole or not at
        all.

        Parameters
        ----------
        path : str or path-like
            The file; nothing is added to its name.

        Raises
        ------
        TypeError, ValueError
            If a layer is of a class that is not in `fastdrop.layers`, if the name is one of
            another format, as ``model.keras``, or if nothing can be written to that place.
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> import os, tempfile
        >>> import fastdrop as fd
        >>> from fastdrop.demo import model_path
        >>> model = fd.load(model_path())
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.safetensors")
        ...     model.save(path)
        ...     again = fd.load(path)
        >>> again
        <Model of Keras 3.15.1, sms_spam.keras: 4 layers, 2 stochastic, (batch, 498) -> (batch, 1)>
        """
        _file.save(self, path)

    def predict(self, x: Inputs, *, threads: int | None = None) -> NDArray[np.float32] | Any:
        """Compute the outputs with dropout off.

        Parameters
        ----------
        x : array_like, shape (batch, *input_shape), or list or dict of such
            Several inputs as a list in their order, or a dict by name. Whole numbers for what goes
            into an embedding, and what is in `input_dtypes` as said there. Otherwise real numbers,
            which are converted to float32, as Keras does: float64 is rounded.
        threads : int, optional
            At most this many threads; None means ``fastdrop.info().threads``.

        Returns
        -------
        ndarray of float32, shape (batch, *output_shape), or list or dict of such
            A list where the model has several outputs, a dict where they have names.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type, shape or range.

        Examples
        --------
        >>> import numpy as np
        >>> import fastdrop as fd
        >>> from fastdrop.layers import Dense
        >>> model = fd.Model([Dense(name="dense", kernel=np.eye(2, dtype=np.float32))], (2,))
        >>> model.predict([[1.0, 2.0]])
        array([[1., 2.]], dtype=float32)
        """
        inputs = self._inputs(x)
        threads = _check.thread_count(threads, _threads.DEFAULT)
        _sampling.keep_freed_memory()
        rows = len(inputs[0])
        height = _sampling.chunk_rows(self._sizes(inputs)[1], -(-rows // threads))
        blocks = [slice(n, n + height) for n in range(0, rows, height)] or [slice(0, 0)]

        busy = min(threads, len(blocks))

        def run(rows: slice) -> list[Array]:
            with _threads.lending(threads // busy):
                tensors = _sampling.run(self.graph.whole, _sampling.enter(self.graph, inputs, rows))
            return [tensors[i].looked_up().values[0] for i in self.graph.outputs]

        parts = list(_threads.ordered_map(run, blocks, busy))
        return self._arranged([np.concatenate(some) for some in zip(*parts, strict=True)])

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
        until: float | Mapping[str, float] | None = None,
        progress: bool | Callable[[int, int], object] = False,
        on_interrupt: Interrupt = "raise",
        keep_samples: bool = False,
        threads: int | None = None,
    ) -> Prediction | Any:
        """Sample the outputs with dropout on (Monte-Carlo dropout).

        Parameters
        ----------
        x : array_like, shape (batch, *input_shape), or list or dict of such
            As in `predict`.
        samples : int, optional
            How many samples of every output to draw, or with `until` at most.
        rng : None, int, Key, SeedSequence, Generator or BitGenerator, optional
            As in `bernoulli`. Sample m of row n is the same however many samples are drawn and
            however the rows are split. One key gives the same samples in every call: calls that are
            to be independent take keys of their own. The masks are those of the contract
            ``fastdrop-model/1``: the calls that can draw, in the order in which they run, have the
            keys ``key.fold_in(0)``, ``key.fold_in(1)`` and so on.
        scope : {"per_row", "shared"}, optional
            "per_row": every row and sample has its own masks. "shared": all rows of a sample share
            one, so that a sample is one network drawn from the posterior.
        row_offset : int, optional
            The number of the first row in the whole data set.
        first_sample : int, optional
            The number of the first sample: where another call stopped. `Prediction.merge` puts
            both together.
        kind : {"auto", "regression", "binary", "multiclass"}, optional
            What the outputs are: numbers, probabilities of events, or along the last axis those of
            classes. "auto" goes by the activation that an output comes from, sigmoid or softmax;
            with a `transform` or a `likelihood` it means "regression".
        folds : sequence, or dict by name, optional
            Further statistics: ``"covariance"``, that of a row's outputs with each other; or
            objects with ``add(values)``, which is given the next samples (samples, width) of a
            row with all its outputs in C order, ``merge(other)`` and ``result()``. Each is copied
            for every row. Results are in ``Prediction.folds``, by name or by the class's name.
        transform : callable, optional
            Is given samples (samples, batch, *output_shape) of some of the rows and returns what is
            folded in their place, of any shape behind the first two axes: an inverse scaler, a sum
            over steps. With a second parameter that has no default it is also given the numbers of
            these rows in `x`, for scales of their own. It must treat every sample and row by
            itself. Of several outputs it is called with each.
        likelihood : {"normal"}, optional
            The output says a mean and a scale of normal noise: along its last axis the means and
            then as many scales, or where the model has two outputs of one shape, one each. The
            prediction is of what is observed: its quantiles are those of draws from the noise, and
            ``Prediction.epistemic`` and ``aleatoric`` tell apart what is in `std`. Output j draws
            sample m of its numbers of row n by ``fastdrop-normal/1`` under the key
            ``key.fold_in("likelihood").fold_in(j)``, stream m, elements from n times their count.
        scale : {"log_variance", "log_std", "softplus", "std"}, optional
            What the scale is: the logarithm of the variance or of the standard deviation, what
            softplus makes the standard deviation, or that itself.
        until : float or mapping, optional
            Stop each row by itself as soon as the standard error of the mean of each output is at
            most this, in the output's units. As ``{"std": 0.02}`` it is the standard error of the
            standard deviation, relative to it; as ``{"mean": ..., "std": ...}`` both count. Rows
            are looked at after 32, 64, 128, ... samples. ``Prediction.n_samples`` is an array then.
        progress : bool or callable, optional
            True: a bar, by the extra ``progress``. A callable is given the number of a row's
            samples that are done, all rows together, and how many there will be at most.
        on_interrupt : {"raise", "return"}, optional
            What Ctrl-C does: end the call, or give a prediction of the samples there are, where
            rows may have none.
        keep_samples : bool, optional
            Also return the samples themselves, which takes memory in proportion to them.
        threads : int, optional
            At most this many threads; None means ``fastdrop.info().threads``.

        Returns
        -------
        Prediction, or list or dict of Prediction
            ``mean``, ``std``, ``quantile()`` and what classes have, arranged as `predict` arranges
            its arrays. For the quantiles the samples of every output are held up to 1,024 of them;
            beyond that, 1,024 values for each doubling.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type, shape or range, or nothing in the model is
            stochastic.
        ImportError
            If ``progress=True`` and tqdm is missing.

        Notes
        -----
        Gal and Ghahramani, "Dropout as a Bayesian Approximation", ICML 2016, and for the recurrent
        layers "A Theoretically Grounded Application of Dropout in Recurrent Neural Networks",
        NIPS 2016. A mean and a scale: Kendall and Gal, "What Uncertainties Do We Need in Bayesian
        Deep Learning for Computer Vision?", NIPS 2017.

        Examples
        --------
        >>> import numpy as np
        >>> import fastdrop as fd
        >>> from fastdrop.layers import Dropout
        >>> model = fd.Model([Dropout(name="dropout", rate=0.5)], (3,))
        >>> p = model.mc_predict(np.ones((1, 3)), samples=1000, rng=0)
        >>> bool(abs(p.mean - 1).max() < 0.15)
        True
        """
        sampled = self._sampled(
            x,
            samples,
            None,
            scope=scope,
            row_offset=row_offset,
            first_sample=first_sample,
            kind=kind,
            folds=folds,
            transform=transform,
            likelihood=likelihood,
            scale=scale,
            until=until,
            progress=progress,
            on_interrupt=on_interrupt,
            keep_samples=keep_samples,
            threads=threads,
        )
        return sampled(as_key(rng))

    def rollout(
        self,
        x: ArrayLike,
        steps: int,
        feedback: Callable[..., Any] | None = None,
        samples: int = 200,
        *,
        rng: RNGLike = None,
        scope: Scope = "per_row",
        row_offset: int = 0,
        first_sample: int = 0,
        folds: Sequence[Any] | Mapping[str, Any] = (),
        transform: Callable[[NDArray[Any]], Any] | None = None,
        until: float | Mapping[str, float] | None = None,
        progress: bool | Callable[[int, int], object] = False,
        on_interrupt: Interrupt = "raise",
        keep_samples: bool = False,
        threads: int | None = None,
    ) -> Prediction:
        """Forecast several steps with a model that says the next one, on its own output.

        Each sample is a path of its own: what it says is what it is given next, and its masks stay
        for the whole path, as one network drawn from the posterior has them. Where the model takes
        so many steps, the window moves on with each, and masks that are new at each place of a
        sequence belong to a place in the window; where it takes any number, it grows.

        Parameters
        ----------
        x : array_like, shape (batch, time, features)
            What has been seen. The model has this one input.
        steps : int
            How many steps to forecast.
        feedback : callable, optional
            Makes of an output (samples, batch, *output_shape) the next time step of the input,
            (samples, batch, features): it adds what is known ahead, or takes what belongs in. With
            a second parameter that has no default it is given the number of the step, from 0. If
            not given, the output itself is the next step. Of a model whose output is a sequence it
            is the last step.
        samples, rng, scope, row_offset, first_sample, folds, transform, until : optional
            As in `mc_predict`; the values of a row are (steps, *output_shape).
        progress, on_interrupt, keep_samples, threads : optional
            As in `mc_predict`.

        Returns
        -------
        Prediction
            Of shape (batch, steps, *output_shape). Its first step is what `mc_predict` gives.

        Raises
        ------
        TypeError, ValueError
            As in `mc_predict`; if the model has several inputs or outputs, or no time axis; or if
            `feedback` gives something of another shape; or if the window grows, and a layer's masks
            go by its length.

        Examples
        --------
        >>> import numpy as np
        >>> import fastdrop as fd
        >>> from fastdrop import layers
        >>> half = np.full((1, 1), 0.5, np.float32)
        >>> model = fd.Model(
        ...     [
        ...         layers.SimpleRNN(name="rnn", kernel=half, recurrent_kernel=half),
        ...         layers.GaussianNoise(name="noise", stddev=0.1),
        ...     ],
        ...     (None, 1),
        ... )
        >>> p = model.rollout(np.ones((2, 5, 1)), steps=3, rng=0)
        >>> p.mean.shape, p.quantile(0.9).shape
        ((2, 3, 1), (2, 3, 1))
        """
        _check.integer(steps, "steps", 1, None)
        graph = self.graph
        if len(graph.inputs) > 1 or len(graph.outputs) > 1:
            raise ValueError(
                f"rollout: expected a model of one input and one output, got {len(graph.inputs)} "
                f"and {len(graph.outputs)}"
            )
        dtype = self._input_dtypes.get(graph.names[graph.inputs[0]])
        feed = Feedback(feedback, steps, graph.shapes[graph.inputs[0]], dtype)
        sampled = self._sampled(
            x,
            samples,
            feed,
            scope=scope,
            row_offset=row_offset,
            first_sample=first_sample,
            kind="regression",
            folds=folds,
            transform=transform,
            likelihood=None,
            scale="log_variance",
            until=until,
            progress=progress,
            on_interrupt=on_interrupt,
            keep_samples=keep_samples,
            threads=threads,
        )
        found: Prediction = sampled(as_key(rng))
        return found

    def stream(
        self,
        rows: int = 1,
        samples: int = 100,
        *,
        rng: RNGLike = None,
        scope: Scope = "per_row",
        row_offset: int = 0,
        first_sample: int = 0,
        kind: Kind = "auto",
        folds: Sequence[Any] | Mapping[str, Any] = (),
        transform: Callable[[NDArray[Any]], Any] | None = None,
        keep_samples: bool = False,
        constants: Mapping[str, ArrayLike] | None = None,
    ) -> Stream:
        """Take sequences as they come, one time step at a time, with a prediction after each.

        Where dropout is new at every step (a Dropout layer between recurrent ones) its masks are
        numbered by the length that the model has, so no more steps can be taken than that; a model
        of any length then takes a single row. SpatialDropout1D, and the dropout of recurrent layers
        themselves, know no such limit.

        Parameters
        ----------
        rows : int, optional
            How many sequences side by side.
        samples : int, optional
            How many samples of each, whose states are kept.
        rng, scope, row_offset, first_sample, kind, folds, transform, keep_samples : optional
            As in `mc_predict`. Without `rng` the stream draws a key of its own, once.
        constants : dict of str to array_like, optional
            Inputs of a model with several that are no sequences, by name, (rows, *input_shape).

        Returns
        -------
        Stream
            ``step(x_t)`` gives a `Prediction`, bit for bit that of `mc_predict` for the sequence so
            far; ``reset``, ``state`` and ``load_state`` begin again, keep and go on.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type or range, nothing in the model is stochastic, or a
            layer needs the whole sequence, by its name.

        Examples
        --------
        >>> import numpy as np
        >>> import fastdrop as fd
        >>> from fastdrop import layers
        >>> lstm = layers.LSTM(
        ...     name="lstm",
        ...     kernel=np.ones((1, 4), np.float32),
        ...     recurrent_kernel=np.ones((1, 4), np.float32),
        ...     recurrent_dropout=0.5,
        ... )
        >>> model = fd.Model([lstm], (None, 1))
        >>> stream = model.stream(rows=1, samples=100, rng=0)
        >>> for x_t in (0.5, 1.0, 1.5):
        ...     p = stream.step([[x_t]])
        >>> whole = model.mc_predict([[[0.5], [1.0], [1.5]]], samples=100, rng=0)
        >>> bool(p.mean == whole.mean)
        True
        """
        rows = _check.integer(rows, "rows", 1, None)
        first_sample = _check.integer(first_sample, "first_sample", 0, 1 << 32)
        samples = _check.integer(samples, "samples", 1, (1 << 32) - first_sample + 1)
        shared = _check.choice(scope, "scope", _check.SCOPES) == "shared"
        graph = self.graph
        first_row = _check.rows_range(row_offset, rows, graph.mask_elements(graph.shapes))
        wanted = Wanted.checked(kind, folds, transform, keep_samples)
        self._check_stochastic("stream")
        numbers = {graph.names[tensor]: tensor for tensor in graph.inputs}
        given = {} if constants is None else constants
        if not isinstance(given, Mapping) or not set(given) < set(numbers):
            expected = f"a dict of some of the inputs ({', '.join(numbers)})"
            _check.refuse(ValueError, "constants", expected, constants)
        shapes = {numbers[name]: graph.shapes[numbers[name]] for name in given}
        arrays = self._inputs(given, shapes, "constants", rows) if given else []
        moving = {i: graph.shapes[i][1:] for i in graph.inputs if i not in shapes}
        if any(not graph.shapes[i] for i in moving):
            raise ValueError("stream: expected inputs whose first axis is time, got single numbers")

        def with_rows(value: Any, shape: Shape) -> Any:
            """Return what stands at a step of a single sequence with its axis of rows."""
            if rows > 1:
                return value
            array = _check.read(value, "x")
            return array[np.newaxis] if array.ndim == len(shape) else value

        def inputs(x: Any) -> list[Array]:
            steps = {graph.names[tensor]: shape for tensor, shape in moving.items()}
            if isinstance(x, Mapping):
                x = {n: with_rows(v, steps[n]) if n in steps else v for n, v in x.items()}
            elif len(steps) == 1:
                x = with_rows(x, next(iter(steps.values())))
            elif isinstance(x, (list, tuple)) and len(x) == len(steps):
                x = [with_rows(v, shape) for v, shape in zip(x, steps.values(), strict=True)]
            return self._inputs(x, moving, rows=rows)

        def folding(number: int, shape: tuple[int, ...]) -> Folding:
            return wanted.folding(graph.meanings[number], shape, samples)

        draws = partial(Draws.of, graph, shared=shared, first_row=first_row)
        return Stream(
            graph,
            draws,
            rng,
            rows,
            range(first_sample, first_sample + samples),
            dict(zip(shapes, arrays, strict=True)),
            inputs,
            folding,
            self._arranged,
        )

    def _sampled(
        self,
        x: Any,
        samples: int,
        feed: Feedback | None,
        *,
        fixed: bool = False,
        scope: Scope,
        row_offset: int,
        first_sample: int,
        kind: Kind,
        folds: Sequence[Any] | Mapping[str, Any],
        transform: Callable[[NDArray[Any]], Any] | None,
        likelihood: Likelihood | None,
        scale: Scale,
        until: float | Mapping[str, float] | None,
        progress: bool | Callable[[int, int], object],
        on_interrupt: Interrupt,
        keep_samples: bool,
        threads: int | None,
    ) -> Callable[[Key], Any]:
        """Check the arguments of `mc_predict`, or with `feed` of `rollout`.

        What is returned samples with a key. With `fixed` nothing in the model need be random.
        """
        inputs = self._inputs(x)
        first_sample = _check.integer(first_sample, "first_sample", 0, 1 << 32)
        samples = _check.integer(samples, "samples", 1, (1 << 32) - first_sample + 1)
        shared = _check.choice(scope, "scope", _check.SCOPES) == "shared"
        lengths, peak = self._sizes(inputs)
        first_row = _check.rows_range(row_offset, len(inputs[0]), self.graph.mask_elements(lengths))
        wanted = Wanted.checked(kind, folds, transform, keep_samples)
        if likelihood is not None:
            _check.choice(likelihood, "likelihood", LIKELIHOODS)
        _check.choice(scale, "scale", tuple(SCALES))
        if likelihood is None and scale != "log_variance":
            _check.refuse(ValueError, "scale", "none without a likelihood", scale)
        enough = _sampling.enough(until)
        _check.choice(on_interrupt, "on_interrupt", _sampling.INTERRUPTS)
        threads = _check.thread_count(threads, _threads.DEFAULT)
        if not fixed:
            self._check_stochastic("mc_predict" if feed is None else "rollout")
        shapes = [tuple(int(n or 0) for n in lengths[i]) for i in self.graph.outputs]
        if feed is not None:
            shapes = [feed.path_shape(shapes[0])]
            if not shared and first_row + len(inputs[0]) > 1:
                self._check_places()
        taken: list[tuple[int, ...]] = [(number,) for number in range(len(shapes))]
        if likelihood is not None:
            if kind not in ("auto", "regression"):
                _check.refuse(ValueError, "kind", "'regression' with a likelihood", kind)
            classes = {*self.graph.meanings} - {"regression"}
            if classes and kind == "auto":
                expected = "none of a model that puts out probabilities (or kind='regression')"
                _check.refuse(ValueError, "likelihood", expected, likelihood)
            if len(shapes) == 2 and shapes[0] == shapes[1] and shapes[0]:
                taken, shapes = [(0, 1)], [(*shapes[0][:-1], 2 * shapes[0][-1])]
        bar = _sampling.reporter(progress, len(inputs[0]) * samples)
        foldings = [
            wanted.folding(
                meaning,
                shape,
                samples,
                fourth=enough is not None and enough.std is not None,
                scale=scale if likelihood is not None else None,
            )
            for meaning, shape in zip(self.graph.meanings, shapes, strict=False)
        ]

        if keep_samples and enough is None:
            for folding in foldings:  # a MemoryError now, not when most are drawn
                np.empty((samples, len(inputs[0]), *folding.folded_shape), np.float32)

        def sampled(key: Key) -> Any:
            for i, folding in enumerate(foldings):
                folding.key = key.fold_in("likelihood").fold_in(i)
            with bar as report:
                found = Sampling(
                    self.graph,
                    inputs,
                    peak,
                    Draws.of(self.graph, key, shared, first_row),
                    (key.k0, key.k1, key.base),
                    samples,
                    first_sample,
                    foldings,
                    taken,
                    threads,
                    until=enough,
                    progress=report,
                    on_interrupt=on_interrupt,
                    feed=feed,
                ).run()
            return found[0] if len(taken) < len(self.graph.outputs) else self._arranged(found)

        return sampled

    def _check_places(self) -> None:
        """Refuse masks of places in sequences of any length: of all rows but the first they change.

        The number of a place is then that of the row times the length, and more.
        """
        for step in self.graph.steps:
            shapes = [self.graph.shapes[i] for i in step.inputs]
            open_ones = any(shape[:1] == (None,) for shape in shapes)
            if step.draws and open_ones and step.layer.draws_for(shapes) == "places":
                raise ValueError(
                    f"rollout: {step.layer.label} draws new masks at every step, and which ones "
                    "depends on the length of the sequence, which grows: expected a single row and "
                    "row_offset=0, or scope='shared', or a model of so many steps"
                )

    def _check_stochastic(self, name: str) -> None:
        if not self.stochastic:
            own = next((layer.name for layer in self.layers if layer.rates()), None)
            hint = "no layer of it takes a rate"
            if own is not None:
                rates = f"{{{own!r}: 0.2}}"
                hint = f"give it rates: model.with_rates({rates}), load(..., rates=...) or --rates"
            raise ValueError(
                f"{name}: expected a model with dropout somewhere, got one in which nothing is "
                f"stochastic; {hint}; or use predict"
            )

    def summary(self) -> str:
        """Return a table of the layers: shapes, weights, what is random, and the notes.

        Examples
        --------
        >>> import fastdrop as fd
        >>> from fastdrop.layers import Dropout
        >>> print(fd.Model([Dropout(name="drop", rate=0.5)], (3,)).summary())
        layer    kind     output      weights  stochastic
        (input)           (batch, 3)
        drop     Dropout  (batch, 3)  -        dropout 0.5
        0 weights; stochastic
        """
        return "\n".join(self.described().lines())

    def described(self) -> Summary:
        """Return what there is to see of the model, as data."""
        graph = self.graph
        outputs = zip(self.output_names, (graph.shapes[i] for i in graph.outputs), strict=True)
        found = Summary(
            source=self.source,
            inputs={graph.names[i]: graph.shapes[i] for i in graph.inputs},
            outputs=dict(outputs),
            notes=list(self.notes),
        )
        counted: set[int] = set()
        for step in graph.steps:
            layer = step.layer
            row = LayerSummary(graph.names[step.outputs[0]], type(layer).__name__)
            shapes = [graph.shapes[i] for i in step.outputs]
            row.tell(layer, shapes, again=id(layer) in counted, draws=step.draws)
            row.takes = [graph.names[i] for i in step.inputs]
            counted.add(id(layer))
            found.layers.append(row)
        return found

    # ---- inside ----

    def _arranged(self, values: Sequence[Any]) -> Any:
        """Return what belongs to the outputs as a user sees these: one, a list or a dict."""
        if isinstance(self._outputs, Mapping):
            return dict(zip(self._outputs, values, strict=True))
        if self._outputs is None or isinstance(self._outputs, str):
            return values[0]
        return list(values)

    def _inputs(
        self,
        x: Any,
        shapes: Mapping[int, Shape] | None = None,
        name: str = "x",
        rows: int | None = None,
    ) -> list[Array]:
        """Check inputs, of other shapes than the model's or of so many rows, and convert them."""
        if shapes is None:
            shapes = {tensor: self.graph.shapes[tensor] for tensor in self.graph.inputs}
        names = [self.graph.names[tensor] for tensor in shapes]
        if isinstance(x, Mapping):
            if set(x) != set(names):
                expected = f"arrays by the names {', '.join(map(repr, names))}"
                raise ValueError(f"{name}: expected {expected}, got {', '.join(map(repr, x))}")
            values = [x[n] for n in names]
        elif len(names) == 1:
            values = [x]
        else:
            if not isinstance(x, (list, tuple)):
                _check.refuse(TypeError, name, f"{len(names)} arrays in a list or dict", x)
            if len(x) != len(names):
                expected = f"{len(names)} arrays ({', '.join(names)})"
                raise ValueError(f"{name}: expected {expected}, got {len(x)}")
            values = list(x)
        labels = [name] if len(names) == 1 else [f"{name}[{n!r}]" for n in names]
        arrays = [
            self._fitting(value, (rows, *shape), label)
            for value, shape, label in zip(values, shapes.values(), labels, strict=True)
        ]
        for array, label in zip(arrays, labels, strict=True):
            if len(array) != len(arrays[0]):
                _check.refuse(ValueError, label, f"{len(arrays[0])} rows, as the first has", array)
        return [
            self._converted(array, tensor, label)
            for array, tensor, label in zip(arrays, shapes, labels, strict=True)
        ]

    def _fitting(self, value: ArrayLike, shape: Shape, label: str) -> Array:
        """Return an input as the array that was given, of a shape with its rows."""
        array = _check.array(value, label, (*_check.NUMBERS, "bool"))
        if array.ndim != len(shape) or any(
            n is not None and n != m for n, m in zip(shape, array.shape, strict=True)
        ):
            names = ("batch" if shape[0] is None else shape[0], *shape[1:])
            expected = ", ".join("any" if n is None else str(n) for n in names)
            _check.refuse(ValueError, label, f"shape ({expected})", array)
        return array

    def _converted(self, array: Array, tensor: int, label: str) -> Array:
        """Check the numbers of an input, and convert them."""
        readers = self.graph.readers(tensor)
        for layer in readers:
            if layer.takes_indices:
                layer.check_indices(array, label)
        name = self.graph.names[tensor]
        dtype = self._input_dtypes.get(name)
        if dtype is not None:
            _check.held(array, label, dtype, f"the input {name!r}")
        if readers and all(layer.takes_indices for layer in readers):
            return array.astype(np.int64)
        rounded = _check.float32(array, label)
        whole = dtype is not None or array.dtype.kind in "iu"
        if whole and array.itemsize > 2 and (rounded != array).any():
            held = "whole numbers that float32 holds (up to 2**24)"
            held += ", or floating-point numbers" if dtype is None else ""
            _check.refuse(ValueError, label, held, array)
        return rounded

    def _sizes(self, inputs: Sequence[Array]) -> tuple[list[Shape], int]:
        return self.graph.sizes([array.shape[1:] for array in inputs])
