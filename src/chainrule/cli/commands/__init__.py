"""The commands of the command line, a file each; the list below registers them."""

from chainrule.cli.commands import (
    compare,
    data,
    evaluate,
    exercise,
    inspect,
    play,
    predict,
    reproduce,
    show,
    train,
)

_MODULES = (train, predict, evaluate, reproduce, show, inspect, play, compare, exercise, data)

COMMANDS = tuple(module.COMMAND for module in _MODULES)
"""All commands, in the order of the documentation."""
