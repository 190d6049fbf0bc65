"""Writes images.npz: PyTorch's values and gradients of the layers in nn/image_cases.py.

Not run by the tests. From the folder `tests`, with PyTorch installed:
python golden/peers/make_images.py
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "nn"))

from image_cases import CASES, Peer  # noqa: E402


def to_torch(case: Peer, name: str, value: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The operand or a parameter with PyTorch's order of axes."""
    if name == "x":
        return np.moveaxis(value, -1, 1)
    if name != "w":
        return value
    if not case.groups:
        return np.moveaxis(value, (-1, -2), (0, 1))  # (*size, i, o) -> (o, i, *size)
    *size, i, o = value.shape
    g = case.groups
    apart = value.reshape(*size, i, g, o // g)
    d = len(size)
    return apart.transpose(d + 1, d, d + 2, *range(d)).reshape(g * i, o // g, *size)


def from_torch(case: Peer, name: str, value: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The inverse of `to_torch`."""
    if name == "x":
        return np.moveaxis(value, 1, -1)
    if name != "w":
        return value
    if not case.groups:
        return np.moveaxis(value, (0, 1), (-1, -2))
    whole, part, *size = value.shape
    g, d = case.groups, len(size)
    apart = value.reshape(g, whole // g, part, *size)
    return apart.transpose(*range(3, 3 + d), 1, 0, 2).reshape(*size, whole // g, g * part)


def main() -> None:
    """Write the file."""
    found: dict[str, np.ndarray[Any, Any]] = {}
    for case in CASES:
        given = {
            name: torch.tensor(to_torch(case, name, value).copy(), requires_grad=True)
            for name, value in case.numbers().items()
        }
        y = case.torch(F, **given)
        last = np.moveaxis(y.detach().numpy(), 1, -1)
        along = np.moveaxis(case.direction(last.shape), -1, 1).copy()
        (y * torch.tensor(along)).sum().backward()
        found[f"{case.name}/y"] = last
        for name, x in given.items():
            found[f"{case.name}/{name}"] = from_torch(case, name, x.grad.numpy())
    np.savez_compressed(HERE / "images.npz", **found)
    print(f"{len(CASES)} layers, PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
