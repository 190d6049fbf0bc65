"""Native training and prediction in forked and spawned processes, in threads, again and again."""

from __future__ import annotations

import gc
import multiprocessing
import os
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures import thread as executors
from typing import Any

import numpy as np
import pytest

import chainrule as cr

pytest.importorskip("llvmlite")

Array = np.ndarray[Any, Any]
X = np.random.default_rng(0).normal(size=(400, 30)).astype("float32")
DATA = {"x": X, "t": (X[:, 0] > 0).astype("int32")}
OPTIONS: dict[str, Any] = {"batch_size": 50, "verbose": False, "optimizer": "adam"}


def model(seed: int = 0, width: int = 60) -> cr.Model:
    x, t = cr.input("x", (30,)), cr.input("t", (), dtype="int32")
    z = cr.dense(cr.dropout(cr.dense(x, width, "tanh"), 0.1), 2)
    return cr.Model(z, cr.cross_entropy(z, t), seed=seed)


def trained(seed: int = 0, epochs: int = 2) -> cr.Model:
    made = model(seed)
    made.fit(DATA, epochs=epochs, threads=2, **OPTIONS)
    return made


def answers(made: cr.Model) -> bytes:
    return np.asarray(made.predict({"x": X})).tobytes()


def work(seed: int) -> bytes:
    """What a process does: train and predict."""
    return answers(trained(seed))


def forked(child: Any) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the other threads stay behind
        process = os.fork()
    if process == 0:
        code = 1
        try:
            code = int(not child())
        finally:
            os._exit(code)
    return os.waitpid(process, 0)[1]


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


@needs_fork
def test_a_forked_process_trains_on_and_predicts() -> None:
    made, whole = trained(), trained()
    want = answers(made)
    whole.fit(DATA, epochs=1, threads=2, **OPTIONS)
    later = answers(whole)

    def child() -> bool:
        same = answers(made) == want
        made.fit(DATA, epochs=1, threads=2, **OPTIONS)
        return same and answers(made) == later

    assert forked(child) == 0
    assert answers(made) == want  # the parent's model is as it was
    made.fit(DATA, epochs=1, threads=2, **OPTIONS)
    assert answers(made) == later


@needs_fork
def test_a_fork_while_other_threads_compile_and_predict() -> None:
    made, stop = trained(), threading.Event()
    want = answers(made)

    def busy() -> None:
        width = 3
        while not stop.is_set():
            width += 1
            other = model(width=width)
            other.fit(DATA, epochs=1, **OPTIONS)
            answers(made)

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for seed in range(4):
            assert forked(lambda: answers(made) == want and bool(work(seed))) == 0  # noqa: B023
    finally:
        stop.set()
        thread.join()


def test_machine_code_is_made_while_a_fork_waits_for_the_compiler() -> None:
    made: list[object] = []
    thread = threading.Thread(target=lambda: made.append(answers(model(width=61))), daemon=True)
    with executors._global_shutdown_lock:  # as a fork holds it, while it waits for the compiler
        thread.start()
        thread.join(100)
    assert made


def test_spawned_processes_give_the_same_bits() -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        found = list(pool.map(work, [0, 1, 0]))
    assert found == [work(0), work(1), work(0)]


def test_threads_train_their_own_models_and_share_one_to_predict() -> None:
    shared, alone = trained(9), [work(seed) for seed in range(4)]
    want = answers(shared)

    def both(seed: int) -> tuple[bytes, bool]:
        made = model(seed)
        same = True
        for _ in range(2):
            made.fit(DATA, epochs=1, threads=2, **OPTIONS)
            same &= all(answers(shared) == want for _ in range(5))
            row = shared.predict({"x": X[seed : seed + 1]})
            same &= np.allclose(row, np.frombuffer(want, "float32").reshape(-1, 2)[seed], atol=1e-6)
        return answers(made), same

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(both, range(4)))
    assert [bits for bits, _ in found] == alone
    assert all(same for _, same in found)


def test_threads_end_with_what_they_worked_for() -> None:
    gc.collect()
    before = threading.active_count()
    models = [model(seed) for seed in range(5)]
    for made in models:
        made.fit(DATA, epochs=1, threads=2, **OPTIONS)
        made.predict({"x": np.tile(X, (200, 1))})
    del made, models
    gc.collect()
    for _ in range(200):
        if threading.active_count() <= before:
            break
        threading.Event().wait(0.05)
    assert threading.active_count() <= before


GROWTH = """
import resource, sys
import numpy as np
from test_native_processes import DATA, OPTIONS, X, model

def fit(seed):
    made = model(seed, width=8 + seed % 3)
    made.fit(DATA, epochs=1, **OPTIONS)
    made.predict({"x": X})

def kilobytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 1024

for seed in range(30):
    fit(seed)
before = kilobytes()
for seed in range(150):
    fit(seed)
print(kilobytes() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_with_the_number_of_fits() -> None:
    command, here = [sys.executable, "-c", GROWTH], os.path.dirname(__file__)
    done = subprocess.run(command, capture_output=True, text=True, cwd=here)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) < 3_000  # 150 models of 30 KB, had they been kept, and their code
