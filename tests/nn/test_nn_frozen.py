"""Layers and losses against frozen arrays of Keras and PyTorch: values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest
from nn_check import run

import chainrule as cr
from chainrule.autodiff import gradients
from chainrule.graph import Graph, Node
from chainrule.nn.arguments import ACTIVATIONS

FOLDER = Path(__file__).parents[1] / "golden" / "layers"
FROZEN = {
    key: x
    for file in ("frozen.npz", "blocks.npz")
    for key, x in np.load(FOLDER / file).items()
}  # fmt: skip
CASES = sorted({key.split("/")[0] for key in FROZEN})
Nodes = dict[str, Node]
Build = Callable[[Nodes], Node]


def arrays(case: str, part: str) -> dict[str, Any]:
    """The arrays of a case of tests/golden/layers, by name."""
    head = f"{case}/{part}/"
    return {key.removeprefix(head): FROZEN[key] for key in FROZEN if key.startswith(head)}


def recurrent(case: str) -> Build:
    """A layer of Keras, whose initial states are listed forwards, then backwards."""
    kind, _, outputs, side = case.split(".")
    layer: Callable[..., Node] = {"gru_after": cr.gru}.get(kind) or getattr(cr, kind)
    how = {"reset_after": kind == "gru_after"} if layer is cr.gru else {}

    def build(x: Nodes) -> Node:
        initial = [x[name] for name in sorted(x) if name[0] == "s"] or None
        return layer(
            x["x"], 4, bidirectional=side == "both", mask=x.get("mask"), initial=initial,
            outputs=outputs, name="r", **how,
        )  # fmt: skip

    return build


def attention(case: str) -> Build:
    """In heads of their own, in groups, or with one head of keys and values."""
    kind, way = case.split(".")
    heads, shared = {"heads": (3, 3), "groups": (6, 2), "one": (4, 1)}[kind]
    return lambda x: cr.multi_head_attention(
        x["x"], heads, key_value_heads=shared, head_width=2, memory=x.get("memory"),
        mask=x.get("mask"), causal=way == "causal", name="a",
    )  # fmt: skip


def bag(case: str) -> Build:
    """Rows of a table, combined; index 0 fills up in one case."""
    combine = {"padded": "mean", "weighted": "sum"}.get(case, case)
    return lambda x: cr.embedding_bag(
        x["codes"], 6, 3, combine=combine, padding=0 if case == "padded" else None,
        weights=x.get("weights"), name="e", dtype=x["direction"].dtype,
    )  # fmt: skip


def experts(x: Nodes) -> Node:
    """Three experts of two layers each."""
    layers = cr.layer.dense(5, "tanh"), cr.layer.dense(2)
    return cr.mixture_of_experts(x["x"], 3, *layers, gate=x.get("gate"), name="m")


def encoder(case: str) -> Build:
    """A block with the normalisation before or after its layers."""
    _, norm, way = case.split(".")
    return lambda x: cr.transformer_encoder(
        x["x"], 2, hidden=6, norm_first=norm == "before", mask=x.get("mask"),
        causal=way == "causal", name="e",
    )  # fmt: skip


BY_CLASS = [0.5, 1.0, 2.0]
BUILD: dict[str, Build] = {
    **{case: recurrent(case) for case in CASES if case.split(".")[-1] in ("both", "forward")},
    **{case: attention(case) for case in CASES if case.split(".")[0] in ("heads", "groups", "one")},
    **{f"dense.{a}": lambda x, a=a: cr.dense(x["x"], 6, a, name="d") for a in ACTIVATIONS},
    "batch_norm.training": lambda x: cr.batch_norm(x["x"], name="b"),
    "batch_norm.prediction": lambda x: cr.batch_norm(x["x"], name="b"),
    "layer_norm": lambda x: cr.layer_norm(x["x"], name="b"),
    "rms_norm": lambda x: cr.rms_norm(x["x"], name="b"),
    "geglu": lambda x: cr.geglu(x["x"], 4, bias=False, name="g"),
    "swiglu": lambda x: cr.swiglu(x["x"], 4, bias=False, name="g"),
    "embedding": lambda x: cr.embedding(x["codes"], 4, 2, name="e", dtype=x["direction"].dtype),
    **{f"bag.{c}": bag(c) for c in ("sum", "mean", "max", "padded", "weighted")},
    **{case: encoder(case) for case in CASES if case.startswith("encoder.")},
    "factorisation": lambda x: cr.factorisation(x["x"], 3, 2, name="f"),
    "pairs": lambda x: cr.pair_interactions(x["x"]),
    "fields": lambda x: cr.field_embedding(
        x["codes"], [3, 4], 3, name="e", dtype=x["direction"].dtype
    ),
    "experts.own": experts,
    "experts.given": experts,
    "towers.cosine": lambda x: cr.two_towers(x["query"], x["item"], temperature=0.3),
    "towers.product": lambda x: cr.two_towers(
        x["query"], x["item"], temperature=0.3, normalise=False
    ),
    "towers.loss": lambda x: cr.in_batch(x["query"], x["item"], temperature=0.3),
    "towers.mutual": lambda x: cr.in_batch(x["query"], x["item"], temperature=0.3, both=True),
    "positions": lambda x: cr.positions(x["x"], base=100.0),
    "rotary": lambda x: cr.rotary(x["x"], base=100.0),
    "biased": lambda x: cr.attention(x["q"], x["k"], x["v"], bias=x["bias"]),
    "loss.squared_error": lambda x: cr.squared_error(x["y"], x["t"]),
    "loss.absolute_error": lambda x: cr.absolute_error(x["y"], x["t"]),
    "loss.huber": lambda x: cr.huber(x["y"], x["t"], delta=0.7),
    "loss.quantile": lambda x: cr.quantile(x["y"], x["t"], quantiles=0.3),
    "loss.cosine": lambda x: cr.cosine(x["y"], x["t"]),
    "loss.poisson": lambda x: cr.poisson(x["y"], x["t"]),
    "loss.binary": lambda x: cr.binary_cross_entropy(x["y"], x["t"], pos_weight=[0.5, 1.0, 4.0]),
    "loss.kl_divergence": lambda x: cr.kl_divergence(x["y"], x["t"]),
    "loss.chances": lambda x: cr.cross_entropy(x["y"], x["t"]),
    "loss.labels": lambda x: cr.cross_entropy(x["y"], x["t"], ignore_index=-1),
    "loss.class_weights": lambda x: cr.cross_entropy(
        x["y"], x["t"], ignore_index=-1, class_weights=BY_CLASS
    ),
    "loss.smoothed": lambda x: cr.cross_entropy(
        x["y"], x["t"], ignore_index=-1, label_smoothing=0.2
    ),
    "loss.hinge": lambda x: cr.hinge(x["y"], x["t"]),
}


def test_each_case_is_built() -> None:
    assert sorted(BUILD) == CASES


@pytest.mark.parametrize(("dtype", "close"), [("float64", 1e-9), ("float32", 1e-5)])
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_the_frozen_ones(case: str, dtype: str, close: float) -> None:
    given, values = arrays(case, "given"), arrays(case, "value")
    direction = FROZEN[f"{case}/cotangent"]
    fed = {name: x for name, x in values.items() if "." not in name}
    nodes = {name: cr.input(name, x.shape[1:], dtype) for name, x in fed.items()}
    for name, x in given.items():
        if "." not in name:
            own = dtype if x.dtype.kind == "f" else str(x.dtype)
            nodes[name] = cr.input(name, x.shape[1:], own)
            fed[name] = x
    if direction.ndim:
        nodes["direction"], fed["direction"] = (
            cr.input("direction", direction.shape[1:], dtype), direction,
        )  # fmt: skip
    along = nodes.get("direction", direction)
    y = BUILD[case](nodes)
    graph, wanted = Graph(y), arrays(case, "gradient")
    wrt = [nodes[name] if name in nodes else graph[name] for name in wanted]
    held = {name: x for name, x in (given | values).items() if "." in name}
    found = run(
        [y, *gradients(cr.sum(y * along), wrt)], fed, held, training=not case.endswith("prediction")
    )
    assert len(wanted) > 0
    assert {graph.name(p) for p in graph.parameters} == set(held)
    for got, want in zip(found, [FROZEN[f"{case}/y"], *wanted.values()], strict=True):
        assert got.dtype == dtype
        npt.assert_allclose(got, want, rtol=close, atol=close * max(1, np.abs(want).max()))
