"""A model: layers in a row."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdrop import _check, _threads
from fastdrop.model._prediction import Moments, Prediction
from fastdrop.model._quantiles import QuantileSketch
from fastdrop.model.layers import SITES, Draw, Embedding, Flow, Layer
from fastdrop.random import Key, as_key

Array = NDArray[Any]

# Activations that one thread works on at a time, in bytes and in rows.
_CHUNK_BYTES = 8 << 20
_CHUNK_ROWS = 64


@dataclass(frozen=True, slots=True)
class _Task:
    """Some samples of some rows. inputs (rows, ...) is what enters the first stochastic layer."""

    rows: slice
    samples: range
    inputs: Flow


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
    ValueError
        If there is no layer, or one does not fit what comes before it.

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
        if not layers:
            raise ValueError("layers: expected at least one layer, got none")
        self.layers = tuple(layers)
        self.input_shape = tuple(input_shape)
        self.source = source
        self.notes = tuple(notes)
        self.output_shapes: list[tuple[int | None, ...]] = []
        shape = self.input_shape
        for i, layer in enumerate(self.layers):
            if i and isinstance(layer, Embedding):
                raise ValueError(f"layer {layer.name!r}: an embedding must be the first layer")
            shape = layer.output_shape(shape)
            self.output_shapes.append(shape)
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
            result: Array = self._run(self.layers, Flow(inputs[np.newaxis, rows])).values[0]
            return result

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
            ``mean``, ``std`` and ``quantile()``. Without `keep_samples` the memory needed does not
            grow with `samples` beyond 1,024 values of every output.

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
            values = task.inputs.values
            flow = task.inputs.with_values(
                np.broadcast_to(values, (len(task.samples), *values.shape[1:]))
            )
            for i, layer in enumerate(rest, self._first_random):
                draw = self._draw(key, i, task, first_row, scope) if layer.stochastic else None
                flow = layer.run(flow, draw)
            return task, flow.values

        # An empty batch passes through the layers too: that is how the output's shape is known.
        empty = self._run(self.layers, Flow(inputs[np.newaxis, :0])).values[0]
        shape = (len(inputs), *empty.shape[1:])
        mean, std = np.empty(shape), np.empty(shape)
        draws = np.empty((samples, *shape), empty.dtype) if keep_samples else None
        sketches = []
        moments, sketch = Moments(0), QuantileSketch(0, 1, empty.dtype)
        tasks = self._tasks(inputs, samples, threads)
        for task, values in _threads.ordered_map(run, tasks, threads):
            if task.samples.start == 0:
                width = values[0].size
                moments, sketch = Moments(width), QuantileSketch(width, samples, empty.dtype)
                sketches.append(sketch)
            for value in values:
                moments.add(value.reshape(-1))
                sketch.add(value.reshape(-1))
            if draws is not None:
                draws[task.samples.start : task.samples.stop, task.rows] = values
            if task.samples.stop == samples:
                mean[task.rows] = moments.mean.reshape(mean[task.rows].shape)
                std[task.rows] = moments.std().reshape(std[task.rows].shape)
        return Prediction(mean, std, samples, draws, tuple(sketches))

    # ---- inside ----

    def _inputs(self, x: ArrayLike) -> Array:
        """Check the inputs and convert them to what the first layer takes."""
        if isinstance(self.layers[0], Embedding):
            array = _check.array(x, "x", _check.INTEGERS)
        else:
            array = _check.array(x, "x", _check.NUMBERS).astype(np.float32)
        expected = ("batch", *("any" if n is None else n for n in self.input_shape))
        if array.ndim != len(expected) or any(
            n is not None and n != m for n, m in zip(self.input_shape, array.shape[1:], strict=True)
        ):
            _check.refuse(ValueError, "x", f"shape ({', '.join(map(str, expected))})", array)
        return array

    def _run(self, layers: Sequence[Layer], flow: Flow) -> Flow:
        """Run layers with dropout off."""
        for layer in layers:
            flow = layer.run(flow, None)
        return flow

    def _draw(self, key: Key, index: int, task: _Task, first_row: int, scope: str) -> Draw:
        return Draw(
            key=key,
            site=SITES * index,
            samples=task.samples,
            first_row=first_row + task.rows.start,
            rows=task.rows.stop - task.rows.start,
            shared=scope == "shared",
        )

    def _tasks(self, inputs: Array, samples: int, threads: int) -> Iterator[_Task]:
        """Cut rows x samples into chunks of bounded memory: a block of rows, then its samples.

        What comes before the first stochastic layer is run once for a block.
        """
        total = -(-len(inputs) * samples // threads)
        chunk = self._chunk_rows(inputs.shape[1:], total)
        height = max(1, min(chunk, len(inputs)))
        for n in range(0, len(inputs), height):
            rows = slice(n, min(n + height, len(inputs)))
            flow = self._run(self.layers[: self._first_random], Flow(inputs[np.newaxis, rows]))
            step = max(1, chunk // (rows.stop - rows.start))
            for m in range(0, samples, step):
                yield _Task(rows, range(m, min(m + step, samples)), flow)

    def _row_elements(self, shape: tuple[int, ...]) -> int:
        """Elements of the largest array, masks included, that one row makes."""
        largest, lengths = max(1, math.prod(shape)), shape
        for layer in self.layers:
            kernel = getattr(layer, "kernel", None)
            if kernel is not None:  # four masks an input feature
                largest = max(largest, 4 * kernel.shape[0], kernel.shape[1])
            lengths = tuple(int(n or 0) for n in layer.output_shape(lengths))
            largest = max(largest, math.prod(lengths))
        return largest

    def _chunk_rows(self, shape: tuple[int, ...], wanted: int) -> int:
        """Rows to take together, within the memory set aside for them."""
        # A layer's input and output are alive at a time, and the next chunk's results.
        row_bytes = 3 * 4 * self._row_elements(shape)
        return max(1, min(_CHUNK_ROWS, wanted, _CHUNK_BYTES // row_bytes))
