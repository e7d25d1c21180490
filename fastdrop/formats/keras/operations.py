"""Functions of tensors that a functional model holds where layers stand.

Keras 3 saves a call of ``keras.ops`` as a class of that name, TensorFlow's Keras 2 one of
TensorFlow's functions as TFOpLambda, and a slice as SlicingOpLambda. Each is a row of a table: the
names of the arguments, and what becomes of them. Axes count the batch, which no function may touch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastdrop.formats._errors import ModelFormatError, show
from fastdrop.formats.keras._arguments import Arguments, Function
from fastdrop.formats.keras._records import Node, Record
from fastdrop.formats.keras._rows import Planned, Planning, Row, Tensor
from fastdrop.formats.keras.functions import KERAS
from fastdrop.formats.keras.tensorflow_functions import TENSORFLOW, TF_ONLY
from fastdrop.layers import Layer
from fastdrop.layers._layer import Shape


def _called(function: Function, given: Arguments) -> tuple[list[Tensor], dict[str, Any]]:
    layer, options = function.build(given)
    given.finish()
    return given.tensors, {"layer": layer, **options}


def _of_keras(node: Node, record: Record) -> tuple[list[Tensor], dict[str, Any]]:
    """Take apart a call of a function of Keras 3, whose options are in the configuration."""
    function = KERAS[record.class_name]
    if len(node.args) > len(function.arguments):
        raise ModelFormatError(f"{record.where}: expected at most {len(function.arguments)} inputs")
    values = dict(zip(function.arguments, node.args, strict=False)) | node.kwargs
    unused = {"name", "trainable", "dtype"} - set(function.arguments)
    options = {k: v for k, v in record.config.values.items() if k not in unused}
    return _called(function, Arguments(options | values, record.where))


def _of_tensorflow(node: Node, record: Record) -> tuple[list[Tensor], dict[str, Any]]:
    """Take apart a call of a function of TensorFlow, whose options are keywords."""
    name = record.config.string("function")
    if name == "einsum":
        raise ModelFormatError(
            f"{record.where}: 'einsum' is saved without its tensors, so Keras itself cannot read "
            "the file; build the model with tf.matmul, or with layers, and give it the weights"
        )
    if name not in TENSORFLOW:
        raise ModelFormatError(f"{record.where}: the function {show(name)} is not supported")
    class_name, names = TENSORFLOW[name]
    function = TF_ONLY.get(class_name) or KERAS[class_name]
    first = node.args
    if class_name in ("Concatenate", "Stack", "AddOfTensorFlow"):
        listed = bool(node.args) and isinstance(node.args[0], list)
        first = [node.args[0] if listed else node.args]
    values = dict(zip(names, first, strict=False)) | node.kwargs
    values.pop("name", None)
    for key, value in values.items():
        if key not in names and value is not None and value is not False:
            raise ModelFormatError(
                f"{record.where}: unsupported argument {show(key)}: {show(value)} of its call"
            )
    given = {names[k]: v for k, v in values.items() if k in names and v is not None}
    if class_name in ("Concatenate", "Stack") and "axis" not in given:
        given["axis"] = 0
    return _called(function, Arguments(given, record.where))


def _of_slice(node: Node, record: Record) -> tuple[list[Tensor], dict[str, Any]]:
    values = {"x": node.args[0] if node.args else None, "key": node.kwargs.get("slice_spec")}
    return _called(KERAS["GetItem"], Arguments(values, record.where))


class OperationRow(Row):
    """A function: which layer it is, and its options, are known from the call."""

    @property
    def per_call(self) -> bool:
        return True

    def plan(
        self,
        planning: Planning,
        record: Record,
        inputs: Sequence[Shape] | None,
        more: Mapping[str, Any],
    ) -> Planned | None:
        if inputs is None or "layer" not in more:
            return None
        options = dict(more)
        layer: type[Layer] = options.pop("layer")
        made = layer.declare(inputs, name=record.name, **options)
        # What is filled has the type of its input, if the call names none.
        own = record.class_name == "FullLike" and record.config.values.get("dtype") is None
        rounds = own and not all((o == np.trunc(o)).all() for o in options["operands"][1:])
        return Planned(made, groups={"vars": record.name}, rounds=rounds)


ROWS = tuple(OperationRow(name, Layer, call=_of_keras) for name in KERAS)
# They stand among the layers.
LAMBDAS = (
    OperationRow("TFOpLambda", Layer, call=_of_tensorflow),
    OperationRow("SlicingOpLambda", Layer, call=_of_slice),
)
