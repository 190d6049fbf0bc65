"""One HTML file of a document: works from disk, and fetches nothing."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from chainrule.system.atomicfile import write_whole

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<div id="chainrule">
<noscript>This page computes the network in the browser: allow scripts.</noscript>
</div>
<script type="application/json" id="chainrule-document">{document}</script>
<script type="text/plain" id="chainrule-layout">{layout}</script>
<script>{script}</script>
</body>
</html>
"""


def page(document: Mapping[str, Any]) -> str:
    """Returns the HTML text of a document; see `chainrule.inspector.document`."""
    script = _static("inspector.js")
    return PAGE.format(
        policy=html.escape(_policy(script)),
        title=html.escape(str(document["title"])),
        style=_static("inspector.css"),
        document=in_script(document),
        layout=_packed("elk-worker.min.js"),
        script=script,
    )


def write(document: Mapping[str, Any], path: str | os.PathLike[str]) -> Path:
    """Writes the page of a document: all of the file or nothing.

    Raises:
        OSError: the folder does not exist or cannot be written.
    """
    return write_whole(path, page(document))


def in_script(value: Any) -> str:
    """Returns a value as JSON for a script element, which no text in it can end."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(script: str) -> str:
    """The page's content security policy: its own script, styles in place, nothing fetched."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}' blob:; worker-src blob:; "
        "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _packed(name: str) -> str:
    """A static file as base64 of gzip, a third of its size; the browser unpacks it."""
    content = gzip.compress(_static(name).encode(), mtime=0)
    return base64.b64encode(content).decode("ascii")


def _static(name: str) -> str:
    return (files("chainrule.inspector") / "static" / name).read_text("utf-8")
