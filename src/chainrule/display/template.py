"""Templates of pages; their compiled form is cached, as compiling takes longer than filling."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import jinja2
from jinja2.bccache import bc_magic

from chainrule.system.cachedir import code_folder
from chainrule.system.diskcache import cached

FOLDER = "templates"
"""The name of the folder for compiled templates, in that for machine code."""


class _Loader(jinja2.FileSystemLoader):
    """Loads templates from files, and their code from the folder if it is there."""

    def load(
        self, environment: jinja2.Environment, name: str,
        globals: MutableMapping[str, Any] | None = None,
    ) -> jinja2.Template:  # fmt: skip
        """See jinja2.BaseLoader."""
        text, file, current = self.get_source(environment, name)
        folder = code_folder()
        code = cached(
            None if folder is None else folder / FOLDER,
            repr((text, name, file)),
            repr((bc_magic, jinja2.__version__)),
            lambda: marshal.dumps(environment.compile(text, name, file)),
        )
        return environment.template_class.from_code(
            environment, marshal.loads(code), {} if globals is None else globals, current
        )


def fill(
    template: str,
    folders: list[Path],
    filters: Mapping[str, Callable[..., object]],
    content: Mapping[str, object],
) -> str:
    """The text of a template, which may include others.

    Args:
        template: its name.
        folders: in which it and the others are.
        filters: that they use.
        content: the names that they use.
    """
    environment = jinja2.Environment(
        loader=_Loader(folders), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= dict(filters)
    return environment.get_template(template).render(**content)
