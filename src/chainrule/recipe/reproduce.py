"""Makes a model again from what its file records, and compares it bit by bit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.data.readers.inparts import InParts, in_parts
from chainrule.data.readers.sources import read
from chainrule.data.table import Table
from chainrule.display.format import counted, number
from chainrule.display.screen import Screen
from chainrule.display.tables import Section, as_html
from chainrule.errors import DataError, ModelFileError
from chainrule.graph.node import Array
from chainrule.model.model import Model, load
from chainrule.recipe.config import KEYS, Config
from chainrule.recipe.made import Made
from chainrule.recipe.training import Training
from chainrule.train.history import History
from chainrule.train.progress import choose


@dataclass(frozen=True)
class Reproduction:
    """A model that was made again, and how it compares with the first; `print` shows it.

    Attributes:
        agrees: whether all parameters have the same bits.
        model: the new one; None where it was not trained, as the data differ.
        facts: by "data", "version", "processor" and "parameters", a sentence on each.
        differs: those of data, version and processor that are known to differ.
    """

    agrees: bool
    model: Model | None
    facts: Mapping[str, str]
    differs: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """The result in a sentence."""
        if self.agrees:
            return "The bits agree."
        why = ", ".join(self.differs)
        if self.model is None:
            return f"Not trained: what differs is {why}, and so would the bits."
        if why:
            return f"The bits differ; what differs besides is {why}."
        return "The bits differ, and nothing does that the file records."

    def _repr_html_(self) -> str:
        return as_html([Section(self.verdict, tuple(self.facts.items()))])

    def __str__(self) -> str:
        width = max(map(len, self.facts))
        lines = [f"{name:<{width}}  {text}" for name, text in self.facts.items()]
        return "\n".join([*lines, self.verdict])


def reproduce(
    model: Model | str | os.PathLike[str], data: Any, *, memory: str | float | None = None,
    verbose: bool | str | None = True,
) -> Reproduction:  # fmt: skip
    """Train a model again as `train` did, and compare all parameters bit by bit.

    The settings and the seed are those that the model file records. Data are compared first, by
    a digest of each column: where they differ, nothing is trained. Data that were read in parts
    are read so again, and compared as they are encoded.

    Args:
        model: that `train` made, or its file.
        data: its table, as `train` was given it.
        memory: the bytes that all may take where data are read in parts, such as "1GB".
        verbose: as for `train`.

    Raises:
        ModelFileError: the file cannot be read, or is not of a complete run of `train`.
        DataError: the table cannot be used.
    """
    old = model if isinstance(model, Model) else load(model)
    source = source_of(old, data, memory=memory)
    with choose(verbose) as progress:
        training = _training(source, _config(old))
        facts, differs = compared(Made.of(old.notes), training)
        if "data" not in differs:
            training.fit(progress)
            training.refit(progress)
    if "data" in differs:
        return Reproduction(False, None, facts, tuple(differs))
    new = training.model
    if Made.of(old.notes) is None and old.trained_rows is not None:
        assert new.trained_rows is not None
        same = np.array_equal(old.trained_rows, new.trained_rows)
        facts["data"] = f"the rows of training are {'the same' if same else 'others'}"
        differs += [] if same else ["data"]
    facts["parameters"], agrees = _parameters(old, new)
    if not agrees and (epoch := _first_epoch(old.history, new.history)):
        facts["epochs"] = epoch
    return Reproduction(agrees, new, facts, tuple(differs))


def _config(old: Model) -> Config:
    """The settings of a model. Raises ModelFileError where it cannot be made again."""
    saved = old.notes.get("config")
    if not isinstance(saved, Mapping):
        raise ModelFileError(
            "reproduce", "the file has no settings of `train`: the model was trained by Model.fit",
            expected="a model that `train` made", fix="run the program that trained it again",
        )  # fmt: skip
    made = Made.of(old.notes)
    if made is not None and not made.complete:
        raise ModelFileError(
            "reproduce", "the model is of a run that was interrupted, at an instant of chance",
            got=counted(old.history.last_epoch, "epoch"),
            fix="train it to its end first: chainrule train DATA --config config.toml",
        )  # fmt: skip
    return Config(**{name: x for name, x in saved.items() if name in KEYS})


def source_of(
    old: Model, data: Any, *, memory: str | float | None = None, encoding: str | None = None,
    sheet: str | None = None,
) -> Table | InParts:  # fmt: skip
    """The data of a model, read as they were for its training: as a whole, or in parts.

    Args:
        old: the model.
        data: as of `reproduce`, or a result of this function.
        memory: as of `reproduce`.
        encoding, sheet: as of `read`.

    Raises:
        ModelFileError: the model cannot be made again. DataError: the data cannot be read.
    """
    config, made = _config(old), Made.of(old.notes)
    if isinstance(data, InParts):
        return data
    if made is not None and made.data.encoded:
        return _parts(data, memory, encoding)
    return read(data, encoding=encoding, sheet=sheet, gaps=config.gaps)


def _parts(data: Any, memory: str | float | None, encoding: str | None) -> InParts:
    """A source in parts. Raises DataError where it is not read so."""
    try:
        parts = in_parts(data, stream=True, memory=memory, encoding=encoding)
    except DataError as error:
        error.what = "the model was trained on data in parts, and this is not read so"
        error.where, error.fix = "reproduce", "give the files or the query that it was trained on"
        raise
    assert parts is not None
    return parts


def _training(source: Table | InParts, config: Config) -> Training:
    if isinstance(source, InParts):
        from chainrule.recipe.streamed import of_parts  # noqa: PLC0415  (few tables need it)

        return of_parts(source, config, Screen(None))
    return Training.of(source, config)


def compared(made: Made | None, training: Training) -> tuple[dict[str, str], list[str]]:
    """A sentence on data, version and processor, and the names of those that differ.

    Args:
        made: of the model; None where its file does not say.
        training: on the data, now.
    """
    now = Made.here(training.digest, complete=True)
    if made is None:
        unknown = "the file does not record it: it is of an earlier version"
        return dict.fromkeys(("data", "version", "processor"), unknown), []
    changed = made.data.differences(now.data, training.config.ignore)
    columns = counted(len(now.data.columns), "column")
    encoded = ", as they are encoded" if now.data.encoded else ""
    size = f"{counted(now.data.rows, 'row')}, {columns}{encoded}"
    facts = {"data": "; ".join(changed) or f"the same: {size}"}
    differs = ["data"] if changed else []
    pairs = {
        "version": (_words(made.versions), _words(now.versions)),
        "processor": (made.processor, now.processor),
    }
    for name, (then, here) in pairs.items():
        facts[name] = f"the same: {here}" if then == here else f"{then}; here {here}"
        differs += [] if then == here else [name]
    return facts, differs


def _words(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {x}" for name, x in versions.items())


def _parameters(old: Model, new: Model) -> tuple[str, bool]:
    """A sentence on the parameters, and whether all have the same bits."""
    before, after = old.values, new.values
    if {n: (x.shape, x.dtype) for n, x in before.items()} != {
        n: (x.shape, x.dtype) for n, x in after.items()
    }:
        return "another network: its parameters have other names or shapes", False
    changed = [n for n, x in before.items() if x.tobytes() != after[n].tobytes()]
    if not changed:
        return f"the same bits in all {len(before):,} arrays, SHA-256 {digest(after)[:16]}", True
    most = max(_distance(before[n], after[n]) for n in changed)
    told = f"other bits in {len(changed):,} of {len(before):,} arrays"
    return f"{told}; the largest difference is {number(most)}", False


def _distance(a: Array, b: Array) -> float:
    return float(np.max(np.abs(a.astype(np.float64) - b.astype(np.float64)), initial=0.0))


def digest(values: Mapping[str, Array]) -> str:
    """The SHA-256 of parameters, with their names, as hexadecimal digits."""
    found = hashlib.sha256()
    for name, x in sorted(values.items()):
        found.update(f"{name} {x.dtype} {x.shape} ".encode())
        found.update(x.tobytes())
    return found.hexdigest()


def _first_epoch(old: History, new: History) -> str:
    """A sentence on where two histories part; empty where they do not."""
    for before, after in zip(old, new, strict=False):
        names = [x for x in before if x != "seconds" and before[x] != after.get(x)]
        if names:
            return f"equal until epoch {int(before['epoch']) - 1}; then {', '.join(names)} differ"
    if len(old) != len(new):
        return f"{len(old):,}, and {len(new):,} now"
    return ""
