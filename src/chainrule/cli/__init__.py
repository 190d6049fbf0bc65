"""The command line `chainrule`: `train`, `predict`, `evaluate`, `show` and `data`."""

from chainrule.cli.main import main as main
