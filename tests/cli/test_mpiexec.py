"""Training under mpiexec: one model, the same bits, and one end for all processes."""

from __future__ import annotations

import importlib.util
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.cli.mpiexec import _pass_on

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
from chainrule.system.ranks.world import world

def hurt(step):
    if str(step) == sys.argv[2] and world().rank == 1:
        print("hurt", flush=True)
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))

class Hurt(cr.Callback):
    def on_step(self, state):
        hurt(state.step)

world()
hurt("before")
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


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [(["--target", "d"], 1, "[--target] there is no column 'd'"),
     (["--target", "c", "--epoch", "2"], 2, "Unknown option: --epoch")],
)  # fmt: skip
def test_a_mistake_is_told_once_with_the_code_that_it_has_alone(
    options: list[str], code: int, told: str, tmp_path: Path
) -> None:
    write_table(tmp_path / "t.csv")
    command = ["-m", "chainrule", "train", "t.csv", *options]
    below = started(tmp_path, 3, *command)
    assert below.returncode == code
    assert below.stderr.count(told) == 1
    own = subprocess.run([sys.executable, *command, "--ranks", "2"], cwd=tmp_path, text=True,
                         env=environment(), capture_output=True, timeout=120)  # fmt: skip
    assert own.returncode == code
    assert own.stderr.count(told) == 1
    assert "is lost" not in below.stderr + own.stderr
    assert "Exit code" not in own.stderr, "what the launcher says of it"


def test_what_the_launcher_says_of_an_error_that_is_told_is_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One that is killed may not have told it: then the launcher names rank and host."""
    rule = "-" * 74 + "\n"
    error = f"{rule}prterun detected that one or more processes exited\n   Exit code: 1\n{rule}"
    killed = f"{rule}prterun noticed that process rank 1 on node a exited on signal 9\n{rule}"
    _pass_on(io.StringIO(f"before\n{error}{killed}after\n{rule}"))
    assert capsys.readouterr().err == f"before\n{killed}after\n{rule}"


@pytest.mark.parametrize(
    ("how", "when"), [("SIGKILL", "40"), ("SIGSTOP", "40"), ("SIGSTOP", "before")]
)
def test_a_rank_that_is_lost_ends_all_with_its_name(how: str, when: str, tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(SCRIPT)
    begun = time.monotonic()
    run = started(tmp_path, 2, "run.py", how, when)
    assert run.stdout.count("hurt") == 1
    assert run.returncode != 0
    assert "rank 1" in run.stderr
    assert not (tmp_path / "m.safetensors").exists()
    assert time.monotonic() - begun < 60, "it hangs"


def launched(folder: Path) -> subprocess.Popen[str]:
    """`chainrule train --ranks 2` on a table, when it has written a checkpoint."""
    write_table(folder / "t.csv", 400)
    options = ["t.csv", "--target", "c", "--quality", "fast", "--refit", "no", "--ranks", "2"]
    options += ["--epochs", "100000", "--patience", "100000", "--checkpoint", "run"]
    options += ["--every", "0.2s", "-o", "m", "-q"]
    process = subprocess.Popen(
        [sys.executable, "-m", "chainrule", "train", *options], cwd=folder, env=environment(),
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    while process.poll() is None and not list((folder / "run").rglob("*.safetensors")):
        time.sleep(0.05)
    return process


def children(process: int) -> list[int]:
    """Those of a process, and theirs."""
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [x for k in map(int, found) for x in (k, *children(k))]


def remaining(processes: list[int]) -> list[int]:
    """Those that run in spite of some seconds to end."""
    end = time.monotonic() + 20
    while (left := [k for k in processes if runs(k)]) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def runs(process: int) -> bool:
    """Whether a process is there; one that has ended has no command."""
    try:
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())
    except OSError:
        return False


def rank_in(processes: list[int]) -> int:
    """The process that is rank 1."""
    return next(
        k for k in processes
        if b"OMPI_COMM_WORLD_RANK=1" in Path(f"/proc/{k}/environ").read_bytes().split(b"\0")
    )  # fmt: skip


def test_large_sums_lie_in_memory_that_processes_have_in_common(tmp_path: Path) -> None:
    """The bits are those of sums that are sent, and nothing of the memory remains."""
    script = NETWORK.replace("cr.dense(i, 8", "cr.dense(cr.dense(i, 600), 600") + (
        "from chainrule.system.ranks.mpi import MPIRanks\n"
        "from chainrule.engine.commonsum import CommonSum\n"
        "shares, usual = [], CommonSum.add_share\n"
        "CommonSum.add_share = lambda self: (shares.append(1), usual(self))[1]\n"
        "if sys.argv[1] == 'sent': MPIRanks.common = lambda self, size: None\n"
        "model.fit(data, epochs=2, blocks=8, validation=None, verbose=False)\n"
        "model.save(sys.argv[1])\n"
        "print('shares', bool(shares), flush=True)\n"
    )
    (tmp_path / "run.py").write_text(script)
    for name, ranks, shares in (("common", 3, True), ("sent", 2, False), ("alone", 1, False)):
        run = started(tmp_path, ranks, "run.py", name)
        assert run.returncode == 0, run.stderr
        assert run.stdout.split("\n").count(f"shares {shares}") == ranks
    common, sent, alone = (cr.load(tmp_path / x).values for x in ("common", "sent", "alone"))
    for name, value in alone.items():
        assert value.tobytes() == common[name].tobytes() == sent[name].tobytes(), name


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_command_that_started_the_ranks_ends_all(
    how: signal.Signals, tmp_path: Path
) -> None:
    with launched(tmp_path) as process:
        started_ones = children(process.pid)
        assert len(started_ones) > 2
        process.send_signal(how)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "interrupted" in told
    assert "is lost" not in told
    assert not remaining(started_ones)


@pytest.mark.soak
def test_a_launcher_of_mpi_that_does_not_end_is_made_to(tmp_path: Path) -> None:
    with launched(tmp_path) as process:
        below = children(process.pid)
        hurt = rank_in(below)
        os.kill(below[0], signal.SIGSTOP)  # mpiexec, as if it waited for a host that is gone
        os.kill(hurt, signal.SIGKILL)
        _, told = process.communicate(timeout=90)
    assert process.returncode == 70
    assert "rank 1" in told.split("[--ranks]")[-1]
    assert not remaining(below)


@pytest.mark.soak
def test_ranks_that_were_all_stopped_go_on(tmp_path: Path) -> None:
    """As by Ctrl-Z, for longer than the silence by which one of them would be lost."""
    with launched(tmp_path) as process:
        below = children(process.pid)
        for k in below:
            os.kill(k, signal.SIGSTOP)
        time.sleep(6)
        before = set((tmp_path / "run").rglob("*.safetensors"))
        for k in reversed(below):
            os.kill(k, signal.SIGCONT)
        time.sleep(6)
        assert process.poll() is None
        assert set((tmp_path / "run").rglob("*.safetensors")) - before
        process.terminate()
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told


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
