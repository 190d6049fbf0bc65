"""The commands of the command line, a file each; the list below is all that knows of them."""

from chainrule.cli.commands import data, evaluate, predict, show, train

COMMANDS = tuple(module.COMMAND for module in (train, predict, evaluate, show, data))
"""In the order of the documentation."""
