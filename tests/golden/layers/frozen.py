"""Writes frozen.npz: layers of Keras and PyTorch, and PyTorch's losses, in float64, with gradients.

Run by hand, where both are installed: `python tests/golden/layers/frozen.py`. The tests read the
file alone. Weights are stored under Chainrule's names, the gates of a GRU in its order.
"""

from __future__ import annotations

import os
from importlib import import_module
from itertools import product
from typing import Any

import numpy as np
from recording import Arrays, Recording

os.environ["KERAS_BACKEND"] = "torch"
torch: Any = import_module("torch")
F: Any = torch.nn.functional
keras: Any = import_module("keras")
keras.config.set_floatx("float64")
# but with TensorFlow, Keras computes products of float64 in float32
import_module("keras.src.backend.common.dtypes").BIT64_TO_BIT32_DTYPE["float64"] = "float64"
RECORDING = Recording(16)
R, OUT, tensor, store = RECORDING.numbers, RECORDING.arrays, RECORDING.tensor, RECORDING.store
N, T, WIDTH, UNITS = 4, 5, 3, 4  # rows, steps, inputs, units


def randomised(layer: Any, *shapes: Any) -> Any:
    """A layer of Keras with random values of all weights, biases too."""
    layer.build(*shapes)
    for weight in layer.weights:
        if weight.dtype == "float64":
            weight.assign(R.normal(size=weight.shape) * 0.5)
    return layer


# ---------------------------------------------------------------- recurrent layers of Keras


def swapped(x: Any) -> Any:
    """The gates z, r, n of Keras as r, z, n."""
    z, r, n = np.split(x, 3, axis=-1)
    return np.concatenate([r, z, n], -1)


def weights(kind: str, layer: Any, prefix: str) -> Arrays:
    """The weights of one recurrent layer by Chainrule's names."""
    w, u, b = (weight.value for weight in layer.weights)
    if kind in ("rnn", "lstm"):
        return {f"{prefix}.w": w, f"{prefix}.u": u, f"{prefix}.b": b}
    found = {f"{prefix}.w": (w, swapped), f"{prefix}.u": (u, swapped)}
    if kind == "gru":
        return found | {f"{prefix}.b": (b, swapped)}
    inner = slice(2 * UNITS, 3 * UNITS)  # b has two rows: of the inputs, and of the state

    def outside(x: Any) -> Any:
        state = x[1].copy()
        state[inner] = 0
        return swapped(x[0] + state)

    return found | {f"{prefix}.b": (b, outside), f"{prefix}.b_inner": (b, lambda x: x[1, inner])}


KINDS = {
    "rnn": lambda **how: keras.layers.SimpleRNN(UNITS, **how),
    "lstm": lambda **how: keras.layers.LSTM(UNITS, **how),
    "gru": lambda **how: keras.layers.GRU(UNITS, reset_after=False, **how),
    "gru_after": lambda **how: keras.layers.GRU(UNITS, reset_after=True, **how),
}


def sums_of_biases(case: str) -> None:
    """The gradient of `b` is that of one of the two rows, not the sum of both."""
    for name in [key for key in OUT if key.startswith(f"{case}/gradient/") and key.endswith(".b")]:
        OUT[name] = OUT[name] / np.where(np.arange(3 * UNITS) < 2 * UNITS, 2, 1)


def recurrent() -> None:
    """All steps and the last one, with masks that have gaps, initial states, both directions."""
    shapes = (("whole", "all"), ("masked", "all"), ("masked", "last"))
    for kind, (steps, outputs), both in product(KINDS, shapes, (False, True)):
        case = f"{kind}.{steps}.{outputs}.{'both' if both else 'forward'}"
        masked, count = steps == "masked", (1 + both) * (1 + (kind == "lstm"))
        layer = KINDS[kind](return_sequences=outputs == "all")
        if both:
            layer = keras.layers.Bidirectional(layer)
            for side in (layer.forward_layer, layer.backward_layer):
                side.zero_output_for_mask = False  # as in one direction
        layer = randomised(layer, (None, T, WIDTH))
        mask = np.arange(T) < np.array([[5], [3], [1], [4]])
        mask[0, 2] = mask[3, 1] = False
        x, states = tensor(N, T, WIDTH), [tensor(N, UNITS) for _ in range(count)]
        # before the first step that counts, Keras gives zeros, not the initial state
        initial = states if not (masked and both) else None
        y = layer(x, mask=torch.tensor(mask) if masked else None, initial_state=initial)
        wrt: Arrays = {"x": x}
        if initial:
            wrt |= {f"s{k}": state for k, state in enumerate(states)}
        if both:
            wrt |= weights(kind, layer.forward_layer, "r.forward")
            wrt |= weights(kind, layer.backward_layer, "r.backward")
        else:
            wrt |= weights(kind, layer, "r")
        store(case, y, {"mask": mask} if masked else {}, wrt)
        if kind == "gru_after":
            sums_of_biases(case)


# ---------------------------------------------------------------- attention of Keras


def projections(layer: Any, out: str = "a") -> Arrays:
    """The weights of attention in heads by Chainrule's names."""
    dense = {
        "query": layer._query_dense, "key": layer._key_dense, "value": layer._value_dense,
        "out": layer._output_dense,
    }  # fmt: skip
    found: Arrays = {}
    for name, one in dense.items():
        w, b = (weight.value for weight in one.weights)
        rows = w.shape[0] if name != "out" else w.shape[0] * w.shape[1]
        found[f"{out}.{name}.w"] = w, lambda x, rows=rows: x.reshape(rows, -1)
        found[f"{out}.{name}.b"] = b, np.ravel
    return found


def attention() -> None:
    """Heads of their own and in groups; masks of pairs, causal, another sequence."""
    e, s, d = 6, 7, 2
    for case, heads, shared in (("heads", 3, 3), ("groups", 6, 2), ("one", 4, 1)):
        for way in ("self", "causal", "masked", "cross"):
            if heads == shared:
                layer = keras.layers.MultiHeadAttention(heads, d)
            else:
                layer = keras.layers.GroupQueryAttention(d, heads, shared)
            x = tensor(N, T, e)
            memory = tensor(N, s, e) if way == "cross" else x
            layer = randomised(layer, x.shape, memory.shape, memory.shape)
            pairs = R.random((N, T, memory.shape[1])) < 0.6
            pairs[..., 0] = True
            y = layer(
                x, memory, attention_mask=torch.tensor(pairs) if way == "masked" else None,
                use_causal_mask=way == "causal",
            )  # fmt: skip
            wrt: Arrays = {"x": x, **projections(layer)}
            if way == "cross":
                wrt["memory"] = memory
            store(f"{case}.{way}", y, {"mask": pairs} if way == "masked" else {}, wrt)


# ---------------------------------------------------------------- normalisation of PyTorch


def normalisation() -> None:
    """Over the batch in training and in prediction, over features, and by the root of squares."""
    for training in (True, False):
        x, scale, shift = tensor(6, 3, 4), tensor(4), tensor(4)
        mean, var = torch.tensor(R.normal(size=4)), torch.tensor(R.uniform(0.5, 2, size=4))
        start = {
            "b.running_mean": mean.numpy().copy(),
            "b.running_var": var.numpy().copy(),
            "b.steps": np.array(7),
        }
        y = F.batch_norm(x.transpose(1, 2), mean, var, scale, shift, training).transpose(1, 2)
        case = f"batch_norm.{'training' if training else 'prediction'}"
        store(case, y, start, {"x": x, "b.scale": scale, "b.shift": shift})
    for name in ("layer_norm", "rms_norm"):
        x, scale, shift = tensor(5, 3, 6), tensor(6), tensor(6)
        wrt = {"x": x, "b.scale": scale}
        if name == "layer_norm":
            y, wrt["b.shift"] = F.layer_norm(x, (6,), scale, shift), shift
        else:
            y = F.rms_norm(x, (6,), scale, 1e-6)
        store(name, y, {}, wrt)


# ---------------------------------------------------------------- dense layers and activations

ACTIVATIONS: Arrays = {
    "linear": lambda z: z, "relu": F.relu, "leaky_relu": F.leaky_relu, "elu": F.elu,
    "selu": F.selu, "gelu": F.gelu, "silu": F.silu, "mish": F.mish, "softplus": F.softplus,
    "tanh": torch.tanh, "sigmoid": torch.sigmoid, "hard_tanh": F.hardtanh,
    "hard_sigmoid": lambda z: (z / 6 + 0.5).clamp(0, 1),  # F.hardsigmoid has 1/6 in float32
    "softsign": F.softsign, "softmax": lambda z: F.softmax(z, -1),
    "log_softmax": lambda z: F.log_softmax(z, -1), "exp": torch.exp, "sin": torch.sin,
}  # fmt: skip


def dense() -> None:
    """`activation(x @ w + b)` for each activation, and gated layers."""
    for name, function in ACTIVATIONS.items():
        x, w, b = tensor(5, 2, 3), tensor(3, 6), tensor(6)
        store(f"dense.{name}", function(x @ w + b), {}, {"x": x, "d.w": w, "d.b": b})
    for name, function in (("geglu", F.gelu), ("swiglu", F.silu)):
        x, gate, value = tensor(5, 2, 3), tensor(3, 4), tensor(3, 4)
        wrt = {"x": x, "g.gate.w": gate, "g.value.w": value}
        store(name, function(x @ gate) * (x @ value), {}, wrt)


def tables() -> None:
    """Rows of a table, several times the same."""
    codes = R.integers(0, 4, (5, 3))
    table = tensor(4, 2)
    y = F.embedding(torch.tensor(codes), table)
    store("embedding", y, {"codes": codes}, {"e.table": table})


# ---------------------------------------------------------------- losses of PyTorch


def losses() -> None:
    """Means over the examples, with weights of classes and with some that are ignored."""
    t = torch.tensor(R.normal(size=(6, 3)))
    numeric = {
        "squared_error": lambda y: F.mse_loss(y, t),
        "absolute_error": lambda y: F.l1_loss(y, t),
        "huber": lambda y: F.huber_loss(y, t, delta=0.7),
        "quantile": lambda y: torch.maximum(0.3 * (t - y), -0.7 * (t - y)).mean(),
        "cosine": lambda y: (1 - F.cosine_similarity(y, t, -1)).mean(),
    }
    for name, function in numeric.items():
        y = tensor(6, 3)
        store(f"loss.{name}", function(y), {"t": t.numpy()}, {"y": y})
    counts, yes = (torch.tensor(x * 1.0) for x in (R.poisson(2, (6, 3)), R.random((6, 3)) < 0.4))
    y = tensor(6, 3)
    store("loss.poisson", F.poisson_nll_loss(y, counts), {"t": counts.numpy()}, {"y": y})
    y, more = tensor(6, 3, scale=3.0), torch.tensor([0.5, 1.0, 4.0], dtype=torch.float64)
    store("loss.binary", F.binary_cross_entropy_with_logits(y, yes, pos_weight=more),
          {"t": yes.numpy()}, {"y": y})  # fmt: skip
    chances = F.softmax(torch.tensor(R.normal(size=(6, 3))), -1)
    y = tensor(6, 3)
    store("loss.kl_divergence", F.kl_div(F.log_softmax(y, -1), chances, reduction="batchmean"),
          {"t": chances.numpy()}, {"y": y})  # fmt: skip
    y = tensor(6, 3)
    store("loss.chances", F.cross_entropy(y, chances), {"t": chances.numpy()}, {"y": y})
    labels = R.integers(0, 3, (6, 4))
    labels[0, :2] = labels[3] = -1
    by_class = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    for name, how in (
        ("labels", {}), ("class_weights", {"weight": by_class}),
        ("smoothed", {"label_smoothing": 0.2}),
    ):  # fmt: skip
        y = tensor(6, 4, 3, scale=2.0)
        value = F.cross_entropy(y.transpose(1, 2), torch.tensor(labels), ignore_index=-1, **how)
        store(f"loss.{name}", value, {"t": labels}, {"y": y})
    one, y = R.integers(0, 3, 6), tensor(6, 3)
    apart = 1 - F.one_hot(torch.tensor(one), 3)
    own = y.gather(-1, torch.tensor(one)[:, None])[:, 0]
    store("loss.hinge", ((y + apart).amax(-1) - own).mean(), {"t": one}, {"y": y})


if __name__ == "__main__":
    for part in (recurrent, attention, normalisation, dense, tables, losses):
        part()
    print(RECORDING.write(__file__), "cases, Keras", keras.__version__)
