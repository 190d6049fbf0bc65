"""The configuration as TOML and as flags: every value there and back, and the lines of mistakes."""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace
from pathlib import Path

import pytest

from chainrule.errors import SettingError
from chainrule.recipe import BY_KEY, KEYS, SETTINGS, Config, config
from chainrule.recipe.configfile import from_toml, to_toml
from chainrule.recipe.setting import split_commas

NAMES = [
    "plain",
    "two words",
    "a.b",
    'say "x"',
    "it's",
    "käse",
    "a=b",
    "#1",
    "",
    "tab\there",
    "\\n",
]
FULL = Config(
    target="y", task="regression", quality="best", members=3, refit="no",
    ignore=("a", "b c"),
    scaling="quantile", embedding="none", hidden=(3, 2), activation="tanh", norm="layer",
    dropout=0.25, loss="huber", target_scaling="log", label_smoothing=0.125,
    class_weights="balanced", optimizer="lion", rate=1e-5, decay=0.0, schedule="cosine",
    clip_norm=2.5, batch_size=7, epochs=9, patience=4, validation=0.375, groups="g", time="t",
    seed=2**63 - 1,
)  # fmt: skip


def there_and_back(chosen: Config, folder: Path) -> Config:
    path = folder / "c.toml"
    path.write_text(to_toml(chosen, "chainrule train 'a\nb'"), encoding="utf-8")
    return config(**from_toml(path))


def test_every_setting_has_a_row() -> None:
    assert tuple(field.name for field in fields(Config)) == KEYS
    assert len(SETTINGS) == len(BY_KEY)
    for setting in SETTINGS:  # the defaults are among the known values
        value = getattr(Config(), setting.key)
        if value is not None:
            assert setting.check(value, "test") == value


@pytest.mark.parametrize("chosen", [FULL, Config(), replace(FULL, hidden=(), ignore=())])
def test_round_trip(chosen: Config, tmp_path: Path) -> None:
    assert there_and_back(chosen, tmp_path) == chosen


@pytest.mark.parametrize("name", NAMES)
def test_odd_column_names_survive(name: str, tmp_path: Path) -> None:
    chosen = replace(FULL, target=name, kinds={name: "text", "other": "number"}, ignore=(name,))
    assert there_and_back(chosen, tmp_path) == chosen


def test_each_key_has_a_comment() -> None:
    lines = to_toml(FULL).splitlines()
    for key in KEYS:
        starts = (f"{key} = ", f"[{key}]", f"# {key} is not set: ")
        (line,) = (x for x in lines if x.startswith(starts))
        assert "#" in line
    assert tomllib.loads("\n".join(lines))["rate"] == 1e-5


def test_windows_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(b"\xef\xbb\xbfepochs = 3\r\nhidden = [8]\r\n")
    assert from_toml(path) == {"epochs": 3, "hidden": (8,)}


def test_the_line_of_a_mistake_after_comments_and_sections(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('# epoch = 1\ntarget = "epoch = 2"\n\nepoch = 3\n[kinds]\nepoch = "text"\n')
    with pytest.raises(SettingError) as caught:
        from_toml(path)
    assert caught.value.at == f"{path}, line 4"
    assert "epochs" in str(caught.value.fix)


def test_not_text(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(b"target = '\xff'\n")
    with pytest.raises(SettingError, match="UTF-8"):
        from_toml(path)
    with pytest.raises(SettingError, match="folder"):
        from_toml(tmp_path)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["128,64"], [128, 64]), (["128", "64"], [128, 64]), (["[8, 4]"], [8, 4]),
        (["none"], ()), (["8 4"], [8, 4]),
    ],
)  # fmt: skip
def test_widths_from_flags(texts: list[str], expected: object) -> None:
    assert BY_KEY["hidden"].from_texts(texts) == expected


def test_kinds_and_names_from_flags() -> None:
    kinds = BY_KEY["kinds"].from_texts(["zip=category,a=b=text", '"x,y=id"'])
    assert kinds == {"zip": "category", "a=b": "text", "x,y": "id"}
    assert BY_KEY["ignore"].from_texts(["a, b", "c"]) == ["a", "b", "c"]
    assert split_commas('"a,b",c') == ["a,b", "c"]


@pytest.mark.parametrize("key", ["rate", "dropout", "validation", "epochs", "hidden", "seed"])
def test_numbers_that_are_none(key: str) -> None:
    for bad in (float("nan"), float("inf"), "1", True, None):
        with pytest.raises(SettingError):
            BY_KEY[key].check([bad] if key == "hidden" else bad, "test")
