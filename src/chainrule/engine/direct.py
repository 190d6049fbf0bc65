"""Forward passes of a few rows, called without Python's part: the usual case, and it alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from chainrule.backend.cpu.layout import Memory
from chainrule.backend.cpu.run.caller import Form, fits, make_caller
from chainrule.backend.cpu.run.driver import Runner
from chainrule.backend.cpu.run.executable import Executable
from chainrule.engine.codecache import caller_code
from chainrule.engine.nativerows import NativeRows
from chainrule.graph.node import Array

LONG = 20.0
"""Predicted microseconds of a call from which other Python threads run meanwhile: below, giving
the interpreter's lock away and waiting for it takes longer than the call."""


class Direct:
    """Arrays to outputs, where nothing is unusual; any number of threads may call it at once.

    Args:
        rows: what to compute.
        inputs: the names of the arguments, in order: all of the inputs, each with rows.
        outputs: the numbers of the results among the nodes of `rows`.
        checked: whether the last node of `rows` counts what makes the results of a row wrong.
    """

    def __init__(
        self, rows: NativeRows, inputs: Sequence[str], outputs: Sequence[int], checked: bool
    ) -> None:
        self._rows, self._inputs, self._outputs, self._checked = rows, inputs, outputs, checked
        self._known: tuple[Mapping[str, Array], Executable, Memory] | None = None
        self._form: Form | None = None
        self._worthwhile = False

    def __reduce__(self) -> tuple[type[Direct], tuple[Any, ...]]:
        return Direct, (self._rows, self._inputs, self._outputs, self._checked)

    def __call__(self, values: Mapping[str, Array], arrays: Sequence[object]) -> Any:
        """The outputs for all rows of the arrays: one array, or a list of several.

        None where the arrays are not NumPy's own, of the inputs' types, contiguous, and of one
        number of rows that one thread computes; where a result does not hold; in the first call,
        which may be the only one; and where this interpreter cannot.

        Args:
            values: of the parameters, by name; the mapping and its arrays are never changed.
            arrays: for each input what may be its array.
        """
        known = self._known
        if known is None or known[0] is not values:
            known = self._renewed(values)
            if known is None:
                return None
        runner = self._rows.take(known[1], known[2])
        found = (runner.caller or self._made(runner))(*arrays)
        self._rows.put(runner)
        return found

    def prepare(self, values: Mapping[str, Array]) -> None:
        """Compile or load what calls need, with these values of the parameters."""
        self._worthwhile = True
        known = self._renewed(values)
        if known is not None:
            runner = self._rows.take(known[1], known[2])
            self._made(runner)
            self._rows.put(runner)

    def _renewed(
        self, values: Mapping[str, Array]
    ) -> tuple[Mapping[str, Array], Executable, Memory] | None:
        """The things that a call needs, for these values; None where there is none to make."""
        if not self._worthwhile:
            self._worthwhile = True
            return None
        if caller_code() is None:
            return None
        code = self._rows.executable()
        if self._form is None:
            self._form = self._described(code)
        if not fits(self._form):
            return None
        self._known = values, code, self._rows.state(code, values)
        return self._known

    def _described(self, code: Executable) -> Form:
        types, buffers = self._rows.types, code.signature.outputs
        return Form(
            tuple((name, types[name]) for name in self._inputs),
            tuple(buffers[k] for k in self._outputs),
            buffers[-1] if self._checked else None,
            self._rows.most,
            math.ceil(LONG / max(self._rows.time, 1e-9)),
        )

    def _made(self, runner: Runner) -> Any:
        code = caller_code()
        assert code is not None
        assert self._form is not None
        runner.caller = make_caller(code, runner, self._form)
        return runner.caller
