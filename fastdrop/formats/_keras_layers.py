"""One function a Keras layer class: what its configuration means and which weights it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from fastdrop.formats._errors import ModelFormatError, show
from fastdrop.formats._keras_graph import Record, Shape
from fastdrop.formats._safe_json import Section
from fastdrop.model import LSTM, Activation, Dense, Dropout, Embedding, Layer

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
    """

    output: Shape
    weights: dict[str, tuple[str, tuple[int, ...]]]
    make: Callable[..., Layer]


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


def version_note(record: Record, version: Version) -> str | None:
    """Return a remark where masks follow an older version's rule."""
    rates = [record.config.values.get(key) for key in ("dropout", "recurrent_dropout")]
    if record.class_name == "LSTM" and (3, 0) <= version < (3, 8) and any(rates):
        return (
            f"{record.config.where}: written by Keras 3.0-3.7: its dropout draws one mask for all "
            "gates, as they did"
        )
    return None


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


def _lstm(name: str, config: Section, shape: Shape, version: Version) -> Plan:
    if len(shape) != 2:
        raise ModelFormatError(f"{config.where}: expected an input (time, features), gets {shape}")
    features, units = _features(config, shape), config.positive("units")
    weights: dict[str, tuple[str, tuple[int, ...]]] = {
        "kernel": ("cell/vars/0", (features, 4 * units)),
        "recurrent_kernel": ("cell/vars/1", (units, 4 * units)),
    }
    if config.boolean("use_bias", True):
        weights["bias"] = ("cell/vars/2", (4 * units,))
    rate = config.rate("dropout", one=False)
    recurrent_rate = config.rate("recurrent_dropout", one=False)
    sequences = config.boolean("return_sequences", False)
    make = partial(
        LSTM,
        name=name,
        bias=None,
        activation=_activation(config, version, softmax=False),
        recurrent_activation=_activation(config, version, "recurrent_activation", softmax=False),
        dropout=rate,
        recurrent_dropout=recurrent_rate,
        scheme=_scheme(config, version, recurrent_rate),
        go_backwards=config.boolean("go_backwards", False),
        return_sequences=sequences,
        zero_output_for_mask=config.boolean("zero_output_for_mask", False),
    )
    return Plan((shape[0], units) if sequences else (units,), weights, make)


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


def _activation_layer(name: str, config: Section, shape: Shape, version: Version) -> Plan:
    make = partial(Activation, name=name, activation=_activation(config, version))
    return Plan(shape, {}, make)


_PLANS: dict[str, tuple[Callable[[str, Section, Shape, Version], Plan], frozenset[str]]] = {
    "Activation": (_activation_layer, frozenset({"activation"})),
    "Dense": (_dense, frozenset({"units", "activation", "use_bias"})),
    "Dropout": (_dropout, frozenset({"rate", "noise_shape"})),
    "Embedding": (_embedding, frozenset({"input_dim", "output_dim", "mask_zero"})),
    "LSTM": (
        _lstm,
        frozenset(
            {
                "units",
                "activation",
                "recurrent_activation",
                "use_bias",
                "dropout",
                "recurrent_dropout",
                "implementation",
                "go_backwards",
                "return_sequences",
                "zero_output_for_mask",
            }
        ),
    ),
}
