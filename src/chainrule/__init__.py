"""Chainrule: neural networks as explicit computation graphs."""

from chainrule.system import startup as _startup

# isort: split
from chainrule import train
from chainrule.system.exports import Exports as _Exports

del train  # the folder: it is loaded now, so that the name stays the function's
_exports = _Exports(__name__, globals())
__all__ = _exports.names
__dir__ = _exports.directory
__getattr__ = _exports.load

if not _startup.STARTED:  # what every network needs; a command loads what it needs itself
    _exports.load("Model")
