"""Every op has a place in the plan: a rule at index level, a decomposition, or its own kernel."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import chainrule.ops
from chainrule.graph.op import REGISTRY
from chainrule.passes.decompose import RULES
from chainrule.plan.lower import MAPS, PLACES, SAME, VIEWS
from chainrule.plan.reduce import REDUCTIONS

for module in pkgutil.iter_modules(chainrule.ops.__path__):
    importlib.import_module(f"chainrule.ops.{module.name}")

SPECIALISED = {"when_training", "tracked"}
"""Ops that are gone before a plan is made."""

BY_ITSELF = {"constant", "scatter_add"}
"""Ops that fusion knows: a buffer or a number; a kernel that adds."""


@pytest.mark.parametrize("name", sorted(set(REGISTRY) - SPECIALISED))
def test_op_has_a_rule(name: str) -> None:
    tables = (VIEWS, PLACES, SAME, MAPS, REDUCTIONS, RULES)
    assert name in BY_ITSELF or any(name in table for table in tables)


def test_rules_are_of_ops_that_exist() -> None:
    named = {*VIEWS, *PLACES, *SAME, *MAPS, *REDUCTIONS, *RULES, *BY_ITSELF, *SPECIALISED}
    assert named <= set(REGISTRY)


def test_an_op_has_one_rule_at_index_level() -> None:
    tables = [set(t) for t in (VIEWS, PLACES, SAME, MAPS, REDUCTIONS)]
    assert sum(map(len, tables)) == len(set().union(*tables))
