"""The public names of `cr.data`, and the modules that they are loaded from."""

from chainrule.data.blocks import Block as Block
from chainrule.data.blocks import Described as Described
from chainrule.data.blocks import Encoded as Encoded
from chainrule.data.blocks import Member as Member
from chainrule.data.check import Finding as Finding
from chainrule.data.check import check_table as check_table
from chainrule.data.column import Column as Column
from chainrule.data.columns.kinds import KINDS as KINDS
from chainrule.data.columns.kinds import Kind as Kind
from chainrule.data.columns.kinds import Task as Task
from chainrule.data.columns.kinds import guess_kinds as guess_kinds
from chainrule.data.columns.kinds import guess_task as guess_task
from chainrule.data.readers import datasets as datasets
from chainrule.data.readers.sources import read as read
from chainrule.data.schema import Schema as Schema
from chainrule.data.shuffle import shuffled as shuffled
from chainrule.data.split import folds as folds
from chainrule.data.split import holdout as holdout
from chainrule.data.streams.sources import stream as stream
from chainrule.data.streams.stream import Stream as Stream
from chainrule.data.table import Table as Table
