"""The table of column kinds: each reaches the network, and one that would not is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.testing as npt
import pytest
from PIL import Image

import chainrule as cr
from chainrule.data import KINDS, Kind, Schema, guess_kinds, read
from chainrule.data.column import Column, Floats
from chainrule.data.columns.encoder import (
    ENCODERS,
    ArrayEncoder,
    CategoryEncoder,
    Encoder,
    NumericEncoder,
    register,
)
from chainrule.data.columns.stats import Stats, stats_of
from chainrule.data.features import features
from chainrule.errors import ModelFileError, SettingError

SIZES = ("small", "medium", "large")
CELLS: dict[str, list[Any]] = {
    "number": [1.5, 2.25, 7.0],
    "boolean": ["yes", "no", "yes"],
    "category": ["red", "green", "blue"],
    "date": ["2021-01-03", "2022-05-11", "2023-12-30"],
    "text": ["a fine day", "a poor old day", "fine and old"],
    "sizes": list(SIZES),
    "signal": ["[0, 1, 2, 3]", "[3, 2, 1, 0]", "[0, 1, 1, 0]"],
    "picture": [],
}
"""By kind, three cells that differ; the pictures are drawn by `pictures`."""


@pytest.fixture(autouse=True, scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("pictures")
    CELLS["picture"] = [str(folder / f"{k}.png") for k in range(3)]
    for k, path in enumerate(CELLS["picture"]):
        Image.fromarray(np.eye(8, k=k, dtype=np.uint8) * 255).save(path)


class SizesColumn(NumericEncoder, frozen=True, kw_only=True, tag="sizes"):
    """Sizes in their order: 0, 1 and 2."""

    kind = "sizes"
    levels: tuple[str, ...]
    stats: Stats

    @classmethod
    def guess(cls, column: Column) -> str | None:
        """Texts that are all sizes."""
        sizes = column.storage == "text" and set(column.texts) <= set(SIZES)
        return "sizes in an order" if sizes else None

    @classmethod
    def fit(cls, column: Column, reason: str = "") -> Self:
        """Learn which sizes there are."""
        values = _places(column, SIZES)
        return cls(name=column.name, reason=reason, gaps=column.gaps, distinct=column.distinct,
                   levels=SIZES, stats=stats_of(values))  # fmt: skip

    @property
    def parts(self) -> tuple[tuple[str, Stats], ...]:
        """One number."""
        return ((self.name, self.stats),)

    @property
    def treatment(self) -> str:
        """For display."""
        return " < ".join(self.levels)

    def encode(self, column: Column) -> tuple[Floats, list[str]]:
        """(n, 1) float64."""
        return _places(column, self.levels)[:, None], self.new_gaps(column.gaps)


def _places(column: Column, levels: tuple[str, ...]) -> Floats:
    codes, labels = column.labels()
    known = [float(levels.index(label)) if label in levels else np.nan for label in labels]
    return np.array([*known, np.nan])[codes]


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> type[SizesColumn]:
    monkeypatch.setitem(ENCODERS, "sizes", SizesColumn)
    del ENCODERS["sizes"]
    return register(SizesColumn)


def table(kind: str, rows: int = 60) -> dict[str, Any]:
    """A column of the kind on which the target depends."""
    return {"c": (CELLS[kind] * rows)[:rows], "y": np.arange(rows) % 3 * 1.5 + 0.25}


def reaches(kind: str) -> cr.Model:
    """A model of one column, once that is seen to make a difference to it."""
    data = table(kind)
    model = cr.train(data, "y", kinds={"c": kind}, quality="fast", epochs=3, verbose=False)
    assert model.schema is not None
    assert [e.kind for e in model.schema.columns] == [kind]
    assert sum((block.columns for block in model.schema.blocks), ()) == ("c",)
    assert set(features(model.schema).treatments) == {"c"}
    values = model.predict({"c": CELLS[kind]}).values
    assert len(np.unique(values)) == len(set(CELLS[kind]))
    return model


def test_each_kind_has_cells_here() -> None:
    assert set(CELLS) == {*ENCODERS, "sizes"}
    assert (*ENCODERS, "id", "constant", "ignore") == KINDS


@pytest.mark.parametrize("kind", ENCODERS)
def test_each_kind_reaches_the_network(kind: str) -> None:
    reaches(kind)


def test_an_added_kind_reaches_the_network(sizes: Any, tmp_path: Path) -> None:
    assert guess_kinds(read(table("sizes")))["c"] == Kind("sizes", "sizes in an order")
    model = reaches("sizes")
    assert model.schema is not None
    path = tmp_path / "model.safetensors"
    model.save(path)
    rows = {"c": ["large", None, "small"]}
    npt.assert_array_equal(cr.load(path).predict(rows).values, model.predict(rows).values)
    del ENCODERS["sizes"]
    with pytest.raises(ModelFileError, match=r"data contract.*\n.*sizes"):
        cr.load(path)
    with pytest.raises(SettingError, match="unknown kind"):
        Schema.learn(read(table("sizes")), "y", kinds={"c": "sizes"})


# ---------------------------------------------------------------- kinds that are refused


class Lost(Encoder, frozen=True, kw_only=True, tag="lost"):
    """All of a kind but what becomes of it."""

    kind = "lost"
    fit = SizesColumn.fit
    treatment = SizesColumn.treatment
    encode = SizesColumn.encode


class Half(CategoryEncoder, frozen=True, kw_only=True, tag="half"):
    """Codes without their number."""

    kind = "half"
    fit = SizesColumn.fit
    treatment = SizesColumn.treatment
    encode = SizesColumn.encode


class Misnamed(ArrayEncoder, frozen=True, kw_only=True, tag="one"):
    """Two names."""

    kind = "another"
    fit = SizesColumn.fit
    treatment = SizesColumn.treatment
    encode = SizesColumn.encode
    width = 3


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        (Lost, "'lost' would not reach the network"),
        (Half, "the kind of column has no width"),
        (type("Empty", (NumericEncoder,), {}), "no fit, encode, treatment, parts"),
        (Misnamed, "one name"),
    ],
)
def test_a_kind_that_lacks_something_is_refused(kind: type[Encoder], match: str) -> None:
    before = dict(ENCODERS)
    with pytest.raises(SettingError, match=match):
        register(kind)
    assert before == ENCODERS


def test_a_second_kind_of_one_name_is_refused(sizes: Any) -> None:
    with pytest.raises(SettingError, match="there is a kind 'sizes' already"):
        register(SizesColumn)


def test_a_column_that_no_block_would_hold_makes_no_schema() -> None:
    used = Schema.learn(read(table("number")), "y").columns
    lost = Lost(name="z", reason="", gaps=0, distinct=3)
    with pytest.raises(SettingError, match="'lost' would not reach the network"):
        Schema(columns=(*used, lost))
