"""The record in a model file of how it was made, by which it can be made again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import msgspec
import numpy as np

from chainrule.data.digest import TableDigest
from chainrule.engine.processor import compiler, processor
from chainrule.errors import ModelFileError
from chainrule.version import __version__

KEY = "made"
"""The name among the notes of a model."""


class Made(msgspec.Struct, frozen=True):
    """The making of a model, besides its settings.

    Attributes:
        data: of the table.
        versions: of Chainrule, NumPy and LLVM.
        processor: in words.
        complete: whether the run came to its end.
    """

    data: TableDigest
    versions: dict[str, str]
    processor: str
    complete: bool = False

    @classmethod
    def here(cls, data: TableDigest, *, complete: bool) -> Self:
        """The record of a model that is made here and now."""
        versions = {"chainrule": __version__, "numpy": np.__version__, "llvm": compiler()}
        return cls(data, versions, processor(), complete)

    def noted(self) -> dict[str, Any]:
        """The record as one of the notes of a model."""
        return {KEY: msgspec.to_builtins(self)}

    @classmethod
    def of(cls, notes: Mapping[str, Any]) -> Self | None:
        """The record among the notes of a model; None where there is none.

        Raises:
            ModelFileError: it has another form.
        """
        if KEY not in notes:
            return None
        try:
            return msgspec.convert(notes[KEY], cls)
        except msgspec.ValidationError as error:
            raise ModelFileError(
                "load", "the record of how the model was made is damaged", got=error
            ) from None
