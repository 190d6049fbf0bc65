"""One learned encoder for each kind of column, and what cells mean."""

from chainrule.data.columns import columns as columns
from chainrule.data.columns import dates as dates
from chainrule.data.columns import pictures as pictures
from chainrule.data.columns import signals as signals
from chainrule.data.columns import text as text
