"""Every operator on the node tests that the onnx package brings: right, or refused."""

import functools
import io
import re
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the tests come with it")

from onnx import ModelProto, numpy_helper

import fastdrop as fd
from fastdrop.formats import ModelFormatError
from fastdrop.formats.onnx._registry import OPERATORS

pytestmark = pytest.mark.live

# Relative to the largest number; some of the expected numbers are rounded to 4 places.
BOUND, ROUNDED, SIXTEEN_BITS = 2e-5, 5e-4, 2e-2
# Their tests have nothing but constants, which a model does not put out, or types beside float32.
UNTESTED = {"Cast", "CastLike", "Constant", "ConstantOfShape", "EyeLike", "Range", "Shape", "Size"}
# Their tests have sequences of tensors coming in or out.
UNTESTED |= {"ConcatFromSequence", "SequenceAt", "SequenceConstruct", "SequenceEmpty"}
UNTESTED |= {"SequenceErase", "SequenceInsert", "SequenceLength", "SplitToSequence"}
# Their tests want what is refused: the batch repeated, some rows taken out or written, or the mean
# of all rows; or there are none, of what is random, or only of quantized numbers that come in.
REFUSED = {"RandomNormalLike", "RandomUniformLike", "ScatterND", "Tile"}
REFUSED |= {"DequantizeLinear", "MeanVarianceNormalization"}


class Case(NamedTuple):
    name: str
    model: Any
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]


@functools.cache
def cases() -> dict[str, list[Case]]:
    """Return the tests of a single node by its operator."""
    from onnx.backend.test.loader import load_model_tests

    found: dict[str, list[Case]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tests = load_model_tests(kind="node")
    for test in tests:
        nodes = test.model.graph.node
        if len(nodes) != 1:
            continue
        inputs, outputs = test.data_sets[0]
        if all(isinstance(value, (np.ndarray, np.generic)) for value in (*inputs, *outputs)):
            inputs, outputs = (
                [np.asarray(value) for value in values] for values in (inputs, outputs)
            )
            graph = test.model.graph
            given = dict(zip((i.name for i in graph.input), inputs, strict=False))
            made = dict(zip((o.name for o in graph.output), outputs, strict=False))
            found.setdefault(nodes[0].op_type, []).append(Case(test.name, test.model, given, made))
    return found


def variants(case: Case) -> Iterator[tuple[bytes, dict[str, np.ndarray]]]:
    """Yield files in which inputs after the first are inputs or constants; of one output, or all.

    Weights are inputs in these tests, and never in models.
    """
    names = list(case.inputs)
    for constants in (names[1:], []) if len(names) > 1 else ([],):
        for outputs in {1, len(case.outputs)}:
            model = ModelProto()
            model.CopyFrom(case.model)
            for opset in model.opset_import:  # that of when the operator last changed
                opset.version = max(opset.version, 9)
            for name in constants:
                model.graph.initializer.append(numpy_helper.from_array(case.inputs[name], name))
            del model.graph.output[outputs:]
            yield (
                model.SerializeToString(),
                {n: x for n, x in case.inputs.items() if n not in constants},
            )


def places(notes: tuple[str, ...], kind: str) -> dict[str, int]:
    """Return where the batch is in the file, of inputs by the notes."""
    found = (re.match(rf"{kind} '(.*)': .* in the file it is axis (\d)", n) for n in notes)
    return {match[1]: int(match[2]) for match in found if match}


def differs(got: np.ndarray, expected: np.ndarray, notes: tuple[str, ...]) -> bool:
    """Say whether outputs differ, wherever the batch is in the file."""
    bound = SIXTEEN_BITS if "16 is computed with as float32" in str(notes) else BOUND
    wanted = np.asarray(expected, np.float64)
    if np.allclose(wanted, np.round(wanted, 4), rtol=0, atol=1e-7):
        bound = max(bound, ROUNDED)
    for axis in range(wanted.ndim):
        moved = np.moveaxis(wanted, axis, 0)
        if "are apart" in str(notes) and moved.size == got.size:
            moved = moved.reshape(got.shape)
        if moved.shape != got.shape:
            continue
        whole = np.isfinite(moved)
        if not np.array_equal(got[~whole], moved[~whole].astype(np.float32), equal_nan=True):
            continue
        size = max(np.abs(moved[whole]).max(), 1e-3) if whole.any() else 1
        if not whole.any() or np.abs(got[whole] - moved[whole]).max() <= bound * size:
            return False
    return True


@pytest.mark.parametrize("op", sorted(OPERATORS.keys() - UNTESTED))
def test_operator(op: str) -> None:
    right, wrong = [], []
    for case in cases().get(op, []):
        for data, inputs in variants(case):
            try:
                model = fd.load(io.BytesIO(data))
            except ModelFormatError:
                continue
            if "in training mode" in str(model.notes):
                continue  # it is read as what it is at inference
            at = places(model.notes, "input")
            given = {
                name: np.moveaxis(x, at.get(name, 0), 0).astype(np.float32)
                for name, x in inputs.items()
            }
            with np.errstate(all="ignore"):
                found = model.predict(given if len(given) > 1 else next(iter(given.values())))
            made = found.values() if isinstance(found, dict) else [found]
            pairs = zip(made, case.outputs.values(), strict=False)
            failed = any(differs(y, expected, model.notes) for y, expected in pairs)
            (wrong if failed else right).append(case.name)
    assert not wrong
    assert bool(right) is (op not in REFUSED)
