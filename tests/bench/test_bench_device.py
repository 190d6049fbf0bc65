"""The checks and timings of a device in a quarter of an hour, as far as they are cheap."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from backend.opencl import WORD, device
from bench import device as bench_device
from bench.cells import Network

TINY = Network("3-4-2", (3, 4, 2), 8, 2)


def test_a_row_has_times_losses_and_what_was_predicted() -> None:
    device()
    row = bench_device._step(TINY, "sgd", WORD, quick=True)
    assert set(row["seconds"]) == set(row["losses"]) == {WORD, "cpu"}
    assert not row["apart"]
    assert row["losses"][WORD] == pytest.approx(row["losses"]["cpu"], rel=1e-4)
    assert row["predicted"].startswith("device ")


def test_what_has_no_time_is_named() -> None:
    left = list(bench_device.steps(WORD, time.monotonic() - 1, quick=False))
    assert left[:2] == ["4096 x 4, sgd", "4096 x 4, adam"]
    assert len(left) == 2 * (1 + len(bench_device.CELLS))


def test_the_file_has_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    device()
    monkeypatch.setattr(bench_device, "tests", lambda *_, **__: {"passed": True, "said": "fine"})
    rows = [{"network": "a", "apart": False}, "b"]
    monkeypatch.setattr(bench_device, "steps", lambda *_, **__: iter(rows))
    output = tmp_path / "found.json"
    assert bench_device.main(["--device", WORD, "--output", str(output)]) == 0
    found = json.loads(output.read_text())
    assert found["device"]["driver"] == "opencl"
    assert found["device"]["speeds"]["launch"] > 0
    assert (found["steps"], found["left out"]) == (rows[:1], rows[1:])
    rows[0] = {"network": "a", "apart": True}
    assert bench_device.main(["--device", WORD, "--output", str(output)]) == 1
    assert "left out, as the time is over: b" in capsys.readouterr().out


def test_a_device_that_is_not_there_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_device.main(["--device", "opencl:99"]) == 1
    assert "opencl:99" in capsys.readouterr().out


def test_its_tests_exist() -> None:
    assert [x for x in bench_device.TESTS if not (bench_device.ROOT / x).is_file()] == []
