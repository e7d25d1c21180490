"""Call every public function so often that a leak of one byte a call is seen, and fork as often.

``python tests/soak.py [CALLS [FORKS]]``, a million and a thousand if not given; what takes longer
than a mask is called less often, as the table says. `make soak` runs it, the suite a short one.
"""

import gc
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import fastdrop as fd
from fastdrop import calibration, layers, scores

LEAST = 20  # calls, of what is called least often
MOST_GROWTH = 1 << 20  # bytes
_SECONDS = 60  # that a child may take

KEY = fd.Key(1)
X = np.ones((4, 16), np.float32)
IMAGES = np.ones((2, 2, 2, 2, 4), np.float32)
BITS = fd.bernoulli(0.5, 64, rng=KEY, dtype="packed")
WORDS = np.array([[1, 2], [0, 3]])
STEPS = np.ones((2, 3, 4), np.float32)
GATES = {n: (np.ones((4, 2 * n), np.float32), np.ones((2, 2 * n), np.float32)) for n in (1, 3, 4)}
PACKED = fd.pack_lstm(*GATES[4])
STEPPER = fd.Stepper(PACKED, 2)
LAYERS = [
    layers.LSTM(name="lstm", kernel=GATES[4][0], recurrent_kernel=GATES[4][1], dropout=0.5),
    layers.Dense(name="out", kernel=np.ones((2, 1), np.float32)),
]
MODEL = fd.Model(LAYERS, (None, 4))
ENSEMBLE = fd.Ensemble([MODEL, MODEL])
SAMPLES = np.random.default_rng(0).random((9, 4, 1))
Y = SAMPLES[0]
LABELS, LEVELS = np.array([[0], [1], [1], [0]]), [0.25, 0.75]
PREDICTION = fd.Prediction.from_samples(SAMPLES)
FOLDER = Path(tempfile.mkdtemp(prefix="fastdrop-soak-"))
MODEL.save(FOLDER / "model")
PREDICTION.save(FOLDER / "prediction")

CHEAP, LAYER, WHOLE = 1.0, 0.1, 0.001
Call = Callable[[], object]
# By the names of what is public: how often of all calls, and one.
CALLS: dict[str, tuple[float, Call]] = {
    "Call": (LAYER, lambda: fd.Call(LAYERS[1], name="a")),
    "Ensemble": (WHOLE, lambda: ENSEMBLE.mc_predict(STEPS, samples=2, rng=KEY)),
    "EnsemblePrediction": (
        WHOLE,
        lambda: ENSEMBLE.mc_predict(STEPS, samples=2, rng=KEY).within,
    ),
    "Info": (CHEAP, lambda: fd.info().tiers),
    "Key": (CHEAP, lambda: fd.Key(7).fold_in(1)),
    "LayerSummary": (LAYER, lambda: MODEL.described().layers[0].rates),
    "Model": (WHOLE, lambda: fd.Model(LAYERS, (None, 4)).predict(STEPS)),
    "ModelFormatError": (CHEAP, lambda: fd.ModelFormatError("x")),
    "PackedWeights": (LAYER, lambda: fd.rnn(STEPS, PACKED, dropout=0.5, rng=KEY)),
    "Prediction": (WHOLE, lambda: fd.Prediction.from_samples(SAMPLES).quantile(0.5)),
    "Stepper": (CHEAP, lambda: STEPPER.step(STEPS[:, 0])),
    "Stream": (WHOLE, lambda: MODEL.stream(rows=2, samples=2, rng=KEY).step(STEPS[:, 0])),
    "Summary": (LAYER, lambda: str(MODEL.described())),
    "activate": (CHEAP, lambda: fd.activate(X, "tanh")),
    "alpha_dropout": (CHEAP, lambda: fd.alpha_dropout(X, 0.5, rng=KEY)),
    "apply_mask": (CHEAP, lambda: fd.apply_mask(X, BITS, rate=0.5)),
    "bernoulli": (CHEAP, lambda: fd.bernoulli(0.5, 64, rng=KEY)),
    "dense": (CHEAP, lambda: fd.dense(X, np.ones((16, 2), np.float32))),
    "drop_connect": (CHEAP, lambda: fd.drop_connect(X, 0.5, rng=KEY)),
    "dropout": (CHEAP, lambda: fd.dropout(X, 0.5, rng=KEY)),
    "dropout_backward": (CHEAP, lambda: fd.dropout_backward(X, 0.5, rng=KEY)),
    "embedding_dropout": (LAYER, lambda: fd.embedding_dropout(WORDS, X, 0.5, rng=KEY)),
    "gaussian_dropout": (CHEAP, lambda: fd.gaussian_dropout(X, 0.5, rng=KEY)),
    "gaussian_noise": (CHEAP, lambda: fd.gaussian_noise(X, 0.5, rng=KEY)),
    "gru": (LAYER, lambda: fd.gru(STEPS, *GATES[3], dropout=0.5, rng=KEY)),
    "info": (CHEAP, fd.info),
    "load": (WHOLE, lambda: fd.load(FOLDER / "model")),
    "lstm": (LAYER, lambda: fd.lstm(STEPS, *GATES[4], recurrent_dropout=0.5, rng=KEY)),
    "pack_gru": (LAYER, lambda: fd.pack_gru(*GATES[3])),
    "pack_lstm": (LAYER, lambda: fd.rnn(STEPS, fd.pack_lstm(*GATES[4]))),
    "pack_simple_rnn": (LAYER, lambda: fd.pack_simple_rnn(*GATES[1])),
    "rnn": (LAYER, lambda: fd.rnn(STEPS, PACKED, zoneout=0.5, rng=KEY)),
    "simple_rnn": (LAYER, lambda: fd.simple_rnn(STEPS, *GATES[1])),
    "spatial_dropout1d": (CHEAP, lambda: fd.spatial_dropout1d(STEPS, 0.5, rng=KEY)),
    "spatial_dropout2d": (CHEAP, lambda: fd.spatial_dropout2d(IMAGES[0], 0.5, rng=KEY)),
    "spatial_dropout3d": (CHEAP, lambda: fd.spatial_dropout3d(IMAGES, 0.5, rng=KEY)),
    "step": (LAYER, lambda: fd.step(STEPS[:, 0], PACKED)),
    "unpack_mask": (CHEAP, lambda: fd.unpack_mask(BITS, 64)),
    "zoneout": (CHEAP, lambda: fd.zoneout(X, X, 0.5, rng=KEY)),
    # What modules hold, by their names and its own.
    "layers.Dense": (LAYER, lambda: layers.Dense(name="a", kernel=np.ones((2, 1), np.float32))),
    "calibration.calibrate": (WHOLE, lambda: calibration.calibrate(PREDICTION, Y, level=0.5)),
    "scores.brier": (LAYER, lambda: scores.brier(LABELS, Y)),
    "scores.coverage": (LAYER, lambda: scores.coverage(Y, Y - 1, Y + 1)),
    "scores.crps": (LAYER, lambda: scores.crps(Y, SAMPLES)),
    "scores.crps_normal": (LAYER, lambda: scores.crps_normal(Y, Y, Y + 1)),
    "scores.crps_quantiles": (LAYER, lambda: scores.crps_quantiles(Y, SAMPLES[:2], LEVELS)),
    "scores.expected_calibration_error": (
        LAYER,
        lambda: scores.expected_calibration_error(LABELS, Y),
    ),
    "scores.interval_score": (LAYER, lambda: scores.interval_score(Y, Y - 1, Y + 1)),
    "scores.nll": (LAYER, lambda: scores.nll(LABELS, Y)),
    "scores.nll_normal": (LAYER, lambda: scores.nll_normal(Y, Y, Y + 1)),
    "scores.pinball": (LAYER, lambda: scores.pinball(Y, SAMPLES[:2], LEVELS)),
    "scores.pit": (LAYER, lambda: scores.pit(Y, SAMPLES)),
    "scores.reliability": (LAYER, lambda: scores.reliability(LABELS, Y)),
    # Methods that do more than those.
    "Model.predict": (LAYER, lambda: MODEL.predict(STEPS)),
    "Model.mc_predict": (WHOLE, lambda: MODEL.mc_predict(STEPS, samples=4, rng=KEY, threads=2)),
    "Prediction.load": (WHOLE, lambda: fd.Prediction.load(FOLDER / "prediction").std),
    "refused": (LAYER, lambda: _refused(lambda: fd.dropout(X, 2.0))),
    "threads": (WHOLE, lambda: fd.bernoulli(0.5, 1 << 19, rng=KEY, threads=2)),
}


def _refused(call: Call) -> None:
    try:
        call()
    except ValueError:
        return
    raise AssertionError("not refused")


def memory() -> int:
    """Return what the process has in memory, in bytes."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def grown(call: Call, times: int) -> int:
    """Return how many bytes memory has grown by in so many calls, after a tenth as many."""
    for _ in range(max(times // 10, LEAST)):
        call()
    before = memory()
    for _ in range(times):
        call()
    return memory() - before


def forked() -> int:
    """Return how a child ended that works on threads, where its parent has done so."""
    fd.bernoulli(0.5, 1 << 18, rng=KEY, threads=2)
    child = os.fork()
    if not child:
        signal.alarm(_SECONDS)
        status = 1
        try:
            fd.bernoulli(0.5, 1 << 18, rng=KEY, threads=2)
            MODEL.mc_predict(STEPS, samples=4, rng=KEY, threads=2)
            fd.rnn(STEPS, PACKED, dropout=0.5, rng=KEY)
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(calls: int, forks: int) -> None:
    """Call and fork, and say what does not hold."""
    wrong, total = [], 0
    start = time.monotonic()
    for name, (share, call) in CALLS.items():
        times = max(int(calls * share), LEAST)
        total += times
        more = grown(call, times)
        print(f"{name:22} {times:9,} calls, {more / 1024:7,.0f} KiB more", flush=True)
        if more > MOST_GROWTH:
            wrong.append(name)
    statuses: list[int] = []
    more = grown(lambda: statuses.append(forked()), forks)
    print(f"{len(statuses):,} forks, {more / 1024:,.0f} KiB more; {total:,} calls in all")
    if more > MOST_GROWTH or any(statuses):
        wrong.append(f"forks ({sum(map(bool, statuses))} children failed)")
    print(f"{time.monotonic() - start:.0f} s on {fd.info().tier}")
    if wrong:
        sys.exit(f"does not hold: {', '.join(wrong)}")


if __name__ == "__main__":
    main(*(int(n.replace("_", "")) for n in [*sys.argv[1:], "1_000_000", "1_000"][:2]))
