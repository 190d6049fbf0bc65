"""Pictures and signals moved, mirrored and enlarged at random in training."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ChainruleError, SettingError, ShapeError
from chainrule.explain.run import run

PIXELS = np.arange(64 * 6 * 5 * 2, dtype=np.float32).reshape(64, 6, 5, 2)


def moved(x: np.ndarray, step: int = 0, seed: int = 0, **how: object) -> np.ndarray:
    node = cr.input("x", x.shape[1:])
    y = cr.augment(node, **how)
    trace = run([y], {"x": x}, training=True, seed=seed, step=step)
    return trace.value(y)


def shifted(x: np.ndarray, rows: int, columns: int, mirrored: bool) -> np.ndarray:
    """One picture (h, w, c) by a loop over its pixels."""
    height, width, _ = x.shape
    y = np.zeros_like(x)
    for i in range(height):
        for j in range(width):
            k = width - 1 - j if mirrored else j
            y[i, j] = x[min(max(i + rows, 0), height - 1), min(max(k + columns, 0), width - 1)]
    return y


def test_prediction_leaves_pictures_alone() -> None:
    node = cr.input("x", (6, 5, 2))
    y = cr.augment(node, flip=True, shift=0.3, zoom=0.2)
    assert (run([y], {"x": PIXELS}).value(y) == PIXELS).all()
    assert cr.augment(node) is node


def test_flips_half_of_the_pictures() -> None:
    found = moved(PIXELS, flip=True)
    mirrored = [(a == b[:, ::-1]).all() for a, b in zip(found, PIXELS, strict=True)]
    alone = [(a == b).all() for a, b in zip(found, PIXELS, strict=True)]
    assert all(a != b for a, b in zip(mirrored, alone, strict=True))
    assert 16 < sum(mirrored) < 48


def test_shifts_and_flips_are_those_of_a_loop() -> None:
    found = moved(PIXELS, flip=True, shift=0.4)  # up to 2 of 6 rows, and 2 of 5 columns
    seen = set()
    for a, b in zip(found, PIXELS, strict=True):
        ways = [(r, c, m) for r in range(-2, 3) for c in range(-2, 3) for m in (False, True)
                if (a == shifted(b, r, c, m)).all()]  # fmt: skip
        assert len(ways) == 1
        seen |= set(ways)
    assert len(seen) > 20


def test_a_zoom_shows_a_part() -> None:
    found = moved(PIXELS, zoom=0.5)
    for a, b in zip(found, PIXELS, strict=True):
        rows = {np.flatnonzero((b[:, 2] == x).all(axis=1))[0] for x in a[:, 2]}
        assert 3 <= len(rows) <= 6
    assert len({len(np.unique(x)) for x in found}) > 1


def test_signals_are_shifted_and_mirrored() -> None:
    signals = np.arange(32 * 10 * 3, dtype=np.float32).reshape(32, 10, 3)
    found = moved(signals, shift=0.2)
    for a, b in zip(found, signals, strict=True):
        assert any((a == b[np.clip(np.arange(10) + d, 0, 9)]).all() for d in range(-2, 3))
    assert any(
        (a == b[::-1]).all() for a, b in zip(moved(signals, flip=True), signals, strict=True)
    )


def test_what_is_drawn_depends_on_seed_and_step() -> None:
    one = moved(PIXELS, shift=0.3)
    assert (one == moved(PIXELS, shift=0.3)).all()
    assert (one != moved(PIXELS, shift=0.3, step=1)).any()
    assert (one != moved(PIXELS, shift=0.3, seed=1)).any()


@pytest.mark.parametrize("shape", [(6, 5, 1), (1, 1, 3), (9, 2)])
def test_any_number_of_threads_gives_the_same_bits(shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(0)
    data = {"x": generator.normal(size=(40, *shape)).astype(np.float32),
            "y": generator.integers(0, 3, 40)}  # fmt: skip
    losses = []
    for settings in ({"threads": 1}, {"threads": 2}, {"backend": "interpreter"}):
        x, y = cr.input("x", shape), cr.input("y", (), "int32")
        h = cr.flatten(cr.augment(x, flip=True, shift=0.3, zoom=0.2))
        z = cr.dense(h, 3, name="z")
        model = cr.Model(z, cr.cross_entropy(z, y))
        model.fit(data, epochs=2, batch_size=16, verbose=False, **settings)
        losses.append((model.history["loss"].tolist(), model.value("z.w")))
    assert losses[0][0] == losses[1][0]
    assert (losses[0][1] == losses[1][1]).all()
    np.testing.assert_allclose(losses[0][1], losses[2][1], rtol=1e-5, atol=1e-6)


def test_convolutions_behind_it_are_computed_once() -> None:
    def products(augmented: bool) -> int:
        x, y = cr.input("x", (8, 8, 1)), cr.input("y", (), "int32")
        h = cr.augment(x, shift=0.2) if augmented else x
        for _ in range(2):
            h = cr.conv(h, 4, 3, "relu")
        z = cr.dense(cr.global_pool(h), 3)
        return str(cr.Model(z, cr.cross_entropy(z, y)).plan(batch_size=8)).count(" @ ")

    assert products(True) == products(False) == 8


@pytest.mark.parametrize(
    ("how", "error", "match"),
    [
        ({"shift": 1.0}, SettingError, "a rate is a fraction"),
        ({"zoom": -0.1}, SettingError, "a rate is a fraction"),
        ({"flip": "yes"}, ChainruleError, "flip"),
    ],
)
def test_refusals(how: dict[str, object], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        cr.augment(cr.input("x", (6, 5, 2)), **how)
    with pytest.raises(ShapeError, match="pictures and signals"):
        cr.augment(cr.input("x", (6,)), shift=0.1)
