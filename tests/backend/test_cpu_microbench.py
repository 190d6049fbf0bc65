"""The speeds of the machine: sensible, measured once, and measured again where the file is bad."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from chainrule.backend.cpu.emit.scalars import MATHS
from chainrule.backend.cpu.maths import library as math_library
from chainrule.backend.cpu.run import microbench
from chainrule.costs.speeds import Speeds, merge_best
from chainrule.costs.work import PRICES


@pytest.fixture(scope="module")
def found() -> Speeds:
    return microbench.measured()


@pytest.fixture
def folder(tmp_path: Path, found: Speeds, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, with measuring replaced by its known result."""
    monkeypatch.setattr(microbench, "measured", lambda: found)
    return tmp_path / "cache" / "code"


def file_of(folder: Path) -> Path:
    (file,) = folder.glob("speeds-*.json")
    return file


def test_speeds_are_those_of_a_processor(found: Speeds) -> None:
    assert 1e9 < found.peak < 1e12
    assert 0.05 < found.product <= 1
    assert found.levels[-1][0] == math.inf
    sizes = [size for size, _ in found.levels]
    assert sizes == sorted(sizes)
    assert all(1e8 < rate < 1e13 for _, rate in found.levels)
    assert found.shared >= found.levels[-1][1]
    for seconds in (found.instruction, found.call, found.barrier):
        assert 0 < seconds < 1e-3
    assert found.measured == 1


def test_speeds_are_kept_and_read_back(folder: Path, found: Speeds) -> None:
    assert microbench.cached(folder) is None
    assert not microbench.cached_or_default(folder).measured
    assert microbench.speeds(folder) == found
    assert microbench.cached(folder) == found
    assert microbench.cached_or_default(folder) == found


def test_the_first_processes_measure_and_the_best_is_kept(
    folder: Path, found: Speeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = replace(found, peak=found.peak / 2, instruction=2 * found.instruction)
    quick = replace(found, call=found.call / 2)
    told = iter([slow, found, quick, found, found])
    monkeypatch.setattr(microbench, "measured", lambda: next(told))
    for k in range(microbench.ROUNDS + 2):
        microbench.clear_cache()
        assert microbench.speeds(folder).measured == min(k + 1, microbench.ROUNDS)
    best = microbench.cached(folder)
    assert best is not None
    assert best.peak == found.peak
    assert best.instruction == found.instruction
    assert best.call == quick.call
    assert best.product * best.peak == pytest.approx(found.product * found.peak)


def test_the_rate_of_an_exchange_is_the_mean_of_all_measurements(found: Speeds) -> None:
    rates = (1e9, 8e9, 8e9)
    best, *others = (replace(found, exchange=x) for x in rates)
    for each in others:
        best = merge_best(best, each)
    assert best.exchange == pytest.approx(4e9)
    assert best.measured == 3


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '{"levels": 3}', '{"levels": [], "tiles": []}', "\x00\x01", "12"],
)
def test_a_damaged_file_is_measured_again(folder: Path, found: Speeds, text: str) -> None:
    microbench.speeds(folder)
    file_of(folder).write_text(text, encoding="utf-8")
    assert microbench.cached(folder) is None
    microbench.clear_cache()
    assert microbench.speeds(folder) == found
    assert microbench.cached(folder) == found


@pytest.mark.parametrize("field", ["peak", "product", "instruction", "barrier"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "fast", None])
def test_numbers_that_are_none_are_not_believed(folder: Path, field: str, value: object) -> None:
    microbench.speeds(folder)
    told = json.loads(file_of(folder).read_text(encoding="utf-8"))
    file_of(folder).write_text(json.dumps(told | {field: value}), encoding="utf-8")
    assert microbench.cached(folder) is None


def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be", encoding="utf-8")
    assert microbench.speeds(folder).measured


def test_without_a_folder_it_is_measured_once(
    found: Speeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(microbench, "measured", lambda: calls.append(0) or found)
    microbench.clear_cache()
    assert microbench.speeds(None) == microbench.speeds(None) == found
    assert len(calls) == 1
    microbench.clear_cache()


@pytest.mark.parametrize("name", MATHS)
def test_functions_are_priced_by_the_instructions_they_are_written_in(name: str) -> None:
    text = math_library.definitions([name], "float32", 8, fma=True)
    written = sum(line.strip().startswith("%") for line in text.splitlines())
    assert PRICES[name] == pytest.approx(written, rel=0.25)
