"""The commands of the command line, a file each; the list below registers them."""

from chainrule.cli.commands import data, evaluate, exercise, inspect, play, predict, show, train

COMMANDS = tuple(x.COMMAND for x in (train, predict, evaluate, show, inspect, play, exercise, data))
"""All commands, in the order of the documentation."""
