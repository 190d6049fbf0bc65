"""The interpreter: the meaning of a graph, in NumPy, one node after another."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from chainrule.errors import FeedError, did_you_mean
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Input, Node, Operation, Parameter
from chainrule.system.forklock import fork_lock
from chainrule.types import DTYPES, FLOATS, N, TensorType, resolve, show


class Tape:
    """A graph laid out to be evaluated many times: what to call, on what, and what to let go.

    Args:
        graph: what to compute.
        keep: the nodes whose values are wanted; values of others are dropped after their last
            use. None keeps all.

    What depends on constants alone is computed here, once.
    """

    def __init__(self, graph: Graph, keep: Iterable[Node] | None = None) -> None:
        self._graph = graph
        last_use: dict[Node, Node] = {x: node for node in graph for x in node.inputs}
        wanted = set(graph if keep is None else keep)
        self._fixed: dict[Node, Array] = {}
        self._calls: list[tuple[Operation, dict[str, Any], frozenset[str], list[Node]]] = []
        for node in graph.operations:
            attributes = dict(node.attributes)
            if "stream" in attributes:
                attributes["stream"] = stream(graph.name(node))
            open_ = frozenset(_OPEN & attributes.keys())
            if "shape" in open_ and N not in attributes["shape"]:
                open_ -= {"shape"}
            if not open_ and all(x in self._fixed for x in node.operands):
                with np.errstate(all="ignore"):
                    self._fixed[node] = _call(node, self._fixed, attributes)
                continue
            ended = [x for x in dict.fromkeys(node.operands) if last_use[x] is node]
            freed = [x for x in ended if x not in wanted]
            self._calls.append((node, attributes, open_, freed))

    def run(
        self, known: Mapping[Node, Array], *, rows: int = 0, training: bool = False
    ) -> dict[Node, Array]:
        """The values of the nodes to keep, at least.

        Args:
            known: of the inputs and parameters, and of any other nodes already computed.
            rows: the length of the batch axis N.
            training: which side `when_training` takes.
        """
        env = {**self._fixed, **known}
        with np.errstate(all="ignore"):
            for node, attributes, open_, freed in self._calls:
                if node in env:
                    continue
                if open_:
                    attributes = attributes.copy()
                    if "shape" in open_:
                        attributes["shape"] = resolve(attributes["shape"], rows)
                    if "training" in open_:
                        attributes["training"] = training
                env[node] = _call(node, env, attributes)
                for operand in freed:
                    env.pop(operand, None)
        return env


_OPEN = frozenset(("shape", "training"))
"""The attributes that only a run completes."""


def _call(node: Operation, env: Mapping[Node, Array], attributes: Mapping[str, Any]) -> Array:
    return np.asarray(node.op.forward(*[env[x] for x in node.operands], **attributes))


class _OneThread:
    """Keeps the matrix products of the process on one thread while anybody is within."""

    def __init__(self) -> None:
        self._lock, self._within = fork_lock(), 0

    @cached_property
    def _blas(self) -> ThreadpoolController:
        return ThreadpoolController()

    def __enter__(self) -> None:
        with self._lock:
            if self._within == 0:
                self._limit = self._blas.limit(limits=1, user_api="blas")
            self._within += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._within -= 1
            if self._within == 0:
                self._limit.restore_original_limits()


one_thread = _OneThread()
"""Minibatches are too small for more threads to help, on a busy machine more do great harm, and
the order of additions then depends on no machine."""


def evaluate(
    graph: Graph,
    known: Mapping[Node, Array],
    *,
    rows: int = 0,
    training: bool = False,
    keep: Iterable[Node] | None = None,
) -> dict[Node, Array]:
    """The value of every node of `graph`, or of those to keep. See Tape."""
    return Tape(graph, keep).run(known, rows=rows, training=training)


def stream(name: str) -> int:
    """The number of the random stream of the node of that name."""
    return zlib.crc32(name.encode())


def initial_value(parameter: Parameter, name: str, seed: int = 0) -> Array:
    """A parameter's first value: its array, or a draw that depends on seed and name alone.

    Args:
        parameter: the node.
        name: its name in the graph.
        seed: of the model.
    """
    initial = parameter.initial
    if isinstance(initial, np.ndarray):
        return initial.copy()
    words = np.array([seed & (2**64 - 1), stream(name)], np.uint64)
    generator = np.random.Generator(np.random.Philox(key=words))
    drawn = initial(resolve(parameter.shape, 0), generator)
    return np.array(drawn, dtype=parameter.dtype, order="C")


def bind(
    inputs: Iterable[Input], names: Mapping[Input, str], feeds: Mapping[str, npt.ArrayLike]
) -> tuple[dict[Node, Array], int]:
    """The arrays for the inputs, checked and cast, and the number of rows.

    Raises:
        FeedError: a name is missing or unknown, or an array has the wrong shape, kind or number
            of rows.
    """
    wanted = {names[x]: x for x in inputs}
    if not isinstance(feeds, Mapping):
        raise FeedError(
            "feeds",
            "arrays are fed by the names of the inputs",
            expected="{" + ", ".join(f"{name!r}: array" for name in wanted) + "}",
            got=type(feeds).__name__,
        )
    if feeds.keys() != wanted.keys():
        unknown = [name for name in feeds if name not in wanted]
        missing = [name for name in wanted if name not in feeds]
        raise FeedError(
            "feeds",
            "the names do not match the graph's inputs",
            expected=", ".join(wanted) or "no inputs",
            got=", ".join(map(str, feeds)) or "nothing",
            fix=did_you_mean(str(unknown[0]), missing or wanted) if unknown else None,
        )
    values: dict[Node, Array] = {
        node: as_feed(f"input {name!r}", feeds[name], node.type) for name, node in wanted.items()
    }
    rows = {name: len(values[node]) for name, node in wanted.items() if node.batch}
    count = next(iter(rows.values()), 0)
    if any(n != count for n in rows.values()):
        raise FeedError(
            "feeds",
            "the inputs differ in their number of rows",
            got=", ".join(f"{name}: {n}" for name, n in rows.items()),
        )
    return values, count


_DTYPES = {name: np.dtype(name) for name in DTYPES}


def as_feed(where: str, value: npt.ArrayLike, type: TensorType) -> Array:
    """`value` as an array of `type`; errors begin with `where`.

    Raises:
        FeedError: its shape differs, or its values cannot be represented without loss of kind
            (text, fractions for an integer input, a float too large for float32).
    """
    if isinstance(value, np.ndarray) and value.dtype is _DTYPES[type.dtype]:
        free = type.shape[:1] == (N,) and value.ndim > 0
        if value.shape[free:] == type.shape[free:]:
            return value  # as it is nearly always
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise FeedError(where, "rows differ in length", got=str(error)) from None
    fits = array.ndim == type.ndim and all(
        not isinstance(want, int) or want == have
        for want, have in zip(type.shape, array.shape, strict=True)
    )
    if not fits:
        fix = None
        if type.shape[:1] == (N,) and array.shape == type.shape[1:]:
            fix = "one example still needs its batch axis: x[None]"
        elif type.ndim == 2 and array.ndim == 1 and type.shape[1] == 1:
            fix = "one column still needs its axis: array[:, None]"
        elif type.ndim == 1 and array.ndim == 2 and array.shape[1] == 1:
            fix = "take the column out: array[:, 0]"
        raise FeedError(
            where,
            "the shape does not fit",
            expected=show(type.shape),
            got=show(array.shape),
            fix=fix,
        )
    if array.dtype == type.dtype:
        return array
    if array.dtype.kind not in "fiub":
        raise FeedError(
            where,
            "not numbers",
            expected=type.dtype,
            got=str(array.dtype),
            fix="encode text and categories first, or train from a table",
        )
    with np.errstate(all="ignore"):
        cast = array.astype(type.dtype)
        bad = cast != array if type.dtype not in FLOATS else np.isinf(cast) & ~np.isinf(array)
    if bad.any():
        row = np.argwhere(bad)[0]
        raise FeedError(
            where,
            f"a value does not fit in {type.dtype}",
            got=str(array[tuple(row)]),
            at="row " + ", ".join(map(str, row)) if array.ndim else None,
        )
    return cast
