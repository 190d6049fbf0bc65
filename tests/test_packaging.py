"""What is shipped, what it needs, and what the Makefile says where it cannot go on."""

from __future__ import annotations

import ast
import html
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import chainrule
from chainrule.inspector.page import page_of

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "src" / "chainrule"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SHIPPED = sorted(
    path.relative_to(SOURCES.parent).as_posix()
    for path in SOURCES.rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    return folder


def test_the_wheel_holds_every_file(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (entries,) = [x for x in names if x.endswith("entry_points.txt")]
        commands = archive.read(entries).decode()
    assert wheel.name == f"chainrule-{chainrule.__version__}-py3-none-any.whl"
    assert sorted(x for x in names if ".dist-info/" not in x) == SHIPPED
    assert any(x.endswith("licenses/LICENSE") for x in names)
    assert "chainrule = chainrule.cli:main" in commands
    assert {"chainrule/py.typed", "chainrule/report/templates/report.html.j2"} < set(SHIPPED)
    assert "chainrule/data/readers/embedded/penguins.csv" in SHIPPED
    page = {"inspector.js", "inspector.css", "elk-worker.min.js", "LICENSES.txt"}
    assert {f"chainrule/inspector/static/{name}" for name in page} < set(SHIPPED)


def test_the_source_archive_holds_sources_tests_and_documentation(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {f"src/{name}" for name in SHIPPED} < names
    assert {"pyproject.toml", "README.md", "LICENSE", "Makefile", "docs/index.md"} < names
    assert "tests/test_packaging.py" in names
    assert {"web/package.json", "web/package-lock.json", "web/src/main.ts"} < names
    assert not [name for name in names if name.startswith((".venv", ".git/", "web/node_modules"))]


def test_the_licences_of_all_that_the_page_s_script_is_made_of_are_shipped() -> None:
    text = (SOURCES / "inspector" / "static" / "LICENSES.txt").read_text("utf-8")
    package = json.loads((ROOT / "web" / "package.json").read_text("utf-8"))
    used = "\n".join(
        path.read_text("utf-8")
        for path in (ROOT / "web" / "src").rglob("*")
        if path.suffix in (".ts", ".svelte")
    )
    names = {x for x in package["dependencies"] if re.search(f"""from ["']{x}["'/]""", used)}
    wanted = names | {"svelte", "elkjs"}
    assert {"d3-zoom", "d3-selection"} < wanted
    versions = package["dependencies"] | package["devDependencies"]
    heads = re.findall(r"^(\S+) (\S+) \((.+)\), https://\S+\n-{72}\n(?=\S)", text, re.MULTILINE)
    assert wanted <= {name for name, *_ in heads}
    for name, version, licence in heads:
        assert versions.get(name, version) == version
        assert re.fullmatch("MIT|ISC|BSD-3-Clause|EPL-2.0 OR GPL-3.0-or-later", licence)
    assert page_of({}, "", "").count(html.escape(text, quote=False)) == 1


def test_every_dependency_is_used_and_has_a_lower_bound() -> None:
    used = set()
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                used |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                used.add(node.module.split(".")[0])
    declared = dict(text.split(">=") for text in PROJECT["dependencies"])
    called = {"pillow": "PIL"}
    assert {called.get(name, name.replace("-", "_")) for name in declared} <= used
    assert all(re.fullmatch(r"\d+(\.\d+)+", bound) for bound in declared.values())


def test_the_repository_is_small_and_ignores_what_runs_write() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    git = ["git", "-C", str(ROOT)]
    listed = subprocess.run([*git, "ls-files", "-z"], capture_output=True, check=True).stdout
    tracked = [ROOT / name for name in listed.decode().split("\0") if name]
    large = {path.name for path in tracked if path.exists() and path.stat().st_size > 1_000_000}
    assert large <= {"elk-worker.min.js"}  # the page's layout engine, as its authors made it
    written = ["penguins-model/report.html", "penguins-model-2/model.safetensors", ".venv/x"]
    done = subprocess.run([*git, "check-ignore", *written], capture_output=True, text=True)
    assert done.stdout.split() == written


# ---------------------------------------------------------------- the Makefile

FAKE = """#!/bin/sh
case "$*" in
  *version_info*) {version} ;;
  *"-m venv"*) {venv} ;;
  *"-m pip"*) {pip} ;;
esac
"""
"""A Python that answers as told; its venv copies itself."""

VENV = 'mkdir -p .venv/bin && cp "$0" .venv/bin/python'


def made(folder: Path, version: str = "exit 0", venv: str = VENV, pip: str = "exit 0") -> str:
    """What `make train` tells on standard error; it must fail."""
    if shutil.which("make") is None or sys.platform == "win32":
        pytest.skip("needs make")
    shutil.copy(ROOT / "Makefile", folder)
    shutil.copy(ROOT / "pyproject.toml", folder)
    fake = folder / "fake"
    fake.write_text(FAKE.format(version=version, venv=venv, pip=pip), encoding="utf-8")
    fake.chmod(0o755)
    done = subprocess.run(
        ["make", f"PYTHON={fake}", "train"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode != 0
    return done.stderr


def test_make_tells_of_a_python_too_old(tmp_path: Path) -> None:
    told = made(tmp_path, version="exit 1")
    assert f"needs Python 3.11 or newer; '{tmp_path}/fake' is not." in told
    assert "make PYTHON=" in told
    assert not (tmp_path / ".venv").exists()


def test_make_tells_of_a_missing_venv_module_each_time(tmp_path: Path) -> None:
    half = "mkdir -p .venv; touch .venv/pyvenv.cfg; echo no ensurepip >&2; exit 1"
    for _ in range(2):  # half an environment is not taken for a whole one
        told = made(tmp_path, venv=half)
        assert "no ensurepip" in told
        assert "sudo apt install python3-venv" in told


def test_make_tells_what_an_installation_needs_each_time(tmp_path: Path) -> None:
    for _ in range(2):
        told = made(tmp_path, pip="echo no route to host >&2; exit 1")
        assert "no route to host" in told
        assert "needs the internet" in told
        assert not (tmp_path / ".venv" / ".train").exists()
