"""Writes bags.npz beside it: embedding bags and their training as PyTorch computes them.

It needs PyTorch, which the tests do not: run it once, where the cases change.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

COUNT, WIDTH, ROWS, LENGTH, STEPS = 7, 5, 6, 4, 5
CASES = [
    (mode, padded, weighted, dtype)
    for mode, padded, weighted, dtype in product(
        ("sum", "mean", "max"), (False, True), (False, True), ("float32", "float64")
    )
    if mode == "sum" or not weighted
]


def drawn() -> dict[str, np.ndarray]:
    """What all cases share: indices with duplicates, and bags that are full, short and empty."""
    numbers = np.random.default_rng(0)
    indices = numbers.integers(1, COUNT, (ROWS, LENGTH))
    indices[0] = indices[0, 0]
    padded = indices.copy()
    padded[1] = 0
    padded[2, 1:], padded[3, ::2], padded[4, 3] = 0, 0, 0
    return {
        "table": numbers.normal(size=(COUNT, WIDTH)),
        "indices": indices,
        "padded": padded,
        "weights": numbers.normal(size=(ROWS, LENGTH)),
        "gy": numbers.normal(size=(ROWS, WIDTH)),
        "steps": numbers.integers(0, COUNT - 1, (STEPS, ROWS, LENGTH)),
        "targets": numbers.normal(size=(STEPS, ROWS, WIDTH)),
    }


def bag(given: dict[str, np.ndarray], mode: str, padded: bool, weighted: bool, dtype: str) -> dict:
    """The value of a bag, and the gradients of its table and weights."""
    kind = getattr(torch, dtype)
    table = torch.tensor(given["table"], dtype=kind, requires_grad=True)
    weights = torch.tensor(given["weights"], dtype=kind, requires_grad=True) if weighted else None
    y = functional.embedding_bag(
        torch.tensor(given["padded" if padded else "indices"]), table, mode=mode,
        per_sample_weights=weights, padding_idx=0 if padded else None,
    )  # fmt: skip
    y.backward(torch.tensor(given["gy"], dtype=kind))
    found = {"y": y.detach(), "table": table.grad}
    if weighted:
        found["weights"] = weights.grad
    return {key: value.numpy() for key, value in found.items()}


RULES = {
    "sgd": lambda w: torch.optim.SGD(w, lr=0.1),
    "momentum": lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.9, weight_decay=0.1),
    "adam": lambda w: torch.optim.Adam(w, lr=0.1),
    "sparse_adam": lambda w: torch.optim.SparseAdam(w, lr=0.1, eps=1e-3),
    "adagrad": lambda w: torch.optim.Adagrad(w, lr=0.1),
    "sparse_adagrad": lambda w: torch.optim.Adagrad(w, lr=0.1),
}


def trained(given: dict[str, np.ndarray], rule: str, clip: float | None) -> np.ndarray:
    """The table after some steps on the squared distance of bags from targets, in float64."""
    sparse = rule.startswith("sparse")
    layer = nn.EmbeddingBag(COUNT, WIDTH, mode="mean", sparse=sparse, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(given["table"]))
    optimizer = RULES[rule](list(layer.parameters()))
    for indices, target in zip(given["steps"], given["targets"], strict=True):
        optimizer.zero_grad()
        loss = ((layer(torch.tensor(indices)) - torch.tensor(target)) ** 2).mean()
        loss.backward()
        if clip is not None:
            gradient = layer.weight.grad  # torch's own clipping adds 1e-6 to the norm
            gradient *= min(1.0, clip / float(gradient.norm()))
        optimizer.step()
    return layer.weight.detach().numpy()


if __name__ == "__main__":
    given = drawn()
    found = {f"given.{key}": value for key, value in given.items()}
    for mode, padded, weighted, dtype in CASES:
        name = f"{mode}.{'padded' if padded else 'full'}.{'weighted' if weighted else 'plain'}"
        for key, value in bag(given, mode, padded, weighted, dtype).items():
            found[f"{name}.{dtype}.{key}"] = value
    for rule in RULES:
        found[f"trained.{rule}"] = trained(given, rule, None)
    found["trained.adam.clipped"] = trained(given, "adam", 0.05)
    np.savez_compressed(Path(__file__).with_name("bags.npz"), **found)
