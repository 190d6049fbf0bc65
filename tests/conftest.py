"""What all tests share: the same examples in every run, and no say of the terminal they run in."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("chainrule", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("chainrule")

os.environ["CHAINRULE_CODE_CACHE"] = "off"  # what is tested is compiled

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # by a shell that runs this behind a prompt
    signal.signal(signal.SIGINT, signal.default_int_handler)

for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
    os.environ.pop(name, None)


@pytest.fixture(autouse=True, scope="session")
def verified_modules() -> Iterator[None]:
    """LLVM's verifier looks at every module that is parsed: parsing alone lets wrong code pass."""
    if importlib.util.find_spec("llvmlite") is None:
        yield
        return
    import llvmlite.binding as llvm  # noqa: PLC0415  # is not always installed

    parse = llvm.parse_assembly

    def verified(text: str, *rest: Any) -> Any:
        module = parse(text, *rest)
        module.verify()
        return module

    llvm.parse_assembly = verified
    yield
    llvm.parse_assembly = parse
