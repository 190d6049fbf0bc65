"""Model files written by earlier versions: they load, and predict and score as they did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr

FOLDER = Path(__file__).parents[1] / "golden" / "models"
EXPECTED: dict[str, dict[str, Any]] = json.loads((FOLDER / "expected.json").read_text())
"""By file, a few rows, and what the version that wrote the file made of them."""


def test_every_file_has_its_expectation() -> None:
    assert {path.stem for path in FOLDER.glob("*.safetensors")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_predicts_and_scores_as_when_it_was_written(name: str) -> None:
    model, known = cr.load(FOLDER / f"{name}.safetensors"), EXPECTED[name]
    rows = known["rows"]
    if model.schema is None:
        rows = {key: np.array(value) for key, value in rows.items()}
        output = model.predict({"x": rows["x"]})
    else:
        output = model.predict(rows).values
    npt.assert_allclose(output, known["output"], rtol=2e-5)
    scores = model.evaluate(rows)
    assert list(scores) == list(known["scores"])
    npt.assert_allclose(list(scores.values()), list(known["scores"].values()), rtol=2e-5)


def test_schemas_go_to_plain_data_and_back() -> None:
    schema = cr.load(FOLDER / "classes.safetensors").schema
    assert schema is not None
    assert type(schema).from_dict(schema.to_dict()) == schema
    kinds = [encoder.kind for encoder in schema.columns]
    assert kinds == ["number", "number", "boolean", "category", "category", "date", "text",
                     "dropped"]  # fmt: skip
