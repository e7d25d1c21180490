"""Laws that every layer obeys, and layers as Keras's configurations spell them."""

from typing import Any

import numpy as np

import fastdrop as fd
from fastdrop.formats._limits import Limits
from fastdrop.formats._safe_json import Section
from fastdrop.formats.keras import Asked, assemble
from fastdrop.formats.keras._version import Version
from fastdrop.layers import Declared, Flow, TimeDistributed

KERAS_3, TF_KERAS = Version(3, 15), Version(2, 21, True)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([*shape, seed]).normal(size=shape).astype(np.float32)


def forward(layer: Any, x: np.ndarray, mask: np.ndarray | None = None) -> Flow:
    """Run a layer on rows, with dropout off."""
    (flow,) = layer.run([Flow(x[np.newaxis], None if mask is None else mask[np.newaxis])], None)
    return flow.looked_up()


def output(layer: Any, x: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    values = forward(layer, x, mask).values
    assert len(values) == 1
    assert values.dtype == np.float32
    return values[0]


def check_laws(layer: Any, x: np.ndarray) -> None:
    """What a layer makes of rows (7, ...) does not depend on who is beside them."""
    assert len(x) == 7
    whole = output(layer, x)
    shape = layer.output_shapes([x.shape[1:]])[0]
    assert whole.shape[1:] == shape
    assert layer.work_elements([x.shape[1:]]) >= 0
    # Rows, none of them, and samples.
    for n in range(7):
        np.testing.assert_array_equal(output(layer, x[n : n + 1])[0], whole[n])
    np.testing.assert_array_equal(output(layer, x[::-1])[::-1], whole)
    assert output(layer, x[:0]).shape == (0, *shape)
    stacked = np.stack([x, x[::-1], 2 * x])
    (flow,) = layer.run([Flow(stacked)], None)
    samples = flow.looked_up().values
    for got, given in zip(samples, stacked, strict=True):
        np.testing.assert_array_equal(got, output(layer, given))
    # The memory of the input lies in another order.
    other = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, -1, 0)), 0, -1)
    np.testing.assert_array_equal(output(layer, other), whole)
    # Time masks, of one value or of one a sample.
    if x.ndim > 2:
        mask = np.random.default_rng(1).random(x.shape[:2]) < 0.7
        mask[:, 0] = True
        got = forward(layer, x, mask)
        assert (got.mask is not None) == layer.passes_mask
        if layer.passes_mask:
            np.testing.assert_array_equal(got.mask[0], mask)
            np.testing.assert_array_equal(got.values[0], whole)
    # At every step of time.
    timed = TimeDistributed(name="t", layer=layer)
    x = np.stack([x, 0.5 * x, x[::-1]], axis=1)
    np.testing.assert_array_equal(
        output(timed, x), np.stack([output(layer, x[:, t]) for t in range(3)], axis=1)
    )
    assert timed.output_shapes([x.shape[1:]])[0] == (3, *shape)


def planned(
    class_name: str, shape: tuple[int | None, ...], version: Version = KERAS_3, **config: Any
) -> Any:
    """Return the layer that a configuration means, for inputs of a shape; weights declared."""
    common = {"name": "layer", "trainable": True, "dtype": "float32"}
    entries = [
        {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, *shape]}},
        {"class_name": class_name, "config": common | config},
    ]
    for entry in entries:
        entry |= {"module": "keras.layers", "registered_name": None}
    model = {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "sequential", "layers": entries},
        "registered_name": None,
    }
    assembly = assemble(Section("config.json", model), version, Asked(Limits()))
    ((_, plan),) = assembly.records()
    return plan.layer


def filled(layer: Any, seed: int = 0) -> Any:
    """Return a layer of declared weights with numbers, variances positive."""
    arrays = {
        field: np.abs(normal(*weight.shape, seed=seed)) + 0.5
        if "variance" in field
        else normal(*weight.shape, seed=seed)
        for field, weight in layer.weights().items()
        if isinstance(weight, Declared)
    }
    return layer.with_weights(arrays)


def check_draws(
    layer: Any, function: Any, x: np.ndarray, amount: float, elements: int, **kwargs: Any
) -> None:
    """A sample of a layer in a model is the public function called on the rows, bit for bit."""
    model = fd.Model([layer], x.shape[1:])
    key = fd.Key.from_words(3, 4)
    for first_row, first_sample in ((0, 0), (5, 7)):
        got = model.mc_predict(
            x, 3, rng=key, row_offset=first_row, first_sample=first_sample, keep_samples=True
        ).samples
        for m in range(3):
            expected = function(
                x,
                amount,
                rng=key.fold_in(0),
                stream=first_sample + m,
                offset=first_row * elements,
                **kwargs,
            )
            np.testing.assert_array_equal(got[m], expected)
    # Shared masks: row n is row 0 of the stream, whatever its number.
    shared = model.mc_predict(
        x, 3, rng=key, scope="shared", row_offset=5, keep_samples=True
    ).samples
    for m in range(3):
        for n in range(len(x)):
            expected = function(x[n : n + 1], amount, rng=key.fold_in(0), stream=m, **kwargs)
            np.testing.assert_array_equal(shared[m, n : n + 1], expected)
