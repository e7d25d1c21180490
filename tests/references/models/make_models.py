"""Build the recipes with one version of Keras, and store its files and its outputs.

    python make_models.py FLAVOUR FOLDER FORMATS [PATTERN]

runs under the Python of that version, 3.7 for the oldest, in this folder. FLAVOUR is keras (2 or
3), tf.keras, tf.keras-v1 (the layers of TensorFlow 1) or tf_keras; FORMATS is h5, keras or both.
Each model becomes NAME.h5 or NAME.keras and NAME.npz: inputs x0, x1, …, outputs without dropout
y0, y1, …, and samples (passes, rows, outputs) of all outputs side by side, where the model has
dropout. What could not be made is listed at the end.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
from recipes import RECIPES, ROWS

PASSES = 3000
RANDOM = (
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "GaussianNoise",
    "GaussianDropout",
    "AlphaDropout",
)


def import_keras(flavour):
    if flavour == "tf_keras":
        import tf_keras

        return tf_keras
    if flavour.startswith("tf.keras"):
        import tensorflow as tf

        if flavour == "tf.keras":
            tf.compat.v1.enable_v2_behavior()
            return tf.compat.v2.keras  # in TensorFlow 1.15: the layers of 2.0
        return tf.keras
    import keras

    return keras


def zeros(x, units):
    """Return what a CuDNN layer puts out as far as shapes go: its own operation has no CPU code."""
    import tensorflow as tf

    y = tf.zeros(tf.concat([tf.shape(x)[:2], [units]], 0))
    y.set_shape((None, x.shape[1], units))
    return y


class Kit:
    """What the recipes need of one version of Keras."""

    def __init__(self, flavour):
        self.keras = keras = import_keras(flavour)
        self.layers = keras.layers
        self.Model = keras.models.Model
        self.Sequential = keras.models.Sequential
        self.text = keras.__version__
        self.version = tuple(int(part) for part in re.findall(r"\d+", self.text)[:2])
        # The layers of TensorFlow 1 and of Keras's own package before 3 run as graphs.
        self.graph = flavour == "tf.keras-v1" or (flavour == "keras" and self.version < (3, 0))
        self.batch = None
        self.plain = False  # float32 for a mixed policy, LSTM for CuDNNLSTM
        layer = keras.layers.Dropout

        class MCDropout(layer):
            def call(self, inputs, training=None):
                return layer.call(self, inputs, training=True)

        register = getattr(keras, "saving", keras.utils)
        register = getattr(register, "register_keras_serializable", None)
        if register is None:
            register = getattr(keras.utils, "register_keras_serializable", None)
        if register is not None and self.version != (3, 8):  # there it stays unregistered
            MCDropout = register(*(("my_layers",) if flavour == "tf_keras" else ()))(MCDropout)
        self.MCDropout = MCDropout

    def input(self, *shape, **options):
        if self.batch:
            return self.layers.Input(batch_shape=(self.batch, *shape), **options)
        return self.layers.Input(shape=shape, **options)

    def first(self, *shape):
        """Return what the first layer of a Sequential takes to know its input."""
        if self.batch:
            return {"batch_input_shape": (self.batch, *shape)}
        return {"input_shape": shape}

    def cudnn(self, kind, units, **options):
        if not self.plain:
            layer = getattr(self.layers, "CuDNN" + kind)
            layer._process_batch = lambda self, x, states: (zeros(x, self.units), states)
            return layer(units, **options)
        options["recurrent_activation"] = "sigmoid"
        if kind == "GRU":
            options["reset_after"] = True
        return getattr(self.layers, kind)(units, **options)

    @contextlib.contextmanager
    def policy(self, name):
        name = "float32" if self.plain else name
        mixed = getattr(self.keras, "mixed_precision", None)
        mixed = mixed or self.keras.experimental.mixed_precision
        choose = getattr(mixed, "set_global_policy", None) or mixed.set_dtype_policy
        choose(name)
        yield
        choose("float32")

    def sigmoid(self, x):
        if self.version >= (3, 0):
            return self.keras.activations.sigmoid(x)
        import tensorflow as tf

        return tf.sigmoid(x)

    def mean(self, x):
        if self.version >= (3, 0):
            return self.keras.ops.mean(x, axis=-1, keepdims=True)
        import tensorflow as tf

        return tf.reduce_mean(x, axis=-1, keepdims=True)

    def build(self, recipe, batch=None, plain=False):
        self.batch, self.plain = batch if recipe.batch else None, plain
        if self.batch and self.version >= (3, 0):
            return self.rebuilt(recipe)
        return recipe.build(self)

    def rebuilt(self, recipe):
        """Keras 3 has no batch_input_shape: an Input of that batch comes first."""
        kit = self

        class Sequential(self.keras.Sequential):
            def __new__(cls, layers):
                shape = kit.fixed
                return kit.keras.Sequential([kit.keras.Input(batch_shape=shape), *layers])

        plain_first, plain_model = self.first, self.Sequential
        self.first = lambda *shape: setattr(self, "fixed", (self.batch, *shape)) or {}
        self.Sequential = Sequential
        try:
            return recipe.build(self)
        finally:
            self.first, self.Sequential = plain_first, plain_model

    def clear(self):
        if self.version >= (3, 0):
            return  # numbers in names go on, as in a notebook
        self.keras.backend.clear_session()


def sublayers(layer):
    """Yield a layer and all that it holds."""
    yield layer
    children = list(getattr(layer, "layers", []) or [])
    for name in ("layer", "forward_layer", "backward_layer", "cell"):
        child = getattr(layer, name, None)
        if child is not None and hasattr(child, "get_config"):
            children.append(child)
    children += list(getattr(layer, "cells", []) or [])
    for child in children:
        yield from sublayers(child)


def is_random(model):
    for layer in sublayers(model):
        rates = (getattr(layer, "dropout", 0), getattr(layer, "recurrent_dropout", 0))
        if any(isinstance(rate, float) and rate > 0 for rate in rates):
            return True
        if type(layer).__name__ in (*RANDOM, "MCDropout"):
            return True
    return False


def normalizes_batches(model):
    return any("BatchNorm" in type(layer).__name__ for layer in sublayers(model))


def weights_in_order(layer):
    """Return the weights as get_weights has them: Keras 2 sorts a model's `weights` otherwise."""
    if hasattr(layer, "layers"):
        return [weight for child in layer.layers for weight in weights_in_order(child)]
    return list(layer.weights)


def random_weights(kit, model, seed):
    rng = np.random.RandomState(seed)
    weights = weights_in_order(model) if kit.graph else model.weights
    names = [getattr(weight, "path", weight.name) for weight in weights]
    weights = []
    for i, value in enumerate(model.get_weights()):
        name = names[i].split("/")[-1].split(":")[0]
        drawn = rng.normal(size=value.shape)
        if value.dtype.kind != "f":
            drawn = value
        elif "variance" in name:
            drawn = rng.uniform(0.5, 2, value.shape)
        elif name == "gamma":
            drawn = 1 + 0.3 * drawn
        elif "recurrent" in name and value.ndim > 1:
            drawn = 0.9 * drawn / np.sqrt(value.shape[0])
        elif name.startswith("embedding"):
            pass
        elif value.ndim > 1:
            drawn = 1.4 * drawn / np.sqrt(np.prod(value.shape[:-1]))
        else:
            drawn = 0.3 * drawn
        weights.append(drawn.astype(value.dtype))
    model.set_weights(weights)


def outputs_of(value):
    value = list(value.values()) if isinstance(value, dict) else value
    return [np.asarray(y) for y in (value if isinstance(value, (list, tuple)) else [value])]


def without_dropout(kit, model, inputs):
    inputs = inputs if len(inputs) > 1 else inputs[0]
    return outputs_of(model.predict(inputs) if kit.graph else model(inputs, training=False))


def one_pass(kit, model, inputs):
    """Return the outputs with dropout on, BatchNormalization as in predict."""
    if kit.graph:
        backend = kit.keras.backend
        phase = getattr(backend, "symbolic_learning_phase", backend.learning_phase)()
        return backend.function([*model.inputs, phase], list(model.outputs))([*inputs, 1])
    for layer in sublayers(model):
        if "BatchNorm" in type(layer).__name__:
            layer.trainable = False
    return outputs_of(model(inputs if len(inputs) > 1 else inputs[0], training=True))


def sample(kit, model, inputs):
    tiled = [np.concatenate([x] * PASSES) for x in inputs]
    parts = [np.reshape(y, (PASSES, ROWS, -1)) for y in one_pass(kit, model, tiled)]
    return np.concatenate(parts, axis=-1).astype(np.float32)


def make(kit, name, recipe, folder, formats):
    seed = zlib.crc32(name.encode())
    kit.clear()
    model = kit.build(recipe, batch=ROWS)
    inputs = recipe.data(seed % 1000)
    if recipe.compiled and not kit.graph:
        model.compile(loss=recipe.compiled, optimizer="adam")
        shape = (ROWS, *model.output_shape[1:])
        model.train_on_batch(inputs[0], np.zeros(shape, "float32"))
    elif recipe.compiled:
        model.compile(loss=recipe.compiled, optimizer="adam")
    random_weights(kit, model, seed % 2**31)
    for extension in formats:
        model.save(os.path.join(folder, name + "." + extension))
    answers = {f"x{i}": x for i, x in enumerate(inputs)}
    weights, random = model.get_weights(), is_random(model)
    twin_needed = name.startswith(("cudnn", "mixed")) or recipe.batch
    if name.startswith("cudnn"):
        kit.clear()
        model = kit.build(recipe, plain=True)
        model.load_weights(os.path.join(folder, name + "." + formats[0]))
    elif name.startswith("mixed"):
        model = kit.build(recipe, plain=True)
        model.set_weights(weights)
    always_on = name in ("dropout_always_on", "mc_dropout_class")
    if not always_on:
        predicted = without_dropout(kit, model, inputs)
        answers.update({f"y{i}": y for i, y in enumerate(predicted)})
        assert all(np.isfinite(y).all() for y in predicted)
    if random and recipe.moments and not (kit.graph and normalizes_batches(model)):
        if recipe.batch:
            model = kit.build(recipe, batch=ROWS * PASSES)
            model.set_weights(weights)
        answers["samples"] = sample(kit, model, inputs)
        assert np.isfinite(answers["samples"]).all()
        assert (answers["samples"].std(axis=0) > 0).any()
    assert twin_needed or len(weights)
    np.savez(os.path.join(folder, name + ".npz"), **answers)


def main():
    flavour, folder, formats = sys.argv[1:4]
    pattern = sys.argv[4] if len(sys.argv) > 4 else ""
    kit = Kit(flavour)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "version"), "w") as file:
        file.write(flavour + " " + kit.text)
    left_out = []
    for name, recipe in RECIPES.items():
        done = os.path.exists(os.path.join(folder, name + ".npz"))
        if done or not re.match(pattern, name):
            continue
        missing = [layer for layer in recipe.needs if not hasattr(kit.layers, layer)]
        if missing or not recipe.since <= kit.version <= recipe.until:
            left_out.append(f"{name}: not in this version")
            continue
        try:
            make(kit, name, recipe, folder, ["h5", "keras"] if formats == "both" else [formats])
            print(name, flush=True)
        except Exception as error:
            if os.environ.get("RAISE"):
                raise
            line = str(error).strip().split("\n")[0][:150]
            left_out.append(f"{name}: {type(error).__name__}: {line}")
    print("\nnot made:", *left_out, sep="\n  ")


if __name__ == "__main__":
    main()
