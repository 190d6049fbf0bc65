"""Updates of parameters that a rule treats alike: copies are what the rule would have built."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import pytest

import chainrule as cr
from chainrule.engine.compile import build_step
from chainrule.engine.updates import Slots, UpdateRule
from chainrule.graph import Graph, Node, Parameter
from chainrule.graph.listing import listing
from chainrule.graph.node import NodeLike
from chainrule.graph.step import Step
from chainrule.train.optim import LBFGS, OPTIMIZERS, Optimizer

RULES = {
    **{name: kind() for name, kind in OPTIMIZERS.items() if kind is not LBFGS},
    "by name": cr.AdamW(decay=0.1, rates={"layer1.*": 0.5}, decays={"*.b": 1.0, "layer3.w": 0.0}),
    "coupled": cr.SGD(decay=0.1, momentum=0.9, decays={"layer2.*": 3.0}),
    "largest": cr.Adam(amsgrad=True, epsilon_first=True),
}


class OneByOne:
    """A rule that treats no two parameters alike."""

    def __init__(self, rule: UpdateRule) -> None:
        self._rule = rule

    def update(
        self, parameter: Parameter, name: str, gradient: Node, rate: Node, step: Node
    ) -> tuple[Node, Slots]:
        return self._rule.update(parameter, name, gradient, rate, step)

    def like(self, parameter: Parameter, name: str) -> Hashable:
        return name

    def check_names(self, names: Iterable[str]) -> None:
        self._rule.check_names(names)


def step_of(rule: UpdateRule, **settings: float) -> Step:
    """Equal layers, of which some share weights, and a gradient that is a parameter."""
    x, t = cr.input("x", 8), cr.input("t", (), dtype="int32")
    h: NodeLike = x
    for k in range(4):
        h = cr.dense(h, 8, "tanh", name=f"layer{k}")
    w = cr.parameter("w", cr.init.Constant(0.5), (8, 8))
    h = cr.tanh(cr.tanh(h @ w) @ w)
    u, v = (cr.parameter(name, cr.init.Constant(0.5), ()) for name in "uv")
    loss = cr.cross_entropy(cr.dense(h, 3), t) + u * v
    return build_step(Graph(loss), loss, rule, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("settings", [{}, {"clip_norm": 1.0, "clip_value": 0.1}], ids=["", "cut"])
def test_copies_are_what_the_rule_builds(rule: Optimizer, settings: dict[str, float]) -> None:
    copied, built = step_of(rule, **settings), step_of(OneByOne(rule), **settings)
    assert listing(copied.graph) == listing(built.graph)
    assert copied.digest == built.digest
    assert len({x.scope for x in copied.graph}) == len({x.scope for x in built.graph})


def test_a_rule_is_asked_once_for_each_kind() -> None:
    asked: list[str] = []

    class Counted(cr.Adam):
        def update(self, parameter: Parameter, name: str, *nodes: Node) -> tuple[Node, Slots]:
            asked.append(name)
            return super().update(parameter, name, *nodes)

    step_of(Counted(rates={"layer1.*": 0.5}))
    assert asked == ["layer0.w", "layer0.b", "layer1.w", "layer1.b", "dense.w", "dense.b", "u"]
