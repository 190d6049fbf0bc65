"""The target of a table that names none: of pictures, the one column beside them."""

from __future__ import annotations

from chainrule.data.columns.kinds import guess_kinds
from chainrule.data.columns.pictures import PictureColumn
from chainrule.data.table import Table
from chainrule.display.format import counted
from chainrule.errors import SettingError


def refuse_unlabelled(table: Table) -> None:
    """Raise SettingError where there are pictures, and nothing else: they have no classes."""
    if all(PictureColumn.guess(column) for column in table):
        raise SettingError(
            "train", "the pictures have no classes, so that there is nothing to learn",
            expected="a folder with a sub-folder for each class, or a table of files and labels",
            got=f"{counted(len(table), 'picture')} and no other column", at=table.source,
            fix="move the pictures of each class into a folder with its name",
        )  # fmt: skip


def default_target(table: Table) -> str | None:
    """The column to predict of a table that has pictures and one other column of use."""
    kinds = {name: kind.name for name, kind in guess_kinds(table).items()}
    pictures = [x.name for x in table if kinds[x.name] == "picture" or PictureColumn.guess(x)]
    others = [x for x in table.columns if x not in pictures and kinds[x] != "id"]
    return others[0] if len(pictures) == 1 and len(others) == 1 else None
