"""The documentation: its code runs and prints what it says, its pages are those of the program."""

from __future__ import annotations

import doctest
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

import chainrule

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
REFERENCE = {"python-api.md"}
"""Pages whose blocks are signatures."""

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block of code: its language, its text, and where it stands in the page."""

    language: str
    text: str
    start: int
    end: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [Block(m[1], m[2], m.start(), m.end()) for m in BLOCK.finditer(text)]


def told(page: Path) -> Iterator[tuple[Block, Block]]:
    """The blocks of code that are followed, at once, by what they print."""
    for code, output in pairwise(blocks(page)):
        at_once = output.start - code.end == len("\n\n")
        if (code.language, output.language) == ("python", "text") and at_once:
            yield code, output


def has_code(page: Path) -> bool:
    return page.name not in REFERENCE and any(b.language == "python" for b in blocks(page))


def environment(folder: Path) -> dict[str, str]:
    """What a user has: `chainrule` on the path, and nothing of ours in the way."""
    command = folder / "bin" / "chainrule"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m chainrule "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    own = {"PYTHONPATH": str(Path(chainrule.__file__).parent.parent), "PYTHONIOENCODING": "utf-8"}
    return {**os.environ, **own, "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}"}


def run(arguments: list[str], folder: Path, variables: dict[str, str]) -> str:
    done = subprocess.run(
        arguments, cwd=folder, env=variables, capture_output=True, text=True, encoding="utf-8",
        timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def serve(arguments: list[str], folder: Path, variables: dict[str, str]) -> None:
    """Run a command that prints the address of a page and goes on until Ctrl-C."""
    with subprocess.Popen(
        arguments, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, encoding="utf-8",
    ) as process:  # fmt: skip
        timer = threading.Timer(600, process.kill)
        timer.start()
        assert process.stdout is not None
        address = next((line for line in process.stdout if "http://127.0.0.1:" in line), "")
        process.send_signal(signal.SIGINT)
        _, told = process.communicate()
        timer.cancel()
    assert address, told
    assert "Traceback" not in told


@pytest.mark.parametrize("page", [x for x in PAGES if has_code(x)], ids=lambda page: page.name)
def test_code_of_a_page_runs_and_prints_what_the_page_says(page: Path, tmp_path: Path) -> None:
    mark = "=== block ===\n"
    code = [block for block in blocks(page) if block.language == "python"]
    parts = [f"print({mark!r}, end='')\n{block.text}" for block in code]
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "page.py").write_text("\n".join(parts), encoding="utf-8")
    command = [sys.executable, "-W", "error", str(tmp_path / "page.py")]
    printed = run(command, work, environment(tmp_path)).split(mark)[1:]
    assert len(printed) == len(code)
    checker = doctest.OutputChecker()
    for block, expected in told(page):
        got = printed[code.index(block)]
        same = checker.check_output(expected.text, got, doctest.ELLIPSIS)
        assert same, f"{page.name} says\n{expected.text}\nand this came:\n{got}"


def commands(page: Path) -> list[str]:
    """The lines of a page that a user types into a shell."""
    lines = [x for b in blocks(page) if b.language == "console" for x in b.text.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


@pytest.mark.parametrize("page", [x for x in PAGES if commands(x)], ids=lambda page: page.name)
def test_commands_of_a_page_run_in_an_empty_folder(page: Path, tmp_path: Path) -> None:
    work, variables = tmp_path / "work", environment(tmp_path)
    work.mkdir()
    targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for command in commands(page):
        if command.startswith("make "):  # `.ci/run` and a fresh clone run these
            assert command.removeprefix("make ") in targets
        else:
            assert command.startswith("chainrule ")
            if command.startswith("chainrule play "):
                serve(["sh", "-c", f"exec {command}"], work, variables)
            else:
                run(["sh", "-c", command], work, variables)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    variables = {**environment(tmp_path), "EPOCHS": "2"}
    assert run([sys.executable, "-W", "error", str(path)], work, variables).strip()


def test_generated_pages_are_up_to_date_whatever_the_terminal(tmp_path: Path) -> None:
    variables = environment(tmp_path) | {"COLUMNS": "40", "LC_ALL": "C", "NO_COLOR": "1"}
    run([sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], tmp_path, variables)


def slug(heading: str) -> str:
    """The anchor that mkdocs makes of a heading."""
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), link


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.M))
    assert listed == {page.name for page in PAGES if page.name != "README.md"}


def test_the_site_opens_from_disk() -> None:
    """Links name files, and the search takes a script of the site instead of a worker."""
    settings = (ROOT / "mkdocs.yml").read_text("utf-8")
    plugins = settings.split("plugins:\n")[1].split("\nextra:")[0]
    assert "- search" in plugins
    assert "- offline" in plugins
    (script,) = re.findall(r"polyfills:\n    - (.*)", settings)
    assert "IFrameWorker" in (ROOT / "docs" / script).read_text("utf-8")
