"""The quick way to a model's outputs, for what is usual: None leaves it to the general one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.engine.forward import Forward
from chainrule.graph.node import Array, Input

if TYPE_CHECKING:
    from chainrule.data.blocks import Encoded

FEW = 64
"""Rows of a table up to which its outputs may be found in the quick way."""


class Quick:
    """Calls of a forward pass that skip Python's part. Any number of threads may use it.

    Args:
        forward: what to compute.
        inputs: of the outputs, with their names.
        count: the number of outputs.
        single: whether they were given as one node, not as a list.
    """

    def __init__(
        self, forward: Forward, inputs: Mapping[Input, str], count: int, *, single: bool
    ) -> None:
        self._direct, self._count, self._listed = forward.direct(), count, count == 1 and not single
        self._dtypes, self.names = [x.dtype for x in inputs], tuple(inputs.values())

    def prepare(self, values: Mapping[str, Array]) -> None:
        """Compile or load what calls need, with these values of the parameters."""
        if self._direct is not None:
            self._direct.prepare(values)

    def of_arrays(self, values: Mapping[str, Array], arrays: Sequence[Any]) -> Any:
        """The outputs for arrays in the order of `names`, as `predict` returns them."""
        found = None if self._direct is None else self._direct(values, arrays)
        return [found] if self._listed and found is not None else found

    def of_mapping(self, values: Mapping[str, Array], data: object) -> Any:
        """The outputs for a dict of arrays, as `predict` returns them.

        A dict of another class may do anything when it is asked, so that it is not.
        """
        if type(data) is not dict or len(data) != len(self.names):
            return None
        try:
            arrays = [data[name] for name in self.names]
        except KeyError:
            return None
        return self.of_arrays(values, arrays)

    def of_table(self, values: Mapping[str, Array], encoded: Encoded) -> Array | None:
        """The first output for a few rows of a table."""
        if self._direct is None or len(encoded) > FEW:
            return None
        pairs = zip(self.names, self._dtypes, strict=True)
        arrays = [np.ascontiguousarray(encoded.arrays[name], dtype) for name, dtype in pairs]
        found = self._direct(values, arrays)
        first: Array | None = found if found is None or self._count == 1 else found[0]
        return first
