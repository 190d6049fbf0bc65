"""What all tests share: the same examples in every run, and no say of the terminal they run in."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("chainrule", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("chainrule")

for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
    os.environ.pop(name, None)
