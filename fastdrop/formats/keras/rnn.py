"""Rows of the recurrent layers, and of what repeats a layer over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastdrop.formats._errors import ModelFormatError
from fastdrop.formats._safe_json import Section
from fastdrop.formats.keras._records import ModelRecord, Node, Record
from fastdrop.formats.keras._rows import (
    Option,
    Planned,
    Planning,
    Row,
    Tensor,
    activation,
    boolean,
    choice,
    moved,
    must_be,
    positive,
    rate,
    refuse_arguments,
    tensors_of,
)
from fastdrop.formats.keras._version import Version
from fastdrop.layers import (
    GRU,
    LSTM,
    Bidirectional,
    Shape,
    SimpleRNN,
    TimeDistributed,
)

CELLS = ("GRU", "LSTM", "SimpleRNN")


def _implementation(config: Section, key: str, version: Version) -> int:
    value = config.values.get(key, 1 if version < (2, 3) and not version.tensorflow else 2)
    if value not in (0, 1, 2) or isinstance(value, bool):
        raise config.wrong(key, "0, 1 or 2")
    return int(value)


_COMMON = (
    Option("units", positive),
    Option("use_bias", boolean(True)),
    Option("activation", activation(default="tanh", elementwise=True)),
    Option("dropout", rate(one=False)),
    Option("recurrent_dropout", rate(one=False)),
    Option("go_backwards", boolean(False)),
    Option("return_sequences", boolean(False)),
    Option("return_state", boolean(False)),
    Option("zero_output_for_mask", boolean(False)),
    Option("stateful", boolean(False), ""),
    Option("time_major", must_be(False), ""),
)
_GATED = (
    *_COMMON,
    Option("recurrent_activation", activation(default="sigmoid", elementwise=True)),
    Option("implementation", _implementation),
)


def _gated(options: dict[str, Any], record: Record, version: Version) -> dict[str, Any]:
    """Say how masks are drawn: by what each version of Keras does."""
    implementation = options.pop("implementation")
    if version.legacy and not version.tensorflow:
        scheme = "tied" if implementation == 2 else "per_gate"
    elif (3, 0) <= version < (3, 8):
        scheme = "tied"
    elif implementation == 1:
        scheme = "per_gate"
    else:
        scheme = "keras"
        fast = options["activation"] == "tanh" and options["recurrent_activation"] == "sigmoid"
        unrolled = record.config.values.get("unroll") is True
        fast = fast and not unrolled and options["use_bias"] and options.get("reset_after", True)
        if version.legacy and fast:
            scheme = "tf_keras"
    return options | {"scheme": scheme}


def _notes(options: dict[str, Any], record: Record, version: Version) -> Sequence[str]:
    """Remark where a layer keeps its state, and where masks follow an older version's rule."""
    notes = []
    if record.config.values.get("stateful") is True:
        notes.append(f"{record.where}: stateful; here each call starts from zeros")
    rates = options["dropout"], options["recurrent_dropout"]
    if "scheme" not in options or not (3, 0) <= version < (3, 8) or not any(rates):
        return notes
    by = f"{record.where}: written by Keras 3.0-3.7: "
    notes.append(f"{by}its dropout draws one mask for all gates, as they did")
    if record.class_name == "GRU" and rates[1]:
        notes.append(
            f"{by}they also applied the recurrent mask to the state that a GRU carries over, "
            "a mistake that is not repeated here"
        )
    return notes


def _reset_after(config: Section, key: str, version: Version) -> bool:
    # The key came with the option; before it there was only False.
    return config.boolean(key, not version.legacy)


def _with_states(node: Node, where: str) -> tuple[list[Tensor], dict[str, Any]]:
    """Take the sequence and the initial states, in either way of writing them."""
    states = node.kwargs.get("initial_state") or []
    given = [*tensors_of(node.args), *tensors_of(states)]
    listed = states if isinstance(states, list) else [states]
    if not all(isinstance(state, Tensor) for state in listed):
        raise ModelFormatError(f"{where}: initial_state: expected tensors")
    refuse_arguments(node.kwargs, where, ("initial_state",))
    if not given:
        raise ModelFormatError(f"{where}: expected an input, found none")
    return given, {}


def _sequences(shape: tuple[int, ...]) -> Shape:
    """Return the shape of sequences that a kernel takes."""
    return (None, *shape[:1])


class BidirectionalRow(Row):
    """Two layers, of which the second is made from the first where the file leaves it out."""

    def plan(
        self,
        planning: Planning,
        record: Record,
        inputs: Sequence[Shape] | None,
        more: Mapping[str, Any],
    ) -> Planned | None:
        options = planning.options(self, record)
        forward = planning.inner(record, "layer")
        # The layer as it was given has groups in files of Keras 2 and early 3, empty ones.
        groups: dict[str, str | None] = {"layer/vars": None, "layer/cell/vars": None}
        if record.config.values.get("backward_layer") is not None:
            backward = planning.inner(record, "backward_layer")
        elif forward is not None:
            # Keras 2 leaves it out where it is like the forward layer; its groups bear no names.
            values = forward.config.values | {"go_backwards": True}
            backward = replace(forward, config=Section(forward.where, values))
        else:
            backward = None
        plans: dict[str, Planned] = {}
        halves = (inputs, inputs)
        if inputs is not None and len(inputs) > 1:
            x, *states = inputs
            half = len(states) // 2
            halves = ([x, *states[:half]], [x, *states[half:]])
        for direction, layer, given in zip(
            ("forward", "backward"), (forward, backward), halves, strict=True
        ):
            if layer is None:
                continue
            if layer.class_name not in CELLS:
                planning.obstacle(f"{layer.where}: expected one of {', '.join(CELLS)} here")
                continue
            if layer.config.values.get("go_backwards", False) is not (direction == "backward"):
                planning.obstacle(
                    layer.config.wrong(
                        "go_backwards", f"{'true' if direction == 'backward' else 'false'} here"
                    )
                )
            # Keras sets this one by itself, whatever the file says.
            values = layer.config.values
            values = values | {"zero_output_for_mask": values.get("return_sequences") is True}
            config = Section(layer.where, values)
            planned = planning.plan(replace(layer, config=config), given)
            if planned is not None:
                plans[direction] = moved(planned, direction, f"{direction}_layer")
        if options is None or len(plans) < 2:
            return None
        for planned in plans.values():
            groups |= planned.groups
        if record.config.values.get("backward_layer") is None:
            groups["backward_layer/vars"] = None
        layers = {direction: planned.layer for direction, planned in plans.items()}
        return Planned(
            Bidirectional(name=record.name, **options, **layers),  # type: ignore[arg-type]
            [stored for planned in plans.values() for stored in planned.stored],
            {"vars": record.name} | groups,
            [note for planned in plans.values() for note in planned.notes],
        )


def _merge_mode(config: Section, key: str, version: Version) -> str | None:
    if key in config.values and config.values[key] is None:
        return None
    return choice("concat", "sum", "mul", "ave", default="concat")(config, key, version)


class TimeDistributedRow(Row):
    """Any layer at every time step; models at every time step are written out elsewhere."""

    def plan(
        self,
        planning: Planning,
        record: Record,
        inputs: Sequence[Shape] | None,
        more: Mapping[str, Any],
    ) -> Planned | None:
        options = planning.options(self, record)
        layer = planning.inner(record, "layer")
        if layer is None or isinstance(layer, ModelRecord):
            return None
        given = None
        if inputs is not None:
            for shape in inputs:
                if not shape:
                    raise ModelFormatError(
                        f"{record.where}: expected an input (time, ...), gets {shape}"
                    )
            given = [shape[1:] for shape in inputs]
        planned = planning.plan(layer, given)
        if options is None or planned is None:
            return None
        inner = moved(planned, "layer", "layer")
        return Planned(
            TimeDistributed(name=record.name, layer=planned.layer),
            inner.stored,
            {"vars": record.name, **inner.groups},
            inner.notes,
        )


ROWS = (
    Row(
        "LSTM",
        LSTM,
        _GATED,
        group="cell/vars",
        rule=_gated,
        call=_with_states,
        notes=_notes,
        input_of=_sequences,
    ),
    Row(
        "GRU",
        GRU,
        (*_GATED, Option("reset_after", _reset_after)),
        group="cell/vars",
        rule=_gated,
        call=_with_states,
        notes=_notes,
        input_of=_sequences,
    ),
    Row(
        "SimpleRNN",
        SimpleRNN,
        _COMMON,
        group="cell/vars",
        without_effect=frozenset({"implementation"}),
        call=_with_states,
        notes=_notes,
        input_of=_sequences,
    ),
    BidirectionalRow(
        "Bidirectional",
        Bidirectional,
        (
            Option("merge_mode", _merge_mode),
            Option("layer", lambda config, key, version: None, ""),
            Option("backward_layer", lambda config, key, version: None, ""),
        ),
        without_effect=frozenset(
            {"return_sequences", "return_state", "stateful", "implementation"}
        ),
        call=_with_states,
        input_of=_sequences,
    ),
    TimeDistributedRow(
        "TimeDistributed",
        TimeDistributed,
        (Option("layer", lambda config, key, version: None, ""),),
    ),
)
