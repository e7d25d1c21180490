"""Known answers for the LSTM, from Keras on TensorFlow, with the dropout masks Keras drew.

    cd tests && python -m references.make_lstm

writes lstm.npz; it needs keras, tensorflow and tf-keras. `cases()` and `legacy_cases()` run
Keras 3 and tf-keras. A case is (id, options, arrays, outputs):

* options are keywords of `lstm`;
* arrays are its array arguments: x, kernel, recurrent_kernel, and where the case has them bias,
  input_mask, recurrent_mask, mask, and h0 and c0, the initial state;
* outputs are sequences (return_sequences=True), last (return_sequences=False), h and c.

Every case is recomputed in NumPy from the captured masks: a mask that the layer did not use, or
used for another gate, is an AssertionError. Weights and inputs are multiples of 1/64: exact in
every dtype, and they compress well.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from .stored import Arrays, Result, load, save

FILE = Path(__file__).with_name("lstm.npz")


class Spec(NamedTuple):
    shape: tuple[int, int, int, int]  # batch, time, features, units
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    mask: str = ""  # a name of time_mask
    state: bool = False  # give an initial state
    layer: Mapping[str, Any] = MappingProxyType({})  # further arguments of the Keras layer


# What the Keras layer and `lstm` call by the same name.
OPTIONS = {"activation", "recurrent_activation", "go_backwards", "zero_output_for_mask"}
BACK, ZERO, FLOAT64 = {"go_backwards": True}, {"zero_output_for_mask": True}, {"dtype": "float64"}
FORGET = {"unit_forget_bias": True, "bias_initializer": "random_normal"}
HARD = {"recurrent_activation": "hard_sigmoid"}
SPLIT = {"implementation": 1, "use_cudnn": False}  # four input masks without recurrent dropout

SPECS = [
    Spec((1, 1, 1, 1)),
    Spec((2, 5, 3, 4)),
    Spec((3, 7, 5, 17), state=True),
    Spec((4, 12, 8, 33)),
    Spec((2, 40, 3, 5)),
    Spec((1, 1, 1, 1), 0.5),
    Spec((2, 5, 3, 4), 0.1),
    Spec((3, 7, 5, 17), 0.25, state=True),
    Spec((4, 12, 8, 33), 0.5),
    Spec((5, 6, 11, 3), 0.9),
    Spec((3, 6, 7, 5), 0.4, layer=SPLIT),
    Spec((1, 1, 1, 1), 0.0, 0.5, state=True),
    Spec((2, 5, 3, 4), 0.0, 0.1),
    Spec((3, 7, 5, 17), 0.0, 0.7, state=True),
    Spec((3, 9, 2, 15), 0.0, 0.9),
    Spec((1, 1, 1, 1), 0.5, 0.5),
    Spec((2, 5, 3, 4), 0.2, 0.6),
    Spec((3, 7, 5, 17), 0.3, 0.3, state=True),
    Spec((4, 12, 8, 33), 0.5, 0.5),
    Spec((2, 40, 3, 5), 0.5, 0.25),
    Spec((3, 5, 9, 6), 0.8, 0.1, layer={"use_bias": False}),
    Spec((2, 4, 3, 8), layer={"use_bias": False}),
    Spec((2, 6, 4, 7), 0.4, 0.2, layer=FORGET),
    Spec((3, 6, 3, 4), 0.0, 0.0, "right"),
    Spec((4, 7, 5, 6), 0.3, 0.4, "right"),
    Spec((4, 7, 5, 6), 0.3, 0.4, "left", state=True),
    Spec((4, 7, 5, 6), 0.5, 0.0, "left"),
    Spec((4, 9, 3, 5), 0.2, 0.5, "holes"),
    Spec((4, 6, 3, 5), 0.2, 0.5, "empty"),
    Spec((4, 6, 3, 5), 0.2, 0.5, "empty", state=True),
    Spec((4, 9, 3, 5), 0.2, 0.5, "holes", layer=ZERO),
    Spec((4, 6, 3, 5), 0.6, 0.0, "right", layer=ZERO),
    Spec((4, 6, 3, 5), 0.2, 0.5, "empty", state=True, layer=ZERO),
    Spec((2, 5, 3, 4), layer=BACK),
    Spec((3, 7, 5, 9), 0.6, 0.3, state=True, layer=BACK),
    Spec((4, 7, 5, 6), 0.4, 0.4, "right", layer=BACK),
    Spec((4, 7, 5, 6), 0.4, 0.0, "left", state=True, layer=BACK),
    Spec((4, 9, 3, 5), 0.4, 0.4, "holes", state=True, layer=BACK | ZERO),
    Spec((3, 6, 4, 5), 0.3, 0.3, layer={"activation": "relu"}),
    Spec((3, 6, 4, 5), 0.3, layer={"activation": "linear"}),
    Spec((3, 6, 4, 5), 0.2, 0.2, layer={"activation": "sigmoid", "recurrent_activation": "tanh"}),
    Spec((3, 8, 6, 9), 0.5, 0.2, layer=HARD),
    Spec((2, 4, 3, 5), layer={"activation": "hard_sigmoid", "recurrent_activation": "relu"}),
    Spec((2, 4, 3, 5), 0.0, 0.3, layer={"recurrent_activation": "linear"}),
    Spec((3, 7, 5, 17), state=True, layer=FLOAT64),
    Spec((2, 9, 6, 7), 0.35, layer=FLOAT64),
    Spec((4, 9, 3, 5), 0.5, 0.4, "holes", state=True, layer=FLOAT64),
]
LEGACY_SPECS = [
    Spec((3, 8, 6, 9), layer=HARD),
    Spec((3, 8, 6, 9), 0.3, state=True, layer=HARD),
    Spec((4, 7, 5, 6), 0.3, 0.5, "left", state=True, layer=HARD),
]


def time_mask(name: str, batch: int, steps: int) -> np.ndarray:
    """Return a mask (batch, steps), different in each row; True is a step that counts."""
    t, row = np.arange(steps), np.arange(batch)[:, None]
    mask = {
        "right": t < steps - row,  # row 0 is complete
        "left": t >= row + 1,
        "holes": (t * 5 + row * 3) % 4 != 0,  # row 0 begins and ends with a hole
        "empty": (row != 1) & (t < steps - row),  # no step of row 1 counts
    }[name]
    return np.broadcast_to(mask, (batch, steps)).copy()


def remember(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls `draw` once and gives the same masks ever after."""
    drawn: list[Any] = []

    def replay(*args: Any, **kwargs: Any) -> Any:
        if not drawn:
            drawn.append(draw(*args, **kwargs))
        return drawn[0]

    return replay


def run(keras: Any, spec: Spec, seed: int) -> Result:
    """Run one case in `keras` (Keras 3 or tf-keras) and check it against NumPy."""
    import tensorflow as tf

    rng = np.random.default_rng(seed)
    batch, steps, features, units = spec.shape
    keras.utils.set_random_seed(seed)
    rates = {"dropout": spec.dropout, "recurrent_dropout": spec.recurrent_dropout}
    layer = keras.layers.LSTM(units, return_state=True, **rates, **spec.layer)
    layer.build((batch, steps, features))

    def normal(scale: float, *shape: int) -> np.ndarray:
        return (np.rint(rng.normal(0, scale, shape) * 64) / 64).astype(layer.compute_dtype)

    weights = [normal(features**-0.5, features, 4 * units), normal(units**-0.5, units, 4 * units)]
    if spec.layer is FORGET:
        weights.append(np.asarray(layer.get_weights()[2]))  # as Keras makes it
        assert (weights[2][units : 2 * units] == 1).all()
    elif layer.use_bias:
        weights.append(normal(0.5, 4 * units))
    layer.set_weights(weights)

    arrays = dict(zip(("kernel", "recurrent_kernel", "bias"), weights, strict=False))
    arrays["x"] = x = normal(1, batch, steps, features)
    if spec.state:
        arrays |= {"h0": normal(0.5, batch, units), "c0": normal(0.5, batch, units)}
    if spec.mask:
        arrays["mask"] = time_mask(spec.mask, batch, steps)

    cell, legacy = layer.cell, hasattr(layer.cell, "get_dropout_mask_for_cell")
    draws = {}
    for target, kind in (("input_mask", "dropout"), ("recurrent_mask", "recurrent_dropout")):
        method = f"get_{kind}_mask_for_cell" if legacy else f"get_{kind}_mask"
        draws[target] = remember(getattr(cell, method))
        setattr(cell, method, draws[target])
    mask = tf.constant(arrays["mask"]) if spec.mask else None
    state = [tf.constant(arrays[name]) for name in ("h0", "c0")] if spec.state else None
    outputs: Arrays = {}
    for name in ("sequences", "last"):
        layer.return_sequences = name == "sequences"
        result = layer(tf.constant(x), mask=mask, initial_state=state, training=True)
        again = dict(zip((name, "h", "c"), map(np.array, result), strict=True))
        assert all(np.array_equal(outputs.get(key, again[key]), again[key]) for key in "hc")
        outputs |= again

    for target, drawn in draws.items():
        masks = drawn(None)
        if isinstance(masks, list) and cell.implementation == 2:
            masks = masks[0]  # tf-keras draws four and uses one
        if masks is not None:
            arrays[target] = np.stack(masks, 1) if isinstance(masks, list) else np.array(masks)
    words = [keras.__name__, spec.dropout, spec.recurrent_dropout, *spec.shape, spec.mask]
    words += ["state" * spec.state, *(f"{name}={value}" for name, value in spec.layer.items())]
    case = "-".join(str(word) for word in words if word != "")
    options = {name: value for name, value in spec.layer.items() if name in OPTIONS}
    if legacy and spec.layer is HARD:  # 0.2 x + 0.5, where Keras 3 has x / 6 + 0.5
        options["recurrent_activation"] = "hard_sigmoid_legacy"
    check(case, options, arrays, outputs)
    return case, options, arrays, outputs


def check(case: str, options: dict[str, Any], arrays: Arrays, outputs: Arrays) -> None:
    """Recompute the case in float64 and raise AssertionError where Keras differs."""
    functions: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "tanh": np.tanh,
        "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
        "relu": lambda z: np.maximum(z, 0),
        "linear": lambda z: z,
        "hard_sigmoid": lambda z: np.clip(z / 6 + 0.5, 0, 1),
        "hard_sigmoid_legacy": lambda z: np.clip(0.2 * z + 0.5, 0, 1),
    }
    activation = functions[options.get("activation", "tanh")]
    gate_activation = functions[options.get("recurrent_activation", "sigmoid")]
    a = {key: value.astype("bool" if key == "mask" else "float64") for key, value in arrays.items()}
    (batch, steps, _), units = a["x"].shape, len(a["recurrent_kernel"])
    output = np.zeros((batch, units))
    h, c, sequence = a.get("h0", output), a.get("c0", output), []
    if "input_mask" in a and a["input_mask"].ndim == 2:
        a["input_mask"] = np.stack([a["input_mask"]] * 4, axis=1)
    for t in reversed(range(steps)) if options.get("go_backwards") else range(steps):
        z = []
        for gate in range(4):
            columns = slice(gate * units, (gate + 1) * units)
            x_t = a["x"][:, t] * (a["input_mask"][:, gate] if "input_mask" in a else 1)
            h_t = h * (a["recurrent_mask"][:, gate] if "recurrent_mask" in a else 1)
            z.append(x_t @ a["kernel"][:, columns] + h_t @ a["recurrent_kernel"][:, columns])
            z[gate] += a["bias"][columns] if "bias" in a else 0
        new_c = gate_activation(z[1]) * c + gate_activation(z[0]) * activation(z[2])
        new_h = gate_activation(z[3]) * activation(new_c)
        counts = a["mask"][:, t, None] if "mask" in a else np.ones((batch, 1), bool)
        skipped = np.zeros_like(h) if options.get("zero_output_for_mask") else output
        h, c = np.where(counts, new_h, h), np.where(counts, new_c, c)
        output = np.where(counts, new_h, skipped)
        sequence.append(output)
    expected = {"sequences": np.stack(sequence, axis=1), "last": output, "h": h, "c": c}
    tolerance = 1e-12 if arrays["x"].dtype == np.float64 else 1e-5
    for name, value in expected.items():
        assert outputs[name].shape == value.shape
        assert outputs[name].dtype == arrays["x"].dtype
        error = np.abs(outputs[name] - value).max() / max(np.abs(value).max(), 1e-3)
        assert error <= tolerance, f"{case}: {name} differs from NumPy by {error:.1e}"


def cases() -> Iterator[Result]:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras

    assert keras.backend.backend() == "tensorflow", "Keras runs on another backend already"
    for seed, spec in enumerate(SPECS):
        yield run(keras, spec, seed)


def legacy_cases() -> Iterator[Result]:
    import tf_keras

    for seed, spec in enumerate(LEGACY_SPECS, start=1000):
        yield run(tf_keras, spec, seed)


if __name__ == "__main__":
    save(FILE, [*cases(), *legacy_cases()])
    print(f"{FILE.name}: {sum(1 for _ in load(FILE))} cases, {FILE.stat().st_size} bytes")
