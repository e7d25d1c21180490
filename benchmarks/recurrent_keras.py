"""Layers of Keras with its dropout on; KERAS_BACKEND names the backend before it is imported."""

from collections.abc import Iterator
from typing import Any

from benchmarks.keras_calls import ENGINES, compiled
from benchmarks.peers import TF, Library
from benchmarks.recurrent_peers import PER_GATE, RATES, TORCH, Row, Task

KERAS = Library(("keras",), ("keras",), lambda _: iter(()))
NAMES = {"tensorflow": TF, "jax": "JAX", "torch": TORCH}
# Units; narrower layers are measured on one thread only.
WORTH_THREADS = 64
# Cells whose weights are known to be where they belong.
_checked: set[str] = set()


def layer(task: Task) -> Any:
    """Build the layer with the task's weights."""
    import keras

    made = getattr(keras.layers, task.cell.upper())(
        task.shape.units, return_sequences=True, **RATES
    )
    made.build(task.x.shape)
    made.set_weights([task.kernel, task.recurrent_kernel, task.bias])
    return made


def _rows(task: Task) -> Iterator[Row]:
    import keras
    import numpy as np

    keras.backend.clear_session()  # or every layer so far is kept
    made = layer(task)
    if task.cell not in _checked:
        few = keras.ops.convert_to_numpy(made(task.x[:2, :4], training=False))
        np.testing.assert_allclose(few, task.expected[:2, :4], rtol=0, atol=1e-4)
        _checked.add(task.cell)
    call = compiled(made, task.x, task.threads)
    yield Row(ENGINES[keras.backend.backend()], PER_GATE, call, call)


LIBRARIES = {
    "tensorflow": Library(("tensorflow", "keras"), ("tensorflow_cpu", "tensorflow"), _rows),
    "jax": Library(("jax", "keras"), ("jax",), _rows),
    "torch": Library(("torch", "keras"), ("torch",), _rows),
}


def rows(backend: str, task: Task) -> Iterator[Row]:
    if LIBRARIES[backend].installed():
        yield from LIBRARIES[backend].rows(task)
    else:
        yield Row(ENGINES[backend], PER_GATE, None)


def needed(backend: str) -> dict[str, Library]:
    """Return what the caption names."""
    return {"Keras": KERAS, NAMES[backend]: LIBRARIES[backend]}
