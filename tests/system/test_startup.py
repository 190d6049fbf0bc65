"""The search for garbage around the command line: not while it starts or ends, but in between."""

from __future__ import annotations

import subprocess
import sys

COMMAND = """
import contextlib, gc, importlib, io, sys
sys.argv = ["chainrule", "data", "list"]
module = importlib.import_module("chainrule.cli.main")
run, seen = module._run, [gc.isenabled()]

def watched(given):
    seen.extend([gc.isenabled(), gc.get_freeze_count() > 10_000])
    seen.append(gc.get_freeze_count())
    return run(given)

module._run = watched
with contextlib.redirect_stdout(io.StringIO()):
    code = module.main()
print(*seen[:3], gc.get_freeze_count() > seen[3], code)
"""
PROGRAM = "import chainrule, gc; print(gc.isenabled(), gc.get_freeze_count())"


def ran(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_command_line_searches_for_garbage_while_it_works_alone() -> None:
    assert ran(COMMAND) == "False True True True 0"


def test_a_program_that_imports_chainrule_keeps_its_collector() -> None:
    assert ran(PROGRAM) == "True 0"
