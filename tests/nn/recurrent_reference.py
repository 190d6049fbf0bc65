"""Writes golden/recurrent.npz: PyTorch's recurrent networks, their values and gradients.

Tests do not run it; where PyTorch is, `python tests/nn/recurrent_reference.py` renews the file.
Matrices are transposed to (inputs, units), and both biases of PyTorch are added up, but for that
inside of the reset of a GRU.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

ROWS, STEPS, WIDTH, UNITS = 3, 5, 3, 4
KINDS = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
FILE = Path(__file__).parent.parent / "golden" / "recurrent.npz"


def parameters(net: torch.nn.RNNBase, suffix: str, of_gradient: bool) -> dict[str, np.ndarray]:
    """The parameters of one layer in one direction, or their gradients."""
    found = {}
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        p = getattr(net, name + suffix)
        found[name] = (p.grad if of_gradient else p.detach()).numpy()
    made = {"w": found["weight_ih"].T, "u": found["weight_hh"].T}
    inner = found["bias_hh"][2 * UNITS :]
    if isinstance(net, torch.nn.GRU):
        made["b_inner"] = inner
    if of_gradient:
        return made | {"b": found["bias_ih"]}
    b = found["bias_ih"] + found["bias_hh"]
    if isinstance(net, torch.nn.GRU):
        b[2 * UNITS :] -= inner
    return made | {"b": b}


def case(kind: str, layers: int, both: bool) -> dict[str, np.ndarray]:
    """Arrays of one network: operands, parameters, results, gradients of the sum of y * gy."""
    torch.manual_seed(layers + 2 * both)
    net = KINDS[kind](
        WIDTH, UNITS, layers, batch_first=True, bidirectional=both, dtype=torch.float64
    )
    directions = 1 + both
    x = torch.randn(ROWS, STEPS, WIDTH, dtype=torch.float64, requires_grad=True)
    shape = (layers * directions, ROWS, UNITS)
    starts = [
        torch.randn(shape, dtype=torch.float64, requires_grad=True)
        for _ in range(2 if kind == "lstm" else 1)
    ]
    y, last = net(x, tuple(starts) if kind == "lstm" else starts[0])
    lasts = last if kind == "lstm" else (last,)
    gy = torch.randn_like(y)
    (y * gy).sum().backward()

    def states(arrays) -> np.ndarray:
        """(ROWS, s, units): of each layer and direction h, then c."""
        each = torch.stack(list(arrays), 1).reshape(-1, ROWS, UNITS)
        return each.detach().numpy().transpose(1, 0, 2)

    made = {
        "x": x.detach().numpy(), "gx": x.grad.numpy(), "y": y.detach().numpy(), "gy": gy.numpy(),
        "initial": states(starts), "ginitial": states([s.grad for s in starts]),
        "states": states(lasts),
    }  # fmt: skip
    for layer in range(layers):
        for direction in range(directions):
            suffix = f"_l{layer}" + "_reverse" * direction
            for of_gradient, mark in ((False, ""), (True, "g")):
                for name, value in parameters(net, suffix, of_gradient).items():
                    made[f"{mark}{layer}.{direction}.{name}"] = value
    return made


if __name__ == "__main__":
    arrays = {
        f"{kind}.{layers}.{int(both)}.{name}": value
        for kind in KINDS
        for layers, both in ((1, False), (2, True))
        for name, value in case(kind, layers, both).items()
    }
    np.savez_compressed(FILE, **arrays)
