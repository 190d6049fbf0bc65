"""The commands of the command line, a file each; the list below registers them."""

from chainrule.cli.commands import (
    compare,
    data,
    devices,
    evaluate,
    exercise,
    inspect,
    play,
    predict,
    reproduce,
    show,
    train,
)

_MODULES = (
    train, predict, evaluate, reproduce, show, inspect, play, compare, exercise, data, devices
)  # fmt: skip

COMMANDS = tuple(module.COMMAND for module in _MODULES)
"""All commands, in the order of the documentation."""
