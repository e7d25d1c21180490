"""PyTorch modules that are for one row, without an axis for it, or for a fixed number of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

import fastdrop as fd  # noqa: E402
from fastdrop.formats import ModelFormatError  # noqa: E402
from fastdrop.torch import from_torch  # noqa: E402

pytestmark = pytest.mark.live

TOLERANCE = 1e-5
torch.set_num_threads(1)


class OneRow(nn.Module):
    """What modules for one sequence are made of, put together by a function."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 5)
        self.lstm = nn.LSTM(5, 4)
        self.both = nn.LSTM(5, 4, 2, bidirectional=True)
        self.gru = nn.GRU(5, 4, batch_first=True)
        self.cell = nn.LSTMCell(5, 4)
        self.head, self.heads = nn.Linear(4, 3), nn.Linear(8, 3)
        self.score = nn.Linear(4, 1)
        self.function = forward

    def forward(self, *given: Any) -> Any:
        return self.function(self, *given)


def tagger(m: Any, x: Any) -> Any:
    y, _ = m.lstm(m.embedding(x).view(len(x), 1, -1))
    return F.log_softmax(m.head(y.view(len(x), -1)), dim=1)


def forecast(m: Any, x: Any) -> Any:
    zeros = (torch.zeros(1, 1, 4), torch.zeros(1, 1, 4))
    y, _ = m.lstm(x.view(len(x), 1, -1), zeros)
    return m.head(y.view(len(x), -1))[-1]


def without_an_axis(m: Any, x: Any) -> Any:
    return m.head(m.lstm(x)[0])


def states_side_by_side(m: Any, x: Any) -> Any:
    _, (h, _) = m.both(x)
    return torch.relu(m.heads(torch.cat([h[-2], h[-1]])))


def states_one_by_one(m: Any, x: Any) -> Any:
    _, (h, _) = m.both(m.embedding(x).unsqueeze(1))
    return F.softmax(m.heads(torch.cat((h[0, 0], h[1, 0]))), dim=0)


def attention(m: Any, x: Any) -> Any:
    y = m.lstm(x.unsqueeze(1))[0].squeeze(1)
    return m.head((F.softmax(m.score(y), dim=0) * y).sum(0))


def batch_first(m: Any, x: Any) -> Any:
    y, _ = m.gru(m.embedding(x).unsqueeze(0))
    return m.head(y.squeeze(0))


def all_of_length_1(m: Any, x: Any) -> Any:
    return m.score(m.gru(x[None])[0]).squeeze()


def mean(m: Any, x: Any) -> Any:
    return m.head(m.gru(x[None])[0][0].mean(0)) * 2 - 1


def both_ends(m: Any, x: Any) -> Any:
    y = m.lstm(x)[0]
    return torch.cat([y[0], y[-1]], 0), m.head(y[1:])


def step_by_step(m: Any, x: Any) -> Any:
    h, c, found = torch.zeros(1, 4), torch.zeros(1, 4), []
    for t in range(5):
        h, c = m.cell(x[t].view(1, -1), (h, c))
        found.append(m.head(h))
    return torch.cat(found, 0)


def numbers(steps: int) -> Any:
    return torch.randn(steps, 5)


def tokens(steps: int) -> Any:
    return torch.randint(0, 11, (steps,))


ONE_ROW: dict[str, tuple[Callable[..., Any], Callable[[int], Any], tuple[int, ...]]] = {
    "tagger": (tagger, tokens, (5, 2, 1, 9)),
    "forecast": (forecast, numbers, (5, 2, 1, 9)),
    "without-an-axis": (without_an_axis, numbers, (5, 2, 1, 9)),
    "states-side-by-side": (states_side_by_side, numbers, (5, 2, 1, 9)),
    "states-one-by-one": (states_one_by_one, tokens, (5, 2, 1, 9)),
    "attention": (attention, numbers, (5, 2, 1, 9)),
    "batch-first": (batch_first, tokens, (5, 2, 1, 9)),
    "all-of-length-1": (all_of_length_1, numbers, (5, 2, 9)),
    "mean": (mean, numbers, (5, 2, 1, 9)),
    "both-ends": (both_ends, numbers, (5, 2, 9)),
    "step-by-step": (step_by_step, numbers, (5,)),
}


def outputs(made: Any) -> list[np.ndarray]:
    leaves = torch.utils._pytree.tree_leaves(made)
    return [np.asarray(v.detach()) if isinstance(v, torch.Tensor) else v for v in leaves]


@pytest.mark.parametrize("name", ONE_ROW)
def test_a_module_for_one_row_takes_any_number_of_rows(name: str) -> None:
    forward, given, lengths = ONE_ROW[name]
    module = OneRow(forward).eval()
    model = from_torch(module, given(5))
    assert "input 'given_0': the module takes one row, here axis 0 has rows" in model.notes
    for steps in lengths:
        rows = [given(steps) for _ in range(3)]
        found = outputs(model.predict(torch.stack(rows).numpy()))
        for i, row in enumerate(rows):
            for y, wanted in zip(found, outputs(module(row)), strict=True):
                np.testing.assert_allclose(
                    y[i].reshape(wanted.shape), wanted, rtol=0, atol=TOLERANCE
                )


def test_states_beside_one_row() -> None:
    def forward(m: Any, x: Any, h: Any, c: Any) -> Any:
        y, (h, c) = m.lstm(x.view(-1, 1, 5), (h, c))
        return F.softmax(m.head(y.squeeze(1)), dim=1), h, c

    module = OneRow(forward).eval()
    state = torch.randn(2, 1, 1, 4)
    model = from_torch(module, (numbers(5), *state))
    x, states = torch.randn(3, 7, 5), torch.randn(3, 2, 1, 4)
    found = outputs(model.predict([x.numpy(), *states.numpy().swapaxes(0, 1)]))
    for i in range(3):
        expected = outputs(module(x[i], *states[i][:, None]))
        for y, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(y[i].reshape(wanted.shape), wanted, rtol=0, atol=TOLERANCE)


class FixedRows(nn.Module):
    """A module that is made for batches of one size."""

    def __init__(self, rows: int, how: str) -> None:
        super().__init__()
        self.rows, self.how = rows, how
        self.lstm = nn.LSTM(5, 6, 2, batch_first=True)
        self.head = nn.Linear(6, 3)
        self.hidden = (torch.zeros(2, rows, 6), torch.zeros(2, rows, 6))

    def forward(self, x: Any) -> Any:
        if self.how == "made":
            hidden = (torch.zeros(2, self.rows, 6), torch.zeros(2, self.rows, 6))
            y, _ = self.lstm(x, hidden)
            return self.head(y.contiguous().view(self.rows, -1, 6)[:, -1])
        if self.how == "held":
            return self.head(self.lstm(x, self.hidden)[0][:, -1])
        y, self.hidden = self.lstm(x, self.hidden)
        return self.head(y).transpose(1, 2)


@pytest.mark.parametrize("rows", [1, 2, 4, 6])
@pytest.mark.parametrize("how", ["made", "held", "kept"])
def test_a_module_for_a_number_of_rows_takes_any(how: str, rows: int) -> None:
    module = FixedRows(rows, how).eval()
    model = from_torch(module, torch.randn(rows, 7, 5))
    assert f"the module is for {rows} rows; here there may be any" in model.notes
    kept = "the module keeps 'hidden' from call to call; here each begins with what it holds now"
    assert (kept in model.notes) == (how == "kept")
    for steps in (7, 1, 9):
        x = torch.randn(2 * rows, steps, 5)
        module.hidden = (torch.zeros(2, rows, 6), torch.zeros(2, rows, 6))
        one = outputs(module(x[:rows]))[0]
        module.hidden = (torch.zeros(2, rows, 6), torch.zeros(2, rows, 6))
        expected = np.concatenate([one, outputs(module(x[rows:]))[0]])
        np.testing.assert_allclose(model.predict(x.numpy()), expected, rtol=0, atol=TOLERANCE)


class Keeps(nn.Module):
    """A module that keeps what it put out, under a name of its own or as a buffer."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.gru, self.name = nn.GRU(5, 4, batch_first=True), name
        if name == "buffer":
            self.register_buffer(name, torch.zeros(1, 1, 4))
        else:
            setattr(self, name, torch.zeros(1, 1, 4))

    def forward(self, x: Any) -> Any:
        y, h = self.gru(x, getattr(self, self.name).expand(1, len(x), 4))
        setattr(self, self.name, h[:, :1].detach())
        return y


@pytest.mark.parametrize("name", ["state", "_state", "buffer"])
def test_what_is_kept_under_any_name(name: str) -> None:
    model = from_torch(Keeps(name), torch.randn(2, 6, 5))
    kept = f"the module keeps {name!r} from call to call; here each begins with what it holds now"
    assert kept in model.notes


def test_what_a_module_keeps_is_as_it_holds_it() -> None:
    module = FixedRows(1, "kept").eval()
    module.hidden = tuple(torch.randn(2, 2, 1, 6))
    before = [h.clone() for h in module.hidden]
    x = torch.randn(1, 4, 5)
    model = from_torch(module, x)
    assert all(torch.equal(a, b) for a, b in zip(module.hidden, before, strict=True))
    expected = outputs(module(x))[0]
    for _ in range(2):
        np.testing.assert_allclose(model.predict(x.numpy()), expected, rtol=0, atol=TOLERANCE)


def test_dropout_of_a_module_for_one_row_is_of_each_row() -> None:
    def forward(m: Any, x: Any) -> Any:
        return m.head(F.dropout(m.lstm(x.view(-1, 1, 5))[0].view(-1, 4), 0.5, m.training))

    module = OneRow(forward)
    model = from_torch(module, numbers(5))
    x = torch.randn(1, 6, 5).expand(2, 6, 5).numpy()
    draws = model.mc_predict(x, samples=2000, rng=fd.Key(1), keep_samples=True).samples
    assert not np.array_equal(draws[:, 0], draws[:, 1])
    with torch.no_grad():
        wanted = torch.stack([module(torch.tensor(x[0])) for _ in range(2000)]).numpy()
    error = 6 * wanted.std(0) / np.sqrt(1000)
    assert (np.abs(draws[:, 0].mean(0) - wanted.mean(0)) < error).all()
    np.testing.assert_allclose(draws[:, 1].std(0), wanted.std(0), rtol=0.15)


def test_rows_that_a_module_holds_apart_are_refused() -> None:
    module = FixedRows(3, "held")
    module.hidden = tuple(torch.randn(2, 2, 3, 6))
    with pytest.raises(ModelFormatError, match="initial states"):
        from_torch(module, torch.randn(3, 7, 5))
