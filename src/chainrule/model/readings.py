"""The rules by which a page reads a cell of a table, as plain values: those of each encoder."""

from __future__ import annotations

from typing import Any

from chainrule.data.columns.bags import WordEncoder
from chainrule.data.columns.cells import NO_TEXTS, YES_TEXTS
from chainrule.data.columns.columns import BooleanColumn, CategoryColumn, NumberColumn
from chainrule.data.columns.dates import DateColumn
from chainrule.data.columns.datetexts import day_form
from chainrule.data.columns.encoder import Encoder
from chainrule.data.columns.gaps import NO_VALUE
from chainrule.data.columns.target import NumberTarget
from chainrule.data.columns.text import TextColumn
from chainrule.data.schema import Schema


def reading_form(encoder: Encoder | NumberTarget, schema: Schema) -> dict[str, Any] | None:
    """Returns how cells of a column become numbers, as `ReadingForm` of web/src/document.ts.

    None: code of the user's own, which a page cannot run.
    """
    rule = _rule(encoder)
    if rule is None:
        return None
    own = encoder.gap_texts if isinstance(encoder, CategoryColumn) else ()
    gaps = NO_VALUE if schema.gaps is None else {"", *schema.gaps}
    return rule | {"gaps": sorted({*gaps, *own})}


def _rule(encoder: Encoder | NumberTarget) -> dict[str, Any] | None:
    if type(encoder) is NumberColumn or isinstance(encoder, NumberTarget):
        return {"kind": "number", "decimal": encoder.decimal, "unit": encoder.unit}
    if type(encoder) is BooleanColumn:
        own = {encoder.false.lower(), encoder.true.lower()}
        return {
            "kind": "boolean",
            "false": sorted({encoder.false.lower(), *NO_TEXTS - own}),
            "true": sorted({encoder.true.lower(), *YES_TEXTS - own}),
        }
    if type(encoder) is DateColumn:
        forms = dict.fromkeys(map(day_form, (encoder.form, *encoder.others, "iso")))
        return {
            "kind": "date", "forms": list(forms), "words": encoder.words,
            "parts": [name.removeprefix(f"{encoder.name}.") for name, _ in encoder.parts],
        }  # fmt: skip
    if type(encoder) is CategoryColumn:
        words = encoder.words
        return {"kind": "category", "by_number": encoder.by_number, **_bag(words)}
    if type(encoder) is TextColumn:
        return {"kind": "text", **_bag(encoder)}
    return None


def _bag(encoder: WordEncoder | None) -> dict[str, Any]:
    if encoder is None:
        return {"words": [], "weights": []}
    return {"words": list(encoder.words), "weights": list(encoder.weights)}
