"""The page of the comparison: what its tables say of a few made-up runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.quality.records import Run, cells
from bench.quality.report import balanced, best, errors, markdown, ranked
from bench.quality.store import Store
from bench.systems import OURS

RUN = Run("wine", 0, "MLP", 0.25, 0.5, 2.0, 3.0, 0.1, 10**6, (134, 44), commit="abc", date="now")


def runs(learner: str, *errors: float, name: str = "wine", seconds: float = 3.0) -> list[Run]:
    return [
        replace(RUN, set=name, learner=learner, seed=seed, error=x, processor_seconds=seconds)
        for seed, x in enumerate(errors)
    ]


def test_the_least_error_of_a_set_is_bold_and_missing_seeds_are_told() -> None:
    found = cells([*runs("MLP", 0.1, 0.2), *runs("linear", 0.2, 0.2, 0.2, 0.2, 0.2)])
    assert "| wine | **15.00% ± 5.00% (2)** | 20.00% ± 0.00% |" in errors(found)
    assert "| diabetes | **63.24 (1)** |" in errors(cells(runs("MLP", 63.24, name="diabetes")))


def test_balanced_is_no_worse_only_beside_the_better_network_on_equal_seeds() -> None:
    ours = runs(f"{OURS} balanced", 0.15, 0.15)
    searched = runs("MLP searched", 0.2, 0.12, 0.0)
    text = balanced([*ours, *runs("MLP", 0.3, 0.3), *searched])
    assert text.endswith("| wine | 2 | 15.00% ± 0.00% | MLP searched | 16.00% ± 4.00% | yes |")
    better = runs("MLP", 0.1, 0.1)
    assert balanced([*ours, *better, *searched]).endswith("| no |")


def test_best_may_be_a_standard_error_behind() -> None:
    theirs = runs("RealMLP-TD", 0.1, 0.2, seconds=100)
    text = best([*runs(f"{OURS} best", 0.19, 0.21, seconds=4), *theirs])
    assert text.endswith("| wine | 2 | 20.00% ± 1.00% | 15.00% ± 5.00% | yes | 25.0 |")
    assert "| no |" in best([*runs(f"{OURS} best", 0.21, 0.21), *theirs])
    assert best(runs(f"{OURS} best", 0.2)) == ""


def test_ranks_stand_with_and_without_the_slow_one() -> None:
    some = [*runs("MLP", 0.1), *runs("linear", 0.2), *runs("MLP", 0.1, name="letter"),
            *runs("linear", 0.2, name="letter"), *runs("RealMLP-TD", 0.05)]  # fmt: skip
    text = ranked(some).splitlines()
    assert text[2:] == ["| 1 set | 2.00 | 3.00 | 1.00 |", "| 2 sets | 1.00 | 2.00 |  |"]


def test_sets_that_other_learners_ran_have_a_line_of_ranks_of_their_own() -> None:
    some = [*runs("MLP", 0.2), *runs("linear", 0.1), *runs("MLP", 0.1, name="digits"),
            *runs("linear", 0.3, name="toyota"), *runs("forest", 0.2, name="toyota")]  # fmt: skip
    text = ranked(some).splitlines()
    assert text[0] == "|  | MLP | linear | forest |"
    assert text[2:] == ["| 1 set | 2.00 | 1.00 |  |", "| 1 set |  | 2.00 | 1.00 |"]


def test_the_page_tells_machine_versions_commits_and_costs(tmp_path: Path) -> None:
    store = Store(tmp_path / "x.json", {"processor": "P", "cores": 2, "memory": 8 * 10**9})
    store.add(replace(RUN, versions={"torch": "9"}))
    store.note("adult, fast", {
        "command": "chainrule train", "rows": 1000, "columns": 2, "seconds": [1.25, 1.0],
        "processor_seconds": [2.0, 1.5], "memory": 10**8, "error": 0.2, "least_error": 0.1,
        "load": 0.5, "commit": "def",
    })  # fmt: skip
    text = markdown(store)
    assert "Measured on P, 2 cores, 8.00 GB of memory. Threads of a run: 1." in text
    assert "The others': torch 9." in text
    assert "| MLP | 1 | abc | now to now | 0.0 |" in text
    row = "| `chainrule train` | 1,000 x 2 | 1.2, 1.0 | 2.0, 1.5 | 100 MB | 20.0% (at best 10.0%) |"
    assert row in text
