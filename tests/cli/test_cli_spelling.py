"""Advice that the library gives in Python is shown on the command line as it is typed there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from command import run

import chainrule as cr
from chainrule.cli.spelling import as_options
from chainrule.recipe import BY_KEY
from chainrule.report.text import joined_fix

ADVICE = [
    ("leave out time=", "leave out --time"),
    ("hold out none: validation=0", "hold out none: --validation 0"),
    ("kinds={'zip code': 'category', 'a': 'text'}", "--kinds 'zip code=category,a=text'"),
    ("kinds={'a,b': 'id'}, or not", "--kinds '\"a,b=id\"', or not"),
    ("ignore=['x', 'y'] (or more)", "--ignore x,y (or more)"),
    ("hidden=() is linear; hidden=(64, 32)", "--hidden none is linear; --hidden 64,32"),
    ("clip: fit(..., clip_norm=1.0)", "clip: --clip-norm 1.0"),
    ("task='regression' for numbers", "--task regression for numbers"),
    ("class_weights=\"balanced\".", "--class-weights balanced."),
    ("it's rate=0.1 that helps", "it's --rate 0.1 that helps"),
]  # fmt: skip
UNTOUCHED = [
    "'time=5' and \"from t where time=5\"", "x.time=3", "my_time=3", "time == 3", "time==3",
    "a query: \"FROM 'x*.csv'\" reads many", "column 'kinds={1: 2}'",
]  # fmt: skip


@pytest.mark.parametrize(("python", "typed"), ADVICE)
def test_settings_in_advice_are_options(python: str, typed: str) -> None:
    assert as_options(python) == typed


@pytest.mark.parametrize("text", UNTOUCHED)
def test_what_the_user_wrote_remains(text: str) -> None:
    assert as_options(text) == text


def test_options_are_read_back_as_the_settings_that_python_names() -> None:
    kinds = {"zip code": "category", "a,b": "text", "it's": "id"}
    _, value = shlex.split(as_options(f"kinds={kinds!r}"))
    assert BY_KEY["kinds"].from_texts([value]) == kinds
    names = ["x", "y z", "a,b", "it's"]
    _, value = shlex.split(as_options(f"ignore={names!r}"))
    assert BY_KEY["ignore"].from_texts([value]) == names


def test_one_fix_for_several_columns_names_all_of_them() -> None:
    fixes = [f"leave it out: ignore={[name]}, or not" for name in ("a", "b]", "it's")]
    assert joined_fix(fixes) == "leave it out: ignore=['a', 'b]', \"it's\"], or not"
    assert joined_fix(["kinds={'a': 'id'}", "kinds={'b': 'id'}"]) == "kinds={'a': 'id', 'b': 'id'}"
    assert joined_fix(["collect more rows"] * 2) == "collect more rows"


def table(path: Path, **columns: Sequence[object]) -> Path:
    names = list(columns)
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join([",".join(names), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def fix_of(err: str) -> str:
    """The advice of an error, in one line."""
    found = re.search(r"^  fix +(.*(?:\n {6,}.*)*)", err, re.MULTILINE)
    assert found is not None, err
    return " ".join(found[1].split())


REFUSED = {
    "one moment": (["--time", "t"], "leave out --time"),
    "one group": (["--groups", "t"], "leave out --groups"),
    "classes of a row each": (["--target", "c"], "hold out none: --validation 0"),
    "no column left": (["--ignore", "x,c"], "overrule a guess: --kinds"),
    "unreadable as a kind": (["--kinds", "c=number"], "choose another kind: --kinds c=category"),
}  # fmt: skip


MISTYPED = {
    "a value": (["--scaling", "quantiles"], "did you mean --scaling quantile?"),
    "a value unlike all": (["--loss", "xyz"], "--loss cross_entropy, for example"),
    "a kind, cut short": (["--kinds", "c=cat"], "did you mean 'category'?"),
    "out of bounds": (["--epochs", "0"], "leave out --epochs: the data decide"),
    "out of bounds of a default": (["--seed", "-1"], "leave out --seed: it is 0 then"),
    "two ways to split": (
        ["--groups", "c", "--time", "t"],
        "leave out --groups or leave out --time",
    ),
    "a column to ignore": (["--ignore", "ccc,x"], "did you mean 'c'?"),
}  # fmt: skip


@pytest.mark.parametrize(("options", "fix"), MISTYPED.values(), ids=MISTYPED)
def test_what_is_mistyped_is_told_by_its_option(
    options: list[str], fix: str, tmp_path: Path
) -> None:
    table(tmp_path / "d.csv", x=range(40), c=["a", "b"] * 20, t=range(40), y=range(40))
    _, err = run("train", "d.csv", "--target", "y", *options, cwd=tmp_path, code=1)
    assert fix_of(err) == fix
    assert err.startswith(f"[{options[0]}]") or "or leave" in fix


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    _, err = run("predict", "d-model", "d.csv", cwd=tmp_path, code=1)
    assert fix_of(err) == "chainrule train DATA --target COLUMN -o d-model"
    (tmp_path / "data-model").mkdir()
    (tmp_path / "data-model" / "model.safetensors").write_bytes(b"")
    _, err = run("show", "dat-model", cwd=tmp_path, code=1)
    assert fix_of(err) == "did you mean data-model?"


@pytest.mark.parametrize(("options", "fix"), REFUSED.values(), ids=REFUSED)
def test_refusals_can_be_mended_where_they_are_read(
    options: list[str], fix: str, tmp_path: Path
) -> None:
    n = 30
    letters = [f"w{chr(97 + k % 26)}{k // 26}" for k in range(n)]
    table(tmp_path / "d.csv", x=range(n), c=letters, t=["2024-01-01"] * n,
          y=[k % 2 for k in range(n)])  # fmt: skip
    target = [] if "--target" in options else ["--target", "y"]
    _, err = run("train", "d.csv", *target, *options, cwd=tmp_path, code=1)
    assert fix_of(err).startswith(fix)


def test_the_same_refusal_in_python_is_mended_in_python() -> None:
    x = np.arange(30.0)
    frame = {"x": x, "t": ["2024-01-01"] * 30, "y": x % 2}
    with pytest.raises(cr.errors.DataError, match=r"fix +leave out time="):
        cr.train(frame, "y", time="t", verbose=False)
    with pytest.raises(cr.errors.DataError, match=r"kinds=\{'x': 'category'\}"):
        cr.train({"x": ["a", "b"] * 15, "y": x % 2}, "y", kinds={"x": "number"}, verbose=False)


def test_findings_name_options_on_the_command_line_and_in_its_page(tmp_path: Path) -> None:
    random, n = np.random.default_rng(1), 120
    x = random.normal(size=n).round(3)
    high = ["hi" if v > 0 else "lo" for v in x]
    table(tmp_path / "d.csv", code=[f"Q{k:04d}" for k in range(n)],
          ref=[f"R{k * 7 % n:04d}" for k in range(n)], x=x, z=random.normal(size=n).round(3),
          copy=high, y=high)  # fmt: skip
    out, _ = run("train", "d.csv", "--target", "y", "--epochs", "2", cwd=tmp_path)
    told = " ".join(out.split())
    assert "leave it out: --ignore copy" in told
    assert "--kinds code=category,ref=category" in told
    page = (tmp_path / "d-model" / "report.html").read_text("utf-8")
    assert "--ignore copy" in page
    assert "ignore=[" not in page
    model = cr.train(tmp_path / "d.csv", "y", epochs=2, verbose=False)
    assert "leave it out: ignore=['copy']" in str(model.report())
