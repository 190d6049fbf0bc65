"""The comparison's own arithmetic, and that it goes on where it was interrupted."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.quality import __main__ as command
from bench.quality.process import How, RunError
from bench.quality.records import Run, cells, mean_ranks
from bench.quality.scores import mean_and_error, ranks, scores
from bench.quality.sets import QUICK_ROWS, QUICK_SETS
from bench.quality.store import Store

RUN = Run("wine", 0, "MLP", 0.25, 0.5, 2.0, 3.0, 0.1, 10**6, (134, 44))


def test_the_error_of_classes_is_the_share_of_wrong_ones() -> None:
    predicted = np.array([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]])
    error, log_loss = scores(predicted, np.array(["a", "b", "b"]), np.array(["a", "b"]))
    assert error == pytest.approx(1 / 3)
    assert log_loss == pytest.approx(-(math.log(0.5) + math.log(0.75) + math.log(1e-7)) / 3)


def test_a_class_that_was_never_seen_is_wrong() -> None:
    error, _ = scores(np.array([[1.0, 0.0]]), np.array([7]), np.array([5, 6]))
    assert error == 1


def test_the_error_of_numbers_is_the_root_of_the_mean_square() -> None:
    assert scores(np.array([1.0, 2.0]), np.array([1.0, 4.0]), None) == (math.sqrt(2), None)


def test_the_standard_error_is_that_of_a_mean() -> None:
    mean, error = mean_and_error([1.0, 2.0, 3.0])
    assert (mean, error) == (2, pytest.approx(1 / math.sqrt(3)))
    assert mean_and_error([5.0]) == (5, None)


def test_equal_errors_share_a_rank() -> None:
    assert ranks({"a": 0.1, "b": 0.3, "c": 0.1, "d": 0.2}) == {"a": 1.5, "b": 4, "c": 1.5, "d": 3}


def test_the_mean_rank_compares_only_seeds_and_sets_that_all_ran_with() -> None:
    runs = [
        replace(RUN, learner="MLP", error=0.2),
        replace(RUN, learner="linear", error=0.3),
        replace(RUN, learner="linear", error=0.0, seed=1),
        replace(RUN, learner="MLP", error=0.4, set="letter"),
        replace(RUN, learner="linear", error=0.1, set="letter"),
        replace(RUN, learner="linear", error=0.0, set="digits"),
    ]
    assert mean_ranks(runs, ["MLP", "linear"]) == ({"MLP": 1.5, "linear": 1.5}, 2)
    assert mean_ranks(runs, ["boosting", "linear"]) == ({}, 0)


def test_a_cell_is_the_mean_of_its_seeds() -> None:
    cell = cells([RUN, replace(RUN, seed=1, error=0.75, seconds=4.0)])["wine"]["MLP"]
    assert (cell.seeds, cell.error, cell.spread, cell.seconds) == ((0, 1), 0.5, 0.25, 3)


def test_an_interrupted_comparison_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "runs.json"
    asked = []

    def run(name: str, seed: int, learner: str, how: How) -> Run:
        asked.append((name, seed, learner))
        if learner == "boosting":
            raise RunError("no trees")
        if len(asked) == 4:
            raise KeyboardInterrupt
        return replace(RUN, set=name, seed=seed, learner=learner)

    monkeypatch.setattr(command, "run", run)
    monkeypatch.setattr(command, "prepare", lambda name: None)
    arguments = ["--only", "wine", "--seeds", "0", "1", "--results", str(path)]
    monkeypatch.setattr("sys.argv", ["quality", *arguments, "--learners", "boosting", "linear"])
    monkeypatch.setattr(command, "needed", lambda left: None)
    with pytest.raises(KeyboardInterrupt):
        command.main()
    assert asked == [
        ("wine", 0, "boosting"),
        ("wine", 0, "linear"),
        ("wine", 1, "boosting"),
        ("wine", 1, "linear"),
    ]
    asked.clear()
    with pytest.raises(SystemExit, match="2 runs failed"):
        command.main()
    assert asked[0] == ("wine", 0, "boosting")  # what failed is tried again, what is done is not
    assert [x.key for x in Store(path)] == [("wine", 0, "linear"), ("wine", 1, "linear")]


def test_the_quick_form_has_a_file_of_its_own_and_few_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, str, int | None]] = []

    def run(name: str, seed: int, learner: str, how: How) -> Run:
        asked.append((name, learner, how.most))
        return replace(RUN, set=name, seed=seed, learner=learner, log_loss=0.25)

    monkeypatch.setattr(command, "run", run)
    monkeypatch.setattr(command, "prepare", lambda name: None)
    before = Store(tmp_path / "before.json", {})
    before.add(replace(RUN, learner="forest", processor_seconds=1.5))
    files = ["--results", str(tmp_path / "after.json"), "--beside", str(tmp_path / "before.json")]
    monkeypatch.setattr("sys.argv", ["quality", "--quick", *files])
    command.main()
    assert {(x, most) for x, _, most in asked} == {(x, QUICK_ROWS) for x in QUICK_SETS}
    assert {learner for _, learner, _ in asked} == set(command.QUICK_LEARNERS)
    said = capsys.readouterr().out  # the log loss is half of the other, the cost twice of it
    assert "forest: 1 sets, mean log ratio of losses -0.693, of processor seconds x 2.00" in said


def test_two_that_add_in_turn_lose_nothing(tmp_path: Path) -> None:
    first, second = Store(tmp_path / "runs.json", {"cores": 2}), Store(tmp_path / "runs.json")
    first.add(RUN)
    second.add(replace(RUN, seed=1))
    first.note("wide", {"seconds": 1.0})
    again = Store(tmp_path / "runs.json")
    assert len(list(again)) == 2
    assert (again.extras, again.machine) == ({"wide": {"seconds": 1.0}}, {"cores": 2})
