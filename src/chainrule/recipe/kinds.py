"""The kinds of networks that a mixed ensemble has side by side, so that their errors differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from chainrule.graph.node import Array
from chainrule.recipe.config import Config

KINDS: tuple[Callable[[Config], dict[str, Any]], ...] = (
    lambda x: {},
    lambda x: {"activation": "gelu"} | ({} if x.embedding == "none" else {"embedding": "periodic"}),
    lambda x: {"hidden": (2 * max(x.hidden or (1,)),)},
    lambda x: {"norm": "layer"},
)
"""The settings in which each kind differs from those of the run; members take them in turn."""


def mixes(resolved: Config) -> bool:
    """Whether members are of different kinds; a linear model has one kind."""
    return resolved.mixed == "yes" and (resolved.members or 1) > 1 and bool(resolved.hidden)


def members(resolved: Config) -> list[Config]:
    """The settings of each member."""
    kinds = KINDS if mixes(resolved) else KINDS[:1]
    turns = (kinds[k % len(kinds)] for k in range(resolved.members or 1))
    return [replace(resolved, **changes(resolved)) for changes in turns]


def shares_in_words(resolved: Config, weights: Array) -> str:
    """The share of each kind in the mean, the largest first: "60 % norm layer, 40 % as configured".

    Args:
        weights: of the members, (members,).
    """
    totals: dict[str, float] = defaultdict(float)
    for member, weight in zip(members(resolved), weights, strict=True):
        totals[_differences(resolved, member)] += float(weight)
    ordered = sorted(totals.items(), key=lambda x: -x[1])
    return ", ".join(f"{100 * weight:.0f} % {name}" for name, weight in ordered)


def _differences(resolved: Config, member: Config) -> str:
    """The settings of a member that are not those of the run."""
    parts = []
    for key in ("embedding", "hidden", "activation", "norm"):
        value = getattr(member, key)
        if value != getattr(resolved, key):
            parts.append(f"{key} {','.join(map(str, value)) if key == 'hidden' else value}")
    return " and ".join(parts) or "as configured"
