"""Rows of the recurrent layers, and of what repeats a layer over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fastdrop.formats._errors import ModelFormatError
from fastdrop.formats._safe_json import Section
from fastdrop.formats.keras._records import ModelRecord, Node, Record
from fastdrop.formats.keras._rows import (
    Option,
    Planned,
    Planning,
    Row,
    Stored,
    Tensor,
    activation,
    boolean,
    channels_last,
    choice,
    each,
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
    ConvLSTM1D,
    ConvLSTM2D,
    ConvLSTM3D,
    Layer,
    Shape,
    SimpleRNN,
    StackedRNN,
    TimeDistributed,
)
from fastdrop.layers.rnn import Recurrent

CELLS = ("GRU", "LSTM", "SimpleRNN", "RNN", "CuDNNGRU", "CuDNNLSTM")
CONVOLUTIONAL = ("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")


def _implementation(config: Section, key: str, version: Version) -> int:
    value = config.values.get(key, 1 if version < (2, 3) and not version.tensorflow else 2)
    if value not in (0, 1, 2) or isinstance(value, bool):
        raise config.wrong(key, "0, 1 or 2")
    return int(value)


_COMMON = (
    Option("units", positive),
    Option("use_bias", boolean(True)),
    Option("activation", activation(default="tanh")),
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
    Option("recurrent_activation", activation(default="sigmoid")),
    Option("implementation", _implementation),
    Option("unroll", boolean(False), ""),  # which masks are drawn depends on it
)


def _convolutional(dims: int) -> tuple[Option, ...]:
    return (
        Option("filters", positive),
        Option("kernel_size", each(dims)),
        Option("strides", each(dims)),
        Option("padding", choice("valid", "same", default="valid")),
        Option("data_format", channels_last, ""),
        Option("dilation_rate", each(dims)),
        Option("activation", activation(default="tanh")),
        Option("recurrent_activation", activation(default="hard_sigmoid")),
        Option("use_bias", boolean(True)),
        Option("dropout", rate(one=False)),
        Option("recurrent_dropout", rate(one=False)),
        Option("go_backwards", boolean(False)),
        Option("return_sequences", boolean(False)),
        Option("return_state", boolean(False)),
        Option("stateful", boolean(False), ""),
        Option("time_major", must_be(False), ""),
        Option("zero_output_for_mask", boolean(False)),
    )


_CUDNN = (
    Option("units", positive),
    Option("go_backwards", boolean(False)),
    Option("return_sequences", boolean(False)),
    Option("return_state", boolean(False)),
    Option("stateful", boolean(False), ""),
    Option("time_major", must_be(False), ""),
    Option("zero_output_for_mask", boolean(False)),
)


def _gated(options: dict[str, Any], record: Record, version: Version) -> dict[str, Any]:
    """Say how masks are drawn: by what each version of Keras does."""
    implementation = options.pop("implementation")
    by_implementation = "tied" if implementation == 2 else "per_gate"
    # Without recurrent dropout, TensorFlow's Keras 2 takes a path of its own with these options.
    fast = version.legacy and version.tensorflow
    fast = fast and (options["activation"], options["recurrent_activation"]) == ("tanh", "sigmoid")
    fast = fast and record.config.values.get("unroll") is not True and options["use_bias"]
    fast = fast and options.get("reset_after", True)
    if (3, 0) <= version < (3, 8):
        scheme = "tied"
    elif version.legacy and not version.tensorflow:
        scheme = by_implementation
    elif version < (2, 3):  # both of TensorFlow's: that of its version 1 is implementation 1
        scheme = "tf_keras_early" if fast and implementation == 2 else by_implementation
    elif fast:
        scheme = "tf_keras"
    else:
        scheme = "per_gate" if implementation == 1 else "keras"
    return _plain(options, record, version) | {"scheme": scheme}


def _plain(options: dict[str, Any], record: Record, version: Version) -> dict[str, Any]:
    """Say what stands where no step has been taken: Keras 2, but for TensorFlow's, puts h there."""
    return options | {"starts_from_state": version.legacy and not version.tensorflow}


def _stateful(options: dict[str, Any], record: Record, version: Version) -> list[str]:
    """Remark where a layer keeps its state."""
    if record.config.values.get("stateful") is not True:
        return []
    return [f"{record.where}: stateful; here each call starts from zeros"]


def _notes(options: dict[str, Any], record: Record, version: Version) -> Sequence[str]:
    """Remark also where masks follow an older version's rule."""
    notes = _stateful(options, record, version)
    rates = options["dropout"], options["recurrent_dropout"]
    if "scheme" not in options or not any(rates):
        return notes
    early = (3, 0) <= version < (3, 8)
    if early:
        notes.append(
            f"{record.where}: written by Keras 3.0-3.7: its dropout draws one mask for all gates, "
            "as they did"
        )
    tied = options["scheme"] in ("tied", "tf_keras_early")
    if record.class_name == "GRU" and rates[1] and tied:
        by = "Keras 3.0-3.7" if early else "a Keras 2 before TensorFlow 2.2"
        notes.append(
            f"{record.where}: written by {by}, which also applied the recurrent mask to the state "
            "that a GRU carries over, a mistake that is not repeated here"
        )
    if version[:2] == (3, 0) and rates[1] and rates[0] != rates[1]:
        notes.append(
            f"{record.where}: written by Keras 3.0, which drew the recurrent mask with the rate of "
            "the input, a mistake that is not repeated here"
        )
    return notes


def _reset_after(config: Section, key: str, version: Version) -> bool:
    # The key came with the option; before it there was only False.
    return config.boolean(key, not version.legacy)


def _all_tensors(value: Any) -> bool:
    """Return whether there are tensors alone, in lists that may hold lists."""
    if isinstance(value, list):
        return all(_all_tensors(item) for item in value)
    return isinstance(value, Tensor)


def _with_states(node: Node, record: Record) -> tuple[list[Tensor], dict[str, Any]]:
    """Take the sequence and the initial states, in either way of writing them."""
    where = record.where
    states = node.kwargs.get("initial_state") or []
    given = [*tensors_of(node.args), *tensors_of(states)]
    if not _all_tensors(states):
        raise ModelFormatError(f"{where}: initial_state: expected tensors")
    refuse_arguments(node.kwargs, where, ("initial_state",))
    if not given:
        raise ModelFormatError(f"{where}: expected an input, found none")
    return given, {}


class CuDNNRow(Row):
    """A layer of cuDNN's, whose weights Keras keeps in cuDNN's order."""

    def storage(self, stored: list[Stored], layer: Layer) -> list[Stored]:
        kernel, recurrent, bias = stored
        return _of_cudnn(kernel, recurrent, bias)


def _of_cudnn(kernel: Stored, recurrent: Stored, bias: Stored) -> list[Stored]:
    """Return how cuDNN's order keeps the weights of an LSTM or GRU."""
    width = kernel.shape[1]
    gates = width // recurrent.shape[0]

    def transformed(one: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda array: np.hstack([one(gate) for gate in np.hsplit(array, gates)])

    return [
        replace(kernel, convert=transformed(lambda k: k.T.reshape(k.shape, order="F"))),
        replace(recurrent, convert=transformed(lambda k: k.T)),
        replace(
            bias,
            shape=(2 * width,),
            convert=lambda b: b.reshape(2, width) if gates == 3 else b[:width] + b[width:],
        ),
    ]


def by_bias(stored: Sequence[Stored], shapes: Sequence[tuple[int, ...]]) -> list[Stored]:
    """Return how weights are stored where a bias in the file is of twice its length.

    Then the file has the weights of a layer of cuDNN's, and Keras 2 converts them.
    """
    found = list(stored)
    for i in range(2, len(found)):
        kernel, recurrent, bias = found[i - 2 : i + 1]
        ends = [s.field.rpartition(".")[2] for s in (kernel, recurrent, bias)]
        if ends != ["kernel", "recurrent_kernel", "bias"] or bias.convert is not None:
            continue
        width, units = kernel.shape[1], recurrent.shape[0]
        lstm = bias.shape == (width,) == (4 * units,)
        gru = bias.shape == (2, width) == (2, 3 * units)
        if (lstm or gru) and shapes[i] == (2 * width,):
            found[i - 2 : i + 1] = _of_cudnn(kernel, recurrent, bias)
    return found


CELL_CLASSES = {"LSTMCell": "LSTM", "GRUCell": "GRU", "SimpleRNNCell": "SimpleRNN"}
_OF_LAYER = (
    "go_backwards",
    "return_sequences",
    "return_state",
    "zero_output_for_mask",
    "stateful",
    "time_major",
    "unroll",
)


class RNNRow(Row):
    """A cell, or several, run over time: what the layer of that name is, or a stack of such."""

    def plan(
        self,
        planning: Planning,
        record: Record,
        inputs: Sequence[Shape] | None,
        more: Mapping[str, Any],
    ) -> Planned | None:
        options = planning.options(self, record)
        cell = planning.inner(record, "cell")
        if options is None or cell is None:
            return None
        own = {key: record.config.values.get(key, False) for key in _OF_LAYER}
        if cell.class_name != "StackedRNNCells":
            layer = self._layer(planning, cell, own)
            planned = None if layer is None else planning.plan(layer, inputs, more)
            if planned is None:
                return None
            named = replace(planned.layer, name=record.name)
            return Planned(named, planned.stored, {"vars": record.name}, planned.notes)
        return self._stack(planning, record, cell, inputs, own, more)

    def _layer(self, planning: Planning, cell: Record, own: Mapping[str, Any]) -> Record | None:
        """Return the layer that does over time what a cell does in a step."""
        if cell.class_name not in CELL_CLASSES:
            planning.obstacle(
                f"{cell.where}: expected one of {', '.join((*CELL_CLASSES, 'StackedRNNCells'))}"
            )
            return None
        # A cell never takes the fast path on which tf.keras draws anew at each step.
        config = Section(cell.where, cell.config.values | dict(own) | {"unroll": True})
        name = CELL_CLASSES[cell.class_name]
        return replace(cell, class_name=name, config=config, build_shape=None)

    def _stack(
        self,
        planning: Planning,
        record: Record,
        cell: Record,
        inputs: Sequence[Shape] | None,
        own: Mapping[str, Any],
        more: Mapping[str, Any],
    ) -> Planned | None:
        entries = cell.config.items("cells")
        cell.config.refuse_others(frozenset({"name", "trainable", "dtype", "cells"}))
        plans: list[Planned] = []
        counts: dict[str, int] = {}
        shape = None if inputs is None else inputs[0]
        for i in range(len(entries)):
            holder = replace(record, config=Section(f"{record.where}: cells", {"cell": entries[i]}))
            inner = planning.inner(holder, "cell")
            if inner is None:
                continue
            last = i == len(entries) - 1
            flags = dict(own) | {"return_sequences": own["return_sequences"] if last else True}
            flags["go_backwards"] = own["go_backwards"] if i == 0 else False
            flags["zero_output_for_mask"] = own["zero_output_for_mask"] if last else False
            layer = self._layer(planning, inner, flags)
            planned = None
            if layer is not None:
                planned = planning.plan(layer, None if shape is None else [shape], more)
            if planned is None:
                shape = None
                continue
            assert shape is not None
            shape = planned.layer.output_shapes([shape])[0]
            name = {"LSTMCell": "lstm_cell", "GRUCell": "gru_cell"}.get(
                inner.class_name, "simple_rnn_cell"
            )
            count = counts.get(name, 0)
            counts[name] = count + 1
            group = f"cell/cells/{name}_{count}" if count else f"cell/cells/{name}"
            stored = [replace(s, group=s.group.removeprefix("cell/")) for s in planned.stored]
            plain = Planned(planned.layer, stored, {}, planned.notes)
            plans.append(moved(plain, f"cells.{i}", group))
        if len(plans) < len(entries):
            return None
        layers = tuple(planned.layer for planned in plans)
        return Planned(
            StackedRNN(name=record.name, cells=layers),  # type: ignore[arg-type]
            [stored for planned in plans for stored in planned.stored],
            {"vars": record.name, "cell/vars": None},
            [note for planned in plans for note in planned.notes],
        )


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
            onward = forward.config.values.get("go_backwards") is True
            values = forward.config.values | {"go_backwards": not onward}
            backward = replace(forward, config=Section(forward.where, values))
        else:
            backward = None
        plans: dict[str, Planned] = {}
        for direction, layer in (("forward", forward), ("backward", backward)):
            if layer is None:
                continue
            if layer.class_name not in (*CELLS, *CONVOLUTIONAL):
                expected = ", ".join((*CELLS, *CONVOLUTIONAL))
                planning.obstacle(f"{layer.where}: expected one of {expected} here")
                continue
            values = layer.config.values
            if layer.class_name in CONVOLUTIONAL:
                channels_last(layer.config, "data_format", planning.version)
            if not planning.version.legacy or planning.version.tensorflow:
                # These set it by themselves, whatever the file says.
                values = values | {"zero_output_for_mask": values.get("return_sequences") is True}
            config = Section(layer.where, values)
            planned = planning.plan(replace(layer, config=config), inputs, more)
            if planned is not None:
                plans[direction] = moved(planned, direction, f"{direction}_layer")
        if options is None or len(plans) < 2:
            return None
        for planned in plans.values():
            groups |= planned.groups
        for stored in plans["forward"].stored:
            inner = stored.group.removeprefix("forward_layer/").rpartition("/")[0]
            groups[f"layer/{inner}"] = None
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
        if isinstance(layer.config.values.get("layer"), ModelRecord):
            raise ModelFormatError(
                f"{record.where}: a model at the steps of steps is not supported; a model that has "
                "TimeDistributed of it, within TimeDistributed, is"
            )
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
            TimeDistributed(
                name=record.name,
                layer=planned.layer,
                masks="either" if planning.version.legacy else "outer",
            ),
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
        rule=_plain,
        call=_with_states,
        notes=_notes,
        input_of=_sequences,
    ),
    *(
        Row(
            name,
            layer,
            _convolutional(dims),
            group="cell/vars",
            call=_with_states,
            notes=_stateful,
            channels_axis=1,
        )
        for dims, (name, layer) in enumerate(
            zip(CONVOLUTIONAL, (ConvLSTM1D, ConvLSTM2D, ConvLSTM3D), strict=True), 1
        )
    ),
    CuDNNRow("CuDNNLSTM", LSTM, _CUDNN, call=_with_states, notes=_stateful),
    CuDNNRow("CuDNNGRU", GRU, _CUDNN, call=_with_states, notes=_stateful),
    RNNRow(
        "RNN",
        Recurrent,
        (
            *(Option(key, boolean(False), "") for key in _OF_LAYER),
            Option("cell", lambda config, key, version: None, ""),
        ),
        call=_with_states,
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
