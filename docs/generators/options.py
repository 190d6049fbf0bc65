"""The module with the types of the recipe's settings, from their rows."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from chainrule.recipe import SETTINGS, Setting

HEAD = '''"""The settings of `train` and `search`, typed for checkers and editors."""

# Written by docs/generate.py from the rows of config.py: change those, not this file.
# fmt: off

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict


class Options(TypedDict, total=False):
    """The settings of Config but the target; those left out are chosen by the data."""
'''

FORMS = {
    "text": "str",
    "column": "str",
    "integer": "int",
    "number": "float",
    "widths": "int | Sequence[int]",
    "names": "str | Sequence[str]",
    "texts": "str | Sequence[str]",
    "kinds": "Mapping[str, str]",
}
"""The type of a setting's values, by their form."""


def module() -> str:
    """The source of `recipe/options.py`."""
    return HEAD + "".join(_entry(x) for x in SETTINGS if x.key != "target")


def _entry(row: Setting) -> str:
    kind = FORMS[row.form]
    if row.form == "text" and isinstance(row.choices, tuple):
        kind = _literal(row.choices)
    none = " | None" if row.default is None else ""
    return f'\n    {row.key}: {kind}{none}\n    """{row.group}: {row.help}."""\n'


def _literal(choices: Sequence[str]) -> str:
    text = ", ".join(f'"{x}"' for x in choices)
    if len(text) < 60:
        return f"Literal[{text}]"
    lines = textwrap.fill(text, 88, initial_indent=" " * 8, subsequent_indent=" " * 8)
    return f"Literal[\n{lines},\n    ]"
