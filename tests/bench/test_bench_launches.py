"""What a step launches on a graphics processor, as the page of devices tells it."""

from __future__ import annotations

import pytest

from bench.cells import NETWORKS, Network
from bench.launches import row
from bench.process import ROOT


@pytest.mark.parametrize("network", NETWORKS[:3], ids=lambda x: x.name)
def test_the_page_has_the_rows_that_are_counted(network: Network) -> None:
    assert row(network) in (ROOT / "docs/devices.md").read_text(encoding="utf-8").splitlines()
