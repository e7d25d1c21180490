"""Known answers for `RecurrentLoop`, from ONNX Runtime and, for projections, from PyTorch.

    cd tests && python -m references.make_loops

writes loops.npz; it needs onnx, onnxruntime and torch. `cases()` runs them. A case is (id, options,
arrays, outputs):

* options are keywords of `RecurrentLoop`, an activation with parameters being a list;
* arrays are x, the weights by their fields, and where the case has them h and c, the initial state,
  and mask, which steps are taken;
* outputs are y, at all steps in the order taken, and the final state h and c.

Weights and inputs are multiples of 1/16, which compress well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from .stored import Arrays, Result, load, save

FILE = Path(__file__).with_name("loops.npz")

GATES = {"lstm": 4, "gru": 3, "rnn": 1}
# Where a gate of ONNX stands among Keras's: i o f c, z r h.
ORDER = {"lstm": (0, 3, 1, 2), "gru": (0, 1, 2), "rnn": (0,)}
# How ONNX calls activations, and whether it takes alpha and beta.
NAMES = {
    "affine": ("Affine", "ab"),
    "leaky_relu": ("LeakyRelu", "a"),
    "threshold": ("ThresholdedRelu", "a"),
    "scaled_tanh": ("ScaledTanh", "ab"),
    "hard_sigmoid": ("HardSigmoid", "ab"),
    "elu": ("Elu", "a"),
    "relu": ("Relu", ""),
    "tanh": ("Tanh", ""),
    "sigmoid": ("Sigmoid", ""),
    "softsign": ("Softsign", ""),
    "softplus": ("Softplus", ""),
}
DEFAULTS = {"activation": "tanh", "recurrent_activation": "sigmoid"}
OPTIONAL = [
    "relu",
    "softsign",
    "softplus",
    ["affine", 0.75, -0.25],
    ["leaky_relu", 0.3],
    ["threshold", 0.4, 0],
    ["scaled_tanh", 1.5, 0.6],
    ["hard_sigmoid", 0.3, 0.4],
    ["elu", 0.7],
]


class Spec(NamedTuple):
    cell: str
    shape: tuple[int, int, int, int] = (3, 6, 4, 5)  # batch, time, features, units
    options: Mapping[str, Any] = MappingProxyType({})
    peepholes: bool = False
    state: bool = False
    lengths: tuple[int, ...] = ()
    projection: int = 0


SPECS = [
    *(Spec(cell, state=state) for cell in GATES for state in (False, True)),
    *(Spec(cell, options={"go_backwards": True}, lengths=(6, 2, 4)) for cell in GATES),
    *(Spec(cell, state=True, lengths=(1, 6, 3)) for cell in GATES),
    *(Spec(cell, options={"clip": clip}) for cell in GATES for clip in (0.5, 2.0)),
    Spec("gru", options={"reset_after": False}, state=True),
    Spec("gru", options={"reset_after": False, "clip": 0.7}),
    Spec("lstm", options={"input_forget": True}),
    Spec("lstm", peepholes=True, state=True),
    Spec("lstm", options={"input_forget": True, "clip": 0.6}, peepholes=True, state=True),
    Spec("lstm", (2, 1, 1, 1), options={"output_activation": "softsign"}, peepholes=True),
    Spec("lstm", (2, 9, 3, 17), options={"clip": 1.0}, peepholes=True, state=True),
    *(Spec("rnn", options={"activation": each}) for each in OPTIONAL),
    *(
        Spec("gru", options={"activation": each, "recurrent_activation": other})
        for each, other in zip(OPTIONAL, OPTIONAL[3:] + OPTIONAL[:3], strict=True)
    ),
    *(
        Spec(
            "lstm",
            options={
                "activation": OPTIONAL[i - 1],
                "recurrent_activation": ["hard_sigmoid", 0.2, 0.5],
                "output_activation": OPTIONAL[i],
            },
        )
        for i in range(len(OPTIONAL))
    ),
    Spec("lstm", projection=2),
    Spec("lstm", (2, 9, 3, 17), projection=11, state=True),
    Spec("lstm", options={"go_backwards": True}, projection=3, state=True),
]


def weights(spec: Spec, rng: np.random.Generator) -> Arrays:
    def sixteenths(*shape: int) -> np.ndarray:
        return (rng.integers(-16, 17, size=shape) / 16).astype(np.float32)

    batch, steps, features, units = spec.shape
    width = GATES[spec.cell] * units
    put_out = spec.projection or units
    two = spec.cell == "gru" and spec.options.get("reset_after", True)
    arrays = {
        "x": sixteenths(batch, steps, features),
        "kernel": sixteenths(features, width),
        "recurrent_kernel": sixteenths(put_out, width) / 2,
        "bias": sixteenths(2, width) if two else sixteenths(width),
    }
    if spec.peepholes:
        arrays["peepholes"] = sixteenths(3, units)
    if spec.projection:
        arrays["projection"] = sixteenths(units, put_out)
    if spec.state:
        arrays["h"] = sixteenths(batch, put_out)
        if spec.cell == "lstm":
            arrays["c"] = 4 * sixteenths(batch, units)  # beyond what is clipped
    if spec.lengths:
        arrays["mask"] = np.arange(steps) < np.array(spec.lengths)[:, np.newaxis]
    return arrays


def run_onnx(spec: Spec, arrays: Arrays) -> Arrays:
    """Run a model of one node."""
    import onnx
    import onnxruntime
    from onnx import helper

    units = spec.shape[3]
    options = {**DEFAULTS, **spec.options}

    def reordered(array: np.ndarray) -> np.ndarray:
        gates = np.split(array, GATES[spec.cell], axis=-1)
        return np.concatenate([gates[g] for g in ORDER[spec.cell]], axis=-1)

    bias = reordered(arrays["bias"])
    inputs = {
        "X": arrays["x"].swapaxes(0, 1),
        "W": reordered(arrays["kernel"]).T[np.newaxis],
        "R": reordered(arrays["recurrent_kernel"]).T[np.newaxis],
        "B": np.concatenate([bias[0], bias[1]] if bias.ndim == 2 else [bias, 0 * bias])[np.newaxis],
    }
    if spec.lengths:
        inputs["sequence_lens"] = np.array(spec.lengths, np.int32)
    if "h" in arrays:
        inputs["initial_h"] = arrays["h"][np.newaxis]
    if "c" in arrays:
        inputs["initial_c"] = arrays["c"][np.newaxis]
    if "peepholes" in arrays:
        i, f, o = arrays["peepholes"]
        inputs["P"] = np.concatenate([i, o, f])[np.newaxis]
    order = ["X", "W", "R", "B", "sequence_lens", "initial_h"]
    order += ["initial_c", "P"] if spec.cell == "lstm" else []
    functions = {
        "lstm": ("recurrent_activation", "activation", "output_activation"),
        "gru": ("recurrent_activation", "activation"),
        "rnn": ("activation",),
    }[spec.cell]
    attributes: dict[str, Any] = {"hidden_size": units, "activations": []}
    for field in functions:
        given = options.get(field, options["activation"])
        name, *numbers = given if isinstance(given, list) else [given]
        onnx_name, takes = NAMES[name]
        attributes["activations"].append(onnx_name)
        for letter, number in zip(takes, numbers, strict=False):
            key = {"a": "activation_alpha", "b": "activation_beta"}[letter]
            attributes.setdefault(key, []).append(float(number))
    if "clip" in options:
        attributes["clip"] = options["clip"]
    if options.get("input_forget"):
        attributes["input_forget"] = 1
    if spec.cell == "gru":
        attributes["linear_before_reset"] = int(options.get("reset_after", True))
    if options.get("go_backwards"):
        attributes["direction"] = "reverse"
    outputs = ["Y", "Y_h", "Y_c"] if spec.cell == "lstm" else ["Y", "Y_h"]
    node = helper.make_node(
        spec.cell.upper(), [name if name in inputs else "" for name in order], outputs, **attributes
    )
    kinds = {"f": onnx.TensorProto.FLOAT, "i": onnx.TensorProto.INT32}
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(k, kinds[v.dtype.kind], v.shape) for k, v in inputs.items()],
        [helper.make_tensor_value_info(k, onnx.TensorProto.FLOAT, None) for k in outputs],
    )
    opset = [helper.make_opsetid("", 14)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    y, *final = session.run(None, inputs)
    y = y[:, 0].swapaxes(0, 1)  # zeros where a step is passed over
    y = y[:, ::-1] if options.get("go_backwards") else y
    return {"y": y} | {name: state[0] for name, state in zip("hc", final, strict=False)}


def run_torch(spec: Spec, arrays: Arrays) -> Arrays:
    """Run an `nn.LSTM` with proj_size."""
    import torch

    features, units = spec.shape[2:]
    lstm = torch.nn.LSTM(features, units, batch_first=True, proj_size=spec.projection)
    # Keras's order of gates is PyTorch's.
    given = {
        "weight_ih_l0": arrays["kernel"].T,
        "weight_hh_l0": arrays["recurrent_kernel"].T,
        "weight_hr_l0": arrays["projection"].T,
        "bias_ih_l0": arrays["bias"],
        "bias_hh_l0": 0 * arrays["bias"],
    }
    lstm.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in given.items()})
    backwards = spec.options.get("go_backwards", False)
    x = torch.from_numpy(arrays["x"][:, ::-1].copy() if backwards else arrays["x"])
    state = [torch.from_numpy(arrays[name])[None] for name in "hc" if name in arrays]
    with torch.no_grad():
        y, (h, c) = lstm(x, tuple(state) or None)
    return {"y": y.numpy(), "h": h[0].numpy(), "c": c[0].numpy()}


def cases() -> Iterator[Result]:
    for number, spec in enumerate(SPECS):
        arrays = weights(spec, np.random.default_rng(number))
        outputs = run_torch(spec, arrays) if spec.projection else run_onnx(spec, arrays)
        parts = [spec.cell, *(f"{k}={v}" for k, v in spec.options.items())]
        parts += [name for name in ("peepholes", "projection", "h", "mask") if name in arrays]
        options = {"cell": spec.cell, **spec.options}
        yield f"{number}: {', '.join(parts)}", options, arrays, outputs


def main() -> None:
    save(FILE, cases())
    assert len(list(load(FILE))) == len(SPECS)


if __name__ == "__main__":
    main()
