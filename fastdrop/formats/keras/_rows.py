"""How Keras spells a layer: what a row of the tables says, and the converters of options.

A row names the layer, the options it reads and how, and where its weights are. What is true of a
layer whatever file it came from is the layer's own affair.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from fastdrop import _check
from fastdrop.formats._errors import ModelFormatError, show
from fastdrop.formats._safe_json import Section, is_dimension
from fastdrop.formats.keras._records import Node, Record, policy_name
from fastdrop.formats.keras._version import Version
from fastdrop.layers import ChannelsFirst, Layer, Shape
from fastdrop.layers.reshaping import channels_moved

# Known to change nothing at inference, in whatever layer they stand. What is neither here nor an
# option of the layer is an obstacle unless it is null or false.
WITHOUT_EFFECT = frozenset(
    {
        "activity_regularizer",
        "batch_input_shape",  # the input layer has the same and decides
        "batch_shape",
        "bias_constraint",
        "bias_initializer",
        "bias_regularizer",
        "dtype",  # looked at for every layer
        "embeddings_constraint",
        "embeddings_initializer",
        "embeddings_regularizer",
        "input_dtype",
        "input_length",
        "kernel_constraint",
        "kernel_initializer",
        "kernel_regularizer",
        "lora_alpha",  # in the weights already, where these are kept as one
        "lora_rank",
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


_LARGEST = sys.float_info.max


class Tensor(str):
    """The name of a tensor, where arguments of a call hold one."""

    __slots__ = ()


@dataclass(frozen=True)
class Option:
    """An option that a layer takes from the configuration.

    Attributes
    ----------
    key : str
        Its name in Keras.
    read : Callable
        Makes the value from the section, the key and the version.
    field : str
        Its name in the layer; "" for what is only checked.
    """

    key: str
    read: Callable[[Section, str, Version], Any]
    field: str | None = None


@dataclass(frozen=True)
class Stored:
    """An array in the file and the weight that it becomes.

    `group` is the path in the layer's own group of a ``.keras`` file. `field` is "" for numbers
    that are of no use here, but must be there. What is not `listed` a ``.keras`` file has twice.
    """

    field: str
    group: str
    shape: tuple[int, ...]
    trainable: bool = True
    convert: Callable[[Any], Any] | None = None
    whole_numbers: bool = False
    listed: bool = True


@dataclass(frozen=True)
class Planned:
    """A layer of declared weights, and the arrays in the file that they come from.

    `groups` are paths in the layer's group that may be there, and the names that they must bear if
    they bear any; None for no matter which. With `rounds` it puts out whole numbers where it gets
    such.
    """

    layer: Layer
    stored: Sequence[Stored] = ()
    groups: Mapping[str, str | None] = field(default_factory=dict)
    notes: Sequence[str] = ()
    rounds: bool = False


class Planning(Protocol):
    """What a row may ask of the reader."""

    version: Version

    def obstacle(self, error: Exception | str) -> None:
        """Keep what stands in the way, and go on."""

    def options(self, row: Row, record: Record) -> dict[str, Any] | None:
        """Return the options of a layer as its class takes them; None if some are obstacles."""

    def inner(self, record: Record, key: str) -> Record | None:
        """Return a layer that another one is made of; None if that is an obstacle."""

    def plan(
        self,
        record: Record,
        inputs: Sequence[Shape] | None,
        more: Mapping[str, Any] | None = None,
    ) -> Planned | None:
        """Return a layer for inputs of these shapes; None if it or they are not known."""


@dataclass(frozen=True)
class Row:
    """How Keras spells a layer.

    Attributes
    ----------
    name : str
        Its class in Keras.
    layer : type
        The layer that it is here.
    options : sequence of Option
    group : str
        Where in its group a ``.keras`` file keeps its weights, by number.
    without_effect : frozenset
        Further keys that change nothing at inference.
    rule : Callable or None
        Changes the options by what several of them, or the version, say together; raises for what
        is refused.
    call : Callable or None
        Takes the tensors and further options out of a call; `one_input` if None.
    notes : Callable or None
        Returns remarks for the user.
    input_of : Callable or None
        Returns the shape of an input by that of the first weight, for files that do not tell it.
    own_mask : bool
        Whether a mask given in a call is an input like others.
    takes_masks : tuple of int or None
        The version since which whoever reads its inputs later finds no mask there.
    channels_axis : int
        Which axis of a row has the channels where they are in front.
    """

    name: str
    layer: type[Layer]
    options: tuple[Option, ...] = ()
    group: str = "vars"
    without_effect: frozenset[str] = frozenset()
    rule: Callable[[dict[str, Any], Record, Version], dict[str, Any]] | None = None
    call: Callable[[Node, Record], tuple[list[Tensor], dict[str, Any]]] | None = None
    notes: Callable[[dict[str, Any], Record, Version], Sequence[str]] | None = None
    input_of: Callable[[tuple[int, ...]], Shape | None] | None = None
    own_mask: bool = False
    takes_masks: tuple[int, int] | None = None
    channels_axis: int = 0

    def plan(
        self,
        planning: Planning,
        record: Record,
        inputs: Sequence[Shape] | None,
        more: Mapping[str, Any],
    ) -> Planned | None:
        """Return the layer for inputs of these shapes; `more` options are those of the call."""
        if record.config.values.get("data_format") == "channels_first":
            return self._channels_first(planning, record, inputs, more)
        options = planning.options(self, record)
        if options is None or inputs is None:
            return None
        layer = self.layer.declare(inputs, name=record.name, **options, **more)
        stored = [
            Stored(field, f"{self.group}/{i}", weight.shape, field not in layer.state_fields)
            for i, (field, weight) in enumerate(layer.weights().items())
        ]
        notes = () if self.notes is None else self.notes(options, record, planning.version)
        groups: dict[str, str | None] = {"vars": record.name}
        for key in ("activation", "recurrent_activation"):
            if isinstance(record.config.values.get(key), dict):  # a layer may have a group
                inner = self.group.removesuffix("vars")
                groups |= {f"{key}/vars": None, f"{inner}{key}/vars": None}
        planned = Planned(layer, self.storage(stored, layer), groups, notes)
        return self.settled(planned, planning, record, inputs)

    def settled(
        self, planned: Planned, planning: Planning, record: Record, inputs: Sequence[Shape]
    ) -> Planned:
        """Return what is planned for inputs of these shapes, where a row alone does not say it."""
        return planned

    def _channels_first(
        self,
        planning: Planning,
        record: Record,
        inputs: Sequence[Shape] | None,
        more: Mapping[str, Any],
    ) -> Planned | None:
        """Return a layer that takes its channels in front, and may take time before."""
        values = record.config.values | {"data_format": "channels_last"}
        plain = replace(record, config=Section(record.where, values))
        axis = self.channels_axis
        given = None if inputs is None else channels_moved(inputs, axis)
        planned = self.plan(planning, plain, given, more)
        if planned is None:
            return None
        for key in ("activation", "recurrent_activation"):
            if getattr(planned.layer, key, None) in _check.ROW_ACTIVATIONS:
                raise record.config.wrong(key, "one of single numbers with channels_first")
        layer = ChannelsFirst(name=record.name, layer=planned.layer, axis=axis)
        stored = [replace(s, field=f"layer.{s.field}") for s in planned.stored]
        return replace(planned, layer=layer, stored=stored)

    def built_for(self, built: Shape, shape: Shape, record: Record) -> bool:
        """Return whether a layer that was built for one shape can get the other."""
        return agree(built, shape)

    @property
    def per_call(self) -> bool:
        """Whether each call makes a layer of its own, as one of a function does."""
        return False

    def storage(self, stored: list[Stored], layer: Layer) -> list[Stored]:
        """Return how weights are stored, where that differs from how the layer has them."""
        return stored


def agree(built: Shape, shape: Shape) -> bool:
    """Return whether two shapes may be the same; None is a length left open."""
    return len(built) == len(shape) and all(
        a is None or b is None or a == b for a, b in zip(built, shape, strict=True)
    )


def moved(planned: Planned, part: str, group: str) -> Planned:
    """Return what is stored of a layer's part, as of the whole layer."""
    return Planned(
        planned.layer,
        [
            replace(s, field=f"{part}.{s.field}" if s.field else "", group=f"{group}/{s.group}")
            for s in planned.stored
        ],
        {f"{group}/{path}": name for path, name in planned.groups.items()},
        planned.notes,
    )


# ---- converters ----


def boolean(default: bool) -> Callable[[Section, str, Version], bool]:
    return lambda config, key, version: config.boolean(key, default)


def positive(config: Section, key: str, version: Version) -> int:
    return config.positive(key)


def rate(*, one: bool) -> Callable[[Section, str, Version], float]:
    return lambda config, key, version: config.rate(key, one=one)


def choice(*names: str, default: str | None = None) -> Callable[[Section, str, Version], str]:
    """Return a converter of one of some names."""

    def read(config: Section, key: str, version: Version) -> str:
        value = config.values.get(key, default)
        if value not in names or not isinstance(value, str):
            raise config.wrong(key, ", ".join(names))
        return value

    return read


def number(
    default: float | None = None, *, least: float = -math.inf
) -> Callable[[Section, str, Version], float]:
    """Return a converter of a finite number."""

    def read(config: Section, key: str, version: Version) -> float:
        value = config.values.get(key, default)
        expected = "a number" if least == -math.inf else f"a number >= {least:g}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise config.wrong(key, expected)
        if not max(least, -_LARGEST) <= value <= _LARGEST:  # integers may be too large for a float
            raise config.wrong(key, expected)
        return float(value)

    return read


def channels_last(config: Section, key: str, version: Version) -> str:
    """Refuse another order of axes; that of channels in front, `Row` has taken care of."""
    if config.values.get(key, "channels_last") != "channels_last":
        raise config.wrong(key, "'channels_last'")
    return "channels_last"


def each(count: int) -> Callable[[Section, str, Version], tuple[int, ...]]:
    """Return a converter of a positive integer for each of some axes, or one for all of them."""

    def read(config: Section, key: str, version: Version) -> tuple[int, ...]:
        value = config.values.get(key)
        found = value if isinstance(value, list) else [value] * count
        if len(found) != count or not all(is_dimension(n) for n in found):
            raise config.wrong(key, f"{count} positive integers, or one")
        return tuple(found)

    return read


def must_be(*values: Any) -> Callable[[Section, str, Version], Any]:
    """Return a converter that refuses all other values; absent is as good."""

    def read(config: Section, key: str, version: Version) -> Any:
        value = config.values.get(key, values[0])
        if not any(value == v and type(value) is type(v) for v in values):
            raise config.wrong(key, " or ".join(show(v) for v in values))
        return value

    return read


# Keras's names of activations, where they differ from fastdrop's.
_RENAMED = {"swish": "silu", "hard_swish": "hard_silu"}
# One name, two functions: hard_sigmoid is 0.2 x + 0.5 in Keras 2, x / 6 + 0.5 since.
_LEGACY = {"hard_sigmoid": "hard_sigmoid_legacy"}
_OURS_ALONE = ("hard_sigmoid_legacy", "gelu_tanh", "threshold")
NAMES = tuple(n for n in _check.ACTIVATIONS if n not in _OURS_ALONE)
ACTIVATIONS = (*NAMES, *_check.ROW_ACTIVATIONS)


def activation(*, default: str = "linear") -> Callable[[Section, str, Version], Any]:
    """Return a converter of an activation.

    It may be a name, the same as a serialized function, or a layer.
    """

    def read(config: Section, key: str, version: Version) -> Any:
        value = config.values.get(key, default)
        if isinstance(value, dict):
            inner = value.get("config")
            name = str(value.get("class_name")).rpartition(">")[2]
            if name in LAYER_ACTIVATIONS and isinstance(inner, dict):
                return layer_activation(name, Section(f"{config.where}: {key}", inner), version)
            if name == "Activation" and isinstance(inner, dict):
                return read(Section(f"{config.where}: {key}", inner), "activation", version)
            if "class_name" not in value or name == "__lambda__":
                raise ModelFormatError(
                    f"{config.where}: {key}: a Python function in the file, which is never run"
                )
            # A function by its name; it is looked up in a table, wherever it comes from.
            if name != "function" or "activations" not in str(value.get("module")):
                raise config.wrong(key, "the name of a built-in activation")
            value = inner
        if value is None:
            value = "linear"
        if not isinstance(value, str) or value not in ACTIVATIONS:
            raise ModelFormatError(
                f"{config.where}: {key}: {show(value)} is not supported, "
                f"expected {', '.join(ACTIVATIONS)}"
            )
        if version.legacy:
            return _LEGACY.get(value, value)
        return _RENAMED.get(value, value)

    return read


def _relu(config: Section, version: Version) -> Any:
    highest = config.values.get("max_value")
    if highest is not None:
        highest = number()(config, "max_value", version)
    slope = number(0.0)(config, "negative_slope", version)
    return ("relu", slope, highest, number(0.0)(config, "threshold", version))


def _leaky_relu(config: Section, version: Version) -> Any:
    key = "alpha" if "alpha" in config.values else "negative_slope"
    return ("leaky_relu", number(0.3)(config, key, version))


# Layers that are activations, with their parameters.
LAYER_ACTIVATIONS: dict[str, Callable[[Section, Version], Any]] = {
    "ReLU": _relu,
    "LeakyReLU": _leaky_relu,
    "ELU": lambda config, version: ("elu", number(1.0)(config, "alpha", version)),
    "Softmax": lambda config, version: _last_axis(config, version),
    "ThresholdedReLU": lambda config, version: (
        "threshold",
        number(1.0, least=0.0)(config, "theta", version),
        0.0,
    ),
}


def _last_axis(config: Section, version: Version) -> str:
    must_be(-1)(config, "axis", version)
    return "softmax"


def layer_activation(name: str, config: Section, version: Version) -> Any:
    """Return the activation that a layer is."""
    value = LAYER_ACTIVATIONS[name](config, version)
    try:
        return _check.activation(value, "activation")
    except (TypeError, ValueError) as error:
        raise ModelFormatError(f"{config.where}: {error}") from error


# ---- calls ----


def tensors_of(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in arguments of a call, in their order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_of(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_of(item)


def one_input(node: Node, record: Record) -> tuple[list[Tensor], dict[str, Any]]:
    """Take the one tensor of a call without further arguments."""
    tensors = list(tensors_of(node.args))
    if len(node.args) != 1 or not isinstance(node.args[0], Tensor):
        raise ModelFormatError(f"{record.where}: expected one input, found {len(tensors)}")
    refuse_arguments(node.kwargs, record.where)
    return tensors, {}


def many_inputs(node: Node, record: Record) -> tuple[list[Tensor], dict[str, Any]]:
    """Take the tensors of a call, in a list, without further arguments."""
    given = node.args[0] if len(node.args) == 1 else None
    if not isinstance(given, list) or not all(isinstance(item, Tensor) for item in given):
        raise ModelFormatError(f"{record.where}: expected a list of inputs")
    refuse_arguments(node.kwargs, record.where)
    return given, {}


def refuse_arguments(kwargs: Mapping[str, Any], where: str, known: Sequence[str] = ()) -> None:
    """Refuse keywords of a call that are not known, unless they are switched off."""
    for key, value in kwargs.items():
        none = isinstance(value, list) and value == [None] * len(value) != []
        if key not in known and value is not None and value is not False and not none:
            raise ModelFormatError(f"{where}: unsupported argument {show(key)} of its call")


# ---- types ----

_POLICIES = {
    "float32": "",
    "mixed_float16": "trained in mixed_float16; here it computes in float32, in which its weights "
    "are",
    "mixed_bfloat16": "trained in mixed_bfloat16; here it computes in float32, in which its "
    "weights are",
    "float16": "of float16; here it computes in float32, which has its weights exactly",
    "float64": "of float64; its weights are rounded to float32 here",
}


# What the names of types begin with in which Keras keeps weights of quantized layers.
_QUANTIZED = ("int8", "int4", "float8", "gptq", "awq")


def policy_note(config: Section) -> str:
    """Return a remark about the types that a layer computes in, refusing what is not float32."""
    value = config.values.get("dtype")
    name = "float32" if value is None else policy_name(value)
    if name is None or name not in _POLICIES:
        if isinstance(value, dict) and (
            "Quant" in str(value.get("class_name")) or str(name).startswith(_QUANTIZED)
        ):
            raise ModelFormatError(
                f"{config.where}: dtype: a quantized layer ({show(name)}) is not supported; save "
                "the model before quantizing it"
            )
        found = show(name) if name is not None else show(value)
        raise ModelFormatError(
            f"{config.where}: dtype: expected {', '.join(_POLICIES)}, found {found}"
        )
    return _POLICIES[name]
