"""The document that the tests of the page's sources read is the one that Python writes today."""

from __future__ import annotations

import json
import os
from pathlib import Path

from samples import lecture

FIXTURE = Path(__file__).parents[2] / "web" / "tests" / "lecture.json"


def test_fixture_is_current() -> None:
    """`UPDATE=1 pytest` writes it anew."""
    document = lecture()
    document["made"] = "chainrule"
    for node in document["graph"]["nodes"]:
        node["source"] = ""  # it depends on how the tests are run
    if os.environ.get("UPDATE"):
        FIXTURE.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    assert json.loads(FIXTURE.read_text("utf-8")) == json.loads(json.dumps(document))
