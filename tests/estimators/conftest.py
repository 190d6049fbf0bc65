"""Estimators are tested for what they do: their code is compiled in haste. Elsewhere it is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chainrule.backend.cpu.run import jit


@pytest.fixture(autouse=True, scope="package")
def compiled_in_haste() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jit, "OPT_LEVEL", 0)
        yield
