"""One HTML file of a document: works from disk, and fetches nothing."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
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
<template id="chainrule-licences">{licences}</template>
<script>{script}</script>
</body>
</html>
"""


@dataclass(frozen=True)
class Page:
    """A page to look inside: one HTML file, which works offline. A notebook shows it.

    Attributes:
        document: all that it shows, as plain values.
    """

    document: Mapping[str, Any] = field(repr=False)

    def __repr__(self) -> str:
        nodes, rows = len(self.document["graph"]["nodes"]), len(self.document["rows"])
        return (
            f"<Page {self.document['title']!r}: {nodes} nodes, {rows} "
            f"row{'s' * (rows != 1)}; .write('page.html') saves it, .open() shows it>"
        )

    @property
    def html(self) -> str:
        """The text of the file."""
        return page_of(self.document, str(self.document["title"]), policy())

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Writes the page: all of the file or nothing.

        Raises:
            OSError: the folder does not exist or cannot be written.
        """
        return write_whole(path, self.html)

    def open(self) -> Path:
        """Writes the page to a new temporary folder, and opens it in the browser."""
        import webbrowser  # noqa: PLC0415  (starts slowly, and few programs need it)

        path = self.write(Path(tempfile.mkdtemp(prefix="chainrule-")) / "page.html")
        webbrowser.open(path.as_uri())
        return path

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{html.escape(self.html)}" sandbox="allow-scripts" '
            'style="width: 100%; height: 720px; border: 0"></iframe>'
        )


def page_of(content: Mapping[str, Any], title: str, allowed: str) -> str:
    """Returns the text of a page with its script, style, layout engine and licences in it.

    Args:
        content: the document, or for the page of a server {"live": the address of its events}.
        title: of the page.
        allowed: the content security policy.
    """
    return PAGE.format(
        policy=html.escape(allowed),
        title=html.escape(title),
        style=static("inspector.css"),
        document=in_script(content),
        layout=packed("elk-worker.min.js"),
        licences=html.escape(static("LICENSES.txt"), quote=False),
        script=static("inspector.js"),
    )


def in_script(value: Any) -> str:
    """Returns a value as JSON for a script element, which no text in it can end."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def policy(more: str = "") -> str:
    """Returns the content security policy: the page's own script, styles in place, no fetching.

    Args:
        more: a further directive.
    """
    digest = base64.b64encode(hashlib.sha256(static("inspector.js").encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}' blob:; worker-src blob:; "
        "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
        + (f"; {more}" if more else "")
    )


def packed(name: str) -> str:
    """Returns a static file as base64 of gzip, a third of its size; the browser unpacks it.

    The level takes a quarter of the time of the highest, and leaves a twentieth more.
    """
    content = gzip.compress(static(name).encode(), 4, mtime=0)
    return base64.b64encode(content).decode("ascii")


def static(name: str) -> str:
    """Returns the text of a file of the page."""
    return (files("chainrule.inspector") / "static" / name).read_text("utf-8")
