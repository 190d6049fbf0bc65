"""What the scripts of frozen arrays share: random tensors, and the arrays of a file by name."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

torch: Any = import_module("torch")
Arrays = dict[str, Any]


class Recording:
    """The arrays of one file, all drawn from one generator.

    Attributes:
        numbers: the generator.
        arrays: by `case/part/name`.
    """

    def __init__(self, seed: int) -> None:
        self.numbers = np.random.default_rng(seed)
        self.arrays: Arrays = {}

    def tensor(self, *shape: int, scale: float = 1.0) -> Any:
        """Normal numbers that gradients flow to."""
        numbers = self.numbers.normal(size=shape) * scale
        return torch.tensor(numbers, dtype=torch.float64, requires_grad=True)

    def store(self, case: str, y: Any, given: Arrays, wrt: Arrays) -> None:
        """Keep data, result, and the gradients of sum(result * cotangent).

        Args:
            case: the prefix of the names.
            y: the result.
            given: the data, by name.
            wrt: by name, a tensor, with a function of values and gradients where they are in
                another form.
        """
        out, cotangent = self.arrays, torch.tensor(self.numbers.normal(size=tuple(y.shape)))
        (y * cotangent).sum().backward()
        out.update({f"{case}/given/{name}": np.array(x) for name, x in given.items()})
        out[f"{case}/y"], out[f"{case}/cotangent"] = y.detach().numpy(), cotangent.numpy()
        for name, entry in wrt.items():
            x, form = entry if isinstance(entry, tuple) else (entry, lambda a: a)
            out[f"{case}/value/{name}"] = np.ascontiguousarray(form(x.detach().numpy()))
            out[f"{case}/gradient/{name}"] = np.ascontiguousarray(form(x.grad.numpy()))

    def write(self, script: str) -> int:
        """Write them beside the script that made them; returns the number of cases."""
        np.savez_compressed(Path(script).with_suffix(".npz"), **self.arrays)
        return len({key.split("/")[0] for key in self.arrays})
