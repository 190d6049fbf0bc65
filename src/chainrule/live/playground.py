"""The playground: one or two designs on one table, and the pages that look on."""

from __future__ import annotations

import json
import shlex
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chainrule.data.table import Table
from chainrule.errors import SettingError, did_you_mean
from chainrule.live.design import CHOICES, Design
from chainrule.live.hub import Event, Hub, table_form
from chainrule.live.lane import Lane
from chainrule.recipe.config import config
from chainrule.recipe.configfile import to_toml
from chainrule.recipe.training import Training
from chainrule.system.checks import as_integer

TURN_SECONDS = 0.001
"""The time between two looks whether the other run has caught up."""

MAX_ROWS = 200_000
"""Rows of a table in the playground; of a larger one the first are taken."""


class Playground(Hub):
    """One or two designs on one table.

    Args:
        table: to learn.
        target: the column to predict.
        designs: one or two.
        epochs: up to which each is trained at once.

    Raises:
        SettingError, DataError: the table cannot be learned.
    """

    def __init__(
        self, table: Table, target: str, designs: Sequence[Design] = (), epochs: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.notes = []
        if len(table) > MAX_ROWS:
            self.notes.append(f"the first {MAX_ROWS:,} of {len(table):,} rows are used")
            table = table.take(slice(MAX_ROWS))
        self.table, self.target = table, target
        schema = Training.of(table, config(target=target, quality="fast")).schema
        self.schema, self.task = schema, str(schema.task)
        self._commands = threading.Lock()
        self.compares = len(designs) > 1
        self.lanes = [self._lane(k, x) for k, x in enumerate(designs or [Design()])]
        for lane, epoch in zip(self.lanes, epochs, strict=False):
            if epoch:
                lane.train_to(epoch)

    def _lane(self, place: int, design: Design) -> Lane:
        return Lane(
            self.table, self.target, design, self.task,
            lambda e: self.send(e | {"lane": place}), self._together,
        )  # fmt: skip

    def _together(self, lane: Lane) -> None:
        """Wait until no other run is behind: two designs are compared epoch by epoch."""
        while not lane.closing and any(
            x.status == "running" and x.epoch < lane.epoch for x in self.lanes if x is not lane
        ):
            time.sleep(TURN_SECONDS)

    def close(self) -> None:
        """End all runs."""
        for lane in self.lanes:
            lane.close()

    # ------------------------------------------------------------ what pages are told

    def everything(self) -> list[Event]:
        """The events by which a page that comes anew knows all."""
        events = [self._hello()]
        for place in range(len(self.lanes)):
            events += self._all_of(place)
        return events

    def _hello(self) -> Event:
        return {
            "kind": "hello", "play": True, "table": table_form(self.schema, self.table),
            "choices": CHOICES, "notes": self.notes,
            "lanes": [lane.state for lane in self.lanes],
        }  # fmt: skip

    def _all_of(self, place: int) -> list[Event]:
        lane = self.lanes[place]
        state = {"kind": "state", "state": lane.state}
        return [event | {"lane": place} for event in [*lane.events(), state]]

    def export(self, lane: int, form: str) -> str:
        """The run of a design up to its last epoch: "python", "toml", or "json", its choices.

        Raises:
            SettingError: there is no such design or form.
        """
        if not 0 <= lane < len(self.lanes):
            raise SettingError("export", "there is no such design", got=lane)
        shown = self.lanes[lane]
        if form == "python":
            return shown.design.script(self.table.source, self.target, shown.epoch, self.task)
        if form == "toml":
            epochs = max(shown.epoch, 1)
            resolved = shown.design.config(self.target, epochs, self.task)
            return to_toml(
                resolved, f"chainrule train {shlex.quote(self.table.source)} --config FILE"
            )
        if form == "json":
            designs = [x.design.to_dict() for x in self.lanes]
            reached = [x.epoch for x in self.lanes]
            return json.dumps({"designs": designs, "epochs": reached}, indent=2)
        raise SettingError("export", f"there is no form {form!r}", expected="python, toml or json")

    # ------------------------------------------------------------ commands

    def command(self, given: object) -> None:
        """Carry out a command of a page; see `Command` in web/src/sections.ts.

        Raises:
            SettingError: it is not a command, or a design is not valid.
        """
        if not isinstance(given, Mapping):
            raise SettingError("command", "not a command", expected="{'do': ...}")
        name = str(given.get("do"))
        if name not in COMMANDS:
            raise SettingError(
                "command", f"there is no command {name!r}", fix=did_you_mean(name, COMMANDS)
            )
        with self._commands:
            COMMANDS[name](self, given)

    def _chosen(self, given: Mapping[str, Any]) -> list[int]:
        """The lanes that a command is for; None is all."""
        if given.get("lane") is None:
            return list(range(len(self.lanes)))
        place = as_integer(given["lane"])
        if place is None or not 0 <= place < len(self.lanes):
            raise SettingError("command", "there is no such design", got=given["lane"])
        return [place]

    def _replace(self, place: int, design: Design) -> None:
        self.lanes[place].close()
        self.lanes[place] = self._lane(place, design)
        for event in self._all_of(place):
            self.send(event)

    def _each(self, given: Mapping[str, Any], act: Callable[[Lane], None]) -> None:
        for place in self._chosen(given):
            act(self.lanes[place])

    def _pause(self, given: Mapping[str, Any]) -> None:
        """Pause runs: one at its next step, several at the end of the same epoch."""
        lanes = [self.lanes[place] for place in self._chosen(given)]
        going = [lane for lane in lanes if lane.status == "running"]
        for lane in going:
            if len(going) > 1:
                lane.train_to(max(x.epoch for x in going) + 1)
            else:
                lane.pause()

    def _configure(self, given: Mapping[str, Any]) -> None:
        design = Design.of(given.get("design"))
        for place in self._chosen(given):
            self._replace(place, design)

    def _reset(self, given: Mapping[str, Any]) -> None:
        for place in self._chosen(given):
            self._replace(place, self.lanes[place].design)

    def _compare(self, given: Mapping[str, Any]) -> None:
        on = given.get("on") is True
        if on and len(self.lanes) == 1:
            self.lanes.append(self._lane(1, self.lanes[0].design))
        elif not on and len(self.lanes) == 2:
            self.lanes.pop().close()
        for event in self.everything():
            self.send(event)

    def _train_to(self, given: Mapping[str, Any]) -> None:
        epoch = as_integer(given.get("epoch"))
        if epoch is None or epoch < 0:
            raise SettingError("command", "not an epoch", got=given.get("epoch"))
        for place in self._chosen(given):
            if epoch < self.lanes[place].epoch:  # the same run anew, which gives the same bits
                self._replace(place, self.lanes[place].design)
            if epoch > self.lanes[place].epoch:
                self.lanes[place].train_to(epoch)


COMMANDS: dict[str, Callable[[Playground, Mapping[str, Any]], None]] = {
    "start": lambda self, given: self._each(given, Lane.start),
    "pause": Playground._pause,
    "step": lambda self, given: self._each(given, Lane.one_step),
    "epoch": lambda self, given: self._each(given, Lane.one_epoch),
    "configure": Playground._configure,
    "reset": Playground._reset,
    "compare": Playground._compare,
    "goto": Playground._train_to,
}
"""The commands of a page."""
