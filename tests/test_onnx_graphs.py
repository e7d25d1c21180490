"""Graphs in the text that the onnx package parses: as its reference evaluator has them, or refused.

Lengths with a name are open, and tried with several numbers. Constants without numbers get some.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="what is read is parsed by it")

from onnx import ModelProto, helper, numpy_helper
from onnx.parser import parse_graph
from onnx.reference import ReferenceEvaluator

import fastdrop as fd
from fastdrop import layers
from fastdrop.demo import model_path
from fastdrop.formats import ModelFormatError
from layer_laws import normal

OPSET = 21
LENGTHS = [{"N": 3, "T": 5, "S": 4, "R": 8}, {"N": 2, "T": 7, "S": 6, "R": 2}]
# Those that a shape has baked in.
LENGTHS = [given | {"P": 3, "Q": 2, "Q1": 2, "Q2": 2} for given in LENGTHS]
# A constant c repeated for each row of x, with axes k behind the rows.
ROWS = "n = Shape<end=1>(x) s = Concat<axis=0>(n, k) m = Expand(c, s) "
# The numbers p of the steps of x, with constants z of 0 and o of 1.
STEPS = "s = Shape<start=1, end=2>(x) n = Squeeze(s) p = Range(z, n, o) "


def table(text: str) -> dict[str, str]:
    """Return texts by the names that stand above them."""
    parts = re.split(r"^(\S.*)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def parsed(text: str) -> ModelProto:
    """Return a model; what stands in front of the inputs is the operator set, if it is another."""
    opset, _, graph = text.partition("(")
    made = parse_graph(f"g ({graph.replace('ROWS', ROWS).replace('STEPS', STEPS)}")
    for value in made.value_info:
        kind = value.type.tensor_type
        shape = [dim.dim_value for dim in kind.shape.dim]
        numbers = numbers_of(kind.elem_type, shape)
        made.initializer.append(numpy_helper.from_array(numbers, value.name))
    del made.value_info[:]
    model = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", int(opset.strip() or OPSET))]
    )
    assert isinstance(model, ModelProto)
    return model


def numbers_of(kind: int, shape: list[int]) -> np.ndarray:
    """Return numbers of both signs, and whole ones of which none is 0."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    found = normal(*shape)
    if dtype.kind in "iu":
        found = np.sign(found) * np.ceil(np.abs(found * 3))
    return np.asarray(found > 0 if dtype.kind == "b" else found, dtype)


def loaded(model: ModelProto) -> fd.Model:
    return fd.load(io.BytesIO(model.SerializeToString()))


def places(notes: Sequence[str]) -> dict[str, int]:
    """Return on which axis the batch is, of inputs and outputs of which it is told."""
    found = (re.match(r"\w+put '(.*?)': the batch is .* it is axis (\d)", n) for n in notes)
    return {match[1]: int(match[2]) for match in found if match}


def check(text: str) -> fd.Model:
    """Compare what is loaded with the reference, for several lengths."""
    proto = parsed(text)
    model = loaded(proto)
    at = places(model.notes)
    for lengths in LENGTHS:
        given = {}
        for value in proto.graph.input:
            kind = value.type.tensor_type
            shape = [lengths.get(dim.dim_param, dim.dim_value) for dim in kind.shape.dim]
            given[value.name] = numbers_of(kind.elem_type, shape)
        with np.errstate(all="ignore"):
            expected = ReferenceEvaluator(proto).run(None, given)
        rows = {
            name: np.moveaxis(x, at.get(name, 0), 0).astype(np.float32) for name, x in given.items()
        }
        with np.errstate(all="ignore"):
            found = model.predict(rows if len(rows) > 1 else next(iter(rows.values())))
        made = list(found.values()) if isinstance(found, dict) else [found]
        for output, got, wanted in zip(proto.graph.output, made, expected, strict=True):
            moved = np.moveaxis(np.asarray(wanted), at.get(output.name, 0), 0)
            if output.name == "joined":  # with the batch, and here apart
                got = got.reshape(moved.shape)
            np.testing.assert_allclose(got, moved, rtol=2e-5, atol=2e-5)
    return model


ARITHMETIC = table(
    """
constant of all rows dropped
    (float[N,3] x) => (y) <float[3] c, int64[1] k = {3}>
    { ROWS a = Dropout(m) y = Add(x, a) }
constant of all rows laid out with them
    (float[N,3,4] x) => (y)
    <float[3,4] c, int64[2] k = {3, 4}, int64[2] r = {-1, 2}, int64[3] q = {-1, 3, 4}>
    { ROWS a = Reshape(m, r) b = Reshape(x, r) d = Mul(a, b) y = Reshape(d, q) }
numbers up to lengths
    (float[N,T] x) => (y) <int64 z = {0}, int64 o = {1}>
    { s = Shape<start=1>(x) t = Squeeze(s) p = Range(z, t, o) q = Cast<to=1>(p) y = Add(x, q) }
for all rows
    (float[N,3] x) => (y) <float[3] c, int64[1] k = {3}>
    { ROWS a = Mul(m, m) b = Sub(a, c) y = Add(x, b) }
for all rows, whole
    (int64[N,3] x) => (y) <int64[3] c, int64[1] k = {3}, int64 t = {2}>
    { ROWS a = Div(m, t) y = Add(x, a) }
whole quotients
    (int64[N,3] x) => (y) <int64[3] c>
    { a = Div(x, c) b = Div(c, x) y = Sub(a, b) }
places in few bits
    (float[N,100] x) => (y, z)
    { a = ArgMax<axis=-1>(x) b = Cast<to=2>(a) y = Cast<to=1>(b) c = ArgMin<axis=1>(x)
      d = Cast<to=3>(c) z = Cast<to=1>(d) }
places of rows that are laid out one after another
    (float[N,T,3] x, int64[N] n) => (y)
    <int64 z = {0}, int64 o = {1}, int64[2] j = {-1, 3}>
    { a = Reshape(x, j) b = Shape<start=0, end=1>(x) c = Squeeze(b) r = Range(z, c, o)
      d = Shape<start=1, end=2>(x) t = Squeeze(d) m = Mul(r, t) k = Abs(n) l = Min(k, t)
      p = Add(m, l) q = Sub(p, o) y = Gather(a, q) }
lengths of whole vectors
    (int32[N,3] x) => (y) <int64[1] k = {1}>
    { y = ReduceL2<keepdims=0>(x, k) }
last of what is beside the steps
    (float[N,3,3,4] x) => (y)
    <float[1,20,4] w, float[1,20,5] r, int64[3] k = {3, -1, 4}, int64[4] l = {3, -1, 3, 5},
     int64 m = {-1}, int64[1] o = {1}>
    { a = Transpose<perm=[2, 0, 1, 3]>(x) b = Reshape(a, k) c = LSTM<hidden_size=5>(b, w, r)
      d = Squeeze(c, o) e = Reshape(d, l) y = Gather<axis=2>(e, m) }
both directions over steps of open length beside the batch
    (float[N,T,S,4] x) => (joined)
    <float[2,8,4] w, float[2,8,2] r, int64 z = {0}, int64[1] f = {4}, int64[1] m = {-1}>
    { s = Shape<start=2, end=3>(x) k = Concat<axis=0>(m, s, f) a = Reshape(x, k)
      b = Transpose<perm=[1, 0, 2]>(a) c = LSTM<hidden_size=2, direction="bidirectional">(b, w, r)
      d = Gather<axis=0>(c, z) joined = Gather<axis=0>(d, z) }
both directions side by side over steps of open length beside the batch
    (float[N,T,S,4] x) => (joined)
    <float[2,8,4] w, float[2,8,2] r, int64 z = {0}, int64[1] f = {4}, int64[1] m = {-1},
     int64[3] q = {0, 0, -1}>
    { s = Shape<start=2, end=3>(x) k = Concat<axis=0>(m, s, f) a = Reshape(x, k)
      b = Transpose<perm=[1, 0, 2]>(a) c = LSTM<hidden_size=2, direction="bidirectional">(b, w, r)
      d = Transpose<perm=[0, 2, 1, 3]>(c) e = Reshape(d, q) joined = Gather<axis=0>(e, z) }
quotients of constants
    (int64[N,4] x) => (y) <int64[4] c = {-7, 7, -8, 0}, int64[4] d = {2, -2, 4, 5}>
    { a = Div(c, d) y = Add(x, a) }
by how many steps there are
    (float[N,T,3] x) => (a, b, d, e) <int64[1] k = {1}, float half = {0.5}>
    { s = Shape<start=1, end=2>(x) t = Squeeze(s) f = Cast<to=1>(t) g = Cast<to=1>(s)
      r = Sqrt(f) a = Div(x, r) u = ReduceSum<keepdims=0>(x, k) b = Div(u, g)
      i = Reciprocal(f) d = Mul(i, x) h = Pow(f, half) e = Sub(u, h) }
by how many numbers there are
    (float[N,T,3] x) => (a, b) <float o = {1}>
    { s = Shape<start=1>(x) p = ReduceProd<keepdims=0>(s) f = Cast<to=1>(p) l = Sub(f, o)
      a = Div(x, l) g = Sqrt(f) b = Div(x, g) }
by several lengths
    (float[N,T,2] x, float[N,S,2] z) => (a, b) <float o = {1}>
    { r = Shape<start=1, end=2>(x) s = Shape<start=1, end=2>(z) j = Concat<axis=0>(r, s)
      f = Cast<to=1>(j) g = Add(f, o) a = Mul(x, g) p = Mul(r, s) m = Cast<to=1>(p)
      b = Div(z, m) }
by a shape
    (float[N,3,T] x) => (y) <int64[3] k = {0, -1, 1}>
    { s = Shape<start=1>(x) f = Cast<to=1>(s) e = Reciprocal(f) w = Reshape(x, k) y = Mul(w, e) }
by lengths that no tensor has
    (float[N,T] x) => (a, b, d) <int64 o = {1}, int64 w = {2}, int64 z = {0}>
    { s = Shape<start=1>(x) t = Squeeze(s) h = Div(t, w) f = Cast<to=1>(h) a = Mul(x, f)
      m = Add(t, o) n = Mul(m, m) g = Cast<to=1>(n) b = Div(x, g) q = Div(n, w)
      i = Cast<to=1>(q) d = Mul(x, i) }
whole numbers by how many steps there are
    (int64[N,T] x) => (a, b, d, e) <int64 w = {2}>
    { s = Shape<start=1>(x) t = Squeeze(s) a = Div(x, t) b = Sub(t, x) d = Min(x, t)
      l = Less(x, t) e = Where(l, x, t) }
bounds that are lengths
    (float[N,T] x) => (a, b, d) <int64 z = {0}, int64 o = {1}, float half = {0.5}>
    { STEPS l = Sub(n, o) q = Clip(p, o, l) f = Cast<to=1>(n)
      g = Mul(x, f) h = Mul(f, half) a = Clip(g, , h) b = Clip(g, half, f) i = Cast<to=1>(q)
      d = Add(x, i) }
from the last step on
    (float[N,T] x) => (a, b) <int64 z = {0}, int64 o = {1}, float half = {0.5}>
    { STEPS l = Sub(n, o) q = Sub(l, p) f = Cast<to=1>(q) e = Pow(half, f) a = Mul(x, e)
      g = Cast<to=1>(n) i = Cast<to=1>(p) j = Div(i, g) b = Add(x, j) }
steps as numbers, made whole
    (float[N,T] x) => (a, b) <int64 z = {0}, int64 o = {1}, float half = {0.5}, float[9] c>
    { STEPS f = Cast<to=1>(p) h = Mul(f, half) w = Cast<to=7>(h) e = Gather(c, w) a = Add(x, e)
      g = Cast<to=9>(p) i = Cast<to=1>(g) b = Mul(x, i) }
one length of a shape, as a number
    (float[N,T,3] x) => (a, b) <int64 o = {1}, int64 w = {2}>
    { s = Shape(x) g = Gather(s, o) f = Cast<to=1>(g) a = Div(x, f)
      r = Shape<start=1>(x) h = Cast<to=1>(r) i = Gather(h, o) b = Div(a, i) }
lengths as numbers and back
    (float[N,T,3] x) => (a, b) <int64[1] m = {-1}, int64[1] k = {3}, int64[1] q = {1},
    float z = {0}, float o = {1}>
    { s = Shape<start=1, end=2>(x) f = Cast<to=1>(s) b0 = Cast<to=7>(f) j = Concat<axis=0>(m, b0, k)
      a = Reshape(x, j) t = Squeeze(s) g = Cast<to=1>(t) r = Range(z, g, o) u = Unsqueeze(r, q)
      b = Mul(x, u) }
steps from 1
    (float[N,T] x) => (a, b, d) <int64[1] k = {1}, int64 o = {1}, int64 m = {-1}>
    { r = Shape<start=1>(x) c = Squeeze(r) j = Range(o, c, o) f = Cast<to=1>(j)
      e = Add(c, o) g = Range(o, e, o) h = Cast<to=1>(g) b = Mul(x, h) t = Slice(x, k, r, k)
      a = Mul(t, f) l = Sub(c, o) i = Range(l, m, m) n = Cast<to=1>(i) d = Add(x, n) }
the larger of lengths that are the same
    (float[N,T,3] x) => (y, z) <int64[3] k = {1, 1, 3}>
    { s = Shape(x) t = Div(s, k) a = Max(s, t) y = Expand(x, a) u = Shape(x) b = Min(s, t, u)
      z = Expand(x, b) }
quotients of lengths
    (float[N,T,3] x) => (y) <int64[3] d = {1, 1, 3}, int64[1] m = {-1}>
    { s = Shape(x) a = Div(s, d) y = Expand(x, a) }
truth
    (int64[N,3] x) => (y) <int64[3] c>
    { b = Less(x, c) y = Cast<to=3>(b) }
truth of constants
    (float[N,3] x) => (y) <float[3] c, float[3] d>
    { a = Greater(c, d) b = Not(a) e = Xor(a, b) y = Where(e, x, c) }
one or the other, whole
    (int64[N,3] x) => (y) <int64[3] c, int64 t = {2}>
    { b = Less(x, c) w = Where(b, x, c) y = Div(w, t) }
one or the other, of numbers
    (int64[N,3] x) => (y) <float[3] c, float[3] d, float t = {2}>
    { a = Cast<to=1>(x) b = Less(a, t) w = Where(b, c, d) y = Div(w, t) }
remainders
    (int64[N,3] x) => (y) <int64[3] c>
    { a = Mod(x, c) b = Mod(c, x) y = Add(a, b) }
remainders of C
    (float[N,4] x) => (y) <float[4] c = {-7, 7, -8, 3}, float[4] d = {2, -2, 3, 5}>
    { a = Mod<fmod=1>(c, d) y = Add(x, a) }
remainders of C, of what is computed
    (float[N,4] x) => (a, b, d) <float[4] c = {-0.7, 0.3, 0.1, -0.2}, float s = {0.1}>
    { a = Mod<fmod=1>(x, c) b = Mod<fmod=1>(c, x) d = Mod<fmod=1>(x, s) }
whole remainders of C, of what is computed
    (int64[N,4] x) => (a, b) <int64[4] c>
    { a = Mod<fmod=1>(x, c) b = Mod<fmod=1>(c, x) }
remainders of C, of a constant of all rows
    (float[N,2] x) => (y) <float[2] c, int64[1] k = {2}>
    { ROWS a = Mod<fmod=1>(c, m) y = Add(x, a) }
remainders not of C
    (int64[N,4] x) => (y) <int64[4] c = {-7, 7, -8, 3}, int64[4] d = {2, -2, 3, 5}>
    { a = Mod(c, d) y = Add(x, a) }
greatest
    (float[N,3] x) => (a, b, d, e) <float[3] c>
    { z = Neg(x) a = Max(x, c, z) b = Min(x, z, c) d = Sum(x, c, c) e = Mean(x, c, x) }
greatest of one
    (float[N,3] x) => (a, b)
    { a = Max(x) b = Mean(x) }
between
    (float[N,3] x) => (y) <float low = {-0.5}, float high = {0.25}>
    { y = Clip(x, low, high) }
above
    (float[N,3] x) => (y) <float low = {-0.5}>
    { y = Clip(x, low) }
below
    (float[N,3] x) => (y) <float high = {0.5}>
    { y = Clip(x, , high) }
between, of old
    10 (float[N,3] x) => (y)
    { y = Clip<min=-0.5, max=0.25>(x) }
above, of old
    9 (float[N,3] x) => (y)
    { y = Clip<min=-0.5>(x) }
constant between
    (float[N,3] x) => (y) <float[3] c, float low = {-0.5}, float high = {0.25}>
    { a = Clip(c, low, high) y = Add(x, a) }
constant of all rows between
    (float[N,3] x) => (y) <float[3] c, int64[1] k = {3}, float high = {0.25}>
    { ROWS a = Clip(m, , high) y = Add(x, a) }
whole numbers between
    (int64[N,3] x) => (y) <int64[3] c, int64 low = {0}, int64 two = {2}>
    { a = Clip(c, low) b = Div(a, two) y = Add(x, b) }
to whole
    (float[N,3] x) => (y) <int64 t = {2}>
    { a = Cast<to=7>(x) y = Div(a, t) }
to numbers
    (int64[N,3] x) => (y) <float t = {2}>
    { a = Cast<to=1>(x) y = Div(a, t) }
to truth
    (int64[N,3] x) => (y) <int64[3] c>
    { a = Sub(x, x) b = Cast<to=9>(a) d = Not(b) y = Cast<to=7>(d) }
to truth of all
    (int64[N,3] x) => (y)
    { b = Cast<to=9>(x) y = Cast<to=1>(b) }
truth to few bits
    (float[N,3] x) => (y)
    { b = Cast<to=9>(x) y = Cast<to=3>(b) }
few bits to more
    (int8[N,3] x) => (y)
    { y = Cast<to=7>(x) }
few bits to as few
    (int16[N,3] x) => (y)
    { y = Cast<to=5>(x) }
to 32 bits
    (int64[N,3] x) => (y)
    { y = Cast<to=6>(x) }
constants to whole
    (float[N,3] x) => (y) <float[3] c>
    { a = Cast<to=7>(c) b = Cast<to=1>(a) y = Add(x, b) }
lengths to whole
    (float[N,T,3] x) => (y)
    { s = Shape(x) a = Cast<to=6>(s) b = Cast<to=7>(a) y = Reshape(x, b) }
powers
    (float[N,3] x) => (y) <float[3] c>
    { a = Abs(x) b = Pow(a, c) d = Pow(b, c) y = Add(b, d) }
powers of constants
    (int64[N,3] x) => (y) <int64[3] c = {3, 5, 7}, float[3] d = {0.5, 2.0, 1.5}, int64 t = {2}>
    { a = Abs(c) b = Pow(a, d) e = Div(b, t) y = Add(x, e) }
lines
    (float[N,3] x) => (a, b, c, d)
    { a = HardSigmoid(x) b = HardSigmoid<alpha=0.166667>(x)
      c = HardSigmoid<alpha=0.2, beta=0.6>(x) d = HardSigmoid<alpha=0.3>(x) }
lines of constants
    (float[N,3] x) => (y) <float[3] c>
    { a = HardSigmoid<alpha=0.3>(c) y = Add(x, a) }
infinite numbers
    (float[N,3] x) => (a, b, c, d) <float z = {0}>
    { s = Sign(x) i = Div(s, z)
      a = IsInf(i) b = IsInf<detect_negative=0>(i) c = IsInf<detect_positive=0>(i)
      d = IsInf<detect_negative=0, detect_positive=0>(i) }
infinite numbers and others
    10 (float[N,3] x) => (y) <float[3] c = {0, 1, -1}, float z = {0}>
    { d = Div(c, z) i = IsInf(d) n = IsInf<detect_positive=0>(d) a = Where(i, x, c)
      e = Div(x, c) f = IsInf(e) b = Where(f, c, e) g = Cast<to=1>(n) h = Add(a, b) y = Add(h, g) }
alphas
    (float[N,3] x) => (a, b, c, d, e, f)
    { a = LeakyRelu(x) b = LeakyRelu<alpha=0.3>(x) c = Elu<alpha=0.5>(x) d = Celu<alpha=0.5>(x)
      e = ThresholdedRelu<alpha=0.3>(x) f = ThresholdedRelu(x) }
gammas
    (float[N,3] x) => (a, b, c, d)
    { a = Selu(x) b = Selu<gamma=2.0>(x) c = Selu<alpha=2.0>(x) d = Elu(x) }
activations of constants
    (float[N,3] x) => (y) <float[3] c, float[3] g, int64[1] k = {3}>
    { ROWS a = Relu(c) b = Tanh(m) d = Softmax(m) e = Add(a, b) f = Add(d, e) y = Add(x, f) }
by channels
    (float[N,3,2] x) => (y) <float[3,1] c>
    { y = PRelu(x, c) }
swish of another slope
    (float[N,3] x) => (a, b)
    { a = Swish<alpha=2.0>(x) b = Swish(x) }
gelus
    (float[N,3] x) => (a, b)
    { a = Gelu(x) b = Gelu<approximate="tanh">(x) }
softmax of steps
    (float[N,T,3] x) => (a, b, c)
    { a = Softmax<axis=1>(x) b = Softmax(x) c = LogSoftmax<axis=-2>(x) }
softmax of old
    11 (float[N,3] x) => (a, b, c)
    { a = Softmax(x) b = Softmax<axis=-1>(x) c = LogSoftmax<axis=1>(x) }
types as they are told
    24 (int64[N,3] x) => (y)
    { y = Cast<to=1, saturate=1, round_mode="up">(x) }
constants for a fixed number of rows
    (float[2,3] x) => (y) <float[2,3] c = {1, 2, 3, 1, 2, 3}>
    { y = Mul(x, c) }
zeros dropped
    (float[N,3] x) => (y) <float[3] c = {0, 0, 0}>
    { a = Dropout(c) y = Add(x, a) }
what is no number
    (float[N,3] x) => (y) <float[3] c, float[3] d>
    { a = Log(x) n = IsNaN(a) b = Where(n, x, c) e = Log(d) f = IsNaN(e) g = Where(f, b, d)
      h = Cast<to=3>(n) i = Cast<to=1>(h) y = Add(g, i) }
errors
    (float[N,3] x) => (a, b) <float few = {0.0001}, float many = {10000}>
    { a = Erf(x) c = Mul(x, few) d = Erf(c) b = Mul(d, many) }
errors of nothing and of constants
    (float[N,3] x) => (y) <float[2,3] c, int64[1] k = {0}>
    { z = Sub(x, x) a = Erf(z) b = Erf(c) d = ReduceSum<keepdims=0>(b, k) y = Sum(x, a, d) }
errors of constants of all rows
    (float[N,3] x) => (y) <float[3] c, int64[1] k = {3}>
    { ROWS a = Erf(m) y = Add(x, a) }
sums up to
    (float[N,4,3] x) => (a, b, d) <int64 k = {1}, int64 l = {-1}>
    { a = CumSum(x, k) b = CumSum<exclusive=0, reverse=0>(x, l) d = CumSum(a, l) }
sums of others, and from the end
    (float[N,4,3] x) => (a, b, d) <int64 k = {1}, int64 l = {-1}>
    { a = CumSum<exclusive=1>(x, k) b = CumSum<reverse=1>(x, l)
      d = CumSum<exclusive=1, reverse=1>(a, k) }
sums of others, of open steps
    (float[N,T,3] x) => (a, b, d) <int64 k = {1}>
    { a = CumSum<exclusive=1>(x, k) b = CumSum<reverse=1>(x, k)
      d = CumSum<exclusive=1, reverse=1>(x, k) }
sums of others, of constants
    (float[N,4] x) => (y) <float[2,4] c, int64 k = {1}, int64 z = {0}>
    { a = CumSum<exclusive=1, reverse=1>(c, k) b = CumSum<reverse=1>(a, z) d = Gather(b, z)
      y = Add(x, d) }
products up to
    26 (float[N,T,3] x) => (a, b) <int64 k = {1}, int64 l = {-1}>
    { a = CumProd(x, k) b = CumProd<exclusive=1, reverse=1>(x, l) }
shrunk
    (float[N,3] x) => (a, b) <float[3] c>
    { a = Shrink<lambd=0.4, bias=0.1>(x) d = Shrink(c) b = Add(a, d) }
one of several
    (float[N,4,3] x) => (a, b)
    { a = Hardmax(x) b = Hardmax<axis=1>(x) }
one of several, of old
    11 (float[N,4,3] x) => (y)
    { y = Hardmax<axis=2>(x) }
the last of the largest
    (float[N,4,3] x) => (y, z)
    { r = Round(x) y = ArgMax<axis=1, select_last_index=1>(r)
      z = ArgMin<axis=2, keepdims=0, select_last_index=1>(r) }
of length 1
    (float[N,4,3] x) => (a, b, d)
    { a = LpNormalization(x) e = Exp(x) b = LpNormalization<axis=1, p=1>(e) r = Relu(x)
      d = LpNormalization<axis=1>(r) }
how many numbers
    (float[N,4,T] x) => (y) <float[4,1] c, int64[1] k = {1}>
    { s = Size(c) f = Cast<to=1>(s) y = Mul(x, f) }
how many numbers of open lengths
    (float[N,T,3] x) => (y) <int64[3] z = {0, 0, 0}, int64[1] o = {1}, int64[1] t = {2}>
    { s = Shape<start=1>(x) p = Expand(o, s) n = Size(p) f = Cast<to=1>(n) y = Div(x, f) }
ones on a diagonal
    (float[N,3,4] x) => (a, b) <float[3,4] c>
    { e = EyeLike(c) a = Add(x, e) f = EyeLike<k=-1, dtype=1>(c) b = Sub(x, f) }
ones on a diagonal of steps
    (float[N,T,T] x) => (y) <float[1,1] c>
    { s = Shape<start=1>(x) z = Expand(c, s) e = EyeLike<k=1>(z) y = Add(x, e) }
sums up to, of old
    11 (float[N,4,3] x) => (y) <int32 k = {-2}>
    { y = CumSum(x, k) }
sums up to each step
    (float[N,T,3] x) => (a, b) <int64 k = {1}, int64 l = {2}>
    { a = CumSum(x, k) b = CumSum(a, l) }
sums up to each step of two axes
    (float[N,T] x) => (a, b) <int64 k = {1}, int64 z = {0}>
    { a = CumSum(x, k) t = Transpose(x) c = CumSum(t, z) b = Transpose(c) }
sums up to each step of more axes
    (float[N,2,3,T] x) => (a, b) <int64 k = {3}, int64 l = {1}>
    { a = CumSum(x, k) t = Transpose<perm=[0,3,1,2]>(x) c = CumSum(t, l)
      b = Transpose<perm=[0,2,3,1]>(c) }
places of steps that there are
    (float[N,T] x) => (y) <float[9,3] w, int64 k = {1}>
    { z = Relu(x) b = Cast<to=9>(z) m = Cast<to=7>(b) c = CumSum(m, k) d = Mul(c, m)
      y = Gather(w, d) }
sums up to, in front of the batch
    (float[5,N,3] x) => (y) <int64 k = {0}>
    { y = CumSum(x, k) }
sums up to each step, in front of the batch
    (float[T,N,3] x) => (y) <int64 k = {0}>
    { y = CumSum(x, k) }
whole sums up to
    (int64[N,4] x) => (y) <int64 k = {1}, int64 t = {2}>
    { a = CumSum(x, k) y = Div(a, t) }
sums of constants up to
    (float[N,3] x) => (y) <float[3,3] c, int64 k = {1}, int64 l = {0}, int64[1] z = {0}>
    { a = CumSum(c, k) b = CumSum(c, l) d = Mul(a, b) e = ReduceMax<keepdims=0>(d, z)
      y = Add(x, e) }
products by letters
    (float[N,3,4] x) => (a, b, d, e)
    <float[4,2] c, float[3,4] g, float[4] v, float[2,3] h>
    { a = Einsum<equation="bij,jk->bik">(x, c) b = Einsum<equation="b i j, i j -> b">(x, g)
      d = Einsum<equation="bij,j->bi">(x, v) e = Einsum<equation="ki,bij->bjk">(h, x) }
products of rows by letters
    (float[N,3,4] x, float[N,5,4] z) => (a, b, d, e)
    { a = Einsum<equation="bij,bkj->bik">(x, z) b = Einsum<equation="bij,bkj->bk">(x, z)
      d = Einsum<equation="bij,bkj->bkji">(x, z) e = Einsum<equation="bij,bkl->bijkl">(x, z) }
three by letters
    (float[N,3] x, float[N,4] z) => (a, b) <float[3,2,4] c>
    { a = Einsum<equation="bi,iok,bk->bo">(x, c, z) b = Einsum<equation="iok,bk,bi->ob">(c, z, x) }
products by letters that dots stand for, or whose result is not said
    (float[N,3,4] x) => (a, b, d) <float[4,5] c, float[2,3,4] g>
    { a = Einsum<equation="...i,io->...o">(x, c) b = Einsum<equation="bij,jk">(x, c)
      d = Einsum<equation="bij,kij->bk">(x, g) }
products by letters of constants that all stay
    (float[N,T,4] x) => (a, b, d, e) <float[4] v, float[4,2] c, float[2,4,3] g, float[2,4] h>
    { a = Einsum<equation="btf,f->btf">(x, v) b = Einsum<equation="fn,btf->btfn">(c, x)
      d = Einsum<equation="btf,gfo->btgo">(x, g) e = Einsum<equation="btf,gf->btgf">(x, h) }
means of whole numbers, and types of other tensors
    (int32[N,3] i, float[N,3] x) => (a, b) <int64[1] k = {1}>
    { m = ReduceMean(i, k) a = CastLike(m, x) n = CastLike(x, i) b = CastLike(n, x) }
one by letters
    (float[N,3,4] x) => (a, b, d)
    { a = Einsum<equation="bij->bji">(x) b = Einsum<equation="bij->bj">(x)
      d = Einsum<equation="bij->b">(x) }
products of open steps by letters
    (float[N,T,4] x) => (a, b) <float[4,2] c>
    { a = Einsum<equation="btj,bsj->bts">(x, x) b = Einsum<equation="btj,jk->bkt">(x, c) }
products by letters in front of the batch
    (float[5,N,4] x) => (a, b) <float[4,2] c>
    { a = Einsum<equation="tbj,jk->tbk">(x, c) b = Einsum<equation="tbj,sbj->bts">(x, x) }
whole numbers by letters
    (int64[N,3] x) => (y) <int64[3,2] c, int64 t = {2}>
    { a = Einsum<equation="bi,ij->bj">(x, c) y = Div(a, t) }
constants of all rows by letters
    (float[N,3] x) => (y) <float[3] c, int64[1] k = {3}>
    { ROWS a = Einsum<equation="bi,bi->bi">(x, m) y = Add(x, a) }
"""
)
REDUCTIONS = table(
    """
nothing
    (float[N,3,2] x) => (a, b) <int64[0] k = {}>
    { a = ReduceSum<noop_with_empty_axes=1>(x) b = ReduceMean<noop_with_empty_axes=1>(x, k) }
along no axis what else is done stays
    (float[N,3,2] x) => (a, b, c, d, e) <int64[0] k = {}>
    { a = ReduceL1<noop_with_empty_axes=1>(x) b = ReduceL2<noop_with_empty_axes=1>(x, k)
      c = ReduceSumSquare<noop_with_empty_axes=1>(x, k) f = Exp(x)
      d = ReduceLogSum<noop_with_empty_axes=1, keepdims=0>(f)
      e = ReduceLogSumExp<noop_with_empty_axes=1>(x) }
along no axis of constants
    (float[N,3,2] x) => (y) <float[3,2] c, int64[0] k = {}>
    { a = ReduceL1<noop_with_empty_axes=1>(c) b = ReduceSumSquare<noop_with_empty_axes=1>(c, k)
      d = ReduceLogSumExp<noop_with_empty_axes=1>(c) e = Sum(a, b, d) y = Add(x, e) }
along no axis of whole numbers
    (int64[N,3] x) => (a, b) <int64[0] k = {}>
    { a = ReduceSumSquare<noop_with_empty_axes=1>(x) b = ReduceL1<noop_with_empty_axes=1>(x, k) }
along all axes in spite of none
    (float[N,3] x) => (y) <float[3,2] c, int64[0] k = {}>
    { a = ReduceL1<noop_with_empty_axes=0>(c, k) y = Add(x, a) }
of old
    12 (float[N,3,2] x) => (a, b, c)
    { a = ReduceSum<axes=[1]>(x) b = ReduceMax<axes=[-1], keepdims=0>(x)
      c = ReduceMean<axes=[1,2], keepdims=0>(x) }
of before
    17 (float[N,3,2] x) => (a, b) <int64[1] k = {1}>
    { a = ReduceSum<keepdims=0>(x, k) b = ReduceMean<axes=[1], keepdims=0>(x) }
of now
    18 (float[N,3,2] x) => (a, b) <int64[1] k = {-1}>
    { a = ReduceL1(x, k) b = ReduceMin<keepdims=0>(x, k) }
squares
    (float[N,3,2] x) => (a, b, c, d) <int64[1] k = {1}>
    { a = ReduceL1<keepdims=0>(x, k) b = ReduceL2<keepdims=0>(x, k)
      c = ReduceSumSquare<keepdims=0>(x, k) e = Abs(x) d = ReduceLogSum(e, k) }
of constants
    (float[N,3] x) => (y) <float[2,3] c, int64[1] k = {0}>
    { a = ReduceL2<keepdims=0>(c, k) b = ReduceSumSquare(c) d = Add(a, b) y = Add(x, d) }
of whole constants
    (int64[N,3] x) => (y) <int64[2,3] c, int64[1] k = {0}, int64 t = {2}>
    { a = ReduceSum<keepdims=0>(c, k) b = Div(a, t) y = Add(x, b) }
of constants of all rows
    (float[N,3] x) => (y) <float[2,3] c, int64[2] k = {2, 3}, int64[1] o = {1}>
    { ROWS a = ReduceSum<keepdims=0>(m, o) b = ReduceMax(m, o) d = Squeeze(b, o) e = Add(a, d)
      y = Add(x, e) }
products of lengths
    (float[N,T,3] x) => (y) <int64[1] z = {0}, int64[1] o = {1}, int64[1] t = {9}, int64[1] k =
    {3}, int64[1] m = {-1}>
    { s = Shape(x) r = Slice(s, o, t) p = ReduceProd(r) n = Slice(s, z, o)
      q = Concat<axis=0>(n, p) f = Reshape(x, q) g = Concat<axis=0>(n, m, k) y = Reshape(f, g) }
products of lengths, apart
    (float[N,T,3] x) => (y) <int64[1] z = {0}, int64[1] o = {1}, int64[1] t = {9}>
    { s = Shape(x) r = Slice(s, o, t) p = ReduceProd<keepdims=0>(r) q = Unsqueeze(p, z)
      n = Slice(s, z, o) f = Concat<axis=0>(n, q) y = Reshape(x, f) }
sums of lengths
    (float[N,T,3] x, float[N,T,3] z) => (y) <int64[1] o = {1}, int64[1] t = {2}, int64[1] b =
    {0}, int64[1] k = {3}>
    { c = Concat<axis=1>(x, z) s = Shape(x) r = Slice(s, o, t) q = Concat<axis=0>(r, r)
      p = ReduceSum(q) n = Slice(s, b, o) f = Concat<axis=0>(n, p, k) y = Reshape(c, f) }
places of the greatest
    (float[N,3,4] x) => (a, b, c, d) <int64 t = {2}>
    { a = ArgMax<axis=1>(x) b = ArgMax<axis=-1, keepdims=0>(x) c = ArgMin<axis=2, keepdims=0>(x)
      d = Div(b, t) }
the last of old axes
    17 (float[N,3,2] x) => (a, b)
    { a = ReduceMax<axes=[-1]>(x) b = ReduceProd<axes=[1], keepdims=0>(x) }
products of lengths, along their last axis
    17 (float[N,T,3] x) => (y) <int64[1] z = {0}, int64[1] o = {1}, int64[1] t = {9}>
    { s = Shape(x) r = Slice(s, o, t) p = ReduceProd<axes=[-1]>(r) n = Slice(s, z, o)
      q = Concat<axis=0>(n, p) y = Reshape(x, q) }
logarithms of sums of powers
    (float[N,3,4] x) => (a, b, d, e) <int64[1] k = {1}, int64[2] l = {-1, 1}, float h = {100}>
    { a = ReduceLogSumExp(x, k) b = ReduceLogSumExp<keepdims=0>(x, l) m = Mul(x, h)
      d = ReduceLogSumExp<keepdims=0>(m, k) e = ReduceLogSumExp(x, l) }
logarithms of sums of powers of old
    17 (float[N,3,4] x) => (a, b)
    { a = ReduceLogSumExp<axes=[-1]>(x) b = ReduceLogSumExp<axes=[1,2], keepdims=0>(x) }
logarithms of sums of powers of steps
    (float[T,N,4] x) => (y) <int64[1] k = {0}>
    { y = ReduceLogSumExp<keepdims=0>(x, k) }
logarithms of sums of powers of constants
    (float[N,3] x) => (y) <float[2,3] c, int64[1] k = {0}, int64[1] o = {1}>
    { a = ReduceLogSumExp<keepdims=0>(c, k) b = ReduceLogSumExp(c) d = ReduceLogSumExp(c, o)
      e = ReduceMax<keepdims=0>(d, k) y = Sum(x, a, b, e) }
logarithms of sums of powers of constants of all rows
    (float[N,3] x) => (y) <float[3] c, int64[1] k = {3}, int64[1] o = {1}>
    { ROWS a = ReduceLogSumExp(m, o) y = Add(x, a) }
"""
)


@pytest.mark.parametrize("text", ARITHMETIC.values(), ids=ARITHMETIC)
def test_arithmetic(text: str) -> None:
    check(text)


@pytest.mark.parametrize("text", REDUCTIONS.values(), ids=REDUCTIONS)
def test_reductions(text: str) -> None:
    check(text)


LAYERS = table(
    """
last places that a product needs
    (float[N,T,3] x) => (y)
    <int64[1] s = {-4}, int64[1] e = {9223372036854775807}, int64[1] a = {1}, float[4,2] w>
    { p = Slice(x, s, e, a) t = Transpose<perm=[0,2,1]>(p) y = MatMul(t, w) }
first places that a product needs
    (float[N,T,3] x) => (y)
    <int64[1] s = {1}, int64[1] e = {5}, int64[1] a = {1}, int64[1] k = {2}, float[2,2] w>
    { p = Slice(x, s, e, a, k) t = Transpose<perm=[0,2,1]>(p) y = MatMul(t, w) }
product of constants
    (float[N,3] x) => (y) <float[2,4] c, float[4,3] d, int64[1] k = {0}>
    { a = MatMul(c, d) b = ReduceMax<keepdims=0>(a, k) y = Add(x, b) }
products of stacks of constants
    (float[N,2,3] x) => (y) <float[5,1,2,4] c, float[2,4,3] d, int64[2] k = {0, 1}>
    { a = MatMul(c, d) b = ReduceMax<keepdims=0>(a, k) y = Add(x, b) }
vectors
    (float[N,3] x) => (y) <float[4] c, float[4,3] d, float[3] e>
    { a = MatMul(c, d) b = MatMul(a, e) f = Add(x, b) y = Add(f, a) }
constant of all rows
    (float[N,3] x) => (y) <float[4] c, int64[2] k = {2, 4}, float[4,3] d, int64[1] o = {1}>
    { ROWS a = MatMul(m, d) b = ReduceMax<keepdims=0>(a, o) y = Add(x, b) }
double weights
    (float[N,3] x) => (y) <double[3,2] c, double[2] d>
    { e = Cast<to=1>(c) f = Cast<to=1>(d) a = MatMul(x, e) y = Add(a, f) }
gemm
    (float[N,3] x) => (y) <float[3,2] c, float[2] d>
    { y = Gemm(x, c, d) }
gemm without bias
    (float[N,3] x) => (y) <float[2,3] c>
    { y = Gemm<transB=1>(x, c) }
gemm with all
    (float[N,3] x) => (y) <float[2,3] c, float[1,2] d>
    { y = Gemm<transB=1, alpha=0.5, beta=2.0>(x, c, d) }
gemm with one number
    (float[N,3] x) => (a, b) <float[3,2] c, float[1] d, float e>
    { a = Gemm<beta=2.0>(x, c, d) b = Gemm<alpha=0.5>(x, c, e) }
gemm with rows
    (float[N,3] x, float[N,2] z) => (y) <float[3,2] c>
    { y = Gemm<alpha=0.5, beta=2.0>(x, c, z) }
gemm turned
    (float[N,3] x) => (y) <float[3,2] c, float[2] d>
    { t = Transpose(x) y = Gemm<transA=1>(t, c, d) }
gemm the other way
    (float[N,3] x) => (y) <float[2,3] c, float[2,1] d>
    { t = Transpose(x) a = Gemm<alpha=0.5, beta=2.0>(c, t, d) y = Transpose(a) }
gemm the other way, turned
    (float[N,3] x) => (y) <float[3,2] c, float[2,1] d>
    { a = Gemm<transA=1, transB=1>(c, x, d) y = Transpose(a) }
gemm of constants
    (float[N,3] x) => (y) <float[2,4] c, float[4,3] d, float[3] e, int64[1] k = {0}>
    { a = Gemm<alpha=0.5, beta=2.0>(c, d, e) b = ReduceMax<keepdims=0>(a, k) y = Add(x, b) }
gemm of constants of all rows
    (float[N,3] x) => (y) <float[4] c, int64[1] k = {4}, float[3,4] d, float[3] e>
    { ROWS a = Gemm<transB=1, alpha=0.5, beta=2.0>(m, d, e) y = Add(x, a) }
conv
    (float[N,2,T] x) => (a, b) <float[3,2,3] c, float[3] d>
    { a = Conv(x, c, d)
      b = Conv<kernel_shape=[3], strides=[2], dilations=[2], pads=[2,1]>(x, c) }
conv of groups
    (float[N,4,7,6] x) => (a, b) <float[6,2,3,2] c, float[6] d>
    { a = Conv<group=2, strides=[2,1], pads=[1,0,2,1]>(x, c, d)
      b = Conv<group=2, dilations=[1,3]>(x, c) }
conv as long as it was
    (float[N,2,7,6] x) => (a, b, d) <float[3,2,4,2] c>
    { a = Conv<auto_pad="SAME_UPPER">(x, c) b = Conv<auto_pad="SAME_LOWER", strides=[2,3]>(x, c)
      d = Conv<auto_pad="VALID">(x, c) }
transposed convolutions
    (float[N,2,7] x) => (a, b, e) <float[2,3,4] c, float[3] d>
    { a = ConvTranspose(x, c, d) b = ConvTranspose<strides=[3], pads=[1,2]>(x, c)
      e = ConvTranspose<dilations=[2], strides=[2], output_padding=[1], pads=[0,0]>(x, c, d) }
transposed convolutions of two axes
    (float[N,2,3,4] x) => (a) <float[2,3,4,2] c>
    { a = ConvTranspose<strides=[2,1], pads=[1,0,2,1], kernel_shape=[4,2]>(x, c) }
transposed convolutions as many times as long
    (float[N,2,7] x) => (a, b) <float[2,3,5] c>
    { a = ConvTranspose<auto_pad="SAME_UPPER", strides=[2]>(x, c)
      b = ConvTranspose<auto_pad="SAME_LOWER", strides=[2]>(x, c) }
transposed convolutions of open steps
    (float[N,2,T] x) => (a, b) <float[2,3,5] c>
    { a = ConvTranspose<strides=[2], pads=[1,2], output_padding=[1]>(x, c)
      b = ConvTranspose<auto_pad="SAME_UPPER", strides=[2]>(x, c) }
pools
    (float[N,2,7] x) => (a, b, c, d)
    { a = MaxPool<kernel_shape=[3]>(x) b = MaxPool<kernel_shape=[3], strides=[2], pads=[1,1]>(x)
      c = AveragePool<kernel_shape=[2], strides=[3], pads=[1,0]>(x)
      d = AveragePool<kernel_shape=[2], pads=[1,1], count_include_pad=1>(x) }
pools with gaps
    (float[N,2,9] x, float[N,2,9,8] z) => (a, b, c, f)
    { a = MaxPool<kernel_shape=[3], dilations=[2]>(x)
      b = MaxPool<kernel_shape=[2], dilations=[3], strides=[2], pads=[1,1]>(x)
      c = MaxPool<kernel_shape=[3,2], dilations=[2,3], strides=[1,2]>(z) f = Flatten(a) }
pools that are cut off
    (float[N,2,8] x) => (a, b)
    { a = MaxPool<kernel_shape=[3], strides=[2], ceil_mode=1>(x)
      b = AveragePool<kernel_shape=[3], strides=[2], ceil_mode=1>(x) }
pools as long as it was
    (float[N,2,6,5] x) => (a, b)
    { a = MaxPool<kernel_shape=[3,2], auto_pad="SAME_UPPER">(x)
      b = AveragePool<kernel_shape=[3,2], strides=[2,1], auto_pad="VALID">(x) }
pools of open steps
    (float[N,2,T] x) => (a)
    { a = MaxPool<kernel_shape=[3]>(x) }
conv of open steps
    (float[N,2,T] x) => (a, b) <float[3,2,4] c>
    { a = Conv<auto_pad="SAME_UPPER">(x, c)
      b = Conv<auto_pad="SAME_LOWER", dilations=[2]>(x, c) }
pools of all
    (float[N,2,4,3] x) => (a, b)
    { a = GlobalAveragePool(x) b = GlobalMaxPool(x) }
batch normalization
    (float[N,3,4] x) => (y) <float[3] c, float[3] d, float[3] e, float[3] f = {0.5, 1.0, 2.0}>
    { y = BatchNormalization<epsilon=0.1>(x, c, d, e, f) }
layer normalization
    (float[N,3,4] x) => (a, b, g) <float[4] c, float[4] d, float[3,4] e, float[1] f>
    { a = LayerNormalization(x, c, d) b = LayerNormalization<axis=1, epsilon=0.1>(x, e)
      g = LayerNormalization<axis=-2>(x, f, d) }
layer normalization, and by what
    (float[N,3,4] x) => (a, m, d, e) <float[4] c, float[3,4] f>
    { a, m, d = LayerNormalization<epsilon=0.1>(x, c) b, , e = LayerNormalization<axis=1>(x, f) }
layer normalization of steps
    (float[N,T,4] x) => (y) <float[4] c>
    { y = LayerNormalization(x, c) }
rms normalization
    23 (float[N,3,4] x) => (a, b) <float[4] c, float[3,4] d>
    { a = RMSNormalization(x, c) b = RMSNormalization<axis=1, epsilon=0.1>(x, d) }
instance normalization
    (float[N,3,4] x, float[N,2,4,3] z) => (a, b)
    <float[3] c, float[3] d, float[2] e, float[2] f = {0, 0}>
    { a = InstanceNormalization(x, c, d) b = InstanceNormalization<epsilon=0.1>(z, e, f) }
instance normalization of old
    9 (float[N,3,4] x) => (y) <float[3] c = {1, 1, 1}, float[3] d>
    { y = InstanceNormalization(x, c, d) }
instance normalization of steps
    (float[N,3,T] x, float[N,3,T,S] z) => (a, b) <float[3] c, float[3] d>
    { a = InstanceNormalization(x, c, d) b = InstanceNormalization(z, c, d) }
instance normalization with the batch behind
    (float[T,N,3] x) => (y) <float[3] c, float[3] d>
    { t = Transpose<perm=[1,2,0]>(x) a = InstanceNormalization(t, c, d)
      y = Transpose<perm=[2,0,1]>(a) }
instance normalization of each step
    (float[N,T,3,4] x) => (y) <float[3] c, float[3] d, int64[3] k = {-1, 3, 4}>
    { s = Shape(x) r = Reshape(x, k) a = InstanceNormalization(r, c, d) y = Reshape(a, s) }
instance normalization of constants
    (float[N,3,4] x) => (y) <float[3,4] c, float[3] d, float[3] e, int64[2] k = {3, 4}>
    { ROWS a = InstanceNormalization(m, d, e) y = Add(x, a) }
instance normalization of a fixed number of rows
    (float[2,6,4] x) => (y) <int64[3] k = {2, 3, 8}, float[3] c, float[3] d, int64[3] l = {2, 6, 4}>
    { r = Reshape(x, k) a = InstanceNormalization(r, c, d) y = Reshape(a, l) }
groups as exporters normalize them
    (float[N,6,T] x) => (y)
    <int64[3] k = {0, 2, -1}, float[2] o = {1, 1}, float[2] z = {0, 0}, float[6,1] c, float[6,1] d>
    { r = Reshape(x, k) i = InstanceNormalization(r, o, z) s = Shape(x) b = Reshape(i, s)
      m = Mul(b, c) y = Add(m, d) }
convolutions of volumes
    (float[N,2,4,3,5] x) => (a, b) <float[3,2,2,1,3] w, float[3] v, float[2,3,1,2,2] u>
    { a = Conv<pads=[1,0,1,0,0,2], strides=[1,2,1]>(x, w, v)
      b = ConvTranspose<strides=[2,1,1], group=1>(x, u) }
pooling of volumes
    (float[N,2,4,3,5] x) => (a, b, d)
    { a = MaxPool<kernel_shape=[2,1,3], strides=[1,1,2]>(x)
      b = AveragePool<kernel_shape=[2,2,2], pads=[0,1,0,1,0,0]>(x) d = GlobalAveragePool(x) }
means of open steps that leave padding out
    (float[N,2,T] x) => (a, b) <>
    { a = AveragePool<kernel_shape=[3], auto_pad="SAME_UPPER">(x)
      b = AveragePool<kernel_shape=[4], strides=[2], pads=[1,1], ceil_mode=1>(x) }
normalization by mean and deviation
    (float[N,3,4,2] x) => (a, b)
    { a = MeanVarianceNormalization<axes=[2,3]>(x)
      b = MeanVarianceNormalization<axes=[1,2,3]>(x) }
attention
    23 (float[N,2,T,3] x, float[N,2,S,3] k, float[N,2,S,4] v) => (a, b)
    { a = Attention(x, k, v) b = Attention<is_causal=1, scale=0.7>(x, k, v) }
attention by two masks
    23 (float[N,2,4,3] x, bool[N,1,4,4] n) => (y, z) <float[4,4] m>
    { y = Attention<is_causal=1>(x, x, x, m) z = Attention<is_causal=1>(x, x, x, n) }
attention of heads side by side
    23 (float[N,5,6] x, float[N,4,3] k, float[N,4,3] v) => (a, b) <bool[5,4] m, float[5,4] c>
    { n = Not(m) o = Or(m, n) a = Attention<q_num_heads=2, kv_num_heads=1>(x, k, v, o)
      b = Attention<q_num_heads=2, kv_num_heads=1>(x, k, v, c) }
group normalization
    (float[N,6,4] x, float[N,6,T] z, float[N,6] w) => (a, b, g) <float[6] c, float[6] d>
    { a = GroupNormalization<num_groups=2>(x, c, d)
      b = GroupNormalization<num_groups=3, epsilon=0.1>(z, c, d)
      g = GroupNormalization<num_groups=2, stash_type=1>(w, c, d) }
group normalization of one and of each
    (float[N,4,3,2] x) => (a, b) <float[4] c, float[4] d>
    { a = GroupNormalization<num_groups=1>(x, c, d) b = GroupNormalization<num_groups=4>(x, c, d) }
group normalization by weights of groups
    18 (float[N,6,4] x) => (y) <float[2] c, float[2] d>
    { y = GroupNormalization<num_groups=2>(x, c, d) }
"""
)
SHAPES = table(
    """
turned around
    (float[N,4,3] x) => (a, b) <int64[1] k = {4}>
    { n = Shape<end=1>(x) e = Expand(k, n) a = ReverseSequence<batch_axis=0, time_axis=1>(x, e)
      t = Transpose<perm=[1, 0, 2]>(x) c = ReverseSequence(t, e)
      b = Transpose<perm=[1, 0, 2]>(c) }
turned around as far as rows have steps
    (float[N,8,3] x, int64[N] n) => (a, b) <int64 f = {8}>
    { m = Mod(n, f) a = ReverseSequence<batch_axis=0, time_axis=1>(x, m)
      t = Transpose<perm=[1, 0, 2]>(x) c = ReverseSequence<time_axis=0>(t, m)
      b = Transpose<perm=[1, 0, 2]>(c) }
open steps turned around
    (float[N,T,3] x) => (y)
    { n = Shape<end=1>(x) t = Shape<start=1, end=2>(x) e = Expand(t, n)
      y = ReverseSequence<batch_axis=0, time_axis=1>(x, e) }
open steps turned around as far as rows have them
    (float[N,T,3] x, int64[N] n) => (y) <int64 f = {5}>
    { m = Mod(n, f) y = ReverseSequence<batch_axis=0, time_axis=1>(x, m) }
blocks from channels
    (float[N,12,2,3] x) => (a, b)
    { a = DepthToSpace<blocksize=2>(x) b = DepthToSpace<blocksize=2, mode="CRD">(x) }
blocks to channels
    (float[N,3,4,6] x) => (y)
    { y = SpaceToDepth<blocksize=2>(x) }
tensors in a row
    (float[N,5,3] x) => (a, b, d, e, f) <int64 z = {0}, int64 m = {-1}, int64[2] k = {2, 3},
    int64 t = {2}, int64 o = {1}>
    { s = SplitToSequence<axis=1>(x, k) p = SequenceAt(s, z) q = SequenceAt(s, m)
      a = Concat<axis=1>(q, p) r = SplitToSequence<axis=1>(x, t) b = ConcatFromSequence<axis=1>(r)
      u = SplitToSequence<axis=1, keepdims=0>(x) v = SequenceAt(u, m)
      w = SequenceInsert(u, v) g = SequenceErase(w, z) d = ConcatFromSequence<axis=1, new_axis=1>(g)
      h = SequenceConstruct(p, q) i = SequenceInsert(h, q, z) e = ConcatFromSequence<axis=1>(i)
      l = SequenceLength(i) c = Cast<to=1>(l) j = SequenceErase(i) y = ConcatFromSequence<axis=1>(j)
      f = Mul(y, c) }
places cut out of each row
    (float[N,4,3] x) => (y) <int64 z = {0}, int64 o = {1}>
    { s = SequenceEmpty() a = SequenceInsert(s, x) b = SequenceInsert(a, x, z)
      y = ConcatFromSequence<axis=2>(b) }
a place of each row
    (float[N,4,3] x, int64[N] n) => (y) <int64 z = {0}, int64 o = {1}, int64 f = {4},
    int64[1] k = {-1}>
    { r = Shape<end=1>(x) c = Squeeze(r) j = Range(z, c, o) p = Mod(n, f) a = Unsqueeze(j, k)
      b = Unsqueeze(p, k) d = Concat<axis=-1>(a, b) y = GatherND(x, d) }
a place of each row behind others
    (float[4,N,3] x, int64[N] n) => (y) <int64 z = {0}, int64 o = {1}, int64 f = {4},
    int64[1] k = {1}>
    { r = Shape(n) c = Squeeze(r) j = Range(z, c, o) p = Mod(n, f) a = Unsqueeze(j, k)
      b = Unsqueeze(p, k) d = Concat<axis=1>(b, a) y = GatherND(x, d) }
a place of each row of open steps
    (float[N,T,3] x, int64[N] n) => (y) <int64 z = {0}, int64 o = {1}, int64 f = {2}>
    { r = Shape<end=1>(x) c = Squeeze(r) j = Range(z, c, o) s = Shape<start=1, end=2>(x)
      p = Mod(n, f) m = Mul(j, s) q = Add(p, m) g = Flatten<axis=2>(x) y = Gather(g, q) }
a place of each row laid out
    (float[N,4,3] x, int64[N] n) => (y) <int64 z = {0}, int64 o = {1}, int64 f = {4},
    int64[2] k = {-1, 3}>
    { r = Shape<end=1>(x) c = Squeeze(r) j = Range(z, c, o) p = Mod(n, f) m = Mul(f, j)
      q = Add(m, p) g = Reshape(x, k) y = Gather(g, q) }
places in another order
    (float[N,4,3] x) => (y) <int64[4,1] k = {3, 2, -3, 0}>
    { a = Transpose<perm=[1, 0, 2]>(x) b = GatherND(a, k) y = Transpose<perm=[1, 0, 2]>(b) }
places of two axes
    (float[N,4,3] x) => (y) <int64[2,2,2] k = {3, 0, 1, -1, 0, 2, 3, 0}>
    { a = Transpose<perm=[1, 2, 0]>(x) b = GatherND(a, k) y = Transpose<perm=[2, 0, 1]>(b) }
one place of two axes
    (float[N,4,3] x) => (y) <int64[2] k = {3, 1}>
    { a = Transpose<perm=[1, 2, 0]>(x) y = GatherND(a, k) }
places of constants by numbers
    (float[N,3] x) => (y) <float[2,3] c, int64[3,2] k = {0, 1, 1, -1, 0, 0}>
    { a = GatherND(c, k) y = Add(x, a) }
places in a matrix
    (float[N,5] x) => (y) <int64[2,3] k = {0, 4, 1, 3, -1, 0}>
    { y = Gather<axis=1>(x, k) }
a place of the one row by its number
    (float[1,4,3] x, int64[1] n) => (y)
    <int64 f = {4}, int64[1,1] i = {0}, int64[1] k = {1}>
    { p = Mod(n, f) r = Unsqueeze(p, k) d = Concat<axis=1>(i, r) y = GatherND(x, d) }
written over a place
    (float[N,4,3] x) => (a, b) <int64 o = {1}, int64 l = {-1}, int64[1] k = {1}, int64[1] t = {2}>
    { g = Gather<axis=1>(x, l) u = Unsqueeze(g, k) r = Shape(u) e = Expand(o, r)
      a = ScatterElements<axis=1>(x, e, u)
      h = Gather<axis=2>(x, o) v = Unsqueeze(h, t) q = Shape(v) w = Expand(l, q)
      b = ScatterElements<axis=2>(a, w, v) }
constants
    (float[N,2] x) => (y)
    { a = Constant<value_float=1.5>() b = Constant<value_floats=[1.0, 2.0]>()
      c = Constant<value_int=3>() d = Constant<value_ints=[2, -1]>()
      e = Constant<value=float[2] {3.0, 4.0}>() f = Cast<to=1>(c) g = Cast<to=1>(d)
      h = Sum(x, a, b, e) i = Add(f, g) y = Mul(h, i) }
constants of shapes
    (float[N,2] x) => (y) <int64[2] k = {1, 2}, int64 t = {2}>
    { a = ConstantOfShape(k) b = ConstantOfShape<value=int64[1] {7}>(k) c = Div(b, t)
      d = Cast<to=1>(c) y = Sum(x, a, d) }
ranges
    (float[N,3] x) => (y) <int64 a = {1}, int64 b = {7}, int64 c = {2}, int64 z = {-5}, int64 d
    = {-2}, float e = {0.5}, float f = {1.2}, float g = {0.3}>
    { h = Range(a, b, c) i = Range(a, z, d) k = Add(h, i) l = Cast<to=1>(k) m = Range(e, f, g)
      y = Sum(x, l, m) }
shapes
    (float[N,2,3] x) => (y) <int64[2] m = {2, -1}>
    { a = Shape<start=1>(x) b = Shape<start=-1>(x) c = Shape<end=-1, start=1>(x)
      d = Concat<axis=0>(a, b, c, a) e = Cast<to=1>(d) f = Reshape(e, m) y = Add(x, f) }
turned
    (float[N,2,3] x) => (y)
    { a = Transpose<perm=[0,2,1]>(x) b = Transpose(a) y = Transpose<perm=[1,0,2]>(b) }
turned constants
    (float[N,2,3] x) => (y) <float[3,2] c>
    { a = Transpose(c) b = Transpose<perm=[1,0]>(c) d = Mul(a, b) y = Add(x, d) }
axes put in
    (float[N,2] x) => (a, b, d) <int64[2] k = {3, 1}, int64[2] l = {-1, 1}, int64[1] z = {0}>
    { a = Unsqueeze(x, k) b = Unsqueeze(x, l) d = Unsqueeze(x, z) }
axes put in, of old
    11 (float[N,2] x) => (a, b)
    { a = Unsqueeze<axes=[1,3]>(x) b = Squeeze<axes=[1]>(a) }
axes taken out
    (float[N,1,2,1] x) => (a, b, d) <int64[1] k = {1}, int64[2] l = {-1, 1}>
    { a = Squeeze(x, k) b = Squeeze(x, l) d = Squeeze(x) }
axes put in and taken out
    (float[N,2,3] x) => (y) <int64[1] k = {1}, int64[1] l = {2}>
    { a = Unsqueeze(x, k) b = Squeeze(a, k) c = Unsqueeze(b, l) y = Squeeze(c, l) }
axes of constants
    (float[N,2] x) => (y) <float[2] c, int64[1] k = {0}, int64[2] l = {0, -1}>
    { a = Unsqueeze(c, l) b = Squeeze(a) d = Squeeze(a, k) e = Squeeze(d) y = Sum(x, b, e) }
laid out
    (float[N,2,6] x) => (a, b, c, d) <int64[3] k = {0, -1, 3}, int64[2] l = {0, 12}, int64[4] m
    = {-1, 2, 2, 3}, int64[3] o = {0, 0, -1}>
    { a = Reshape(x, k) b = Reshape(x, l) c = Reshape(x, m) d = Reshape(x, o) }
laid out in one
    (float[N,2,3] x) => (joined) <int64[2] k = {-1, 3}, int64[1] l = {-1}>
    { a = Reshape(x, k) b = Relu(a) joined = Reshape(b, l) }
laid out and back
    (float[N,2,3] x) => (y) <int64[2] k = {-1, 3}, int64[3] l = {-1, 2, 3}, float[3] c>
    { a = Reshape(x, k) b = Add(a, c) y = Reshape(b, l) }
flat
    (float[N,2,3,4] x) => (a, b, c)
    { a = Flatten(x) b = Flatten<axis=-3>(x) d = Flatten<axis=2>(x) c = Flatten<axis=1>(x) }
flat behind
    (float[N,2,3] x) => (joined)
    { joined = Flatten<axis=2>(x) }
flat altogether
    (float[N,2,3] x) => (joined)
    { joined = Flatten<axis=3>(x) }
flat in front
    (float[N,2,3] x) => (joined)
    { joined = Flatten<axis=0>(x) }
flat constants
    (float[N,6] x) => (y) <float[1,2,3] c>
    { a = Flatten(c) y = Add(x, a) }
repeated
    (float[N,1,3] x) => (a, b, d) <int64[3] k = {1, 4, 1}, int64[4] l = {2, 1, 1, 3}>
    { a = Expand(x, k) b = Tile(x, k) d = Expand(x, l) }
constants repeated
    (float[N,2,6] x) => (y) <float[1,3] c, float[1,1] e, int64[2] k = {2, 2}, int64[2] l = {2,
    6}>
    { a = Tile(c, k) b = Expand(e, l) y = Sum(x, a, b) }
constants repeated for rows
    (float[N,3] x) => (y) <float[1,3] c, float[3] d, int64[1] k = {1}>
    { s = Shape(x) a = Expand(c, s) b = Expand(d, s) n = Shape<end=1>(x)
      r = Concat<axis=0>(n, k) e = Tile(c, r) f = Mul(a, b) g = Sub(f, e) y = Add(x, g) }
repeated as often as another
    (float[N,T,3] x, float[N,1,3] z) => (y)
    { s = Shape(x) a = Expand(z, s) y = Concat<axis=1>(a, x) }
repeated behind one another
    (float[N,T,3] x) => (a, b, d, e) <int64[3] k = {1, 2, 1}, int64[3] l = {1, 3, 2},
    int64[3] m = {1, 20, 1}, int64[3] n = {1, 1, 17}>
    { a = Tile(x, k) b = Tile(x, l) d = Tile(x, m) e = Tile(x, n) }
repeated behind one another, the batch behind
    (float[T,N,2,3] x) => (y) <int64[4] k = {2, 1, 3, 2}>
    { a = Tile(x, k) y = Relu(a) }
repeated behind one another, of two open lengths
    (float[N,T,S] x) => (y) <int64[3] k = {1, 2, 3}>
    { y = Tile(x, k) }
constants of all rows repeated behind one another
    (float[N,6] x) => (y) <float[3] c, int64[1] k = {3}, int64[2] l = {1, 2}>
    { ROWS a = Tile(m, l) y = Add(x, a) }
constants repeated for rows and behind one another
    (float[N,6] x) => (y) <float[1,3] c, int64[1] k = {2}>
    { n = Shape<end=1>(x) r = Concat<axis=0>(n, k) a = Tile(c, r) y = Add(x, a) }
positions for each row
    (float[N,T,3] x) => (a, b) <int64 z = {0}, int64 o = {1}, int64[1] u = {2}, float[50,3] c>
    { STEPS q = Shape<end=2>(x) e = Expand(p, q) f = Cast<to=1>(e) v = Unsqueeze(f, u)
      a = Add(x, v) g = Gather(c, e) b = Add(x, g) }
positions for each row by another
    (float[N,T,3] x, float[N,T] w) => (y) <int64 z = {0}, int64 o = {1}>
    { STEPS q = Shape(w) e = Expand(p, q) f = Cast<to=1>(e) y = Mul(w, f) }
positions before lengths
    (float[N,T,3] x, int64[N] w) => (y) <int64 z = {0}, int64 o = {1}, int64[1] k = {1}, int64[1]
    l = {2}>
    { STEPS q = Shape<end=2>(x) e = Expand(p, q) v = Unsqueeze(w, k) b = Less(e, v)
      f = Cast<to=1>(b) m = Unsqueeze(f, l) y = Mul(x, m) }
positions for each row behind
    (float[T,N,3] x) => (y) <int64 z = {0}, int64 o = {1}, int64[1] k = {1}, int64[1] l = {2}>
    { s = Shape<end=1>(x) n = Squeeze(s) p = Range(z, n, o) v = Unsqueeze(p, k) q = Shape<end=2>(x)
      e = Expand(v, q) f = Cast<to=1>(e) m = Unsqueeze(f, l) y = Mul(x, m) }
positions for each of some
    (float[N,T,4] x) => (y) <int64 z = {0}, int64 o = {1}, int64[1] k = {1}, int64[1] l = {4}>
    { STEPS v = Unsqueeze(p, k) q = Concat<axis=0>(s, l) e = Expand(v, q) f = Cast<to=1>(e)
      y = Add(x, f) }
positions for each row of a fixed number
    (float[2,T,3] x) => (y) <int64 z = {0}, int64 o = {1}, int64[2] k = {2, 1}, float[50,3] c>
    { STEPS e = Expand(p, k) g = Gather(c, e) y = Add(x, g) }
positions for each row and as many heads
    (float[2,2,T,T] x) => (y) <int64 z = {0}, int64 o = {1}, int64[3] u = {0, 1, 2}, int64[2] k =
    {2, 2}>
    { t = Shape<start=2>(x) s = Shape<start=2, end=3>(x) n = Squeeze(s) p = Range(z, n, o)
      w = Unsqueeze(p, u) q = Concat<axis=0>(k, t) e = Expand(w, q)
      f = Cast<to=1>(e) y = Mul(x, f) }
positions for each place of another open length
    (float[N,T,S] x) => (y) <int64 z = {0}, int64 o = {1}, int64[1] k = {1}>
    { STEPS q = Shape<start=1>(x) v = Unsqueeze(p, k) e = Expand(v, q) f = Cast<to=1>(e)
      y = Add(x, f) }
positions looked up for all rows
    (float[N,T,3] x) => (a, b) <int64 z = {0}, int64 o = {1}, float[50,3] c, float[50] d,
    int64[1] k = {1}>
    { STEPS g = Gather(c, p) a = Add(x, g) h = Gather(d, p) u = Unsqueeze(h, k) b = Add(x, u) }
positions repeated for rows
    (float[N,T,3] x) => (a, b) <int64 z = {0}, int64 o = {1}, int64[1] k = {0}, int64[1] l = {1},
    int64[1] u = {2}, float[50,3] c>
    { STEPS t = Unsqueeze(p, k) n2 = Shape<end=1>(x) r = Concat<axis=0>(n2, l) e = Tile(t, r)
      f = Cast<to=1>(e) v = Unsqueeze(f, u) a = Add(x, v) g = Gather(c, e) b = Add(x, g) }
positions repeated behind one another
    (float[N,T] x) => (a, b) <int64 z = {0}, int64 o = {1}, int64[1] k = {0}, int64[1] l = {2}>
    { STEPS d = Concat<axis=1>(x, x) w = Tile(p, l) f = Cast<to=1>(w) a = Mul(d, f)
      t = Unsqueeze(p, k) n2 = Shape<end=1>(x) r = Concat<axis=0>(n2, l) e = Tile(t, r)
      g = Cast<to=1>(e) b = Mul(d, g) }
less positions
    (float[N,T,3] x) => (y) <int64 z = {0}, int64 o = {1}, int64[1] k = {1}, int64[1] l = {9999},
    int64[1] i = {0}, float[50,3] c>
    { STEPS q = Slice(p, k, l) g = Gather(c, q) w = Slice(x, k, l, k) y = Add(w, g) }
first places of constants
    (float[N,T,3] x) => (a, b) <float[50,3] c, int64[1] z = {0}, float[50] d, int64[1] k = {1},
    int64[1] o = {1}>
    { n = Shape<start=1, end=2>(x) p = Slice(c, z, n, z, o) a = Add(x, p)
      q = Slice(d, z, n) r = Unsqueeze(q, k) b = Add(x, r) }
places of constants from one on
    (float[N,T,3] x) => (a, b, d, e) <float[9,3] c, int64[1] o = {1}, int64[1] w = {2},
    int64[1] k = {1}, int64[1] z = {0}>
    { n = Shape<start=1, end=2>(x) p = Slice(c, o, n) q = Slice(x, o, n, k) a = Add(q, p)
      l = Add(n, o) r = Slice(c, o, l) b = Add(x, r) m = Add(n, w) s = Slice(c, w, m)
      d = Add(x, s) u = Slice(c, k, m) v = Unsqueeze(u, z) f = ReduceSum<keepdims=0>(v, k)
      g = ReduceSum<keepdims=0>(x, k) e = Add(f, g) }
places of constants with an axis for rows, from one on
    (float[N,T,3] x) => (y) <float[1,9,3] c, int64[1] o = {1}>
    { n = Shape<start=1, end=2>(x) l = Add(n, o) p = Slice(c, o, l, o) y = Add(x, p) }
last places of constants
    (float[N,T,3] x) => (a, b, d) <float[9,3] c, int64[1] k = {9},
    int64[1] i = {9223372036854775807}>
    { n = Shape<start=1, end=2>(x) s = Sub(k, n) p = Slice(c, s, i) a = Add(x, p) q = Slice(c, s, k)
      b = Add(x, q) m = Neg(n) r = Slice(c, m, i) d = Add(x, r) }
places around the middle of constants
    (float[N,T,3] x) => (y) <float[15,3] c, int64[1] k = {8}, int64[1] o = {1}, int64[1] t = {-1}>
    { n = Shape<start=1, end=2>(x) s = Sub(k, n) u = Add(s, n) p = Slice(c, s, u) y = Add(x, p) }
places that are computed of lengths
    (float[N,T,3] x) => (a, b, d) <int64 z = {0}, int64 o = {1}, int64[2,1] k = {0, 1},
    int64 w = {2}, int64[1] q = {1}>
    { STEPS l = Sub(n, o) q0 = Sub(l, p) a = Gather<axis=1>(x, q0) r = Range(z, l, o)
      u = Unsqueeze(r, q) j = Squeeze(k, q) v = Add(u, j) b = Gather<axis=1>(x, v) m = Mul(n, w)
      e = Range(z, m, o) f = Div(e, w) d = Gather<axis=1>(x, f) }
places that are computed of lengths, in front of the batch
    (float[T,N,3] x) => (y) <int64 z = {0}, int64 o = {1}>
    { s = Shape<end=1>(x) n = Squeeze(s) p = Range(z, n, o) l = Sub(n, o) q = Sub(l, p)
      y = Gather(x, q) }
a place in the middle
    (float[N,T,3] x) => (a, b, d, e) <int64 w = {2}, int64 o = {1}, float[9,3] c, int64[1] z = {0}>
    { s = Shape<start=1, end=2>(x) n = Squeeze(s) h = Div(n, w) a = Gather<axis=1>(x, h)
      l = Sub(n, o) b = Gather<axis=1>(x, l) g = Gather(c, h) d = Add(a, g)
      i = Unsqueeze(h, z) j = Gather<axis=1>(x, i) e = Mul(j, x) }
a place in the middle, in front of the batch
    (float[T,N,3] x) => (y) <int64 v = {3}>
    { s = Shape<end=1>(x) n = Squeeze(s) h = Div(n, v) y = Gather(x, h) }
halves of open steps
    (float[N,T,3] x) => (a, b, d, e) <int64[1] w = {2}, int64[1] z = {0}, int64[1] k = {1},
    int64[1] i = {9223372036854775807}>
    { n = Shape<start=1, end=2>(x) h = Div(n, w) f = Slice(x, z, h, k)
      a = ReduceMax<keepdims=0>(f, k) l = Slice(x, h, i, k) b = ReduceMax<keepdims=0>(l, k)
      m = Neg(h) j = Slice(x, m, i, k) d = ReduceMax<keepdims=0>(j, k)
      g = Slice(x, h, n, k) e = ReduceMax<keepdims=0>(g, k) }
up to beyond the end of open steps
    (float[N,T] x) => (a, b) <int64[1] z = {0}, int64[1] o = {1}, int64[1] l = {-1}>
    { s = Shape<start=1>(x) e = Add(s, o) a = Slice(x, z, e, o) p = Slice(x, s, e, o)
      q = Concat<axis=1>(p, x) b = Relu(q) }
numbers of steps without rows
    (float[N,T] x) => (a, b, d, e) <int64 z = {0}, int64 o = {1}, int64[1] k = {0},
    int64[1] l = {1}>
    { STEPS f = Cast<to=1>(p) u = ReduceSum(f, k) a = Div(x, u) m = ReduceMax<keepdims=0>(f)
      q = Sub(f, m) r = ReduceLogSumExp(q, k) v = Sub(x, r) b = Relu(v) w = Softmax<axis=0>(q)
      d = Mul(x, w) g = Unsqueeze(q, l) h = Transpose(g) i = MatMul(g, h)
      j = ReduceMean<keepdims=0>(i, l) e = Add(x, j) }
steps side by side
    (float[N,T,4] x) => (a, b, d) <int64 z = {0}, int64 o = {1}, int64[1] l = {1}, int64[1] k = {0},
    float[2] c = {0.5, 0.1}, float[1,2] g>
    { STEPS f = Cast<to=1>(p) u = Unsqueeze(f, l) v = Mul(u, c) i = Sin(v) j = Cos(v)
      h = Concat<axis=-1>(i, j) a = Add(x, h) q = Unsqueeze(i, k) r = Unsqueeze(j, k)
      t = Concat<axis=0>(q, r) w = ReduceSum<keepdims=0>(t, k) e = Concat<axis=1>(w, i)
      b = Mul(x, e) m = Concat<axis=0>(g, i) y = ReduceMax(m, k) y2 = Concat<axis=1>(y, y)
      d = Add(x, y2) }
steps without rows by letters
    (float[N,T,4] x) => (a, b, d, e) <int64 z = {0}, int64 o = {1}, float[4] c>
    { STEPS f = Cast<to=1>(p) g = Einsum<equation="i,j->ij">(f, c) a = Add(x, g)
      b = Einsum<equation="btd,t->bd">(x, f) h = Einsum<equation="t,s->ts">(f, f)
      d = Einsum<equation="ts,bsd->btd">(h, x) i = Einsum<equation="j,i->ji">(c, c)
      e = MatMul(x, i) }
steps without rows in products
    (float[N,T,4] x) => (a, b, d) <int64 z = {0}, int64 o = {1}, int64[1] l = {1}, int64[1] k = {0},
    float[1,4] c>
    { STEPS f = Cast<to=1>(p) u = Unsqueeze(f, l) v = Unsqueeze(f, k) i = Sub(u, v)
      a = MatMul(i, x) g = MatMul(u, c) b = Add(x, g) w = Squeeze(u, l) q = Unsqueeze(w, l)
      d = Mul(x, q) }
triangles of rows
    (float[N,T,T] x, float[N,3,4] z) => (a, b, d, e) <int64 o = {1}, int64 m = {-1}>
    { a = Trilu(x) b = Trilu<upper=0>(x, m) d = Trilu<upper=0>(z) e = Trilu(z, o) }
triangles of all rows
    (float[N,4] x) => (y) <float[4,4] c, int64[2] k = {4, 4}, int64[1] o = {1}>
    { ROWS t = Trilu<upper=0>(m) u = Unsqueeze(x, o) v = MatMul(u, t) y = Squeeze(v, o) }
triangles of minus infinity
    (float[N,T,4] x) => (a, b, d) <float[1] i = {-inf}, float e = {-inf}, int64 o = {1}>
    { s = Shape<start=1, end=2>(x) j = Concat<axis=0>(s, s)
      c = ConstantOfShape<value = float[1] {2}>(j) f = Expand(e, j) m = Trilu(f, o)
      t = Transpose<perm=[0,2,1]>(x) p = MatMul(x, t) q = Add(p, m) w = Softmax(q)
      a = MatMul(w, x) r = Trilu<upper=0>(c) b = MatMul(r, x) g = Expand(i, j)
      h = Trilu(g, o) k = Add(p, h) l = Softmax(k) d = MatMul(l, x) }
constants as often as there are steps
    (float[N,T,4] x) => (a, b) <float[1,4] c, int64[1] k = {4}>
    { s = Shape<start=1, end=2>(x) j = Concat<axis=0>(s, k) e = Expand(c, j) a = Add(x, e)
      l = Concat<axis=0>(k, s) f = Expand(c, j) t = Transpose(f) b = MatMul(x, t) }
several steps as one
    (float[N,R,4] x) => (a, b) <int64[3] k = {0, -1, 8}, int64[4] l = {0, -1, 2, 2}>
    { a = Reshape(x, k) b = Reshape(x, l) }
lines between places
    (float[N,3,5] x) => (a, b, d, e, g) <float[3] s = {1, 1, 2}, float[3] r = {1, 1, 1.7},
    float[3] h = {1, 1, 0.6}, float[3] t = {1, 1, 1.6}, int64[2] m = {4, 1}>
    { a = Resize<mode="linear">(x, , s)
      b = Resize<mode="linear", coordinate_transformation_mode="asymmetric">(x, , r)
      d = Resize<mode="linear", coordinate_transformation_mode="align_corners">(x, , t)
      e = Resize<mode="linear">(x, , h) n = Shape<end=1>(x) j = Concat<axis=0>(n, m)
      g = Resize<mode="linear", coordinate_transformation_mode="pytorch_half_pixel">(x, , , j) }
lines between places, in front of the batch
    (float[5,N,3] x) => (y) <float[3] s = {1.5, 1, 1}>
    { y = Resize<mode="linear">(x, , s) }
lines between the places of one row
    (float[1,3,5] x) => (y) <int64[3] n = {1, 3, 8}>
    { y = Resize<mode="linear">(x, , , n) }
first places of constants of more axes
    (float[N,T,3,2] x) => (a, b)
    <float[9,3,2] c, int64[1] z = {0}, float[3,9,2] d, int64[1] k = {1}>
    { n = Shape<start=1, end=2>(x) p = Slice(c, z, n) a = Add(x, p) t = Transpose<perm=[0,2,1,3]>(x)
      q = Slice(d, z, n, k) b = Add(t, q) }
first places of constants, the batch behind
    (float[T,N,3] x) => (a, b) <float[9,3] c, int64[1] z = {0}, int64[1] k = {1}, float[9,1] d>
    { n = Shape<end=1>(x) p = Slice(c, z, n) q = Unsqueeze(p, k) a = Add(x, q)
      r = Slice(d, z, n) u = Unsqueeze(r, k) b = Add(x, u) }
first places of constants along two axes
    (float[N,T,T] x) => (y) <float[9,9] c, int64[2] z = {0, 0}>
    { n = Shape<start=1>(x) p = Slice(c, z, n) y = Add(x, p) }
first places of constants that have an axis for rows
    (float[N,T,3] x) => (a, b) <float[1,9,3] c, int64[1] z = {0}, int64[1] k = {1}, float[9,1] d>
    { n = Shape<start=1, end=2>(x) p = Slice(c, z, n, k) q = Softmax(p) a = Add(x, q)
      r = Slice(d, z, n) b = Add(x, r) }
first places of constants for each row
    (float[N,T,3] x) => (y) <float[9,3] c, int64[1] z = {0}>
    { n = Shape<start=1, end=2>(x) p = Slice(c, z, n) s = Shape(x) e = Expand(p, s) f = Softmax(e)
      y = Add(x, f) }
part
    (float[N,7,4] x) => (a, b, c) <int64[2] s = {1, -3}, int64[2] e = {9, -1}, int64[2] k = {1,
    2}, int64[1] o = {0}, int64[1] p = {5}, int64[1] q = {-2}, int64[1] t = {2}>
    { a = Slice(x, s, e, k) b = Slice(x, o, p, q, t) c = Slice(x, q, p, t) }
part of old
    9 (float[N,7,4] x) => (a, b)
    { a = Slice<starts=[0,1], ends=[2147483647,-2]>(x)
      b = Slice<axes=[-1], starts=[1], ends=[3]>(x) }
parts backwards
    (float[N,7] x) => (a, b, c, d) <int64[1] f = {-1}, int64[1] e = {-99}, int64[1] k = {1},
    int64[1] b2 = {-2}, int64[1] s = {5}, int64[1] g = {0}, int64[1] h = {99}>
    { a = Slice(x, f, e, k, f) b = Slice(x, s, g, k, b2) c = Slice(x, h, e, k, b2)
      d = Slice(x, s, e, k, f) }
parts of constants
    (float[N,3] x) => (y) <float[7] c, int64[1] s = {6}, int64[1] e = {0}, int64[1] k = {0},
    int64[1] b = {-2}, int64[1] t = {1}, int64[1] u = {4}>
    { a = Slice(c, s, e, k, b) d = Slice(c, t, u) y = Sum(x, a, d) }
parts of open steps
    (float[N,T,3] x) => (a, b, c, d) <int64[1] z = {0}, int64[1] o = {1}, int64[1] m = {-1},
    int64[1] t = {2}, int64[1] i = {9223372036854775807}, int64[1] j = {-9223372036854775807},
    int64[1] u = {-2}>
    { a = Slice(x, o, i, o) b = Slice(x, z, m, o) c = Slice(x, m, j, o, m)
      d = Slice(x, u, i, o) }
more parts of open steps
    (float[N,T,3] x) => (a, b, c, d) <int64[1] z = {0}, int64[1] o = {1}, int64[1] t = {2},
    int64[1] i = {9223372036854775807}, int64[1] j = {-9223372036854775807}, int64[1] u = {-2},
    int64[1] m = {-1}>
    { a = Slice(x, j, t, o) b = Slice(x, t, i, o) c = Slice(x, u, m, o) d = Slice(x, o, t, o) }
steps turned in a ring
    (float[N,T,3] x) => (y) <int64[1] z = {0}, int64[1] o = {1}, int64[1] t = {2}, int64[1] i =
    {9223372036854775807}>
    { a = Slice(x, t, i, o) b = Slice(x, z, t, o) c = Concat<axis=1>(a, b)
      s = Shape(x) d = Reshape(c, s) y = Sub(x, d) }
first steps of constants
    (float[N,T,3] x) => (y) <float[1,9,3] c, int64[1] z = {0}, int64[1] o = {1}, int64[1] t =
    {2}>
    { s = Shape(x) e = Slice(s, o, t) p = Slice(c, z, e, o) y = Add(x, p) }
all rows
    (float[N,4] x) => (y) <int64[1] z = {0}, int64[1] i = {9223372036854775807}>
    { n = Shape<end=1>(x) a = Slice(x, z, i, z) b = Slice(a, z, n, z) y = Relu(b) }
divided
    (float[N,7] x) => (a, b, c)
    { a, b, c = Split<axis=1, num_outputs=3>(x) }
halves of steps
    (float[N,T,3] x) => (a, b, y) <int64[1] k = {1}>
    { a, b = Split<axis=1, num_outputs=2>(x) c = ReduceSum<keepdims=0>(b, k)
      d = Transpose<perm=[1,0,2]>(x) e, f = Split<num_outputs=2>(d) g = Neg(f)
      h = Transpose<perm=[1,0,2]>(g) i = ReduceSum<keepdims=0>(h, k) y = Add(c, i) }
thirds of three times as many steps
    (float[N,T,2] x) => (a, b, c)
    { d = Concat<axis=1>(x, x, x) a, b, c = Split<axis=1, num_outputs=3>(d) }
absolute values of lengths
    (float[N,T,3] x) => (y) <int64[1] k = {1}>
    { s = Shape<start=1, end=2>(x) a = Abs(s) f = Cast<to=1>(a) t = ReduceSum<keepdims=0>(x, k)
      y = Div(t, f) }
divided as told
    (float[N,7] x) => (a, b, c) <int64[3] k = {1, 2, 4}>
    { a, b, c = Split<axis=-1>(x, k) }
divided of old
    11 (float[N,6] x) => (a, b, c, d)
    { a, b = Split<axis=1, split=[2,4]>(x) c, d = Split<axis=1>(x) }
constants divided
    (float[N,3] x) => (y) <float[6] c>
    { a, b = Split<num_outputs=2>(c) y = Sum(x, a, b) }
joined
    (float[N,2] x) => (a, b) <float[1,3] c>
    { a = Concat<axis=1>(x, x) b = Concat<axis=-1>(x) }
constants joined
    (float[N,5] x) => (y) <float[2] c, float[3] d, float[0] e = {}>
    { a = Concat<axis=0>(c, d) b = Concat<axis=-1>(d, e, c) y = Sum(x, a, b) }
constants of all rows joined
    (float[N,6] x) => (y) <float[3] c, int64[1] k = {3}>
    { ROWS a = Concat<axis=1>(m, m) y = Add(x, a) }
some
    (float[N,7,2] x) => (a, b, c, d) <int64 p = {-2}, int64[1] q = {2}, int64[3] r = {1, 3, 5},
    int64[3] s = {6, 4, 2}>
    { a = Gather<axis=1>(x, p) b = Gather<axis=1>(x, q) c = Gather<axis=-2>(x, r)
      d = Gather<axis=1>(x, s) }
some in no order
    (float[N,7,2] x) => (a, b, c, d) <int64[4] p = {0, 5, -1, 2}, int64[2] q = {3, 3}, int64[3]
    r = {2, 1, 0}, int64[2] s = {-2, -1}>
    { a = Gather<axis=1>(x, p) b = Gather<axis=1>(x, q) c = Gather<axis=1>(x, r)
      d = Gather<axis=1>(x, s) }
some of open steps
    (float[N,T,2] x) => (a, b, c) <int64 p = {-1}, int64[2] q = {1, -1}, int64[1] r = {0}>
    { a = Gather<axis=1>(x, p) b = Gather<axis=1>(x, q) c = Gather<axis=1>(x, r) }
some of a constant
    (int64[N,2] x) => (a, b) <float[9,3] c, float[9] d, int64 f = {4}>
    { p = Abs(x) q = Min(p, f) a = Gather(c, q) b = Gather(d, q) }
some of a constant of all rows
    (float[N,2,3] x) => (y) <float[9,3] t, int64[2] c = {4, 1}, int64[1] k = {2}>
    { ROWS a = Gather(t, m) y = Add(x, a) }
places of a constant
    (float[N,3] x) => (y) <float[4,3] c, int64 p = {-1}, int64[2] q = {1, 0}, int64[2,1] r = {2,
    3}, int64[2] u = {0, 1}, int64[1] v = {0}>
    { a = Gather(c, p) b = Gather(c, q) d = Gather(c, r) e = ReduceMax<keepdims=0>(b, v)
      f = ReduceMax<keepdims=0>(d, u) y = Sum(x, a, e, f) }
numbers along
    (float[N,3,4] x) => (a, b)
    { p = ArgMax<axis=1>(x) a = GatherElements<axis=1>(x, p) r = ArgMax<axis=-1>(x)
      b = GatherElements<axis=2>(x, r) }
padded
    (float[N,3,4] x) => (a, b) <int64[6] p = {0, 1, 0, 0, 2, 1}, int64[2] q = {1, 2}, int64[1] k
    = {-2}, float v = {5}>
    { a = Pad(x, p) b = Pad(x, q, v, k) }
padded before
    17 (float[N,3,4] x) => (a, b) <int64[6] p = {0, 1, 0, 0, 2, 1}, float v = {5}>
    { a = Pad(x, p) b = Pad(x, p, v) }
padded of old
    10 (float[N,3,4] x) => (a, b)
    { a = Pad<pads=[0,1,0,0,2,1]>(x) b = Pad<pads=[0,1,0,0,2,1], value=5.0>(x) }
constants padded
    (float[N,6] x) => (y) <float[3] c, int64[2] p = {1, 2}, float v = {5}>
    { a = Pad(c, p) b = Pad(c, p, v) y = Sum(x, a, b) }
padded by what is there
    (float[N,3,4] x) => (a, b, d) <int64[6] p = {0, 2, 3, 0, 1, 1}>
    { a = Pad<mode="reflect">(x, p) b = Pad<mode="edge">(x, p) d = Pad<mode="wrap">(x, p) }
padded by what is there, at one end
    (float[N,3,4] x) => (a, b, d) <int64[2] p = {0, 2}, int64[2] q = {2, 0}, int64[1] k = {-1}>
    { a = Pad<mode="reflect">(x, p, , k) b = Pad<mode="edge">(x, q, , k)
      d = Pad<mode="wrap">(x, q, , k) }
open steps padded by what is there
    (float[N,3,T] x) => (a, b, d) <int64[6] p = {0, 0, 3, 0, 0, 2}>
    { a = Pad<mode="reflect">(x, p) b = Pad<mode="edge">(x, p) d = Pad<mode="wrap">(x, p) }
open steps padded by one, the batch behind
    (float[T,N,S] x) => (a, b, d) <int64[6] p = {1, 0, 1, 1, 0, 1}>
    { a = Pad<mode="reflect">(x, p) b = Pad<mode="edge">(x, p) d = Pad<mode="wrap">(x, p) }
open steps padded and convolved
    (float[N,2,T] x) => (y) <float[2,2,5] c, int64[6] p = {0, 0, 2, 0, 0, 2}>
    { a = Pad<mode="reflect">(x, p) b = Conv(a, c) y = Add(x, b) }
padded by what is there, of old
    10 (float[N,3,4] x) => (a, b)
    { a = Pad<mode="reflect", pads=[0,1,0,0,2,1]>(x)
      b = Pad<mode="edge", pads=[0,1,0,0,2,1], value=5.0>(x) }
constants padded by what is there
    (float[N,6] x) => (y)
    <float[3] c, int64[2] p = {1, 2}, int64[1] k = {3}, int64[4] q = {0, 2, 0, 1}>
    { a = Pad<mode="reflect">(c, p) b = Pad<mode="edge">(c, p) d = Pad<mode="wrap">(c, p)
      ROWS e = Pad<mode="reflect">(m, q) f = Pad<mode="edge">(m, q) y = Sum(x, a, b, d, e, f) }
triangles
    (float[N,3,3] x) => (y) <float[3,3] c, int64 k = {1}>
    { a = Trilu(c) b = Trilu<upper=0>(c, k) d = Sub(a, b) y = Add(x, d) }
less than a length
    (float[N,T,3] x) => (y) <int64[1] z = {0}, int64[1] o = {1}, int64[1] t = {2}>
    { s = Shape(x) e = Slice(s, o, t) f = Sub(e, t) y = Slice(x, z, f, o) }
backwards from far
    (float[N,T,3] x) => (y)
    <int64[1] s = {2147483647}, int64[1] e = {-2147483648}, int64[1] o = {1}, int64[1] m = {-1}>
    { y = Slice(x, s, e, o, m) }
backwards from near
    (float[N,T,3] x) => (y)
    <int64[1] s = {2147483646}, int64[1] e = {-2147483647}, int64[1] o = {1}>
    { y = Slice(x, o, s, o) }
nothing backwards
    (float[N,3] x) => (y)
    <float[3] c, int64[1] s = {1}, int64[1] e = {2}, int64[1] z = {0}, int64[1] m = {-1}>
    { a = Slice(c, s, e, z, m) b = Concat<axis=0>(a, c) y = Add(x, b) }
nothing of a constant divided
    (float[N,3] x) => (y) <float[3] c, int64[2] k = {0, 3}>
    { a, b = Split(c, k) d = Concat<axis=0>(b, a) y = Add(x, d) }
first axis of constants
    (float[N,3] x) => (y) <float[4,3] c, int64[2,3] k = {0, 1, 3, 2, 2, 0}, int64[1] z = {0}>
    { a = GatherElements(c, k) b = ReduceMax<keepdims=0>(a, z) y = Add(x, b) }
many places in no order
    (float[N,200] x) => (y) <int64[64] k>
    { y = Gather<axis=1>(x, k) }
padded from 11 on
    11 (float[N,3,4] x) => (y) <int64[6] p = {0, 1, 0, 0, 2, 1}>
    { y = Pad(x, p) }
padded from 18 on
    18 (float[N,3,4] x) => (y) <int64[2] p = {1, 2}, int64[1] k = {-2}, float v = {5}>
    { y = Pad(x, p, v, k) }
parts from 10 on
    10 (float[N,7,4] x) => (y) <int64[1] s = {1}, int64[1] e = {-1}, int64[1] k = {1}>
    { y = Slice(x, s, e, k) }
axes until 12
    12 (float[N,2] x) => (a, b, d, e)
    { a = Unsqueeze<axes=[1]>(x) b = Squeeze<axes=[1]>(a) d = ReduceSum<axes=[1]>(x)
      e, f = Split<axis=1>(x) }
axes from 13 on
    13 (float[N,2] x) => (a, b, d, e) <int64[1] k = {1}, int64[2] p = {1, 1}>
    { a = Unsqueeze(x, k) b = Squeeze(a, k) d = ReduceSum(x, k) e, f = Split<axis=1>(x, p) }
bounds from 11 on
    11 (float[N,2] x) => (y) <float v = {0.1}>
    { y = Clip(x, v) }
rows of a fixed number
    (float[2,3,4] x) => (y) <int64[2] k = {6, 4}, int64[2] l = {2, 12}>
    { a = Reshape(x, k) b = Relu(a) y = Reshape(b, l) }
rows of a fixed number and the rest
    (float[2,3,4] x) => (a, b) <int64[2] k = {2, -1}, int64[3] l = {2, 2, 6}>
    { a = Reshape(x, k) b = Reshape(x, l) }
rows of a fixed number, joined
    (float[2,3,4] x) => (joined) <int64[2] k = {6, -1}>
    { joined = Reshape(x, k) }
one row, joined
    (float[1,3,4] x) => (joined) <int64[2] k = {3, -1}>
    { joined = Reshape(x, k) }
repeated for a fixed number of rows
    (float[2,1,3] x) => (a, b) <int64[3] k = {2, 4, 3}, int64[4] l = {5, 2, 1, 3}>
    { a = Expand(x, k) b = Expand(x, l) }
constants repeated for a fixed number of rows
    (float[2,3] x) => (y) <float[3] c, int64[2] k = {2, 3}>
    { s = Shape(x) a = Expand(c, k) b = Expand(a, s) y = Add(x, b) }
all rows of a fixed number
    (float[2,3] x) => (y) <int64[1] z = {0}, int64[1] e = {2}>
    { a = Slice(x, z, e, z) y = Relu(a) }
steps between the ends in a ring
    (float[N,T,3] x) => (y)
    <int64[1] z = {0}, int64[1] o = {1}, int64[1] m = {-1}, int64[1] i = {9223372036854775807}>
    { a = Slice(x, o, m, o) b = Slice(x, m, i, o) c = Slice(x, z, o, o)
      d = Concat<axis=1>(a, b, c) s = Shape(x) e = Reshape(d, s) y = Sub(x, e) }
rows of a narrow table
    (int64[N,2] x) => (y) <float[9,1] c, int64 f = {8}>
    { p = Abs(x) q = Min(p, f) y = Gather(c, q) }
as many features as a fixed number of rows
    (float[2,2] x) => (y) <float[2] c>
    { s = Shape(x) a = Expand(c, s) y = Add(x, a) }
constants for a fixed number of rows, behind another axis
    (float[2,3] x) => (y) <float[2,3] c = {1, 2, 3, 1, 2, 3}, int64[1] k = {5}, int64[1] z = {0}>
    { r = Shape(x) s = Concat<axis=0>(k, r) a = Expand(c, s) b = ReduceSum<keepdims=0>(a, z)
      y = Add(x, b) }
no repeats of a constant
    (float[N,3] x) => (y) <float[3] c, int64[1] k = {0}>
    { a = Tile(c, k) b = Concat<axis=0>(a, c) y = Add(x, b) }
nothing backwards from before the first
    (float[N,3] x) => (y)
    <float[3] c, int64[1] s = {-9}, int64[1] e = {-99}, int64[1] z = {0}, int64[1] m = {-1}>
    { a = Slice(c, s, e, z, m) b = Concat<axis=0>(a, c) y = Add(x, b) }
steps from far in a ring
    (float[N,T,3] x) => (y)
    <int64[1] f = {-2147483647}, int64[1] t = {2}, int64[1] i = {2147483647}, int64[1] o = {1}>
    { a = Slice(x, t, i, o) b = Slice(x, f, t, o) c = Concat<axis=1>(a, b)
      s = Shape(x) d = Reshape(c, s) y = Sub(x, d) }
nothing of open steps
    (float[N,T,3] x) => (y) <int64[1] t = {2}, int64[1] o = {1}>
    { a = Slice(x, t, t, o) y = Concat<axis=1>(a, x) }
nothing of open steps from behind
    (float[N,T,3] x) => (y) <int64[1] m = {-1}, int64[1] t = {3}, int64[1] o = {1}>
    { a = Slice(x, m, t, o) y = Concat<axis=1>(a, x) }
constant of eight axes
    (float[N,2] x) => (y) <float[1,1,1,1,1,1,1,2] c, int64[1] k = {2}>
    { a = Reshape(c, k) y = Add(x, a) }
the largest
    (float[N,5,4] x) => (a, b, d, e) <int64[1] k = {2}, int64[1] l = {4}>
    { a, b = TopK<axis=1>(x, k) d, e = TopK(x, l) }
the smallest
    (float[N,5,4] x) => (a, b, d, e) <int64[1] k = {3}, int64[1] o = {1}>
    { a, b = TopK<axis=-2, largest=0>(x, k) d, e = TopK<axis=2, largest=0, sorted=1>(x, o) }
the largest of old
    9 (float[N,5] x) => (a, b)
    { a, b = TopK<axis=-1, k=3>(x) }
the largest from 10 on
    10 (float[N,5] x) => (a, b) <int64[1] k = {2}>
    { a, b = TopK<axis=-1>(x, k) }
the largest from 11 on
    11 (float[N,5] x) => (a, b) <int64[1] k = {2}>
    { a, b = TopK<largest=0>(x, k) }
the smallest of few
    (float[N,5] x) => (a, b) <int64[1] k = {5}>
    { r = Relu(x) l = Log(r) m = Neg(l) a, b = TopK<largest=0>(m, k) }
as many of the largest as are taken out
    (float[N,70] x) => (a) <int64[1] k = {64}>
    { a, b = TopK(x, k) }
the largest in front of the batch
    (float[5,N,4] x) => (a, b) <int64[1] k = {2}>
    { a, b = TopK<axis=0>(x, k) }
the largest of open steps
    (float[N,T,4] x) => (a, b, c, d) <int64[1] k = {1}, int64[1] l = {3}>
    { a, b = TopK<axis=1>(x, k) c, d = TopK<axis=1, largest=0>(x, l) }
many of the largest
    (float[N,99] x) => (a, b) <int64[1] k = {80}>
    { a, b = TopK(x, k) }
all of open steps in order
    (float[N,T,4] x) => (a, b)
    { k = Shape<start=1, end=2>(x) a, b = TopK<axis=1>(x, k) }
the largest, whole
    (int64[N,5] x) => (a, b) <int64[1] k = {1}, int64 t = {2}>
    { c, d = TopK(x, k) a = Div(c, t) b = Div(d, t) }
places of the largest, computed with as whole numbers
    (float[N,5] x) => (y, z) <int64[1] k = {3}, int64 t = {2}>
    { a, b = TopK(x, k) c = Div(b, t) y = Cast<to=1>(c) d = ReduceSum(c) e = Div(d, t)
      f = Cast<to=2>(b) z = Cast<to=1>(f) }
a place of each row by one number
    (float[N,3,4] x, int64[N,1] p) => (y) <int64 o = {1}, int64 t = {3}>
    { a = Abs(p) b = Mod(a, t) c = Sub(b, o) y = GatherND<batch_dims=1>(x, c) }
places of each row by two numbers
    (float[N,3,4,2] x, int64[N,2,2] p) => (y) <int64 o = {2}, int64 t = {3}>
    { a = Abs(p) b = Mod(a, t) c = Sub(b, o) y = GatherND<batch_dims=1>(x, c) }
places of open steps of each row, on several axes
    (float[N,T,4] x, int64[N,2,3,1] p) => (y) <int64 t = {5}>
    { a = Abs(p) b = Mod(a, t) y = GatherND<batch_dims=1>(x, b) }
computed places of a table, from its end
    (int64[N,3] x) => (y, z, v) <int64 o = {4}, int64 l = {0}, float[20,2] c, float[20] d>
    { a = Sub(x, o) y = Gather(c, a) b = Max(a, l) z = Gather(c, b) e = Neg(b) v = Gather(d, e) }
rounded places of a table, from its end
    (float[N,3] x) => (y) <float[9,2] c>
    { a = Cast<to=7>(x) y = Gather(c, a) }
distances of steps looked up, from its end
    (float[N,T,4] x) => (y) <int64 z = {0}, int64 o = {1}, int64[1] k = {1}, int64[1] l = {0},
     float[40,4] c>
    { STEPS a = Unsqueeze(p, k) b = Unsqueeze(p, l) d = Sub(a, b) e = Gather(c, d)
      f = ReduceSum<keepdims=0>(e, k) y = Add(x, f) }
computed places of tables by numbers of one axis
    (int64[N,3] x) => (y, z) <int64 o = {4}, int64[1] m = {2}, float[20,2] c, float[20] d>
    { a = Sub(x, o) b = Unsqueeze(a, m) y = GatherND(c, b) z = GatherND(d, b) }
distances of steps looked up by numbers of one axis
    (float[N,T,4] x) => (y) <int64 z = {0}, int64 o = {1}, int64[1] k = {1}, int64[1] l = {0},
     int64[1] m = {2}, float[40,4] c>
    { STEPS a = Unsqueeze(p, k) b = Unsqueeze(p, l) d = Sub(a, b) g = Unsqueeze(d, m)
      e = GatherND(c, g) f = ReduceSum<keepdims=0>(e, k) y = Add(x, f) }
steps of each row by numbers of one axis
    (float[N,T,4] x) => (y) <int64 z = {0}, int64 o = {1}, int64[1] m = {1}>
    { STEPS a = Transpose<perm=[1, 0, 2]>(x) b = Sub(p, o) d = Unsqueeze(b, m) e = GatherND(a, d)
      y = Transpose<perm=[1, 0, 2]>(e) }
constants for each row, from the end of a table
    (float[N,3,2] x) => (y) <int64[3] c = {-1, 0, -4}, int64[1] k = {3}, float[4,2] d>
    { n = Shape<end=1>(x) s = Concat<axis=0>(n, k) m = Expand(c, s) a = Gather(d, m) y = Add(x, a) }
places repeated
    (float[N,2,T] x) => (y, u, v)
    <float[3] s = {1.0, 1.0, 3.0}, float[2] r = {1.0, 2.0}, int64[1] h = {2}, int64[2] z = {0, 1}>
    { y = Resize<coordinate_transformation_mode="asymmetric", nearest_mode="floor">(x, , s)
      u = Resize<axes=[0, 1]>(x, , r) n = Shape(x) a = Gather(n, z) t = Gather(n, h) d = Add(t, t)
      e = Concat<axis=0>(a, d)
      v = Resize<coordinate_transformation_mode="asymmetric", nearest_mode="floor">(x, , , e) }
places between others
    (float[N,2,4] x) => (y, u, v, w) <float[3] s = {1.0, 1.0, 2.0}, float[3] h = {1.0, 1.5, 1.75},
    int64[1] k = {2}, int64[2] n = {3, 7}>
    { y = Resize<mode="linear">(x, , s) u = Resize<mode="cubic">(x, , h) b = Shape<end=1>(x)
      e = Concat<axis=0>(b, n) v = Resize<mode="linear">(x, , , e)
      w = Resize<mode="linear", axes=[2]>(x, , , k) }
places between others, by their corners
    (float[N,2,4] x) => (y, u, v) <float[3] s = {1.0, 1.0, 2.5}, float[3] h = {1.0, 1.0, 0.75}>
    { y = Resize<mode="linear", coordinate_transformation_mode="align_corners">(x, , s)
      u = Resize<mode="cubic", coordinate_transformation_mode="align_corners">(x, , s)
      v = Resize<coordinate_transformation_mode="align_corners">(x, , h) }
places between others, from the first
    (float[N,2,4] x) => (y, u) <float[3] s = {1.0, 1.0, 1.5}>
    { y = Resize<mode="linear", coordinate_transformation_mode="asymmetric">(x, , s)
      u = Resize<mode="cubic", coordinate_transformation_mode="asymmetric">(x, , s) }
one place between others, of pytorch
    (float[N,2,4] x) => (y, u) <int64[1] k = {1}, int64[1] l = {3}>
    { y = Resize<mode="linear", coordinate_transformation_mode="pytorch_half_pixel",
                 axes=[2]>(x, , , k)
      u = Resize<mode="linear", coordinate_transformation_mode="pytorch_half_pixel",
                 axes=[2]>(x, , , l) }
places between open steps
    (float[N,T,3] x) => (y) <float[3] s = {1.0, 2.0, 1.0}>
    { y = Resize<mode="linear">(x, , s) }
as many places as there were, and parts of as many
    (float[N,2,T] x) => (y, z, u, v) <float[3] s = {1, 1, 0.5}, float[3] r = {1, 1, 1.5}>
    { h = AveragePool<kernel_shape=[2], strides=[2]>(x) n = Shape(x)
      y = Resize<mode="linear", coordinate_transformation_mode="pytorch_half_pixel">(h, , , n)
      z = Resize<coordinate_transformation_mode="asymmetric", nearest_mode="floor">(h, , , n)
      u = Resize<mode="linear">(x, , s) v = Resize<mode="linear">(x, , r) }
the nearest places
    (float[N,2,5] x) => (a, b, c, d, e) <float[3] s = {1.0, 1.0, 1.7}>
    { a = Resize<nearest_mode="ceil">(x, , s) b = Resize<nearest_mode="floor">(x, , s)
      c = Resize<nearest_mode="round_prefer_ceil">(x, , s)
      d = Resize<coordinate_transformation_mode="asymmetric", nearest_mode="floor">(x, , s)
      e = Resize<coordinate_transformation_mode="asymmetric", nearest_mode="ceil">(x, , s) }
angles
    (float[N,4] x) => (a, b, c, d, e, f, g, h, i)
    { n = Tanh(x) m = Cosh(x) a = Tan(n) b = Asin(n) c = Acos(n) d = Atan(x) e = Sinh(x) f = Cosh(x)
      g = Asinh(x) h = Acosh(m) i = Atanh(n) }
places of pictures repeated
    (float[N,2,3,4] x) => (y)
    <float[4] s = {1.0, 1.0, 3.0, 2.0}>
    { y = Resize<coordinate_transformation_mode="pytorch_half_pixel">(x, , s) }
a place of each row, rows one after another
    (float[N,T,3] x) => (y, v)
    <int64 z = {0}, int64 o = {1}, int64[1] h = {1}, int64[2] f = {-1, 3},
     int64[1] n = {3}, int64[1] d2 = {2}>
    { w = ReduceMax<keepdims=0>(x, d2) p = ArgMax<axis=1, keepdims=0>(w) s = Shape(x)
      c = Gather(s, z) t = Gather(s, h) j = Range(z, c, o) i = Cast<to=7>(j) m = Mul(i, t)
      a = Add(p, m) r = Flatten<axis=2>(x) g = Gather(r, a) y = Reshape(g, f)
      b = Mul(t, i) e = Add(b, p) u = Gather(r, e) l = Shape(e)
      q = Concat<axis=0>(l, n) v = Reshape(u, q) }
a place of each row, by several axes
    (float[N,T,3] x) => (y, u)
    <int64[1] k = {-1}, int64 z = {0}, int64[1] d2 = {2}, int64[1] h = {1}, int64 o = {1}>
    { w = ReduceMax<keepdims=0>(x, d2) p = ArgMax<axis=1, keepdims=0>(w) s = Shape(x)
      c = Gather(s, z) j = Range(z, c, o) a = Unsqueeze(j, k) b = Unsqueeze(p, k)
      i = Concat<axis=-1>(a, b) y = GatherND(x, i) t = Transpose<perm=[1,0,2]>(x)
      l = Unsqueeze(j, h) m = Concat<axis=1>(b, l) u = GatherND(t, m) }
a place of each row counted from the end
    (float[N,T,3] x) => (y)
    <int64[1] k = {-1}, int64 z = {0}, int64 o = {1}, int64[1] d2 = {2}>
    { w = ReduceMax<keepdims=0>(x, d2) q = ArgMax<axis=1, keepdims=0>(w) s = Shape<end=1>(x)
      c = Squeeze(s) j = Range(z, c, o) a = Unsqueeze(j, k) n = Neg(q) p = Sub(n, o)
      b = Unsqueeze(p, k) i = Concat<axis=-1>(a, b) y = GatherND(x, i) }
rows in order and back
    (float[N,3] x, int64[N] n) => (y) <int64 z = {0}, int64 o = {1}, int64[1] k = {0}>
    { r = Shape(n) v, i = TopK<axis=0>(n, r) s = Gather(x, i) u = Relu(s) c = Squeeze(r, k)
      j = Range(z, c, o) e = ConstantOfShape<value=int64[1] {0}>(r) b = ScatterElements(e, i, j)
      y = Gather(u, b) }
rows in order and back, by numbers of both kinds
    (float[5,N,3] x, int64[N] n) => (y) <int64 z = {0}, int64 o = {1}, int64[1] k = {0}>
    { r = Shape(n) v, i = TopK<axis=-1, largest=0, sorted=1>(n, r) h = Identity(i)
      s = Gather<axis=1>(x, h) u = Relu(s) c = Squeeze(r, k) f = Range(z, c, o) j = Cast<to=6>(f)
      q = Shape(i) e = ConstantOfShape<value=int32[1] {0}>(q)
      b = ScatterElements<axis=-1, reduction="none">(e, i, j) y = Gather<axis=-2>(u, b) }
rows in order and back, by their order
    (float[N,3] x, float[N] n) => (y)
    { r = Shape(n) v, i = TopK<axis=0>(n, r) s = Gather(x, i) u = Relu(s)
      w, b = TopK<axis=0, largest=0>(i, r) y = Gather(u, b) }
rows of a fixed number in order and back
    (float[2,3] x, int64[2] n) => (y) <int64[1] r = {2}, int64[2] j = {0, 1}, int64[2] e>
    { v, i = TopK<axis=0>(n, r) s = Gather(x, i) u = Relu(s) b = ScatterElements<axis=0>(e, i, j)
      y = Gather(u, b) }
ones among zeros
    (int64[N,3] x) => (a, b, d) <int64 n = {20}, float[2] e = {0, 1}, float[2] f = {-1, 3}>
    { a = OneHot(x, n, e) b = OneHot<axis=1>(x, n, f) d = OneHot<axis=-2>(x, n, e) }
as many of a constant for each row
    (float[N,3,4] x) => (y)
    <float[3,1,2] c, int64[2] k = {1, 2}, int64[3] r = {-1, 3, 4},
     int64[3] q = {-1, 1, 4}>
    { s = Shape<end=1>(x) t = Concat<axis=0>(s, k) a = Tile(c, t) b = Reshape(x, q) d = Add(a, b)
      y = Reshape(d, r) }
heads side by side, of which one has an axis of length 1 more
    (float[N,T,2,4] x) => (y)
    <int64[1] k = {3}, int64[1] l = {1}, int64[2] f = {0, 1}, int64[1] m = {-1}, int64[1] q = {4},
     int64[1] w = {2}>
    { a = Unsqueeze(x, k) b = Transpose<perm=[0, 2, 1, 3, 4]>(a) c = Unsqueeze(x, l)
      d = Transpose<perm=[0, 3, 1, 2, 4]>(c) s = Shape(b) g = Gather(s, f) p = ReduceProd(g)
      r = Concat<axis=0>(p, m, q) e = Reshape(b, r) h = Reshape(d, r)
      i = Transpose<perm=[0, 2, 1]>(h) j = MatMul(e, i) t = Gather(s, w) o = Concat<axis=0>(g, t, t)
      y = Reshape(j, o) }
heads of two open lengths, without an axis of length 1
    (float[N,2,T,1,S] x) => (y)
    <int64[2] f = {0, 1}, int64[1] m = {-1}, int64[1] l = {4}>
    { s = Shape(x) g = Gather(s, f) p = ReduceProd(g) n = Gather(s, l) r = Concat<axis=0>(p, m, n)
      a = Reshape(x, r) b = Softmax(a) y = Reshape(b, s) }
ones among zeros of all rows
    (float[N,3,5] x) => (y)
    <int64[3] c = {1, 0, 4}, int64[1] k = {3}, int64 d = {5},
     float[2] e = {1, 3}>
    { ROWS a = OneHot(m, d, e) y = Add(x, a) }
twos among zeros
    (int64[N,3] x) => (a, b) <int64 n = {20}, float[2] e = {0, 2}, float[2] f = {1, 0}>
    { a = OneHot(x, n, e) b = OneHot(x, n, f) }
ones among zeros in front
    (int64[N,3] x) => (y) <float n = {20}, float[2] e = {0, 1}>
    { y = OneHot<axis=0>(x, n, e) }
whole ones among zeros
    (float[N,3] z) => (a, b)
    <int64 n = {20}, int64[2] e = {0, 1}, int64[2] f = {4, -5}, int64 t = {2}>
    { x = Floor(z) c = OneHot<axis=-1>(x, n, e) a = Div(c, t)
      d = OneHot<axis=2>(x, n, f) b = Div(d, t) }
steps beside tensors of fewer axes
    (float[T,N,3] x, float[N,3] v) => (y)
    <int64 z = {0}, int64 o = {1}, int64[2] l = {1, 2}, int64 c = {2}>
    { s = Shape<end=1>(x) t = Squeeze(s) p = Range(z, t, o) q = Unsqueeze(p, l) m = Less(q, c)
      y = Where(m, v, x) }
triangles of ones that are true
    (float[N,T,3] x) => (y) <int64[1] k = {1}, int64[1] e = {2}, float n = {-9}>
    { s = Shape(x) t = Slice(s, k, e) q = Concat<axis=0>(t, t)
      c = ConstantOfShape<value=bool[1] {1}>(q) u = Trilu<upper=0>(c) d = Not(u)
      h = Transpose<perm=[0,2,1]>(x) g = MatMul(x, h) y = Where(d, n, g) }
some steps within lengths
    (float[N,T,3] x, int64[N] n) => (y)
    <int64 z = {0}, int64 o = {1}, int64[1] k = {1}, int64[1] l = {2}, float c = {0.5}>
    { s = Shape(x) t = Gather(s, o) p = Range(z, t, o) e = Abs(n) f = Unsqueeze(e, k)
      m = Less(p, f) w = Unsqueeze(m, l) y = Where(w, x, c) }
steps in front, within lengths
    (float[T,N,3] x, int64[N] n) => (y)
    <int64 z = {0}, int64 o = {1}, int64[1] k = {0}, int64[2] l = {1, 2}, int64[1] j = {2},
     float c = {0.5}>
    { s = Shape(x) t = Gather(s, z) p = Range(z, t, o) q = Unsqueeze(p, l) e = Abs(n)
      f = Unsqueeze(e, k) g = Unsqueeze(f, j) m = Less(q, g) y = Where(m, x, c) }
attention to what was
    (float[N,T,3] x) => (a, b)
    <int64[1] k = {1}, int64[1] e = {2}, int64 o = {1}, int64 i = {-1}, float n = {-9}>
    { s = Shape(x) t = Slice(s, k, e) q = Concat<axis=0>(t, t)
      c = ConstantOfShape<value=float[1] {1.0}>(q)
      h = Transpose<perm=[0,2,1]>(x) g = MatMul(x, h)
      u = Trilu<upper=1>(c, o) v = Cast<to=9>(u) f = Where(v, n, g) a = Softmax(f)
      l = Trilu<upper=0>(c, i) w = Cast<to=9>(l) d = Where(w, n, g) b = Softmax(d) }
triangles of open steps
    (float[N,T,T] x) => (a, b, d)
    <int64[1] k = {1}, int64 o = {-2}, int64 r = {2}>
    { q = Shape<start=1>(x) c = ConstantOfShape<value=float[1] {1.5}>(q) u = Trilu(c)
      l = Trilu<upper=0>(c) v = Trilu(c, o) w = Trilu<upper=0>(c, r)
      a = Mul(x, u) b = Add(l, x) e = Mul(v, w) d = Sub(x, e) }
triangles of two open lengths
    (float[N,T,3] x, float[N,S,3] z) => (a, b)
    <int64[1] k = {1}, int64[1] e = {2}, int64 i = {-1}, int64[3] r = {1, 0, 0}, int64[1] f = {0}>
    { s = Shape(x) t = Slice(s, k, e) u = Shape<start=1, end=2>(z) q = Concat<axis=0>(t, u)
      c = ConstantOfShape<value=float[1] {1.5}>(q) h = Transpose<perm=[0,2,1]>(z)
      g = MatMul(x, h) l = Trilu<upper=0>(c, i) m = Mul(c, l) a = Mul(g, m)
      o = Unsqueeze(c, f) v = Trilu(o) w = Add(v, l) b = Add(w, g) }
triangles by numbers of steps
    (float[N,T,3] x) => (y)
    <int64 z = {0}, int64 o = {1}, int64[1] k = {1}, int64[1] l = {0}, float n = {-9}>
    { s = Shape(x) t = Gather(s, o) p = Range(z, t, o) q = Unsqueeze(p, k) r = Unsqueeze(p, l)
      m = Less(q, r) h = Transpose<perm=[0,2,1]>(x) g = MatMul(x, h) y = Where(m, n, g) }
numbers of steps in a row
    (float[N,T] x) => (y)
    <int64 z = {0}, int64 o = {1}, int64[2] k = {1, -1}, float w = {0.1}>
    { s = Shape(x) t = Gather(s, o) p = Range(z, t, o) a = Reshape(p, k) b = Identity(a)
      c = Cast<to=1>(b) d = Mul(c, w) e = Sin(d) y = Add(x, e) }
numbers of steps, halved and bounded
    (float[N,T] x) => (a, b) <int64 z = {0}, int64 o = {1}, int64 h = {2}>
    { s = Shape<start=1>(x) t = Squeeze(s) p = Range(z, t, o) q = Div(p, h) f = Cast<to=1>(q)
      a = Add(x, f) c = Clip(p, , h) m = Max(q, c) g = Cast<to=1>(m) b = Mul(x, g) }
numbers of steps beside constants of more axes
    (float[N,2,T] x) => (y) <int64 z = {0}, int64 o = {1}, float[1,1] c, int64[1] k = {1}>
    { s = Shape<start=2>(x) t = Squeeze(s) p = Range(z, t, o) f = Cast<to=1>(p) q = Mul(f, c)
      r = Unsqueeze(q, k) y = Add(r, x) }
numbers of steps, turned
    (float[N,3,T] x) => (y) <int64 z = {0}, int64 o = {1}, int64[1] l = {0}, float[9,3] w>
    { s = Shape<start=2>(x) t = Squeeze(s) p = Range(z, t, o) q = Unsqueeze(p, l)
      e = Gather(w, q) f = Transpose<perm=[0,2,1]>(e) y = Add(x, f) }
numbers of steps, looked up
    (float[N,T,3] x) => (y)
    <int64 z = {0}, int64 o = {1}, int64[1] l = {0}, float[9,3] w>
    { s = Shape(x) t = Gather(s, o) p = Range(z, t, o) q = Unsqueeze(p, l) e = Gather(w, q)
      y = Add(x, e) }
constants of open steps
    (float[N,T,3] x) => (a, b)
    <int64[1] k = {1}, int64[1] e = {2}, int64[1] n = {3}, int64[1] i = {1}>
    { s = Shape(x) t = Slice(s, k, e) q = Concat<axis=0>(t, n)
      c = ConstantOfShape<value=float[1] {1.5}>(q) a = Add(x, c)
      f = ConstantOfShape<value=float[1] {0.5}>(t) r = Concat<axis=0>(i, t, i)
      g = ConstantOfShape(r) h = Sum(g, x, c) b = Mul(h, x) }
shapes of open steps
    (float[N,T] x) => (y) <int64 z = {0}, int64 o = {1}, int64[1] k = {0}>
    { s = Shape<start=1>(x) t = Squeeze(s) p = Range(z, t, o) q = Unsqueeze(p, k) r = Shape(q)
      c = ConstantOfShape<value=float[1] {2.0}>(r) y = Add(x, c) }
branches of what is made outside
    (float[N,3] x) => (y) <bool c = {1}>
    { h = Neg(x) i = Relu(x)
      y = If(c) <then_branch = a () => (h) { }, else_branch = b () => (i) { }> }
branches within branches
    (float[N,3] x) => (y, z) <bool c = {1}, bool d = {0}>
    { y, z = If(c) <then_branch = a () => (u, r) <float[3] w = {1,2,3}>
        { u = If(d) <then_branch = e () => (p) { p = Relu(x) },
                     else_branch = f () => (q) <float[3] v = {4,5,6}> { q = Add(x, v) }>
          r = Mul(u, w) },
                 else_branch = b () => (m, n) { m = Relu(x) n = Neg(x) }> }
branches that each hold a weight of one name
    (float[N,3] x) => (y) <bool c = {1}, bool d = {0}>
    { p = If(c) <then_branch = a () => (u) <float[3] w = {1,2,3}> { u = Add(x, w) },
                 else_branch = b () => (v) { v = Neg(x) }>
      y = If(d) <then_branch = e () => (m) { m = Neg(p) },
                 else_branch = f () => (n) <float[3] w = {4,5,6}> { n = Mul(p, w) }> }
branches that call what they make the same
    (float[N,3] x) => (y) <bool c = {1}, bool d = {0}, float[3] k>
    { p = If(c) <then_branch = a () => (u) <float[3] w = {1,2,3}> { t = Add(x, w) u = Neg(t) },
                 else_branch = b () => (v) { v = Neg(x) }>
      q = If(c) <then_branch = e () => (u) { t = Mul(p, k) u = Relu(t) },
                 else_branch = f () => (v) { v = Neg(x) }>
      y = If(d) <then_branch = g () => (t) { t = Neg(x) },
                 else_branch = h () => (u) <float[3] w = {4,5,6}> { t = Mul(q, w) u = Sub(t, p) }> }
branches within branches that call what they make the same
    (float[N,3] x) => (y) <bool c = {1}>
    { y = If(c) <then_branch = a () => (u)
        { p = If(c) <then_branch = e () => (m) { t = Relu(x) m = Neg(t) },
                     else_branch = f () => (m) { m = Neg(x) }>
          t = Add(p, x)
          q = If(c) <then_branch = e () => (m) { m = Neg(t) },
                     else_branch = f () => (m) { m = Neg(x) }>
          u = Mul(q, p) },
                 else_branch = b () => (v) { v = Neg(x) }> }
branches by a length that is known beside open ones
    (float[2,N,T] x) => (y) <int64 i = {0}>
    { s = Shape(x) n = Gather(s, i) k = Cast<to=9>(n)
      y = If(k) <then_branch = a () => (u) { u = Relu(x) },
                 else_branch = b () => (v) { v = Neg(x) }> }
whole branches
    (int64[N,3] x) => (y) <bool[1,1] c = {0}, int64 t = {2}>
    { a = If(c) <then_branch = a () => (u) { u = Cast<to=1>(x) },
                 else_branch = b () => (v) { v = Neg(x) }>
      y = Div(a, t) }
branches of branches' outputs
    (float[N,3] x) => (y) <bool c = {1}, bool d = {0}>
    { a = If(c) <then_branch = a () => (u) { u = Relu(x) },
                 else_branch = b () => (v) { v = Neg(x) }>
      e = Xor(c, d) f = And(e, c) g = Not(f)
      y = If(g) <then_branch = h () => (p) { p = Relu(a) },
                 else_branch = i () => (q) { w = Neg(a) q = Sub(w, x) }> }
lengths that a shape has baked in
    (float[P,N,4] x) => (y) <int64[3] k = {3, -1, 4}>
    { a = Reshape(x, k) y = Relu(a) }
four lengths that a shape has baked in
    (float[P,Q,Q1,Q2,N] x) => (y) <int64[5] k = {3, 2, 2, 2, -1}>
    { a = Reshape(x, k) y = Relu(a) }
several lengths that shapes have baked in
    (float[P,Q,N,4] x) => (y) <int64[4] k = {3, 2, -1, 4}, int64[4] l = {6, -1, 2, 2}>
    { a = Reshape(x, k) b = Relu(a) y = Reshape(b, l) }
by known lengths one way
    (float[N,1,3] x) => (y) <int64[1] o = {1}, int64[1] k = {1}>
    { s = Shape<start=1, end=2>(x) e = Equal(s, o) d = Squeeze(e)
      y = If(d) <then_branch = a () => (u) { u = Squeeze(x, k) },
                 else_branch = b () => (v) { v = Identity(x) }> }
by known lengths the other way
    (float[N,2,3] x) => (y, w) <int64[1] o = {1}, int64[1] k = {1}>
    { s = Shape<start=1, end=2>(x) e = Equal(s, o) d = Squeeze(e) c = Neg(x)
      y, w = If(d) <then_branch = a () => (u, t) { u = Squeeze(x, k) t = Relu(u) },
                    else_branch = b () => (v, x) { q = Relu(c) v = Add(q, c) }> }
"""
)


@pytest.mark.parametrize("text", LAYERS.values(), ids=LAYERS)
def test_layers(text: str) -> None:
    check(text)


WRITTEN = table(
    """\
rows and places written, counted together
    (float[N,4,3] x, float[N,3] u) => (y)
    <int64 z = {0}, int64 o = {1}, int64[2] k = {-1, 1}, int64[1] m = {-1}, int64[1] t = {2}>
    { r = Shape(x) n = Gather(r, z) j = Range(z, n, o) i = Reshape(j, k) a = Add(i, t) s = Shape(a)
      e = Expand(i, s) f = Expand(t, s) p = Unsqueeze(e, m) q = Unsqueeze(f, m)
      d = Concat<axis=-1>(p, q) g = Shape<start=2>(x) h = Concat<axis=0>(s, g) w = Reshape(u, h)
      y = ScatterND(x, d, w) }
places in another order written, beside open steps
    (float[N,5,T] x, float[N,2,T] u) => (y) <int64[2,1] d = {4, -3}>
    { a = Transpose<perm=[1, 0, 2]>(x) b = Transpose<perm=[1, 0, 2]>(u)
      c = ScatterND<reduction="none">(a, d, b) y = Transpose<perm=[1, 0, 2]>(c) }
rows of a fixed number and places written
    (float[2,4,3] x) => (y)
    <int64[2,2,2] d = {0, 3, 0, -3, 1, 3, 1, -3}, int64[1] z = {0}, int64[1] e = {2},
     int64[1] o = {1}>
    { u = Slice(x, z, e, o) v = Exp(u) y = ScatterND(x, d, v) }
rows of a fixed number written into zeros
    (float[2,3] x) => (y)
    <float[2,4,3] c = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     int64[2,2] d = {0, 2, 1, 2}>
    { y = ScatterND(c, d, x) }
constants written for a fixed number of rows
    (float[2,3] x) => (y) <int64[2,1,2] d = {0, 2, 1, 2}, float[2,1] u = {7, 7}>
    { y = ScatterND(x, d, u) }
one row of a fixed number written into zeros, rows behind
    (float[1,3] x) => (y)
    <float[2,1,3] c = {0, 0, 0, 0, 0, 0}, int64[1,1] d = {1}, int64[1,1] e = {0},
     int64[3] k = {1, 1, 3}>
    { u = Reshape(x, k) a = ScatterND(c, d, u) v = Exp(u) y = ScatterND(a, e, v) }
places in front of the rows written again and again
    (float[T,N,3] x, float[N,3] u) => (y)
    <int64[1] z = {0}, float c = {2}, int64[1,1] d = {1}, int64[1,1] e = {0}, int64[1,1] f = {-1},
     int64 first = {0}, int64[1] s = {3}>
    { p = Slice(x, z, s, z) a = Unsqueeze(u, z) q = ScatterND(p, d, a) b = Exp(a)
      r = ScatterND(q, e, b) g = Gather(r, first) h = Add(g, u) i = Unsqueeze(h, z)
      j = ScatterND(r, f, i) l = ScatterND(j, d, i) y = Mul(l, c) }
places of several axes written
    (float[N,2,3,4] x, float[N,2] u) => (y)
    <int64[2,3] d = {1, 2, 0, 0, -2, 3}>
    { a = Transpose<perm=[1, 2, 3, 0]>(x) b = Transpose(u) y = ScatterND(a, d, b) }
all places of an axis written beside one of another
    (float[N,3,5] x, float[N,3] u) => (y) <int64[3,2] d = {0, 4, 1, 4, 2, 4}>
    { a = Transpose<perm=[1, 2, 0]>(x) b = Transpose(u) y = ScatterND(a, d, b) }
places of a diagonal written
    (float[N,3,3] x, float[N,3] u) => (y) <int64[3,2] d = {0, 0, 1, 1, 2, 2}>
    { a = Transpose<perm=[1, 2, 0]>(x) b = Transpose(u) y = ScatterND(a, d, b) }
written whole
    (float[N,3] x, float[N,3] u) => (y) <int64[3,1] d = {2, 0, 1}>
    { a = Transpose(x) b = Transpose(u) y = ScatterND(a, d, b) }
constants written into constants
    (float[N,3] x) => (y) <float[3,2] c, int64[1,2] d = {2, -1}, float[1] u = {9}>
    { e = ScatterND(c, d, u) y = MatMul(x, e) }
several places written along an axis
    (float[N,4,3] x) => (a, b) <int64[1,2,1] k = {3, 1}, int64[1] z = {0}, int64[1] t = {2},
    int64[1] o = {1}>
    { g = Slice(x, z, t, o) h = Exp(g) s = Shape(h) e = Expand(k, s)
      a = ScatterElements<axis=1>(x, e, h)
      i = Slice(a, o, t, o) j = Slice(a, z, o, o) b = Sub(i, j) }
places of a fixed number of rows written along an axis
    (float[2,3] x, float[2,1] u) => (a, b)
    <int64[2,1] k = {1, 1}, float[2,3] c = {0, 0, 0, 0, 0, 0}>
    { a = ScatterElements<axis=1>(x, k, u) b = ScatterElements<axis=1>(c, k, u) }
constants written along an axis of constants
    (float[N,3] x) => (y) <float[2,3] c, int64[2,1] k = {2, 2}, float[2,1] u>
    { a = ScatterElements<axis=1>(c, k, u) b = Transpose(a) y = MatMul(x, b) }
a computed place of each row written
    (float[N,4,3] x, int64[N] n) => (y)
    <int64 z = {0}, int64 o = {1}, int64 f = {4}, int64[1] m = {-1}>
    { r = Shape<end=1>(x) c = Squeeze(r) j = Range(z, c, o) i = Unsqueeze(j, m) p = Mod(n, f)
      q = Sub(p, o) k = Unsqueeze(q, m) d = Concat<axis=1>(i, k) u = Gather<axis=1>(x, z)
      v = Exp(u) y = ScatterND(x, d, v) }
a computed place of each row of a fixed number written into zeros
    (int64[2] n) => (y)
    <float[2,3] c = {0, 0, 0, 0, 0, 0}, int64 f = {3}, int64[1] m = {1}, int64[2,1] i = {0, 1},
     float[2] u = {1, 1}>
    { p = Mod(n, f) k = Unsqueeze(p, m) d = Concat<axis=1>(i, k) y = ScatterND(c, d, u) }
a number added to a place
    (float[N,3] x) => (y) <int64 o = {1}, int64 l = {-1}, int64[1] k = {1}>
    { g = Gather<axis=1>(x, l) u = Unsqueeze(g, k) r = Shape(u) e = Expand(o, r)
      y = ScatterElements<axis=1, reduction="add">(x, e, u) }
numbers added to places, several to one
    (float[N,3] x, int64[N,T] n, float[N,T] u) => (y) <int64 f = {3}>
    { k = Mod(n, f) y = ScatterElements<axis=1, reduction="add">(x, k, u) }
numbers added to places from the end
    (float[N,3] x, int64[N,T] n, float[N,T] u) => (y) <int64 f = {3}>
    { m = Mod(n, f) k = Sub(m, f) y = ScatterElements<axis=-1, reduction="add">(x, k, u) }
numbers added to steps
    (float[N,4,3] x, int64[N,T,3] n, float[N,T,3] u) => (y) <int64 f = {4}>
    { k = Mod(n, f) y = ScatterElements<axis=1, reduction="add">(x, k, u) }
computed places written along an axis
    (float[N,3] x, int64[N,2] n) => (y) <int64 f = {3}, int64[1] z = {0}, int64[1] t = {2},
    int64[1] o = {1}>
    { k = Mod(n, f) s = Slice(x, z, t, o) u = Exp(s) y = ScatterElements<axis=1>(x, k, u) }
a place of each row, rows side by side
    (float[4,N,3] x, int64[N] n) => (y) <int64 z = {0}, int64 o = {1}, int64 f = {4}>
    { s = Shape<start=1, end=2>(x) c = Squeeze(s) j = Range(z, c, o) p = Mod(n, f) m = Mul(p, s)
      q = Add(j, m) g = Flatten<axis=2>(x) y = Gather(g, q) }
a place of each row of a fixed number, rows side by side
    (float[4,2,2] x, int64[2] n) => (y)
    <float[1,9,2] w, float[1,9,3] r, float[1,18] b, int64[1] o = {1}, int64 f = {4},
     int64[2] j = {0, 1}>
    { a = GRU(x, w, r, b) v = Squeeze(a, o) s = Shape<start=1, end=2>(v) p = Mod(n, f)
      m = Mul(p, s) q = Add(m, j) g = Flatten<axis=2>(v) y = Gather(g, q) }
a place of each row of a fixed number
    (float[2,4,3] x, int64[2] n) => (a, b)
    <int64 f = {4}, int64[2] j = {0, 4}, int64[2,1] i = {0, 1}, int64[1] k = {1}>
    { p = Mod(n, f) q = Add(j, p) g = Flatten<axis=2>(x) a = Gather(g, q)
      r = Unsqueeze(p, k) d = Concat<axis=1>(i, r) b = GatherND(x, d) }
no place, from the last one up to the first
    (float[N,T,3] x) => (y) <int64[1] k = {1}, int64[1] s = {-1}, int64[1] e = {0}>
    { p = Slice(x, s, e, k) q = ReduceSum(p, k) y = Add(x, q) }
a place of the one row
    (float[1,4,3] x, int64[1] n) => (y) <int64 f = {4}>
    { p = Mod(n, f) g = Flatten<axis=2>(x) y = Gather(g, p) }
"""
)


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
def test_shapes(text: str) -> None:
    check(text)


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
def test_places_written(text: str) -> None:
    check(text)


# What the reference does not have, or has wrong, and the same in what it has.
ALIKE = table(
    """
one row, its steps laid out and put back
    (float[N,4,3] x) => (y) <int64[2] k = {-1, 3}, int64[3] m = {-1, 4, 3}>
    { a = Reshape(x, k) b = Relu(a) y = Reshape(b, m) }
    as
    (float[1,4,3] x) => (y) <int64[2] k = {-1, 3}, int64[3] l = {1, 4, -1}>
    { a = Reshape(x, k) b = Relu(a) y = Reshape(b, l) }
one row, features side by side
    (float[N,4,3] x) => (y) <int64[2] k = {-1, 3}, int64[2] m = {-1, 12}>
    { a = Reshape(x, k) b = Relu(a) y = Reshape(b, m) }
    as
    (float[1,4,3] x) => (y) <int64[2] k = {-1, 3}, int64[2] l = {1, -1}>
    { a = Reshape(x, k) b = Relu(a) y = Reshape(b, l) }
one row behind steps, heads put together
    (float[N,4,3,2] x) => (y)
    <int64[3] k = {0, -1, 6}, float[6,5] w>
    { b = Reshape(x, k) y = MatMul(b, w) }
    as
    (float[1,4,3,2] x) => (y)
    <int64[2] k = {4, 6}, float[6,5] w, int64[3] l = {4, 1, 5}>
    { a = Transpose<perm=[1, 0, 2, 3]>(x) b = Reshape(a, k) c = Gemm(b, w) d = Reshape(c, l)
      y = Transpose<perm=[1, 0, 2]>(d) }
one row with its channels side by side in front of steps
    (float[N,2,3,4] x) => (y) <int64[3] k = {0, 6, 4}>
    { y = Reshape(x, k) }
    as
    (float[1,2,3,4] x) => (y) <int64[3] k = {1, 6, 4}>
    { y = Reshape(x, k) }
a number of the one row in a column
    (float[N] x) => (y) <int64[1] k = {1}>
    { a = Unsqueeze(x, k) y = Relu(a) }
    as
    (float[1] x) => (y) <int64[2] k = {-1, 1}>
    { a = Reshape(x, k) y = Relu(a) }
constants for a fixed number of rows joined with these
    (float[N,3] x) => (y) <float[2] c = {1, 2}, int64[1] k = {2}>
    { ROWS y = Concat<axis=1>(m, x) }
    as
    (float[2,3] x) => (y) <float[2,2] c = {1, 2, 1, 2}>
    { y = Concat<axis=1>(c, x) }
constants for a fixed number of rows normalized
    (float[N,3] x) => (y) <float[3] c = {1, 2, 4}, int64[1] k = {3}, float[3] g>
    { ROWS a = LayerNormalization(m, g) y = Add(a, x) }
    as
    (float[2,3] x) => (y) <float[2,3] c = {1, 2, 4, 1, 2, 4}, float[3] g>
    { a = LayerNormalization(c, g) y = Add(a, x) }
constants for a fixed number of rows times steps
    (float[N,4,3] x) => (y) <int64[2] k = {-1, 3}, float[1,3] c, int64[3] m = {-1, 4, 3}>
    { a = Reshape(x, k) b = Add(a, c) y = Reshape(b, m) }
    as
    (float[2,4,3] x) => (y)
    <int64[2] k = {-1, 3}, float[1,3] c, int64[1] z = {0}, int64[3] m = {-1, 4, 3},
     float[8,1] o = {1, 1, 1, 1, 1, 1, 1, 1}>
    { a = Reshape(x, k) s = Shape<end=1>(a) t = Shape<start=1>(c) u = Concat<axis=0>(s, t)
      e = Expand(o, u) d = Mul(e, c) b = Add(a, d) y = Reshape(b, m) }
steps of constants for a fixed number of rows
    (float[5,N,2] x) => (y)
    <float[1,9,2] w, float[1,9,3] r, float[1,18] b, int64[1] o = {1}, float z = {0}, float e = {1}>
    { p = Mul(x, z) q = Add(p, e) c, h = GRU(x, w, r, b) d, g = GRU(q, w, r, b, "", h)
      y = Squeeze(d, o) }
    as
    (float[5,2,2] x) => (y)
    <float[1,9,2] w, float[1,9,3] r, float[1,18] b, int64[1] o = {1},
     float[5,2,2] q = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}>
    { c, h = GRU(x, w, r, b) d, g = GRU(q, w, r, b, "", h) y = Squeeze(d, o) }
padded less
    (float[N,3,4] x) => (y) <int64[4] r = {-1, 1, 2, -1}, int64[2] l = {1, 2}, float v = {5}>
    { y = Pad(x, r, v, l) }
    as
    (float[N,3,4] x) => (y) <int64[4] r = {0, 1, 2, 0}, int64[2] l = {1, 2}, float v = {5},
    int64[2] s = {1, 0}, int64[2] e = {9, -1}>
    { a = Slice(x, s, e, l) y = Pad(a, r, v, l) }
softmax of several axes
    11 (float[N,3,4] x) => (y)
    { y = Softmax<axis=-2>(x) }
    as
    (float[N,3,4] x) => (y) <int64[2] k = {0, 12}, int64[3] l = {0, 3, 4}>
    { a = Reshape(x, k) b = Softmax(a) y = Reshape(b, l) }
one of several axes
    11 (float[N,2,3,4] x) => (y)
    { y = Hardmax<axis=2>(x) }
    as
    (float[N,2,3,4] x) => (y) <int64[3] k = {0, 0, -1}, int64[4] q = {0, 0, 3, 4}>
    { a = Reshape(x, k) b = Hardmax(a) y = Reshape(b, q) }
log of softmax of several axes
    12 (float[N,3,4] x) => (y)
    { y = LogSoftmax(x) }
    as
    (float[N,3,4] x) => (y) <int64[2] k = {0, 12}, int64[3] l = {0, 3, 4}>
    { a = Reshape(x, k) b = LogSoftmax(a) y = Reshape(b, l) }
numbers that are cut off, as ones among zeros
    (float[N,3] x) => (y) <int64 n = {3}, float[2] e = {0, 1}>
    { y = OneHot(x, n, e) }
    as
    (float[N,3] x) => (y) <int64[1] n = {3}, float[2] e = {0, 1}>
    { a = Cast<to=7>(x) y = OneHot(a, n, e) }
ones among zeros beyond them
    (float[N,3] x) => (y) <int64 n = {3}, float[2] e = {2, 5}, float m = {3}>
    { z = Sub(x, x) t = Add(z, m) y = OneHot(t, n, e) }
    as
    (float[N,3] x) => (y) <int64[3] k = {0, 3, 1}, int64[3] l = {1, 1, 3}, float m = {2}>
    { z = Sub(x, x) t = Add(z, m) a = Reshape(t, k) y = Expand(a, l) }
ones among zeros before them
    (float[N,3] x) => (y) <int64 n = {3}, float[2] e = {2, 5}, float m = {-4}>
    { z = Sub(x, x) t = Add(z, m) y = OneHot(t, n, e) }
    as
    (float[N,3] x) => (y) <int64[3] k = {0, 3, 1}, int64[3] l = {1, 1, 3}, float m = {2}>
    { z = Sub(x, x) t = Add(z, m) a = Reshape(t, k) y = Expand(a, l) }
all outputs of batch normalization
    9 (float[N,3] x) => (y) <float[3] c, float[3] d, float[3] e, float[3] f = {0.5, 1.0, 2.0}>
    { a, m, v = BatchNormalization<momentum=0.5>(x, c, d, e, f) b = Add(a, m) y = Mul(b, v) }
    as
    (float[N,3] x) => (y) <float[3] c, float[3] d, float[3] e, float[3] f = {0.5, 1.0, 2.0}>
    { a = BatchNormalization(x, c, d, e, f) b = Add(a, e) y = Mul(b, f) }
pool as long as it was
    (float[N,2,5] x) => (y)
    { y = MaxPool<kernel_shape=[2], strides=[2], auto_pad="SAME_LOWER">(x) }
    as
    (float[N,2,5] x) => (y)
    { y = MaxPool<kernel_shape=[2], strides=[2], pads=[1, 0]>(x) }
pool of open steps
    (float[N,2,T] x) => (y)
    { y = MaxPool<kernel_shape=[4], auto_pad="SAME_UPPER">(x) }
    as
    (float[N,2,T] x) => (y)
    { y = MaxPool<kernel_shape=[4], pads=[1, 2]>(x) }
pool of all steps
    (float[N,2,7] x) => (y)
    { y = GlobalMaxPool(x) }
    as
    (float[N,2,7] x) => (y) <int64[1] k = {2}>
    { y = ReduceMax(x, k) }
dropout
    10 (float[N,3] x) => (y)
    { y = Dropout<ratio=0.3>(x) }
    as
    (float[N,3] x) => (y) <float r = {0.3}, bool t = {1}>
    { y = Dropout<seed=7>(x, r, t) }
dropout of the default rate
    10 (float[N,3] x) => (y)
    { y = Dropout(x) }
    as
    (float[N,3] x) => (y) <bool t = {0}>
    { y = Dropout(x, , t) }
numbers along for more
    (float[N,3,4] x) => (y)
    { p = ArgMax<axis=2>(x) y = GatherElements<axis=-1>(x, p) }
    as
    (float[N,3,4] x) => (y) <int64[1] k = {2}>
    { y = ReduceMax(x, k) }
constants of sixteen bits, which are those of 2048 and 1
    (float[N,1] x) => (y) <float16[1] c = {26624}, float16[1] d = {15360}>
    { a = Add(c, d) b = Cast<to=1>(a) y = Add(x, b) }
    as
    (float[N,1] x) => (y) <float[1] c = {2049}>
    { y = Add(x, c) }
constants to sixteen bits
    (float[N,1] x) => (y) <float[1] c = {2049}>
    { a = Cast<to=10>(c) b = Cast<to=1>(a) y = Add(x, b) }
    as
    (float[N,1] x) => (y) <float[1] c = {2049}>
    { y = Add(x, c) }
conv of what is valid
    (float[N,2,7] x) => (y) <float[3,2,3] c>
    { y = Conv<auto_pad="VALID", pads=[1, 1]>(x, c) }
    as
    (float[N,2,7] x) => (y) <float[3,2,3] c>
    { y = Conv(x, c) }
dropout from 12 on
    12 (float[N,3] x) => (y) <float r = {0.3}>
    { y = Dropout(x, r) }
    as
    10 (float[N,3] x) => (y)
    { y = Dropout<ratio=0.3>(x) }
"""
)


def check_alike(*texts: str) -> list[fd.Model]:
    protos = [parsed(text) for text in texts]
    models = [loaded(proto) for proto in protos]
    dims = protos[0].graph.input[0].type.tensor_type.shape.dim
    x = normal(*(LENGTHS[0].get(dim.dim_param, dim.dim_value) for dim in dims))
    if "the batch is its first axis" in str(models[0].notes):
        x = x.swapaxes(0, 1)
    first, second = (model.predict(x) for model in models)
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-5)
    rates = [[layer.rates() for layer in m.layers if layer.rates()] for m in models]
    assert models[0].stochastic is ("Dropout" in texts[0])
    assert not models[0].stochastic or rates[0] == rates[1]
    return models


def test_steps_that_do_not_make_whole_ones_are_refused() -> None:
    model = loaded(
        parsed("(float[N,T,4] x) => (y) <int64[3] k = {0, -1, 8}> { y = Reshape(x, k) }")
    )
    assert model.predict(normal(3, 6, 4)).shape == (3, 3, 8)
    with pytest.raises(ValueError, match="'Reshape_0'"):
        model.predict(normal(3, 7, 4))


@pytest.mark.parametrize("text", ALIKE.values(), ids=ALIKE)
def test_models_alike(text: str) -> None:
    check_alike(*text.split("    as\n"))


@pytest.mark.parametrize("mode", ["reflect", "wrap"])
@pytest.mark.parametrize("widths", ["3, 0, 0, 0", "0, 0, 0, 3"])
def test_steps_are_padded_by_no_more_than_are_there(mode: str, widths: str) -> None:
    model = loaded(
        parsed(
            f"(float[N,T,2] x) => (y) <int64[6] k = {{0, {widths}, 0}}> "
            f'{{ y = Pad<mode="{mode}">(x, k) }}'
        )
    )
    assert model.predict(normal(2, 4, 2)).shape == (2, 7, 2)
    with pytest.raises((IndexError, ValueError)):
        model.predict(normal(2, 2, 2))


# ---- what is refused ----

REFUSALS = table(
    """
numbers beyond 8 bits
    (float[N,3] x) => (y)
    { a = Cast<to=2>(x) y = Cast<to=1>(a) }
    -> whole numbers of 8 bits
numbers beyond 16 bits
    (float[N,3] x) => (y)
    { a = Cast<to=5>(x) y = Cast<to=1>(a) }
    -> whole numbers of 16 bits
a triangle of very many
    (float[N,70000,70000] x) => (y)
    { y = Trilu(x) }
    -> a constant of 39200000000 bytes
lines by other places
    (float[N,3] x) => (y) <float[2] s = {1, 2}>
    { y = Resize<mode="linear", coordinate_transformation_mode="tf_crop_and_resize">(x, , s) }
    -> places by 'tf_crop_and_resize'
lines of less
    (float[N,3] x) => (y) <float[2] s = {1, 0.5}>
    { y = Resize<mode="linear", antialias=1>(x, , s) }
    -> attribute 'antialias'
shapes
    (float[N,3] x) => (y) <float[2] c, float[3] d>
    { a = Add(c, d) y = Add(x, a) }
    -> do not broadcast
lengths computed with
    (float[N,T] x) => (y)
    { s = Shape(x) y = Mul(x, s) }
    -> a length left open, computed with
lengths as a condition
    (float[N,T] x) => (y)
    { s = Shape(x) y = Where(s, x, x) }
    -> a length left open, as a condition
lengths between
    (float[N,T] x) => (y) <int64 l = {0}>
    { s = Shape(x) t = Clip(s, l) y = Reshape(x, t) }
    -> a length left open, computed with
lengths as numbers
    (float[N,T] x) => (y)
    { s = Shape(x) a = Cast<to=1>(s) y = Add(x, a) }
    -> numbers computed of how many rows there are
maximum of lengths
    (float[N,T] x) => (y) <int64[1] k = {0}>
    { s = Shape(x) t = ReduceMax(s, k) y = Expand(x, t) }
    -> a length left open, computed with
product of lengths
    (float[N,T] x) => (y) <float[2,2] c>
    { s = Shape(x) t = Cast<to=7>(s) y = MatMul(c, t) }
    -> a length left open, computed with
lengths as places
    (float[N,T] x) => (y)
    { s = Shape(x) y = Gather<axis=1>(x, s) }
    -> lengths left open, as places
lengths along
    (float[N,T] x) => (y) <int64[1] k = {0}>
    { s = Shape(x) t = Unsqueeze(s, k) y = GatherElements<axis=1>(x, t) }
    -> a length left open, computed with
lengths joined
    (float[N,2] x) => (y) <int64[1] k = {0}>
    { s = Shape(x) t = Unsqueeze(s, k) y = Concat<axis=0>(x, t) }
    -> a length left open, computed with
lengths padded
    (float[N,2] x) => (y) <int64[2] k = {1, 1}>
    { s = Shape(x) t = Pad(s, k) y = Reshape(x, t) }
    -> widths of [1, 1]
lengths as axes
    (float[N,T] x) => (y)
    { s = Shape(x) y = Unsqueeze(x, s) }
    -> a number that depends on a length left open
numbers as axes
    (float[N,2] x) => (y) <float[1] k = {1}>
    { y = Unsqueeze(x, k) }
    -> expected whole numbers
axes of two axes
    (float[N,2] x) => (y) <int64[1,1] k = {1}>
    { y = Unsqueeze(x, k) }
    -> expected whole numbers
whole division by 0
    (int64[N,2] x) => (y) <int64[2] c = {1, 0}>
    { a = Div(c, c) y = Add(x, a) }
    -> a division by zero
type
    (float[N,2] x) => (y)
    { a = Cast<to=8>(x) y = Relu(a) }
    -> elements of type 8
few bits
    (int64[N,2] x) => (y)
    { y = Cast<to=3>(x) }
    -> whole numbers of 8 bits
no sign
    (int8[N,2] x) => (y)
    { y = Cast<to=2>(x) }
    -> whole numbers of 8 bits
activation of whole numbers
    (int64[N,2] x) => (y) <int64[2] c>
    { a = Relu(c) y = Add(x, a) }
    -> Relu of a constant
softmax of a constant
    (float[N,2] x) => (y) <float[2] c>
    { a = Softmax(c) y = Add(x, a) }
    -> Softmax of a constant
mean of whole numbers
    (int64[N,2] x) => (y) <int64[2] c>
    { a = ReduceMean(c) y = Add(x, a) }
    -> the mean of whole numbers
product of constants
    (float[N,2] x) => (y) <float[2,3] c>
    { a = MatMul(c, c) y = Add(x, a) }
    -> a product of (2, 3) and (2, 3)
product of a number
    (float[N,2] x) => (y) <float[3] c, float d>
    { a = MatMul(c, d) y = Add(x, a) }
    -> a product of (3,) and ()
product of stacks
    (float[N,2] x) => (y) <float[2,3,3] c, float[3,3,3] d>
    { a = MatMul(c, d) y = Add(x, a) }
    -> a product of (2, 3, 3) and (3, 3, 3)
gemm of a stack
    (float[N,2,3] x) => (y) <float[3,3] c>
    { y = Gemm(x, c) }
    -> a product of 3 and 2 axes
gemm with a stack
    (float[N,3] x) => (y) <float[1,3,3] c>
    { y = Gemm(x, c) }
    -> a product of 2 and 3 axes
conv over too many axes
    (float[N,2,4] x) => (y) <float[3,2,2,2] c>
    { y = Conv(x, c) }
    -> windows over 2 axes of a tensor of 3
too few strides
    (float[N,2,4,4] x) => (y) <float[3,2,2,2] c>
    { y = Conv<strides=[1]>(x, c) }
    -> windows over 2 axes of a tensor of 4
strides of 0
    (float[N,2,4] x) => (y) <float[3,2,2] c>
    { y = Conv<strides=[0]>(x, c) }
    -> windows over 1 axes of a tensor of 3
dilations of 0
    (float[N,2,4] x) => (y) <float[3,2,2] c>
    { y = Conv<dilations=[0]>(x, c) }
    -> windows over 1 axes of a tensor of 3
windows of 0
    (float[N,2,4] x) => (y)
    { y = MaxPool<kernel_shape=[0]>(x) }
    -> windows over 1 axes of a tensor of 3
too few pads
    (float[N,2,4] x) => (y) <float[3,2,2] c>
    { y = Conv<pads=[1]>(x, c) }
    -> attribute 'pads': [1]
pads below 0
    (float[N,2,4] x) => (y) <float[3,2,2] c>
    { y = Conv<pads=[0,-1]>(x, c) }
    -> attribute 'pads': [0, -1]
automatic
    (float[N,2,4] x) => (y) <float[3,2,2] c>
    { y = Conv<auto_pad="SAME">(x, c) }
    -> attribute 'auto_pad': SAME
automatic, of open steps
    (float[N,2,T] x) => (y) <float[3,2,2] c>
    { y = Conv<auto_pad="SAME_LOWER", strides=[2]>(x, c) }
    -> attribute 'auto_pad': SAME_LOWER, of an open length
another size
    (float[N,2,4] x) => (y) <float[3,2,2] c>
    { y = Conv<kernel_shape=[3]>(x, c) }
    -> windows of another size than the weights
too many dilations
    (float[N,2,4] x) => (y) <float[3,2,2] c>
    { y = Conv<dilations=[1,1]>(x, c) }
    -> windows of another size than the weights
transposed convolution to a length
    (float[N,2,T] x) => (y) <float[2,3,5] c>
    { y = ConvTranspose<output_shape=[9]>(x, c) }
    -> a transposed convolution of 'T' places to 9
transposed convolution of other windows
    (float[N,2,4] x) => (y) <float[2,3,5] c>
    { y = ConvTranspose<kernel_shape=[4]>(x, c) }
    -> windows of another size than the weights
transposed convolution of nothing
    (float[N,2,4] x) => (y) <float[2,3,2] c>
    { y = ConvTranspose<pads=[3,2]>(x, c) }
    -> padding of 3 and 2 of 5 places
no size
    (float[N,2,4] x) => (y)
    { y = MaxPool(x) }
    -> no sizes of windows
means with gaps
    19 (float[N,2,4] x) => (y)
    { y = AveragePool<kernel_shape=[2], dilations=[2]>(x) }
    -> means of windows with gaps (dilation)
pool with one gap of two
    (float[N,2,4,4] x) => (y)
    { y = MaxPool<kernel_shape=[2,2], dilations=[2]>(x) }
    -> attribute 'dilations': [2]
storage
    (float[N,2,4] x) => (y, i)
    { y, i = MaxPool<kernel_shape=[2], storage_order=1>(x) }
    -> the places of what is largest, which is the second output
a mask, of old
    11 (float[N,2] x) => (y, m)
    { y, m = Dropout<ratio=0.3>(x) }
    -> a mask of before operator set 12, on which runtimes differ
places of rows by their numbers alone
    (float[N,3] x) => (y) <int64[2,1] p = {1, 0}>
    { y = GatherND<batch_dims=1>(x, p) }
    -> attribute 'batch_dims': 1, of what is no row of the batch
places of several axes of rows
    (float[N,3,4] x, int64[N,3,1] p) => (y)
    { y = GatherND<batch_dims=2>(x, p) }
    -> attribute 'batch_dims': 2, of what is no row of the batch
constants for each row, beyond a table
    (float[N,3,2] x) => (y) <int64[3] c = {1, 0, 4}, int64[1] k = {3}, float[4,2] d>
    { n = Shape<end=1>(x) s = Concat<axis=0>(n, k) m = Expand(c, s) a = Gather(d, m) y = Add(x, a) }
    -> places beyond a table of 4
the last of the largest of open steps
    (float[N,T] x) => (y)
    { y = ArgMax<axis=1, select_last_index=1>(x) }
    -> the last of the largest of 'T' places
pool of all features
    (float[N,2] x) => (y)
    { y = GlobalMaxPool(x) }
    -> a tensor of 2 axes
pool cut off
    (float[N,2,T] x) => (y)
    { y = MaxPool<kernel_shape=[2], pads=[0,2], ceil_mode=1>(x) }
    -> windows that are cut off (ceil_mode) of an open length
layer normalization
    (float[N,2] x) => (y) <float[2] c>
    { y = LayerNormalization<stash_type=0>(x, c) }
    -> attribute 'stash_type' other than 1
layer normalization of open
    (float[N,T] x) => (y) <float[1] c>
    { y = LayerNormalization(x, c) }
    -> normalization over an open length
axis of layer normalization
    (float[N,2] x) => (y) <float[2] c>
    { y = LayerNormalization<axis=2>(x, c) }
    -> axis 2 of a tensor of 2 axes
axis of rms normalization
    23 (float[N,2] x) => (y) <float[2] c>
    { y = RMSNormalization<axis=-3>(x, c) }
    -> axis -3 of a tensor of 2 axes
rms normalization
    23 (float[N,2] x) => (y) <float[2] c>
    { y = RMSNormalization<stash_type=10>(x, c) }
    -> attribute 'stash_type' other than 1
two constants
    (float[N,2] x) => (y)
    { c = Constant<value_int=1, value_float=1.0>() y = Add(x, c) }
    -> a constant that is no numbers
text
    (float[N,2] x) => (y)
    { c = Constant<value_string="a">() y = Add(x, c) }
    -> a constant that is no numbers
no tensor
    (float[N,2] x) => (y)
    { c = Constant<value=1.0>() y = Add(x, c) }
    -> a constant that is no tensor
several values
    (float[N,2] x) => (y) <int64[1] k = {2}>
    { c = ConstantOfShape<value = float[2] {1.0, 2.0}>(k) y = Add(x, c) }
    -> attribute 'value' that is not one number
shape below 0
    (float[N,2] x) => (y) <int64[1] k = {-2}>
    { c = ConstantOfShape(k) y = Add(x, c) }
    -> a shape of [-2]
steps of 0
    (float[N,2] x) => (y) <int64 a = {0}, int64 b = {2}>
    { c = Range(a, b, a) y = Add(x, c) }
    -> numbers in steps of 0
several numbers
    (float[N,2] x) => (y) <int64[2] a, int64 b = {2}>
    { c = Range(b, b, a) y = Add(x, c) }
    -> numbers up to one that is computed
order
    (float[N,2] x) => (y)
    { y = Transpose<perm=[1,1]>(x) }
    -> attribute 'perm': [1, 1]
many axes
    (float[N,2] x) => (y) <int64[7] k = {0,1,2,3,4,5,6}>
    { y = Unsqueeze(x, k) }
    -> a tensor of 9 axes
all axes of 1
    (float[N,1,T] x) => (y)
    { y = Squeeze(x) }
    -> all axes of length 1, where some lengths are open
axis of more
    (float[N,2] x) => (y) <int64[1] k = {1}>
    { y = Squeeze(x, k) }
    -> axis 1, of length 2, taken out
no shape
    (float[N,2] x) => (y)
    { y = Reshape(x) }
    -> no shape
shape of nothing
    (float[N,2] x) => (y) <int64[3] k = {0, 2, 0}>
    { y = Reshape(x, k) }
    -> a shape of [0, 2, 0]
nothing allowed
    (float[N,2] x) => (y) <int64[2] k = {0, 2}>
    { y = Reshape<allowzero=1>(x, k) }
    -> a tensor of shape [batch, 2] as [0, 2]
shape of a constant
    (float[N,2] x) => (y) <float[3] c, int64[1] k = {2}>
    { a = Reshape(c, k) y = Add(x, a) }
    -> cannot reshape
axis of flat
    (float[N,2] x) => (y)
    { y = Flatten<axis=3>(x) }
    -> axis 3 of a tensor of 2 axes
axis of flat from behind
    (float[N,2] x) => (y)
    { y = Flatten<axis=-3>(x) }
    -> axis -3 of a tensor of 2 axes
instance normalization over the batch
    (float[N,2,3] x) => (y) <float[3] c, float[3] d>
    { t = Transpose<perm=[1,2,0]>(x) y = InstanceNormalization(t, c, d) }
    -> normalization of groups with the batch not in front
instance normalization of rows
    (float[2,N,3] x) => (y) <float[3] c, float[3] d>
    { y = InstanceNormalization(x, c, d) }
    -> normalization of batch channels
instance normalization of nothing
    (float[N,3] x) => (y) <float[3] c, float[3] d>
    { y = InstanceNormalization(x, c, d) }
    -> a tensor of 2 axes
instance normalization of open channels
    (float[N,T,3] x) => (y) <float[3] c, float[3] d>
    { y = InstanceNormalization(x, c, d) }
    -> normalization of 'T' channels
instance normalization by other weights
    (float[N,4,3] x) => (y) <float[3] c, float[4] d>
    { y = InstanceNormalization(x, c, d) }
    -> other weights than one for each of 4 channels
instance normalization by what is computed
    (float[N,3,2] x, float[N,3] w) => (y) <float[3] c>
    { y = InstanceNormalization(x, w, c) }
    -> input 1 is computed of the model's inputs
groups of unequal size
    (float[N,6,3] x) => (y) <float[6] c, float[6] d>
    { y = GroupNormalization<num_groups=4>(x, c, d) }
    -> 4 groups of 6 channels
no number of groups
    (float[N,6,3] x) => (y) <float[6] c, float[6] d>
    { y = GroupNormalization(x, c, d) }
    -> None groups of a tensor of 3 axes
groups in other numbers
    (float[N,6,3] x) => (y) <float[6] c, float[6] d>
    { y = GroupNormalization<num_groups=2, stash_type=11>(x, c, d) }
    -> attribute 'stash_type' other than 1
weights of channels in the place of groups
    18 (float[N,6,3] x) => (y) <float[6] c, float[6] d>
    { y = GroupNormalization<num_groups=2>(x, c, d) }
    -> other weights than one for each of 2 groups
weights of groups in the place of channels
    (float[N,6,3] x) => (y) <float[2] c, float[2] d>
    { y = GroupNormalization<num_groups=2>(x, c, d) }
    -> other weights than one for each of 6 channels
no shape to expand to
    (float[N,2] x) => (y)
    { y = Expand(x) }
    -> no shape
expanded to less
    (float[N,2] x) => (y) <int64[2] k = {1, -1}>
    { y = Expand(x, k) }
    -> a shape of [1, -1]
too few repeats
    (float[N,2] x) => (y) <int64[1] k = {1}>
    { y = Tile(x, k) }
    -> as many repeats as axes are expected
no repeats
    (float[N,2] x) => (y)
    { y = Tile(x) }
    -> as many repeats as axes are expected
repeats below 0
    (float[N,2] x) => (y) <float[2] c, int64[1] k = {-1}>
    { a = Tile(c, k) y = Add(x, a) }
    -> repeats of [-1]
repeats of rows
    (float[N,2] x) => (y) <int64[2] k = {2, 1}>
    { y = Tile(x, k) }
    -> rows of a batch repeated 2 times
repeats of rows that share numbers
    (float[N,3] x) => (y) <float[3] c, int64[1] k = {3}, int64[2] l = {2, 1}>
    { ROWS a = Tile(m, l) y = Add(x, a) }
    -> rows of a batch repeated 2 times
repeats of nothing
    (float[N,2] x) => (y) <int64[2] k = {1, 0}>
    { y = Tile(x, k) }
    -> 2 places repeated 0 times
repeats by an open length
    (float[N,T,2] x) => (y) <int64[2] k = {1, 1}>
    { n = Shape<start=1, end=2>(x) r = Concat<axis=0>(k, n) y = Tile(x, r) }
    -> 2 places repeated 'T' times
many repeats of two open lengths
    (float[N,T,S] x) => (y) <int64[3] k = {1, 20, 1}>
    { y = Tile(x, k) }
    -> several open lengths
repeats of positions by rows
    (float[N,T,3] x) => (y) <int64 z = {0}, int64 o = {1}>
    { STEPS n2 = Shape<end=1>(x) w = Tile(p, n2) f = Cast<to=1>(w) y = Add(x, f) }
    -> 'T' places repeated batch times
positions for less than none
    (float[N,T,3] x) => (y) <int64 z = {0}, int64 o = {1}, int64[2] k = {-1, 1}>
    { STEPS w = Expand(p, k) y = Add(x, w) }
    -> a shape of [-1, 1]
positions in the place of rows
    (float[N,T,3] x) => (y) <int64 z = {0}, int64 o = {1}>
    { STEPS n2 = Shape<end=1>(x) w = Expand(p, n2) y = Add(x, w) }
    -> rows of shape ['T'] as [batch]
positions for rows of rows
    (float[N,T] x) => (y) <int64 z = {0}, int64 o = {1}>
    { STEPS n2 = Shape<end=1>(x) q = Concat<axis=0>(n2, n2, s) w = Expand(p, q) y = Add(x, w) }
    -> ['T'] as [batch, batch, 'T']
positions for rows on another axis
    (float[T,N,T] x) => (y) <int64 z = {0}, int64 o = {1}>
    { s = Shape<end=1>(x) n = Squeeze(s) p = Range(z, n, o) q = Shape<start=1>(x) w = Expand(p, q)
      y = Gather<axis=1>(x, w) }
    -> places that are computed of the model's inputs
the last position
    (float[N,T] x) => (y) <int64 z = {0}, int64 o = {1}, int64 l = {-1}>
    { STEPS g = Gather(p, l) f = Cast<to=1>(g) y = Mul(x, f) }
    -> ['T'] without rows of a batch
positions alone
    (float[N,T] x) => (y) <int64 z = {0}, int64 o = {1}>
    { STEPS y = Identity(p) }
    -> output 'y' does not depend on the inputs
places of more axes looked up by positions
    (float[N,T] x) => (y) <int64 z = {0}, int64 o = {1}, float[2,2,2] c>
    { STEPS g = Gather(c, p) y = Add(x, g) }
    -> places that are computed of the model's inputs
no places
    (float[N,2] x) => (y) <int64[1] k = {1}>
    { y = Slice(x, k) }
    -> no places
no starts
    9 (float[N,2] x) => (y)
    { y = Slice<ends=[1]>(x) }
    -> no places
too few ends
    (float[N,2] x) => (y) <int64[1] k = {1}, int64[2] l = {0, 1}>
    { y = Slice(x, k, l) }
    -> as many starts, ends, axes and steps are expected
too many axes
    (float[N,2] x) => (y) <int64[1] k = {1}, int64[2] l = {0, 1}>
    { y = Slice(x, k, k, l) }
    -> as many starts, ends, axes and steps are expected
slice by 0
    (float[N,2] x) => (y) <int64[1] k = {1}, int64[1] z = {0}>
    { y = Slice(x, z, k, k, z) }
    -> steps of 0
backwards from somewhere
    (float[N,T] x) => (y) <int64[1] k = {1}, int64[1] s = {5}, int64[1] e = {-99}, int64[1] m =
    {-1}>
    { y = Slice(x, s, e, k, m) }
    -> some places of an axis of open length, backwards
backwards to somewhere
    (float[N,T] x) => (y) <int64[1] k = {1}, int64[1] s = {2}, int64[1] m = {-1}>
    { y = Slice(x, m, s, k, m) }
    -> some places of an axis of open length, backwards
from a length
    (float[N,T] x, float[N,S] z) => (y) <int64[1] k = {1}, int64[1] i = {9223372036854775807}>
    { s = Shape<start=1>(z) y = Slice(x, s, i, k) }
    -> numbers up to
number of parts
    (float[N,2] x) => (a, b)
    { a, b = Split<axis=1, num_outputs=3>(x) }
    -> attribute 'num_outputs': 3
open parts
    (float[N,T] x) => (a, b, c)
    { a, b, c = Split<axis=1, num_outputs=3>(x) }
    -> 3 parts of an axis of open length
parts of the batch
    (float[N,2] x) => (a, b)
    { a, b = Split<num_outputs=2>(x) }
    -> rows of a batch apart from one another
an absolute value of a length that may be below 0
    (float[N,T] x) => (y) <int64[1] k = {5}>
    { s = Shape<start=1, end=2>(x) d = Sub(s, k) a = Abs(d) f = Cast<to=1>(a) y = Mul(x, f) }
    -> a length left open, computed with
parts of less
    (float[N,4] x) => (a, b) <int64[2] k = {1, 2}>
    { a, b = Split<axis=1>(x, k) }
    -> parts of [1, 2] of an axis of 4
parts below 0
    (float[N,4] x) => (a, b) <int64[2] k = {5, -1}>
    { a, b = Split<axis=1>(x, k) }
    -> parts of [5, -1] of an axis of 4
too few parts
    (float[N,4] x) => (a, b) <int64[1] k = {4}>
    { a, b = Split<axis=1>(x, k) }
    -> parts of [4] of an axis of 4
no axis
    (float[N,4] x) => (y)
    { y = Concat(x, x) }
    -> no axis
different axes
    (float[N,4] x, float[N,4,1] z) => (y)
    { y = Concat<axis=1>(x, z) }
    -> tensors of different numbers of axes, joined
constants of other lengths
    (float[N,4] x) => (y) <float[2,4] c, float[1,3] d>
    { a = Concat<axis=0>(c, d) y = Add(x, a) }
    -> must match exactly
places that are computed
    (float[N,4] x) => (y)
    { p = ArgMax<axis=1>(x) y = Gather<axis=1>(x, p) }
    -> places that are computed of the model's inputs
places behind
    (float[N,4] x) => (y) <float[2,9] c>
    { p = ArgMax<axis=1>(x) y = Gather<axis=1>(c, p) }
    -> places that are computed of the model's inputs
numbers as places
    (float[N,4] x) => (y) <float[1] k = {1}>
    { y = Gather<axis=1>(x, k) }
    -> places that are no whole numbers
places of a constant
    (float[N,4] x) => (y) <float[4] c, int64[2] k = {1, 4}>
    { a = Gather(c, k) y = Add(x, a) }
    -> places beyond an axis of length 4
places of a constant from behind
    (float[N,4] x) => (y) <float[4] c, int64[2] k = {1, -5}>
    { a = Gather(c, k) y = Add(x, a) }
    -> places beyond an axis of length 4
place
    (float[N,4] x) => (y) <int64 k = {4}>
    { y = Gather<axis=1>(x, k) }
    -> index 4 of an axis of length 4
places in order
    (float[N,4] x) => (y) <int64[2] k = {3, 4}>
    { y = Gather<axis=1>(x, k) }
    -> places beyond an axis of length 4
places in order from behind
    (float[N,4] x) => (y) <int64[2] k = {-6, -5}>
    { y = Gather<axis=1>(x, k) }
    -> places beyond an axis of length 4
no place at all
    (float[N,4] x) => (y) <int64[0] k = {}>
    { y = Gather<axis=1>(x, k) }
    -> no places taken out
numbers of places beyond an axis
    (float[N,4] x) => (y) <int64[2,1] k = {1, 4}>
    { a = Transpose(x) y = GatherND(a, k) }
    -> places beyond an axis of length 4
numbers of places of more axes
    (float[N] x) => (y) <float[3] c, int64[2,2] k = {1, 0, 1, 0}>
    { a = GatherND(c, k) y = Add(x, a) }
    -> 2 indices of 1 axes
fewer rows along
    (float[N,4,3] x) => (y) <int64[1] k = {1}>
    { p = ArgMax<axis=1>(x) q = ArgMax<axis=2>(p) y = GatherElements<axis=1>(x, q) }
    -> places of fewer rows
fewer rows of a constant
    (float[N,2] x) => (y) <float[3,2] c, int64[1,1] k = {1}>
    { a = GatherElements<axis=0>(c, k) y = Add(x, a) }
    -> places of fewer rows
mode
    (float[N,4] x) => (y) <int64[4] k = {0,1,0,1}>
    { y = Pad<mode="symmetric">(x, k) }
    -> attribute 'mode': symmetric
mirrored rows
    (float[N,4] x) => (y) <int64[4] k = {1,0,0,0}>
    { y = Pad<mode="reflect">(x, k) }
    -> rows put to the batch
mirrored rows that share numbers
    (float[N,3] x) => (y) <float[3] c, int64[1] k = {3}, int64[4] l = {0,0,1,0}>
    { ROWS a = Pad<mode="edge">(m, l) y = Add(x, a) }
    -> rows put to the batch
the last number of all rows, again and again
    (float[N,3] x) => (y) <float[3] c, int64[1] k = {3}, int64[4] l = {0,0,0,1000000000}>
    { ROWS a = Pad<mode="edge">(m, l) y = ReduceSum(a) }
    -> a constant of 8000000024 bytes, which the file does not hold
mirrored less than none
    (float[N,4] x) => (y) <int64[4] k = {0,-1,0,1}>
    { y = Pad<mode="reflect">(x, k) }
    -> padding of a negative width
mirrored beyond the other end
    (float[N,4] x) => (y) <int64[4] k = {0,4,0,1}>
    { y = Pad<mode="reflect">(x, k) }
    -> 4 places padded by 4 (reflect)
from the other end and further
    (float[N,4] x) => (y) <int64[4] k = {0,0,0,5}>
    { y = Pad<mode="wrap">(x, k) }
    -> 4 places padded by 5 (wrap)
no widths
    (float[N,4] x) => (y)
    { y = Pad(x) }
    -> no widths
too few widths
    (float[N,4] x) => (y) <int64[2] k = {0,1}>
    { y = Pad(x, k) }
    -> widths of [0, 1] for 2 axes
widths below 0
    (float[N,4] x) => (y) <float[5] c, int64[2] k = {0,-1}>
    { a = Pad(c, k) y = Add(x, a) }
    -> widths of [0, -1]
rows put to the batch
    (float[N,4] x) => (y) <int64[4] k = {1,0,0,0}>
    { y = Pad(x, k) }
    -> rows put to the batch
triangle
    (float[N,4] x) => (y)
    { y = Trilu(x) }
    -> rows of a batch are computed with one another
nothing
    (float[N,4] x) => (y)
    { y = Where(x, , x) }
    -> input 1 is missing
no weights
    (float[N,2,4] x) => (y)
    { y = Conv(x) }
    -> input 1 is missing
list
    (float[N,2,4] x) => (y)
    { y = MaxPool<kernel_shape=2>(x) }
    -> attribute 'kernel_shape': 2
numbers as axes of old
    11 (float[N,2,4] x) => (y)
    { y = Squeeze<axes=[1.0]>(x) }
    -> attribute 'axes': [1.0]
constants of rows
    (float[2,3] x) => (y) <float[2,3] c>
    { y = Add(x, c) }
    -> a constant that differs from row to row
rows that differ
    (float[2,3] x, float[4,3] z) => (y)
    { y = Add(x, z) }
    -> inputs for 2 and 4 rows
weights of another shape
    (float[T,N,2] x) => (y) <float[1,9,2] w, float[1,8,3] r>
    { y = GRU(x, w, r) }
    -> R: expected shape (1, 9, 3), found (1, 8, 3)
input weights of another shape
    (float[T,N,2] x) => (y) <float[2,9,2] w, float[1,9,3] r>
    { y = GRU(x, w, r) }
    -> W: expected shape (1, 9, 2), found (2, 9, 2)
weights of no shape
    (float[T,N,2] x) => (y) <float w, float[9,3] r>
    { y = GRU(x, w, r) }
    -> W: expected shape
whole weights
    (float[T,N,2] x) => (y) <int64[1,9,2] w, float[1,9,3] r>
    { y = GRU(x, w, r) }
    -> W: expected shape (1, 9, 2), found (1, 9, 2)
bias of another shape
    (float[T,N,2] x) => (y) <float[1,9,2] w, float[1,9,3] r, float[1,9] b>
    { y = GRU(x, w, r, b) }
    -> B: expected shape (1, 18), found (1, 9)
peepholes of another shape
    (float[T,N,2] x) => (y) <float[1,12,2] w, float[1,12,3] r, float[1,24] b, float[1,8] p>
    { y = LSTM(x, w, r, b, , , , p) }
    -> P: expected shape (1, 9), found (1, 8)
units
    (float[T,N,2] x) => (y) <float[1,9,2] w, float[1,9,3] r>
    { y = GRU<hidden_size=4>(x, w, r) }
    -> attribute 'hidden_size': 4
direction
    (float[T,N,2] x) => (y) <float[1,9,2] w, float[1,9,3] r>
    { y = GRU<direction="up">(x, w, r) }
    -> attribute 'direction': 'up'
too few activations
    (float[T,N,2] x) => (y) <float[1,9,2] w, float[1,9,3] r>
    { y = GRU<activations=["Relu"]>(x, w, r) }
    -> attribute 'activations': ['Relu']
activation
    (float[T,N,2] x) => (y) <float[1,3,2] w, float[1,3,3] r>
    { y = RNN<activations=["Up"]>(x, w, r) }
    -> activation 'Up'
activations that are no names
    (float[T,N,2] x) => (y) <float[1,3,2] w, float[1,3,3] r>
    { y = RNN<activations=[1.0]>(x, w, r) }
    -> activation 1.0
activation without numbers
    (float[T,N,2] x) => (y) <float[1,3,2] w, float[1,3,3] r>
    { y = RNN<activations=["Affine"], activation_alpha=[1.0]>(x, w, r) }
    -> activation 'Affine' without its alpha and beta, on which runtimes differ
numbers without an activation
    (float[T,N,2] x) => (y) <float[1,3,2] w, float[1,3,3] r>
    { y = RNN<activation_alpha=[1.0]>(x, w, r) }
    -> more of 'activation_alpha' or 'activation_beta' than are taken
more numbers
    (float[T,N,2] x) => (y) <float[1,3,2] w, float[1,3,3] r>
    { y = RNN<activations=["HardSigmoid"], activation_beta=[1.0, 2.0]>(x, w, r) }
    -> more of 'activation_alpha' or 'activation_beta' than are taken
some lengths
    (float[5,N,2] x) => (y) <float[1,3,2] w, float[1,3,3] r, float[1,6] b, int64[2] k = {5, 4}>
    { y = RNN(x, w, r, b, k) }
    -> lengths of sequences that are no input
state of two axes
    (float[T,N,2] x, float[N,3] h) => (y) <float[1,3,2] w, float[1,3,3] r, float[1,6] b>
    { y = RNN(x, w, r, b, , h) }
    -> initial states that are not (directions, batch, units)
state of other units
    (float[T,N,2] x, float[1,N,4] h) => (y) <float[1,3,2] w, float[1,3,3] r, float[1,6] b>
    { y = RNN(x, w, r, b, , h) }
    -> initial states of 4 units, expected 3
state of a projected layer
    (float[T,N,2] x, float[1,N,3] h, float[1,N,5] e) => (y) <float[1,12,2] w, float[1,12,3] r,
    float[1,24] b>
    { y = LSTM(x, w, r, b, , h, e) }
    -> expected 3; PyTorch's exporter loses weights of an LSTM with proj_size, from_torch does not
states of two directions
    (float[T,N,2] x, float[2,N,3] h) => (y) <float[1,3,2] w, float[1,3,3] r, float[1,6] b>
    { y = RNN(x, w, r, b, , h) }
    -> 2 initial states for 1 layers
layout
    (float[N,T,2] x) => (y) <float[1,3,2] w, float[1,3,3] r>
    { y = RNN<layout=2>(x, w, r) }
    -> attribute 'layout': 2
steps of a tensor of two axes
    (float[N,2] x) => (y) <float[1,3,2] w, float[1,3,3] r>
    { y = RNN<layout=1>(x, w, r) }
    -> a recurrent layer over a tensor without a batch
constant laid out by lengths
    (float[N,T] x) => (y) <float[5] c>
    { s = Shape<start=1>(x) a = Reshape(c, s) y = Add(x, a) }
    -> an array of shape (5,) as ['T']
several open lengths
    (float[N,T,S] x) => (y) <int64[3] p = {0, 2, 1}>
    { s = Shape(x) t = Gather(s, p) y = Reshape(x, t) }
    -> several open lengths in
more rows than a fixed number
    (float[1,3] x) => (y) <int64[2] k = {4, 3}>
    { y = Expand(x, k) }
    -> a tensor of shape [batch, 3] as [4, 3]
laid out for other rows
    (float[2,3] x) => (y) <int64[2] k = {4, 2}>
    { y = Reshape(x, k) }
    -> a tensor of shape [batch, 3] as [4, 2]
places in no order
    (float[N,200] x) => (y) <int64[65] k>
    { y = Gather<axis=1>(x, k) }
    -> 65 places in no order
some states of an open number
    (float[T,N,S] x) => (y)
    <float[1,9,3] w, float[1,9,3] r, float[1,18] b, int64 z = {0}, int64[1] o = {0},
     int64[1] e = {-1}, int64[1] a = {1}>
    { f = Gather(x, z) g = Slice(f, o, e, a) h = Unsqueeze(g, o) y = GRU(x, w, r, b, , h) }
    -> initial states of
constants of all rows out of proportion
    (float[N,2] x) => (y)
    <float[1,3000] c, float[3000,1] d, int64[2] k = {3000, 1}, int64[2] o = {1, 2}>
    { n = Shape<end=1>(x) s = Concat<axis=0>(n, k) m = Expand(d, s) a = Mul(m, c)
      b = ReduceSum<keepdims=0>(a, o) y = Add(x, b) }
    -> which the file does not hold
places of rows
    (float[N,4] x) => (y)
    { p = ArgMax<axis=1>(x) y = Gather(x, p) }
    -> places that are computed of the model's inputs
layer of one axis
    (float[4] x) => (y) <float[1,9,3] w, float[1,9,3] r>
    { t = Transpose<perm=[0]>(x) y = GRU(t, w, r) }
    -> a recurrent layer over a tensor without a batch
layer of two axes
    (float[3,4] x) => (y) <float[1,9,3] w, float[1,9,3] r>
    { t = Transpose(x) y = GRU(x, w, r) }
    -> a recurrent layer over a tensor without a batch
constant dropped
    (float[N,3] x) => (y) <float[3] c>
    { a = Dropout(c) y = Add(x, a) }
    -> dropout of a constant
layer normalization of open steps
    (float[N,T,4] x) => (y) <float[1] c>
    { y = LayerNormalization<axis=1>(x, c) }
    -> normalization over an open length
shape of a constant beside a fixed number of rows
    (float[2,2] x) => (y) <float[3] c, int64[1] k = {2}>
    { a = Reshape(c, k) y = Add(x, a) }
    -> cannot reshape
power of lengths
    (float[N,T] x) => (y) <int64 t = {2}>
    { s = Shape(x) e = Pow(s, t) y = Expand(x, e) }
    -> a length left open, computed with
lengths multiplied
    (float[N,T] x) => (y) <float[2,2] c>
    { s = Shape(x) y = MatMul(s, c) }
    -> a length left open, computed with
constant laid out by one length
    (float[N,T] x) => (y) <float[5] c, int64[1] o = {1}>
    { t = Shape<start=1>(x) s = Concat<axis=0>(o, t) a = Reshape(c, s) y = Add(x, a) }
    -> an array of shape (5,) as [1, 'T']
constants of rows that may be any
    (float[N,3] x) => (y) <float[2,3] c = {1, 2, 3, 1, 2, 3}>
    { y = Mul(x, c) }
    -> a constant of shape (2, 3) along the batch
sums of lengths up to
    (float[N,T] x) => (y) <int64 k = {0}>
    { s = Shape(x) t = CumSum(s, k) y = Expand(x, t) }
    -> a length left open, computed with
whole numbers that are too large
    (int64[N,3] x) => (y) <int64 k = {16777217}>
    { y = Sub(x, k) }
    -> whole numbers that float32 does not hold
bytes
    (uint8[N,3] x) => (y) <uint8 k = {200}>
    { a = Add(x, k) y = Cast<to=1>(a) }
    -> Add of uint8, which may leave its range
the larger of lengths that differ
    (float[N,T,S] x) => (y) <int64 o = {1}, int64 w = {2}>
    { s = Shape(x) a = Gather(s, o) b = Gather(s, w) m = Max(a, b) f = Cast<to=1>(m) y = Mul(x, f) }
    -> a length left open, computed with
whole numbers for all rows that are too large
    (int64[N,3] x) => (y) <int64[3] c = {1, 2, 16777217}, int64[1] k = {3}>
    { ROWS y = Sub(x, m) }
    -> whole numbers that float32 does not hold
numbers that may be negative, without a sign
    (float[N,3] x) => (y)
    { a = Cast<to=13>(x) y = Cast<to=1>(a) }
    -> (Cast): whole numbers of which negative ones become others
logarithms of constants, whole
    (int64[N,3] x) => (y) <int64[3] c>
    { a = ReduceLogSumExp(c) y = Add(x, a) }
    -> logarithms of whole numbers
quantized weights in blocks
    (float[N,3] x) => (y) <int8[4,2] w, float[2,2] s>
    { k = DequantizeLinear<axis=0, block_size=2>(w, s) y = Gemm<transB=1>(x, k) }
    -> attribute 'block_size': 2
quantized weights of another length
    (float[N,3] x) => (y) <int8[3,2] w, float[3] s>
    { k = DequantizeLinear(w, s) y = MatMul(x, k) }
    -> scales of shape (3,) for an axis of 2
sums of numbers of 16 bits
    (int16[N,3] x) => (y)
    { y = Add(x, x) }
    -> Add of int16, which may leave its range
quantized weights with a scale of two axes
    (float[N,3] x) => (y) <int8[3,2] w, float[1,1] s>
    { k = DequantizeLinear(w, s) y = MatMul(x, k) }
    -> scales of shape (1, 1) for an axis of 2
padding that is too large
    (int64[N,3] x) => (y) <int64[4] p = {0, 1, 0, 0}, int64 k = {16777217}>
    { y = Pad(x, p, k) }
    -> whole numbers that float32 does not hold
a quotient of what is too large
    (int64[N,3] x) => (y) <int64 k = {1000000000}>
    { y = Div(k, x) }
    -> whole numbers that float32 does not hold
multiples of products of whole numbers
    (int32[N,3] x) => (y) <int32[3,2] k>
    { y = Gemm<alpha=2.0>(x, k) }
    -> multiples of whole numbers
whole numbers without a sign
    (uint32[N,3] x) => (y) <uint32 k = {2}>
    { a = Sub(x, k) y = Cast<to=1>(a) }
    -> Sub of uint32, which may leave its range
some steps turned around
    (float[N,4,3] x) => (y) <int64[1] k = {3}>
    { n = Shape<end=1>(x) e = Expand(k, n) y = ReverseSequence<batch_axis=0, time_axis=1>(x, e) }
    -> sequences of ['3'] steps turned around
features turned around
    (float[N,4,3] x, int64[N] n) => (y)
    { y = ReverseSequence<batch_axis=0, time_axis=2>(x, n) }
    -> axes 0 and 2 of rows and steps
rows turned around
    (float[N,4,3] x) => (y) <int64[4] n = {1, 2, 3, 4}>
    { y = ReverseSequence<batch_axis=1, time_axis=0>(x, n) }
    -> sequences turned around that are no rows
channels in no blocks
    (float[N,6,2,2] x) => (y)
    { y = DepthToSpace<blocksize=2>(x) }
    -> 6 places in blocks of 4
blocks of another order
    (float[N,8,2,2] x) => (y)
    { y = DepthToSpace<blocksize=2, mode="RDC">(x) }
    -> attribute 'mode': RDC
blocks of a sequence
    (float[N,8,2] x) => (y)
    { y = SpaceToDepth<blocksize=2>(x) }
    -> blocks of 2 of a tensor of 3 axes
a diagonal of rows
    (float[N,3] x) => (y)
    { e = EyeLike(x) y = Add(x, e) }
    -> a diagonal of a tensor of shape
open steps in a row
    (float[N,T,3] x) => (y) <int64 o = {1}, int64 z = {0}>
    { s = SplitToSequence<axis=1>(x, o) y = SequenceAt(s, z) }
    -> parts of an axis of open length
no such tensor in a row
    (float[N,3] x) => (y) <int64 o = {1}>
    { s = SequenceConstruct(x) y = SequenceAt(s, o) }
    -> place 1 of 1 tensors
parts that are not all
    (float[N,5,3] x) => (y) <int64[2] k = {2, 2}, int64 z = {0}>
    { s = SplitToSequence<axis=1>(x, k) y = SequenceAt(s, z) }
    -> parts of [2, 2] of an axis of 5
tensors in a row, put out
    (float[N,5,3] x) => (y) <int64[2] k = {2, 3}>
    { y = SplitToSequence<axis=1>(x, k) }
    -> numbers of rows, computed with
one of several open steps
    (float[N,T] x) => (y)
    { y = Hardmax(x) }
    -> Hardmax over 'T' places
attention of what came before
    23 (float[N,2,4,3] x, float[N,2,5,3] p) => (y)
    { y, k, v = Attention(x, x, x, , p, p) }
    -> past keys of attention
attention of no such heads
    23 (float[N,5,6] x) => (y)
    { y = Attention<q_num_heads=4, kv_num_heads=4>(x, x, x) }
    -> 6 features of 4 heads
attention that is capped
    23 (float[N,2,4,3] x) => (y)
    { y = Attention<softcap=2.0>(x, x, x) }
    -> attribute 'softcap'
sums over rows
    (float[N,4] x) => (y) <int64 k = {0}>
    { y = CumSum(x, k) }
    -> rows of a batch are computed with one another
axis of sums
    (float[N,4] x) => (y) <int64 k = {2}>
    { y = CumSum(x, k) }
    -> axis 2 of a tensor of 2 axes
lengths by letters
    (float[N,T] x) => (y)
    { s = Shape(x) y = Einsum<equation="bt,t->b">(x, s) }
    -> a length left open, computed with
letters twice
    (float[N,3,3] x) => (y)
    { y = Einsum<equation="bii->bi">(x) }
    -> einsum 'bii->bi'
rows summed by letters
    (float[N,3] x) => (y)
    { y = Einsum<equation="bi->i">(x) }
    -> rows of a batch are not computed with one another
rows with one another by letters
    (float[N,3] x) => (y)
    { y = Einsum<equation="bi,ci->bc">(x, x) }
    -> rows of a batch are computed with one another
too few letters
    (float[N,3,2] x) => (y)
    { y = Einsum<equation="bi->b">(x) }
    -> einsum 'bi->b'
letters of one more
    (float[N,3] x) => (y)
    { y = Einsum<equation="bi,bj->bij">(x) }
    -> einsum 'bi,bj->bij'
letters from nowhere
    (float[N,3] x) => (y)
    { y = Einsum<equation="bi->bj">(x) }
    -> einsum 'bi->bj'
powers of lengths
    (float[N,T] x) => (y) <int64[1] k = {0}>
    { s = Shape(x) t = ReduceLogSumExp(s, k) y = Expand(x, t) }
    -> a length left open, computed with
some rows
    (float[N] x) => (y) <int64[1] k = {1}>
    { y, i = TopK<axis=0>(x, k) }
    -> some rows of the batch are taken out
rows sorted by each of their numbers
    (float[N,3] x) => (y)
    { r = Shape<end=1>(x) y, i = TopK<axis=0>(x, r) }
    -> rows of a batch are sorted by several numbers
rows alone
    (float[N,1] x) => (y)
    { r = Shape<end=1>(x) y, i = TopK<axis=0>(x, r) }
    -> rows of a batch are sorted by several numbers
some of an order
    (float[N] x) => (y) <int64[1] k = {1}>
    { r = Shape(x) v, i = TopK<axis=0>(x, r) w, y = TopK(i, k) }
    -> some rows of the batch are taken out
more of the largest than there are
    (float[N,3] x) => (y) <int64[1] k = {4}>
    { y, i = TopK(x, k) }
    -> the 4 largest of 3 numbers
none of the largest
    (float[N,3] x) => (y) <int64[1] k = {0}>
    { y, i = TopK(x, k) }
    -> the 0 largest numbers
no number of the largest, of old
    9 (float[N,3] x) => (y)
    { y, i = TopK(x) }
    -> the 0 largest numbers
several numbers of the largest
    (float[N,3] x) => (y) <int64[2] k = {1, 2}>
    { y, i = TopK(x, k) }
    -> one number of places is expected
no number of the largest
    (float[N,3] x) => (y)
    { y, i = TopK(x) }
    -> one number of places is expected
largest of a constant
    (float[N,3] x) => (y) <float[3] c, int64[1] k = {1}>
    { v, i = TopK(c, k) y = Add(x, v) }
    -> a constant is sorted
axis of the largest
    (float[N,3] x) => (y) <int64[1] k = {1}>
    { y, i = TopK<axis=2>(x, k) }
    -> axis 2 of a tensor of 2 axes
order along features
    (float[N,3] x, float[N] n) => (y)
    { r = Shape(n) v, i = TopK<axis=0>(n, r) y = Gather<axis=1>(x, i) }
    -> places put into an order of rows
order of a constant
    (float[N,3] x, float[N] n) => (y) <float[3] c>
    { r = Shape(n) v, i = TopK<axis=0>(n, r) a = Gather(c, i) y = Add(x, a) }
    -> numbers of rows, computed with
order computed with
    (float[N] x) => (y)
    { r = Shape(x) v, i = TopK<axis=0>(x, r) y = Add(i, i) }
    -> numbers of rows, computed with
order of what is not read
    (float[N] x) => (y)
    { r = Shape(x) v, i = TopK<axis=0>(x, r) y = NonZero(i) }
    -> the operator is not supported
order put out
    (float[N] x) => (y)
    { r = Shape(x) v, y = TopK<axis=0>(x, r) }
    -> output 'y': numbers of rows, computed with
numbers of rows put out
    (float[N,3] x) => (y) <int64 z = {0}, int64 o = {1}>
    { r = Shape<end=1>(x) c = Squeeze(r) y = Range(z, c, o) }
    -> output 'y': numbers of rows, computed with
places of rows that are longer
    (float[N,4,3] x, int64[N] n) => (y)
    <int64 z = {0}, int64 o = {1}, int64[1] k = {1}, int64[1] e = {0}, int64 t = {2}>
    { r = Shape<end=1>(x) c = Squeeze(r) j = Range(z, c, o)
      m = Mul(j, t) a = Add(n, m) f = Flatten<axis=2>(x) y = Gather(f, a) }
    -> that begin every 2
places of rows that are apart
    (float[N,4,3] x, int64[N] n) => (y)
    <int64 z = {0}, int64 o = {1}, int64[1] k = {1}, int64[1] e = {0}, int64 t = {2}>
    { r = Shape<end=1>(x) c = Squeeze(r) j = Range(z, c, o)
      m = Mul(j, t) a = Add(n, m) y = Gather(x, a) }
    -> places taken out by numbers
places of rows behind others
    (float[N,4,3] x, int64[N] n) => (y)
    <int64 z = {0}, int64 o = {1}, int64[1] k = {1}, int64[1] e = {0}, int64 t = {2}>
    { r = Shape<end=1>(x) c = Squeeze(r) j = Range(z, c, o)
      m = Mul(j, t) a = Add(n, m) f = Flatten<axis=2>(x) y = Gather<axis=1>(f, a) }
    -> numbers of rows, computed with
numbers of rows by themselves
    (float[N,3] x) => (y)
    <int64 z = {0}, int64 o = {1}, int64[1] k = {1}, int64[1] e = {0}, int64 t = {2}>
    { r = Shape<end=1>(x) c = Squeeze(r) j = Range(z, c, o)
      y = Mul(j, j) }
    -> numbers of rows, computed with
numbers of rows by several
    (float[N,3] x) => (y)
    <int64 z = {0}, int64 o = {1}, int64[1] k = {1}, int64[1] e = {0}, int64 t = {2}>
    { r = Shape<end=1>(x) c = Squeeze(r) j = Range(z, c, o)
      h = Concat<axis=0>(k, k) y = Mul(j, h) }
    -> numbers of rows, computed with
numbers of rows and one each
    (float[N,3] x, int64[N] n) => (y)
    <int64 z = {0}, int64 o = {1}, int64[1] k = {1}, int64[1] e = {0}, int64 t = {2}>
    { r = Shape<end=1>(x) c = Squeeze(r) j = Range(z, c, o)
      y = Add(j, n) }
    -> numbers of rows, computed with
numbers of rows less one
    (float[N,3] x) => (y)
    <int64 z = {0}, int64 o = {1}, int64[1] k = {1}, int64[1] e = {0}, int64 t = {2}>
    { r = Shape<end=1>(x) c = Squeeze(r) j = Range(z, c, o)
      y = Sub(j, o) }
    -> numbers of rows, computed with
where rows begin, and several numbers
    (float[N,3] x, int64[N,3] n) => (y)
    <int64 z = {0}, int64 o = {1}, int64[1] k = {1}, int64[1] e = {0}, int64 t = {2}>
    { r = Shape<end=1>(x) c = Squeeze(r) j = Range(z, c, o)
      m = Mul(j, t) y = Add(m, n) }
    -> numbers of rows, computed with
numbers of rows as truths
    (float[N,3] x) => (y)
    <int64 z = {0}, int64 o = {1}, int64[1] k = {1}, int64[1] e = {0}, int64 t = {2}>
    { r = Shape<end=1>(x) c = Squeeze(r) j = Range(z, c, o)
      y = Cast<to=9>(j) }
    -> numbers of rows, computed with
numbers of rows in front of an axis
    (float[N,3] x) => (y)
    <int64 z = {0}, int64 o = {1}, int64[1] k = {1}, int64[1] e = {0}, int64 t = {2}>
    { r = Shape<end=1>(x) c = Squeeze(r) j = Range(z, c, o)
      y = Unsqueeze(j, e) }
    -> numbers of rows, computed with
numbers of rows behind each other
    (float[N,3] x, int64[N] n) => (y)
    <int64 z = {0}, int64 o = {1}, int64[1] k = {1}, int64[1] e = {0}, int64 t = {2}>
    { r = Shape<end=1>(x) c = Squeeze(r) j = Range(z, c, o)
      a = Unsqueeze(j, k) b = Unsqueeze(n, k) y = Concat<axis=0>(a, b) }
    -> numbers of rows, computed with
numbers of rows beside several
    (float[N,3] x, int64[N,2] n) => (y)
    <int64 z = {0}, int64 o = {1}, int64[1] k = {1}, int64[1] e = {0}, int64 t = {2}>
    { r = Shape<end=1>(x) c = Squeeze(r) j = Range(z, c, o)
      a = Unsqueeze(j, k) y = Concat<axis=1>(a, n) }
    -> numbers of rows, computed with
two places of each row
    (float[N,4,3] x, int64[N] n) => (y)
    <int64 z = {0}, int64 o = {1}, int64[1] k = {1}, int64[1] e = {0}, int64 t = {2}>
    { r = Shape<end=1>(x) c = Squeeze(r) j = Range(z, c, o)
      a = Unsqueeze(j, k) b = Unsqueeze(n, k)
      i = Concat<axis=1>(a, b, b) y = GatherND(x, i) }
    -> places taken out by numbers
places of an axis by numbers of rows
    (float[N,4,3] x, int64[N] n) => (y)
    <int64 z = {0}, int64 o = {1}, int64[1] k = {1}, int64[1] e = {0}, int64 t = {2}>
    { r = Shape<end=1>(x) c = Squeeze(r) j = Range(z, c, o)
      a = Unsqueeze(j, k) b = Unsqueeze(n, k) i = Concat<axis=1>(b, a) y = GatherND(x, i) }
    -> places taken out by numbers
places between others, within bounds
    (float[N,2,4] x) => (y) <float[3] s = {1.0, 1.0, 2.0}>
    { y = Resize<coordinate_transformation_mode="tf_crop_and_resize">(x, , s) }
    -> places by 'tf_crop_and_resize'
places between others, smoothed
    (float[N,2,4] x) => (y) <float[3] s = {1.0, 1.0, 0.5}>
    { y = Resize<mode="linear", antialias=1>(x, , s) }
    -> attribute 'antialias': 1
another curve between places
    (float[N,2,4] x) => (y) <float[3] s = {1.0, 1.0, 2.0}>
    { y = Resize<mode="cubic", cubic_coeff_a=-0.5>(x, , s) }
    -> attribute 'cubic_coeff_a': -0.5
an open number of places, and a half, by their corners
    (float[N,T,2] x) => (y) <float[3] s = {1.0, 1.5, 1.0}>
    { y = Resize<mode="linear", coordinate_transformation_mode="align_corners">(x, , s) }
    -> places at 1.5 times as many by their corners
an open number of places, and a root
    (float[N,T,2] x) => (y) <float[3] s = {1.0, 1.4142, 1.0}>
    { y = Resize<mode="linear">(x, , s) }
    -> places interpolated at 1.4142 times as many
lengths of one axis of three
    (float[N,2,4] x) => (y) <float[1] s = {2.0}>
    { y = Resize(x, , s) }
    -> lengths of 3 axes are expected
places between others by corners that are between them
    (float[N,2,4] x) => (y) <float[3] s = {1.0, 1.0, 1.6}>
    { y = Resize<mode="linear", coordinate_transformation_mode="align_corners">(x, , s) }
    -> 4 places at 1.6
places between rows
    (float[N,2,4] x) => (y) <float[3] s = {2.0, 1.0, 1.0}>
    { y = Resize<mode="linear">(x, , s) }
    -> a constant or rows of a batch are interpolated
places repeated by nothing
    (float[N,2,4] x) => (y)
    <float[3] s = {1.0, 1.0, 2.0}, float[3] h = {1.0, 1.0, 1.5}, int64[3] n = {1, 2, 6}>
    { y = Resize(x) }
    -> no scales
numbers of rows computed with
    (float[N,3] x) => (y) <int64 z = {0}, int64 o = {1}>
    { r = Shape<end=1>(x) c = Squeeze(r) j = Range(z, c, o) y = Add(j, x) }
    -> numbers of rows, computed with
numbers of rows as places
    (float[N,3] x) => (y) <int64 z = {0}, int64 o = {1}>
    { r = Shape<end=1>(x) c = Squeeze(r) j = Range(z, c, o) y = Gather(x, j) }
    -> numbers of rows, computed with
numbers of rows from 1
    (float[N,3] x) => (y) <int64 z = {0}, int64 o = {1}>
    { r = Shape<end=1>(x) c = Squeeze(r) j = Range(o, c, o) y = Gather(x, j) }
    -> numbers up to
every second row
    (float[N,3] x) => (y) <int64 z = {0}, int64 t = {2}>
    { r = Shape<end=1>(x) c = Squeeze(r) j = Range(z, c, t) y = Gather(x, j) }
    -> in steps of 2
every second step
    (float[N,T] x) => (y) <int64 z = {0}, int64 t = {2}>
    { r = Shape<start=1>(x) c = Squeeze(r) j = Range(z, c, t) y = Add(x, j) }
    -> in steps of 2
numbers put to places
    (float[N,3] x) => (y) <int64[1,3] k = {0,1,2}, float[1,3] u>
    { y = ScatterElements<axis=1>(x, k, u) }
    -> a constant of 1 rows
number put to some rows
    (float[N,3] x) => (y) <int64[1,1] k = {0}, float[1,1] u>
    { y = ScatterElements<axis=1>(x, k, u) }
    -> a constant of 1 rows
number put to a place of open steps
    (float[N,T] x) => (y) <int64 o = {1}, int64 l = {-1}, int64[1] k = {1}>
    { g = Gather<axis=1>(x, l) u = Unsqueeze(g, k) r = Shape(u) e = Expand(o, r)
      y = ScatterElements<axis=1>(x, e, u) }
    -> numbers put to places of an axis of open length ('T')
number put beyond
    (float[N,3] x) => (y) <int64 o = {3}, int64 l = {-1}, int64[1] k = {1}>
    { g = Gather<axis=1>(x, l) u = Unsqueeze(g, k) r = Shape(u) e = Expand(o, r)
      y = ScatterElements<axis=1>(x, e, u) }
    -> places beyond an axis of length 3
numbers multiplied with a place
    (float[N,3] x) => (y) <int64 o = {1}, int64 l = {-1}, int64[1] k = {1}>
    { g = Gather<axis=1>(x, l) u = Unsqueeze(g, k) r = Shape(u) e = Expand(o, r)
      y = ScatterElements<axis=1, reduction="mul">(x, e, u) }
    -> attribute 'reduction': mul
numbers added to places of an open length
    (float[N,T] x, int64[N,1] k, float[N,1] u) => (y)
    { y = ScatterElements<axis=1, reduction="add">(x, k, u) }
    -> numbers added to places of an axis of open length ('T')
numbers added to a part of the steps
    (float[N,4,3] x, int64[N,2,3] k, float[N,2,3] u) => (y)
    { y = ScatterElements<axis=2, reduction="add">(x, k, u) }
    -> numbers added to a part of the places on another axis
numbers added to rows
    (float[N,3] x, int64[N,3] k) => (y)
    { y = ScatterElements<axis=0, reduction="add">(x, k, x) }
    -> numbers added to rows of the batch
too many places that are computed
    (float[N,70] x, int64[N,70] k) => (y)
    { y = ScatterElements<axis=1>(x, k, x) }
    -> 70 computed places of 70
computed places of fewer steps
    (float[N,4,3] x, int64[N,2,1] k, float[N,2,1] u) => (y)
    { y = ScatterElements<axis=2>(x, k, u) }
    -> [batch, 2, 1] places of [batch, 4, 3]
computed places of open steps
    (float[N,T] x, int64[N,1] k, float[N,1] u) => (y)
    { y = ScatterElements<axis=1>(x, k, u) }
    -> 1 computed places of 'T'
two computed numbers of a place
    (float[N,4,3] x, int64[N] n, int64[N] o, float[N] u) => (y)
    <int64 z = {0}, int64 e = {1}, int64[1] m = {1}>
    { r = Shape<end=1>(x) c = Squeeze(r) j = Range(z, c, e) a = Unsqueeze(j, m) b = Unsqueeze(n, m)
      d = Unsqueeze(o, m) i = Concat<axis=1>(a, b, d) y = ScatterND(x, i, u) }
    -> numbers put to places that are computed
places written twice
    (float[N,3] x, float[N,2] u) => (y) <int64[2,1] d = {1, -2}>
    { a = Transpose(x) b = Transpose(u) y = ScatterND(a, d, b) }
    -> several numbers put to one place
places written beyond the last
    (float[N,3] x, float[N,2] u) => (y) <int64[2,1] d = {1, 3}>
    { a = Transpose(x) b = Transpose(u) y = ScatterND(a, d, b) }
    -> places beyond an axis of length 3
places written before the first
    (float[N,3] x, float[N,2] u) => (y) <int64[2,1] d = {1, -4}>
    { a = Transpose(x) b = Transpose(u) y = ScatterND(a, d, b) }
    -> places beyond an axis of length 3
places of constants beyond the last
    (float[N,3] x) => (y) <float[3,2] c, int64[1,2] d = {2, 2}, float[1] u = {9}>
    { e = ScatterND(c, d, u) y = MatMul(x, e) }
    -> places beyond an axis of length 2
numbers added to places of an index
    (float[N,3] x, float[N,2] u) => (y) <int64[2,1] d = {1, 0}>
    { a = Transpose(x) b = Transpose(u) y = ScatterND<reduction="mul">(a, d, b) }
    -> attribute 'reduction': mul
some rows written
    (float[N,3] x) => (y) <int64[1,1] d = {1}, float[1,3] u>
    { y = ScatterND(x, d, u) }
    -> numbers put to rows of the batch
some rows of a fixed number written
    (float[3,3] x) => (y) <int64[2,1] d = {0, 1}, float[2,3] u = {1, 1, 1, 1, 1, 1}>
    { y = ScatterND(x, d, u) }
    -> numbers put to rows of the batch
rows of a fixed number written in another order
    (float[2,3] x, float[2] u) => (y) <int64[2,2] d = {1, 0, 0, 0}>
    { y = ScatterND(x, d, u) }
    -> numbers put to rows of the batch
other places of each row of a fixed number
    (float[2,3] x, float[2] u) => (y) <int64[2,2] d = {0, 1, 1, 0}>
    { y = ScatterND(x, d, u) }
    -> a constant that differs from row to row
other numbers for each row of a fixed number
    (float[2,3] x) => (y) <int64[2,2] d = {0, 1, 1, 1}, float[2] u = {1, 2}>
    { y = ScatterND(x, d, u) }
    -> a constant that differs from row to row
places of open steps written
    (float[N,T] x, float[N,1] u) => (y) <int64[1,1] d = {1}>
    { a = Transpose(x) b = Transpose(u) y = ScatterND(a, d, b) }
    -> numbers put to places of an axis of open length ('T')
numbers of other shapes than their places
    (float[N,3] x, float[N,2] u) => (y) <int64[1,1] d = {1}>
    { a = Transpose(x) b = Transpose(u) y = ScatterND(a, d, b) }
    -> indices of shape [1] for numbers of [2, batch]
more places than axes
    (float[N,3] x, float[N] u) => (y) <int64[1,3] d = {1, 0, 0}>
    { a = Transpose(x) y = ScatterND(a, d, u) }
    -> 3 indices of 1 axes for [3, batch]
places of other rows
    (float[N,4,3] x, int64[N] n) => (y) <int64 z = {0}, int64 o = {1}, int64 f = {5},
    int64[2] k = {-1, 3}>
    { r = Shape<end=1>(x) c = Squeeze(r) j = Range(z, c, o) m = Mul(f, j)
      q = Add(m, n) g = Reshape(x, k) y = Gather(g, q) }
    -> rows of [4*batch, 3] that begin every 5
places by numbers without the rows
    (float[N,4,3] x) => (y) <int64[1,2] k = {0, 1}>
    { y = GatherND(x, k) }
    -> places taken out by numbers
other numbers put to places
    (float[2] x) => (y) <int64[1] r = {2}, int64[2] j = {1, 0}, int64[2] e>
    { v, i = TopK<axis=0>(x, r) b = ScatterElements<axis=0>(e, i, j) y = Gather(x, b) }
    -> numbers put to places
numbers added to places
    (float[2] x) => (y) <int64[1] r = {2}, int64[2] j = {0, 1}, int64[2] e>
    { v, i = TopK<axis=0>(x, r) b = ScatterElements<reduction="add">(e, i, j) y = Gather(x, b) }
    -> attribute 'reduction': add
numbers put to places along more
    (float[2] x) => (y) <int64[1] r = {2}, int64[2] j = {0, 1}, int64[2] e>
    { v, i = TopK<axis=0>(x, r) b = ScatterElements<axis=1>(e, i, j) y = Gather(x, b) }
    -> axis 1 of a tensor of 1 axes
ones among no zeros
    (float[N,3] x) => (y) <int64 n = {0}, float[2] e = {0, 1}>
    { y = OneHot(x, n, e) }
    -> OneHot of such inputs
several depths
    (float[N,3] x) => (y) <int64[2] n = {4, 4}, float[2] e = {0, 1}>
    { y = OneHot(x, n, e) }
    -> expected one number
depth that is computed
    (float[N,3] x, int64[N] n) => (y) <float[2] e = {0, 1}>
    { y = OneHot(x, n, e) }
    -> input 1 is computed of the model's inputs
three ends
    (float[N,3] x) => (y) <int64 n = {4}, float[3] e = {0, 1, 2}>
    { y = OneHot(x, n, e) }
    -> OneHot of such inputs
one of a constant
    (float[N,4] x) => (y) <int64 c = {1}, int64 n = {4}, float[2] e = {0, 1}>
    { a = OneHot(c, n, e) y = Add(x, a) }
    -> OneHot of such inputs
axis of ones
    (float[N,4] x) => (y) <int64 n = {4}, float[2] e = {0, 1}>
    { y = OneHot<axis=3>(x, n, e) }
    -> axis 3 of a tensor of 3 axes
ones among more zeros than a file holds
    (float[N,1] x) => (y) <int64 n = {16777215}, float[2] e = {0, 1}>
    { y = OneHot(x, n, e) }
    -> which the file does not hold
ones among too many zeros
    (float[N,1] x) => (y) <int64 n = {16777216}, float[2] e = {0, 1}>
    { y = OneHot(x, n, e) }
    -> OneHot of such inputs
steps along rows
    (float[T,N] x) => (y) <int64 z = {0}, int64 o = {1}>
    { r = Shape<end=1>(x) t = Squeeze(r) p = Range(z, t, o) y = Add(x, p) }
    -> ['T'] along rows of a batch
steps of more axes
    (float[N,T] x) => (y) <int64 z = {0}, int64 o = {1}, int64[2] k = {0, 1}>
    { r = Shape<start=1>(x) t = Squeeze(r) p = Range(z, t, o) q = Unsqueeze(p, k) y = Add(x, q) }
    -> [1, 1, 'T'] along rows of a batch
steps put out
    (float[N,T] x) => (y) <int64 z = {0}, int64 o = {1}, int64[1] k = {0}>
    { r = Shape<start=1>(x) t = Squeeze(r) y = Range(z, t, o) }
    -> output 'y' does not depend on the inputs
triangle of a known number of columns
    (float[N,T,4] x) => (y) <int64[1] k = {1}, int64[1] e = {2}, int64[1] n = {4}>
    { s = Shape(x) t = Slice(s, k, e) q = Concat<axis=0>(t, n) c = ConstantOfShape(q)
      u = Trilu(c) y = Mul(x, u) }
    -> numbers up to 4
triangle of one axis
    (float[N,T] x) => (y)
    { s = Shape<start=1>(x) c = ConstantOfShape(s) u = Trilu(c) y = Mul(x, u) }
    -> not enough values
branches by an open length
    (float[N,T,3] x) => (y) <int64[1] o = {1}, int64[1] k = {1}>
    { s = Shape<start=1, end=2>(x) e = Equal(s, o) d = Squeeze(e)
      y = If(d) <then_branch = a () => (u) { u = Squeeze(x, k) },
                 else_branch = b () => (v) { v = Identity(x) }> }
    -> it runs one of two graphs, by what is not known when the file is read
branches by an open length and more
    (float[N,T,3] x) => (y) <int64[1] o = {1}, int64[1] k = {1}, bool c = {1}>
    { s = Shape<start=1, end=2>(x) e = Equal(s, o) d = Squeeze(e) f = Or(d, c) g = Not(f)
      h = Identity(g)
      y = If(h) <then_branch = a () => (u) { u = Squeeze(x, k) },
                 else_branch = b () => (v) { v = Identity(x) }> }
    -> it runs one of two graphs, by what is not known when the file is read
branches by several
    (float[N,3] x) => (y) <bool[2] c = {1, 1}>
    { y = If(c) <then_branch = a () => (u) { u = Relu(x) },
                 else_branch = b () => (v) { v = Relu(x) }> }
    -> it runs one of two graphs
branches by numbers
    (float[N,3] x) => (y) <int64 c = {1}>
    { y = If(c) <then_branch = a () => (u) { u = Relu(x) },
                 else_branch = b () => (v) { v = Relu(x) }> }
    -> it runs one of two graphs
branches of other outputs
    (float[N,3] x) => (y) <bool c = {1}>
    { y, z = If(c) <then_branch = a () => (u) { u = Relu(x) },
                 else_branch = b () => (v, w) { v = Relu(x) w = Neg(x) }> }
    -> a branch that makes other outputs
places of more than a type holds
    (float[N,300] x) => (y)
    { a = ArgMax<axis=1>(x) b = Cast<to=2>(a) y = Cast<to=1>(b) }
    -> (Cast): whole numbers of 8 bits
whole numbers without a sign
    (int64[N,2] x) => (y)
    { a = Cast<to=12>(x) y = Cast<to=1>(a) }
    -> (Cast): whole numbers of which negative ones become others
branches with weights that are there already
    (float[N,3] x) => (y) <bool c = {1}, float[3] w>
    { y = If(c) <then_branch = a () => (u) <float[3] w = {1,2,3}> { u = Add(x, w) },
                 else_branch = b () => (v) { v = Relu(x) }> }
    -> (If): a branch that holds what is made elsewhere
branches within branches by what is not known
    (float[N,3] x, bool[N] d) => (y) <bool c = {1}>
    { y = If(c) <then_branch = a () => (u)
        { u = If(d) <then_branch = e () => (p) { p = Relu(x) },
                     else_branch = f () => (q) { q = Neg(x) }> },
                 else_branch = b () => (v) { v = Relu(x) }> }
    -> (If): it runs one of two graphs
branches that make what is there
    (float[N,4] x) => (y) <bool c = {1}>
    { y = If(c) <then_branch = a () => (u) { u, x = Split<num_outputs=2, axis=1>(x) },
                 else_branch = b () => (v) { v = Relu(x) }> }
    -> a branch that makes what is made elsewhere
branches that hide what is made around them
    (float[N,4] x) => (y) <bool c = {1}>
    { u = Neg(x)
      y = If(c) <then_branch = a () => (v) { u = Relu(x) v = Neg(u) },
                 else_branch = b () => (w) { w = Relu(u) }> }
    -> a branch that makes what is made elsewhere
branches that take what others make
    (float[N,4] x) => (y) <bool c = {1}>
    { p = If(c) <then_branch = a () => (u) { t = Relu(x) u = Neg(t) },
                 else_branch = b () => (v) { v = Neg(x) }>
      y = If(c) <then_branch = d () => (m) { m = Add(p, t) },
                 else_branch = e () => (n) { n = Neg(x) }> }
    -> no tensor is called 'm'
branches with weights that are not taken, and others
    (float[N,3] x) => (y) <bool c = {0}>
    { y = If(c) <then_branch = a () => (u) <float[3] w = {1,2,3}> { u = Add(x, w) },
                 else_branch = b () => (v) { v = NonZero(x) }> }
    -> (NonZero): the operator is not supported
too many lengths that a shape has baked in
    (float[P,Q,Q1,Q2,Q3,N] x) => (y) <int64[6] k = {3, 2, 2, 2, 2, -1}>
    { a = Reshape(x, k) y = Relu(a) }
    -> a tensor of shape ['P', 'Q', 'Q1', 'Q2', 'Q3', batch] as
laid out as it begins
    (float[3,N,4] x) => (y) <int64[1] k = {3}>
    { y = Reshape(x, k) }
    -> a tensor of shape [3, batch, 4] as [3]
lengths that a shape leaves as they are
    (float[P,N,4] x) => (y) <int64[3] k = {0, -1, 3}, int64[1] z = {0}>
    { a = Reshape(x, k) y = ReduceMax<keepdims=0>(a, z) }
    -> a tensor of shape ['P', batch, 4] as ['P', -1, 3]
lengths behind what a shape has baked in
    (float[P,N,S] x) => (y) <int64[3] k = {3, -1, 2}>
    { y = Reshape(x, k) }
    -> a tensor of shape ['P', batch, 'S'] as [3, -1, 2]
branches of what is not read
    (float[N,3] x) => (y) <bool c = {1}>
    { y = If(c) <then_branch = a () => (u) { u = NonZero(x) },
                 else_branch = b () => (v) { v = Relu(x) }> }
    -> (NonZero): the operator is not supported
branches with a second condition
    (float[N,3] x) => (y) <bool c = {1}>
    { y = If(c, c) <then_branch = a () => (u) { u = Relu(x) },
                 else_branch = b () => (v) { v = Relu(x) }> }
    -> it runs one of two graphs
"""
)

# What is on an axis that is called as the batch is.
REFUSALS |= table(
    """
rows by one another
    (float[batch,seq] x) => (y)
    { y = Softmax<axis=0>(x) }
    -> (Softmax): rows of a batch are not computed with one another
the mean of rows
    (float[Batch_size,time,4] x) => (y)
    { a = ReduceMean<axes=[0]>(x) y = Sub(x, a) }
    -> (ReduceMean): rows of a batch are not computed with one another
more rows by scales, between them
    9 (float[batch,3,H,W] x) => (y) <float[4] k = {2, 1, 1, 1}>
    { y = Upsample<mode="linear">(x, k) }
    -> (Upsample): a constant or rows of a batch are interpolated
more rows, of two names
    (float[T,bs] x, float[B,M] z) => (y)
    { a = Softmax<axis=1>(x) y = Add(a, z) }
    -> (Softmax): rows of a batch are not computed with one another
a recurrent layer over rows
    (float[batch,T,2] x) => (y) <float[1,9,2] w, float[1,9,3] r>
    { y = GRU(x, w, r) }
    -> (GRU): it takes the batch on axis 1, and finds it on 0
an input of one shape
    (float[batch,3] x, float[3] b) => (y)
    { y = Add(x, b) }
    -> input 'b' of shape [3]: the same for all rows, of which input 'x' has any number
an input of one shape beside a table
    (float[N,3] x, float[3,3] b) => (y)
    { y = Add(x, b) }
    -> input 'b' of shape [3, 3]: the same for all rows, of which input 'x' has any number
"""
)


@pytest.mark.parametrize("text", REFUSALS.values(), ids=REFUSALS)
def test_refusals(text: str) -> None:
    graph, message = text.split("    -> ")
    with pytest.raises(ModelFormatError) as caught:
        loaded(parsed(graph))
    assert message.strip() in str(caught.value)
    assert len(caught.value.obstacles) == 1


# ---- recurrent layers ----

RECURRENT = table(
    """
lstm
    (float[T,N,2] x) => (y, h, c) <float[1,12,2] w, float[1,12,3] r, float[1,24] b>
    { y, h, c = LSTM<hidden_size=3>(x, w, r, b) }
lstm without bias
    (float[T,N,2] x) => (y) <float[1,12,2] w, float[1,12,3] r>
    { y = LSTM<hidden_size=3>(x, w, r) }
lstm with all inputs
    (float[T,N,2] x, float[1,N,3] h, float[1,N,3] c) => (y, hn)
    <float[1,12,2] w, float[1,12,3] r, float[1,24] b, float[1,9] p>
    { y, hn = LSTM<hidden_size=3>(x, w, r, b, , h, c, p) }
gru
    (float[T,N,2] x, float[1,N,3] h) => (y, hn) <float[1,9,2] w, float[1,9,3] r, float[1,18] b>
    { y, hn = GRU<hidden_size=3>(x, w, r, b, , h) }
gru, reset afterwards
    (float[T,N,2] x) => (y, h) <float[1,9,2] w, float[1,9,3] r, float[1,18] b>
    { y, h = GRU<linear_before_reset=1>(x, w, r, b) }
rnn
    (float[T,N,2] x) => (y, h) <float[1,3,2] w, float[1,3,3] r, float[1,6] b>
    { y, h = RNN<hidden_size=3>(x, w, r, b) }
rnn with the batch in front
    (float[N,T,2] x, float[N,1,3] h) => (y, hn) <float[1,3,2] w, float[1,3,3] r, float[1,6] b>
    { y, hn = RNN<hidden_size=3, layout=1>(x, w, r, b, , h) }
constant states
    (float[T,N,2] x) => (y)
    <float[1,9,2] w, float[1,9,3] r, float[1,18] b, float[1,1,3] c,
     int64[1] o = {1}, int64[1] k = {3}>
    { n = Shape<start=1, end=2>(x) s = Concat<axis=0>(o, n, k) h = Expand(c, s)
      y = GRU<hidden_size=3>(x, w, r, b, , h) }
zeros as states
    (float[T,N,2] x) => (y)
    <float[1,9,2] w, float[1,9,3] r, float[1,18] b, int64[1] o = {1}, int64[1] k = {3}>
    { n = Shape<start=1, end=2>(x) s = Concat<axis=0>(o, n, k) h = ConstantOfShape(s)
      y = GRU<hidden_size=3>(x, w, r, b, , h) }
lengths of all steps
    (float[5,N,2] x) => (y) <float[1,3,2] w, float[1,3,3] r, float[1,6] b, int32[2] k = {5, 5}>
    { y = RNN<hidden_size=3>(x, w, r, b, k) }
lengths of all steps, of as many rows as there are
    (float[5,N,2] x) => (y)
    <float[1,3,2] w, float[1,3,3] r, float[1,6] b, int64[1] c = {5}, int64[1] o = {1}>
    { n = Shape<start=1, end=2>(x) k = Expand(c, n) y = RNN<hidden_size=3>(x, w, r, b, k) }
memory alone
    (float[T,N,2] x, float[1,N,3] c) => (y, hn, cn)
    <float[1,12,2] w, float[1,12,3] r, float[1,24] b>
    { y, hn, cn = LSTM<hidden_size=3>(x, w, r, b, , , c) }
state of one unit
    (float[T,N,2] x) => (y)
    <float[1,3,2] w, float[1,3,1] r, float[1,6] b, int64[1] k = {2}, float[1] c>
    { a, h = GRU<hidden_size=1>(x, w, r, b) s = Squeeze(h, k) t = Transpose(s) y = Mul(t, c) }
state of one unit, axis of the direction
    (float[T,N,2] x) => (y)
    <float[1,3,2] w, float[1,3,1] r, float[1,6] b, int64[1] k = {0}, float[1,2] m>
    { a, h = GRU<hidden_size=1>(x, w, r, b) s = Squeeze(h, k) y = MatMul(s, m) }
reverse
    (float[T,N,2] x) => (y, h) <float[1,9,2] w, float[1,9,3] r, float[1,18] b>
    { y, h = GRU<direction="reverse">(x, w, r, b) }
reverse with the batch in front
    (float[N,T,2] x) => (y, h) <float[1,3,2] w, float[1,3,3] r, float[1,6] b>
    { y, h = RNN<direction="reverse", layout=1>(x, w, r, b) }
constants of several sequences for each of a fixed number of rows
    (float[2,9] x) => (y)
    <float[1,9,2] w, float[1,9,3] r, int64[3] k = {1, 6, 3}, int64[2] q = {2, -1},
     float[1,6,2] c = {1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6}>
    { h = Reshape(x, k) a, b = GRU<hidden_size=3>(c, w, r, , , h) y = Reshape(b, q) }
state without its axis
    (float[T,N,2] x) => (y) <float[1,9,2] w, float[1,9,3] r, float[1,18] b, float[3,2] m>
    { a, h = GRU(x, w, r, b) s = Squeeze(h) y = MatMul(s, m) }
constants for a fixed number of rows
    (float[5,2,2] x) => (y)
    <float[1,9,2] w, float[1,9,3] r, float[1,18] b, int64[1] o = {1},
     float[1,2,3] c = {1, 2, 3, 1, 2, 3}>
    { a = GRU(x, w, r, b) s = Squeeze(a, o) y = Mul(s, c) }
repeated for a fixed number of rows
    (float[5,2,2] x) => (y)
    <float[1,9,2] w, float[1,9,3] r, float[1,18] b, int64[1] o = {1}, int64[4] k = {4, 5, 2, 3}>
    { a = GRU(x, w, r, b) s = Squeeze(a, o) y = Expand(s, k) }
"""
)


@pytest.mark.parametrize("text", RECURRENT.values(), ids=RECURRENT)
def test_recurrent_layers(text: str) -> None:
    check(text)


# An activation of a layer of one step, from zeros, and the same by operators.
ONE_STEP = """
    (float[1,N,2] x) => (y) <float[1,3,2] w, float[1,3,3] r, float[1,6] b, int64[2] k = {0, 1}>
    { a = RNN<OPTIONS>(x, w, r, b) y = Squeeze(a, k) }"""
BY_HAND = """
    (float[1,N,2] x) => (y)
    <float[1,3,2] w, float[1,6] b, int64[1] k = {0}, int64[1] t = {3}, int64[1] o = {1},
     int64[1] e = {9}, float[1] alpha = {ALPHA}, float[1] beta = {BETA}>
    { x0 = Squeeze(x, k) w0 = Squeeze(w, k)
      p = Slice(b, k, t, o) q = Slice(b, t, e, o) c = Add(p, q)
      z = Gemm<transB=1>(x0, w0, c) OPERATORS }"""
ACTIVATIONS = {
    "Relu": ("", "y = Relu(z)"),
    "Tanh": ("", "y = Tanh(z)"),
    "Sigmoid": ("", "y = Sigmoid(z)"),
    "Softsign": ("", "y = Softsign(z)"),
    "Softplus": ("", "y = Softplus(z)"),
    "Elu": ("", "y = Elu(z)"),
    "Elu of alpha": ("0.5", "y = Elu<alpha=0.5>(z)"),
    "LeakyRelu": ("", "y = LeakyRelu(z)"),
    "LeakyRelu of alpha": ("0.5", "y = LeakyRelu<alpha=0.5>(z)"),
    "ThresholdedRelu of alpha": ("0.5", "y = ThresholdedRelu<alpha=0.5>(z)"),
    "Affine of alpha": ("0.5, 0.2", "u = Mul(z, alpha) y = Add(u, beta)"),
    "ScaledTanh of alpha": ("0.5, 0.2", "u = Mul(z, beta) v = Tanh(u) y = Mul(v, alpha)"),
    "HardSigmoid": ("", "y = HardSigmoid(z)"),
    "HardSigmoid of alpha": ("0.166667", "y = HardSigmoid<alpha=0.166667>(z)"),
    "HardSigmoid of another alpha": ("0.3", "y = HardSigmoid<alpha=0.3>(z)"),
    "HardSigmoid of both": ("0.3, 0.4", "y = HardSigmoid<alpha=0.3, beta=0.4>(z)"),
    "hardsigmoid of both": ("0.2, 0.4", "y = HardSigmoid<alpha=0.2, beta=0.4>(z)"),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_of_recurrent_layers(name: str) -> None:
    numbers, operators = ACTIVATIONS[name]
    alpha, _, beta = numbers.partition(", ")
    options = f'hidden_size=3, activations=["{name.split()[0]}"]'
    options += f", activation_alpha=[{alpha}]" if alpha else ""
    options += f", activation_beta=[{beta}]" if beta else ""
    layer = ONE_STEP.replace("OPTIONS", options)
    by_hand = BY_HAND.replace("ALPHA", alpha or "0").replace("BETA", beta or "0")
    model, _ = check_alike(layer, by_hand.replace("OPERATORS", operators))
    kernels_have = name.split()[0] not in ("Affine", "ScaledTanh") and "both" not in name
    kind = layers.SimpleRNN if kernels_have and "another" not in name else layers.RecurrentLoop
    assert [
        type(x) for x in model.layers if isinstance(x, layers.RecurrentLoop | layers.SimpleRNN)
    ] == [kind]


# Layers in two directions, and the same as one in each.
BOTH = """
    (float[T,N,2] x) => (y) <float[2,G,2] w, float[2,G,3] r, float[2,H] b>
    { y = OP<direction="bidirectional", hidden_size=3, OPTIONS>(x, w, r, b) }"""
EACH = """
    (float[T,N,2] x) => (y) <float[2,G,2] w, float[2,G,3] r, float[2,H] b>
    { w1, w2 = Split(w) r1, r2 = Split(r) b1, b2 = Split(b)
      y1 = OP<hidden_size=3, FIRST>(x, w1, r1, b1)
      y2 = OP<direction="reverse", hidden_size=3, SECOND>(x, w2, r2, b2)
      y = Concat<axis=1>(y1, y2) }"""
DIRECTIONS = {
    "RNN": ("", "", ""),
    "RNN of one activation": ('activations=["Relu"]', *['activations=["Relu"]'] * 2),
    "RNN of two activations": (
        'activations=["LeakyRelu", "Elu"], activation_alpha=[0.5, 0.3]',
        'activations=["LeakyRelu"], activation_alpha=[0.5]',
        'activations=["Elu"], activation_alpha=[0.3]',
    ),
    "GRU": ("linear_before_reset=1, clip=0.5", *["linear_before_reset=1, clip=0.5"] * 2),
    "GRU of four activations": (
        'activations=["Sigmoid", "Relu", "HardSigmoid", "Tanh"]',
        'activations=["Sigmoid", "Relu"]',
        'activations=["HardSigmoid", "Tanh"]',
    ),
    "GRU of an activation that kernels do not have": (
        'activations=["HardSigmoid", "Tanh", "Sigmoid", "Tanh"], '
        "activation_alpha=[0.3], activation_beta=[0.4]",
        'activations=["HardSigmoid", "Tanh"], activation_alpha=[0.3], activation_beta=[0.4]',
        'activations=["Sigmoid", "Tanh"]',
    ),
    "LSTM": ("input_forget=1", "input_forget=1", "input_forget=1"),
    "LSTM of six activations": (
        'activations=["Sigmoid", "Relu", "Elu", "Softsign", "Tanh", "Tanh"]',
        'activations=["Sigmoid", "Relu", "Elu"]',
        'activations=["Softsign", "Tanh", "Tanh"]',
    ),
}


@pytest.mark.parametrize("name", DIRECTIONS)
def test_directions_of_recurrent_layers(name: str) -> None:
    op = name.split()[0]
    rows = {"RNN": 3, "GRU": 9, "LSTM": 12}[op]
    both, first, second = DIRECTIONS[name]
    texts = []
    for text in (BOTH, EACH):
        filled = (
            text.replace("OP<", f"{op}<").replace("G,", f"{rows},").replace("H]", f"{2 * rows}]")
        )
        filled = filled.replace("OPTIONS", both).replace("FIRST", first).replace("SECOND", second)
        texts.append(filled.replace(", >", ">"))
    check_alike(*texts)


# ---- what is left out ----

# Layers of what is put down for a graph: what undoes another is no layer.
KINDS = table(
    """
axis put in and taken out
    (float[N,6] x) => (y) <int64[1] k = {1}>
    { a = Unsqueeze(x, k) b = Squeeze(a, k) y = Relu(b) }
    -> Activation
axis put in and another taken out
    (float[N,6,1] x) => (y) <int64[1] k = {1}, int64[1] l = {3}>
    { a = Unsqueeze(x, k) b = Squeeze(a, l) y = Relu(b) }
    -> ExpandDims Squeeze Activation
axes put in and taken out
    (float[N,6] x) => (y) <int64[2] k = {1, 2}>
    { a = Unsqueeze(x, k) b = Squeeze(a, k) y = Relu(b) }
    -> ExpandDims ExpandDims Squeeze Activation
laid out and back
    (float[N,6] x) => (y) <int64[3] k = {0, 2, 3}, int64[2] l = {0, 6}>
    { a = Reshape(x, k) b = Reshape(a, l) y = Relu(b) }
    -> Activation
laid out and otherwise
    (float[N,6] x) => (y) <int64[3] k = {0, 2, 3}, int64[3] l = {0, 3, 2}>
    { a = Reshape(x, k) b = Reshape(a, l) y = Relu(b) }
    -> Reshape Reshape Activation
laid out as it was
    (float[N,6] x) => (y) <int64[2] k = {-1, 6}>
    { a = Reshape(x, k) y = Relu(a) }
    -> Activation
laid out for an axis that is put in
    (float[N,6] x) => (y) <int64[1] k = {1}, int64[2] l = {0, 6}>
    { a = Unsqueeze(x, k) b = Reshape(a, l) y = Relu(b) }
    -> Activation
joined with the batch
    (float[N,2,3] x) => (y) <int64[2] k = {-1, 3}, int64[3] l = {-1, 2, 3}>
    { a = Reshape(x, k) b = Relu(a) y = Reshape(b, l) }
    -> Activation
turned and back
    (float[N,2,3] x) => (y)
    { a = Transpose<perm=[2,0,1]>(x) b = Transpose<perm=[1,2,0]>(a) y = Relu(b) }
    -> Activation
turned twice
    (float[N,2,3,4] x) => (y)
    { a = Transpose<perm=[0,2,3,1]>(x) b = Transpose<perm=[0,2,3,1]>(a) y = Relu(b) }
    -> Transpose Activation
batch moved
    (float[N,2,3] x) => (y)
    { a = Transpose<perm=[1,0,2]>(x) b = Relu(a) y = Transpose<perm=[1,0,2]>(b) }
    -> Activation
state
    (float[T,N,2] x) => (h) <float[1,9,2] w, float[1,9,3] r, int64[1] k = {0}>
    { y, s = GRU(x, w, r) h = Squeeze(s, k) }
    -> GRU Identity
last step
    (float[T,N,2] x) => (h) <float[1,9,2] w, float[1,9,3] r, int64[1] k = {1}, int64 p = {-1}>
    { y = GRU(x, w, r) s = Squeeze(y, k) h = Gather(s, p) }
    -> GRU Identity
all steps
    (float[T,N,2] x) => (s) <float[1,9,2] w, float[1,9,3] r, int64[1] k = {1}>
    { y = GRU(x, w, r) s = Squeeze(y, k) }
    -> GRU
types
    (float[N,6] x) => (y) <int64[2] k = {-1, 6}>
    { a = Cast<to=11>(x) b = Identity(a) y = Relu(b) }
    -> Activation
input put out
    (float[N,6] x) => (y)
    { y = Identity(x) }
    -> Identity
nothing repeated
    (float[N,6] x) => (y) <int64[2] k = {1, 6}>
    { a = Expand(x, k) y = Relu(a) }
    -> Activation
everything
    (float[N,6] x) => (y) <int64[1] z = {0}, int64[1] e = {6}, int64[1] o = {1}>
    { a = Slice(x, z, e, o) y = Relu(a) }
    -> Activation
last step by a slice
    (float[T,N,2] x) => (h)
    <float[1,9,2] w, float[1,9,3] r, int64[1] k = {1}, int64[1] m = {-1}, int64[1] z = {0},
     int64[1] e = {9223372036854775807}>
    { y = GRU(x, w, r) s = Squeeze(y, k) t = Slice(s, m, e, z) h = Squeeze(t, z) }
    -> GRU Identity
first step by a slice
    (float[N,T,2] x) => (y) <int64[1] z = {0}, int64[1] o = {1}>
    { a = Slice(x, z, o, o) b = Squeeze(a, o) y = Relu(b) }
    -> Slice Activation
last but one by a slice
    (float[N,T,2] x) => (y) <int64[1] m = {-2}, int64[1] e = {-1}, int64[1] o = {1}>
    { a = Slice(x, m, e, o) b = Squeeze(a, o) y = Relu(b) }
    -> Slice Activation
repeated to an open length
    (float[N,1,3] x, float[N,T,3] z) => (y)
    { s = Shape(z) y = Expand(x, s) }
    -> Positions Elementwise Reshape Elementwise
nothing to take out
    (float[N,6] x) => (y)
    { a = Squeeze(x) y = Relu(a) }
    -> Activation
joined with the batch, and more
    (float[N,2,3,4] x) => (y) <int64[3] k = {-1, 3, 4}, int64[4] l = {-1, 2, 3, 4}>
    { a = Reshape(x, k) b = Relu(a) y = Reshape(b, l) }
    -> Activation
joined in front of the batch
    (float[5,2,N,4] x) => (y) <int64[3] k = {5, -1, 4}, int64[4] l = {5, 2, -1, 4}>
    { a = Reshape(x, k) b = Relu(a) y = Reshape(b, l) }
    -> Activation
softmax of the last axis of old
    11 (float[N,2,3] x) => (y)
    { y = Softmax<axis=2>(x) }
    -> Activation
windows without padding
    (float[N,2,7] x) => (y) <float[3,2,3] c>
    { y = Conv(x, c) }
    -> Transpose Conv1D Transpose
several joined with the batch
    (float[N,2,3,4] x) => (y) <int64[2] k = {-1, 4}, int64[4] l = {-1, 2, 3, 4}>
    { a = Reshape(x, k) b = Relu(a) y = Reshape(b, l) }
    -> Activation
several joined in front of the batch
    (float[5,2,3,N,4] x) => (y) <int64[3] k = {5, -1, 4}, int64[5] l = {5, 2, 3, -1, 4}>
    { a = Reshape(x, k) b = Relu(a) y = Reshape(b, l) }
    -> Activation
"""
)


@pytest.mark.parametrize("text", KINDS.values(), ids=KINDS)
def test_what_undoes_another_is_left_out(text: str) -> None:
    graph, kinds = text.split("    -> ")
    model = check(graph)
    assert [type(layer).__name__ for layer in model.layers] == kinds.split()


# ---- where the batch is ----


# Axes of the batch, of inputs and outputs in order, and how a graph says so.
PLACES = table(
    """
first
    (float[A,M,3] x) => (y)
    { y = Relu(x) }
    -> x 0, y 0
a name
    (float[A,N,3] x, float[A,N,3] z) => (y)
    { y = Add(x, z) }
    -> x 1, z 1, y 1
a name on different axes
    (float[A,batch,3] x, float[batch,3] z) => (y)
    { y = Add(x, z) }
    -> x 1, z 0, y 1
a name twice
    (float[N,N,3] x) => (y)
    { y = Relu(x) }
    -> x 0, y 0
an open length behind a fixed one
    (float[4,A,3] x) => (y) <int64 k = {2}>
    { y = Gather(x, k) }
    -> x 1, y 0
a name of one input
    (float[A,M,3] x, float[A,3] z) => (y, w)
    { y = Relu(x) w = Relu(z) }
    -> x 0, z 0, y 0, w 0
a name beside an axis of open length and one of one row
    (float[A,Batch,3] x, float[M,3] z, float[1,3] w) => (y)
    { a = Add(x, z) y = Add(a, w) }
    -> x 1, z 0, w 0, y 1
another name, where steps are known by one another
    (float[A,M] x) => (y)
    { y = Softmax<axis=0>(x) }
    -> x 1, y 1
layer
    (float[A,M,2] x) => (y) <float[1,9,2] w, float[1,9,3] r>
    { y = GRU(x, w, r) }
    -> x 1, y 2
layer with the batch in front
    (float[5,4,2] x) => (y) <float[1,9,2] w, float[1,9,3] r>
    { y = GRU<layout=1>(x, w, r) }
    -> x 0, y 0
turned for a layer
    (float[4,5,2] x) => (y) <float[1,9,2] w, float[1,9,3] r>
    { t = Transpose<perm=[1,0,2]>(x) y = GRU(t, w, r) }
    -> x 0, y 2
passed on and turned for a layer
    (float[2,5,4] x) => (y) <float[1,9,2] w, float[1,9,3] r>
    { i = Identity(x) t = Transpose<perm=[1,2,0]>(i) y = GRU(t, w, r) }
    -> x 2, y 2
turned twice for a layer
    (float[2,4,5] x) => (y) <float[1,9,4] w, float[1,9,3] r>
    { t = Transpose<perm=[1,2,0]>(x) u = Transpose<perm=[2,1,0]>(t) y = GRU(u, w, r) }
    -> x 2, y 2
states beside what is no layer's
    (float[4,5,2] x, float[1,4,3] h, float[1,4,3] c, float[4,3] z) => (y)
    <float[1,12,2] w, float[1,12,3] r, int64[1] k = {0}>
    { t = Transpose<perm=[1,0,2]>(x) a, s = LSTM(t, w, r, , , h, c)
      b = Squeeze(s, k) y = Add(b, z) }
    -> x 0, h 1, c 1, z 0, y 0
memory alone
    (float[4,5,2] x, float[1,4,3] c, float[4,3] z) => (y)
    <float[1,12,2] w, float[1,12,3] r, int64[1] k = {0}>
    { t = Transpose<perm=[1,0,2]>(x) a, s = LSTM(t, w, r, , , , c)
      b = Squeeze(s, k) y = Add(b, z) }
    -> x 0, c 1, z 0, y 0
states of one row that are not followed
    (float[1,4] x, float[2,1,3] h) => (y)
    <float[1,9,4] w, float[1,9,3] r, int64 o = {1}, int64[1] k = {0}>
    { t = Unsqueeze(x, k) g = Gather<axis=0>(h, o) i = Unsqueeze(g, k) y = GRU(t, w, r, , , i) }
    -> x 0, h 1, y 2
states of one row beside one step
    17 (float[1,5,4] x, float[1,1,4] z, float[2,1,3] h) => (y, s)
    <float[1,9,4] w, float[1,9,3] r, int64 o = {1}, int64[1] k = {0}>
    { a = ReduceMean<axes=[1], keepdims=1>(x) b = Add(a, z) t = Transpose<perm=[1,0,2]>(b)
      g = Gather<axis=0>(h, o) i = Unsqueeze(g, k) y, s = GRU(t, w, r, , , i) }
    -> x 0, z 0, h 1, y 2, s 1
rows and steps that are one
    (float[1,4] x, float[1,1,3] h) => (y)
    <float[1,9,4] w, float[1,9,3] r, int64[3] k = {1,1,-1}, int64[2] l = {1,1}>
    { t = Reshape(x, k) i = Mul(h, h) y = GRU(t, w, r, , , i) }
    -> x 0, h 0, y 2
so many rows of several inputs
    (float[4,2] x, float[1,4,3] h, float[4] d) => (y)
    <float[1,9,2] w, float[1,9,3] r, int64[1] k = {0}, int64[3] l = {1, -1, 1}>
    { t = Unsqueeze(x, k) e = Reshape(d, l) i = Mul(h, e) y = GRU(t, w, r, , , i) }
    -> x 0, h 1, d 0, y 2
names of its own for each
    (float[N,2] x, float[2,R,3] h) => (y)
    <float[1,9,2] w, float[1,9,3] r, int64 o = {1}, int64[1] k = {0}>
    { t = Unsqueeze(x, k) g = Gather<axis=0>(h, o) i = Unsqueeze(g, k) y = GRU(t, w, r, , , i) }
    -> x 0, h 1, y 2
one row beside an open number of them
    (float[N,2] x, float[2,1,3] h) => (y)
    <float[1,9,2] w, float[1,9,3] r, int64 o = {1}, int64[1] k = {0}>
    { t = Unsqueeze(x, k) g = Gather<axis=0>(h, o) i = Unsqueeze(g, k) y = GRU(t, w, r, , , i) }
    -> x 0, h 1, y 2
beside what is not followed
    (float[5,4,2] x) => (y) <float[1,9,2] w, float[1,9,3] r>
    { t = Relu(x) y = GRU(t, w, r) }
    -> x 1, y 2
"""
)


def places_in(text: str) -> dict[str, int]:
    proto = parsed(text)
    names = [value.name for value in (*proto.graph.input, *proto.graph.output)]
    return dict.fromkeys(names, 0) | places(loaded(proto).notes)


@pytest.mark.parametrize("text", PLACES.values(), ids=PLACES)
def test_where_the_batch_is(text: str) -> None:
    graph, told = text.split("    -> ")
    expected = (pair.split() for pair in told.split(", "))
    assert places_in(graph) == {name: int(axis) for name, axis in expected}


def test_the_one_row_of_all_inputs() -> None:
    """States beside other inputs, as of a model that takes a stream piece by piece."""
    text = """
        (float[1,4] x, float[2,1,3] h) => (y, hn)
        <float[1,9,4] w, float[1,9,3] r, int64 o = {1}, int64[1] k = {0}>
        { t = Unsqueeze(x, k) g = Gather<axis=0>(h, o) i = Unsqueeze(g, k)
          y, n = GRU(t, w, r, , , i) hn = Concat<axis=0>(n, n) }
    """
    proto = parsed(text)
    model = loaded(proto)
    x, h = normal(3, 4), normal(2, 3, 3, seed=1)
    found = model.predict({"x": x, "h": h.transpose(1, 0, 2)})
    for row in range(3):
        given = {"x": x[row : row + 1], "h": h[:, row : row + 1]}
        y, hn = ReferenceEvaluator(proto).run(None, given)
        np.testing.assert_allclose(found["y"][row], y[..., 0, :], rtol=2e-5, atol=2e-5)
        np.testing.assert_allclose(found["hn"][row], hn[:, 0], rtol=2e-5, atol=2e-5)


def test_numbers_for_all_rows() -> None:
    model = loaded(parsed("(float[N,3] x, int64 sr) => (y) { y = Relu(x) }"))
    assert model.input_names == ("x",)
    assert "input 'sr' is of no use, and none here" in model.notes
    with pytest.raises(ModelFormatError, match="input 's': one number for all rows, which is part"):
        loaded(parsed("(float[N,3] x, float s) => (y) { y = Mul(x, s) }"))
    with pytest.raises(ModelFormatError, match="no input that something is computed of"):
        loaded(parsed("(float s) => (y) <float[2] c> { y = Relu(c) }"))


def test_numbers_that_are_given() -> None:
    proto = parsed("(float[N,3] x, float s) => (y) { y = Mul(x, s) }")
    data = proto.SerializeToString()
    model = fd.load(io.BytesIO(data), inputs={"s": np.float32(2.5)})
    x = normal(4, 3)
    assert model.input_names == ("x",)
    assert "input 's' is 2.5 for all rows" in model.notes
    np.testing.assert_array_equal(model.predict(x), x * np.float32(2.5))


RATE = """(float[N,T] x, int64 sr) => (y) <int64 k = {16000}>
    { c = Equal(sr, k) y = If(c) <then_branch = a () => (u) { u = Relu(x) },
                                  else_branch = b () => (v) { v = Neg(x) }> }"""


def test_a_branch_by_a_number_that_is_given() -> None:
    data, x = parsed(RATE).SerializeToString(), normal(4, 3)
    found = fd.load(io.BytesIO(data), inputs={"sr": 16000}).predict(x)
    np.testing.assert_array_equal(found, np.maximum(x, 0))
    np.testing.assert_array_equal(fd.load(io.BytesIO(data), inputs={"sr": 8000}).predict(x), -x)
    with pytest.raises(
        ModelFormatError, match=r"inputs='sr': expected a number of int64, found 8.5"
    ):
        fd.load(io.BytesIO(data), inputs={"sr": 8.5})


def test_lengths_that_are_given() -> None:
    text = """(float[N,T] x) => (y) <int64[1] k = {-1}, int64 l = {1}, int64 i = {1}>
        { s = Shape(x) n = Gather(s, i) c = Equal(n, l)
          y = If(c) <then_branch = a () => (u) { u = Squeeze(x, k) },
                     else_branch = b () => (v) { v = ReduceMax<keepdims=0>(x, k) }> }"""
    data = parsed(text).SerializeToString()
    hint = r"lengths that the file leaves open may be given, as in .*\(None, 100\)"
    with pytest.raises(ModelFormatError, match=hint):
        fd.load(io.BytesIO(data))
    x = normal(4, 3)
    one = fd.load(io.BytesIO(data), inputs={"x": (None, 1)})
    np.testing.assert_array_equal(one.predict(x[:, :1]), x[:, 0])
    three = fd.load(io.BytesIO(data), inputs={"x": [None, 3]})
    assert three.input_shape == (3,)
    np.testing.assert_array_equal(three.predict(x), x.max(1))


GIVEN: dict[str, tuple[Any, type[Exception], str]] = {
    "another name": ({"z": 1}, ModelFormatError, "inputs='z': expected one of 'x', 'n'"),
    "another rank": ({"x": (None, 3, 1)}, ModelFormatError, r"inputs='x': expected a shape as \("),
    "another length": (
        {"x": (2, None, 4)},
        ModelFormatError,
        r"inputs='x': expected a shape as \(",
    ),
    "a number for a shape": (
        {"x": 3},
        ModelFormatError,
        "expected a shape as .*, found one number",
    ),
    "too large": ({"n": 2**70}, ModelFormatError, "inputs='n': expected a number of int64, found"),
    "no mapping": (
        [("x", 1)],
        TypeError,
        "inputs: expected a mapping of names to shapes or numbers",
    ),
    "no name": ({1: 1}, TypeError, "inputs: expected a mapping of names to shapes or numbers"),
    "a text": ({"x": "3"}, TypeError, r"inputs\['x'\]: expected a tuple of lengths, or a number"),
    "no length": ({"x": (None, 0)}, ValueError, r"inputs\['x'\]: expected an integer in \[1, "),
    "half a length": (
        {"x": (None, 1.5)},
        TypeError,
        r"inputs\['x'\]: expected an integer in \[1, ",
    ),
}


# Of which small numbers are computed, and those of `LARGE` are not.
GROWING = table(
    """
products
    ([N,3] x) => (y) <[1] c = {1000001}, [1] d = {1000000}>
    { a = Mul(x, c) b = Mul(x, d) y = Sub(a, b) }
sums
    ([N,3] x) => (y) <[1] c = {16776000}>
    { y = Add(x, c) }
differences
    ([N,3] x) => (y) <[1] c = {-16776000}>
    { y = Sub(x, c) }
compared
    ([N,3] x) => (y) <[1] c = {10000}, [1] k = {1}>
    { a = Mul(x, c) b = Add(a, k) e = Equal(a, b) y = Cast<to=1>(e) }
powers
    ([N,3] x) => (y) <[1] c = {5}>
    { y = Pow(x, c) }
seconds of a day
    ([N,3] x) => (y) <[1] c = {86400}>
    { a = Mul(x, x) b = Div(a, c) d = Mul(b, c) y = Sub(a, d) }
sums of a row
    ([N,3] x) => (y) <int64[1] k = {1}, [1] t = {1300}>
    { m = Mul(x, t) y = ReduceSum(m, k) }
means of a row
    ([N,3] x) => (y) <int64[1] k = {1}, [1] t = {1300}>
    { m = Mul(x, t) y = ReduceMean(m, k) }
sizes of a row
    ([N,3] x) => (y) <int64[1] k = {1}, [1] t = {1300}>
    { m = Mul(x, t) y = ReduceL1(m, k) }
sums that were larger on the way
    ([N,3] x) => (y) <int64[1] k = {1}, [3] t = {1300, 1300, -100000}>
    { m = Mul(x, t) y = ReduceSum(m, k) }
products of a row
    ([N,3] x) => (y) <int64[1] k = {1}>
    { y = ReduceProd(x, k) }
squares of a row
    ([N,3] x) => (y) <int64[1] k = {1}>
    { y = ReduceSumSquare(x, k) }
lengths of a row
    ([N,3] x) => (y) <int64[1] k = {1}>
    { y = ReduceL2(x, k) }
up to each
    ([N,3] x) => (y) <int64 k = {1}, [1] t = {1300}>
    { m = Mul(x, t) y = CumSum(m, k) }
of matrices
    ([N,3] x) => (y) <[3,2] c = {5592000, 1, 2, 1, 1, 1}>
    { y = MatMul(x, c) }
of matrices, and sums
    ([N,3] x) => (y) <[3,2] c = {1, 1, 2, 1, 1, 1}, [2] d = {16776000, 1}>
    { y = Gemm(x, c, d) }
by letters
    ([N,3] x) => (y) <[3,2] c = {5592000, 1, 2, 1, 1, 1}>
    { y = Einsum<equation="bi,ij->bj">(x, c) }
put to places
    ([N,3] x) => (y) <[3] c = {5592000, 1, 2}, int64[1] k = {3}, int64[1,3] p = {0, 0, 1}>
    { m = Mul(x, c) n = Shape<end=1>(x) j = Concat<axis=0>(n, k) q = Expand(p, j)
      y = ScatterElements<axis=1, reduction="add">(x, q, m) }
"""
)


def test_whole_numbers_to_negative_powers_are_cut_off() -> None:
    graph = "(int64[N,5] x) => (y) <int64[5] c = {-7, 2, -1, 1, BASE}, "
    graph += "int64[5] d = {3, -2, -3, -5, -4}> { a = Pow(c, d) y = Add(x, a) }"
    model = loaded(parsed(graph.replace("BASE", "-1")))
    np.testing.assert_array_equal(model.predict(np.zeros((1, 5))), [[-343, 0, -1, 1, 1]])
    with pytest.raises(ModelFormatError, match=r"\(Pow\): a division by zero"):
        loaded(parsed(graph.replace("BASE", "0")))


# What ONNX Runtime gives.
LOGARITHMS = {"ReduceLogSumExp": [3, 2, 1], "ReduceLogSum": [1, 1, 0]}


@pytest.mark.parametrize("kind", ["int32", "int64"])
@pytest.mark.parametrize("op", LOGARITHMS)
def test_logarithms_of_whole_numbers_are_whole(op: str, kind: str) -> None:
    model = loaded(parsed(f"({kind}[N,3] x) => (y) <int64[1] k = {{1}}> {{ y = {op}(x, k) }}"))
    found = model.predict(np.array([[1, 2, 3], [2, 1, 1], [1, 0, 1]], kind))
    np.testing.assert_array_equal(found[:, 0], LOGARITHMS[op])


@pytest.mark.parametrize(("kind", "most"), [("6", 2.0**31), ("7", 2.0**63)])
def test_numbers_made_whole_fit_their_type(kind: str, most: float) -> None:
    model = loaded(parsed(f"(float[N,2] x) => (y) {{ y = Cast<to={kind}>(x) }}"))
    x = np.array([[-1.5, most / 2], [2.5, -most / 4]], np.float32)
    np.testing.assert_array_equal(model.predict(x), np.trunc(x))
    for large in (most, -2 * most, np.inf):
        with pytest.raises(ValueError, match=r"expected whole numbers below 2\*\*\d\d .* got"):
            model.predict(np.array([[1.0, large]], np.float32))


SMALL, LARGE = [[1, 2, 1], [2, 1, 2]], [[12345, 777, 5], [1, 2, 4097]]


@pytest.mark.parametrize("kind", ["int32", "int64"])
@pytest.mark.parametrize("name", GROWING)
def test_whole_numbers_stay_whole(name: str, kind: str) -> None:
    proto = parsed(re.sub(r"(?<=[ (<])(?=\[)", kind, GROWING[name]))
    model = loaded(proto)
    wanted = ReferenceEvaluator(proto).run(None, {"x": np.array(SMALL, kind)})
    found = model.predict(np.array(SMALL, kind))
    for got, expected in zip(found.values() if len(wanted) > 1 else [found], wanted, strict=True):
        np.testing.assert_array_equal(got, expected)
    with pytest.raises(ValueError, match=r"expected whole numbers below 2\*\*24 .* got"):
        model.predict(np.array(LARGE, kind))


@pytest.mark.parametrize("name", GIVEN)
def test_what_is_given_of_inputs_is_checked(name: str) -> None:
    given, error, message = GIVEN[name]
    data = parsed("(float[N,T,3] x, int64 n) => (y) { y = Relu(x) }").SerializeToString()
    with pytest.raises(error, match=message):
        fd.load(io.BytesIO(data), inputs=given)


def test_inputs_are_for_files_of_onnx() -> None:
    with pytest.raises(ModelFormatError, match="inputs= is for files of ONNX"):
        fd.load(model_path(), inputs={"input": (None, 3)})


def test_fewer_places_before_it_was_said_how() -> None:
    """Operator set 10 leaves open which places are taken; ONNX Runtime takes these."""
    proto = parsed("10 (float[N,1,10] x) => (y) <float[3] s = {1, 1, 0.7}> { y = Resize(x, s) }")
    x = np.arange(10, dtype=np.float32).reshape(1, 1, 10)
    assert loaded(proto).predict(x).ravel().tolist() == [0, 2, 3, 5, 6, 8, 9]
    text = "10 (float[N,1,5,4] x) => (y) <float[4] s = {1, 1, 0.6, 1.5}> { y = Resize(x, s) }"
    x = np.arange(20, dtype=np.float32).reshape(1, 1, 5, 4)
    expected = x[:, :, [0, 2, 4]][..., [0, 0, 1, 2, 2, 3]]  # of more places it is the one before
    np.testing.assert_array_equal(loaded(parsed(text)).predict(x), expected)


def test_weights_in_branches_count_too() -> None:
    text = """(float[N,3] x) => (y) <bool c = {1}>
        { y = If(c) <then_branch = a () => (u) <float[3] w = {1,2,3}> { u = Add(x, w) },
                     else_branch = b () => (v) <float[3] k = {1,2,3}> { v = Mul(x, k) }> }"""
    data = parsed(text).SerializeToString()
    fd.load(io.BytesIO(data), max_tensors=3, max_tensor_bytes=100)
    with pytest.raises(ModelFormatError, match="3 tensors, max_tensors is 2"):
        fd.load(io.BytesIO(data), max_tensors=2)
    with pytest.raises(ModelFormatError, match="the weights take 28 bytes, max_tensor_bytes is 27"):
        fd.load(io.BytesIO(data), max_tensor_bytes=27)


def test_the_least_of_nothing_is_refused() -> None:
    proto = parsed("""(float[N,T,4] x) => (y) <int64[1] a = {1}, int64[1] b = {-1}>
        { s = Slice(x, a, b, a) y = ReduceMin<keepdims=0>(s, a) }""")
    x = normal(2, 4, 4)
    np.testing.assert_array_equal(loaded(proto).predict(x), x[:, 1:-1].min(1))
    with pytest.raises(ValueError, match="expected one place or more of which to take the min"):
        loaded(proto).predict(x[:, :2])


@pytest.mark.parametrize("op", ["DequantizeLinear", "MatMulInteger", "DynamicQuantizeLSTM"])
@pytest.mark.parametrize("domain", ["", "com.microsoft"])
def test_quantized_models_are_called_so(op: str, domain: str) -> None:
    proto = parsed("(float[N,3] x) => (y) { y = Relu(x) }")
    proto.graph.node[0].op_type, proto.graph.node[0].domain = op, domain
    with pytest.raises(ModelFormatError, match="quantized numbers; take the model from before"):
        loaded(proto)


# What weights are quantized along, by their scales, and which zero there is.
WEIGHTS = table(
    """
of all
    (float[N,3] x) => (y) <int8[3,2] w, float s = {0.5}>
    { k = DequantizeLinear(w, s) y = MatMul(x, k) }
of all, of one number
    (float[N,3] x) => (y) <int8[3,2] w, float[1] s = {0.5}, int8[1] z = {-100}>
    { k = DequantizeLinear(w, s, z) y = MatMul(x, k) }
of each column
    (float[N,3] x) => (y) <uint8[3,2] w, float[2] s = {0.5, 0.25}, uint8[2] z = {3, 200}>
    { k = DequantizeLinear(w, s, z) y = MatMul(x, k) }
of each line
    (float[N,3] x) => (y) <int8[3,2] w, float[3] s = {0.5, 0.25, 3}, int8[3] z = {3, -2, 1}>
    { k = DequantizeLinear<axis=-2>(w, s, z) y = MatMul(x, k) }
of sums
    (float[N,3] x) => (y) <int32[3] w, float s = {0.5}>
    { k = DequantizeLinear(w, s) y = Add(x, k) }
"""
)


@pytest.mark.parametrize("text", WEIGHTS.values(), ids=WEIGHTS)
def test_quantized_weights_are_constants(text: str) -> None:
    check(text)


def test_what_is_optimized_is_called_so() -> None:
    proto = parsed("(float[N,3] x) => (y) { y = Relu(x) }")
    proto.graph.node[0].op_type, proto.graph.node[0].domain = "FusedConv", "com.microsoft"
    with pytest.raises(ModelFormatError, match=r"com\.microsoft.*level ORT_ENABLE_BASIC"):
        loaded(proto)


def test_a_loop_behind_another_obstacle_is_told() -> None:
    proto = parsed("(float[N,3] x) => (y) { a = NonZero(x) y = Relu(a) }")
    proto.producer_name, proto.graph.node[1].op_type = "tf2onnx", "Loop"
    proto.graph.node[1].attribute.add(name="body", type=5).g.name = "g"
    with pytest.raises(ModelFormatError) as caught:
        loaded(proto)
    assert len(caught.value.obstacles) == 2
    assert "its .keras file" in caught.value.obstacles[1]


@pytest.mark.parametrize(
    ("name", "axis"),
    [("N", 1), ("n", 1), ("B", 1), ("b", 1), ("bs", 1), ("Batch_size", 1), ("rows", 0), ("M", 0)],
)
def test_names_of_the_batch(name: str, axis: int) -> None:
    found = places_in(f"(float[A,{name},3] x) => (y) {{ y = Relu(x) }}")
    assert found == {"x": axis, "y": axis}


# ---- what is told ----


def test_names_are_those_of_the_file() -> None:
    text = "(float[N,2,T] x, float16[N,2,1] z, double[N,2,1] w) => (y, v) "
    text += "{ [ab] y = Relu(x) [c] u = Add(z, w) [d] v = Relu(u) }"
    proto = parsed(text)
    proto.graph.node[0].name = "a:b"
    model = loaded(proto)
    assert model.input_names == ("x", "z", "w")
    assert model.output_names == ("y", "v")
    assert [layer.name for layer in model.layers] == ["a.b", "c", "d"]
    assert model.input_shape == {"x": (2, None), "z": (2, 1), "w": (2, 1)}
    assert model.notes == (
        "float16 is computed with as float32",
        "float64 is computed with as float32",
    )


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (
            "(float[N,3] x) => (y) { [c] y = Cast<to=10>(x) }",
            "node 'c' (Cast): float16 is computed",
        ),
        ("(float[N,3] x) => (y) { [c] y = Cast<to=16>(x) }", "node 'c' (Cast): bfloat16 is comp"),
        (
            "(float[N,3] x) => (y) <float r = {0.5}, bool t = {1}> { [d] y = Dropout(x, r, t) }",
            "node 'd' (Dropout): in training mode; here mc_predict drops, and predict does not",
        ),
        (
            "15 (float[N,3] x) => (y) <float[3] c> "
            "{ [b] y = BatchNormalization<training_mode=1>(x, c, c, c, c) }",
            "node 'b' (BatchNormalization): in training mode; here it takes the mean and variance",
        ),
        ("(float[4,3] x) => (y) { y = Relu(x) }", "the file is for 4 rows; here there may be any"),
        (
            "(float[N,2,3] x) => (y) { y = Flatten<axis=2>(x) }",
            "output 'y': the axes joined with the batch are apart",
        ),
    ],
    ids=["float16", "bfloat16", "dropout", "batch normalization", "rows", "joined"],
)
def test_notes(text: str, note: str) -> None:
    (found,) = loaded(parsed(text)).notes
    assert found.startswith(note)


@pytest.mark.parametrize("kind", ["float", "double"])
def test_doubles_are_told_once(kind: str) -> None:
    graph = f"({kind}[N,3] x, {kind}[N,3] z) => (y) {{ a = Cast<to=11>(x) y = Add(a, z) }}"
    if kind == "float":
        graph = graph.replace("Add(a, z)", "Cast<to=11>(z) v = Mul(a, y)").replace("(y)", "(v)")
    model = loaded(parsed(graph))
    assert [n for n in model.notes if "64" in n] == ["float64 is computed with as float32"]


@pytest.mark.parametrize("training", ["{0}", "{1}"])
def test_a_model_that_is_not_in_training_mode_says_nothing(training: str) -> None:
    text = "(float[N,3] x) => (y) <float r = {0.5}, bool t = TRAINING> { y = Dropout(x, r, t) }"
    assert len(loaded(parsed(text.replace("TRAINING", training))).notes) == (training == "{1}")


def test_layers_of_other_nodes_have_other_names() -> None:
    proto = parsed("(float[N,4] x) => (y) { a = Dropout(x) b = Relu(a) y = Dropout(b) }")
    for node, name in zip(proto.graph.node, ["a" * 100 + "b", "c:d", "a" * 100 + "c"], strict=True):
        node.name = name
    names = [layer.name for layer in loaded(proto).layers]
    assert len({*names}) == 3
    rates = {names[2]: 0.25}
    model = fd.load(io.BytesIO(proto.SerializeToString()), rates=rates)
    assert [getattr(layer, "rate", None) for layer in model.layers] == [0.5, None, 0.25]


def test_lengths_without_names_are_each_ones_own() -> None:
    text = "(float[N,?,3] x, float[N,?,3] z) => (y) <int64[1] i = {0}, int64[1] o = {1}> "
    model = loaded(parsed(text + "{ s = Shape<start=1, end=2>(z) y = Slice(x, i, s, o) }"))
    x, z = normal(2, 5, 3), normal(2, 4, 3)
    np.testing.assert_array_equal(model.predict({"x": x, "z": z}), x[:, :4])


def test_numbers_are_drawn_while_sampling_alone() -> None:
    model = loaded(
        parsed("""(float[N,4] x) => (y, z)
        { y = RandomNormalLike<mean=1.0, scale=2.0>(x) z = RandomUniformLike<low=-1.0>(x) }""")
    )
    x = normal(3, 4)
    for got, mean in zip(model.predict(x).values(), (1.0, 0.0), strict=True):
        np.testing.assert_allclose(got, np.full((3, 4), mean), atol=1e-6)
    drawn = model.mc_predict(x, 2000, rng=3, keep_samples=True)
    gauss, even = (p.samples for p in drawn.values())
    np.testing.assert_allclose(gauss.mean(0), 1, atol=5 * 2 / np.sqrt(2000))
    np.testing.assert_allclose(gauss.std(0), 2, rtol=0.1)
    np.testing.assert_allclose(even.mean(0), 0, atol=5 * 0.58 / np.sqrt(2000))
    np.testing.assert_allclose(even.std(0), 1 / np.sqrt(3), rtol=0.1)
    assert even.min() > -1 - 1e-6
    assert even.max() < 1 + 1e-6


def test_a_mask_is_that_of_what_is_dropped() -> None:
    """Also where numbers are infinite, which zeros in a mask do not make zero."""
    text = "(float[N,40] x) => (y, m) <float r = {0.3}> { y, m = Dropout(x, r) }"
    model = loaded(parsed(text))
    x = normal(3, 40)
    x[0, :20] = np.inf
    still = model.predict(x)
    assert np.array_equal(still["y"], x)
    assert (still["m"] == 1).all()
    kept, alone = (
        loaded(parsed(each)).mc_predict(x, samples=50, rng=3, keep_samples=True)
        for each in (text, text.replace("(y, m)", "(y)"))
    )
    masks, samples = kept["m"].samples, kept["y"].samples
    assert masks.mean() == pytest.approx(0.7, abs=0.02)
    expected = np.where(masks == 1, x * np.float32(1 / 0.7), np.float32(0))
    np.testing.assert_allclose(samples, expected, rtol=1e-6)
    np.testing.assert_allclose(samples, alone.samples, rtol=1e-6)


def test_a_mask_is_made_of_truths() -> None:
    """Of which whole numbers of any type are 0 and 1."""
    check(
        """
        (float[N,3] x) => (y) <float r = {0.3}>
        { d, m = Dropout(x, r) c = Cast<to=2>(m) f = Cast<to=1>(c) y = Add(d, f) }
        """
    )


def test_a_mask_alone_has_its_rate_changed_too() -> None:
    text = """(float[N,40] x) => (z) <float r = {0.3}>
        { y, m = Dropout(x, r) a = Not(m) z = Cast<to=1>(a) }"""
    model = loaded(parsed(text))
    p = model.with_rates({"Dropout_0": 0.6}).mc_predict(normal(20, 40), samples=50, rng=3)
    assert p.mean.mean() == pytest.approx(0.6, abs=0.02)
    assert not model.predict(normal(3, 40)).any()


def test_layers_are_counted() -> None:
    nodes = " ".join(f"a{i + 1} = Relu(a{i})" for i in range(20))
    data = parsed(f"(float[N,3] a0) => (a20) {{ {nodes} }}").SerializeToString()
    assert len(fd.load(io.BytesIO(data), max_layers=20).layers) == 20
    with pytest.raises(ModelFormatError, match="20 layers, max_layers is 19"):
        fd.load(io.BytesIO(data), max_layers=19)


def test_the_fewest_obstacles_are_told() -> None:
    """Of several axes on which the batch may be."""
    text = "(float[T,N,2] x) => (y) <float[1,9,2] w, float[1,9,3] r> "
    text += "{ t = Relu(x) a = GRU(t, w, r) y = NonZero(a) }"
    with pytest.raises(ModelFormatError) as caught:
        loaded(parsed(text))
    (obstacle,) = caught.value.obstacles
    assert "(NonZero): the operator is not supported" in obstacle


def test_weights_are_no_larger_than_allowed() -> None:
    data = parsed("(float[N,3] x) => (y) <float[3,3] c> { y = MatMul(x, c) }").SerializeToString()
    assert fd.load(io.BytesIO(data), max_tensor_bytes=36).layers
    with pytest.raises(ModelFormatError, match="the weights take 36 bytes, max_tensor_bytes is 35"):
        fd.load(io.BytesIO(data), max_tensor_bytes=35)


def test_a_row_of_a_layer_is_no_larger_than_allowed() -> None:
    text = "(float[N,1] x) => (y) <int64[2] k = {1, 300}> { y = Expand(x, k) }"
    data = parsed(text).SerializeToString()
    assert fd.load(io.BytesIO(data), max_tensor_bytes=1200).layers
    with pytest.raises(ModelFormatError, match="takes 1200 bytes for one input, max_tensor_bytes"):
        fd.load(io.BytesIO(data), max_tensor_bytes=1199)


@pytest.mark.parametrize(("count", "fits"), [(10**6, True), (4 * 10**6, False)], ids=["1", "4"])
def test_constants_may_take_some_megabytes_besides_the_file(count: int, fits: bool) -> None:
    """Those that repeat a number take none, many as they may be."""
    text = f"(float[N,3] x0) => (x6) <int64[1] k = {{{count}}}> {{ "
    for i in range(6):
        text += f"a{i} = ConstantOfShape(k) b{i} = ReduceSum(a{i}) x{i + 1} = Add(x{i}, b{i}) "
    proto = parsed(text + "}")
    if fits:
        assert loaded(proto).layers
    else:
        with pytest.raises(ModelFormatError, match="which the file does not hold"):
            loaded(proto)


def test_an_input_that_is_put_out_has_the_name_of_the_output() -> None:
    proto = parsed("(float[N,3] x) => (y) { y = Identity(x) }")
    proto.graph.output[0].name = proto.graph.node[0].output[0] = "y:0"
    model = loaded(proto)
    assert [layer.name for layer in model.layers] == ["y.0"]


def test_what_is_said_of_loops_is_said_of_loops_alone() -> None:
    for op, producer, more in (
        *(("If", "tf2onnx", False), ("Loop", "tf2onnx", True), ("Scan", "keras2onnx", True)),
        *(("Loop", "pytorch", False), ("Loop", "", False)),
    ):
        proto = parsed("(float[N,3] x) => (y) { y = Relu(x) }")
        proto.producer_name, proto.graph.node[0].op_type = producer, op
        proto.graph.node[0].attribute.add(name="body", type=5).g.name = "g"
        with pytest.raises(ModelFormatError) as caught:
            loaded(proto)
        assert ("its .keras file" in str(caught.value)) is more
        of_torch = (op, producer) == ("Loop", "pytorch")
        assert ("from_torch takes the module itself" in str(caught.value)) is of_torch


# ---- one row ----

ONE_ROW = table(
    """
time alone
    (float[T,3] x) => (y) <int64[1] o = {1}, float[1,16,3] w, float[1,16,4] r, float[4,2] c>
    { a = Unsqueeze(x, o) b = LSTM<hidden_size=4>(a, w, r) d = Squeeze(b, o) e = MatMul(d, c)
      y = Softmax<axis=2>(e) }
states beside it
    (float[T,3] x, float[1,1,4] h) => (y, z)
    <int64[1] o = {1}, float[1,12,3] w, float[1,12,4] r, float[4,2] c, int64[2] k = {-1, 2}>
    { a = Unsqueeze(x, o) b, z = GRU<hidden_size=4>(a, w, r, , , h) d = Squeeze(b, o)
      e = MatMul(d, c) y = Reshape(e, k) }
windows in front
    (float[T,8] x, float[1,1,4] h) => (y, z)
    <int64[1] o = {1}, float[3,1,8] k, float[1,12,3] w, float[1,12,4] r>
    { a = Unsqueeze(x, o) b = Conv(a, k) c = Transpose<perm=[0, 2, 1]>(b)
      d, z = GRU<hidden_size=4>(c, w, r, , , h) y = Squeeze(d, o) }
the last step
    (float[T,3] x) => (y)
    <int64[1] o = {1}, int64 l = {-1}, float[1,4,3] w, float[1,4,4] r, float[4,2] c, float[2] b>
    { a = Unsqueeze(x, o) d, h = RNN<hidden_size=4>(a, w, r) e = Squeeze(d, o) f = Squeeze(e, o)
      g = Gather(f, l) i = MatMul(g, c) j = Add(i, b) y = Softmax<axis=0>(j) }
both ends
    (float[T,3] x) => (y)
    <int64[1] o = {1}, int64 l = {-1}, int64 z = {0}, float[1,4,3] w, float[1,4,4] r>
    { a = Unsqueeze(x, o) d = RNN<hidden_size=4>(a, w, r) e = Squeeze(d, o) f = Squeeze(e, o)
      g = Gather(f, l) h = Gather(f, z) y = Concat<axis=0>(g, h) }
weighted steps
    (float[T,3] x) => (y)
    <int64[1] o = {1}, int64[1] z = {0}, float[1,4,3] w, float[1,4,4] r, float[4,1] c>
    { a = Unsqueeze(x, o) d = RNN<hidden_size=4>(a, w, r) e = Squeeze(d, o) f = Squeeze(e, o)
      g = MatMul(f, c) h = Softmax<axis=0>(g) i = Mul(h, f) y = ReduceSum<keepdims=0>(i, z) }
an axis taken away and put in again
    (float[1,T,3] x) => (y)
    <int64[1] o = {1}, int64[1] z = {0}, float[1,4,3] w, float[1,4,4] r, float[4,2] c>
    { p = Transpose<perm=[1, 0, 2]>(x) d = RNN<hidden_size=4>(p, w, r) e = Squeeze(d, o)
      q = Transpose<perm=[1, 0, 2]>(e) f = Squeeze(q, z) g = MatMul(f, c) y = Unsqueeze(g, z) }
rows put into their order
    (int64[1,T] x, int64[1] n) => (y)
    <int64[1] k = {1}, int64[1] z = {0}, int64[1] l = {-1}, int64[1] b = {-100}, float[9,3] t>
    { v, i = TopK<largest=0>(n, k) w = Slice(v, l, b, z, l) j = Gather(x, i)
      y = Gather(t, j) }
"""
)


@pytest.mark.parametrize("text", ONE_ROW.values(), ids=ONE_ROW)
def test_a_file_for_one_row_takes_any_number(text: str) -> None:
    proto = parsed(text)
    model = loaded(proto)
    for steps in (5, 1, 7):
        rows = []
        for number in range(3):
            given = {}
            for value in proto.graph.input:
                kind = value.type.tensor_type
                shape = [{"T": steps}.get(d.dim_param, d.dim_value) for d in kind.shape.dim]
                given[value.name] = np.abs(np.roll(numbers_of(kind.elem_type, shape), number))
            rows.append(given)
        expected = [ReferenceEvaluator(proto).run(None, given) for given in rows]
        x = {}
        shapes = model.input_shape if len(model.input_names) > 1 else {"x": model.input_shape}
        for name, shape in shapes.items():
            lengths = [steps if n is None else n for n in shape]
            x[name] = np.stack([given[name].reshape(lengths) for given in rows])
        found = model.predict(x if len(x) > 1 else next(iter(x.values())))
        made = list(found.values()) if isinstance(found, dict) else [found]
        for number, wanted in enumerate(expected):
            for y, one in zip(made, wanted, strict=True):
                np.testing.assert_allclose(y[number].reshape(one.shape), one, rtol=2e-5, atol=2e-5)


def test_the_axis_of_one_row_is_that_of_the_file_where_there_is_one() -> None:
    model = loaded(parsed(ONE_ROW["an axis taken away and put in again"]))
    assert model.output_shape == (None, 2)
    assert loaded(parsed(ONE_ROW["time alone"])).output_shape == (None, 2)


@pytest.mark.parametrize(
    ("dtype", "wrong", "expected"),
    [
        ("int64", 1.5, "whole numbers that int64 holds"),
        ("int32", np.nan, "whole numbers that int32 holds"),
        ("uint8", 256, "whole numbers that uint8 holds"),
        ("bool", 2, "0 or 1"),
    ],
)
def test_inputs_of_whole_numbers_take_no_others(dtype: str, wrong: Any, expected: str) -> None:
    model = loaded(parsed(f"({dtype}[N,2] x) => (y) {{ y = Cast<to=1>(x) }}"))
    assert model.input_dtypes == {"x": dtype}
    np.testing.assert_array_equal(model.predict([[1.0, 0]]), [[1, 0]])
    with pytest.raises(
        ValueError, match=f"x: expected {expected}, for the input 'x' is of {dtype}"
    ):
        model.predict([[0, wrong]])
