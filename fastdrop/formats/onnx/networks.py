"""Operators with weights, windows, normalization and dropout."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastdrop.formats._lengths import divided, product
from fastdrop.formats._values import Spread, Tensor, UnsupportedError, Value
from fastdrop.formats._windows import SAME, Padding
from fastdrop.formats.onnx._rows import (
    Arguments,
    Array,
    Made,
    is_lengths,
    number_of,
    operator,
)
from fastdrop.formats.onnx.arithmetic import compute, product_of, whole

# What is added to a deviation before it divides, as the standard has it.
_LEAST = np.float32(1e-9)


@operator("Dropout")
def _dropout(a: Arguments) -> Made:
    a.attribute("seed")
    if a.opset < 12:
        rate = float(a.attribute("ratio", 0.5))
    else:
        given, training = a.constant(1), a.constant(2)
        rate = 0.5 if given is None else number_of(given)
        if training is not None and training.size == 1 and training.item():
            a.note("in training mode; here mc_predict drops, and predict does not")
    value = a.input()
    if a.makes(1):
        return _dropout_and_mask(a, value, rate)
    if not isinstance(value, Tensor):
        held = value.value if isinstance(value, Spread) else value
        if not held.any():
            return value  # zeros, as first states are, stay so
    return a.net.dropout(value, rate)


def _dropout_and_mask(a: Arguments, value: Value, rate: float) -> Made:
    """Drop numbers, and say which are kept: those of ones that are not dropped."""
    if a.opset < 12:
        raise UnsupportedError("a mask of before operator set 12, on which runtimes differ")
    a.others[1] = np.dtype(bool)
    scales = a.net.dropout(a.net.elementwise("ones", value), rate)
    kept = a.net.elementwise("not_equal", scales, 0.0)
    if not a.makes(0):
        return [value, kept]
    scaled = a.net.elementwise("multiply", value, scales)
    return [a.net.elementwise("where", kept, scaled, 0.0), kept]


@operator("RandomNormalLike", "RandomUniformLike")
def _random(a: Arguments) -> Made:
    """Draw numbers while sampling, and take their mean otherwise."""
    a.attribute("seed")
    a.attribute("dtype", 1)
    value = a.input()
    if a.op.startswith("RandomNormal"):
        factor, added = a.attribute("scale", 1.0), a.attribute("mean", 0.0)
        drawn = a.net.noise(value)
    else:
        added = a.attribute("low", 0.0)
        factor = a.attribute("high", 1.0) - added
        drawn = a.net.uniform(value)
    scaled = a.net.elementwise("multiply", drawn, float(factor))
    return a.net.elementwise("add", scaled, float(added))


# ---- products ----


@operator("MatMul")
def _matmul(a: Arguments) -> Made:
    return _product(a, *a.given())


def _product(a: Arguments, left: Value, right: Value) -> Value:
    if is_lengths(left) or is_lengths(right):
        raise UnsupportedError("a length left open, computed with")
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        _check_product(a, left, right)
        return np.asarray(np.matmul(left, right))
    if isinstance(left, Spread) and isinstance(right, np.ndarray) and right.ndim == 2:
        a.check_size([*left.value.shape[:-1], right.shape[1]])
    operands = [a.net.float32(v) if isinstance(v, np.ndarray) else v for v in (left, right)]
    made: Value = product_of(a, lambda factors: a.net.matmul(*factors), operands)
    return made


def _check_product(a: Arguments, left: Array, right: Array) -> None:
    """Refuse a product of constants that does not fit or is too large."""
    one, two = left.shape, right.shape
    if not one or not two or one[-1] != two[-2:][0]:
        raise UnsupportedError(f"a product of {one} and {two}")
    try:
        outer = np.broadcast_shapes(one[:-2], two[:-2])
    except ValueError as error:
        raise UnsupportedError(f"a product of {one} and {two}") from error
    a.check_size([*outer, *one[-2:-1], *(two[-1:] if len(two) > 1 else ())])


@operator("Gemm")
def _gemm(a: Arguments) -> Made:
    left, right, addend = a.input(0), a.input(1), a.optional(2)
    alpha, beta = float(a.attribute("alpha", 1.0)), float(a.attribute("beta", 1.0))
    transposed, integers = a.flag("transB"), a.dtype.kind in "iu"
    if integers and (alpha, beta) != (1, 1):
        raise UnsupportedError("multiples of whole numbers")
    if left.ndim != 2 or right.ndim != 2:
        raise UnsupportedError(f"a product of {left.ndim} and {right.ndim} axes")
    if a.flag("transA"):
        left = a.net.permute(left, [1, 0])
    if isinstance(left, Tensor) and isinstance(right, np.ndarray) and not integers:

        def as_kernel(array: Array) -> Array:
            kernel = np.ascontiguousarray(array.T if transposed else array, np.float32)
            return kernel if alpha == 1 else kernel * np.float32(alpha)

        kernel, bias = a.net.once(right, (transposed, alpha), as_kernel), None
        columns = kernel.shape[1]
        if isinstance(addend, np.ndarray) and addend.shape in ((), (1,), (columns,), (1, columns)):
            numbers = np.broadcast_to(addend.reshape(-1), (columns,)).astype(np.float32)
            bias, addend = numbers if beta == 1 else numbers * np.float32(beta), None
        found = a.net.dense(left, kernel, bias)
    else:
        right = a.net.permute(right, [1, 0]) if transposed else right
        found = _product(a, left, right)
        if alpha != 1:
            found = compute(a, "multiply", np.multiply, found, np.float32(alpha))
    if addend is None:
        return found
    if beta != 1:
        addend = compute(a, "multiply", np.multiply, addend, np.float32(beta))
    return whole(a, compute(a, "add", np.add, found, addend))


# ---- windows ----


def _windows(
    a: Arguments, value: Value, sizes: Sequence[int], dilations: Sequence[int]
) -> tuple[list[int], Padding]:
    """Return strides and padding."""
    axes = len(sizes)
    strides = a.numbers("strides") or [1] * axes
    pads = a.numbers("pads")
    auto = a.attribute("auto_pad", "NOTSET")
    if value.ndim != axes + 2 or len(strides) != axes or min([*strides, *dilations, *sizes]) < 1:
        raise UnsupportedError(f"windows over {axes} axes of a tensor of {value.ndim}")
    if auto in ("NOTSET", "VALID"):
        pads = pads if pads is not None and auto == "NOTSET" else [0] * (2 * axes)
        if len(pads) != 2 * axes or min(pads) < 0:
            raise UnsupportedError(f"attribute 'pads': {pads}")
        return strides, list(zip(pads[:axes], pads[axes:], strict=True))
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        raise UnsupportedError(f"attribute 'auto_pad': {auto}")
    found = []
    for length, size, stride, dilation in zip(
        value.shape[2:], sizes, strides, dilations, strict=True
    ):
        extent = (size - 1) * dilation + 1
        if isinstance(length, int):
            total = max(0, (-(-length // stride) - 1) * stride + extent - length)
        elif stride == 1:
            total = extent - 1
        elif auto == "SAME_UPPER" and not a.flag("ceil_mode"):
            return strides, SAME
        else:
            raise UnsupportedError(f"attribute 'auto_pad': {auto}, of an open length")
        less, more = total // 2, total - total // 2
        found.append((less, more) if auto == "SAME_UPPER" else (more, less))
    return strides, found


@operator("Conv")
def _conv(a: Arguments) -> Made:
    value, weight, bias = a.input(0), a.array(1), a.constant(2)
    sizes = list(weight.shape[2:])
    dilations = a.numbers("dilations") or [1] * len(sizes)
    group = a.attribute("group", 1)
    if a.numbers("kernel_shape") not in (None, sizes) or len(dilations) != len(sizes):
        raise UnsupportedError("windows of another size than the weights")
    strides, padding = _windows(a, value, sizes, dilations)
    return a.net.convolution(
        value,
        weight,
        bias,
        strides=strides,
        padding=padding,
        dilation=dilations,
        groups=group,
    )


@operator("ConvTranspose")
def _conv_transpose(a: Arguments) -> Made:
    value, weight, bias = a.input(0), a.array(1), a.constant(2)
    sizes = list(weight.shape[2:])
    axes = len(sizes)
    dilations, strides = (a.numbers(name) or [1] * axes for name in ("dilations", "strides"))
    more = a.numbers("output_padding") or [0] * axes
    pads, shape = a.numbers("pads"), a.numbers("output_shape")
    auto, group = a.attribute("auto_pad", "NOTSET"), a.attribute("group", 1)
    if a.numbers("kernel_shape") not in (None, sizes):
        raise UnsupportedError("windows of another size than the weights")
    told = (strides, dilations, more, pads or [0] * axes, shape or [0] * axes)
    if value.ndim != axes + 2 or {len(n) for n in (strides, dilations, more)} != {axes}:
        raise UnsupportedError(f"windows over {axes} axes of a tensor of {value.ndim}")
    if min([*strides, *dilations, *sizes]) < 1 or min(map(min, told)) < 0:
        raise UnsupportedError("windows of no size, or padding below 0")
    if shape is not None and len(shape) != axes:
        raise UnsupportedError(f"attribute 'output_shape': {shape}")
    if auto in ("NOTSET", "VALID") and shape is None:
        pads = pads if pads is not None and auto == "NOTSET" else [0] * (2 * axes)
        if len(pads) != 2 * axes:
            raise UnsupportedError(f"attribute 'pads': {pads}")
        padding = [*zip(pads[:axes], pads[axes:], strict=True)]
    elif auto in ("NOTSET", "SAME_UPPER", "SAME_LOWER"):
        padding = []
        for axis, n in enumerate(value.shape[2:]):
            extent = (sizes[axis] - 1) * dilations[axis] + 1
            wanted = n * strides[axis] if shape is None else shape[axis]
            total = (n - 1) * strides[axis] + extent + more[axis] - wanted
            if not isinstance(total, int) or total < 0:
                raise UnsupportedError(f"a transposed convolution of {n} places to {wanted}")
            less, larger = total // 2, total - total // 2
            padding.append((less, larger) if auto == "SAME_UPPER" else (larger, less))
    else:
        raise UnsupportedError(f"attribute 'auto_pad': {auto}")
    return a.net.transposed_convolution(
        value,
        weight,
        bias,
        strides=strides,
        padding=[(n, m - k) for (n, m), k in zip(padding, more, strict=True)],
        dilation=dilations,
        groups=group,
    )


@operator("MaxPool", "AveragePool")
def _pool(a: Arguments) -> Made:
    value = a.input()
    sizes = a.numbers("kernel_shape")
    if not sizes:
        raise UnsupportedError("no sizes of windows")
    dilations = a.numbers("dilations") or [1] * len(sizes)
    if len(dilations) != len(sizes):
        raise UnsupportedError(f"attribute 'dilations': {dilations}")
    a.flag("storage_order")  # of the second output
    if a.makes(1):
        raise UnsupportedError("the places of what is largest, which is the second output")
    strides, padding = _windows(a, value, sizes, dilations)
    return a.net.pool(
        value,
        "max" if a.op == "MaxPool" else "mean",
        sizes,
        strides,
        padding,
        dilation=dilations,
        ceil=a.flag("ceil_mode"),
        count_padding=a.flag("count_include_pad"),
    )


@operator("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(a: Arguments) -> Made:
    value = a.input()
    if value.ndim < 3:
        raise UnsupportedError(f"a tensor of {value.ndim} axes")
    function = "mean" if a.op == "GlobalAveragePool" else "max"
    return a.net.reduce(function, value, [*range(2, value.ndim)], keepdims=True)


# ---- normalization ----


@operator("BatchNormalization")
def _batch_norm(a: Arguments) -> Made:
    a.attribute("momentum", 0.9)
    if a.flag("training_mode"):
        a.note("in training mode; here it takes the mean and variance that are in the file")
    gamma, beta, mean, variance = (a.constant(i) for i in range(1, 5))
    epsilon = float(a.attribute("epsilon", 1e-5))
    found = a.net.batch_norm(a.of_rows(a.input(), 0), gamma, beta, mean, variance, epsilon)
    return [found, *(w for w in (mean, variance) if w is not None)]


@operator("LayerNormalization")
def _layer_norm(a: Arguments) -> Made:
    if a.attribute("stash_type", 1) != 1:
        raise UnsupportedError("attribute 'stash_type' other than 1")
    value, gamma, beta = a.of_rows(a.input(), 0), a.constant(1), a.constant(2)
    axes = len(_normalized(a, value))
    shape = value.shape[value.ndim - axes :]
    weights: list[Array | None] = []
    for weight in (gamma, beta):
        if weight is not None and weight.shape != shape:
            if not all(isinstance(n, int) for n in shape):
                raise UnsupportedError("normalization over an open length")
            weight = np.broadcast_to(weight, [n for n in shape if isinstance(n, int)])
        weights.append(weight)
    epsilon = float(a.attribute("epsilon", 1e-5))
    found = a.net.layer_norm(value, axes, weights[0], weights[1], epsilon)
    if not a.makes(1) and not a.makes(2):
        return found
    along = [*range(value.ndim - axes, value.ndim)]
    mean = a.net.reduce("mean", value, along, keepdims=True)
    squares = compute(a, "square", np.square, compute(a, "subtract", np.subtract, value, mean))
    variance = a.net.reduce("mean", squares, along, keepdims=True)
    root = compute(a, "sqrt", np.sqrt, compute(a, "add", np.add, variance, np.float32(epsilon)))
    return [found, mean, compute(a, "reciprocal", np.reciprocal, root)]


@operator("InstanceNormalization")
def _instance_norm(a: Arguments) -> Made:
    value = a.of_rows(a.input(), 0)
    if value.ndim < 3:
        raise UnsupportedError(f"a tensor of {value.ndim} axes")
    epsilon, channels = float(a.attribute("epsilon", 1e-5)), value.shape[1]
    if not isinstance(channels, int):
        raise UnsupportedError(f"normalization of {channels} channels")
    return a.net.group_norm(value, channels, a.array(1), a.array(2), epsilon)


@operator("GroupNormalization")
def _group_norm(a: Arguments) -> Made:
    if a.attribute("stash_type", 1) != 1:
        raise UnsupportedError("attribute 'stash_type' other than 1")
    value, groups = a.of_rows(a.input(), 0), a.attribute("num_groups")
    if value.ndim < 2 or not isinstance(groups, int) or groups < 1:
        raise UnsupportedError(f"{groups} groups of a tensor of {value.ndim} axes")
    epsilon, channels = float(a.attribute("epsilon", 1e-5)), value.shape[1]
    gamma, beta = a.array(1), a.array(2)
    if a.opset < 21 and isinstance(channels, int):  # when weights were of groups
        if gamma.shape != (groups,) or beta.shape != (groups,):
            raise UnsupportedError(f"other weights than one for each of {groups} groups")
        gamma, beta = (np.repeat(w, channels // groups) for w in (gamma, beta))
    return a.net.group_norm(value, groups, gamma, beta, epsilon)


@operator("RMSNormalization")
def _rms_norm(a: Arguments) -> Made:
    if a.attribute("stash_type", 1) != 1:
        raise UnsupportedError("attribute 'stash_type' other than 1")
    value = a.of_rows(a.input(), 0)
    squares = compute(a, "square", np.square, value)
    mean = a.net.reduce("mean", squares, _normalized(a, value), keepdims=True)
    epsilon = np.float32(a.attribute("epsilon", 1e-5))
    root = compute(a, "sqrt", np.sqrt, compute(a, "add", np.add, mean, epsilon))
    found = compute(a, "divide", np.true_divide, value, root)
    return compute(a, "multiply", np.multiply, found, a.input(1))


@operator("MeanVarianceNormalization")
def _mean_variance(a: Arguments) -> Made:
    """Take off the mean, and divide by the deviation, along axes."""
    value = a.input()
    axes = a.numbers("axes") or [0, 2, 3]
    centred = compute(a, "subtract", np.subtract, value, a.net.reduce("mean", value, axes, True))
    squares = compute(a, "square", np.square, centred)
    root = compute(a, "sqrt", np.sqrt, a.net.reduce("mean", squares, axes, True))
    return compute(a, "divide", np.true_divide, centred, compute(a, "add", np.add, root, _LEAST))


@operator("LpNormalization")
def _lp_norm(a: Arguments) -> Made:
    """Divide by the length of what is along an axis; zeros stay."""
    value, p = a.input(), a.attribute("p", 2)
    if p not in (1, 2):
        raise UnsupportedError(f"attribute 'p': {p}")
    sizes = ("absolute", np.abs) if p == 1 else ("square", np.square)
    total = a.net.reduce("sum", compute(a, *sizes, value), [a.attribute("axis", -1)], True)
    length = total if p == 1 else compute(a, "sqrt", np.sqrt, total)
    nothing = compute(a, "equal", np.equal, length, np.float32(0))
    divisor = compute(a, "where", np.where, nothing, np.float32(1), length)
    return compute(a, "divide", np.true_divide, value, divisor)


# ---- attention ----


@operator("Attention")
def _attention(a: Arguments) -> Made:
    """Scaled dot-product attention, of heads on an axis or side by side."""
    for name, wanted in (("qk_matmul_output_mode", 0), ("softcap", 0.0)):
        if a.attribute(name, wanted) != wanted:
            raise UnsupportedError(f"attribute {name!r}: {a.node.attributes[name]}")
    a.attribute("softmax_precision", 1)
    for number, what in ((4, "keys"), (5, "values"), (6, "lengths")):
        if a.optional(number) is not None:
            raise UnsupportedError(f"past {what} of attention")
    query, key, value, mask = a.input(0), a.input(1), a.input(2), a.optional(3)
    causal, scale = a.flag("is_causal"), a.attribute("scale")
    side_by_side = query.ndim == 3
    if side_by_side:
        own, others = a.attribute("q_num_heads"), a.attribute("kv_num_heads")
        query, key, value = (
            _heads_apart(a, v, n) for v, n in ((query, own), (key, others), (value, others))
        )
    asking, asked = query.shape[1], key.shape[1]
    if asking != asked:  # several heads ask one
        if not isinstance(asking, int) or not isinstance(asked, int) or asking % asked:
            raise UnsupportedError(f"{asking} heads that ask {asked}")
        key, value = (a.net.repeat_places(v, 1, asking // asked) for v in (key, value))
    boolean = mask is not None and a.dtypes[3].kind == "b"
    factor = None if scale is None else float(scale)
    found = a.net.attention(query, key, value, mask, causal=causal, scale=factor, boolean=boolean)
    if not side_by_side:
        return found
    joined = a.net.permute(found, [0, 2, 1, 3])
    return a.net.reshape(joined, [*joined.shape[:2], product(joined.shape[2:])])


def _heads_apart(a: Arguments, value: Value, heads: object) -> Value:
    """Return (batch, heads, places, features) of heads that stand side by side."""
    if not isinstance(heads, int) or heads < 1 or value.ndim != 3:
        raise UnsupportedError(f"{heads} heads of a tensor of {value.ndim} axes")
    width = divided(value.shape[2], heads)
    if width is None:
        raise UnsupportedError(f"{value.shape[2]} features of {heads} heads")
    return a.net.permute(a.net.reshape(value, [*value.shape[:2], heads, width]), [0, 2, 1, 3])


def _normalized(a: Arguments, value: Value) -> list[int]:
    """Return the axes that are normalized together: all from one on."""
    axis = a.attribute("axis", -1)
    if not -value.ndim <= axis < value.ndim:
        raise UnsupportedError(f"axis {axis} of a tensor of {value.ndim} axes")
    return [*range(axis % value.ndim, value.ndim)]
