"""What Keras's activations put out, each with its defaults and with other parameters.

    cd tests && python -m references.make_activations [FILE]

writes activations.npz; it needs keras, on the engine that KERAS_BACKEND names (TensorFlow if it
names none). A case is (id, options, arrays, outputs): options["activation"] is a name of fastdrop's
and its parameters, x an array and y what Keras makes of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .stored import Result, save

FILE = Path(__file__).with_name("activations.npz")

# fastdrop's name and parameters, and Keras's keywords.
PARAMETERS: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...] = (
    (("relu", 0.25), {"negative_slope": 0.25}),
    (("relu", 0.0, 1.5), {"max_value": 1.5}),
    (("relu", 0.25, 1.5, 0.5), {"negative_slope": 0.25, "max_value": 1.5, "threshold": 0.5}),
    (("relu", 0.0, None, 0.5), {"threshold": 0.5}),
    (("leaky_relu", 0.375), {"negative_slope": 0.375}),
    (("elu", 0.5), {"alpha": 0.5}),
    (("celu", 0.5), {"alpha": 0.5}),
    (("soft_shrink", 0.75), {"threshold": 0.75}),
    (("hard_shrink", 0.75), {"threshold": 0.75}),
    (("squareplus", 1.0), {"b": 1.0}),
    (("threshold", 0.25, -0.5), {"threshold": 0.25, "default_value": -0.5}),
)
# Not elementwise, and not along rows that stay as long.
OTHERS = ("glu", "sparsemax")


def cases() -> Iterator[Result]:
    import keras
    from keras.src.activations import ALL_OBJECTS_DICT

    rng = np.random.default_rng(0)
    # Multiples of 1/16, borders among them, and some that are far out.
    x = np.concatenate([np.arange(-56, 57) / 16, rng.integers(-320, 321, 31) / 16])
    x = x.reshape(16, 9).astype(np.float32)

    def case(given: tuple[Any, ...], **keywords: Any) -> Result:
        name, known = given[0], dict(keywords)
        if name == "gelu_tanh":
            name, known = "gelu", {"approximate": True}
        y = keras.ops.convert_to_numpy(getattr(keras.activations, name)(x, **known))
        assert y.shape == x.shape
        assert y.dtype == x.dtype
        return "-".join(map(str, given)), {"activation": list(given)}, {"x": x}, {"y": y}

    for name in sorted(ALL_OBJECTS_DICT):
        if name not in (*OTHERS, "threshold"):
            yield case((name,))
    yield case(("gelu_tanh",))
    for given, keywords in PARAMETERS:
        yield case(given, **keywords)


if __name__ == "__main__":
    save(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE, cases())
