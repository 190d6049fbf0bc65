"""The JSON form of a graph, written and read; documents are not trusted."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
import numpy as np

from chainrule.errors import ChainruleError, GraphError
from chainrule.graph.check import Checked, check_nodes
from chainrule.graph.graph import Graph
from chainrule.graph.jsonvalues import Decoder, Encoder, encodable
from chainrule.graph.node import Array, Initializer, Input, Node, Operation, Parameter, Scope
from chainrule.graph.op import Op, lookup
from chainrule.types import FLOATS, N, TensorType, show, static_size

MAX_NODES = 500_000
"""Larger graphs are rejected."""

MAX_AXES = 32
MAX_ELEMENTS = 2**40
"""Larger values of one example are rejected."""

Dimension: TypeAlias = Annotated[int, msgspec.Meta(ge=0)] | Literal["N"]
EncodeInitial: TypeAlias = Callable[[Initializer], Mapping[str, Any]]
DecodeInitial: TypeAlias = Callable[[Mapping[str, Any]], Initializer]


@dataclass(frozen=True)
class Unknown:
    """A placeholder for an initializer that this program does not know."""

    data: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name in the document."""
        return str(self.data.get("name", "unknown"))

    def __call__(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        """Raises GraphError: an unknown initializer cannot draw."""
        raise GraphError(
            "initial",
            f"the initializer {self.name!r} is not known here",
            fix="set the value, or build the graph again from the code that made it",
        )


class ScopeForm(msgspec.Struct, forbid_unknown_fields=True):
    """A Scope, and the name that the graph gave it."""

    base: str
    given: bool
    name: str


class NodeForm(
    msgspec.Struct, tag_field="kind", forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """The fields of every node; `scope` is an index into the list of scopes.

    `axes` has the names of axes where there are some.
    """

    name: str
    scope: int
    suffix: str
    shape: list[Dimension]
    dtype: str
    source: str
    axes: list[str | None] = []


class InputForm(NodeForm, tag="input"):
    """An Input; `known` marks those that all programs share."""

    batch: bool
    known: bool


class ParameterForm(NodeForm, tag="parameter"):
    """A Parameter; `initial` is an array or an initializer's name and settings."""

    initial: dict[str, Any]
    trainable: bool
    sparse: bool | None = None


class OperationForm(NodeForm, tag="operation"):
    """An Operation; its operands are names of earlier nodes."""

    op: str
    operands: list[str]
    attributes: dict[str, Any]


class GraphForm(msgspec.Struct, forbid_unknown_fields=True):
    """A Graph."""

    scopes: list[ScopeForm]
    nodes: list[InputForm | ParameterForm | OperationForm]
    outputs: list[str]


# ---------------------------------------------------------------- writing


def to_dict(
    graph: Graph,
    *,
    known: Mapping[str, Input] | None = None,
    encode_initial: EncodeInitial = lambda initial: {"name": initial.name},
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Returns the graph as a JSON document, and the arrays stored beside it, by name.

    Args:
        graph: the graph to write.
        known: inputs that all graphs share, by name; only their names count.
        encode_initial: converts an initializer to a dict of plain values with its "name".

    Raises:
        GraphError: an attribute cannot be written.
    """
    encoder = Encoder()
    shared = set((known or {}).values())
    scopes = {scope: k for k, scope in enumerate(dict.fromkeys(x.scope for x in graph))}
    nodes: list[InputForm | ParameterForm | OperationForm] = []
    for node in graph:
        common: dict[str, Any] = {
            "name": encodable(graph.name(node), "a name"),
            "scope": scopes[node.scope],
            "suffix": node.suffix,
            "shape": ["N" if d is N else d for d in node.shape],
            "dtype": node.dtype,
            "axes": list(node.type.axes),
            "source": "".join(c if c.isprintable() else "?" for c in node.source),
        }
        if isinstance(node, Input):
            common["source"] = "" if node in shared else common["source"]
            nodes.append(InputForm(**common, batch=node.batch, known=node in shared))
        elif isinstance(node, Parameter):
            initial = _encode_initial(node, common["name"], encoder, encode_initial)
            common |= {"trainable": node.trainable, "sparse": node.sparse}
            nodes.append(ParameterForm(**common, initial=initial))
        elif isinstance(node, Operation):
            nodes.append(_encode_operation(graph, node, common, encoder))
    form = GraphForm(
        [ScopeForm(scope.base, scope.given, graph.scopes[scope]) for scope in scopes],
        nodes,
        [graph.name(x) for x in graph.outputs],
    )
    document: dict[str, Any] = msgspec.to_builtins(form)
    return document, encoder.arrays


def _encode_initial(
    node: Parameter, name: str, encoder: Encoder, encode_initial: EncodeInitial
) -> dict[str, Any]:
    initial = node.initial
    if isinstance(initial, np.ndarray):
        content: dict[str, Any] = encoder.encode(initial, f"{name}.initial")
        return content
    data = initial.data if isinstance(initial, Unknown) else encode_initial(initial)
    return {"initializer": encoder.encode(dict(data), f"{name}.initial")}


def _encode_operation(
    graph: Graph, node: Operation, common: Mapping[str, Any], encoder: Encoder
) -> OperationForm:
    name = common["name"]
    return OperationForm(
        **common,
        op=node.op.name,
        operands=[graph.name(x) for x in node.operands],
        attributes={k: encoder.encode(v, f"{name}.{k}") for k, v in node.attributes.items()},
    )


# ---------------------------------------------------------------- reading


def from_dict(
    document: object,
    arrays: Mapping[str, Array],
    *,
    known: Mapping[str, Input] | None = None,
    decode_initial: DecodeInitial | None = None,
) -> Graph:
    """Returns the graph that `to_dict` wrote: same nodes, names, order, types and attributes.

    Args:
        document: the result of a JSON parser; any value is rejected or read safely.
        arrays: those stored beside it.
        known: as for `to_dict`.
        decode_initial: makes the initializer from its dict; without it, or if it raises a
            ChainruleError, the initializer becomes an `Unknown`, which raises when called.

    Raises:
        GraphError: `to_dict` does not write this document for any well-formed graph.
    """
    try:
        form = msgspec.convert(document, GraphForm)
    except (msgspec.ValidationError, RecursionError) as error:
        raise GraphError("form", "not the form of a graph", got=error) from None
    if len(form.nodes) > MAX_NODES:
        raise GraphError("form", "too many nodes", expected=MAX_NODES, got=len(form.nodes))
    reader = _Reader(form, Decoder(arrays), known or {}, decode_initial)
    for item in form.nodes:
        reader.add(item)
    return reader.graph()


class _Reader:
    """Builds the nodes of a document in order."""

    def __init__(
        self,
        form: GraphForm,
        decoder: Decoder,
        known: Mapping[str, Input],
        decode_initial: DecodeInitial | None,
    ) -> None:
        self._form, self._decoder, self._known = form, decoder, known
        self._decode_initial = decode_initial
        self._nodes: dict[str, Node] = {}
        self._scopes = [_scope(item) for item in form.scopes]
        for item in form.nodes:
            if isinstance(item, InputForm) and item.known and item.name in known:
                self._check_scope(item)
                mine, found = self._scopes[item.scope], known[item.name].scope
                if (mine.base, mine.given) == (found.base, found.given):
                    self._scopes[item.scope] = found

    def add(self, item: NodeForm) -> None:
        """Builds the next node."""
        if encodable(item.name, "a name") in self._nodes:
            raise GraphError("form", f"two nodes are named {item.name!r}")
        if not item.source.isprintable():
            raise GraphError("form", "a source line is printable", got=ascii(item.source))
        try:
            self._nodes[item.name] = self._build(item)
        except ChainruleError as error:
            raise _wrong(item, error) from None

    def graph(self) -> Graph:
        """Returns the graph of all nodes, checked."""
        unused = self._decoder.unused()
        if unused:
            raise GraphError("form", "an array that nothing refers to", got=", ".join(unused[:3]))
        outputs = [self._find(name, "an output") for name in self._form.outputs]
        names = (item.name for item in self._form.scopes)
        graph = Graph(outputs, like=dict(zip(self._scopes, names, strict=True)))
        found = [graph.name(x) for x in graph]
        if found != list(self._nodes):
            raise GraphError(
                "form",
                "the nodes are not those of the outputs, in the order of computation",
                expected=_first_difference(found, list(self._nodes)),
                got=_first_difference(list(self._nodes), found),
            )
        done = Checked(set(graph.operations))  # their types have been checked
        check_nodes(graph, done, graph.name)
        return graph

    def _find(self, name: str, what: str) -> Node:
        if name not in self._nodes:
            later = any(item.name == name for item in self._form.nodes)
            problem = "does not precede its consumer" if later else "does not exist"
            raise GraphError("form", f"{what} {problem}", got=repr(name))
        return self._nodes[name]

    def _check_scope(self, item: NodeForm) -> None:
        if not 0 <= item.scope < len(self._scopes):
            raise GraphError("form", "no such scope", got=item.scope, at=f"node {item.name!r}")

    def _build(self, item: NodeForm) -> Node:
        self._check_scope(item)
        scope, type = self._scopes[item.scope], _type(item)
        rest: dict[str, Any] = {"suffix": item.suffix, "source": item.source}
        if isinstance(item, InputForm):
            if item.known:
                return self._shared(item, type)
            return Input(scope, type, batch=item.batch, **rest)
        if isinstance(item, ParameterForm):
            initial = self._initial(item, type)
            rest |= {"trainable": item.trainable, "sparse": item.sparse}
            return Parameter(scope, type, initial=initial, **rest)
        assert isinstance(item, OperationForm)
        op = lookup(item.op)
        operands = tuple(self._find(name, "an operand") for name in item.operands)
        attributes = {
            name: self._decoder.decode(x, f"{item.name}.{name}")
            for name, x in item.attributes.items()
        }
        _check_call(op, operands)
        inferred = _infer(op, operands, attributes)
        if inferred != type:
            raise GraphError(
                "form", f"the type differs from what {op.name} infers", expected=inferred, got=type
            )
        frozen = MappingProxyType(attributes)
        return Operation(scope, type, op=op, operands=operands, attributes=frozen, **rest)

    def _shared(self, item: InputForm, type: TensorType) -> Input:
        found = self._known.get(item.name)
        if (
            found is None
            or found.scope is not self._scopes[item.scope]
            or (item.suffix, item.source) != (found.suffix, "")
            or (type, item.batch) != (found.type, found.batch)
        ):
            raise GraphError("form", "not an input that all programs share", got=type)
        return found

    def _initial(self, item: ParameterForm, type: TensorType) -> Array | Initializer:
        if type.dtype not in FLOATS:
            raise GraphError("form", "a parameter is floating-point", got=type.dtype)
        if item.initial.keys() != {"initializer"}:
            array = self._decoder.decode(item.initial, f"{item.name}.initial")
            if not isinstance(array, np.ndarray):
                raise GraphError("form", "a parameter starts from an array or an initializer")
            if (array.shape, str(array.dtype)) != (type.shape, type.dtype):
                raise GraphError(
                    "form", "the initial value has another type", expected=type,
                    got=f"{array.dtype}{show(array.shape)}",
                )  # fmt: skip
            return array
        data = self._decoder.decode(item.initial["initializer"], f"{item.name}.initial")
        if not isinstance(data, dict) or not isinstance(data.get("name"), str):
            raise GraphError("form", "an initializer is a name and settings")
        if self._decode_initial is None:
            return Unknown(data)
        try:
            return self._decode_initial(data)
        except ChainruleError:
            return Unknown(data)


def _scope(item: ScopeForm) -> Scope:
    if item.given and item.base != item.name:
        raise GraphError("form", "a given name is kept", expected=item.base, got=item.name)
    return Scope(encodable(item.base, "a name"), given=item.given)


def _type(item: NodeForm) -> TensorType:
    shape = tuple(N if d == "N" else d for d in item.shape)
    type = TensorType(shape, item.dtype, tuple(item.axes))
    if type.ndim > MAX_AXES or static_size(type.shape) > MAX_ELEMENTS:
        raise GraphError(
            "form",
            "a value too large",
            expected=f"{MAX_AXES} axes, {MAX_ELEMENTS} elements at most",
        )
    return type


@functools.cache
def _operand_counts(op: Op) -> tuple[int, float, str]:
    """The least and the greatest number of operands that an op takes, and both in words."""
    if isinstance(op.forward, np.ufunc):
        return op.forward.nin, op.forward.nin, str(op.forward.nin)
    parameters = inspect.signature(op.forward).parameters.values()
    ours = [p for p in parameters if p.name not in (op.attributes or ())]
    fixed = [p for p in ours if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    least = sum(p.default is p.empty for p in fixed)
    if op.attributes is None:  # made elsewhere: some of them may be attributes
        least = 0
    if any(p.kind is p.VAR_POSITIONAL for p in ours):
        return least, math.inf, f"{least} or more"
    most = len(fixed)
    return least, most, str(least) if least == most else f"{least} to {most}"


def _check_call(op: Op, operands: tuple[Node, ...]) -> None:
    """Raises GraphError unless the op takes this number of operands."""
    least, most, words = _operand_counts(op)
    if not least <= len(operands) <= most:
        raise GraphError(
            "form", f"{op.name} does not take so many operands", expected=words, got=len(operands)
        )


def _infer(op: Op, operands: tuple[Node, ...], attributes: Mapping[str, Any]) -> TensorType:
    try:
        return op.type([x.type for x in operands], attributes)
    except ChainruleError:
        raise
    except Exception as error:  # of an op that was made elsewhere
        raise GraphError(
            "form",
            f"{op.name} cannot take these attributes",
            got=f"{type(error).__name__}: {error}",
        ) from None


def _wrong(item: NodeForm, error: ChainruleError) -> GraphError:
    what = error.what if error.where == "form" else f"[{error.where}] {error.what}"
    at = ", ".join(str(x) for x in (f"node {item.name!r}", item.source, error.at) if x)
    return GraphError("form", what, expected=error.expected, got=error.got, at=at, fix=error.fix)


def _first_difference(names: list[str], others: list[str]) -> str:
    """The first of `names` that differs from `others` at the same position."""
    pairs = zip(names, [*others, *[None] * len(names)], strict=False)
    return next((repr(a) for a, b in pairs if a != b), "nothing more")
