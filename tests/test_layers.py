"""The import table: which module may import which, and what `import chainrule` must not load."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import chainrule

PACKAGE = Path(chainrule.__file__).parent

LAYERS = {
    0: ("errors", "types", "files", "version", "cachefolder", "interrupt", "forklock", "workers"),
    1: ("graph",),
    2: ("ops", "interpret", "explain"),
    3: ("autodiff", "passes"),
    4: ("program", "trace", "plan", "backend", "codegen", "machinecode", "native", "nativeforward"),
    5: ("forward", "compile", "gradcheck"),
    6: ("nn", "train", "data"),
    7: (
        "fitting",
        "planning",
        "profiling",
        "model",
        "many",
        "crossvalidation",
        "modelfile",
        "recipe",
        "search",
        "safetensor",
        "checkpoint",
        "estimators",
        "interop",
        "distributed",
    ),
    8: ("cli", "inspector", "report", "__init__", "__main__"),
}
"""A module imports lower layers, and its own without a cycle. A new module gets its place here."""

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))
DEPENDENCIES = {re.split("[^a-z]", text)[0] for text in PROJECT["project"]["dependencies"]}
HEAVY = {"duckdb", "llvmlite", "narwhals", "rich", "cyclopts", "tomlkit", "jinja2"}
"""What takes long to load, and is imported by the functions that use it."""

LATE = {
    f"chainrule.{name}" for name in ("codegen", "estimators", "planning", "profiling", "workers")
}
"""What not every program needs, imported by the functions that do: so the package loads quickly."""

NEVER = {"pandas", "polars", "pyarrow", "scipy", "sklearn", "torch", "IPython"}

WRAPPED = {"estimators": {"sklearn"}}
"""By the part that is built on it, what the user has to install; such a part is imported late."""

OPTIONAL = {"IPython"}
"""What is used where the user has it, and is no dependency."""

FILES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def module_of(file: str) -> str:
    return file.removesuffix(".__init__")


def top(module: str) -> str:
    """The part of a module's name that the table knows."""
    return module.split(".")[1] if "." in module else "__init__"


def layer(module: str) -> int:
    return next((number for number, names in LAYERS.items() if top(module) in names), -1)


def imports(tree: ast.AST, inside: bool = False) -> Iterator[tuple[str, bool]]:
    """Names of the modules imported, and whether inside a function.

    What stands under `if TYPE_CHECKING` never runs and does not count.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            yield from ((name, inside) for name in named(node))
        elif not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from imports(node, inside or function)


def named(node: ast.ImportFrom) -> Iterator[str]:
    """The modules that a `from a import b` loads: `a.b` where that is one, else `a`."""
    for alias in node.names:
        whole = f"{node.module}.{alias.name}"
        known = whole in FILES or f"{whole}.__init__" in FILES
        yield whole if known else str(node.module)


def found(file: str, *, late: bool = False) -> list[str]:
    """What a file imports when it is loaded, or in its functions (`late`)."""
    tree = ast.parse(FILES[file].read_text(encoding="utf-8"))
    return list(dict.fromkeys(name for name, inside in imports(tree) if inside == late))


def ours(names: list[str]) -> list[str]:
    return [name for name in names if name.split(".")[0] == "chainrule"]


def theirs(names: list[str]) -> set[str]:
    return {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"chainrule"}


@pytest.mark.parametrize("file", FILES)
def test_imports_follow_the_table(file: str) -> None:
    assert layer(module_of(file)) >= 0, f"give {file} a place in LAYERS"
    late = ours(found(file, late=True))
    upward = [x for x in (*ours(found(file)), *late) if layer(x) > layer(module_of(file))]
    assert not upward
    assert set(late) <= LATE, "an import inside a function dodges a cycle"


def test_no_cycles() -> None:
    edges = {
        module_of(file): [x for x in ours(found(file)) if x != module_of(file)] for file in FILES
    }
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        pytest.fail("a cycle of imports: " + " -> ".join(error.args[1]))


@pytest.mark.parametrize("file", FILES)
def test_third_party_imports(file: str) -> None:
    early = (DEPENDENCIES - HEAVY) | WRAPPED.get(top(file), set())
    assert theirs(found(file)) <= early, "heavy libraries are imported late"
    assert theirs(found(file, late=True)) <= HEAVY | OPTIONAL


def test_importing_the_package_loads_no_heavy_library() -> None:
    code = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); import chainrule; "
    code += "print(*{name.split('.')[0] for name in sys.modules}, *sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    assert "numpy" in loaded.stdout.split()
    assert not set(loaded.stdout.split()) & (HEAVY | NEVER | LATE)
