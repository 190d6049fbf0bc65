"""The recipe on pictures and signals: its network, its settings, its report."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import numpy as np
import pytest
from PIL import Image

import chainrule as cr
from chainrule.display.png import between, data_uri, png
from chainrule.errors import SettingError
from chainrule.nn.numeric import scale
from chainrule.recipe import Training
from chainrule.recipe.fit import rate_factors


def shapes(count: int = 80, side: int = 12) -> dict[str, object]:
    """Horizontal and vertical bars at random places, which no single pixel tells apart."""
    generator = np.random.default_rng(0)
    x = generator.integers(0, 60, (count, side, side)).astype(np.uint8)
    y = np.arange(count) % 2
    for k in range(count):
        at = generator.integers(0, side)
        x[k][(at, slice(None)) if y[k] else (slice(None), at)] += 150
    return {"picture": x, "class": np.array(["across", "down"])[y]}


@pytest.fixture(scope="module")
def bars() -> cr.Model:
    return cr.train(shapes(), epochs=25, verbose=False)


def test_a_convolutional_network_learns_bars(bars: cr.Model) -> None:
    fresh = shapes(300)
    assert bars.evaluate({k: v[80:] for k, v in fresh.items()})["accuracy"] > 0.95
    assert [x.shape for x in bars.graph.parameters if x.suffix == ".w" and x.ndim == 4] == [
        (3, 3, 1, 32), (3, 3, 32, 64), (3, 3, 64, 64)
    ]  # fmt: skip
    hidden = next(x for x in bars.graph.parameters if x.suffix == ".w" and x.ndim == 2)
    assert hidden.shape == (2 * 64, 128)  # the mean and the maximum of each channel


def test_pictures_that_are_seen_rarely_are_moved_less_and_no_unit_is_dropped() -> None:
    def chosen(side: int, epochs: int) -> tuple[float | None, float | None]:
        given = cr.Config(target="class", epochs=epochs)
        resolved = Training.of(cr.data.read(shapes(40, side)), given).config
        return resolved.shift, resolved.dropout

    assert chosen(28, 20) == chosen(8, 20) == (0.08, 0.15)  # 2 pixels of 28, and 1 of 8
    assert chosen(28, 19) == (0.04, 0.0)  # 1 pixel of 28
    assert chosen(8, 19) == (0.08, 0.0)


def test_any_number_of_threads_gives_the_same_model(bars: cr.Model) -> None:
    values = []
    for threads in (1, 2):
        training = Training.of(cr.data.read(shapes()), cr.Config(target="class", epochs=2))
        model = training.model
        model.fit(training.data, epochs=2, batch_size=32, threads=threads, verbose=False)
        values.append(model.values)
    assert all((values[0][name] == values[1][name]).all() for name in values[0])


def test_batch_norms_learn_at_the_rate_itself() -> None:
    x = cr.input("x", (8, 8, 1))
    top = cr.dense(scale(cr.global_pool(cr.batch_norm(cr.conv(x, 4, 3)))), 2)
    loss = cr.cross_entropy(top, cr.input("y", (), "int32"))
    factors = rate_factors(cr.Model(outputs=top, loss=loss).graph)
    assert factors == pytest.approx({
        "conv.w": (256 / 9) ** 0.5, "conv.b": 1.6, "scale.scale": 96.0, "dense.w": 8.0,
        "dense.b": 1.6,
    })  # fmt: skip


def test_an_epoch_and_a_row_are_one(bars: cr.Model) -> None:
    model = cr.train(shapes(), epochs=1, validation=0, verbose=False)
    assert repr(model).endswith("; 1 epoch>")
    assert repr(bars).endswith("; 25 epochs>")
    assert repr(model.predict({"picture": shapes(1)["picture"]})).startswith("1 prediction of")


def test_settings_of_pictures(tmp_path: Path) -> None:
    for k in range(6):
        for name, colour in (("a", (200, k, 9)), ("b", (9, k, 200))):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.new("RGB", (40, 30), colour).save(tmp_path / name / f"{k}.png")
    model = cr.train(str(tmp_path), size=(8, 9), colour="grey", flip="yes", shift=0.0, zoom=0.1,
                     convolutions=(4, 6), epochs=1, verbose=False)  # fmt: skip
    inputs = {x.label: x.shape[1:] for x in model.graph.inputs}
    assert inputs["picture"] == (8, 9, 1)
    saved = model.notes["config"]
    assert saved["flip"] == "yes"
    assert saved["size"] == (8, 9)
    assert [x.shape[-1] for x in model.graph.parameters if x.ndim == 4] == [4, 6, 6]


def test_settings_of_pictures_need_pictures() -> None:
    with pytest.raises(SettingError, match="there are none"):
        cr.train("penguins", "species", size=32, verbose=False)


def test_the_target_is_the_column_beside_the_pictures() -> None:
    data = shapes()
    training = Training.of(cr.data.read(data), cr.Config())
    assert training.config.target == "class"
    with pytest.raises(SettingError, match="no target is given"):
        Training.of(cr.data.read({**data, "other": data["class"]}), cr.Config())


def test_the_report_has_worst_pictures_and_filters(bars: cr.Model, tmp_path: Path) -> None:
    report = bars.report(tmp_path / "report.html")
    assert len(report.filters) == 32
    assert report.importance.of == ""
    text = (tmp_path / "report.html").read_text()
    assert "img-src data:" in text
    assert text.count("data:image/png;base64,") >= 32 + len(report.pictures)
    assert ("Worst pictures" in text) == bool(report.pictures)


def test_worst_pictures_are_those_mistaken(tmp_path: Path) -> None:
    data = shapes(60)
    data["class"] = data["class"][::-1].copy()  # labels that are wrong
    model = cr.train(data, epochs=2, quality="fast", validation=0.5, verbose=False)
    report = model.report()
    wrong = round((1 - report.metrics["validation"]["accuracy"]) * 30)
    assert len(report.pictures) == min(wrong, 18)
    assert all(re.fullmatch(r"row \d+", x.name) for x in report.pictures)
    assert all(x.actual != x.predicted.split(",")[0] for x in report.pictures)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (1, 1, 3), (6, 4, 3)])
def test_png_files_are_those_that_pillow_reads(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    (tmp_path / "a.png").write_bytes(png(pixels))
    with Image.open(tmp_path / "a.png") as image:
        assert (np.asarray(image).reshape(shape) == pixels).all()
    assert data_uri(pixels).startswith("data:image/png;base64,iVBOR")


def test_numbers_as_pixels() -> None:
    assert between(np.array([-2.0, -1, 0, 1, 2]), -1, 1).tolist() == [0, 0, 128, 255, 255]


# ---------------------------------------------------------------- signals


def waves(count: int = 80, length: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a short wave at a random place, slow or fast."""
    generator = np.random.default_rng(1)
    x = generator.normal(0, 0.3, (count, length))
    y = np.arange(count) % 2
    for k in range(count):
        at = generator.integers(0, length - 16)
        x[k, at : at + 16] += 2 * np.sin(np.arange(16) * (0.8 if y[k] else 1.6))
    return x, np.array(["fast", "slow"])[y]


def test_columns_of_a_signal(tmp_path: Path) -> None:
    x, y = waves()
    data = {f"x{k + 1}": x[:, k] for k in range(40)} | {"age": np.arange(80) % 5, "y": y}
    model = cr.train(data, "y", signal="x1..x40", epochs=25, verbose=False)
    assert {n.label: n.shape[1:] for n in model.graph.inputs if n.batch or n.label == "y"} == {
        "x1..x40": (40, 1), "numbers": (1,), "y": ()
    }  # fmt: skip
    assert model.evaluate(data)["accuracy"] > 0.9
    model.save(tmp_path / "m.safetensors")
    fresh = {name: column[:5] for name, column in data.items() if name != "y"}
    again = cr.load(tmp_path / "m.safetensors").predict(fresh)
    assert (again.values == model.predict(fresh).values).all()
    del fresh["x7"]
    with pytest.raises(cr.errors.DataError, match=r"'x7'"):
        model.predict(fresh)


def test_signals_of_one_length_are_channels() -> None:
    x, y = waves()
    data = {f"a{k}": x[:, k] for k in range(40)} | {f"b{k}": 100 - x[:, k] for k in range(40)}
    model = cr.train({**data, "y": y}, "y", signal=("a0..a39", "b0..b39"), epochs=1, verbose=False)
    weights = [n.shape for n in model.graph.parameters if n.suffix == ".w" and n.ndim == 3]
    assert weights[0][:2] == (5, 2)
    means = [encoder.mean[0] for encoder in model.schema.used]
    assert means[0] == pytest.approx(100 - means[1])


@pytest.mark.parametrize("form", ["list", "json", "parquet"])
def test_a_column_of_lists(tmp_path: Path, form: str) -> None:
    x, y = waves(30, 24)
    if form == "list":
        texts = [" ".join(map(str, row)) for row in x.tolist()]
        path = tmp_path / "a.csv"
        path.write_text("\n".join(["s,y", *(f"{t},{c}" for t, c in zip(texts, y, strict=True))]))
    elif form == "json":
        path = tmp_path / "a.json"
        rows = [{"s": row, "y": c} for row, c in zip(x.tolist(), y.tolist(), strict=True)]
        path.write_text(str(rows).replace("'", '"'))
    else:
        pl = pytest.importorskip("polars")
        path = tmp_path / "a.parquet"
        pl.DataFrame({"s": x.tolist(), "y": y.tolist()}).write_parquet(path)
    model = cr.train(str(path), "y", signal="s", epochs=1, verbose=False)
    (column,) = model.schema.used
    assert column.shape == (24, 1)
    arrays = model.schema.encode(cr.data.read(str(path))).arrays
    np.testing.assert_allclose(arrays["s"][..., 0], x.astype(np.float32), rtol=1e-6)


def test_gaps_and_lengths_of_signals() -> None:
    rows = ["[1, 2, null, 4]", "[2, 2, 2, 2]", None, "[0, 1, 5, 0]"] * 8
    data = {"s": rows, "y": list("abba") * 8}
    model = cr.train(data, "y", signal="s", epochs=1, verbose=False)
    assert "8 rows without a picture or signal that can be read left out" in model.schema.notes
    predicted = model.predict(data)
    assert np.isnan(predicted.values[2]).all()
    assert any("gaps within" in note for note in predicted.notes)
    with pytest.raises(cr.errors.DataError, match=r"differ in length"):
        cr.train({**data, "s": ["[1, 2, 3]", *rows[1:]]}, "y", signal="s", verbose=False)
    with pytest.raises(cr.errors.DataError, match=r"another length") as caught:
        model.predict({"s": ["[1, 2, 3]", "[1, 2, 3, 4]", "[1, 2, 3]"]})
    assert caught.value.expected == "4 numbers, as in training"
    assert caught.value.got == "3 numbers in 2 rows of 3"
    with pytest.raises(cr.errors.DataError, match=r"not a list of numbers"):
        cr.train({**data, "s": ["hello", *rows[1:]]}, "y", signal="s", verbose=False)


def test_an_empty_list_is_a_row_without_a_signal() -> None:
    data = {"s": [[], [1.0, 2], [2.0, 1]] * 8, "y": ["a", "b", "a"] * 8}
    model = cr.train(data, "y", signal="s", epochs=1, verbose=False)
    assert "8 rows without a picture or signal that can be read left out" in model.schema.notes
    assert np.isnan(model.predict(data).values[0]).all()


def test_the_note_on_lists_says_how_they_become_signals_and_goes_when_they_are() -> None:
    data = {"s": [[1.0, 2], [2.0, 1]] * 8, "y": ["a", "b"] * 8}
    (note,) = cr.data.read(data).notes
    assert note == "column 's': lists of numbers read as text; as signals by signal='s'"
    model = cr.train(data, "y", signal="s", epochs=1, verbose=False)
    assert note not in [*model.schema.notes, *model.predict(data).notes]


@pytest.mark.parametrize("kind", ["DECIMAL(8,2)[]", "FLOAT[3]", "UTINYINT[]", "DOUBLE[]"])
def test_lists_of_every_type_of_number_in_parquet(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    duckdb.sql(
        f"copy (select [i % 9, 2, 3]::{kind} s, i % 2 = 0 y from range(40) t(i)) to '{path}'"
    )
    assert "signal='s'" in cr.data.read(path).notes[0]
    model = cr.train(str(path), "y", signal="s", epochs=1, verbose=False)
    assert model.schema.used[0].shape == (3, 1)


@pytest.mark.parametrize(
    ("signal", "match"),
    [
        ("x1..x9", "no column 'x9'"),
        ("x3..x1", "does not come after"),
        ("x1-x3", r"fix +signal='x1\.\.x3'"),
        ("x1:x3", r"fix +signal='x1\.\.x3'"),
        ("x1...x3", r"fix +signal='x1\.\.x3'"),
    ],
)
def test_spans_that_are_not_there(signal: str, match: str) -> None:
    data = {"x1": [1.0, 2] * 9, "x2": [2.0, 1] * 9, "x3": [0.0, 1] * 9, "y": ["a", "b"] * 9}
    with pytest.raises(SettingError, match=match):
        cr.train(data, "y", signal=signal, verbose=False)
