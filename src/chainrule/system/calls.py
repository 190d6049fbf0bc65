"""Errors of calls that do not fit and of unknown names, which name the nearest."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial, wraps
from types import FunctionType, ModuleType
from typing import Any, TypeVar

from chainrule.errors import CallError, ChainruleError, UnknownName, nearest

F = TypeVar("F", bound=Callable[..., Any])
Parameters = Mapping[str, inspect.Parameter]

NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
PLACED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def telling(function: F) -> F:
    """The function; a call that does not fit its arguments raises CallError, not TypeError."""

    name = function.__qualname__.removesuffix(".__init__")

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except ChainruleError as error:
            error.of_call(name, *arguments, *named.values())
            raise
        except TypeError:
            refuse_misfit(function, arguments, named)
            raise

    call.telling = True  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


def refuse_misfit(
    function: Callable[..., Any], arguments: Sequence[Any], named: Mapping[str, Any]
) -> None:
    """Raise CallError where a call does not fit the arguments of the function."""
    parameters: dict[str, inspect.Parameter] = dict(inspect.signature(function).parameters)
    where = function.__qualname__.removesuffix(".__init__")
    method = next(iter(parameters), "") in ("self", "cls") and "." in function.__qualname__
    owner = arguments[0] if method and arguments else None
    if method:
        del parameters[next(iter(parameters))]
        arguments = arguments[1:]
    what = _problem(parameters, arguments, named)
    if what is None:
        return
    import textwrap  # noqa: PLC0415  (mistakes alone need it)

    text, fix = what
    advice = None if function.__name__ == "__init__" else getattr(owner, "_call_advice", None)
    better = advice(function.__name__, arguments, named) if advice is not None else None
    shown = f"{where}({', '.join(_shown(x) for x in parameters.values())})"
    raise CallError(where, text, expected=textwrap.fill(shown, 84), fix=better or fix) from None


def _problem(
    parameters: Parameters, arguments: Sequence[Any], named: Mapping[str, Any]
) -> tuple[str, str | None] | None:
    """The mistake of a call, and a fix; None where the call fits."""
    kinds = {x.kind for x in parameters.values()}
    known = [name for name, x in parameters.items() if x.kind in NAMED]
    places = [name for name, x in parameters.items() if x.kind in PLACED]
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        for name in named:
            if name not in known:
                guess = nearest(name, known)
                fix = f"did you mean {guess!r}?" if guess else None
                return f"there is no argument {name!r}", fix
    if inspect.Parameter.VAR_POSITIONAL not in kinds and len(arguments) > len(places):
        left = [name for name in known if name not in places and name not in named]
        fix = f"name the others, such as {left[0]}=..." if left else None
        count = f"{len(places)} argument{'s' if len(places) != 1 else ''}"
        return f"it takes {count} by position, and {len(arguments)} were given", fix
    for name in places[: len(arguments)]:
        if name in named:
            return f"the argument {name!r} is given twice, by position and by name", None
    for name, x in parameters.items():
        given = name in named or name in places[: len(arguments)]
        if not given and x.default is x.empty and x.kind in (*PLACED, *NAMED):
            return f"the argument {name!r} is missing", None
    return None


def _shown(x: inspect.Parameter) -> str:
    """A parameter as in a call: without types, and with short defaults alone."""
    stars = "*" if x.kind is x.VAR_POSITIONAL else "**" if x.kind is x.VAR_KEYWORD else ""
    return stars + x.name + ("" if x.default is x.empty else "=...")


# ---------------------------------------------------------------- all that is public


def tell_calls(namespace: dict[str, Any], names: Iterable[str]) -> None:
    """Make the functions, classes and modules of a namespace tell of calls that do not fit.

    Methods are replaced in their classes, functions in the namespace and in their own module,
    so that they can be pickled.
    """
    for name in names:
        x = namespace[name]
        if isinstance(x, type):
            _tell_methods(x)
        elif isinstance(x, ModuleType) and "__getattr__" not in vars(x):
            tell_calls(vars(x), own_names(x))
            vars(x)["__getattr__"] = partial(_unknown, f"chainrule.{name}", own_names(x))
        elif isinstance(x, FunctionType) and not hasattr(x, "telling"):
            told = telling(x)
            home, own = vars(sys.modules[x.__module__]), x.__name__
            if home.get(own) is x:
                home[own] = told
            namespace[name] = told


def _tell_methods(kind: type) -> None:
    """Do so for what a class and its bases here define; errors and warnings are left alone."""
    for part in kind.__mro__:
        if not part.__module__.startswith("chainrule.") or issubclass(part, (Exception, tuple)):
            continue
        for name, x in list(vars(part).items()):
            public = name == "__init__" or not name.startswith("_")
            function = x.__func__ if isinstance(x, (classmethod, staticmethod)) else x
            if public and isinstance(function, FunctionType) and not hasattr(function, "telling"):
                told = telling(function)
                setattr(part, name, told if function is x else type(x)(told))


def own_names(module: ModuleType) -> list[str]:
    """The public names of a module of Chainrule: those it lists, or those it defines."""
    if "__all__" in vars(module):
        return list(vars(module)["__all__"])
    found = {name: x for name, x in vars(module).items() if not name.startswith("_")}
    return [n for n, x in found.items() if getattr(x, "__module__", None) == module.__name__]


def _unknown(where: str, known: Sequence[str], name: str) -> Any:
    """The `__getattr__` of a module: an error that names the nearest of its names."""
    raise unknown_name(where, name, known)


def unknown_name(where: str, name: str, known: Sequence[str]) -> AttributeError:
    """The error for a name that a module does not have."""
    if name.startswith("_"):  # asked for by Python and by tools
        return AttributeError(f"module {where!r} has no attribute {name!r}")
    guess = nearest(name, known)
    fix = f"did you mean {guess!r}?" if guess else f"dir({where}) lists all names"
    return UnknownName(where, f"there is no {name!r}", fix=fix)
