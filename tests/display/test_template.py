"""Templates are compiled once for all processes, and anew where they or their files change."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest

from chainrule.display import template
from chainrule.display.template import FOLDER, fill


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the templates that were compiled; the cache is an empty folder."""
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CHAINRULE_CODE_CACHE", raising=False)
    names, real = [], jinja2.Environment.compile

    def compile(self: jinja2.Environment, text: str, name: str, *rest: object) -> object:
        names.append(name)
        return real(self, text, name, *rest)  # type: ignore[call-overload]

    monkeypatch.setattr(template.jinja2.Environment, "compile", compile)
    return names


def written(folder: Path, **texts: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder]


def test_a_template_and_what_it_includes_are_compiled_once(
    tmp_path: Path, compiled: list[str]
) -> None:
    where = written(tmp_path / "a", page="{% include 'part' %}: {{ x | twice }}", part="<{{ x }}>")
    for x in ("1", "<&"):
        text = fill("page", where, {"twice": lambda x: x + x}, {"x": x})
        assert text == {"1": "<1>: 11", "<&": "<&lt;&amp;>: &lt;&amp;&lt;&amp;"}[x]
    assert compiled == ["page", "part"]


def test_a_changed_template_and_a_damaged_file_are_compiled_anew(
    tmp_path: Path, compiled: list[str]
) -> None:
    where = written(tmp_path / "a", page="old {{ x }}")
    assert fill("page", where, {}, {"x": 1}) == "old 1"
    written(tmp_path / "a", page="new {{ x }}")
    assert fill("page", where, {}, {"x": 1}) == "new 1"
    files = list((tmp_path / "cache" / "code" / FOLDER).glob("*.o"))
    assert len(files) == len(compiled) == 2
    for file in files:
        file.write_bytes(file.read_bytes()[:-3])
    assert fill("page", where, {}, {"x": 1}) == "new 1"
    assert compiled == ["page"] * 3


def test_an_unknown_name_is_an_error_as_without_the_cache(
    tmp_path: Path, compiled: list[str]
) -> None:
    where = written(tmp_path / "a", page="{{ x.y }}{{ z }}")
    for _ in range(2):
        with pytest.raises(jinja2.UndefinedError, match="'z' is undefined"):
            fill("page", where, {}, {"x": {"y": 1}})
    assert compiled == ["page"]
