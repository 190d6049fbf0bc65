"""Model files with changed content and a right checksum, and a user's way through one of them."""

from __future__ import annotations

import copy
import hashlib
import json
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.errors import ChainruleError
from chainrule.graph.jsonvalues import Decoder
from chainrule.graph.op import REGISTRY
from chainrule.graph.step import STEP_INPUTS
from chainrule.types import DTYPES, N, TensorType, resolve
from networks import network

Json = dict[str, Any]
ROWS = 3

# ---------------------------------------------------------------- files


def sealed(header: bytes, data: bytes) -> bytes:
    """A file of that header, with the checksum that it should have."""
    content = bytearray(struct.pack("<Q", len(header)) + header + data)
    start = content.index(b"sha256") + len(b'sha256\\":\\"')
    content[start : start + 64] = b"0" * 64
    content[start : start + 64] = hashlib.sha256(content).hexdigest().encode()
    return bytes(content)


def parts(content: bytes) -> tuple[Json, Json, bytes]:
    """The header, the document and the data of a file."""
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    return header, json.loads(header["__metadata__"]["chainrule"]), content[8 + length :]


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def forged(header: Json, document: Any, data: bytes) -> bytes:
    """The file of these three."""
    text = document if isinstance(document, str) else compact(document)
    header = header | {"__metadata__": header["__metadata__"] | {"chainrule": text}}
    return sealed(compact(header).encode(), data)


# ---------------------------------------------------------------- what is put in

ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 7, 9, 31, 2**20, 2**30, 2**31, 2**40, 2**62, -(2**40), 0.0,
    0.5, -1.5, 1e300, "", "x", "N", "float32", "int32", "bool", "float64", "ij,jk->ik", "i,j->ji",
    [], [0], [3, 2], {}, {"$tuple": []}, {"$tuple": [0]}, {"$tuple": [1, 0]}, {"$tuple": [1, 1]},
    {"$tuple": [-1]}, {"$tuple": [{"$batch": "N"}]}, {"$tuple": [{"$batch": "N"}, 2**30]},
    {"$tuple": [2**30, 2**30]}, {"$tuple": [10**9, 0]}, {"$tuple": ["a"]}, {"$tuple": [0.5, 0.9]},
    {"$batch": "N"}, {"$float": "7ff0000000000000"}, {"$float": "7ff8000000000000"},
    {"$array": {"dtype": "float32", "shape": [10**9, 0], "data": []}},
    {"$array": {"dtype": "float32", "shape": [0], "data": []}},
    {"$array": {"dtype": "int64", "shape": [2], "data": [1, 2]}},
    {"$array": {"dtype": "bool", "shape": [], "data": [True]}},
    {"$scalar": {"$array": {"dtype": "float64", "shape": [], "data": [0.5]}}},
)  # fmt: skip
SIZES: tuple[Any, ...] = ("N", 0, 1, 2, 3, 5, 17, 2**10, 2**20, 2**30, 2**40)

Mutation = Callable[[random.Random, Json, Json], None]
"""Changes one thing in a header or a document."""


def _nodes(document: Json, kind: str | None = None) -> list[Json]:
    return [x for x in document["graph"]["nodes"] if kind in (None, x["kind"])]


def _some(pick: random.Random, document: Json, kind: str | None = None) -> Json:
    found = _nodes(document, kind) or _nodes(document)
    return pick.choice(found)


def attribute(pick: random.Random, header: Json, document: Json) -> None:
    found = [x for x in _nodes(document, "operation") if x["attributes"]]
    if found:
        attributes = pick.choice(found)["attributes"]
        attributes[pick.choice(sorted(attributes))] = pick.choice(ODD)


def attribute_names(pick: random.Random, header: Json, document: Json) -> None:
    node = _some(pick, document, "operation")
    attributes = node.get("attributes", {})
    if attributes and pick.randrange(2):
        value = attributes.pop(pick.choice(sorted(attributes)))
        if pick.randrange(2):
            node["operands"].append(_some(pick, document)["name"])
        else:
            attributes[pick.choice(("axis", "shape", "value", "dtype"))] = value
    elif "attributes" in node:
        attributes[pick.choice(("axis", "shape", "training", "stream"))] = pick.choice(ODD)


def op(pick: random.Random, header: Json, document: Json) -> None:
    node = _some(pick, document, "operation")
    if "op" in node:
        same = [x for x in sorted(REGISTRY) if REGISTRY[x].kind == REGISTRY[node["op"]].kind]
        node["op"] = pick.choice(pick.choice((sorted(REGISTRY), same)))


def operands(pick: random.Random, header: Json, document: Json) -> None:
    node = _some(pick, document, "operation")
    names = node.get("operands", [])
    way = pick.randrange(4)
    if way == 0:
        names.append(_some(pick, document)["name"])
    elif names and way == 1:
        names[pick.randrange(len(names))] = _some(pick, document)["name"]
    elif names and way == 2:
        names.pop()
    else:
        pick.shuffle(names)


def shape(pick: random.Random, header: Json, document: Json) -> None:
    dims = _some(pick, document)["shape"]
    if dims and pick.randrange(2):
        dims[pick.randrange(len(dims))] = pick.choice(SIZES)
    elif pick.randrange(2):
        dims.insert(pick.randrange(len(dims) + 1), pick.choice(SIZES))
    elif dims:
        dims.pop()


def leaf(pick: random.Random, header: Json, document: Json) -> None:
    """Another shape or dtype of an input or a parameter, and of the parameter's value."""
    node = _some(pick, document, pick.choice(("input", "parameter")))
    if node["kind"] == "input":
        node["shape"] = node["shape"][:1] + pick.choices(SIZES[1:8], k=pick.randrange(4))
        node["dtype"] = pick.choice((node["dtype"], *DTYPES))
    elif node["kind"] == "parameter" and len(node["shape"]) == 2:
        node["shape"] = node["shape"][::-1]
        key = "parameters/" + node["name"]
        if key in header:
            header[key]["shape"] = header[key]["shape"][::-1]


def dtype(pick: random.Random, header: Json, document: Json) -> None:
    _some(pick, document)["dtype"] = pick.choice(DTYPES)


def order(pick: random.Random, header: Json, document: Json) -> None:
    nodes = document["graph"]["nodes"]
    a, b = pick.randrange(len(nodes)), pick.randrange(len(nodes))
    nodes[a], nodes[b] = nodes[b], nodes[a]


def names(pick: random.Random, header: Json, document: Json) -> None:
    node, text = _some(pick, document), pick.choice(("", "x", "w", "step.key", "\0", "a\nb"))
    field = pick.choice(("name", "suffix", "source", "scope", "kind"))
    node[field] = pick.choice(ODD) if field == "scope" else text


def field(pick: random.Random, header: Json, document: Json) -> None:
    node = _some(pick, document)
    node[pick.choice(sorted(node))] = pick.choice(ODD)


def outputs(pick: random.Random, header: Json, document: Json) -> None:
    chosen = [x["name"] for x in pick.choices(_nodes(document), k=pick.randrange(1, 3))]
    document["graph"]["outputs"] = list(chosen)
    document["outputs"] = chosen[:1]
    document["loss"] = pick.choice((None, chosen[-1], document["loss"]))


def settings(pick: random.Random, header: Json, document: Json) -> None:
    """Anything outside of the graph."""
    place: Any = document
    keys: list[Any] = ["extra"] if pick.randrange(4) else ["steps", "loss", "versions", "outputs"]
    while keys:
        key = pick.choice(keys)
        inner = place[key]
        deeper = isinstance(inner, (dict, list)) and inner and pick.randrange(6)
        if not deeper:
            place[key] = pick.choice(ODD)
            return
        place, keys = inner, sorted(inner) if isinstance(inner, dict) else list(range(len(inner)))


def state(pick: random.Random, header: Json, document: Json) -> None:
    """The shape, dtype or name of an array."""
    arrays = sorted(x for x in header if x != "__metadata__")
    if not arrays:
        return
    name = pick.choice([x for x in arrays if x.startswith("optimizer/")] or arrays)
    array, way = header[name], pick.randrange(3)
    if way == 0:
        array["shape"] = [int(np.prod(array["shape"], dtype=np.int64)), 1]
    elif way == 1 and array["dtype"] in ("F32", "F64"):
        array["dtype"], old = pick.choice(("I32", "U32", "I64", "F64")), array["dtype"]
        if old == "F32" and array["dtype"] in ("I64", "F64"):
            array["shape"] = [int(np.prod(array["shape"], dtype=np.int64)) // 2]
    else:
        header[pick.choice(("optimizer/w", "extra/x", name + "2", pick.choice(arrays)))] = (
            header.pop(name)
        )


MUTATIONS: tuple[Mutation, ...] = (
    attribute, attribute, attribute, attribute_names, op, op, operands, operands, shape, leaf,
    leaf, dtype, order, names, field, outputs, settings, settings, state,
)  # fmt: skip


def retyped(document: Json) -> None:
    """Makes the types of operations those that their ops infer, as far as they do."""
    types: dict[str, TensorType] = {}
    for node in document["graph"]["nodes"]:
        try:
            if node["kind"] == "operation":
                if node["op"] == "constant":
                    raise ValueError(node)
                decoder = Decoder({})
                attributes = {k: decoder.decode(v, k) for k, v in node["attributes"].items()}
                inferred = REGISTRY[node["op"]].infer(
                    *(types[x] for x in node["operands"]), **attributes
                )
                node["shape"] = ["N" if d is N else d for d in inferred.shape]
                node["dtype"] = inferred.dtype
            dims = tuple(N if d == "N" else d for d in node["shape"])
            types[node["name"]] = TensorType(dims, node["dtype"])
        except Exception:
            continue


def ordered(document: Json, header: Json) -> None:
    """Leaves the nodes that the outputs depend on, in the order of computation."""
    nodes = {x["name"]: x for x in document["graph"]["nodes"]}
    order: dict[str, None] = {}
    for output in document["graph"]["outputs"]:
        stack = [output]
        while stack and len(stack) < 10_000:
            pending = [x for x in nodes[stack[-1]].get("operands", ()) if x not in order]
            if pending:
                stack.extend(reversed(pending))
            else:
                order[stack.pop()] = None
    document["graph"]["nodes"] = [nodes[x] for x in order]
    for name in nodes.keys() - order.keys():
        for array in [x for x in header if x.startswith((f"parameters/{name}", f"graph/{name}."))]:
            del header[array]


def packed(header: Json, data: bytes) -> tuple[Json, bytes]:
    """The header and the data of the arrays that are left, without gaps."""
    new, kept = {"__metadata__": header["__metadata__"]}, bytearray()
    for name, array in header.items():
        if name != "__metadata__":
            begin, end = array["data_offsets"]
            new[name] = array | {"data_offsets": [len(kept), len(kept) + end - begin]}
            kept += data[begin:end]
    return new, bytes(kept)


def mutant(content: bytes, pick: random.Random) -> bytes:
    """The file with one to three changes, and the right checksum."""
    header, document, data = copy.deepcopy(parts(content))
    for _ in range(pick.choice((1, 1, 2, 3))):
        pick.choice(MUTATIONS)(pick, header, document)
    if pick.randrange(4):
        try:
            ordered(document, header)
            retyped(document)
        except Exception:
            pass
        header, data = packed(header, data)
    return forged(header, document, data)


# ---------------------------------------------------------------- models to start from


def originals(folder: Path, count: int, seed: int = 0) -> Iterator[Path]:
    """The golden files, and files of random networks that have been trained for a step."""
    yield from sorted((Path(__file__).parent / "golden" / "models").glob("*.safetensors"))
    for k in range(count):
        case = network(random.Random(seed + k))
        model = cr.Model(case.outputs, case.loss, seed=case.seed)
        model.fit(
            data_for(model), optimizer=case.rule, epochs=1, validation=None, verbose=False,
            backend="interpreter",
        )  # fmt: skip
        path = folder / f"{k}.safetensors"
        model.save(path)
        yield path


# ---------------------------------------------------------------- what is done with one


def data_for(model: cr.Model, rows: int = ROWS) -> dict[str, Any]:
    """Numbers for all inputs of a model."""
    numbers = np.random.default_rng(0)
    made = {}
    for x in model.graph.inputs:
        if x not in STEP_INPUTS:
            drawn = numbers.normal(size=resolve(x.shape, rows))
            made[model.graph.name(x)] = (np.abs(drawn) * 2).astype(x.dtype)
    return made


INTERNAL = ("check", "plan", "decompose", "native")
"""Checks between the stages of a program, which no model should fail."""


def used(path: Path) -> str:
    """Load, predict, plan, evaluate and one step; each works or says why not.

    Returns:
        The names of those that worked.
    """
    worked = []
    try:
        model = cr.load(path)
    except ChainruleError:
        return ""
    schema = model.schema is not None
    model.schema = None
    data = data_for(model)
    ways: dict[str, Callable[[], object]] = {
        "predict": lambda: model.predict(
            {k: data[k] for k in (model.graph.name(x) for x in model.graph.inputs) if k in data}
        ),
        "evaluate": lambda: model.evaluate(data),
        "summary": lambda: str(model.summary()),
        "plan": lambda: model.plan(4),
        "fit": lambda: model.fit(data, epochs=1, validation=None, verbose=False),
        "save": lambda: model.save(path),
    }
    for name, way in ways.items():
        try:
            way()
            worked.append(name)
        except ChainruleError as error:
            known = "no loss" in error.what or "no lowering" in error.what
            if error.where in INTERNAL and not known:
                raise  # a check of the program's own work, not of the file
    return " ".join(["load", *["schema"] * schema, *worked])
