"""Training under mpiexec: one model, the same bits, and one end for all processes."""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr

BESIDE = Path(sys.executable).with_name("mpiexec")
MPIEXEC = str(BESIDE) if BESIDE.exists() else shutil.which("mpiexec")
ALLOWED = ["--oversubscribe", "--allow-run-as-root"]
pytestmark = pytest.mark.skipif(
    MPIEXEC is None or importlib.util.find_spec("mpi4py") is None,
    reason="the extra [mpi] is not installed: pip install 'chainrule[mpi]'",
)

NETWORK = """
import os, signal, sys
import numpy as np
import chainrule as cr

x = np.random.default_rng(0).normal(size=(400, 4)).astype("float32")
i, t = cr.input("x", (4,)), cr.input("t", (), dtype="int32")
y = cr.dense(cr.dense(i, 8, "tanh"), 2)
model = cr.Model(y, cr.cross_entropy(y, t), seed=0)
data = {"x": x, "t": (x[:, 0] > 0).astype("int32")}
"""

SCRIPT = (
    NETWORK
    + """
class Hurt(cr.Callback):
    def on_step(self, state):
        if state.step == 40 and os.environ.get("OMPI_COMM_WORLD_RANK") == "1":
            print("hurt", flush=True)
            os.kill(os.getpid(), getattr(signal, sys.argv[1]))

model.fit(data, epochs=20, callbacks=Hurt(), validation=None, verbose=False)
model.save("m.safetensors")
"""
)


def environment() -> dict[str, str]:
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("OMPI_", "PMI", "CHAINRULE_R"))
    }
    return kept | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}


def started(folder: Path, ranks: int, *command: str) -> subprocess.CompletedProcess[str]:
    assert MPIEXEC is not None
    launcher = [MPIEXEC, "-n", str(ranks), *ALLOWED]
    for _ in range(3):  # on a busy machine Open MPI's launcher may fail before it starts anything
        ended = subprocess.run([*launcher, sys.executable, *command], cwd=folder,
                               env=environment(), capture_output=True, text=True,
                               timeout=120)  # fmt: skip
        if "listener thread failed to start" not in ended.stderr + ended.stdout:
            break
    return ended


def write_table(path: Path, count: int = 90) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, count))
    rows = [f"{x:.4f},{y:.4f},{'yes' if x * y > 0 else 'no'}" for x, y in zip(a, b, strict=True)]
    path.write_text("\n".join(["a,b,c", *rows]) + "\n")


def require_bits_of_one(folder: Path, options: list[str]) -> None:
    """The model in `two` has the bits of one that a process alone makes by the same command."""
    alone = subprocess.run(
        [sys.executable, "-m", "chainrule", *options, "-o", "one", "--blocks", "8", "-q"],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert alone.returncode == 0, alone.stderr
    one, two = (cr.load(folder / x / "model.safetensors") for x in ("one", "two"))
    assert one.values.keys() == two.values.keys()
    for name, value in one.values.items():
        assert value.tobytes() == two.values[name].tobytes(), name


def test_the_command_trains_one_model_with_the_bits_of_a_process_alone(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv")
    options = ["train", "t.csv", "--target", "c", "--quality", "fast", "--epochs", "4"]
    run = started(tmp_path, 2, "-m", "chainrule", *options, "-o", "two")
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("Results") == 1, "rank 0 alone talks"
    assert {x.name for x in tmp_path.iterdir()} == {"t.csv", "two"}
    require_bits_of_one(tmp_path, options)


def test_data_in_parts_are_read_once_and_give_the_bits_of_a_process_alone(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for k in range(2):
        write_table(tmp_path / "parts" / f"{k}.csv", 120)
    options = ["train", "parts/*.csv", "--target", "c", "--stream", "--quality", "fast"]
    options += ["--epochs", "3", "--seed", "4"]
    run = started(tmp_path, 2, "-m", "chainrule", *options, "-o", "two")
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("240 rows encoded once") == 1, "rank 0 alone talks"
    assert {x.name for x in tmp_path.iterdir()} == {"parts", "two"}
    require_bits_of_one(tmp_path, options)


@pytest.mark.parametrize("how", ["SIGKILL", "SIGSTOP"])
def test_a_rank_that_is_lost_ends_all_with_its_name(how: str, tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(SCRIPT)
    begun = time.monotonic()
    run = started(tmp_path, 2, "run.py", how)
    assert run.stdout.count("hurt") == 1
    assert run.returncode != 0
    assert "rank 1" in run.stderr
    assert not (tmp_path / "m.safetensors").exists()
    assert time.monotonic() - begun < 60, "it hangs"


@pytest.mark.soak
def test_a_run_that_is_killed_goes_on_with_any_number_of_ranks(tmp_path: Path) -> None:
    """Killed is the launcher: no process of it remains, and the bits are those of one alone."""
    write_table(tmp_path / "t.csv", 2000)
    options = ["train", "t.csv", "--target", "c", "--quality", "fast", "--refit", "no", "-q"]
    options += ["--epochs", "30", "--patience", "30", "--blocks", "8"]
    command, pick = [sys.executable, "-m", "chainrule"], random.Random()
    checkpoints: set[Path] = set()
    for begun in range(100):
        assert MPIEXEC is not None
        launcher = [MPIEXEC, "-n", str(pick.choice((1, 2, 3, 4))), *ALLOWED]
        more = ["train", "--resume", "run"] if begun else [*options, "--checkpoint", "run"]
        more += ["--every", "0.2s"] + ([] if begun else ["-o", "cut"])
        with subprocess.Popen([*launcher, *command, *more], cwd=tmp_path, env=environment(),
                              stderr=subprocess.PIPE, text=True) as process:  # fmt: skip
            while process.poll() is None:
                there = set((tmp_path / "run").rglob("*.safetensors"))
                if there - checkpoints:
                    break
                time.sleep(0.02)
            time.sleep(pick.uniform(0, 1.5))
            process.kill()
            assert process.stderr is not None
            process.stderr.read()  # until the last process has ended
        checkpoints |= there
        if (tmp_path / "cut" / "report.html").exists():
            break
    alone = subprocess.run([*command, *options, "-o", "whole"], cwd=tmp_path, env=environment(),
                           capture_output=True, text=True, timeout=300)  # fmt: skip
    assert alone.returncode == 0, alone.stderr
    one, two = (cr.load(tmp_path / x / "model.safetensors") for x in ("whole", "cut"))
    assert begun > 1, "it was never killed"
    for name, value in one.values.items():
        assert value.tobytes() == two.values[name].tobytes(), name
