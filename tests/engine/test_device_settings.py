"""Settings of a run on a device: each works there, or an error says what to type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from backend.opencl import WORD, device
from chainrule.errors import ChainruleError, SettingError
from chainrule.system.ranks.local import run_threads
from chainrule.train.progress import Progress

NUMBERS = np.random.default_rng(8)
DATA = {
    "x": NUMBERS.standard_normal((60, 5)).astype("float32"),
    "t": NUMBERS.integers(0, 3, 60).astype("int32"),
}


@pytest.fixture(autouse=True)
def _on_a_device() -> None:
    device()


def model() -> cr.Model:
    x, t = cr.input("x", (5,)), cr.input("t", (), dtype="int32")
    z = cr.dense(x, 3)
    return cr.Model(z, cr.cross_entropy(z, t), seed=4)


def fitted(made: cr.Model, data: Any = DATA, **settings: Any) -> cr.Model:
    given = {"epochs": 4, "batch_size": 8, "device": WORD, "validation": None, "verbose": False}
    made.fit(data, **given | settings)
    return made


def bits(made: cr.Model) -> dict[str, bytes]:
    return {name: x.tobytes() for name, x in (made.values | made.slots).items()}


@pytest.mark.parametrize(
    ("settings", "match", "fix"),
    [
        ({"blocks": 4}, "only the processor cuts minibatches into blocks", "device='cpu', or bl"),
        ({"precision": "bfloat16"}, "run on the processor alone", "precision='float32', or dev"),
        ({"backend": "interpreter"}, "the interpreter runs on the processor", "leave out device="),
    ],
)
def test_what_a_device_does_not_have_is_refused(
    settings: dict[str, Any], match: str, fix: str
) -> None:
    made = model()
    before = bits(made)
    with pytest.raises(SettingError, match=match) as told:
        fitted(made, **settings)
    assert f"fix       {fix}" in str(told.value)
    assert bits(made) == before


def test_several_ranks_are_refused() -> None:
    def told() -> str:
        with pytest.raises(SettingError, match="ranks share minibatches on processors") as error:
            fitted(model())
        return str(error.value)

    for text in run_threads(2, told):
        assert "on 2 ranks" in text
        assert "device='cpu', or one process" in text


class Cut(Progress):
    """Ends a run in the middle."""

    updates = 0

    def update(self, epoch: int, fraction: float, **_: Any) -> None:
        self.updates += 1
        if self.updates == 2:
            raise KeyboardInterrupt


def test_a_run_with_checkpoints_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    settings = {"validation": 0.2, "optimizer": cr.Adam(0.02)}
    want = fitted(model(), **settings)
    kept = cr.Checkpoint(tmp_path / "run", every=0)
    with pytest.raises(KeyboardInterrupt):
        fitted(model(), checkpoint=kept, **settings | {"verbose": Cut()})
    again = fitted(model(), checkpoint=kept, **settings)
    assert again.steps == want.steps
    assert bits(again) == bits(want)
    for name in ("loss", "validation_loss"):
        npt.assert_array_equal(again.history[name], want.history[name])
    with pytest.raises(ChainruleError, match="device"):
        fitted(model(), checkpoint=kept, **settings | {"device": "cpu"})


def test_a_run_is_recorded() -> None:
    plain, made = fitted(model()), fitted(model(), record=True)
    assert bits(made) == bits(plain)
    assert made.learning is not None


def test_a_stream_is_trained_on_and_predicted() -> None:
    rows = [{name: x[k : k + 20] for name, x in DATA.items()} for k in range(0, 60, 20)]
    with cr.data.stream(rows) as stream:
        found = [fitted(model(), stream, **x) for x in ({}, {"device": "cpu"})]
        for name, value in found[1].values.items():
            npt.assert_allclose(found[0].values[name], value, 1e-4, 1e-5, err_msg=name)
        there, here = (found[1].predict(stream, **x) for x in ({"device": WORD}, {}))
    npt.assert_allclose(there, here, 1e-5, 1e-5)
