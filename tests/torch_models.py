"""Whole models of PyTorch as people write them, and inputs for them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

VOCABULARY = 23


def words(rows: int, steps: int) -> tuple[torch.Tensor, ...]:
    return (torch.randint(1, VOCABULARY, (rows, steps)),)


def words_and_lengths(rows: int, steps: int) -> tuple[torch.Tensor, ...]:
    lengths = torch.tensor([steps, *torch.randint(1, steps, (rows - 1,)).tolist()])
    tokens = torch.randint(1, VOCABULARY, (rows, steps))
    return tokens * (torch.arange(steps) < lengths[:, None]), lengths


def series(features: int = 3) -> Callable[[int, int], tuple[torch.Tensor, ...]]:
    return lambda rows, steps: (torch.randn(rows, steps, features),)


class SentimentLSTM(nn.Module):
    """Embedding, stacked LSTM, dropout, linear, sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 8)
        self.lstm = nn.LSTM(8, 12, 2, batch_first=True, dropout=0.5)
        self.dropout = nn.Dropout(0.3)
        self.fc = nn.Linear(12, 1)

    def forward(self, x: Any) -> Any:
        h0 = torch.zeros(2, x.size(0), 12)
        c0 = torch.zeros(2, x.size(0), 12)
        out, _ = self.lstm(self.embedding(x), (h0, c0))
        out = out.contiguous().view(-1, 12)
        out = torch.sigmoid(self.fc(self.dropout(out)))
        out = out.view(x.size(0), -1)
        return out[:, -1]


class PackedClassifier(nn.Module):
    """Bidirectional LSTM over packed sequences, the last states of both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 8, padding_idx=0)
        self.rnn = nn.LSTM(8, 6, num_layers=2, bidirectional=True, dropout=0.5, batch_first=True)
        self.fc = nn.Linear(12, 4)
        self.dropout = nn.Dropout(0.5)

    def forward(self, text: Any, lengths: Any) -> Any:
        embedded = self.dropout(self.embedding(text))
        packed = pack_padded_sequence(
            embedded, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        _, (hidden, _) = self.rnn(packed)
        hidden = self.dropout(torch.cat((hidden[-2, :, :], hidden[-1, :, :]), dim=1))
        return self.fc(hidden)


class PackedTagger(nn.Module):
    """A tag for each word, of packed sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 8, padding_idx=0)
        self.gru = nn.GRU(8, 6, bidirectional=True, batch_first=True)
        self.head = nn.Linear(12, 5)

    def forward(self, text: Any, lengths: Any) -> Any:
        packed = pack_padded_sequence(
            self.embedding(text), lengths, batch_first=True, enforce_sorted=False
        )
        y, _ = self.gru(packed)
        y, _ = pad_packed_sequence(y, batch_first=True, total_length=text.size(1))
        return F.log_softmax(self.head(y), dim=-1)


class LastValidStep(nn.Module):
    """The output at each row's last word, picked by its length."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 8)
        self.gru = nn.GRU(8, 6, batch_first=True)
        self.head = nn.Linear(6, 2)

    def forward(self, text: Any, lengths: Any) -> Any:
        y, _ = self.gru(self.embedding(text))
        last = y[torch.arange(y.size(0)), lengths - 1]
        return self.head(last)


class GatheredStep(LastValidStep):
    """The same by gather."""

    def forward(self, text: Any, lengths: Any) -> Any:
        y, _ = self.gru(self.embedding(text))
        index = (lengths - 1).view(-1, 1).expand(len(lengths), y.size(2)).unsqueeze(1)
        return self.head(y.gather(1, index).squeeze(1))


class MaskedMean(nn.Module):
    """The mean over words that are no padding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 8, padding_idx=0)
        self.lstm = nn.LSTM(8, 6, batch_first=True)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Any) -> Any:
        y, _ = self.lstm(self.embedding(x))
        mask = (x != 0).unsqueeze(-1).float()
        return self.head((y * mask).sum(1) / mask.sum(1).clamp(min=1))


class TimeFirstLanguageModel(nn.Module):
    """Time first, as in PyTorch's word language model; all words at once."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.2)
        self.encoder = nn.Embedding(VOCABULARY, 10)
        self.rnn = nn.LSTM(10, 10, 2, dropout=0.2)
        self.decoder = nn.Linear(10, VOCABULARY)
        self.decoder.weight = self.encoder.weight

    def forward(self, x: Any) -> Any:
        output, _ = self.rnn(self.drop(self.encoder(x)))
        return F.log_softmax(self.decoder(self.drop(output)), dim=2)


class LockedDropout(nn.Module):
    """One mask over time, as AWD-LSTM has it."""

    def forward(self, x: Any, dropout: float = 0.5) -> Any:
        if not self.training:
            return x
        mask = x.data.new(1, x.size(1), x.size(2)).bernoulli_(1 - dropout) / (1 - dropout)
        return mask.expand_as(x) * x


class LockedLanguageModel(nn.Module):
    """LSTMs with locked dropout between them, time first."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = LockedDropout()
        self.encoder = nn.Embedding(VOCABULARY, 10)
        self.rnns = nn.ModuleList([nn.LSTM(10, 12), nn.LSTM(12, 10)])
        self.decoder = nn.Linear(10, VOCABULARY)

    def forward(self, x: Any) -> Any:
        y = self.lock(self.encoder(x), 0.4)
        for rnn in self.rnns:
            y, _ = rnn(y)
            y = self.lock(y, 0.25)
        return self.decoder(y)


class Forecaster(nn.Module):
    """Two LSTM layers with dropout, the last step."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm1 = nn.LSTM(3, 10, batch_first=True)
        self.drop1 = nn.Dropout(0.2)
        self.lstm2 = nn.LSTM(10, 10, batch_first=True)
        self.drop2 = nn.Dropout(0.2)
        self.fc = nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, x: Any) -> Any:
        y, _ = self.lstm1(x)
        y, _ = self.lstm2(self.drop1(y))
        return self.fc(self.drop2(y[:, -1, :]))


class GaussianForecaster(nn.Module):
    """Mean and log variance by two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 10, 2, batch_first=True, dropout=0.1)
        self.mean, self.log_variance = nn.Linear(10, 4), nn.Linear(10, 4)

    def forward(self, x: Any) -> Any:
        _, h = self.gru(x)
        return {"mean": self.mean(h[-1]), "log_variance": self.log_variance(h[-1])}


class ConvLSTM(nn.Module):
    """Convolutions with batch normalization over a series, then an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv1d(3, 8, 3, padding=1),
            nn.BatchNorm1d(8),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Dropout1d(0.2),
            nn.Conv1d(8, 8, 3, padding="same"),
            nn.LeakyReLU(),
        )
        self.lstm = nn.LSTM(8, 10, batch_first=True, bidirectional=True)
        self.head = nn.Linear(20, 3)

    def forward(self, x: Any) -> Any:
        y = self.features(x.transpose(1, 2)).transpose(1, 2)
        y, _ = self.lstm(y)
        return self.head(y.mean(1)).softmax(-1)


class CRNN(nn.Module):
    """An image as a sequence of its columns."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.MaxPool2d((2, 1)),
        )
        self.rnn = nn.LSTM(12, 8, bidirectional=True)
        self.fc = nn.Linear(16, 7)

    def forward(self, x: Any) -> Any:
        y = self.cnn(x)
        b, c, h, w = y.size()
        y = y.view(b, c * h, w).permute(2, 0, 1)
        y, _ = self.rnn(y)
        t, b, h = y.size()
        return self.fc(y.view(t * b, h)).view(t, b, -1)


class CharWordTagger(nn.Module):
    """A word's letters by one LSTM, the words by another."""

    def __init__(self) -> None:
        super().__init__()
        self.chars = nn.Embedding(VOCABULARY, 5)
        self.char_lstm = nn.LSTM(5, 4, batch_first=True, bidirectional=True)
        self.words = nn.Embedding(VOCABULARY, 6)
        self.lstm = nn.LSTM(14, 8, batch_first=True, bidirectional=True)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Any, letters: Any) -> Any:
        b, w, c = letters.shape
        _, (h, _) = self.char_lstm(self.chars(letters.view(b * w, c)))
        of_letters = h.transpose(0, 1).reshape(b, w, -1)
        y, _ = self.lstm(torch.cat((self.words(x), of_letters), -1))
        return self.head(y)


class AdditiveAttention(nn.Module):
    """Weights of all steps by a small network, and their sum."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 8)
        self.gru = nn.GRU(8, 6, batch_first=True, bidirectional=True)
        self.score = nn.Sequential(nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 1, bias=False))
        self.head = nn.Linear(12, 2)

    def forward(self, x: Any) -> Any:
        y, _ = self.gru(self.embedding(x))
        weights = F.softmax(self.score(y).squeeze(-1), dim=1)
        context = torch.bmm(weights.unsqueeze(1), y).squeeze(1)
        return self.head(context), weights


class MaskedAttention(AdditiveAttention):
    """The same where padding has no weight."""

    def forward(self, x: Any) -> Any:
        y, _ = self.gru(self.embedding(x))
        scores = self.score(y).squeeze(-1).masked_fill(x == 0, -1e9)
        weights = scores.softmax(1)
        return self.head((weights.unsqueeze(-1) * y).sum(1))


class Seq2Seq(nn.Module):
    """An encoder, and a decoder that attends and is fed its own outputs for four steps."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.LSTM(3, 8, batch_first=True)
        self.cell = nn.LSTMCell(1 + 8, 8)
        self.attend = nn.Linear(16, 1)
        self.head = nn.Linear(8, 1)

    def forward(self, x: Any) -> Any:
        memory, (h, c) = self.encoder(x)
        h, c = h.squeeze(0), c.squeeze(0)
        y = x[:, -1, :1]
        found = []
        for _ in range(4):
            again = h.unsqueeze(1).expand(-1, memory.size(1), -1)
            weights = self.attend(torch.cat((memory, again), -1)).softmax(1)
            context = (weights * memory).sum(1)
            h, c = self.cell(torch.cat((y, context), 1), (h, c))
            y = self.head(h)
            found.append(y)
        return torch.cat(found, 1)


class EncoderDecoder(nn.Module):
    """Two LSTMs, the second from the states of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.LSTM(3, 8, 2, batch_first=True, dropout=0.1)
        self.decoder = nn.LSTM(2, 8, 2, batch_first=True, dropout=0.1)
        self.head = nn.Linear(8, 1)

    def forward(self, past: Any, future: Any) -> Any:
        _, state = self.encoder(past)
        y, _ = self.decoder(future, state)
        return self.head(y).squeeze(-1)


class Autoencoder(nn.Module):
    """A sequence to one vector and back."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.LSTM(3, 6, batch_first=True)
        self.decoder = nn.LSTM(6, 6, batch_first=True)
        self.output = nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        _, (h, _) = self.encoder(x)
        z = h[-1].unsqueeze(1).repeat(1, x.shape[1], 1)
        y, _ = self.decoder(z)
        return self.output(y)


class Positions(nn.Module):
    """Sines and cosines of positions, added."""

    def __init__(self, width: int, longest: int = 50) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.1)
        position = torch.arange(longest).unsqueeze(1)
        rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
        table = torch.zeros(1, longest, width)
        table[0, :, 0::2] = torch.sin(position * rate)
        table[0, :, 1::2] = torch.cos(position * rate)
        self.register_buffer("table", table)

    def forward(self, x: Any) -> Any:
        return self.dropout(x + self.table[:, : x.size(1)])


class TransformerClassifier(nn.Module):
    """Encoder layers over words with their positions, with padding left out."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 8)
        self.positions = Positions(8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        y = self.positions(self.embedding(x) * math.sqrt(8))
        y = self.encoder(y, src_key_padding_mask=x == 0)
        return self.head(y.mean(dim=1))


class LearnedPositions(nn.Module):
    """An embedding of positions, and a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCABULARY, 8), nn.Embedding(50, 8)
        self.norm = nn.LayerNorm(8)
        self.gru = nn.GRU(8, 6, batch_first=True)

    def forward(self, x: Any) -> Any:
        places = torch.arange(x.size(1), device=x.device).unsqueeze(0).expand_as(x)
        y, _ = self.gru(self.norm(self.tokens(x) + self.positions(places)))
        return y


class TemporalConvolution(nn.Module):
    """Dilated causal convolutions with shortcuts, cut to their length."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv1d(3 if i == 0 else 6, 6, 3, padding=2 * 2**i, dilation=2**i) for i in range(3)
        )
        self.shortcut = nn.Conv1d(3, 6, 1)
        self.head = nn.Linear(6, 1)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x: Any) -> Any:
        y = x.permute(0, 2, 1)
        for i, convolution in enumerate(self.convolutions):
            z = convolution(y)[:, :, : -2 * 2**i].contiguous()
            same = self.shortcut(y) if i == 0 else y
            y = F.relu(self.dropout(F.relu(z)) + same)
        return self.head(y[:, :, -1])


class WaveBlock(nn.Module):
    """Gated activations."""

    def __init__(self) -> None:
        super().__init__()
        self.filter, self.gate = nn.Conv1d(3, 4, 2), nn.Conv1d(3, 4, 2)
        self.rnn = nn.GRU(4, 5, batch_first=True)

    def forward(self, x: Any) -> Any:
        y = F.pad(x.transpose(1, 2), (1, 0))
        y = torch.tanh(self.filter(y)) * torch.sigmoid(self.gate(y))
        return self.rnn(y.transpose(1, 2))[0][:, -1]


class ManyInputs(nn.Module):
    """A series, a category and numbers, joined."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 6, batch_first=True)
        self.category = nn.Embedding(VOCABULARY, 4)
        self.mix = nn.Sequential(
            nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ELU(), nn.AlphaDropout(0.1), nn.Linear(8, 2)
        )

    def forward(self, x: Any, category: Any, numbers: Any) -> Any:
        _, (h, _) = self.lstm(x)
        return self.mix(torch.cat([h.squeeze(0), self.category(category), numbers], dim=1))


class ResidualStack(nn.Module):
    """LSTMs with shortcuts and normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 8)
        self.layers = nn.ModuleList(
            nn.LSTM(8, 4, batch_first=True, bidirectional=True) for _ in "ab"
        )
        self.norms = nn.ModuleList(nn.LayerNorm(8) for _ in "ab")

    def forward(self, x: Any) -> Any:
        y = self.inner(x)
        for lstm, norm in zip(self.layers, self.norms, strict=True):
            y = norm(y + lstm(y)[0])
        return y


class BagOfWords(nn.Module):
    """The mean of embeddings, and a perceptron."""

    def __init__(self) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(VOCABULARY, 8)
        self.mlp = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Dropout(0.2), nn.Linear(8, 2))

    def forward(self, x: Any) -> Any:
        return self.mlp(self.bag(x))


class MaxOverTime(nn.Module):
    """The largest and the mean outputs over time, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 8)
        self.drop = nn.Dropout2d(0.2)
        self.lstm = nn.LSTM(8, 5, bidirectional=True, batch_first=True)
        self.head = nn.Linear(20, 2)

    def forward(self, x: Any) -> Any:
        y = self.embedding(x)
        y = self.drop(y.permute(0, 2, 1).unsqueeze(3)).squeeze(3).permute(0, 2, 1)
        y, _ = self.lstm(y)
        mean, (most, _) = y.mean(1), y.max(1)
        return self.head(torch.cat((mean, most), 1))


class ChannelsFirstGRU(nn.Module):
    """Statistics of windows of a series, adaptive pooling, several heads in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 6, 5, stride=2)
        self.pool = nn.AdaptiveAvgPool1d(1)
        self.gru = nn.GRU(6, 6, num_layers=2, dropout=0.3)
        self.heads = nn.ModuleList(nn.Linear(6, n) for n in (1, 2))

    def forward(self, x: Any) -> Any:
        y = self.conv(x.transpose(1, 2))
        level = self.pool(y).flatten(1)
        z, _ = self.gru(y.permute(2, 0, 1))
        return [head(z[-1] + level) for head in self.heads]


class GatesByHand(nn.Module):
    """An LSTM cell of two linear layers, normalization and chunks, from zeros of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.i, self.h = nn.Linear(3, 20), nn.Linear(5, 20, bias=False)
        self.norm, self.drop = nn.LayerNorm(20), nn.Dropout(0.2)

    def forward(self, x: Any) -> Any:
        h = x.new_zeros(x.size(0), 5)
        c = torch.zeros_like(h)
        found = []
        for step in x.unbind(1):
            i, f, g, o = self.norm(self.i(step) + self.h(h)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = self.drop(torch.sigmoid(o) * torch.tanh(c))
            found.append(h)
        return torch.stack(found, dim=1)


class WrittenOutputs(nn.Module):
    """An encoder and a decoder, time first, whose outputs are written one after another."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.out_words = nn.Embedding(30, 4), nn.Embedding(9, 4)
        self.encoder = nn.LSTM(4, 5, 2, dropout=0.5)
        self.decoder = nn.LSTM(4, 5, 2, dropout=0.5)
        self.head, self.drop = nn.Linear(5, 9), nn.Dropout(0.5)

    def forward(self, source: Any, target: Any) -> Any:
        _, state = self.encoder(self.drop(self.words(source)))
        outputs = torch.zeros(target.shape[0], target.shape[1], 9)
        token = target[0, :]
        for t in range(1, target.shape[0]):
            y, state = self.decoder(self.drop(self.out_words(token.unsqueeze(0))), state)
            outputs[t] = self.head(y.squeeze(0))
            token = outputs[t].argmax(1)
        return outputs


class SubsequentMask(nn.Module):
    """An encoder of time first with a causal mask that is not said to be one."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(30, 6)
        layer = nn.TransformerEncoderLayer(6, 2, 8, 0.2)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(6, 12)

    def forward(self, x: Any) -> Any:
        mask = nn.Transformer.generate_square_subsequent_mask(len(x))
        return self.head(self.encoder(self.words(x), mask))


class CellsTimeFirst(nn.Module):
    """A cell in a loop over the first axis."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRUCell(3, 5), nn.Linear(5, 2)

    def forward(self, x: Any) -> Any:
        h = torch.zeros(x.size(1), 5)
        found = []
        for i in range(x.size(0)):
            h = self.cell(x[i], h)
            found.append(self.head(h))
        return torch.stack(found)


class SortedByHand(nn.Module):
    """Rows sorted by their lengths, packed with these as a list, and put back."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 8, padding_idx=0)
        self.lstm = nn.LSTM(8, 6, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(12, 3)

    def forward(self, tokens: Any, lengths: Any) -> Any:
        ordered, order = lengths.sort(0, descending=True)
        _, back = order.sort(0)
        embedded = self.embedding(tokens[order])
        packed = pack_padded_sequence(embedded, ordered.tolist(), batch_first=True)
        output, (h, _) = self.lstm(packed)
        output, _ = pad_packed_sequence(output, batch_first=True, total_length=tokens.size(1))
        return self.fc(output[back]), torch.cat((h[0], h[1]), 1)[back]


class PackedNumbers(nn.Module):
    """Layers over what is packed, a matrix of a row for each word."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 8, padding_idx=0)
        self.gru = nn.GRU(8, 6, batch_first=True)
        self.drop = nn.Dropout(0.3)
        self.score = nn.Linear(6, 1)

    def forward(self, tokens: Any, lengths: Any) -> Any:
        embedded = self.embedding(tokens)
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        hidden, _ = self.gru(packed)
        data = self.drop(F.softmax(hidden.data, dim=1))
        scores = torch.exp(torch.tanh(self.score(data)).squeeze(1))
        order = (hidden.batch_sizes, hidden.sorted_indices, hidden.unsorted_indices)
        total = tokens.size(1)
        weights, _ = pad_packed_sequence(
            PackedSequence(scores, *order), batch_first=True, total_length=total
        )
        output, _ = pad_packed_sequence(hidden, batch_first=True, total_length=total)
        weights = weights / weights.sum(1, keepdim=True)
        return (output * weights.unsqueeze(2)).sum(1)


class GreedyDecoder(nn.Module):
    """A decoder that begins with a token for all, and takes the likeliest word each time."""

    def __init__(self) -> None:
        super().__init__()
        self.encoded = nn.Embedding(VOCABULARY, 6)
        self.decoded = nn.Embedding(VOCABULARY, 6)
        self.dropout = nn.Dropout(0.1)
        self.encoder = nn.GRU(6, 6, batch_first=True)
        self.decoder = nn.GRU(12, 6, batch_first=True)
        self.out = nn.Linear(6, VOCABULARY)

    def forward(self, tokens: Any) -> Any:
        states, hidden = self.encoder(self.dropout(self.encoded(tokens)))
        word = torch.empty(tokens.size(0), 1, dtype=torch.long).fill_(1)
        outputs = []
        for _ in range(3):
            embedded = self.dropout(self.decoded(word))
            weights = F.softmax(hidden.permute(1, 0, 2) @ states.transpose(1, 2), dim=-1)
            step = torch.cat((embedded, torch.bmm(weights, states)), dim=2)
            output, hidden = self.decoder(step, hidden)
            outputs.append(self.out(output))
            _, best = outputs[-1].topk(1)
            word = best.squeeze(-1).detach()
        return F.log_softmax(torch.cat(outputs, dim=1), dim=-1)


class BackwardsDecoder(nn.Module):
    """An autoencoder whose decoder begins with zeros and lays out its steps backwards."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.LSTM(3, 5, 2, batch_first=True, dropout=0.2)
        self.decoder = nn.LSTM(3, 5, 2, batch_first=True, dropout=0.2)
        self.fc = nn.Linear(5, 3)

    def forward(self, x: Any) -> Any:
        _, state = self.encoder(x)
        step = torch.zeros(x.size(0), 1, 3)
        steps = []
        for _ in range(4):
            output, state = self.decoder(step, state)
            step = self.fc(output)
            steps.append(step)
        return torch.cat(steps, dim=1)[:, torch.arange(3, -1, -1), :]


class Variational(nn.Module):
    """A variational autoencoder, which draws its code in training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.GRU(3, 6, batch_first=True, bidirectional=True)
        self.mu = nn.Linear(12, 4)
        self.logvar = nn.Linear(12, 4)
        self.decoder = nn.GRU(4, 3, batch_first=True)

    def forward(self, x: Any) -> Any:
        _, h = self.encoder(x)
        h = torch.cat((h[0], h[1]), 1)
        mu, logvar = self.mu(h), self.logvar(h)
        code = mu
        if self.training:
            code = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        y, _ = self.decoder(code.unsqueeze(1).repeat(1, x.size(1), 1))
        return y, mu, logvar


class Distributed(nn.Module):
    """A code drawn from a distribution, and gates by hand that normalize zeros at first."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = nn.Linear(3, 10)
        self.recurrent = nn.Linear(5, 10, bias=False)
        self.norm = nn.LayerNorm(10)
        self.mu = nn.Linear(5, 4)
        self.sigma = nn.Linear(5, 4)

    def forward(self, x: Any) -> Any:
        h = torch.zeros(x.size(0), 5)
        for step in x[:, :3].unbind(1):
            z, n = (self.gates(step) + self.norm(self.recurrent(h))).chunk(2, 1)
            h = z.sigmoid() * h + (1 - z.sigmoid()) * n.tanh()
        mu, sigma = self.mu(h), F.softplus(self.sigma(h)) + 0.1
        code = torch.distributions.Normal(mu, sigma).rsample() if self.training else mu
        return code, sigma, torch.zeros(x.size(0), x.size(1), 2) + code[:, None, :2]


class Spectrogram(nn.Module):
    """Frames of a spectrogram of any length, whose channels and frequencies become features."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, (2, 1), 1))
        self.norm = nn.LayerNorm(2)
        self.rnn = nn.GRU(8, 5, bidirectional=True)
        self.fc = nn.Linear(5, 7)

    def forward(self, x: Any) -> Any:
        x = self.conv(x)
        x = self.norm(x.transpose(2, 3)).transpose(2, 3).contiguous()
        n, channels, height, width = x.size()
        x = x.view(n, channels * height, width).permute(2, 0, 1)
        x, _ = self.rnn(x)
        x = x.view(x.size(0), x.size(1), 2, -1).sum(2).view(x.size(0), x.size(1), -1)
        return F.log_softmax(self.fc(x).transpose(0, 1), dim=-1)


class Normalized(nn.Module):
    """Weights that are normalized by estimates of their norms, in both ways to write it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.utils.parametrizations.weight_norm(nn.Conv1d(3, 6, 3, padding=1))
        self.lstm = nn.utils.spectral_norm(nn.LSTM(6, 5, batch_first=True), "weight_hh_l0")
        self.one = nn.utils.parametrizations.spectral_norm(nn.Linear(5, 4))
        self.two = nn.utils.spectral_norm(nn.Linear(4, 1))

    def forward(self, x: Any) -> Any:
        y, _ = self.lstm(torch.relu(self.conv(x.transpose(1, 2))).transpose(1, 2))
        return self.two(F.leaky_relu(self.one(y[:, -1]))).view(-1)


class SelfAttending(nn.Module):
    """Causal attention over a recurrent layer, by a triangle of ones and by PyTorch's own."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 6, batch_first=True)
        self.project = nn.Linear(6, 18)

    def forward(self, x: Any) -> Any:
        steps = x.size(1)
        q, k, v = self.project(self.lstm(x)[0]).chunk(3, -1)
        later = torch.triu(torch.ones(steps, steps, dtype=torch.bool), 1)
        scores = (q @ k.transpose(1, 2)).masked_fill(later, float("-inf"))
        one = scores.softmax(-1) @ v
        two = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        before = torch.arange(steps)[None, :] <= torch.arange(steps)[:, None]
        return one, two, scores.where(before, torch.zeros(())).sum(-1)


class MaxOfAll(nn.Module):
    """Pooling over all that there is, by windows as long as it."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 8)
        self.wide = nn.ModuleList(nn.Conv2d(1, 4, (n, 8)) for n in (2, 3))
        self.gru = nn.GRU(8, 5, batch_first=True)

    def forward(self, tokens: Any) -> Any:
        x = self.embedding(tokens)
        found = [F.relu(conv(x.unsqueeze(1))).squeeze(3) for conv in self.wide]
        found = [F.max_pool1d(y, y.size(2)).squeeze(2) for y in found]
        y = self.gru(x)[0].transpose(1, 2)
        return torch.cat([*found, F.avg_pool1d(y, y.size(2)).squeeze(-1)], 1)


class TimeFeatures(nn.Module):
    """Features that are made of the time itself."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(5, 6, batch_first=True)

    def forward(self, x: Any) -> Any:
        rows, steps, _ = x.shape
        t = torch.arange(steps, dtype=x.dtype).view(1, steps, 1).expand(rows, steps, 1) / 10.0
        mean = torch.cumsum(x, dim=1) / (10 * t + 1)
        phase = torch.arange(steps).unsqueeze(1) * torch.tensor([[0.1, 0.2, 0.3]])
        y, _ = self.gru(torch.cat([torch.sin(t), mean, x[..., :1]], -1))
        return y, x + torch.sin(phase)


MODELS: dict[
    str,
    tuple[
        type[nn.Module],
        Callable[[int, int], tuple[torch.Tensor, ...]],
        tuple[int, ...],
        tuple[int, ...],
    ],
] = {
    "sentiment": (SentimentLSTM, words, (), ()),
    "packed-classifier": (PackedClassifier, words_and_lengths, (), ()),
    "packed-tagger": (PackedTagger, words_and_lengths, (), ()),
    "last-valid-step": (LastValidStep, words_and_lengths, (), ()),
    "gathered-step": (GatheredStep, words_and_lengths, (), ()),
    "masked-mean": (MaskedMean, words, (), ()),
    "language-model": (TimeFirstLanguageModel, lambda n, t: (words(n, t)[0].T,), (1,), (1,)),
    "locked-language-model": (LockedLanguageModel, lambda n, t: (words(n, t)[0].T,), (1,), (1,)),
    "gates-by-hand": (GatesByHand, series(), (), ()),
    "written-outputs": (
        WrittenOutputs,
        lambda n, t: (words(n, t)[0].T, torch.randint(0, 9, (4, n))),
        (1, 1),
        (1,),
    ),
    "subsequent-mask": (SubsequentMask, lambda n, t: (words(n, t)[0].T,), (1,), (1,)),
    "cells-time-first": (CellsTimeFirst, lambda n, t: (torch.randn(t, n, 3),), (1,), (1,)),
    "forecaster": (Forecaster, series(), (), ()),
    "gaussian-forecaster": (GaussianForecaster, series(), (), ()),
    "conv-lstm": (ConvLSTM, series(), (), ()),
    "crnn": (CRNN, lambda n, t: (torch.randn(n, 1, 8, 12),), (), (1,)),
    "char-word-tagger": (
        CharWordTagger,
        lambda n, t: (words(n, t)[0], torch.randint(0, VOCABULARY, (n, t, 4))),
        (),
        (),
    ),
    "additive-attention": (AdditiveAttention, words, (), ()),
    "masked-attention": (MaskedAttention, words, (), ()),
    "seq2seq": (Seq2Seq, series(), (), ()),
    "encoder-decoder": (
        EncoderDecoder,
        lambda n, t: (torch.randn(n, t, 3), torch.randn(n, 4, 2)),
        (),
        (),
    ),
    "autoencoder": (Autoencoder, series(), (), ()),
    "transformer": (TransformerClassifier, words, (), ()),
    "learned-positions": (LearnedPositions, words, (), ()),
    "temporal-convolution": (TemporalConvolution, series(), (), ()),
    "wave-block": (WaveBlock, series(), (), ()),
    "many-inputs": (
        ManyInputs,
        lambda n, t: (
            torch.randn(n, t, 3),
            torch.randint(0, VOCABULARY, (n,)),
            torch.randn(n, 2),
        ),
        (),
        (),
    ),
    "residual-stack": (ResidualStack, series(), (), ()),
    "bag-of-words": (BagOfWords, words, (), ()),
    "max-over-time": (MaxOverTime, words, (), ()),
    "channels-first": (ChannelsFirstGRU, series(), (), ()),
    "sorted-by-hand": (SortedByHand, words_and_lengths, (), ()),
    "packed-numbers": (PackedNumbers, words_and_lengths, (), ()),
    "greedy-decoder": (GreedyDecoder, words, (), ()),
    "backwards-decoder": (BackwardsDecoder, series(), (), ()),
    "variational": (Variational, series(), (), ()),
    "distributed": (Distributed, series(), (), ()),
    "spectrogram": (Spectrogram, lambda n, t: (torch.randn(n, 1, 8, 4 * t),), (), ()),
    "normalized": (Normalized, series(), (), ()),
    "self-attending": (SelfAttending, series(), (), ()),
    "max-of-all": (MaxOfAll, words, (), ()),
    "time-features": (TimeFeatures, series(), (), ()),
}
