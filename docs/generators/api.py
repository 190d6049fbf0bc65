"""The page of the Python interface, from the exported names and their docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import chainrule as cr
from chainrule.graph.op import FUNCTIONS
from generators.signatures import cell, signature

GROUPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Training on a table", "", ("chainrule.recipe", "chainrule.recipe.search",
                                "chainrule.recipe.reproduce", "chainrule.live.notebook")),
    ("Estimators", "In scikit-learn's contract; they need `pip install \"chainrule[sklearn]\"`.",
     ("chainrule.estimators",)),
    ("Model", "", ("chainrule.model.model", "chainrule.model.predictor",
                   "chainrule.train.history")),
    ("Many models", "", ("chainrule.model.many", "chainrule.model.crossvalidate")),
    ("Looking inside", "", ("chainrule.model.show",)),
    ("Comparing", "", ("chainrule.model.compare", "chainrule.explain.compare")),
    ("Exercises", "The page [Teaching](teaching.md) has examples.", ("chainrule.model.exercise",)),
    ("Graph", "", ("chainrule.graph", "chainrule.types")),
    ("Running and differentiating", "", ("chainrule.explain.trace", "chainrule.explain.run",
                                         "chainrule.autodiff", "chainrule.explain.gradcheck",
                                         "chainrule.explain.picture")),
    ("An op of your own", "The page [The tour](tour.md#an-op-of-your-own) has an example.",
     ("chainrule.ops.custom",)),
    ("Layers", "Functions that take a node and give a node. In `cr.layer` the same functions "
     "wait for their operand, for use in `cr.sequential`.",
     ("chainrule.nn.layers", "chainrule.nn.compose", "chainrule.nn.normalise",
      "chainrule.nn.numeric", "chainrule.nn.recurrent", "chainrule.nn.augmentation",
      "chainrule.nn.shared", "chainrule.nn.recompute", "chainrule.nn.summary")),
    ("Images and signals", "Layers for (N, length, channels), (N, height, width, channels) and "
     "volumes. The page [Images and signals](images.md) has an example.",
     ("chainrule.nn.convolution", "chainrule.nn.pooling", "chainrule.nn.resize")),
    ("Attention", "Layers for sequences, (N, length, width). The page [Attention](attention.md) "
     "has an example.",
     ("chainrule.nn.attention", "chainrule.nn.encodings", "chainrule.nn.transformer",
      "chainrule.nn.masks")),
    ("Tables, interactions and experts", "The page [Embeddings](embeddings.md) has examples.",
     ("chainrule.nn.bags", "chainrule.nn.interactions", "chainrule.nn.experts")),
    ("Losses and penalties", "Each gives one number, the mean over the examples.",
     ("chainrule.nn.classes", "chainrule.nn.losses", "chainrule.nn.penalties")),
    ("Optimizers", "`rate` is a number or a schedule.",
     ("chainrule.train.optim", "chainrule.train.lbfgs")),
    ("Callbacks, recordings, checkpoints and streams",
     "The page [Long runs](long-runs.md) has examples.",
     ("chainrule.train.callbacks", "chainrule.train.record", "chainrule.train.checkpoint",
      "chainrule.data.windows")),
)  # fmt: skip
"""Headings with a sentence each, and the modules whose exports they cover."""

MODULES: tuple[tuple[str, ModuleType, str], ...] = (
    ("Schedules: `cr.schedules`", cr.schedules, "The learning rate as a function of the step."),
    ("Initialisers: `cr.init`", cr.init, "Where parameters start, for `init=` of a layer: by name "
     'such as `"he"`, or one of these.'),
    ("Metrics: `cr.metrics`", cr.metrics, "`fit` and `evaluate` take them by name."),
    ("Data: `cr.data`", cr.data, "What reads tables, and what a model learns of them."),
    ("Errors: `cr.errors`", cr.errors, "All are a ChainruleError; see [errors](errors.md)."),
)  # fmt: skip
"""Headings, exported modules, and a sentence on each."""


def page() -> str:
    """The page. Raises ValueError for an export without a heading."""
    exported = {name: getattr(cr, name) for name in ("train", *cr.__all__)}
    public = {name: x for name, x in exported.items() if _documented(name, x)}
    parts, placed = [INTRODUCTION], set(FUNCTIONS)
    for heading, words, modules in GROUPS:
        found = [name for name, x in public.items() if _within(x, modules) and name not in placed]
        placed.update(found)
        parts += [f"## {heading}", *([words] if words else [])]
        parts += [_entry(f"cr.{name}", public[name]) for name in found]
    for heading, module, words in MODULES:
        parts += [f"## {heading}", words, _brief(module)]
    left = sorted(set(public) - placed)
    if left:
        raise ValueError(f"python-api.md has no place for {', '.join(left)}")
    return "\n\n".join(parts) + "\n"


def _documented(name: str, x: Any) -> bool:
    return not name.startswith("_") and (inspect.isclass(x) or inspect.isfunction(x))


def _within(x: Any, modules: tuple[str, ...]) -> bool:
    return any(x.__module__ == m or x.__module__.startswith(m + ".") for m in modules)


def _entry(name: str, x: Any) -> str:
    """A function, or a class with its methods: those with documented arguments first."""
    parts = [f"### {name.removeprefix('cr.')}", *_described(name, x)]
    if inspect.isclass(x):
        rows = []
        for method, shown, text in _methods(x):
            if "Args:" in text:
                own = name.removeprefix("cr.")
                parts += [f"#### {own}.{method}", *_described(method, getattr(x, method))]
            else:
                rows.append(f"| `{shown}` | {cell(_first(text))} |")
        if rows:
            parts.append("\n".join([f"| of a {name.removeprefix('cr.')} | |", "|---|---|", *rows]))
    return "\n\n".join(parts)


def _described(name: str, x: Any) -> list[str]:
    function = x.__func__ if isinstance(x, (classmethod, staticmethod)) else x
    code = f"```python\n{_wrapped(signature(name, function))}\n```"
    return [code, *markdown(inspect.getdoc(x) or "")]


def _wrapped(text: str) -> str:
    """A long signature with its arguments on lines of their own."""
    if len(text) <= 88:
        return text
    name, _, rest = text.partition("(")
    lines, line = [], ""
    for part in rest.removesuffix(")").split(", "):
        if len(line) + len(part) > 80:
            lines.append(line.rstrip())
            line = ""
        line += part + ", "
    return f"{name}(\n    " + "\n    ".join([*lines, line.rstrip(", ")]) + "\n)"


def _methods(kind: type) -> Iterator[tuple[str, str, str]]:
    """Name, signature and docstring of the public methods and properties of a class.

    A base is part of the class, if no other exported one has it.
    """
    exported = [vars(cr)[name] for name in cr.__all__ if not name.startswith("MLP")]
    others = [x for x in exported if inspect.isclass(x) and x is not kind]
    shared = {x for other in others for x in other.__mro__}
    ours = [x for x in kind.__mro__ if x.__module__.startswith("chainrule.")]
    parts = [x for x in reversed(ours) if x is kind or x not in shared]
    for name, x in {name: x for part in parts for name, x in vars(part).items()}.items():
        function = x.__func__ if isinstance(x, (classmethod, staticmethod)) else x
        text = inspect.getdoc(x)
        if name.startswith("_") or not text:
            continue
        if isinstance(x, property):
            yield name, name, text
        elif inspect.isfunction(function):
            yield name, signature(name, function), text


def _first(documentation: str) -> str:
    return " ".join(documentation.split("\n\n")[0].split())


def _brief(module: ModuleType) -> str:
    """The public names of a module with the first sentence of each."""
    rows = ["| name | what it is |", "|---|---|"]
    for name in getattr(module, "__all__", None) or vars(module):
        x = getattr(module, name)
        if not _documented(name, x) or not _own(module, x):
            continue
        plain = inspect.isclass(x) and issubclass(x, (Exception, Warning))
        shown = name if plain else signature(name, x)
        rows.append(f"| `{shown}` | {cell(_first(inspect.getdoc(x) or ''))} |")
    return "\n".join(rows)


def _own(module: ModuleType, x: Any) -> bool:
    listed = hasattr(module, "__all__")
    return listed or x.__module__.startswith(module.__name__)


def markdown(documentation: str) -> list[str]:
    """A docstring as paragraphs; the entries of its sections become lists."""
    parts = []
    for paragraph in documentation.split("\n\n"):
        head, _, rest = paragraph.partition("\n")
        if re.fullmatch("(Args|Attributes|Returns|Raises):", head) and rest.startswith("    "):
            parts.append(f"*{head.removesuffix(':').replace('Args', 'Arguments')}*")
            parts.append("\n".join(_items(inspect.cleandoc("x\n" + rest).split("\n")[1:])))
        elif paragraph.startswith("    "):
            parts.append(paragraph)
        else:
            parts.append(paragraph)
    return parts


def _items(lines: list[str]) -> Iterator[str]:
    """The entries of a section; a continued line is indented."""
    entries: list[str] = []
    for line in lines:
        if line.startswith(" ") and entries:
            entries[-1] += " " + line.strip()
        else:
            entries.append(line.strip())
    for entry in entries:
        names = re.match(r"([\w*]+(?:, [\w*]+)*): ", entry)
        yield f"- `{names[1]}`: {entry[names.end() :]}" if names else f"- {entry}"


INTRODUCTION = """# The Python interface

`import chainrule as cr` brings all of these names. The functions that compute, `cr.add` to
`cr.where`, are on the page of [operations](ops.md). This page is written from the program's own
docstrings."""
