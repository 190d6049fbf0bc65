"""The sentences of slips for the page, from those of `trace.check`."""

from __future__ import annotations

import json

from chainrule.explain.slips import SLIPS


def sentences() -> str:
    """JSON: the sentence of each slip by its name."""
    return json.dumps({x.name: x.sentence for x in SLIPS}, indent=2, ensure_ascii=False) + "\n"
