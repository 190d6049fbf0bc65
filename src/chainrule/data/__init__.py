"""Tables in, arrays out: reading, kinds of columns, the data contract, the data check, splits."""

from chainrule.data.blocks import Block, Described, Encoded, Member
from chainrule.data.check import Finding, check_table
from chainrule.data.columns.kinds import KINDS, Kind, Task, guess_kinds, guess_task
from chainrule.data.readers import datasets
from chainrule.data.readers.sources import read
from chainrule.data.schema import Schema
from chainrule.data.split import folds, holdout, shuffled
from chainrule.data.table import Column, Table

__all__ = [
    "KINDS",
    "Block",
    "Column",
    "Described",
    "Encoded",
    "Finding",
    "Kind",
    "Member",
    "Schema",
    "Table",
    "Task",
    "check_table",
    "datasets",
    "folds",
    "guess_kinds",
    "guess_task",
    "holdout",
    "read",
    "shuffled",
]
