"""The benchmark's choice of parts, its workers, and their surroundings; no peer is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.__main__ import QUICK, parts
from bench.cells import NETWORKS, Cell, data, start
from bench.designs import DESIGNS
from bench.measure import Entry, Settings, alike, prediction, ready
from bench.peak import handover
from bench.process import Place, Worker, WorkerError, all_cores, environment, place
from bench.records import Record
from bench.size import needed, size
from bench.systems import BOUND, OURS, SYSTEMS
from bench.systems.chainrule import Chainrule
from chainrule.backend.cpu.machine import host


def test_everything_is_measured_unless_something_is_named() -> None:
    assert {x.group for x in parts([], False)} >= {"training", "prediction", "import"}
    (found,) = parts(["training", "4-16-3", "JAX scan"], True)
    assert (found.group, found.networks) == ("training", ["4-16-3"])
    assert found.systems == [OURS, "JAX scan"]


def test_a_quick_run_has_fewer_networks_and_all_systems() -> None:
    (training,) = parts(["training"], True)
    assert set(training.networks) == set(QUICK)
    assert training.systems == list(SYSTEMS)


def test_no_setting_of_a_library_reaches_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("CHAINRULE_CACHE", "/nowhere")
    monkeypatch.setenv("HARMLESS", "1")
    variables = environment(Place((0,)))
    assert "OPENBLAS_CORETYPE" not in variables
    assert variables["CHAINRULE_CACHE"] != "/nowhere"
    assert variables["HARMLESS"] == "1"
    assert variables["OMP_NUM_THREADS"] == variables["OPENBLAS_NUM_THREADS"] == "1"


HELD = """
from bench.features import hold_llvm
hold_llvm()
from chainrule.backend.cpu.machine import host
print(host().vector, "+avx512" in host().features)
"""


def test_all_systems_are_held_to_an_older_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_FEATURES", "avx2")
    variables = environment(Place((0,)))
    assert variables["ATEN_CPU_CAPABILITY"] == "avx2"
    assert variables["XLA_FLAGS"].split() == [
        "--xla_cpu_max_isa=AVX2",
        "--xla_cpu_multi_thread_eigen=false",
    ]
    done = subprocess.run(
        [sys.executable, "-c", HELD], env=os.environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(min(host().vector, 32)), "False"]
    monkeypatch.delenv("BENCH_FEATURES")
    assert "ATEN_CPU_CAPABILITY" not in environment(Place((0,)))


def test_a_worker_trains_predicts_and_tells_its_memory() -> None:
    with Worker(OURS, place(1)) as worker:
        loss = worker.ask(
            "open", system=OURS, network="4-16-3", optimizer="adam", threads=1, models=1, epochs=3
        )
        assert 0 < loss < 2
        assert worker.ask("train", seconds=0.001) > 0
        worker.ask("reads", system=OURS, network="4-16-3", threads=1)
        assert worker.ask("predict", rows=3, seconds=0.001) > 0
        if os.path.exists("/proc/self/status"):
            assert worker.ask("memory") > 1e7


def test_a_prediction_has_no_loss() -> None:
    network = next(x for x in NETWORKS if x.name == "4-16-3")
    found = list(prediction(Settings([OURS, BOUND], [network], 1, 0.001, lambda text: None)))
    assert len(found) >= 6
    assert all(x.loss == 0 and x.value > 0 for x in found)


def test_a_worker_tells_what_it_cannot_do() -> None:
    with (
        Worker(OURS, place(1)) as worker,
        pytest.raises(WorkerError, match="Chainrule: KeyError: 'none'"),
    ):
        worker.ask("first", system="none", network="4-16-3", optimizer="sgd", threads=1)


def test_a_worker_that_ends_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such library >&2\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setattr("bench.process.python", lambda system: str(broken))
    with (
        Worker("PyTorch", place(1)) as worker,
        pytest.raises(WorkerError, match="PyTorch: the worker ended: no such library"),
    ):
        worker.ask("memory")


def test_the_size_counts_what_is_needed() -> None:
    found = needed("chainrule")
    assert {"chainrule", "numpy", "rich", "pygments"} <= set(found)
    assert "pytest" not in found
    assert size(found["chainrule"]) > 500_000


@pytest.mark.parametrize("network", [NETWORKS[0], *DESIGNS], ids=lambda x: x.name)
def test_our_models_begin_with_the_start_values_of_all_systems(network: Cell) -> None:
    network = replace(network, batches=1)
    made = Chainrule(network, "sgd", 1).model()
    trained = {made.graph.name(x) for x in made.graph.parameters if x.trainable}
    expected = start(network)
    assert trained == set(expected)
    for name, wanted in expected.items():
        np.testing.assert_array_equal(made.value(name), wanted)


def test_a_worker_that_does_other_steps_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with Worker(OURS, place(1)) as one, Worker(OURS, place(1)) as two:
        entries = []
        for worker, optimizer in ((one, "sgd"), (two, "adam")):
            asked = {"network": "4-16-3", "threads": 1, "models": 1, "epochs": 1}
            worker.send("open", system=OURS, optimizer=optimizer, **asked)
            entries.append(Entry(worker, Record("training", "", OURS, "s", []), {}))
        told: list[str] = []
        able = ready(entries, told.append)
        assert alike(able[:1] * 2, told.append) == able[:1] * 2
        assert not told
        assert alike(able, told.append) == able[:1]
    assert "Chainrule does other steps: loss 1." in told[0]


@pytest.mark.skipif(len(all_cores()) < 2 or sys.platform != "linux", reason="no two processors")
def test_a_line_goes_from_core_to_core_and_the_affinity_of_the_process_stays() -> None:
    before = os.sched_getaffinity(0)
    assert handover() > 1e-9
    assert os.sched_getaffinity(0) == before


def test_data_of_a_design_can_be_learned() -> None:
    for design in DESIGNS:
        x, classes = data(design, 40)
        assert x.shape == (40, *design.shape)
        assert x.dtype == (np.int32 if design.words else np.float32)
        assert 0 <= classes.min() <= classes.max() < design.classes
        if design.words:
            assert 0 <= x.min() <= x.max() < design.words
            assert (x % design.classes == classes[:, None]).mean() > 0.4
