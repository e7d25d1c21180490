"""Layers that look up, for each step of a query, what stands at the steps of another tensor."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar, Self

import numpy as np

from fastdrop import _check
from fastdrop.feedforward import activate, dense
from fastdrop.layers._axes import axis_of
from fastdrop.layers._layer import (
    Array,
    Declared,
    Draw,
    Flow,
    Layer,
    Shape,
    Weight,
    last_axis,
)
from fastdrop.layers.products import matmul
from fastdrop.layers.regularization import dropped

# What is added to scores of what must not be seen, and how else they are left out.
_UNSEEN = np.float32(-1e9)
MASKINGS = ("add", "replace", "zero")


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Attending(Layer):
    """What the attention layers have in common.

    Inputs are a query (queries, features), a value (steps, ...), perhaps a key for each step, which
    is the value otherwise, and then the masks that `masks` names, zero where nothing counts. Other
    masks are those that the tensors bear. It gives its output, and with `return_attention_scores`
    also the weights (..., queries, steps). With `use_causal_mask` a query sees no later step.
    """

    dropout: float = 0.0
    use_causal_mask: bool = False
    return_attention_scores: bool = False
    masks: tuple[str, ...] | None = None
    passes_mask: bool = True

    rate_fields: ClassVar[tuple[str, ...]] = ("dropout",)
    can_draw = True
    heads: ClassVar[int] = 1
    mask_names: ClassVar[tuple[str, ...]] = ("query_mask", "value_mask")

    def __post_init__(self) -> None:
        _check.probability(self.dropout, f"{self.label} dropout")
        for option in ("use_causal_mask", "return_attention_scores", "passes_mask"):
            _check.flag(getattr(self, option), f"{self.label} {option}")
        for name in self.masks or ():
            _check.choice(name, f"{self.label} masks", self.mask_names)

    @property
    def stochastic(self) -> str:
        return f"attention dropout {self.dropout:g}" if _check.threshold(self.dropout) else ""

    def mask_symbol(self, tensors: Sequence[str], masks: Sequence[object]) -> object:
        given = "query_mask" in (self.masks or ())
        return masks[0] if self.passes_mask and not given else None

    def tensor_shapes(self, inputs: Sequence[Shape]) -> tuple[Shape, Shape, Shape]:
        """Return the shapes of query, value and key, refusing what does not fit."""
        names = self.masks or ()
        count = len(inputs) - len(names)
        if count not in (2, 3):
            expected = " ".join(["query, value and perhaps key", *names])
            raise ValueError(f"{self.label}: expected {expected}, got {len(inputs)} inputs")
        query, value, key = (*inputs[:count], inputs[1])[:3]
        for shape in (query, value, key):
            self.check_fits(shape, "(time, features)", len(shape) == 2)
        steps = {value[0], key[0]} - {None}
        self.check_fits(key, f"{(value[0], key[1])} as a key for each step", len(steps) < 2)
        whole = self._heads_shape(query[0], value[0])
        for name, shape in zip(names, inputs[count:], strict=True):
            length = query[0] if name == "query_mask" else value[0]
            if name == "attention_mask":
                fits = len(shape) in (2, 3) and all(
                    n in (1, None) or m in (n, None)
                    for n, m in zip(shape[::-1], whole[::-1], strict=False)
                )
                self.check_fits(shape, f"to broadcast to {whole} as {name}", fits)
            else:
                fits = len(shape) == 1 and (None in (*shape, length) or shape[0] == length)
                self.check_fits(shape, f"({length},) as {name}", fits)
        return query, value, key

    def _heads_shape(self, queries: int | None, steps: int | None) -> Shape:
        return (queries, steps)

    def scores_elements(self, inputs: Sequence[Shape]) -> int:
        return self.heads * (inputs[0][0] or 1) * (inputs[1][0] or 1)

    def mask_elements(self, inputs: Sequence[Shape]) -> int:
        return self.scores_elements(inputs)

    def mask_of(self, name: str, flows: Sequence[Flow]) -> Array | None:
        """Return a mask that was given, or that a tensor bears."""
        names = self.masks or ()
        if name in names:
            given: Array = flows[len(flows) - len(names) + names.index(name)].values != 0
            return given
        at = ("query_mask", "value_mask", "key_mask").index(name)
        return flows[at].mask if at < len(flows) - len(names) else None

    def seen(self, flows: Sequence[Flow], names: Sequence[str]) -> list[Array]:
        """Return what may be seen, of (samples or 1, rows or 1, queries or 1, steps or 1) each."""
        found = []
        for name in names:
            mask = self.mask_of(name, flows)
            if mask is not None:
                found.append(mask[..., np.newaxis] if name == "query_mask" else mask[:, :, None])
        if self.use_causal_mask:
            queries, steps = (flow.values.shape[2] for flow in flows[:2])
            found.append(np.tri(queries, steps, dtype=bool)[np.newaxis, np.newaxis])
        return found

    def drop(self, weights: Array, draw: Draw | None) -> Array:
        """Drop weights (samples or 1, rows, ..., queries, steps), numbered row by row."""
        if draw is None or not _check.threshold(self.dropout):
            return weights
        return dropped(Flow(weights), draw, self.dropout).values


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class DotAttention(Attending):
    """Attention by scores of a query and a key: by their product, or by ``sum(tanh(q + k))``."""

    def mask_of(self, name: str, flows: Sequence[Flow]) -> Array | None:
        # Masks that are given stand for all.
        if self.masks is not None and name not in self.masks:
            return None
        return super().mask_of(name, flows)

    def scores(self, query: Array, key: Array) -> Array:
        raise NotImplementedError

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        query, value, key = self.tensor_shapes(inputs)
        fits = None in (query[1], key[1]) or query[1] == key[1]
        self.check_fits(key, f"(time, {query[1]}) as a key", fits)
        scores = [(query[0], value[0])] if self.return_attention_scores else []
        return [(query[0], value[1]), *scores]

    def work_elements(self, inputs: Sequence[Shape]) -> int:
        return 4 * self.scores_elements(inputs) + 3 * math.prod(n or 1 for n in inputs[1])

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        query, value = inputs[0].values, inputs[1].values
        key = inputs[2].values if len(inputs) - len(self.masks or ()) == 3 else value
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            scores = self.scores(query, key)
            seen = self.seen(inputs, ("value_mask",))
            if seen:
                scores = np.where(reduce(np.logical_and, seen), scores, scores + _UNSEEN)
        weights = self.drop(activate(scores, "softmax"), draw)
        found = matmul(weights, value)
        mask = self.mask_of("query_mask", inputs)
        if mask is not None:
            found = np.where(mask[..., np.newaxis], found, np.float32(0))
        outputs = [Flow(found, mask if self.passes_mask else None)]
        return [*outputs, Flow(weights)] if self.return_attention_scores else outputs


def tanh_sums(query: Array, key: Array, inner: Array | None, outer: Array | None) -> Array:
    """Return ``sum(outer * tanh(inner * (q + k)))`` for each query and key."""
    scores = []
    for i in range(query.shape[2]):  # so that no more than the keys is held at a time
        both = query[:, :, i : i + 1] + key
        both = activate(both if inner is None else inner * both, "tanh")
        scores.append(np.sum(both if outer is None else outer * both, axis=-1))
    if not scores:
        return np.empty((*np.broadcast_shapes(query.shape[:2], key.shape[:2]), 0, key.shape[2]))
    return np.stack(scores, axis=2)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Attention(DotAttention):
    """Dot-product attention (Luong et al. 2015, arXiv:1508.04025).

    Scores are ``scale * q k``, or with a `concat_score_weight` that times
    ``sum(tanh(scale * (q + k)))``; both weights are single numbers, and `scale` may be missing.
    """

    scale: Weight | None = None
    concat_score_weight: Weight | None = None

    weight_fields: ClassVar[tuple[str, ...]] = ("scale", "concat_score_weight")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_weight("scale", ())
        self.check_weight("concat_score_weight", ())

    @classmethod
    def declare(
        cls,
        inputs: Sequence[Shape],
        *,
        name: str,
        use_scale: bool = False,
        score_mode: str = "dot",
        **options: Any,
    ) -> Self:
        _check.choice(score_mode, f"layer {name!r} score_mode", ("dot", "concat"))
        weight = Declared(()) if score_mode == "concat" else None
        scale = Declared(()) if use_scale else None
        return cls(name=name, scale=scale, concat_score_weight=weight, **options)

    def scores(self, query: Array, key: Array) -> Array:
        if self.concat_score_weight is not None:
            return np.multiply(self.concat_score_weight, tanh_sums(query, key, self.scale, None))
        found = matmul(query, np.swapaxes(key, -1, -2))
        return found if self.scale is None else np.multiply(self.scale, found)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class AdditiveAttention(DotAttention):
    """Additive attention (Bahdanau et al. 2015, arXiv:1409.0473).

    Scores are ``sum(scale * tanh(q + k))``, where `scale` (features,) may be missing.
    """

    scale: Weight | None = None

    weight_fields: ClassVar[tuple[str, ...]] = ("scale",)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_weight("scale", (None,))

    @classmethod
    def declare(
        cls, inputs: Sequence[Shape], *, name: str, use_scale: bool = True, **options: Any
    ) -> Self:
        scale = Declared((last_axis(name, inputs[0]),)) if use_scale else None
        return cls(name=name, scale=scale, **options)

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        shapes = super().output_shapes(inputs)
        if self.scale is not None:
            features = len(self.scale)
            self.check_fits(inputs[0], f"(time, {features})", inputs[0][1] in (features, None))
        return shapes

    def scores(self, query: Array, key: Array) -> Array:
        return tanh_sums(query, key, None, self.scale)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class MultiHeadAttention(Attending):
    """Attention of several heads side by side (Vaswani et al. 2017, arXiv:1706.03762).

    Kernels of query, key and value are (features, heads, size), of which the sizes of query and key
    are one; `output_kernel` is (heads, size, *output). Key and value may have fewer heads, each of
    which equally many heads of the query share, one after another (Ainslie et al. 2023,
    arXiv:2305.13245). With a gate, what a head found is multiplied by
    ``sigmoid(query gate_kernel + gate_bias)``. Inputs of more axes than one before the features
    are attended to along `attention_axes` of a row, or along all of these (None).

    A query sees `sliding_window` steps less one to either side. What it must not see is left out as
    `masking` says: -1e9 is added to its score or replaces it, or its weight becomes zero even where
    nothing else is seen. With `fused` that is "replace" where no scores are returned. Without
    `uses_masks` those that tensors bear do not count; with `own_query_mask` the query's own counts
    whatever is given.
    """

    query_kernel: Weight
    key_kernel: Weight
    value_kernel: Weight
    output_kernel: Weight
    query_bias: Weight | None = None
    key_bias: Weight | None = None
    value_bias: Weight | None = None
    output_bias: Weight | None = None
    gate_kernel: Weight | None = None
    gate_bias: Weight | None = None
    attention_axes: tuple[int, ...] | None = None
    sliding_window: int | None = None
    masking: str = "replace"
    fused: bool = False
    uses_masks: bool = True
    own_query_mask: bool = False

    weight_fields: ClassVar[tuple[str, ...]] = (
        "query_kernel",
        "query_bias",
        "key_kernel",
        "key_bias",
        "gate_kernel",
        "gate_bias",
        "value_kernel",
        "value_bias",
        "output_kernel",
        "output_bias",
    )
    mask_names: ClassVar[tuple[str, ...]] = (
        "query_mask",
        "value_mask",
        "key_mask",
        "attention_mask",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_weight("query_kernel", (None, None, None))
        _, heads, size = self.query_kernel.shape
        self.check_weight("key_kernel", (None, None, size))
        shared = self.key_kernel.shape[1]
        if not shared or heads % shared:
            expected = f"a number of heads that divides {heads}"
            _check.refuse(ValueError, f"{self.label} key_kernel", expected, shared)
        self.check_weight("value_kernel", (None, shared, None))
        width = self.value_kernel.shape[2]
        free = (None,) * (self.output_kernel.ndim - 2)
        self.check_weight("output_kernel", (heads, width, *free))
        self.check_weight("gate_kernel", (len(self.query_kernel), heads, width))
        self.check_weight("query_bias", (heads, size))
        self.check_weight("key_bias", (shared, size))
        self.check_weight("value_bias", (shared, width))
        self.check_weight("gate_bias", (heads, width))
        self.check_weight("output_bias", self.output_kernel.shape[2:])
        if self.sliding_window is not None:
            _check.integer(self.sliding_window, f"{self.label} sliding_window", 1, None)
        _check.choice(self.masking, f"{self.label} masking", MASKINGS)
        for option in ("fused", "uses_masks", "own_query_mask"):
            _check.flag(getattr(self, option), f"{self.label} {option}")

    @classmethod
    def declare(
        cls,
        inputs: Sequence[Shape],
        *,
        name: str,
        num_heads: int = 1,
        key_dim: int = 0,
        value_dim: int | None = None,
        use_bias: bool = True,
        use_gate: bool = False,
        output_shape: Sequence[int] | None = None,
        shared_heads: int | None = None,
        **options: Any,
    ) -> Self:
        names = options.get("masks") or ()
        tensors = inputs[: len(inputs) - len(names)]
        if len(tensors) not in (2, 3):
            raise ValueError(f"layer {name!r}: expected query, value and perhaps key")
        query, value, key = (last_axis(name, s) for s in (*tensors, tensors[1])[:3])
        width = key_dim if value_dim is None else value_dim
        made = tuple(output_shape) if output_shape else (query,)
        shared = num_heads if shared_heads is None else shared_heads
        sizes = {
            "query": (query, (num_heads, key_dim)),
            "key": (key, (shared, key_dim)),
            "value": (value, (shared, width)),
        }
        if use_gate:
            sizes["gate"] = (query, (num_heads, width))
        weights: dict[str, Any]
        weights = {f"{part}_kernel": Declared((n, *size)) for part, (n, size) in sizes.items()}
        weights["output_kernel"] = Declared((num_heads, width, *made))
        if use_bias:
            weights |= {f"{part}_bias": Declared(size) for part, (_, size) in sizes.items()}
            weights["output_bias"] = Declared(made)
        return cls(name=name, **weights, **options)

    @property
    def heads(self) -> int:  # type: ignore[override]
        return int(self.query_kernel.shape[1])

    def _heads_shape(self, queries: int | None, steps: int | None) -> Shape:
        return (self.heads, queries, steps)

    def _axes(self, rank: int) -> tuple[list[int], list[int]]:
        """Return the axes of a row that stand side by side, and those that are attended to."""
        if self.attention_axes is None:
            return [], list(range(rank - 1))
        attended = [axis_of(self.label, axis, rank) for axis in self.attention_axes]
        if not attended or rank - 1 in attended or len({*attended}) < len(attended):
            raise ValueError(
                f"{self.label} attention_axes: expected axes of a row of {rank} axes but the last, "
                f"got {self.attention_axes}"
            )
        return [i for i in range(rank - 1) if i not in attended], attended

    def mask_symbol(self, tensors: Sequence[str], masks: Sequence[object]) -> object:
        return masks[0] if self.passes_mask else None

    def tensor_shapes(self, inputs: Sequence[Shape]) -> tuple[Shape, Shape, Shape]:
        beside, _ = self._axes(len(inputs[0]))
        if len(inputs[0]) == 2 and not beside:
            return super().tensor_shapes(inputs)
        if self.masks or self.use_causal_mask or self.sliding_window is not None:
            self.check_fits(inputs[0], "(time, features) where something is masked", False)
        if len(inputs) not in (2, 3):
            raise ValueError(f"{self.label}: expected 2 or 3 inputs, got {len(inputs)}")
        query, value, key = (*inputs, inputs[1])[:3]
        for shape, others in ((value, beside), (key, range(len(value) - 1))):
            first = query if shape is value else value
            fits = len(shape) == len(first) == len(query) and all(
                None in (shape[i], first[i]) or shape[i] == first[i] for i in others
            )
            self.check_fits(shape, f"that fits {first}", fits)
        return query, value, key

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        query, value, key = self.tensor_shapes(inputs)
        for shape, kernel in (
            (query, self.query_kernel),
            (value, self.value_kernel),
            (key, self.key_kernel),
        ):
            self.check_fits(shape, f"(..., {len(kernel)})", shape[-1] in (len(kernel), None))
        shapes = [(*query[:-1], *self.output_kernel.shape[2:])]
        if self.return_attention_scores:
            beside, attended = self._axes(len(query))
            lengths = [shape[i] for shape in (query, value) for i in attended]
            shapes.append((*(query[i] for i in beside), self.heads, *lengths))
        return shapes

    def scores_elements(self, inputs: Sequence[Shape]) -> int:
        query, value = inputs[:2]
        _, attended = self._axes(len(query))
        steps = math.prod(value[i] or 1 for i in attended)
        return self.heads * math.prod(n or 1 for n in query[:-1]) * steps

    def work_elements(self, inputs: Sequence[Shape]) -> int:
        size, width = self.query_kernel.shape[2], self.value_kernel.shape[2]
        steps = sum(math.prod(n or 1 for n in shape[:-1]) for shape in inputs[:2])
        return 4 * self.scores_elements(inputs) + 2 * steps * self.heads * int(size + width)

    def mask_of(self, name: str, flows: Sequence[Flow]) -> Array | None:
        if not self.uses_masks and name not in (self.masks or ()):
            return None
        if name == "query_mask" and self.own_query_mask:
            return flows[0].mask
        return super().mask_of(name, flows)

    def _seen(self, flows: Sequence[Flow]) -> Array | None:
        """Return what may be seen (samples or 1, rows or 1, heads or 1, queries, steps)."""
        found = self.seen(flows, ("query_mask", "value_mask", "key_mask"))
        query, value = (flow.values.shape[2:] for flow in flows[:2])
        if found and (len(query) > 2 or self._axes(len(query))[0]):
            raise ValueError(f"{self.label}: expected no time masks for inputs of more axes")
        if self.sliding_window is not None:
            far = np.abs(np.arange(query[0])[:, np.newaxis] - np.arange(value[0]))
            found.append((far < self.sliding_window)[np.newaxis, np.newaxis])
        found = [mask[:, :, np.newaxis] for mask in found]
        names = self.masks or ()
        if "attention_mask" in names:
            given = flows[len(flows) - len(names) + names.index("attention_mask")].values != 0
            found.append(given if given.ndim == 5 else given[:, :, np.newaxis])
        return reduce(np.logical_and, found) if found else None

    def _order(self, rank: int) -> list[int]:
        """Return the order of axes in which heads are matrices, given (samples, rows, ..., heads,
        size) of so many axes in a row.
        """
        beside, attended = self._axes(rank)
        return [0, 1, *(2 + i for i in beside), 1 + rank, *(2 + i for i in attended), 2 + rank]

    def _projected(self, values: Array, part: str) -> Array:
        """Return the heads of a tensor as matrices, (samples, rows * ... * heads, steps, size)."""
        kernel, bias = getattr(self, f"{part}_kernel"), getattr(self, f"{part}_bias")
        flat = dense(
            values,
            kernel.reshape(len(kernel), -1),
            None if bias is None else bias.reshape(-1),
            activation="sigmoid" if part == "gate" else "linear",
        )
        rank = values.ndim - 2
        order, attended = self._order(rank), len(self._axes(rank)[1])
        heads = flat.reshape(*values.shape[:-1], *kernel.shape[1:])
        if kernel.shape[1] < self.heads:
            heads = np.repeat(heads, self.heads // kernel.shape[1], axis=-2)
        split = heads.transpose(order)
        sides, steps = split.shape[1 : -1 - attended], split.shape[-1 - attended : -1]
        return split.reshape(len(values), math.prod(sides), math.prod(steps), kernel.shape[2])

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        three = len(inputs) - len(self.masks or ()) == 3
        x, rows = inputs[0].values, inputs[0].rows
        query = self._projected(x, "query")
        value = self._projected(inputs[1].values, "value")
        key = self._projected(inputs[2 if three else 1].values, "key")
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            query = query * np.float32(1 / math.sqrt(self.query_kernel.shape[2]))
            scores = matmul(query, key.swapaxes(-1, -2))
            sides = scores.shape[1] // max(1, rows)
            matrices = scores.reshape(len(scores), rows, sides, *scores.shape[2:])
            weights = self._softmax(matrices, self._seen(inputs))
        drawn = self.drop(weights, draw)
        found = matmul(drawn.reshape(len(drawn), *scores.shape[1:]), value)
        if self.gate_kernel is not None:
            with np.errstate(over="ignore", invalid="ignore", under="ignore"):
                found = found * self._projected(x, "gate")
        output = self._joined(found, x.shape[1:-1])
        flows = [Flow(output, inputs[0].mask if self.passes_mask else None)]
        if self.return_attention_scores:
            _, shape = self.output_shapes([flow.values.shape[2:] for flow in inputs])
            flows.append(Flow(weights.reshape(len(weights), rows, *shape)))
        return flows

    def _joined(self, found: Array, lengths: tuple[int, ...]) -> Array:
        """Return the output for what the heads found, of rows (and so on) of these lengths."""
        heads, width, *shape = self.output_kernel.shape
        order = self._order(len(lengths))
        whole = (len(found), *lengths, heads, width)
        split = found.reshape([whole[i] for i in order]).transpose(np.argsort(order))
        output = dense(
            split.reshape(len(found), *lengths, heads * width),
            self.output_kernel.reshape(heads * width, -1),
            None if self.output_bias is None else self.output_bias.reshape(-1),
        )
        return output.reshape(len(found), *lengths, *shape)

    def _softmax(self, scores: Array, seen: Array | None) -> Array:
        if seen is None:
            return activate(scores, "softmax")
        masking = "replace" if self.fused and not self.return_attention_scores else self.masking
        hidden = scores + _UNSEEN if masking == "add" else _UNSEEN
        weights = activate(np.where(seen, scores, hidden), "softmax")
        return np.where(seen, weights, np.float32(0)) if masking == "zero" else weights
