"""Docstrings begin with what a thing does or is, and all text of the package uses plain terms."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import chainrule

ROOT = Path(chainrule.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

QUESTION = re.compile(r"(What|Which|Where|Who|Whose|How)\b")
"""A docstring that begins so is half a sentence."""

CLUMSY = re.compile(
    r"(?<!there\s)\b(is|are|was|were)\s+no\s(?!longer|more|wider)"  # "is not a"
    r"|\bwhole\s+numbers?\b"  # "integer"
    r"|\bnobody\b|\bno\s+one\b"
    r"|\blikeliest\b"  # "most probable"
    r"|\bfirst\s+of\s+equals\b",  # "ties: the lowest index"
    re.IGNORECASE,
)


def docstrings(tree: ast.AST) -> Iterator[ast.Constant]:
    """Every string that stands alone: docstrings, and those below an attribute or a constant."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


def questions(source: str) -> list[tuple[int, str]]:
    """(line, first line) of the docstrings that begin with a question word."""
    texts = [x for x in docstrings(ast.parse(source)) if isinstance(x.value, str)]
    return [
        (x.lineno, str(x.value).partition("\n")[0])
        for x in texts
        if QUESTION.match(str(x.value).lstrip())
    ]


def clumsy(source: str) -> list[tuple[int, str]]:
    """(line, words) of the phrases that have a plain term."""
    return [(source.count("\n", 0, x.start()) + 1, x.group()) for x in CLUMSY.finditer(source)]


def names(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=names)
def test_docstrings_begin_with_what_a_thing_does_or_is(path: Path) -> None:
    assert not questions(path.read_text("utf-8"))


@pytest.mark.parametrize("path", FILES, ids=names)
def test_text_uses_plain_terms(path: Path) -> None:
    assert not clumsy(path.read_text("utf-8"))


def test_what_the_checks_find() -> None:
    assert questions('"""Where it is."""') == [(1, "Where it is.")]
    assert questions('def f():\n    """\n    How it works."""') == [(2, "")]
    assert questions('x = 1\n"""What x is."""') == [(2, "What x is.")]
    assert not questions('"""Whether it is so."""\nx = "What it is"')
    assert clumsy("# the loss\n# is no\n# scalar") == [(2, "is no\n")]
    assert len(clumsy("a Whole number, nobody, no one")) == 3
    assert not clumsy("There is no axis; it is no longer used")
