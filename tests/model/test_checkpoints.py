"""Runs with checkpoints: cut short anywhere, they end with the bits of a run that was not."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ended import ended

import chainrule as cr
from chainrule import schedules as s
from chainrule.errors import ModelFileError, SettingError
from chainrule.model import checkpointfile
from chainrule.train import loop
from chainrule.train.progress import Progress

R = np.random.default_rng(5)
X = R.normal(size=(40, 3)).astype("float32")
DATA = {"x": X, "t": (X[:, 0] * X[:, 1] > 0).astype("int32")}


def network(seed: int = 3, width: int = 8) -> cr.Model:
    x, t = cr.input("x", (3,)), cr.input("t", (), dtype="int32")
    h = cr.dropout(cr.batch_norm(cr.dense(x, width, "tanh")), 0.1)
    logits = cr.dense(h, 2)
    return cr.Model(logits, cr.cross_entropy(logits, t), seed=seed)


class Cut(Exception):
    """Stands for what ends a process in the middle of a run."""


class Shown(Progress):
    """Collects notes, and raises an error at the k-th update."""

    def __init__(self, at: int | None = None, error: type[BaseException] = Cut) -> None:
        self.at, self.error, self.updates = at, error, 0
        self.notes: list[str] = []
        self.summary = ""

    def update(
        self, epoch: int, fraction: float, *, loss: float | None = None, rate: float | None = None
    ) -> None:
        self.updates += 1
        if self.updates == self.at:
            raise self.error

    def note(self, text: str) -> None:
        self.notes.append(text)

    def finish(self, summary: str = "") -> None:
        self.summary = summary


def fitted(model: cr.Model, **settings: Any) -> cr.Model:
    model.fit(DATA, **{"epochs": 6, "batch_size": 8, "verbose": False, **settings})
    return model


def cut(at: int, folder: Path, error: type[BaseException] = Cut, **settings: Any) -> cr.Model:
    """A model whose run ended at an update; its folder has what a process would have left."""
    kept = settings.pop("checkpoint", cr.Checkpoint(folder, every=0))
    model = settings.pop("model", None) or network()
    with pytest.raises(error):
        fitted(model, checkpoint=kept, verbose=Shown(at, error), **settings)
    return model


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call of the program is one step, so that a run can be cut after each."""
    monkeypatch.setattr(loop, "SLICE_SECONDS", 0)


RUNS: dict[str, dict[str, Any]] = {
    "best kept": {},
    "adam": {"optimizer": cr.Adam(0.05), "clip_norm": 1.0},
    "cosine": {"optimizer": cr.SGD(s.Cosine(0.3), momentum=0.9)},
    "warm up": {"optimizer": cr.SGD(s.WarmUp(s.Polynomial(0.3)))},
    "plateau": {"optimizer": cr.SGD(s.ReduceOnPlateau(0.9, patience=1, factor=0.5))},
    "early stop": {"optimizer": cr.SGD(1.5), "patience": 2, "epochs": 30},
    "stopped by the loss": {
        "optimizer": cr.SGD(1.5), "patience": cr.EarlyStopping("loss", patience=1),
        "validation": None, "epochs": 30,
    },
    "losses alone": {"validation": None, "keep_best": False, "metrics": []},
    "the last kept": {"keep_best": False, "metrics": ["accuracy"]},
    "some trained": {"trainable": ["*.w"], "shuffle": False},
    "l-bfgs": {"optimizer": cr.LBFGS(iterations=20, memory=4), "epochs": None},
    "interpreted": {"backend": "interpreter", "epochs": 3},
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.usefixtures("one_by_one")
def test_cut_after_any_step_it_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    run = RUNS[name]
    counted = Shown()
    whole = fitted(network(), verbose=counted, **run)
    later = ended(fitted(whole, epochs=2)) if name == "plateau" else None
    whole = fitted(network(), **run)
    for at in range(1, counted.updates + 1, 1 if name == "best kept" else 5):
        folder = tmp_path / str(at)
        kept = cr.Checkpoint(folder, every="1h")  # Ctrl-C writes the one and only
        cut(at, folder, KeyboardInterrupt, checkpoint=kept, **run)
        shown = Shown()
        resumed = fitted(network(), checkpoint=kept, threads=1, verbose=shown, **run)
        assert f"after step {at:,}" in shown.notes[-1], at
        assert ended(resumed) == ended(whole), at
        if later is not None:
            assert ended(fitted(resumed, epochs=2)) == later


@pytest.mark.parametrize("at", [2, 9, 17])
@pytest.mark.usefixtures("one_by_one")
def test_an_error_leaves_the_checkpoints_before_it(at: int, tmp_path: Path) -> None:
    cut(at, tmp_path)
    cut(3, tmp_path)  # and once more, from where that ended
    assert ended(fitted(network(), checkpoint=tmp_path, threads=2)) == ended(fitted(network()))
    shown = Shown()
    fitted(network(), checkpoint=tmp_path, verbose=shown)
    assert "is complete" in shown.notes[-1]


@pytest.mark.parametrize("name", ["losses alone", "best kept", "early stop"])
def test_epochs_that_run_in_one_call(name: str, tmp_path: Path) -> None:
    run = {**RUNS[name], "epochs": 300}
    whole = fitted(network(), **run)
    for at in (2, 4, 6):
        folder = tmp_path / str(at)
        kept = cr.Checkpoint(folder, every=0)
        with contextlib.suppress(KeyboardInterrupt):
            fitted(network(), checkpoint=kept, verbose=Shown(at, KeyboardInterrupt), **run)
        assert ended(fitted(network(), checkpoint=kept, **run)) == ended(whole)


@pytest.mark.usefixtures("one_by_one")
def test_what_is_recorded_goes_on(tmp_path: Path) -> None:
    run: dict[str, Any] = {"record": cr.Record(rows=5), "epochs": 5}
    counted = Shown()
    whole = fitted(network(), verbose=counted, **run)
    assert whole.record is not None
    for at in range(1, counted.updates + 1, 4):
        folder = tmp_path / str(at)
        cut(at, folder, **run)
        resumed = fitted(network(), checkpoint=folder, **run)
        assert ended(resumed) == ended(whole), at
        assert resumed.record is not None
        assert resumed.record.to_dict() == whole.record.to_dict(), at
        assert shown_of(resumed) == shown_of(whole), at
    last = tmp_path / str(at)
    with pytest.raises(SettingError, match="another call") as caught:
        fitted(network(), checkpoint=last, epochs=5)
    assert "record" in str(caught.value.expected)
    fitted(resumed, epochs=2, record=cr.Record(rows=5))  # arrays of a file are copies, and grow
    assert resumed.record.epochs.tolist() == [*range(8)]


def shown_of(model: cr.Model) -> dict[str, Any]:
    """What a page shows of the layers of a run."""
    assert model.learning is not None
    return {name: x for name, x in model.learning.section.items() if name != "history"}


@pytest.mark.usefixtures("one_by_one")
def test_the_same_model_goes_on_after_ctrl_c(tmp_path: Path) -> None:
    model = cut(7, tmp_path, KeyboardInterrupt)
    assert ended(fitted(model, checkpoint=tmp_path)) == ended(fitted(network()))
    changed = cut(7, tmp_path / "b", KeyboardInterrupt)
    name = next(iter(changed.values))
    changed.set_value(name, changed.value(name) + 1)
    with pytest.raises(SettingError, match="another call") as caught:
        fitted(changed, checkpoint=tmp_path / "b")
    assert str(caught.value.expected).startswith("beginning: step 0")


@pytest.mark.usefixtures("one_by_one")
def test_the_second_of_two_calls_goes_on(tmp_path: Path) -> None:
    def both(model: cr.Model, second: Any, **more: Any) -> cr.Model:
        fitted(model, checkpoint=tmp_path / "first", epochs=2)
        return fitted(model, checkpoint=second, epochs=4, **more)

    whole = both(network(), None)
    with pytest.raises(KeyboardInterrupt):
        both(network(), tmp_path / "second", verbose=Shown(3, KeyboardInterrupt))
    assert ended(both(network(), tmp_path / "second")) == ended(whole)


def test_a_complete_run_gives_its_end(tmp_path: Path) -> None:
    stopping = {"optimizer": cr.SGD(1.5), "patience": 2, "epochs": 30}
    whole = fitted(network(), checkpoint=tmp_path, **stopping)
    shown = Shown()
    again = fitted(network(), checkpoint=tmp_path, verbose=shown, **stopping)
    assert "is complete" in shown.notes[-1]
    assert shown.updates == 0
    assert "stopped: " in shown.summary
    assert ended(again) == ended(whole)


def test_a_run_that_a_callback_stopped_is_complete(tmp_path: Path) -> None:
    def stop(state: Any) -> None:
        if state.epoch == 3:
            state.stop("seen enough")

    whole = fitted(network(), checkpoint=tmp_path, callbacks=stop)
    shown = Shown()
    assert ended(fitted(network(), checkpoint=tmp_path, verbose=shown)) == ended(whole)
    assert "stopped: seen enough" in shown.summary


# ---------------------------------------------------------------- what differs


DIFFERENT: dict[str, dict[str, Any]] = {
    "batch_size": {"batch_size": 4}, "epochs": {"epochs": 7}, "keep_best": {"keep_best": False},
    "optimizer": {"optimizer": cr.SGD(0.2)}, "patience": {"patience": 3},
    "shuffle": {"shuffle": False}, "clip_norm": {"clip_norm": 2.0}, "metrics": {"metrics": []},
    "backend": {"backend": "interpreter"}, "trainable": {"trainable": ["*.w"]},
    "validation data": {"validation": None},
}  # fmt: skip


@pytest.mark.usefixtures("one_by_one")
def test_what_differs_is_named(tmp_path: Path) -> None:
    cut(7, tmp_path, KeyboardInterrupt, optimizer=cr.SGD(0.1))
    files = {x: x.read_bytes() for x in tmp_path.iterdir()}

    def refused(model: cr.Model, data: Any = DATA, **changed: Any) -> list[str]:
        settings = {"epochs": 6, "batch_size": 8, "optimizer": cr.SGD(0.1), **changed}
        before = model.values
        with pytest.raises(SettingError, match="another call") as caught:
            model.fit(data, checkpoint=tmp_path, verbose=False, **settings)
        assert all(np.array_equal(before[name], x) for name, x in model.values.items())
        sides = [str(x).splitlines() for x in (caught.value.expected, caught.value.got)]
        names = [[line.partition(":")[0] for line in side] for side in sides]
        assert names[0] == names[1]
        return names[0]

    for name, changed in DIFFERENT.items():
        assert name in refused(network(), **changed)
    assert "model" in refused(network(width=9))
    assert "seed" in refused(network(seed=4))
    other = {**DATA, "x": X + np.float32(1e-6)}
    assert refused(network(), other) == ["training data", "validation data"]
    assert {x: x.read_bytes() for x in tmp_path.iterdir()} == files


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"checkpoint": 3}, "not a checkpoint"),
    ],
)
def test_what_has_no_checkpoints_is_refused(
    settings: dict[str, Any], what: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingError, match=what):
        fitted(network(), **{"checkpoint": tmp_path / "new", **settings})
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "wrong", [{"every": "soon"}, {"every": -1}, {"every": "5 d"}, {"keep": 0}, {"keep": 1.5}]
)
def test_settings_of_checkpoints_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=f"Checkpoint.{next(iter(wrong))}"):
        cr.Checkpoint("runs", **wrong)
    with pytest.raises(SettingError, match=r"Checkpoint\.folder"):
        cr.Checkpoint(None)  # type: ignore[arg-type]


def test_durations() -> None:
    every = {"90s": 90.0, "1.5 min": 90.0, "2h": 7200.0, "0s": 0.0}
    assert {text: cr.Checkpoint("runs", every=text).seconds for text in every} == every
    assert cr.Checkpoint("runs", every=2).seconds == 2.0


# ---------------------------------------------------------------- files


def checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.safetensors"))


@pytest.fixture
def three(tmp_path: Path, one_by_one: None) -> Path:
    """A folder with the checkpoints of steps 2, 4 and 6."""
    for _ in range(3):
        kept = cr.Checkpoint(tmp_path, every="1h")
        cut(2, tmp_path, KeyboardInterrupt, checkpoint=kept)
    return tmp_path


def test_the_last_ones_are_kept(three: Path) -> None:
    assert [x.name for x in checkpoints(three)] == [f"step-{k:010d}.safetensors" for k in (2, 4, 6)]
    cut(1, three, KeyboardInterrupt, checkpoint=cr.Checkpoint(three, every="1h", keep=2))
    assert [x.name for x in checkpoints(three)] == [f"step-{k:010d}.safetensors" for k in (6, 7)]
    assert {x.name for x in three.iterdir()} - {x.name for x in checkpoints(three)} == {"lock"}


@pytest.mark.parametrize("damage", [lambda x: x[: len(x) // 2], lambda x: b"", lambda x: b"{}" * 9])
def test_a_damaged_one_is_set_aside_and_the_one_before_is_used(damage: Any, three: Path) -> None:
    last = checkpoints(three)[-1]
    last.write_bytes(damage(last.read_bytes()))
    shown = Shown()
    resumed = fitted(network(), checkpoint=cr.Checkpoint(three, every="1h"), verbose=shown)
    assert ended(resumed) == ended(fitted(network()))
    told = [x for x in shown.notes if "is damaged" in x]
    assert len(told) == 1
    assert last.name in told[0]
    assert any("after step 4" in x for x in shown.notes)
    assert last.with_name(last.name + ".damaged").exists()


def test_no_changed_byte_is_taken(three: Path) -> None:
    path = checkpoints(three)[-1]
    sound = path.read_bytes()
    assert checkpointfile.read(path)["run"]["step"] == 6
    for k in [*range(0, 600, 7), *range(600, len(sound), len(sound) // 150)]:
        changed = bytearray(sound)
        changed[k] ^= 1 + k % 7
        path.write_bytes(changed)
        with pytest.raises(ModelFileError) as caught:
            checkpointfile.read(path)
        assert str(path) in str(caught.value.at)
    for length in range(0, len(sound), len(sound) // 40):
        path.write_bytes(sound[:length])
        with pytest.raises(ModelFileError):
            checkpointfile.read(path)


def test_one_of_a_newer_version_is_not_damaged(
    three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = checkpoints(three)[-1]
    content = checkpointfile.read(path)
    with monkeypatch.context() as patch:
        patch.setattr(checkpointfile, "FORMAT", 2)
        checkpointfile.write(path, content)
    with pytest.raises(ModelFileError, match="newer version"):
        fitted(network(), checkpoint=three)
    assert path.exists()


def test_no_temporary_is_left(three: Path) -> None:
    left = three / ".step-0000000009.safetensors-0a1b2c3d-00112233.partial"
    left.mkdir()
    (left / "new").write_bytes(b"half")
    fitted(network(), checkpoint=three)
    assert not left.exists()


# ---------------------------------------------------------------- a full disk, another run


def test_a_full_disk_is_told_once_and_training_goes_on(three: Path) -> None:
    before = {x: x.read_bytes() for x in checkpoints(three)}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    shown = Shown()
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))  # no file may be longer
    try:
        model = fitted(network(), checkpoint=cr.Checkpoint(three, every=0), verbose=shown)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ended(model) == ended(fitted(network()))
    assert [x for x in shown.notes if "cannot be written" in x] == [shown.notes[-1]]
    assert {x: x.read_bytes() for x in checkpoints(three)} == before
    assert ended(fitted(network(), checkpoint=three)) == ended(model)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match="cannot be written"):
        fitted(network(), checkpoint=tmp_path / "file" / "runs")


HOLDS = """
import sys, time
from pathlib import Path
from chainrule.system.folderlock import FolderLock
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_folder_belongs_to_one_run(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(SettingError, match="another run writes") as caught:
            fitted(network(), checkpoint=tmp_path)
        assert f"process {other.pid} on " in str(caught.value.got)
        other.send_signal(signal.SIGKILL)
    shown = Shown()
    fitted(network(), checkpoint=tmp_path, verbose=shown)
    assert any(f"process {other.pid} on " in x and "taken over" in x for x in shown.notes)
    assert (tmp_path / "lock").read_bytes() == b""
    within = Shown()

    def inner(state: Any) -> None:
        with pytest.raises(SettingError, match="another run writes"):
            fitted(network(), checkpoint=tmp_path / "b")

    fitted(network(), checkpoint=tmp_path / "b", callbacks=inner, verbose=within, epochs=1)
    assert not any("taken over" in x for x in within.notes)


# ---------------------------------------------------------------- killed

KILLED = """
import hashlib, os, random, signal, sys, time
import numpy as np
import chainrule as cr

folder, kills, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
r, chance = np.random.default_rng(1), random.Random(seed)
x = r.normal(size=(3000, 8)).astype("float32")
data = {"x": x, "t": (x[:, 0] * x[:, 1] > 0).astype("int32")}

def train(**settings):
    x, t = cr.input("x", (8,)), cr.input("t", (), dtype="int32")
    logits = cr.dense(cr.dropout(cr.dense(x, 48, "tanh"), 0.1), 2)
    model = cr.Model(logits, cr.cross_entropy(logits, t), seed=1)
    model.fit(data, epochs=12, batch_size=8, verbose=False, patience=9,
              optimizer=cr.Adam(cr.schedules.Cosine(3e-3)), **settings)
    digest = hashlib.sha256()
    for name, value in sorted((model.values | model.slots).items()):
        digest.update(name.encode() + value.tobytes())
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in model.history]
    digest.update(repr(rows).encode())
    print(digest.hexdigest(), flush=True)

def child(**settings):
    process = os.fork()
    if not process:
        train(**settings)
        os._exit(0)
    return process

os.waitpid(child(), 0)
done, runs = 0, 0
while done < kills:
    runs += 1
    while True:
        kept = cr.Checkpoint(os.path.join(folder, str(runs)), every=chance.choice([0, 0.01]))
        process = child(checkpoint=kept, threads=chance.choice([1, 2]))
        until, ended = time.monotonic() + chance.uniform(0, 0.25), False
        while done == kills or time.monotonic() < until:
            ended = os.waitpid(process, os.WNOHANG)[0] != 0
            if ended:
                break
            time.sleep(0.001)
        if ended:
            break
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        done += 1
print(done, runs)
"""


def killed(tmp_path: Path, kills: int, seed: int) -> None:
    output = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path), str(kills), str(seed)],
        stdout=subprocess.PIPE, check=True, text=True, timeout=1200,
    ).stdout.splitlines()  # fmt: skip
    *digests, counts = output
    done, runs = map(int, counts.split())
    assert done == kills
    assert len(digests) >= 1 + runs
    assert len(set(digests)) == 1, f"seed {seed}: {output}"


def test_killed_at_random_instants(tmp_path: Path) -> None:
    killed(tmp_path, 12, int.from_bytes(os.urandom(4), "little"))


@pytest.mark.soak
def test_killed_a_hundred_times(tmp_path: Path) -> None:
    killed(tmp_path, 100, int.from_bytes(os.urandom(4), "little"))


def test_the_document_is_plain_json(three: Path) -> None:
    content = checkpoints(three)[-1].read_bytes()
    length = int.from_bytes(content[:8], "little")
    document = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["chainrule"])
    assert json.loads(document["document"])["identity"]["batch_size"] == "8"
