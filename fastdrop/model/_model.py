"""A model: layers in a row."""

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdrop import _check, _threads
from fastdrop.model._flow import SITES, Draw, Flow, Layer, parts
from fastdrop.model._prediction import Moments, Prediction
from fastdrop.model._quantiles import QuantileSketch
from fastdrop.model.layers import Embedding, SpatialDropout1D
from fastdrop.model.recurrent import Bidirectional, Recurrent
from fastdrop.random import Key, as_key

Array = NDArray[Any]

# Activations that one thread works on at a time, in bytes and in rows.
_CHUNK_BYTES = 16 << 20
_CHUNK_ROWS = 256

# Layers that know what to do with a table; for all others its rows are looked up.
_TAKE_A_TABLE = (Bidirectional, Recurrent, SpatialDropout1D)


@dataclass(frozen=True, slots=True)
class _Task:
    """Some samples of a block of rows."""

    block: "_Block"
    samples: range


class _Block:
    """Some rows of the inputs, and what enters the first stochastic layer for them.

    That is computed once, by whichever thread needs it first.
    """

    def __init__(self, rows: slice, inputs: Array) -> None:
        self.rows = rows
        self._inputs = inputs
        self._flow: Flow | None = None
        self._lock = threading.Lock()

    def before(self, layers: Sequence[Layer], following: Layer) -> Flow:
        with self._lock:
            if self._flow is None:
                flow = _run(layers, Flow(self._inputs[np.newaxis, self.rows]))
                self._flow = _for_layer(following, flow)
            return self._flow


class Model:
    """A trained network, a sequence of layers, for inference.

    Parameters
    ----------
    layers : sequence of fastdrop.model.Layer
    input_shape : tuple of int or None
        Shape of one input, without the batch axis; None for a length left open.
    source : str, optional
        Where the model came from, for people.
    notes : sequence of str, optional
        What a reader should know about it.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, there is no layer, or one does not fit what comes
        before it.

    Notes
    -----
    Results do not depend on how inputs are split into calls (given ``row_offset``), nor on
    ``threads``. A model is never changed by use, and may be used from many threads.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        input_shape: Sequence[int | None],
        source: str = "",
        notes: Sequence[str] = (),
    ) -> None:
        self.layers = _check.sequence_of(layers, "layers", Layer)
        self.input_shape = _check.open_shape(input_shape, "input_shape")
        self.source = _check.text(source, "source")
        self.notes = tuple(notes)
        self.output_shapes: list[tuple[int | None, ...]] = []
        shape = self.input_shape
        for i, layer in enumerate(self.layers):
            if i and isinstance(layer, Embedding):
                raise ValueError(f"layer {layer.name!r}: an embedding must be the first layer")
            shape = layer.output_shape(shape)
            self.output_shapes.append(shape)
        # The largest of a row's masks and gates: four masks an input feature.
        self._widest = 1
        for part in (part for layer in self.layers for part in parts(layer)):
            kernel = getattr(part, "kernel", None)
            if kernel is not None:
                self._widest = max(self._widest, 4 * kernel.shape[0], kernel.shape[1])
        self._first_random = next(
            (i for i, layer in enumerate(self.layers) if layer.stochastic), len(self.layers)
        )

    @property
    def stochastic(self) -> bool:
        """Whether any layer draws masks."""
        return self._first_random < len(self.layers)

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Shape of one output, without the batch axis; None for a length left open."""
        return self.output_shapes[-1]

    def predict(self, x: ArrayLike, *, threads: int | None = None) -> Array:
        """Compute the outputs with dropout off.

        Parameters
        ----------
        x : array_like, shape (batch, *input_shape)
            Integers for a model that starts with an embedding. Otherwise real numbers, which are
            converted to float32, as Keras does: float64 is rounded.
        threads : int, optional
            At most this many threads; None means ``fastdrop.info().threads``.

        Returns
        -------
        ndarray of float32, shape (batch, *output_shape)

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type, shape or range.

        Examples
        --------
        >>> import numpy as np
        >>> from fastdrop.model import Dense, Model
        >>> model = Model([Dense(name="dense", kernel=np.eye(2, dtype=np.float32))], (2,))
        >>> model.predict([[1.0, 2.0]])
        array([[1., 2.]], dtype=float32)
        """
        inputs = self._inputs(x)
        threads = _check.thread_count(threads, _threads.DEFAULT)
        height = self._chunk_rows(inputs.shape[1:], -(-len(inputs) // threads))
        blocks = [slice(n, n + height) for n in range(0, len(inputs), height)]

        def run(rows: slice) -> Array:
            return self._outputs(inputs[rows])

        parts = list(_threads.ordered_map(run, blocks, max(1, min(threads, len(blocks)))))
        return np.concatenate(parts) if parts else run(slice(0, 0))

    def mc_predict(
        self,
        x: ArrayLike,
        samples: int = 100,
        *,
        rng: object = None,
        scope: str = "per_row",
        row_offset: int = 0,
        keep_samples: bool = False,
        threads: int | None = None,
    ) -> Prediction:
        """Sample the outputs with dropout on (Monte-Carlo dropout).

        Parameters
        ----------
        x : array_like, shape (batch, *input_shape)
            As in `predict`.
        samples : int, optional
            How many samples of every output to draw.
        rng : None, int, Key, SeedSequence, Generator or BitGenerator, optional
            As in `bernoulli`. Sample m of row n is the same however many samples are drawn and
            however the rows are split.
        scope : {"per_row", "shared"}, optional
            "per_row": every row and sample has its own masks. "shared": all rows of a sample share
            one, so that a sample is one network drawn from the posterior.
        row_offset : int, optional
            The number of the first row in the whole data set.
        keep_samples : bool, optional
            Also return the samples themselves, which takes memory in proportion to them.
        threads : int, optional
            At most this many threads; None means ``fastdrop.info().threads``.

        Returns
        -------
        Prediction
            ``mean``, ``std`` and ``quantile()``. For the quantiles the samples of every output are
            held up to 1,024 of them; beyond that, 1,024 values for each doubling.

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
        >>> from fastdrop.model import Dropout, Model
        >>> model = Model([Dropout(name="dropout", rate=0.5)], (3,))
        >>> p = model.mc_predict(np.ones((1, 3)), samples=1000, rng=0)
        >>> bool(abs(p.mean - 1).max() < 0.15)
        True
        """
        inputs = self._inputs(x)
        samples = _check.integer(samples, "samples", 1, 1 << 32)
        scope = _check.choice(scope, "scope", _check.SCOPES)
        first_row = _check.rows_range(row_offset, len(inputs), self._row_elements(inputs.shape[1:]))
        keep_samples = _check.flag(keep_samples, "keep_samples")
        threads = _check.thread_count(threads, _threads.DEFAULT)
        if not self.stochastic:
            raise ValueError(
                "mc_predict: expected a model with dropout somewhere, got one in which nothing is "
                "stochastic; use predict"
            )
        key = as_key(rng)
        rest = self.layers[self._first_random :]

        def run(task: _Task) -> tuple[_Task, Array]:
            flow = task.block.before(self.layers[: self._first_random], rest[0])
            flow = flow.repeated(len(task.samples))
            for i, layer in enumerate(rest, self._first_random):
                draw = self._draw(key, i, task, first_row, scope) if layer.stochastic else None
                flow = layer.run(_for_layer(layer, flow), draw)
            return task, flow.looked_up().values

        # An empty batch passes through the layers too: that is how the output's shape is known.
        empty = self._outputs(inputs[:0])
        shape = (len(inputs), *empty.shape[1:])
        mean, std = np.empty(shape), np.empty(shape)
        kept = np.empty((samples, *shape), empty.dtype) if keep_samples else None
        sketches = []
        moments, sketch = Moments(0), QuantileSketch(0, 1, empty.dtype)
        tasks = self._tasks(inputs, samples, threads)
        for task, values in _threads.ordered_map(run, tasks, threads):
            rows = task.block.rows
            if task.samples.start == 0:
                width = values[0].size
                moments, sketch = Moments(width), QuantileSketch(width, samples, empty.dtype)
                sketches.append(sketch)
            flat = values.reshape(len(values), -1)
            moments.add(flat)
            sketch.add(flat)
            if kept is not None:
                kept[task.samples.start : task.samples.stop, rows] = values
            if task.samples.stop == samples:
                mean[rows] = moments.mean.reshape(mean[rows].shape)
                std[rows] = moments.std().reshape(std[rows].shape)
        return Prediction(mean, std, samples, kept, tuple(sketches))

    # ---- inside ----

    def _inputs(self, x: ArrayLike) -> Array:
        """Check the inputs and convert them to what the first layer takes."""
        if isinstance(self.layers[0], Embedding):
            array = _check.array(x, "x", _check.INTEGERS)
        else:
            array = _check.float32(_check.array(x, "x", _check.NUMBERS), "x")
        expected = ("batch", *("any" if n is None else n for n in self.input_shape))
        if array.ndim != len(expected) or any(
            n is not None and n != m for n, m in zip(self.input_shape, array.shape[1:], strict=True)
        ):
            _check.refuse(ValueError, "x", f"shape ({', '.join(map(str, expected))})", array)
        if isinstance(self.layers[0], Embedding):
            _check.indices(array, len(self.layers[0].table), self.layers[0].name)
        return array

    def _outputs(self, inputs: Array) -> Array:
        """Compute the outputs with dropout off."""
        outputs: Array = _run(self.layers, Flow(inputs[np.newaxis])).looked_up().values[0]
        return outputs

    def _draw(self, key: Key, index: int, task: _Task, first_row: int, scope: str) -> Draw:
        return Draw(
            key=key,
            site=SITES * index,
            samples=task.samples,
            first_row=first_row + task.block.rows.start,
            rows=task.block.rows.stop - task.block.rows.start,
            shared=scope == "shared",
        )

    def _tasks(self, inputs: Array, samples: int, threads: int) -> Iterator[_Task]:
        """Cut rows x samples into chunks of bounded memory: a block of rows, then its samples."""
        total = -(-len(inputs) * samples // threads)
        chunk = self._chunk_rows(inputs.shape[1:], total)
        height = _even(len(inputs), chunk)
        for n in range(0, len(inputs), height):
            rows = slice(n, min(n + height, len(inputs)))
            block = _Block(rows, inputs)
            step = max(1, chunk // (rows.stop - rows.start))
            for m in range(0, samples, step):
                yield _Task(block, range(m, min(m + step, samples)))

    def _row_elements(self, shape: tuple[int, ...]) -> int:
        """Elements of the largest array, masks included, that one row makes."""
        largest, lengths = max(self._widest, math.prod(shape)), shape
        for layer in self.layers:
            lengths = tuple(int(n or 0) for n in layer.output_shape(lengths))
            largest = max(largest, math.prod(lengths))
        return largest

    def _chunk_rows(self, shape: tuple[int, ...], wanted: int) -> int:
        """Rows to take together, within the memory set aside for them."""
        # A layer's input and output are alive at a time, and the next chunk's results.
        row_bytes = 3 * 4 * self._row_elements(shape)
        return _even(wanted, max(1, min(_CHUNK_ROWS, _CHUNK_BYTES // row_bytes)))


def _even(total: int, limit: int) -> int:
    """Return the size of pieces of at most `limit` that are almost equal, for no thread to wait."""
    return max(1, -(-total // max(1, -(-total // limit))))


def _run(layers: Sequence[Layer], flow: Flow) -> Flow:
    """Run layers with dropout off."""
    for layer in layers:
        flow = layer.run(_for_layer(layer, flow), None)
    return flow


def _for_layer(layer: Layer, flow: Flow) -> Flow:
    """Return what a layer is given: the activations themselves, unless it can take a table."""
    return flow if isinstance(layer, _TAKE_A_TABLE) else flow.looked_up()
