"""The memory of a run: nothing is kept that is not needed."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

import chainrule as cr


@pytest.mark.parametrize("settings", [{}, {"validation": 0.2}, {"patience": 3}], ids=str)
def test_the_first_parameters_are_not_kept(settings: dict[str, object]) -> None:
    x, t = cr.input("x", (3,)), cr.input("t", (2,))
    y = cr.dense(x, 2, name="layer")
    model = cr.Model(y, cr.squared_error(y, t))
    first, alive = weakref.ref(model.value("layer.w").base), []
    rng = np.random.default_rng(0)
    model.fit(
        {"x": rng.normal(size=(40, 3)), "t": rng.normal(size=(40, 2))}, epochs=3, verbose=False,
        callbacks=[lambda state: alive.append(first() is not None)],
        **{"validation": None, **settings},
    )  # fmt: skip
    assert len(alive) == 3
    assert not alive[-1]
