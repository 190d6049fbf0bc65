"""Profiles: times that add up, of the kernels that were planned, and a model left as it was."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import FeedError, NotFinite, SettingError


def model() -> cr.Model:
    x, t = cr.input("x", (20,)), cr.input("t", (), dtype="int32")
    h = cr.dropout(cr.batch_norm(cr.dense(x, 33, "gelu", name="hidden"), name="norm"), 0.2)
    y = cr.dense(h, 7, name="y")
    return cr.Model(y, cr.cross_entropy(y, t, name="loss"))


def data(rows: int = 100) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, 20)).astype("float32")
    return {"x": x, "t": rng.integers(0, 7, rows).astype("int32")}


@pytest.mark.parametrize("threads", [1, 2])
def test_the_times_add_up(threads: int) -> None:
    found = model().profile(data(), optimizer="adam", threads=threads, seconds=0.02)
    assert found.forecast.threads == threads
    assert len(found.kernels) == len(found.forecast.kernels)
    planned = {x.work.kernel.name for x in found.forecast.kernels}
    assert {x.cost.work.kernel.name for x in found.kernels} == planned
    busy = sum(x.seconds for x in found.kernels)
    assert sum(found.nodes.values()) == pytest.approx(busy)
    if threads == 1:
        assert busy + found.waiting == pytest.approx(found.seconds)
    assert found.steps >= 2
    assert {"hidden.matmul", "hidden.w.new", "norm", "loss.mean"} & found.nodes.keys()


def test_products_take_most_of_the_time_of_their_kernels() -> None:
    found = model().profile(data(), optimizer="adam", threads=1, seconds=0.02)
    assert found.nodes["hidden.w.gradient"] > found.nodes["hidden.b.gradient"]


def test_the_text_has_every_part_within_its_width() -> None:
    found = model().profile(data(), batch_size=16, optimizer="sgd", threads=2, seconds=0.01)
    lines = str(found).splitlines()
    assert lines[0] == "Profile of a training step of 16 rows, SGD"
    assert max(map(len, lines)) <= 100
    for part in ("Kernels", "Nodes"):
        assert part in lines
    assert any(line.strip().startswith("waiting") for line in lines)
    assert found._repr_html_().count("<table>") == 3


@pytest.mark.parametrize("slower", [1, 10, 100, 1000, 10_000])
def test_a_slow_step_is_as_wide_as_a_fast_one(slower: int) -> None:
    found = model().profile(data(), batch_size=16, optimizer="sgd", threads=2, seconds=0.01)
    kernels = tuple(
        dataclasses.replace(x, threads=tuple(slower * y for y in x.threads)) for x in found.kernels
    )
    waits = tuple(tuple(slower * x for x in phase) for phase in found.waits)
    seconds = slower * found.seconds
    slow = dataclasses.replace(found, kernels=kernels, waits=waits, seconds=seconds)
    assert max(map(len, str(slow).splitlines())) <= 100


def test_the_model_is_left_as_it_was() -> None:
    one, two = model(), model()
    known = data()
    for x in (one, two):
        x.fit(known, optimizer="adam", epochs=1, verbose=False)
    one.profile(known, seconds=0.01)
    assert one.steps == two.steps
    assert len(one.history) == len(two.history)
    for x in (one, two):
        x.fit(known, epochs=1, verbose=False)
    for name in one.values:
        np.testing.assert_array_equal(one.value(name), two.value(name))


def test_fewer_rows_than_a_minibatch_are_a_smaller_one() -> None:
    found = model().profile(data(9), threads=1, seconds=0.01)
    assert found.forecast.cost.rows == 9


def test_wrong_settings_and_data_are_refused() -> None:
    with pytest.raises(SettingError, match="LBFGS"):
        model().profile(data(), optimizer=cr.LBFGS())
    with pytest.raises(FeedError):
        model().profile({"x": data()["x"]})
    with pytest.raises(SettingError, match="batch_size"):
        model().profile(data(), batch_size=0)
    spoilt = data()
    spoilt["x"][:, 3] = np.nan
    with pytest.raises((NotFinite, FeedError)):
        model().profile(spoilt, seconds=0.01)
