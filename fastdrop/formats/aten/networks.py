"""Products, embeddings, attention, windows and normalization."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from fastdrop.formats._lengths import BATCH, product
from fastdrop.formats._networks import Networks
from fastdrop.formats._values import (
    RowNumbers,
    Spread,
    Steps,
    Tensor,
    UnsupportedError,
    Value,
    as_array,
    steps_beside,
)
from fastdrop.formats._windows import around, for_each
from fastdrop.formats.aten._rows import Arguments, Row, row
from fastdrop.formats.aten.creation import Offsets
from fastdrop.formats.aten.random import DroppedWeights, of_rows, tell_of_rows


@row("linear")
def _linear(b: Networks, a: Arguments) -> Any:
    if isinstance(a.weight, DroppedWeights):
        return _by_dropped(b, a.input, a.weight, a.bias)
    return b.linear(a.input, a.weight, a.bias)


def _by_dropped(b: Networks, value: Any, weight: DroppedWeights, bias: Any) -> Value:
    """Multiply by weights (units, inputs) that each row drops by a mask of its own."""
    found = by_each(b, value, b.permute(weight.steps(b).value, [0, 2, 1]))
    return found if bias is None else b.elementwise("add", found, as_array(bias))


def by_each(b: Networks, value: Any, matrices: Value) -> Value:
    """Multiply along the last axis by matrices (inputs, units), of which each row has its own."""
    if not isinstance(value, (Tensor, Spread)) or value.at:
        raise UnsupportedError("weights are dropped where the batch is not in front")
    value = b.some_tensor(value)
    found = b.matmul(b.reshape(value, [BATCH, -1, value.shape[-1]]), matrices)
    return b.reshape(found, [*value.shape[:-1], matrices.shape[-1]])


@row("matmul", "mm", "bmm", "mv", "dot", "vdot")
def _matmul(b: Networks, a: Arguments) -> Any:
    left, right = list(a.values.values())[:2]
    return b.matmul(left, right)


@row("addmm", "baddbmm")
def _addmm(b: Networks, a: Arguments) -> Any:
    one, two = list(a.values.values())[1:3]
    found = b.matmul(one, two)
    found = found if a.alpha == 1 else b.elementwise("multiply", found, a.alpha)
    given = a.values["self"]
    if a.beta == 0:
        return found
    if isinstance(given, Steps):  # as a mask of all heads is
        change, _ = steps_beside(b, [found, given])
        given = change(given)
    given = given if a.beta == 1 else b.elementwise("multiply", given, a.beta)
    return b.elementwise("add", found, given)


@row("tensordot")
def _tensordot(b: Networks, a: Arguments) -> Any:
    one, two = a.values["self"], a.other
    left, right = (
        [d % v.ndim for d in dims] for v, dims in ((one, a.dims_self), (two, a.dims_other))
    )
    own = [[i for i in range(v.ndim) if i not in dims] for v, dims in ((one, left), (two, right))]
    shape = [one.shape[i] for i in own[0]] + [two.shape[i] for i in own[1]]
    inner = product(one.shape[i] for i in left)
    two = b.permute(two, [*right, *own[1]])
    two = b.reshape(two, [inner, product(two.shape[len(right) :])])
    one = b.permute(one, [*own[0], *left])
    one = b.reshape(one, [*one.shape[: len(own[0])], inner])
    return b.reshape(b.matmul(one, two), shape)


@row("bilinear")
def _bilinear(b: Networks, a: Arguments) -> Any:
    """One input by all matrices at once, and each product by the other one."""
    weight = as_array(a.weight)
    units, first, second = weight.shape
    flat = np.ascontiguousarray(weight.transpose(1, 0, 2).reshape(first, units * second))
    made = b.matmul(a.input1, flat)
    made = b.reshape(made, [*made.shape[:-1], units, second])
    other = b.unsqueeze(a.input2, a.input2.ndim - 1)
    found = b.reduce("sum", b.elementwise("multiply", made, other), [-1])
    return found if a.bias is None else b.elementwise("add", found, as_array(a.bias))


@row("einsum")
def _einsum(b: Networks, a: Arguments) -> Any:
    return b.einsum(a.equation, a.tensors)


@row("_weight_norm")
def _weight_norm(b: Networks, a: Arguments) -> Any:
    """Weights by their direction and length."""
    direction, length = as_array(a.v), as_array(a.g)
    axes = tuple(i for i in range(direction.ndim) if i != a.dim)  # -1: of all numbers
    norm = np.sqrt(np.square(direction, dtype=np.float64).sum(axes, keepdims=True))
    return (direction * (length / norm)).astype(np.float32)


@row("embedding")
def _embedding(b: Networks, a: Arguments) -> Any:
    if isinstance(a.weight, DroppedWeights):
        return _some_words(b, a.weight, a.indices)
    if isinstance(a.indices, Steps):
        return Steps.of(b.embedding(a.weight, a.indices.value))
    return b.embedding(a.weight, a.indices)


@row("embedding_renorm")
def _renormalized(b: Networks, a: Arguments) -> Any:
    """Shorten the rows of a table that are longer than allowed, all that may be looked up."""
    table = as_array(a.values["self"])
    length = np.linalg.norm(table.astype(np.float64), float(a.norm_type), axis=1, keepdims=True)
    shorter = np.where(length > a.max_norm, a.max_norm / (length + 1e-7), 1.0)
    return (table * shorter).astype(np.float32)


def _some_words(b: Networks, table: DroppedWeights, tokens: Any) -> Any:
    """Look up words of which some are dropped, wherever they occur."""
    words, features = table.shape
    if table.noise != (words, 1) and features > 1:
        raise UnsupportedError("a table of which not words are dropped, but numbers")
    tell_of_rows(b)
    numbers, rate = table.of_layer()
    return of_rows(b, tokens, partial(b.embedding, numbers, rate=rate))


@row("embedding_bag", "embedding_bag.padding_idx")
def _embedding_bag(b: Networks, a: Arguments) -> Any:
    """Sums, means and maxima of bags that are rows: tokens laid out one after another."""
    tokens = a.indices
    offsets = a.offsets
    if isinstance(offsets, RowNumbers):
        offsets = Offsets(1)
    if not isinstance(tokens, Tensor) or not isinstance(offsets, Offsets) or tokens.merged != 1:
        raise UnsupportedError("bags of different sizes")
    if tokens.row != (offsets.step,):
        raise UnsupportedError("bags of several rows")
    if a.include_last_offset:
        raise UnsupportedError("bags of which the last one's end is told")
    shape = [BATCH, tokens.row[0]]
    weights = a.per_sample_weights
    weights = None if weights is None else b.reshape(weights, shape)
    padding = a.values.get("padding_idx")
    padding = None if padding is None or padding < 0 else padding
    mode = ("sum", "mean", "max")[a.mode]
    bags = b.embedding_bag(a.weight, b.reshape(tokens, shape), mode, padding, weights)
    return bags, None, None, None


@row("scaled_dot_product_attention")
def _attention(b: Networks, a: Arguments) -> Any:
    key, value = a.key, a.value
    if a.values.get("enable_gqa"):  # several heads ask one
        heads = a.query.shape[-3] // key.shape[-3]
        key, value = (b.repeat_places(v, v.ndim - 3, heads) for v in (key, value))
    return b.attention(
        a.query,
        key,
        value,
        a.attn_mask,
        float(a.dropout_p),
        causal=a.is_causal,
        scale=a.scale,
        boolean="attn_mask" in a.bools,
    )


@row("conv1d", "conv2d", "conv3d")
def _conv(b: Networks, a: Arguments) -> Any:
    axes = as_array(a.weight).ndim - 2
    dilation = for_each(a.dilation, axes)
    padding = around(a.padding, as_array(a.weight).shape[2:], dilation)
    return b.convolution(
        a.input,
        a.weight,
        a.bias,
        strides=for_each(a.stride, axes),
        padding=padding,
        dilation=dilation,
        groups=a.groups,
    )


@row("conv_transpose1d", "conv_transpose2d.input", "conv_transpose3d.input")
def _conv_transpose(b: Networks, a: Arguments) -> Any:
    axes = as_array(a.weight).ndim - 2
    padding, more = for_each(a.padding, axes), for_each(a.output_padding, axes)
    return b.transposed_convolution(
        a.input,
        a.weight,
        a.bias,
        strides=for_each(a.stride, axes),
        padding=[(n, n - m) for n, m in zip(padding, more, strict=True)],
        dilation=for_each(a.dilation, axes),
        groups=a.groups,
    )


@row("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d")
def _pool(b: Networks, a: Arguments) -> Any:
    axes = len(for_each(a.kernel_size, 1))
    value = a.first()
    if isinstance(value, Tensor):
        axes = max(axes, value.ndim - 2) if len(for_each(a.kernel_size, 1)) == 1 else axes
    sizes = for_each(a.kernel_size, axes)
    if a.values.get("divisor_override") is not None:
        raise UnsupportedError("means with another divisor (divisor_override)")
    strides = for_each(a.stride, axes) if a.stride else sizes
    if isinstance(value, Tensor) and value.ndim == axes + 1:  # rows in the place of channels
        pooled = _pool(b, replace(a, values={**a.values, "self": b.unsqueeze(value, 1)}))
        return b.squeeze(pooled, [1])
    return b.pool(
        value,
        "mean" if "count_include_pad" in a.values else "max",
        sizes,
        strides,
        [(n, n) for n in for_each(a.padding, axes)],
        dilation=for_each(a.values.get("dilation", 1), axes),
        ceil=a.ceil_mode,
        count_padding=a.values.get("count_include_pad", True),
    )


@row("max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices")
def _pool_and_places(b: Networks, a: Arguments) -> Any:
    return _pool(b, a), None


@row("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
def _adaptive_mean(b: Networks, a: Arguments) -> Any:
    return b.adaptive_pool(a.first(), "mean", a.output_size)


@row("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def _adaptive_max(b: Networks, a: Arguments) -> Any:
    return b.adaptive_pool(a.first(), "max", a.output_size), None


@row("batch_norm")
def _batch_norm(b: Networks, a: Arguments) -> Any:
    return b.batch_norm(a.input, a.weight, a.bias, a.running_mean, a.running_var, a.eps)


@row("layer_norm")
def _layer_norm(b: Networks, a: Arguments) -> Any:
    return b.layer_norm(a.input, len(a.normalized_shape), a.weight, a.bias, a.eps)


@row("rms_norm")
def _rms_norm(b: Networks, a: Arguments) -> Any:
    epsilon = float(np.finfo(np.float32).eps) if a.eps is None else a.eps
    return b.rms_norm(a.input, len(a.normalized_shape), a.weight, epsilon)


@row("group_norm")
def _group_norm(b: Networks, a: Arguments) -> Any:
    return b.group_norm(a.input, a.num_groups, a.weight, a.bias, a.eps)


@row("instance_norm")
def _instance_norm(b: Networks, a: Arguments) -> Any:
    if a.running_mean is not None:  # which counts, as that of batch normalization does
        return _batch_norm(b, a)
    channels = a.input.shape[1]
    if not isinstance(channels, int):
        raise UnsupportedError(f"normalization of {channels} channels")
    return b.group_norm(a.input, channels, a.weight, a.bias, a.eps)


def _interpolation(method: str, coordinates: str, rounding: str = "floor") -> Row:
    def compute(b: Networks, a: Arguments) -> Any:
        value, scales = a.input, a.scale_factors
        where = "align_corners" if a.values.get("align_corners") else coordinates
        for axis in range(2, value.ndim):
            size = None if scales else a.output_size[axis - 2]
            scale = float(scales[axis - 2]) if scales else None
            if scale == 1 or (scale is None and size == value.shape[axis]):
                continue
            if scale is not None and method == "nearest" and scale == int(scale):
                value = b.repeat_places(value, axis, int(scale))
                continue
            value = b.interpolate(
                value,
                axis,
                scale=scale,
                size=size,
                method=method,
                coordinates=where,
                rounding=rounding,
            )
        return value

    return compute


row("upsample_nearest1d.vec", "upsample_nearest2d.vec", "upsample_nearest3d.vec")(
    _interpolation("nearest", "asymmetric")
)

row(*(f"_upsample_nearest_exact{axes}d.vec" for axes in (1, 2, 3)))(
    _interpolation("nearest", "half_pixel", "round_prefer_ceil")
)

row("upsample_linear1d.vec", "upsample_bilinear2d.vec", "upsample_trilinear3d.vec")(
    _interpolation("linear", "half_pixel")
)

row("upsample_bicubic2d.vec")(_interpolation("cubic", "half_pixel"))
