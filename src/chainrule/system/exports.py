"""The names of the package, each loaded when it is first asked for."""

from __future__ import annotations

import pkgutil
import re
import sys
from importlib import import_module
from typing import Any

from chainrule.errors import MissingExtra
from chainrule.system.calls import tell_calls, unknown_name
from chainrule.system.forklock import fork_lock

EXPORT = re.compile(r"^from (\S+) import (\w+) as \2$", re.MULTILINE)
"""A line of the stub."""

EXTRAS = {"sklearn": ("scikit-learn", "sklearn")}
"""The modules of optional libraries, each with its name in words and the extra that has it."""

_lock = fork_lock()


class Exports:
    """The public names of a package. Its stub, `__init__.pyi`, says where each comes from.

    A checker and an editor read the stub; a program loads a module when one of its names is used.

    Args:
        package: the name of the package.
        namespace: its globals, which take the names that are loaded.

    Attributes:
        names: all of them, in the order of the stub.
    """

    def __init__(self, package: str, namespace: dict[str, Any]) -> None:
        stub = pkgutil.get_data(package, "__init__.pyi")
        assert stub is not None
        self._package, self._namespace = package, namespace
        self._homes = {name: home for home, name in EXPORT.findall(stub.decode())}
        self._left = dict(self._homes)
        self.names = [name for name in self._homes if not name.startswith("_")]
        self._take()

    def directory(self) -> list[str]:
        """The names that `dir` shows."""
        return sorted(self._homes)

    def load(self, name: str) -> Any:
        """The value of a name, for `__getattr__` of the package.

        Raises:
            UnknownName: there is none of that name, with the nearest one.
            MissingExtra: it needs a library that is not installed.
        """
        home = self._homes.get(name)
        if home is None:
            raise unknown_name(self._package, name, self.names)
        try:
            if not hasattr(import_module(home), name):
                import_module(f"{home}.{name}")
        except ModuleNotFoundError as error:
            missing = (error.name or "").split(".")[0]
            if missing not in EXTRAS:
                raise
            library, extra = EXTRAS[missing]
            raise MissingExtra(
                name, f"{library} is not installed", fix=f'pip install "{self._package}[{extra}]"'
            ) from None
        self._take()
        return self._namespace[name]

    def _take(self) -> None:
        """Take all names whose modules are loaded, and make them tell of calls that do not fit.

        So do classes that a user is only given, whichever function loaded them.
        """
        with _lock:
            for name, home in list(self._left.items()):
                module = sys.modules.get(home)
                half = home != self._package and getattr(module, "__spec__", None)
                if module is None or getattr(half, "_initializing", False):
                    continue
                if name in vars(module):
                    self._namespace[name] = vars(module)[name]
                    tell_calls(self._namespace, [name])
                    del self._left[name]
