"""A loss of power at any instant leaves a checkpoint that is complete, and the run goes on."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.model.checkpoints import CheckpointFolder, Snapshot, Writer
from chainrule.train import loop
from powerloss import Disk, recorded

R = np.random.default_rng(8)
X = R.normal(size=(40, 3)).astype("float32")
DATA = {"x": X, "t": (X[:, 0] * X[:, 1] > 0).astype("int32")}


def fitted(**settings: Any) -> dict[str, bytes]:
    """The end of a run, and its losses."""
    x, t = cr.input("x", (3,)), cr.input("t", (), dtype="int32")
    logits = cr.dense(cr.dropout(cr.dense(x, 4, "tanh"), 0.1), 2)
    model = cr.Model(logits, cr.cross_entropy(logits, t), seed=3)
    model.fit(DATA, epochs=3, batch_size=8, optimizer=cr.Adam(0.05), verbose=False, **settings)
    return bits(model)


def bits(model: cr.Model) -> dict[str, bytes]:
    state = model.values | model.slots
    return {n: x.tobytes() for n, x in state.items()} | {"": model.history["loss"].tobytes()}


Left = list[tuple[Path, int]]


def cut_at_each_instant(
    folder: Path, work: Callable[[Path], object], patch: pytest.MonkeyPatch, seed: int, *,
    synced: bool = True,
) -> Left:  # fmt: skip
    """What a loss of power leaves after each operation, and the last step that was complete.

    Args:
        work: writes checkpoints to a folder; its files are recorded.
        synced: whether fsync is.
    """
    root = folder / "disk"
    root.mkdir()
    disk, chance, left, complete = Disk(root), random.Random(seed), Left(), [-1]
    write = CheckpointFolder.write

    def written(self: CheckpointFolder, snapshot: Snapshot) -> None:
        write(self, snapshot)
        complete.append(snapshot.state.step)

    def cut() -> None:
        step = complete[-1]
        left.append((disk.after_power_loss(folder / f"left-{len(left)}", chance), step))

    patch.setattr(CheckpointFolder, "write", written)
    disk.at_each = cut
    if not synced:
        patch.setattr(disk, "sync", lambda inode: None)
    with recorded(disk):
        work(root / "runs" / "first")
    assert max(complete) > 0
    return left


def sound(left: Left) -> None:
    """The last complete checkpoint is there wherever power was lost, and none is damaged."""
    for folder, step in left:
        kept = folder / "runs" / "first"
        if not kept.is_dir():
            assert step < 0, folder
            continue
        files = CheckpointFolder(kept, 2)
        found = files.last()
        assert not files.notes, (folder, files.notes)
        assert (-1 if found is None else found.state.step) >= step, folder


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call of the program is one step, and each is written, so that there are many."""
    put = Writer.put

    def waited(self: Writer, snapshot: Snapshot) -> None:
        put(self, snapshot)
        self.wait()

    monkeypatch.setattr(Writer, "put", waited)
    monkeypatch.setattr(loop, "SLICE_SECONDS", 0)


@pytest.mark.usefixtures("one_by_one")
def test_a_complete_checkpoint_is_always_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = random.randrange(2**32)
    left = cut_at_each_instant(
        tmp_path,
        lambda folder: fitted(checkpoint=cr.Checkpoint(folder, every=0, keep=2)),
        monkeypatch, seed,
    )  # fmt: skip
    assert len(left) > 60
    assert any(step > 0 for _, step in left), seed
    sound(left)
    whole = fitted()
    for folder, _ in left[:: len(left) // 6]:
        kept = cr.Checkpoint(folder / "runs" / "first", every="1h")
        assert fitted(checkpoint=kept) == whole, (seed, folder)


@pytest.mark.usefixtures("one_by_one")
def test_without_fsync_the_same_check_finds_a_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = cut_at_each_instant(
        tmp_path,
        lambda folder: fitted(checkpoint=cr.Checkpoint(folder, every=0, keep=2)),
        monkeypatch, 5, synced=False,
    )  # fmt: skip
    with pytest.raises(AssertionError):
        sound(left)


def test_the_folder_of_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(folder: Path | None) -> dict[str, bytes]:
        kept = None if folder is None else cr.Checkpoint(folder, every=0)
        settings: dict[str, Any] = {"epochs": 2, "hidden": [4], "members": 1, "refit": "yes"}
        return bits(cr.train("xor", "label", verbose=False, checkpoint=kept, **settings))

    left = cut_at_each_instant(tmp_path, trained, monkeypatch, 6)
    whole = trained(None)
    for folder, _ in left[:: len(left) // 8]:
        assert trained(folder / "runs" / "first") == whole, folder
