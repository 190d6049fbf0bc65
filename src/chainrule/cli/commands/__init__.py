"""The commands of the command line, a file each; the list below is all that knows of them."""

from chainrule.cli.commands import data, evaluate, predict, show, train

COMMANDS = (train.COMMAND, predict.COMMAND, evaluate.COMMAND, show.COMMAND, data.COMMAND)
"""In the order of the documentation."""
