"""The picture of the page "The tour": the trace that its first lines of code make."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent / "tour.md"


def drawing() -> str:
    """The picture of the trace, after the block of the page that calls `backward`."""
    known: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL):
        with contextlib.redirect_stdout(io.StringIO()):
            exec(block, known)
        if "trace.backward(loss)" in block:
            break
    svg: str = known["trace"].picture(title="The network of the tour, with its numbers").svg
    return svg
