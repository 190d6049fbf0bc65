"""Tables in, arrays out: reading, kinds of columns, the data contract, the data check, splits."""

from chainrule.system.exports import Exports as _Exports

_exports = _Exports(__name__, globals())
__all__ = sorted(_exports.names)
__dir__ = _exports.directory
__getattr__ = _exports.load
