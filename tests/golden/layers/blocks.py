"""Writes blocks.npz: what is made of several layers, in PyTorch and float64, with gradients.

Run by hand, where PyTorch is installed: `python tests/golden/layers/blocks.py`. The tests read the
file alone. Where PyTorch has no such layer, it is written here as its definition has it: pair by
pair, as complex numbers, expert by expert.
"""

from __future__ import annotations

import math
from importlib import import_module
from itertools import combinations
from typing import Any

import numpy as np
from recording import Arrays, Recording

torch: Any = import_module("torch")
F: Any = torch.nn.functional
RECORDING = Recording(15)
R, tensor, store = RECORDING.numbers, RECORDING.tensor, RECORDING.store


def affine(x: Any, w: Any, b: Any) -> Any:
    """`x @ w + b` by PyTorch's function, which has the outputs first."""
    return F.linear(x, w.T, b)


# ---------------------------------------------------------------- bags, pairs, experts, towers


def bags() -> None:
    """Rows of a table as a sum, a mean, a maximum, with weights; index 0 fills up."""
    for name, mode in (
        ("sum", "sum"), ("mean", "mean"), ("max", "max"), ("padded", "mean"), ("weighted", "sum"),
    ):  # fmt: skip
        codes, table, weights = R.integers(1, 6, (5, 4)), tensor(6, 3), tensor(5, 4)
        wrt: Arrays = {"e.table": table}
        how: Arrays = {}
        if name == "padded":
            codes[0, 1:] = codes[1] = 0
            how["padding_idx"] = 0
        if name == "weighted":
            wrt["weights"] = how["per_sample_weights"] = weights
        y = F.embedding_bag(torch.tensor(codes), table, mode=mode, **how)
        store(f"bag.{name}", y, {"codes": codes}, wrt)


def interactions() -> None:
    """Products of pairs, one pair after the other; the vectors of fields."""
    fields, width, outputs = 5, 3, 2
    pairs = list(combinations(range(fields), 2))
    x, v = tensor(6, fields), tensor(fields, outputs * width)
    w, b = tensor(fields, outputs), tensor(outputs)
    vectors, y = v.reshape(fields, outputs, width), affine(x, w, b)
    for i, j in pairs:
        y = y + torch.outer(x[:, i] * x[:, j], (vectors[i] * vectors[j]).sum(-1))
    store("factorisation", y, {}, {"x": x, "f.factors": v, "f.linear": w, "f.b": b})
    x = tensor(6, fields, width)
    store("pairs", sum(x[:, i] * x[:, j] for i, j in pairs), {}, {"x": x})
    codes = R.integers(0, 3, (6, 2))
    tables = {"e.0.table": tensor(3, width), "e.1.table": tensor(4, width)}
    rows = [F.embedding(torch.tensor(codes[:, f]), t) for f, t in enumerate(tables.values())]
    store("fields", torch.stack(rows, 1), {"codes": codes}, tables)


def experts() -> None:
    """Two layers each, weighted by a softmax of logits that are given, or of the input."""
    for case in ("given", "own"):
        x, w, b, gate = tensor(6, 4), tensor(4, 3), tensor(3), tensor(6, 3)
        wrt: Arrays = {"x": x}
        wrt |= {"gate": gate} if case == "given" else {"m.gate.w": w, "m.gate.b": b}
        logits, results = gate if case == "given" else affine(x, w, b), []
        for e in range(3):
            first, second = f"dense_{2 * e + 1}" if e else "dense", f"dense_{2 * e + 2}"
            layers = {
                f"{first}.w": tensor(4, 5), f"{first}.b": tensor(5),
                f"{second}.w": tensor(5, 2), f"{second}.b": tensor(2),
            }  # fmt: skip
            v, c, u, d = layers.values()
            results.append(affine(torch.tanh(affine(x, v, c)), u, d))
            wrt |= layers
        y = torch.einsum("ne,eno->no", F.softmax(logits, -1), torch.stack(results))
        store(f"experts.{case}", y, {}, wrt)


def towers() -> None:
    """Cosines and products of two vectors, and the loss of pairs that belong together."""
    own = torch.arange(6)
    for name in ("cosine", "product", "loss", "mutual"):
        a, b = tensor(6, 4), tensor(6, 4)
        if name == "cosine":
            y = F.cosine_similarity(a, b)[:, None] / 0.3
        elif name == "product":
            y = torch.einsum("nk,nk->n", a, b)[:, None] / 0.3
        else:
            scores = F.normalize(a) @ F.normalize(b).T / 0.3
            y = F.cross_entropy(scores, own)
            y = (y + F.cross_entropy(scores.T, own)) / 2 if name == "mutual" else y
        store(f"towers.{name}", y, {}, {"query": a, "item": b})


# ---------------------------------------------------------------- positions, blocks


def positions() -> None:
    """Sines and cosines of places; features turned as complex numbers."""
    length, width, base = 7, 6, 100.0
    places = torch.arange(length, dtype=torch.float64)[:, None]
    rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-math.log(base) / width))
    waves = torch.zeros(length, width, dtype=torch.float64)
    waves[:, 0::2], waves[:, 1::2] = torch.sin(places * rates), torch.cos(places * rates)
    x = tensor(4, length, width)
    store("positions", x + waves, {}, {"x": x})
    x = tensor(4, 2, length, width)
    first, second = x.chunk(2, -1)
    angles = places * rates
    turned = torch.complex(first, second) * torch.polar(torch.ones_like(angles), angles)
    store("rotary", torch.cat([turned.real, turned.imag], -1), {}, {"x": x})


def biased() -> None:
    """Attention with numbers that are added to its scores."""
    q, k, v = (tensor(2, 4, 5, 3) for _ in range(3))
    bias = tensor(2, 4, 5, 5)
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    store("biased", y, {}, {"q": q, "k": k, "v": v, "bias": bias})


def encoders() -> None:
    """PyTorch's encoder block, with the normalisation before or after, and with masks."""
    heads, width, hidden, length = 2, 4, 6, 5
    padding = np.arange(length) >= np.array([[5], [3], [1]])
    for first in (True, False):
        for way in ("whole", "causal", "padded"):
            layer = torch.nn.TransformerEncoderLayer(
                width, heads, hidden, 0.0, "gelu", batch_first=True, norm_first=first,
                dtype=torch.float64,
            )  # fmt: skip
            for parameter in layer.parameters():
                parameter.data = torch.tensor(R.normal(size=tuple(parameter.shape)) * 0.5)
            x, above = tensor(3, length, width), torch.ones(length, length).triu(1).bool()
            y = layer(
                x, src_mask=above if way == "causal" else None,
                src_key_padding_mask=torch.tensor(padding) if way == "padded" else None,
            )  # fmt: skip
            given = {"mask": ~padding} if way == "padded" else {}
            case = f"encoder.{'before' if first else 'after'}.{way}"
            store(case, y, given, {"x": x, **weights(layer, width, first)})


def weights(layer: Any, width: int, first: bool) -> Arrays:
    """The parameters of such a block by Chainrule's names; its result is that of its last layer."""
    found: Arrays = {}
    own = layer.self_attn
    for k, name in enumerate(("query", "key", "value")):
        part = slice(k * width, (k + 1) * width)
        found[f"e.attention.{name}.w"] = own.in_proj_weight, lambda a, part=part: a[part].T
        found[f"e.attention.{name}.b"] = own.in_proj_bias, lambda a, part=part: a[part]
    parts = {"attention.out": own.out_proj, "hidden": layer.linear1, "out": layer.linear2}
    for name, dense in parts.items():
        found[f"e.{name}.w"], found[f"e.{name}.b"] = (dense.weight, np.transpose), dense.bias
    for name, norm in (("e.norm1", layer.norm1), ("e.norm2" if first else "e", layer.norm2)):
        found[f"{name}.scale"], found[f"{name}.shift"] = norm.weight, norm.bias
    return found


if __name__ == "__main__":
    for part in (bags, interactions, experts, towers, positions, biased, encoders):
        part()
    print(RECORDING.write(__file__), "cases, PyTorch", torch.__version__)
