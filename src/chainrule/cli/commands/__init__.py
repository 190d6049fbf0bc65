"""The commands of the command line, a file each; the list below registers them."""

from chainrule.cli.commands import (
    compare,
    data,
    evaluate,
    exercise,
    inspect,
    play,
    predict,
    show,
    train,
)

COMMANDS = tuple(
    module.COMMAND
    for module in (train, predict, evaluate, show, inspect, play, compare, exercise, data)
)
"""All commands, in the order of the documentation."""
