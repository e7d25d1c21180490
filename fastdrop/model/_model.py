"""A model: calls of layers, predicting with dropout off and sampling with dropout on."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdrop import _check, _threads
from fastdrop.layers._layer import Draw, Flow, Layer, Shape, for_samples
from fastdrop.model._graph import Call, Graph, Step, as_given, build, check_inputs
from fastdrop.model._prediction import Moments, Prediction
from fastdrop.model._quantiles import QuantileSketch
from fastdrop.model._summary import LayerSummary, Summary, shown
from fastdrop.random import as_key

Array = NDArray[Any]
Tensors = dict[int, Flow]

# Activations that one thread works on at a time, in bytes and in rows.
_CHUNK_BYTES = 16 << 20
_CHUNK_ROWS = 256


@dataclass(frozen=True, slots=True)
class _Task:
    """Some samples of a block of rows."""

    block: "_Block"
    samples: range


class _Block:
    """Some rows of the inputs, and what has no random ancestor for them.

    That is computed once, by whichever thread needs it first.
    """

    def __init__(self, rows: slice, inputs: Sequence[Array]) -> None:
        self.rows = rows
        self._inputs = inputs
        self._tensors: Tensors | None = None
        self._lock = threading.Lock()

    def tensors(self, graph: Graph) -> Tensors:
        with self._lock:
            if self._tensors is None:
                tensors = _run(graph.fixed, _enter(graph, self._inputs, self.rows))
                for number, flow in tensors.items():
                    # Looked up once, not for each sample, unless a reader makes use of the table.
                    if not any(layer.takes_table for layer in graph.readers(number)):
                        tensors[number] = flow.looked_up()
                self._tensors = tensors
            return dict(self._tensors)


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
    ) -> None:
        self._entries = _check.sequence_of(layers, "layers", (Layer, Call))
        self._inputs_given = check_inputs(input_shape)
        self.source = _check.text(source, "source")
        self._notes = tuple(notes)
        self._outputs = outputs
        wanted: list[str] | None = None
        if isinstance(outputs, Mapping):
            wanted = list(outputs.values())
        elif outputs is not None:
            wanted = [outputs] if isinstance(outputs, str) else list(outputs)
        if wanted == []:
            _check.refuse(ValueError, "outputs", "at least one tensor", outputs)
        self.graph = build(self._entries, self._inputs_given, wanted)
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
    def input_shape(self) -> Any:
        """Shape of one input, without the batch axis; of several inputs a dict by name."""
        shapes = self._inputs_given
        return dict(shapes) if len(shapes) > 1 else next(iter(shapes.values()))

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
    def output_shape(self) -> Any:
        """Shape of one output, without the batch axis, None for a length left open.

        A list or dict of such where `predict` returns one.
        """
        return self._arranged([self.graph.shapes[i] for i in self.graph.outputs])

    def __repr__(self) -> str:
        drawing = sum(1 for layer in self.layers if layer.stochastic)
        inputs = ", ".join(shown(self.graph.shapes[i]) for i in self.graph.inputs)
        outputs = ", ".join(shown(self.graph.shapes[i]) for i in self.graph.outputs)
        of = f" of {self.source}" if self.source else ""
        return (
            f"<Model{of}: {len(self.layers)} layers, {drawing} stochastic, {inputs} -> {outputs}>"
        )

    def with_rates(self, rates: object) -> "Model":
        """Return the same model with other rates of dropout.

        Parameters
        ----------
        rates : float or mapping
            A number sets both rates of all recurrent layers. A mapping gives layers by name either
            a number, for all their rates, or a mapping of rates by name:
            ``{"lstm": {"dropout": 0.1, "recurrent_dropout": 0.2}, "dropout_1": 0.3}``. Rates are
            probabilities of dropping.

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

    def _replaced(self, layers: Mapping[int, Layer]) -> "Model":
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
            notes=self._notes,
        )

    def predict(self, x: Any, *, threads: int | None = None) -> Any:
        """Compute the outputs with dropout off.

        Parameters
        ----------
        x : array_like, shape (batch, *input_shape), or list or dict of such
            Several inputs as a list in their order, or a dict by name. Whole numbers for what goes
            into an embedding. Otherwise real numbers, which are converted to float32, as Keras
            does: float64 is rounded.
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
        rows = len(inputs[0])
        height = self._chunk_rows(self._sizes(inputs)[1], -(-rows // threads))
        blocks = [slice(n, n + height) for n in range(0, rows, height)] or [slice(0, 0)]

        def run(rows: slice) -> list[Array]:
            tensors = _run(self.graph.whole, _enter(self.graph, inputs, rows))
            return [tensors[i].looked_up().values[0] for i in self.graph.outputs]

        parts = list(_threads.ordered_map(run, blocks, max(1, min(threads, len(blocks)))))
        return self._arranged([np.concatenate(some) for some in zip(*parts, strict=True)])

    def mc_predict(
        self,
        x: Any,
        samples: int = 100,
        *,
        rng: object = None,
        scope: str = "per_row",
        row_offset: int = 0,
        first_sample: int = 0,
        keep_samples: bool = False,
        threads: int | None = None,
    ) -> Any:
        """Sample the outputs with dropout on (Monte-Carlo dropout).

        Parameters
        ----------
        x : array_like, shape (batch, *input_shape), or list or dict of such
            As in `predict`.
        samples : int, optional
            How many samples of every output to draw.
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
            The number of the first sample: where another call stopped.
        keep_samples : bool, optional
            Also return the samples themselves, which takes memory in proportion to them.
        threads : int, optional
            At most this many threads; None means ``fastdrop.info().threads``.

        Returns
        -------
        Prediction, or list or dict of Prediction
            ``mean``, ``std`` and ``quantile()``, arranged as `predict` arranges its arrays. For the
            quantiles the samples of every output are held up to 1,024 of them; beyond that, 1,024
            values for each doubling.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type, shape or range, or nothing in the model is
            stochastic.

        Notes
        -----
        Gal and Ghahramani, "Dropout as a Bayesian Approximation", ICML 2016, and for the recurrent
        layers "A Theoretically Grounded Application of Dropout in Recurrent Neural Networks",
        NIPS 2016.

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
        inputs = self._inputs(x)
        rows = len(inputs[0])
        first_sample = _check.integer(first_sample, "first_sample", 0, 1 << 32)
        samples = _check.integer(samples, "samples", 1, (1 << 32) - first_sample + 1)
        shared = _check.choice(scope, "scope", _check.SCOPES) == "shared"
        lengths, peak = self._sizes(inputs)
        first_row = _check.rows_range(row_offset, rows, self.graph.mask_elements(lengths))
        keep_samples = _check.flag(keep_samples, "keep_samples")
        threads = _check.thread_count(threads, _threads.DEFAULT)
        if not self.stochastic:
            raise ValueError(
                "mc_predict: expected a model with dropout somewhere, got one in which nothing is "
                "stochastic; give it rates, as model.with_rates({'layer': 0.2}) or "
                "load(..., rates=...) do, or use predict"
            )
        key = as_key(rng)
        keys = {
            step.number: key.fold_in(step.number)
            for step in self.graph.steps
            if step.number is not None and step.draws
        }

        def run(task: _Task) -> tuple[_Task, list[Array]]:
            span = task.block.rows
            numbers = range(first_sample + task.samples.start, first_sample + task.samples.stop)

            def draw(step: Step) -> Draw | None:
                if not step.draws:
                    return None
                assert step.number is not None
                return Draw(
                    key=keys[step.number],
                    samples=numbers,
                    first_row=first_row + span.start,
                    rows=span.stop - span.start,
                    period=1 if shared else 0,
                )

            tensors = _run(self.graph.sampled, task.block.tensors(self.graph), draw)
            count = len(task.samples)
            flows = [tensors[i].looked_up() for i in self.graph.outputs]
            return task, [for_samples(flow.values, count) for flow in flows]

        folds = [
            _Fold((rows, *(int(n or 0) for n in lengths[i])), samples, keep_samples)
            for i in self.graph.outputs
        ]
        tasks = self._tasks(inputs, peak, samples, threads)
        for task, outputs in _threads.ordered_map(run, tasks, threads):
            for fold, values in zip(folds, outputs, strict=True):
                fold.add(task.block.rows, task.samples, values)
        return self._arranged([fold.result() for fold in folds])

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

    def _inputs(self, x: Any) -> list[Array]:
        """Check the inputs and convert them to what the layers take."""
        names = self.input_names
        if isinstance(x, Mapping):
            if set(x) != set(names):
                expected = f"arrays by the names {', '.join(names)}"
                raise ValueError(f"x: expected {expected}, got {', '.join(map(str, x))}")
            values = [x[name] for name in names]
        elif len(names) == 1:
            values = [x]
        else:
            if not isinstance(x, (list, tuple)):
                _check.refuse(TypeError, "x", f"{len(names)} arrays in a list or dict", x)
            if len(x) != len(names):
                expected = f"{len(names)} arrays ({', '.join(names)})"
                raise ValueError(f"x: expected {expected}, got {len(x)}")
            values = list(x)
        labels = ["x"] if len(names) == 1 else [f"x[{name!r}]" for name in names]
        arrays = [
            self._input(value, tensor, label)
            for value, tensor, label in zip(values, self.graph.inputs, labels, strict=True)
        ]
        for array, label in zip(arrays, labels, strict=True):
            if len(array) != len(arrays[0]):
                _check.refuse(ValueError, label, f"{len(arrays[0])} rows, as the first has", array)
        return arrays

    def _input(self, value: ArrayLike, tensor: int, label: str) -> Array:
        """Check one input."""
        shape = self.graph.shapes[tensor]
        array = _check.array(value, label, (*_check.NUMBERS, "bool"))
        expected = ("batch", *("any" if n is None else n for n in shape))
        if array.ndim != len(expected) or any(
            n is not None and n != m for n, m in zip(shape, array.shape[1:], strict=True)
        ):
            _check.refuse(ValueError, label, f"shape ({', '.join(map(str, expected))})", array)
        readers = self.graph.readers(tensor)
        for layer in readers:
            if layer.takes_indices:
                layer.check_indices(array, label)
        if readers and all(layer.takes_indices for layer in readers):
            return array.astype(np.int64)
        return _check.float32(array, label)

    def _sizes(self, inputs: Sequence[Array]) -> tuple[list[Shape], int]:
        return self.graph.sizes([array.shape[1:] for array in inputs])

    def _tasks(
        self, inputs: Sequence[Array], peak: int, samples: int, threads: int
    ) -> Iterator[_Task]:
        """Cut rows x samples into chunks of bounded memory: a block of rows, then its samples."""
        rows = len(inputs[0])
        chunk = self._chunk_rows(peak, -(-rows * samples // threads))
        height = _even(rows, chunk)
        for n in range(0, rows, height):
            span = slice(n, min(n + height, rows))
            block = _Block(span, inputs)
            step = max(1, chunk // (span.stop - span.start))
            for m in range(0, samples, step):
                yield _Task(block, range(m, min(m + step, samples)))

    def _chunk_rows(self, peak: int, wanted: int) -> int:
        """Rows to take together, within the memory set aside for them."""
        # Half as much again: what a layer computes on the way, and the next chunk's results.
        return _even(wanted, max(1, min(_CHUNK_ROWS, _CHUNK_BYTES // (6 * peak))))


class _Fold:
    """What becomes of the samples of one output."""

    def __init__(self, shape: tuple[int, ...], samples: int, keep: bool) -> None:
        self._mean, self._std = np.empty(shape), np.empty(shape)
        self._samples = samples
        self._draws = np.empty((samples, *shape), np.float32) if keep else None
        self._sketches: list[QuantileSketch] = []
        self._moments = Moments(0)

    def add(self, rows: slice, samples: range, values: Array) -> None:
        """Take the next samples of some rows, all of whose samples come one after another."""
        if samples.start == 0:
            width = values[0].size
            self._moments = Moments(width)
            self._sketches.append(QuantileSketch(width, self._samples, values.dtype))
        flat = values.reshape(len(values), -1)
        self._moments.add(flat)
        self._sketches[-1].add(flat)
        if self._draws is not None:
            self._draws[samples.start : samples.stop, rows] = values
        if samples.stop == self._samples:
            self._mean[rows] = self._moments.mean.reshape(self._mean[rows].shape)
            self._std[rows] = self._moments.std().reshape(self._std[rows].shape)

    def result(self) -> Prediction:
        return Prediction(self._mean, self._std, self._samples, self._draws, tuple(self._sketches))


def _even(total: int, limit: int) -> int:
    """Return the size of pieces of at most `limit` that are almost equal, for no thread to wait."""
    return max(1, -(-total // max(1, -(-total // limit))))


def _enter(graph: Graph, inputs: Sequence[Array], rows: slice) -> Tensors:
    """Return the tensors that some rows of the inputs are."""
    given = zip(graph.inputs, inputs, strict=True)
    return {tensor: Flow(array[np.newaxis, rows]) for tensor, array in given}


def _run(
    steps: Iterable[tuple[Step, list[int]]],
    tensors: Tensors,
    draw: Any = lambda step: None,
) -> Tensors:
    """Run steps on the tensors there are, and forget what nobody needs any more."""
    for step, forgotten in steps:
        given = [as_given(tensors[i], step.layer) for i in step.inputs]
        made = step.layer.run(given, draw(step))
        tensors.update(zip(step.outputs, made, strict=True))
        for number in forgotten:
            tensors.pop(number, None)
    return tensors
