"""`chainrule train --checkpoint` and `--resume`, as they are typed; and killed at any instant."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import environment, houses, run, start

import chainrule as cr
from chainrule.cli.main import main
from chainrule.model.checkpointfile import read as read_checkpoint

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL of another process")

SMALL = ("--target", "price", "--members", "1", "--hidden", "12", "--refit", "yes")
"""Settings of a run of 16 fits by cross-validation, one on the training rows, and one on all."""


def values(path: Path) -> dict[str, bytes]:
    """All that a model is, but for the times."""
    model = cr.load(path)
    state = model.values | model.slots
    rows = [{k: x for k, x in row.items() if k != "seconds"} for row in model.history]
    kept = {name: x.tobytes() for name, x in state.items()}
    return kept | {"": repr((rows, model.steps, model.split, model.notes)).encode()}


Told = Callable[..., tuple[str, str]]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Told:
    """Runs a command in this process, in a folder; returns its output and error texts."""

    def run_here(*arguments: str, cwd: Path, code: int = 0) -> tuple[str, str]:
        with monkeypatch.context() as patch:
            patch.chdir(cwd)
            patch.setenv("OMP_NUM_THREADS", "2")
            found = main(["train", *arguments])
        out, err = capsys.readouterr()
        assert found == code, out + err
        return out, " ".join(err.split())

    return run_here


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table, and the model of a run without checkpoints."""
    folder = tmp_path_factory.mktemp("whole")
    houses(folder / "houses.csv", rows=120)
    run("train", "houses.csv", *SMALL, "-o", "whole", "-q", cwd=folder)
    return folder


@pytest.fixture
def place(whole: Path, tmp_path: Path) -> Path:
    """A new folder with the same table."""
    shutil.copy(whole / "houses.csv", tmp_path)
    return tmp_path


def killed_after(place: Path, text: str, *arguments: str) -> None:
    """Kill the command once it has told a line with the text."""
    with start("train", *arguments, cwd=place) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if text in line:
                break
        else:
            raise AssertionError(f"it ended before {text!r}")
        process.send_signal(signal.SIGKILL)
        process.communicate()


BEGIN = ("houses.csv", *SMALL, "--checkpoint", "runs/a", "--every", "0s")


@pytest.fixture(scope="module")
def once(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that was killed in its second stage."""
    folder = tmp_path_factory.mktemp("once") / "place"
    folder.mkdir()
    shutil.copy(whole / "houses.csv", folder)
    killed_after(folder, "Run 2 of", *BEGIN)
    return folder


@pytest.fixture
def begun(once: Path, tmp_path: Path) -> Path:
    """A copy of that folder; the one that it was begun in is not there."""
    folder, away = tmp_path / "begun", once.with_name("away")
    shutil.copytree(once, folder)
    kept = folder / "runs" / "a" / "run.json"
    kept.write_text(kept.read_text(encoding="utf-8").replace(str(once), str(away)))
    return folder


def test_killed_and_resumed_it_ends_with_the_same_bits(
    whole: Path, begun: Path, told: Told
) -> None:
    out, _ = told("--resume", "runs/a", "--threads", "1", cwd=begun)
    assert "houses.csv: 120 rows" in out
    assert "houses-model/model.safetensors" in out
    made = values(begun / "houses-model" / "model.safetensors")
    assert made == values(whole / "whole" / "model.safetensors")
    report = (begun / "houses-model" / "report.html").read_text(encoding="utf-8")
    assert "chainrule train houses.csv --target price" in report  # as it was typed at first
    folders = {x.name for x in (begun / "runs" / "a").iterdir() if x.is_dir()}
    assert folders == {"cross-validation", "training", "all-rows"}


def test_the_same_command_goes_on_too_and_writes_where_it_was(
    whole: Path, begun: Path, told: Told
) -> None:
    told(*BEGIN, cwd=begun)
    made = values(begun / "houses-model" / "model.safetensors")
    assert made == values(whole / "whole" / "model.safetensors")
    # complete: nothing is trained, and the files of this run are written again
    steps = last_steps(begun)
    _, err = told(*BEGIN, cwd=begun)
    assert "is complete: its end is taken, nothing is trained" in err
    assert last_steps(begun) == steps
    assert values(begun / "houses-model" / "model.safetensors") == made
    assert sorted(x.name for x in begun.iterdir()) == ["houses-model", "houses.csv", "runs"]


def last_steps(place: Path) -> dict[str, float]:
    """The time of the last change of each checkpoint."""
    return {str(x): x.stat().st_mtime_ns for x in place.rglob("step-*.safetensors")}


def test_a_finished_fit_is_not_trained_again(begun: Path, told: Told) -> None:
    crossed = {k: x for k, x in last_steps(begun).items() if "cross-validation" in k}
    assert len({Path(x).parent for x in crossed}) == 16
    told("--resume", "runs/a", cwd=begun)
    now = {k: x for k, x in last_steps(begun).items() if "cross-validation" in k}
    assert now == crossed


def test_it_is_resumed_from_another_folder(
    whole: Path, begun: Path, tmp_path: Path, told: Told
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    kept = begun / "runs" / "a" / "run.json"
    command = json.loads(kept.read_text(encoding="utf-8"))
    command["command"]["folder"] = str(begun)
    kept.write_text(json.dumps(command), encoding="utf-8")
    told("--resume", "../begun/runs/a", cwd=elsewhere)
    made = values(begun / "houses-model" / "model.safetensors")
    assert made == values(whole / "whole" / "model.safetensors")
    assert not list(elsewhere.iterdir())


def test_the_data_may_move_but_not_change(whole: Path, begun: Path, told: Told) -> None:
    moved = begun / "data" / "h.csv"
    moved.parent.mkdir()
    (begun / "houses.csv").rename(moved)
    _, err = told("--resume", "runs/a", cwd=begun, code=1)
    assert "the data of the run are not where they were" in err
    assert "chainrule train NEW_PLACE --resume FOLDER" in err
    text = moved.read_text(encoding="utf-8")
    for changed, said in (
        (text.replace(",Ulm,", ",Bonn,", 1), "column 'town' has other cells"),
        (text + text.splitlines()[-1] + "\n", "121 rows, which were 120"),
        (text.replace("age", "years", 1), "column 'age' is not there"),
    ):
        moved.write_text(changed, encoding="utf-8")
        _, err = told("data/h.csv", "--resume", "runs/a", cwd=begun, code=1)
        assert "the data are not those that the run began with" in err
        assert said in err
    moved.write_text(text, encoding="utf-8")
    told("data/h.csv", "--resume", "runs/a", "-o", "new", cwd=begun)
    assert values(begun / "new" / "model.safetensors") == values(
        whole / "whole" / "model.safetensors"
    )


REFUSED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "other settings": (
        (*BEGIN, "--rate", "0.1"), ("a run with other settings", "rate=(open)", "rate=0.1")
    ),
    "a setting beside --resume": (
        ("--resume", "runs/a", "--hidden", "64"), ("--hidden", "leave out --hidden")
    ),
    "no folder": (("--resume", "runs/b"), ("there is no such folder", "--checkpoint FOLDER")),
    "no run": (("--resume", "runs"), ("the folder has no run to go on with", "run.json")),
    "no checkpoint": (("houses.csv", "--every", "5s"), ("--every", "--checkpoint FOLDER")),
    "a wrong time": ((*BEGIN[:-1], "soon"), ("--every", '"60s"')),
    "none kept": ((*BEGIN, "--keep", "0"), ("--keep", "at least 1")),
    "nothing": ((), ("DATA is missing",)),
    "no threads": (("--resume", "runs/a", "--threads", "0"), ("--threads",)),
    "recorded now": (("--resume", "runs/a", "--record"), ("--record", "leave out --record")),
}  # fmt: skip


def test_what_is_refused_says_what_to_type(begun: Path, told: Told) -> None:
    before = last_steps(begun)
    for name, (arguments, parts) in REFUSED.items():
        code = 2 if name == "nothing" else 1
        _, err = told(*arguments, cwd=begun, code=code)
        for part in parts:
            assert part in err, (name, err)
    assert last_steps(begun) == before


def test_folders_of_others(place: Path, told: Told) -> None:
    x = np.zeros((8, 1), "float32")
    inputs, target = cr.input("x", (1,)), cr.input("t", (1,))
    made = cr.dense(inputs, 1)
    model = cr.Model(made, cr.squared_error(made, target))
    model.fit({"x": x, "t": x}, checkpoint=place / "fit", epochs=1, verbose=False)
    _, err = told(*SMALL, "houses.csv", "--checkpoint", "fit", cwd=place, code=1)
    assert "those of `Model.fit`" in err
    (place / "runs").mkdir()
    (place / "runs" / "run.json").write_text("{")
    _, err = told("--resume", "runs", cwd=place, code=1)
    assert "the file of the run is damaged" in err
    with pytest.raises(cr.errors.SettingError, match="another call"):
        model.fit({"x": x, "t": x}, checkpoint=place / "runs", epochs=1, verbose=False)
    _, err = told(*SMALL, "houses.csv", "--checkpoint", "houses.csv", cwd=place, code=1)
    assert "the folder cannot be written" in err


def test_two_runs_on_one_folder(place: Path, told: Told) -> None:
    with start("train", *BEGIN, cwd=place) as process:
        assert process.stderr is not None
        while "Run 1" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGSTOP)
        try:
            _, err = told(*BEGIN, cwd=place, code=1)
            assert "another run writes its checkpoints to this folder" in err
            assert f"process {process.pid} on " in err
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.communicate()
    _, err = told(*BEGIN[:-2], cwd=place)
    assert f"process {process.pid} on " in err
    assert "taken over" in err


def test_ctrl_c_tells_how_to_go_on(whole: Path, place: Path, told: Told) -> None:
    with start("train", *BEGIN[:-2], cwd=place) as process:
        assert process.stderr is not None
        while "Run 1" not in process.stderr.readline():
            pass
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "to go on: chainrule train --resume runs/a" in err
    told("--resume", "runs/a", cwd=place)
    made = values(place / "houses-model" / "model.safetensors")
    assert made == values(whole / "whole" / "model.safetensors")


def test_after_ctrl_c_its_files_are_written_again(place: Path, told: Told) -> None:
    long = ("houses.csv", "--target", "price", "--hidden", "8", "--epochs", "2000", "--patience",
            "1999", "--refit", "no", "--checkpoint", "c")  # fmt: skip
    with start("train", *long, cwd=place) as process:
        assert process.stderr is not None
        while "/2000" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    path = place / "houses-model" / "model.safetensors"
    first = len(cr.load(path).history)
    _, err = told("--resume", "c", cwd=place)
    assert "goes on from the checkpoint in" in err
    assert first < len(cr.load(path).history) == 2000
    other = place / "houses-model-2"
    assert not other.exists()


def test_a_full_disk_is_told_and_the_run_ends_well(whole: Path, place: Path, told: Told) -> None:
    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))  # no checkpoint fits
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    command = [sys.executable, "-m", "chainrule", "train", *BEGIN, "-o", "x.safetensors"]
    ended = subprocess.run(
        command, cwd=place, env=environment(), capture_output=True, text=True, preexec_fn=full,
        check=False,
    )  # fmt: skip
    said = " ".join(ended.stderr.split())
    assert "Traceback" not in said
    assert "checkpoints cannot be written: File too large; training goes on" in said
    assert "File too large" in said.partition("training goes on")[2]  # the model has no room too
    assert ended.returncode == 1
    told("--resume", "runs/a", cwd=place)
    made = values(place / "x.safetensors")
    assert made == values(whole / "whole" / "model.safetensors")


def test_what_the_folder_keeps_is_plain(begun: Path) -> None:
    kept = json.loads((begun / "runs" / "a" / "run.json").read_text(encoding="utf-8"))
    assert kept["settings"]["hidden"] == [12]
    assert kept["settings"]["epochs"] is None
    assert kept["data"]["rows"] == 120
    assert list(kept["data"]["columns"])[:2] == ["id", "size"]
    assert kept["command"]["data"] == "houses.csv"
    some = next((begun / "runs" / "a" / "cross-validation" / "00").glob("step-*"))
    assert read_checkpoint(some)["identity"]["training data"].startswith("72 rows")


# ---------------------------------------------------------------- killed


def test_the_output_that_was_asked_for_is_kept_from_the_first_instant(
    place: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # once the folder of the run has its file
        patch.setattr("chainrule.cli.commands.train.place", killed)
        told(*BEGIN, "-o", "mine", "-q", cwd=place, code=130)
    told("--resume", "runs/a", "-q", cwd=place)
    assert (place / "mine" / "model.safetensors").exists()
    assert not (place / "houses-model").exists()


KILLED = """
import os, random, signal, sys, time
from chainrule.cli.main import main

folder, kills, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.chdir(folder)
chance = random.Random(seed)
settings = ["--target", "price", "--members", "1", "--hidden", "12", "--refit", "yes"]

def child(*arguments):
    process = os.fork()
    if not process:
        os.dup2(os.open("told", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        os._exit(main(["train", *arguments, "-q"]))
    return process

assert main(["train", "houses.csv", *settings, "-o", "first", "-q"]) == 0  # others have its code
begun = time.monotonic()
assert os.waitpid(child("houses.csv", *settings, "-o", "second"), 0)[1] == 0
took = time.monotonic() - begun
done, runs = 0, 0
while done < kills:
    runs += 1
    kept, new = f"runs/{runs}", ["houses.csv", *settings, "-o", f"made/{runs}"]
    arguments = [*new, "--checkpoint", kept, "--every", chance.choice(["0s", "0.05s"])]
    while True:
        process = child(*arguments, "--threads", str(chance.choice([1, 2])))
        until, ended = time.monotonic() + chance.uniform(0, took), None
        while done == kills or time.monotonic() < until:
            ended = os.waitpid(process, os.WNOHANG)
            if ended[0]:
                break
            time.sleep(0.001)
        if ended and ended[0]:
            assert ended[1] == 0, ended
            break
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        done += 1
        if os.path.exists(f"{kept}/run.json"):
            arguments = ["--resume", kept]
print(done, runs)
"""


def killed(folder: Path, kills: int, seed: int) -> None:
    houses(folder / "houses.csv", rows=120)
    output = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(folder), str(kills), str(seed)],
        capture_output=True, check=False, text=True, timeout=3000, env=environment(),
    )  # fmt: skip
    told = folder / "told"
    assert output.returncode == 0, (seed, output.stderr, told.read_text("utf-8"))
    done, runs = map(int, output.stdout.split())
    assert done == kills
    first = values(folder / "first" / "model.safetensors")
    for k in range(1, runs + 1):
        assert values(folder / "made" / str(k) / "model.safetensors") == first, f"seed {seed}"


def test_killed_at_random_instants(tmp_path: Path) -> None:
    killed(tmp_path, 12, int.from_bytes(os.urandom(4), "little"))


@pytest.mark.soak
def test_killed_a_hundred_times(tmp_path: Path) -> None:
    killed(tmp_path, 100, int.from_bytes(os.urandom(4), "little"))


def test_no_worker_outlives_the_command(place: Path) -> None:
    """Folds train in processes of their own, which would go on writing after the command."""
    with start("train", *BEGIN, cwd=place) as process:
        assert process.stderr is not None
        while "Run 1" not in process.stderr.readline():
            pass
        found: list[int] = []
        until = time.monotonic() + 30
        while not found and time.monotonic() < until:
            found = children(process.pid)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    until = time.monotonic() + 10
    while any(map(alive, found)) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(map(alive, found))


def children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [*map(int, text.split())]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def as_python(folder: Path, **settings: Any) -> cr.Model:
    table = cr.data.read(folder / "houses.csv")
    return cr.train(table, "price", members=1, hidden=[12], refit="yes", verbose=False, **settings)


def test_python_goes_on_with_it_too(whole: Path, begun: Path, told: Told) -> None:
    model = as_python(begun, checkpoint=begun / "runs" / "a")
    old = cr.load(whole / "whole" / "model.safetensors")
    assert {n: x.tobytes() for n, x in model.values.items()} == {
        n: x.tobytes() for n, x in old.values.items()
    }
    as_python(begun, checkpoint=begun / "runs" / "b")
    _, err = told("--resume", "runs/b", cwd=begun, code=1)
    assert "the run was begun in Python" in err
