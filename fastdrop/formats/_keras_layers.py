"""One function a Keras layer class: what its configuration means and which weights it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import _check
from fastdrop.formats._errors import ModelFormatError, show
from fastdrop.formats._keras_graph import Record, Shape, read_wrapped
from fastdrop.formats._safe_json import Section
from fastdrop.model import (
    GRU,
    LSTM,
    Activation,
    Bidirectional,
    Dense,
    Dropout,
    Embedding,
    Layer,
    RepeatVector,
    SimpleRNN,
    SpatialDropout1D,
    TimeDistributed,
)
from fastdrop.model.recurrent import Recurrent

Version = tuple[int, int]

# Known to change nothing at inference. What is in neither this set nor asked
# for by a layer below is refused unless it is null or false.
_WITHOUT_EFFECT = frozenset(
    {
        "activity_regularizer",
        "batch_input_shape",  # the input layer has the same and decides
        "bias_constraint",
        "bias_initializer",
        "bias_regularizer",
        "embeddings_constraint",
        "embeddings_initializer",
        "embeddings_regularizer",
        "input_length",
        "kernel_constraint",
        "kernel_initializer",
        "kernel_regularizer",
        "name",
        "recurrent_constraint",
        "recurrent_initializer",
        "recurrent_regularizer",
        "seed",
        "trainable",
        "unit_forget_bias",  # an initializer
        "unroll",
        "use_cudnn",
    }
)

_ACTIVATIONS = ("linear", "tanh", "sigmoid", "relu", "hard_sigmoid", "softmax")


@dataclass(frozen=True)
class Plan:
    """A layer before its weights are read.

    Attributes
    ----------
    output : Shape
        The shape of its output, without the batch axis.
    weights : dict[str, tuple[str, tuple[int, ...]]]
        For each array of the layer its path in the layer's group and its shape.
    make : Callable
        Makes the layer from these arrays, given by keyword.
    wrapped : dict[str, str | None]
        The groups in the layer's group that belong to layers it is made of, and the names these
        groups must bear if they bear any; None for no matter which.
    notes : tuple[str, ...]
        Remarks for the user.
    """

    output: Shape
    weights: dict[str, tuple[str, tuple[int, ...]]]
    make: Callable[..., Layer]
    wrapped: Mapping[str, str | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def plan(record: Record, shape: Shape, version: Version) -> Plan:
    """Return what a layer is for an input of the given shape, without the batch axis.

    Raises
    ------
    ModelFormatError
        An option is not supported, or the file contradicts itself about shapes.
    """
    config = record.config
    if record.class_name not in _PLANS:
        raise ModelFormatError(f"{config.where}: not supported at this place")
    _check_dtype(config)
    if record.build_shape is not None and not _agree(record.build_shape[1:], shape):
        raise ModelFormatError(
            f"{config.where}: built for an input of shape {record.build_shape[1:]}, gets {shape}"
        )
    function, keys = _PLANS[record.class_name]
    config.refuse_others(_WITHOUT_EFFECT | {"dtype"} | keys)
    return function(record.name, config, shape, version)


def _agree(built: Shape, shape: Shape) -> bool:
    """Return whether two shapes may be the same; None is a length left open."""
    return len(built) == len(shape) and all(
        a is None or b is None or a == b for a, b in zip(built, shape, strict=True)
    )


def _check_dtype(config: Section) -> None:
    """Refuse every dtype policy but plain float32."""
    dtype = config.values.get("dtype")
    if isinstance(dtype, dict) and dtype.get("class_name") in ("DTypePolicy", "FloatDTypePolicy"):
        inner = dtype.get("config")
        dtype = inner.get("name") if isinstance(inner, dict) else inner
    if dtype != "float32":
        raise config.wrong("dtype", "float32")


def _activation(
    config: Section, version: Version, key: str = "activation", *, softmax: bool = True
) -> str:
    """Return fastdrop's name of an activation."""
    value = config.values.get(key)
    if isinstance(value, dict):
        if (value.get("module"), value.get("class_name")) != ("keras.activations", "function"):
            raise config.wrong(key, "the name of a built-in activation")
        value = value.get("config")
    known = _ACTIVATIONS if softmax else _ACTIVATIONS[:-1]
    if value not in known:
        raise ModelFormatError(
            f"{config.where}: {key}: {show(value)} is not supported, expected {', '.join(known)}"
        )
    # One name, two functions: 0.2 x + 0.5 in Keras 2, x / 6 + 0.5 since.
    return "hard_sigmoid_legacy" if value == "hard_sigmoid" and version < (3, 0) else str(value)


def _features(config: Section, shape: Shape) -> int:
    """Return the length of the last axis of a layer's input."""
    if not shape or shape[-1] is None:
        raise ModelFormatError(f"{config.where}: the last axis of its input has no fixed length")
    return shape[-1]


def _embedding(name: str, config: Section, shape: Shape, _: Version) -> Plan:
    table = config.positive("input_dim"), config.positive("output_dim")
    make = partial(Embedding, name=name, mask_zero=config.boolean("mask_zero", False))
    return Plan((*shape, table[1]), {"table": ("vars/0", table)}, make)


def _dropout(name: str, config: Section, shape: Shape, _: Version) -> Plan:
    noise: Shape | None = None
    if config.values.get("noise_shape") is not None:
        noise = config.shape("noise_shape")
        fits = len(noise) == len(shape) + 1 and noise[0] in (None, 1)
        if not fits or any(n not in (None, 1, s) for n, s in zip(noise[1:], shape, strict=True)):
            raise config.wrong("noise_shape", f"null, 1 or the length of each axis of {shape}")
    rate = config.rate("rate", one=True)
    return Plan(shape, {}, partial(Dropout, name=name, rate=rate, noise_shape=noise))


def _spatial_dropout(name: str, config: Section, shape: Shape, _: Version) -> Plan:
    _check_axes(config, shape, ("time", "channels"))
    return Plan(shape, {}, partial(SpatialDropout1D, name=name, rate=config.rate("rate", one=True)))


def _repeat_vector(name: str, config: Section, shape: Shape, _: Version) -> Plan:
    _check_axes(config, shape, ("features",))
    count = config.positive("n")
    return Plan((count, *shape), {}, partial(RepeatVector, name=name, count=count))


def _check_axes(config: Section, shape: Shape, axes: tuple[str, ...]) -> None:
    if len(shape) != len(axes):
        raise ModelFormatError(
            f"{config.where}: expected an input ({', '.join(axes)}), gets {shape}"
        )


def _recurrent(
    cell: type[Recurrent], name: str, config: Section, shape: Shape, version: Version
) -> Plan:
    _check_axes(config, shape, ("time", "features"))
    features, units = _features(config, shape), config.positive("units")
    width = cell.gates * units
    weights: dict[str, tuple[str, tuple[int, ...]]] = {
        "kernel": ("cell/vars/0", (features, width)),
        "recurrent_kernel": ("cell/vars/1", (units, width)),
    }
    # A GRU that resets after the product has two biases: the input's and the recurrent one.
    reset_after = cell is GRU and config.boolean("reset_after", True)
    if config.boolean("use_bias", True):
        weights["bias"] = ("cell/vars/2", (2, width) if reset_after else (width,))
    rate = config.rate("dropout", one=False)
    recurrent_rate = config.rate("recurrent_dropout", one=False)
    sequences = config.boolean("return_sequences", False)
    make = partial(
        cell,
        name=name,
        bias=None,
        activation=_activation(config, version, softmax=False),
        dropout=rate,
        recurrent_dropout=recurrent_rate,
        go_backwards=config.boolean("go_backwards", False),
        return_sequences=sequences,
        zero_output_for_mask=config.boolean("zero_output_for_mask", False),
    )
    notes: tuple[str, ...] = ()
    if cell is not SimpleRNN:
        make = partial(
            make,
            recurrent_activation=_activation(
                config, version, "recurrent_activation", softmax=False
            ),
            scheme=_scheme(config, version, recurrent_rate),
        )
        notes = _version_notes(cell, config, version, rate, recurrent_rate)
    if cell is GRU:
        make = partial(make, reset_after=reset_after)
    return Plan((shape[0], units) if sequences else (units,), weights, make, notes=notes)


def _version_notes(
    cell: type[Recurrent], config: Section, version: Version, rate: float, recurrent_rate: float
) -> tuple[str, ...]:
    """Return remarks where masks follow an older version's rule, or do not."""
    if not (3, 0) <= version < (3, 8) or not (rate or recurrent_rate):
        return ()
    by = f"{config.where}: written by Keras 3.0-3.7: "
    tied = f"{by}its dropout draws one mask for all gates, as they did"
    if cell is GRU and recurrent_rate:
        return (
            tied,
            f"{by}they also applied the recurrent mask to the state that a GRU carries over, "
            "a mistake that is not repeated here",
        )
    return (tied,)


def _scheme(config: Section, version: Version, recurrent_rate: float) -> str:
    """Return whether each gate has masks of its own."""
    implementation = config.values.get("implementation", 2)
    if implementation not in (0, 1, 2) or isinstance(implementation, bool):
        raise config.wrong("implementation", "0, 1 or 2")
    if (3, 0) <= version < (3, 8):
        return "tied"
    return "per_gate" if recurrent_rate > 0 or implementation == 1 else "tied"


def _dense(name: str, config: Section, shape: Shape, version: Version) -> Plan:
    features, units = _features(config, shape), config.positive("units")
    weights: dict[str, tuple[str, tuple[int, ...]]] = {"kernel": ("vars/0", (features, units))}
    if config.boolean("use_bias", True):
        weights["bias"] = ("vars/1", (units,))
    make = partial(Dense, name=name, bias=None, activation=_activation(config, version))
    return Plan((*shape[:-1], units), weights, make)


def _time_distributed(name: str, config: Section, shape: Shape, version: Version) -> Plan:
    if len(shape) < 2:
        raise ModelFormatError(
            f"{config.where}: expected an input (time, ..., features), gets {shape}"
        )
    record = read_wrapped(config, "layer", ("Dense",))
    inner = plan(record, shape[1:], version)

    def make(**arrays: NDArray[np.float32]) -> TimeDistributed:
        layer: Any = inner.make(**arrays)
        return TimeDistributed(name=name, layer=layer)

    weights = {name: (f"layer/{path}", lengths) for name, (path, lengths) in inner.weights.items()}
    return Plan((shape[0], *inner.output), weights, make, {"layer/vars": record.name})


def _bidirectional(name: str, config: Section, shape: Shape, version: Version) -> Plan:
    _check_axes(config, shape, ("time", "features"))
    merge_mode = config.string("merge_mode")
    if merge_mode not in _check.MERGE_MODES:
        raise config.wrong("merge_mode", ", ".join(_check.MERGE_MODES))
    records = {"forward": read_wrapped(config, "layer", _CELLS)}
    # The layer as it was given has groups in files of Keras 2 and early 3, with nothing in them.
    wrapped: dict[str, str | None] = {"layer/vars": None, "layer/cell/vars": None}
    wrapped["forward_layer/vars"] = records["forward"].name
    if config.values.get("backward_layer") is not None:
        records["backward"] = read_wrapped(config, "backward_layer", _CELLS)
        wrapped["backward_layer/vars"] = records["backward"].name
    else:  # Keras 2 leaves it out where it is like the forward layer; its groups bear no names
        forward = records["forward"]
        values = forward.config.values | {"go_backwards": True}
        records["backward"] = replace(forward, config=Section(forward.config.where, values))
        wrapped["backward_layer/vars"] = None
    plans: dict[str, Plan] = {}
    for direction, record in records.items():
        if record.config.boolean("go_backwards", False) is not (direction == "backward"):
            raise record.config.wrong(
                "go_backwards", f"{'true' if direction == 'backward' else 'false'} here"
            )
        # Keras sets this one by itself, whatever the file says.
        sequences = record.config.boolean("return_sequences", False)
        record.config.boolean("zero_output_for_mask", False)
        record.config.values["zero_output_for_mask"] = sequences
        plans[direction] = plan(record, shape, version)
    forward_plan, backward_plan = plans["forward"], plans["backward"]
    if forward_plan.output != backward_plan.output:
        raise ModelFormatError(
            f"{config.where}: its layers put out different shapes, {forward_plan.output} and "
            f"{backward_plan.output}"
        )

    def make(**arrays: NDArray[np.float32]) -> Bidirectional:
        layers: dict[str, Any] = {
            direction: inner.make(**{f: arrays[f"{direction}_{f}"] for f in inner.weights})
            for direction, inner in plans.items()
        }
        return Bidirectional(name=name, merge_mode=merge_mode, **layers)

    units = records["forward"].config.positive("units")
    return Plan(
        (*forward_plan.output[:-1], 2 * units if merge_mode == "concat" else units),
        {
            f"{direction}_{field}": (f"{direction}_layer/{path}", dimensions)
            for direction, inner in plans.items()
            for field, (path, dimensions) in inner.weights.items()
        },
        make,
        wrapped,
        forward_plan.notes + backward_plan.notes,
    )


def _activation_layer(name: str, config: Section, shape: Shape, version: Version) -> Plan:
    make = partial(Activation, name=name, activation=_activation(config, version))
    return Plan(shape, {}, make)


_RECURRENT_KEYS = frozenset(
    {
        "units",
        "activation",
        "use_bias",
        "dropout",
        "recurrent_dropout",
        "go_backwards",
        "return_sequences",
        "zero_output_for_mask",
    }
)
_GATED_KEYS = _RECURRENT_KEYS | {"recurrent_activation", "implementation"}
_CELLS = ("GRU", "LSTM", "SimpleRNN")

_PLANS: dict[str, tuple[Callable[[str, Section, Shape, Version], Plan], frozenset[str]]] = {
    "Activation": (_activation_layer, frozenset({"activation"})),
    "Bidirectional": (_bidirectional, frozenset({"merge_mode", "layer", "backward_layer"})),
    "Dense": (_dense, frozenset({"units", "activation", "use_bias"})),
    "Dropout": (_dropout, frozenset({"rate", "noise_shape"})),
    "Embedding": (_embedding, frozenset({"input_dim", "output_dim", "mask_zero"})),
    "GRU": (partial(_recurrent, GRU), _GATED_KEYS | {"reset_after"}),
    "LSTM": (partial(_recurrent, LSTM), _GATED_KEYS),
    "RepeatVector": (_repeat_vector, frozenset({"n"})),
    "SimpleRNN": (partial(_recurrent, SimpleRNN), _RECURRENT_KEYS),
    "SpatialDropout1D": (_spatial_dropout, frozenset({"rate"})),
    "TimeDistributed": (_time_distributed, frozenset({"layer"})),
}
