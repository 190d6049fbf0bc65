"""The import table: which module may import which, and what `import chainrule` must not load."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

import chainrule
from layers import CYCLES, INSIDES, LAYERS, WALLS, part_of

PACKAGE = Path(chainrule.__file__).parent
FLOOR = {name: number for number, (names, _) in enumerate(LAYERS) for name in names}

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))
DEPENDENCIES = {
    re.split("[^a-z-]", text)[0].replace("-", "_") for text in PROJECT["project"]["dependencies"]
}
HEAVY = {
    *("duckdb", "llvmlite", "narwhals", "rich", "cyclopts", "tomlkit", "jinja2", "PIL"),
    "threadpoolctl",
    "charset_normalizer",
}
"""Libraries that take long to load, imported by the functions that use them."""

LATE = {
    *("backend.cpu.emit.module", "backend.cpu.resources", "backend.cpu.run.microbench"),
    *("costs.cost", "costs.forecast"),
    *("data.blocks", "data.check", "data.columns", "data.onerow", "data.predictions"),
    *("data.readers", "data.repeats", "data.schema", "data.split", "data.streams"),
    *("data.column", "data.table"),
    *("display.lineplot", "display.template"),
    "engine.blocks",
    *("explain.check", "explain.compare", "explain.lines", "explain.picture"),
    *("explain.pixel", "explain.steps", "explain.worked", "inspector", "live", "recipe", "report"),
    *("plan.check", "plan.show", "plan.unit"),
    "train.streaming",
    *(
        "backend.gpu",
        "estimators",
        "model.automatic",
        "model.inspect",
        "model.plan",
        "model.profile",
        "model.recorder",
        "model.resume",
        "model.streamed",
        "model.streaming",
        "system.ranks.mpi",
        "system.workers",
    ),
}
"""Modules that few programs need, imported by the functions that do: the package loads quickly."""

NEVER = {"pandas", "polars", "pyarrow", "scipy", "sklearn", "torch", "IPython"}

WRAPPED = {
    "display.template": {"jinja2"},
    "estimators": {"sklearn"},
    "live.widget": {"anywidget", "traitlets", "IPython"},
}
"""By part, a library that the user installs for it, or a heavy one; it is imported late."""

OPTIONAL = {"mpi4py", "IPython", "pyopencl", "cuda", "python_calamine"}
"""Libraries that are used where the user has them, and are no dependency."""


class Import(NamedTuple):
    """A module that a file imports.

    Attributes:
        late: inside of a function.
        typing: for annotations only, under `if TYPE_CHECKING`.
    """

    name: str
    late: bool
    typing: bool


def imports(tree: ast.AST, late: bool = False, typing: bool = False) -> Iterator[Import]:
    """Every import of a file, wherever it stands."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, late, typing) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            yield from (Import(name, late, typing) for name in named(node))
        else:
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            yield from imports(node, late or function, typing or types)


def named(node: ast.ImportFrom) -> Iterator[str]:
    """The modules that a `from a import b` loads: `a.b` where that is one, else `a`."""
    for alias in node.names:
        whole = f"{node.module}.{alias.name}"
        yield whole if whole in FILES else str(node.module)


def _module(path: Path) -> str:
    names = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" and len(names) > 2 else names)


FILES = {_module(path): path for path in sorted(PACKAGE.rglob("*.py"))}
IMPORTS: dict[str, list[Import]] = {}
IMPORTS.update(
    (name, list(imports(ast.parse(path.read_text("utf-8"))))) for name, path in FILES.items()
)


def ours(module: str) -> dict[str, Import]:
    """The modules of the package that one imports, without `chainrule.`."""
    found = [x for x in IMPORTS[module] if x.name.split(".")[0] == "chainrule"]
    return {(x.name.removeprefix("chainrule.") if "." in x.name else "__init__"): x for x in found}


def inside(module: str) -> str:
    return module.removeprefix("chainrule.")


def under(module: str, part: str) -> bool:
    return module == part or module.startswith(f"{part}.")


def theirs(module: str, late: bool) -> set[str]:
    """The libraries that a module imports when it runs."""
    names = {x.name.split(".")[0] for x in IMPORTS[module] if x.late == late and not x.typing}
    return names - sys.stdlib_module_names - {"chainrule"}


def cycles(edges: Mapping[str, set[str]]) -> list[set[str]]:
    """The sets of modules that import each other, directly or around."""
    reached: dict[str, set[str]] = {}
    for start in edges:
        seen, stack = set[str](), [start]
        while stack:
            for x in edges.get(stack.pop(), ()):
                if x not in seen:
                    seen.add(x)
                    stack.append(x)
        reached[start] = seen
    found = {
        frozenset(y for y in seen | {x} if x in reached.get(y, ()))
        for x, seen in reached.items()
        if x in seen
    }
    return [set(x) for x in found]


@pytest.mark.parametrize("module", FILES)
def test_imports_follow_the_table(module: str) -> None:
    part = part_of(inside(module), frozenset(FLOOR))
    assert part is not None, f"give {module} a place in tests/layers.py"
    for name, found in ours(module).items():
        to = part_of(name, frozenset(FLOOR))
        assert to is not None
        assert FLOOR[to] <= FLOOR[part], f"{module} imports {name}, which stands above it"
        late = found.late and not any(under(name, x) for x in LATE)
        assert not late, f"{module} imports {name} inside of a function: that dodges a cycle"


@pytest.mark.parametrize(("part", "never", "why"), WALLS)
def test_walls(part: str, never: tuple[str, ...], why: str) -> None:
    for module in FILES:
        if under(inside(module), part):
            through = [x for x in ours(module) if any(under(x, room) for room in never)]
            assert not through, f"{module} imports {through}: {why}"


@pytest.mark.parametrize(("part", "owner"), INSIDES)
def test_insides(part: str, owner: tuple[str, ...]) -> None:
    for module in FILES:
        if not any(under(inside(module), x) for x in (part, *owner)):
            through = [x for x in ours(module) if under(x, part)]
            assert not through, f"{module} imports {through}: only {owner} may"


def test_every_name_of_the_table_exists() -> None:
    names = {*FLOOR, *(x for part, never, _ in WALLS for x in (part, *never))}
    names |= {x for part, owners in INSIDES for x in (part, *owners)} | LATE | set(WRAPPED)
    modules = [inside(x) for x in FILES]
    assert [x for x in names if not any(under(module, x) for module in modules)] == []


def test_no_cycles() -> None:
    edges = {inside(module): set(ours(module)) - {inside(module)} for module in FILES}
    unknown = [x for x in cycles(edges) if not any(x <= set(known) for known in CYCLES)]
    assert not unknown, f"modules import each other: {sorted(map(sorted, unknown))}"
    gone = [x for x in CYCLES if not any(y <= set(x) for y in cycles(edges))]
    assert not gone, f"no cycle any more: {gone}"


@pytest.mark.parametrize("module", FILES)
def test_third_party_imports(module: str) -> None:
    wrapped = [WRAPPED[x] for x in WRAPPED if under(inside(module), x)]
    early = (DEPENDENCIES - HEAVY).union(*wrapped)
    assert theirs(module, late=False) <= early, "heavy libraries are imported late"
    assert theirs(module, late=True) <= HEAVY | OPTIONAL


def test_importing_the_package_loads_no_heavy_library() -> None:
    code = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); import chainrule; "
    code += "print(*{name.split('.')[0] for name in sys.modules}, *sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    assert "numpy" in loaded.stdout.split()
    assert not set(loaded.stdout.split()) & (HEAVY | NEVER | {f"chainrule.{x}" for x in LATE})
