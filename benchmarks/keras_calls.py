"""Keras with its dropout on, compiled the best way that each of its backends has.

The environment variable KERAS_BACKEND must name the backend before Keras is imported. Nothing else
is imported here: what a process with Keras takes is measured.
"""

from collections.abc import Callable
from typing import Any

ENGINES = {
    "tensorflow": "Keras on TensorFlow",
    "jax": "Keras on JAX",
    "torch": "Keras on PyTorch",
}


def compiled(model: Any, x: Any, threads: int, xla: bool = True) -> Callable[[], Any]:
    """Return a call of a Keras layer or model with dropout, new in each call, on one input.

    XLA is optional in TensorFlow: a call takes a fifth to all of the time, compiling a second more.
    """
    import keras

    match keras.backend.backend():
        case "tensorflow":
            return _tensorflow(model, x, xla)
        case "jax":
            return _jax(model, x)
        case _:
            return _torch(model, x, threads)


def _tensorflow(model: Any, x: Any, xla: bool) -> Callable[[], Any]:
    """tf.function."""
    import tensorflow as tf

    function = tf.function(lambda x: model(x, training=True), jit_compile=xla)
    tensor = tf.constant(x)
    return lambda: function(tensor).numpy()


def _jax(model: Any, x: Any) -> Callable[[], Any]:
    """jax.jit of stateless_call, the seeds among its state."""
    import jax

    function = jax.jit(lambda *args: model.stateless_call(*args, training=True))
    trained = [v.value for v in model.trainable_variables]
    state = [[v.value for v in model.non_trainable_variables]]
    array = jax.numpy.asarray(x)

    def call() -> Any:
        y, state[0] = function(trained, state[0], array)
        return y.block_until_ready()

    return call


def _torch(model: Any, x: Any, threads: int) -> Callable[[], Any]:
    """Eager, which is all that Keras has there without unrolling the steps in a compiler."""
    import torch

    torch.set_num_threads(threads)
    tensor = torch.from_numpy(x)

    def call() -> Any:
        with torch.inference_mode():
            return model(tensor, training=True)

    return call
