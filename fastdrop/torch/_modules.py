"""Dropout as modules."""

import warnings
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fastdrop import _check
from fastdrop.torch import _functional as functional

M = TypeVar("M", bound=torch.nn.Module)


class _Drawing(torch.nn.Module):
    """A module that draws: from PyTorch's generator, or from the streams of a key in turn."""

    seed: "Tensor | None"

    def _draw_from(self, rng: object) -> None:
        """Set where it draws. Not in the state's dictionary, which stays that of PyTorch's own."""
        seed = None if rng is None else functional.seed_of(rng, 0)
        self.register_buffer("seed", seed, persistent=False)

    def _seeds(self) -> functional.Seeds:
        # By way of `seed` it takes a microsecond.
        return functional.fresh if self._buffers["seed"] is None else self._next

    def _next(self) -> Tensor:
        assert self.seed is not None
        compiling = torch.compiler.is_compiling()
        if not compiling and torch._C._current_graph_task_id() != -1:
            raise RuntimeError(
                "rng: expected None where the backward pass repeats the forward one, as by "
                "torch.utils.checkpoint, got a key, whose next stream would give another mask"
            )
        now: Tensor = functional.copy_seed(self.seed) if compiling else self.seed.clone()
        self.seed[1] += 1
        return now


class _Dropout(_Drawing):
    """What the modules share that have one of PyTorch's own by their side."""

    p: float
    inplace: bool

    def __init__(self, p: float = 0.5, inplace: bool = False, *, rng: object = None) -> None:
        super().__init__(functional.rate_of(p), inplace)
        self._draw_from(rng)

    def _get_name(self) -> str:
        """Return what it is shown by, which tells it from PyTorch's own."""
        return f"fastdrop.torch.{type(self).__name__}"


class Dropout(_Dropout, torch.nn.Dropout):
    """Set elements to zero with probability `p` in training, and scale the others by 1 / (1 - p).

    Parameters
    ----------
    p : float, optional
        The probability of dropping, in [0, 1]; used to 32 bits.
    inplace : bool, optional
        Write the result to the input.
    rng : None, int, Key or SeedSequence, optional
        Where the randomness comes from. None draws a key from PyTorch's default generator at each
        call in training. All else is a key, of which call number n takes stream n, from 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range.

    See Also
    --------
    dropout : The function, for what tensors are taken, and what PyTorch does itself.

    Notes
    -----
    A ``torch.nn.Dropout``, of which it is a subclass, whose mask the backward pass draws again
    instead of keeping it.

    Modules with the same key draw the same masks: give each its own, as ``key.fold_in(name)`` does,
    and each process of several ``key.fold_in(rank)``. The key and the next call's stream are the
    buffer `seed`. It is copied and pickled with the module, so that a copy draws what the original
    goes on to draw, but is no part of ``state_dict()``, which stays that of ``torch.nn.Dropout``:
    to continue a run, keep it beside. ``torch.utils.checkpoint``, which repeats a forward pass, is
    for modules without `rng`. Others refuse it, but cannot where ``torch.compile`` compiles the
    checkpoint too: there gradients would be by another mask. Nor are they for several threads at
    once, which might take one stream twice.

    Examples
    --------
    >>> import torch
    >>> import fastdrop as fd
    >>> from fastdrop.torch import Dropout
    >>> drop = Dropout(0.5, rng=fd.Key.from_words(0, 0))
    >>> drop(torch.ones(8))
    tensor([2., 0., 2., 0., 2., 0., 2., 2.])
    >>> drop.eval()(torch.ones(3))
    tensor([1., 1., 1.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return functional.drop(F.dropout, x, self.p, self.training, self.inplace, self._seeds())


class Dropout1d(_Dropout, torch.nn.Dropout1d):
    """Drop whole channels of sequences with probability `p` in training, and scale the others.

    Parameters
    ----------
    p, inplace, rng : optional
        As in `Dropout`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range.

    Notes
    -----
    A ``torch.nn.Dropout1d`` that does what `dropout1d` does. Otherwise as `Dropout`.

    Examples
    --------
    >>> import torch
    >>> import fastdrop as fd
    >>> from fastdrop.torch import Dropout1d
    >>> Dropout1d(0.5, rng=fd.Key.from_words(0, 0))(torch.ones(1, 3, 2))
    tensor([[[2., 2.],
             [0., 0.],
             [2., 2.]]])
    """

    def forward(self, x: Tensor) -> Tensor:
        return functional.drop(F.dropout1d, x, self.p, self.training, self.inplace, self._seeds())


class Dropout2d(_Dropout, torch.nn.Dropout2d):
    """Drop whole channels of images with probability `p` in training, and scale the others.

    Parameters
    ----------
    p, inplace, rng : optional
        As in `Dropout`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range.

    Notes
    -----
    A ``torch.nn.Dropout2d`` that does what `dropout2d` does. Otherwise as `Dropout`.

    Examples
    --------
    >>> import torch
    >>> from fastdrop.torch import Dropout2d
    >>> y = Dropout2d(0.5, rng=0)(torch.ones(2, 8, 3, 3))
    >>> bool((y == y[..., :1, :1]).all())
    True
    """

    def forward(self, x: Tensor) -> Tensor:
        return functional.drop(F.dropout2d, x, self.p, self.training, self.inplace, self._seeds())


class AlphaDropout(_Dropout, torch.nn.AlphaDropout):
    """Set elements to SELU's negative limit in training, and restore mean and variance.

    Parameters
    ----------
    p, inplace, rng : optional
        As in `Dropout`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range.

    Notes
    -----
    A ``torch.nn.AlphaDropout`` that does what `alpha_dropout` does. Otherwise as `Dropout`.
    ``torch.nn.AlphaDropout`` pays no heed to its `inplace`; this one does.

    Examples
    --------
    >>> import torch
    >>> import fastdrop as fd
    >>> from fastdrop.torch import AlphaDropout
    >>> AlphaDropout(0.5, rng=fd.Key.from_words(0, 0))(torch.zeros(4))
    tensor([ 0.7792, -0.7792,  0.7792, -0.7792])
    """

    def forward(self, x: Tensor) -> Tensor:
        return functional.drop(
            F.alpha_dropout, x, self.p, self.training, self.inplace, self._seeds()
        )


class LockedDropout(_Drawing):
    """Drop features of sequences with probability `p` in training, the same at all time steps.

    Parameters
    ----------
    p : float, optional
        The probability of dropping, in [0, 1]; used to 32 bits.
    batch_first : bool, optional
        Whether inputs are (batch, time, features), not (time, batch, features), as in
        ``torch.nn.LSTM``. (time, features) is taken in either case.
    rng : optional
        As in `Dropout`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range.

    Notes
    -----
    `locked_dropout` as a module; Merity, Keskar and Socher (2017), whose ``LockedDropout`` it is.

    Examples
    --------
    >>> import torch
    >>> import fastdrop as fd
    >>> from fastdrop.torch import LockedDropout
    >>> LockedDropout(0.5, batch_first=True, rng=fd.Key.from_words(0, 0))(torch.ones(1, 3, 4))
    tensor([[[2., 0., 2., 0.],
             [2., 0., 2., 0.],
             [2., 0., 2., 0.]]])
    """

    def __init__(self, p: float = 0.5, batch_first: bool = False, *, rng: object = None) -> None:
        super().__init__()
        self.p: float = functional.rate_of(p)
        self.batch_first: bool = _check.flag(batch_first, "batch_first")
        self._draw_from(rng)

    def forward(self, x: Tensor) -> Tensor:
        return functional.drop_locked(x, self.p, self.training, self.batch_first, self._seeds())

    def extra_repr(self) -> str:
        return f"p={self.p}, batch_first={self.batch_first}"


class WeightDrop(_Drawing):
    """Drop weights of a module with probability `p` in training, anew at each call.

    Parameters
    ----------
    module : torch.nn.Module
        Any module; it is the attribute `module`, and its parameters stay where they are.
    weights : str or sequence of str
        The names of the parameters to drop, as ``module.named_parameters()`` has them:
        ``"weight_hh_l0"`` of a ``torch.nn.LSTM``.
    p : float, optional
        The probability of dropping, in [0, 1]; used to 32 bits.
    rng : optional
        As in `Dropout`; each weight takes a stream of its own, in the order of `weights`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range, or if the module has no such parameter.

    Notes
    -----
    DropConnect, Wan et al., "Regularization of Neural Networks using DropConnect", ICML 2013; on
    the recurrent weights of an LSTM the ``WeightDrop`` of Merity, Keskar and Socher (2017). The
    parameters as they are before dropping are trained and saved: of a module called `rnn` they are
    ``rnn.module.weight_hh_l0`` and so on. A weight that is tied to another is dropped
    under the name that is given alone.

    Examples
    --------
    >>> import torch
    >>> from fastdrop.torch import WeightDrop
    >>> lstm = WeightDrop(torch.nn.LSTM(4, 8), "weight_hh_l0", p=0.5)
    >>> y, (h, c) = lstm(torch.ones(3, 1, 4))
    >>> y.shape
    torch.Size([3, 1, 8])
    """

    def __init__(
        self,
        module: torch.nn.Module,
        weights: str | Sequence[str],
        p: float = 0.5,
        *,
        rng: object = None,
    ) -> None:
        super().__init__()
        if not isinstance(module, torch.nn.Module):
            _check.refuse(TypeError, "module", "a torch.nn.Module", module)
        names = dict(module.named_parameters(remove_duplicate=False))
        self.weights: tuple[str, ...] = (weights,) if isinstance(weights, str) else tuple(weights)
        for name in self.weights:
            if name not in names:
                _check.refuse(
                    ValueError, "weights", f"names of parameters: {', '.join(names)}", name
                )
        self.p: float = functional.rate_of(p)
        self.module = module
        self._draw_from(rng)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if not self.training or self.p == 0.0:
            return self.module(*args, **kwargs)
        dropped = {
            name: functional.drop(
                F.dropout, self.module.get_parameter(name), self.p, True, False, self._seeds()
            )
            for name in self.weights
        }
        return torch.func.functional_call(self.module, dropped, args, kwargs, tie_weights=False)

    def extra_repr(self) -> str:
        return f"{', '.join(self.weights)}, p={self.p}"


_REPLACED = {
    torch.nn.Dropout: Dropout,
    torch.nn.Dropout1d: Dropout1d,
    torch.nn.Dropout2d: Dropout2d,
    torch.nn.AlphaDropout: AlphaDropout,
}


def replace_dropout(module: M) -> M:
    """Turn the dropout modules of PyTorch that a model has into those of fastdrop.

    Parameters
    ----------
    module : torch.nn.Module
        A model. It is changed itself.

    Returns
    -------
    torch.nn.Module
        `module`.

    Raises
    ------
    TypeError
        If `module` is none.

    Warns
    -----
    UserWarning
        If dropout of PyTorch is left, naming each module: ``Dropout3d``, ``FeatureAlphaDropout``
        and subclasses; and what cannot be exchanged, the `dropout` of recurrent layers and of
        ``MultiheadAttention``. What calls ``torch.nn.functional.dropout`` is not seen.

    Notes
    -----
    Each ``torch.nn.Dropout``, ``Dropout1d``, ``Dropout2d`` and ``AlphaDropout``, and no subclass of
    these, changes its class: `p`, `inplace`, the mode and hooks stay, and wherever it was shared it
    still is. Parameters and ``state_dict()`` are not touched.

    Examples
    --------
    >>> import torch
    >>> from fastdrop.torch import replace_dropout
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.1))
    >>> type(replace_dropout(model)[1])
    <class 'fastdrop.torch._modules.Dropout'>
    """
    if not isinstance(module, torch.nn.Module):
        _check.refuse(TypeError, "module", "a torch.nn.Module", module)
    left = []
    for name, found in module.named_modules():
        if type(found) in _REPLACED:
            found.__class__ = _REPLACED[type(found)]
            found._draw_from(None)
        elif _draws_itself(found):
            left.append(f"{name or 'the module itself'} ({type(found).__name__})")
    if left:
        warnings.warn(
            f"replace_dropout: dropout of PyTorch is left in {', '.join(left)}", stacklevel=2
        )
    return module


def _draws_itself(module: torch.nn.Module) -> bool:
    if isinstance(module, _Drawing):
        return False
    if isinstance(module, torch.nn.modules.dropout._DropoutNd):
        return bool(module.p > 0.0)
    within = (torch.nn.RNNBase, torch.nn.MultiheadAttention)
    return isinstance(module, within) and bool(module.dropout > 0.0)
