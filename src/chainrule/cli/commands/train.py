"""`chainrule train`: read, check, settle, train, judge, write, and tell it all."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chainrule
from chainrule import recipe
from chainrule.cli import messages as told
from chainrule.cli.configfile import to_toml
from chainrule.cli.console import Screen
from chainrule.cli.evaluation import Verdict, judge, subset
from chainrule.cli.outputs import Outputs, claimed, quoted
from chainrule.cli.report import page as report
from chainrule.cli.report.fill import make_report
from chainrule.costs.profile import Profile
from chainrule.data.readers import datasets
from chainrule.data.readers.sources import read
from chainrule.data.schema import Encoded
from chainrule.data.table import Table, listed
from chainrule.errors import DataError, ModelFileError, NotFinite, SettingError
from chainrule.model.model import Model
from chainrule.recipe import Config, Training
from chainrule.system.atomicfile import write_whole

TARGET_NAMES = ("target", "label", "class", "y", "outcome", "response", "species", "price")
INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class Order:
    """What was asked for on the command line.

    Attributes:
        data, test: what to train on, and rows to test on.
        chosen: the settings that were given.
        output, force, check_only, profile: as the options.
        command: the command line as it was typed.
    """

    data: str
    chosen: Config
    test: str | None = None
    output: str | None = None
    force: bool = False
    check_only: bool = False
    profile: bool = False
    quiet: bool = False
    command: str = ""


@dataclass(eq=False)
class Job:
    """A training, and what its results need besides."""

    training: Training
    columns: list[told.ColumnRow]
    test: Encoded | None


def train(order: Order, screen: Screen, trouble: Screen) -> int:
    """Do what was ordered; returns the exit code.

    Args:
        screen: where results are told.
        trouble: where an interruption is told.

    Raises:
        ChainruleError: the data or a setting is wrong.
    """
    begun = time.perf_counter()
    job = prepared_job(order, screen)
    if order.check_only:
        return 1 if any(found.severity == "error" for found in job.training.findings) else 0
    with claimed(order.data, order.output, order.force) as outputs:
        if not order.quiet:
            trouble.write("")
        stop = _run(job, order.quiet)
        if not len(job.training.model.history):
            if isinstance(stop, NotFinite):
                raise stop
            trouble.say("interrupted before the first epoch was over: nothing was written")
            return INTERRUPTED
        try:
            _finish(job, order, outputs, stop, time.perf_counter() - begun, screen, trouble)
        except KeyboardInterrupt:
            there = [path.name for path in outputs.files if path.exists()]
            trouble.say(f"interrupted; written: {', '.join(there) or 'nothing'}")
            return INTERRUPTED
    if isinstance(stop, NotFinite):
        raise stop
    return 0 if stop is None else INTERRUPTED


def _finish(
    job: Job, order: Order, outputs: Outputs, stop: KeyboardInterrupt | NotFinite | None,
    seconds: float, screen: Screen, trouble: Screen,
) -> None:  # fmt: skip
    """Write what must not be lost, then judge, and write the rest."""
    _write_first(job, order, outputs, trouble)
    if stop is not None:
        _tell_stop(job, order, stop, outputs, trouble)
    verdicts = _judged(job)
    if stop is None and job.training.refit(not order.quiet):
        _write_first(job, order, outputs, trouble)
    told.tell_results(screen, verdicts or [_training(job)])
    if order.profile and stop is None:
        told.tell_sections(screen, _profile(job).sections())
    _write_report(job, order, outputs, verdicts, seconds, stop)
    _tell_files(screen, outputs)


def prepared_job(order: Order, screen: Screen) -> Job:
    """Read, check and resolve, and print what each step gives."""
    table = read(order.data)
    told.tell_source(screen, table)
    if order.chosen.target is None:
        raise _no_target(table, order.data)
    training = Training.of(table, order.chosen)
    columns = told.column_rows(training.schema, training.features.treatments)
    told.tell_columns(screen, columns)
    told.tell_findings(screen, training.findings)
    resolved, model = training.config, training.model
    # its errors come before the long run
    recipe.build_optimizer(recipe.usual_length(resolved), model.graph)
    if order.profile and resolved.optimizer == "lbfgs":
        raise SettingError("train", "--profile times minibatch steps, and lbfgs has none",
                           fix="leave out --profile")  # fmt: skip
    test = None if order.test is None else _test_rows(model, order.test)
    screen.heading("Split")
    screen.say(training.data.sentence, indent=2)
    if test is not None:
        screen.say(f"{len(test):,} rows of {order.test} to test", indent=2)
    told.tell_config(screen, resolved)
    return Job(training, columns, test)


def _test_rows(model: Model, source: str) -> Encoded:
    assert model.schema is not None
    encoded = model.schema.encode(read(source), "required")
    if not len(encoded):
        raise DataError(source, "has no rows to test on")
    return encoded


def _run(job: Job, quiet: bool) -> KeyboardInterrupt | NotFinite | None:
    """Train; what cut it short, or None."""
    try:
        job.training.fit(verbose=not quiet)
    except (KeyboardInterrupt, NotFinite) as stop:
        return stop
    return None


def _tell_stop(
    job: Job, order: Order, stop: KeyboardInterrupt | NotFinite, outputs: Outputs, trouble: Screen
) -> None:
    training = job.training
    history, kept = training.model.history, recipe.keeps_best(training.data, training.config)
    epoch = f"{history.best}, the best so far," if kept else str(history.last_epoch)
    heard = isinstance(stop, KeyboardInterrupt) and not order.quiet  # `fit` has told of it
    what = "training broke off: " if isinstance(stop, NotFinite) else "interrupted: "
    trouble.say(f"{'' if heard else what}the model of epoch {epoch} is in "
                f"{quoted(outputs.model)}")  # fmt: skip


def _judged(job: Job) -> list[Verdict]:
    verdicts, training = [], job.training
    if len(training.data.held_rows):
        held = subset(training.encoded, training.data.held_rows)
        verdicts.append(judge(training.model, held, "validation"))
    if job.test is not None:
        verdicts.append(judge(training.model, job.test, "test"))
    return verdicts


def _profile(job: Job) -> Profile:
    """Where the time of a step goes, on the rows that trained."""
    resolved, model = job.training.config, job.training.model
    return model.profile(
        _trained_on(job), batch_size=resolved.batch_size or 32,
        optimizer=recipe.build_optimizer(resolved, model.graph), clip_norm=resolved.clip_norm,
    )  # fmt: skip


def _training(job: Job) -> Verdict:
    return judge(job.training.model, _trained_on(job), "training")


def _trained_on(job: Job) -> Encoded:
    return subset(job.training.encoded, job.training.data.rows)


# ---------------------------------------------------------------- files


def repeat(order: Order, outputs: Outputs) -> str:
    """The command that trains the same model again."""
    test = f" --test {quoted(order.test)}" if order.test else ""
    return f"chainrule train {quoted(order.data)}{test} --config {quoted(outputs.config)}"


def _write_first(job: Job, order: Order, outputs: Outputs, trouble: Screen) -> None:
    """The model, its history and its configuration: what must not be lost."""
    model = job.training.model
    try:
        model.save(outputs.model)
    except ModelFileError:
        rescued = Path(tempfile.mkdtemp(prefix="chainrule-")) / outputs.model.name
        model.save(rescued)
        trouble.say(f"the model is in {quoted(rescued)} instead of {quoted(outputs.model)}")
        raise
    model.history.to_csv(outputs.history)
    write_whole(outputs.config, to_toml(job.training.config, repeat(order, outputs)))


def _write_report(
    job: Job, order: Order, outputs: Outputs, verdicts: Sequence[Verdict], seconds: float,
    stop: BaseException | None,
) -> None:  # fmt: skip
    training = job.training
    notes = list(training.table.notes)
    if stop is not None:
        notes.append("The run was cut short: the model is that of the best epoch until then.")
    facts: dict[str, Any] = {
        "version": chainrule.__version__,
        "seconds": seconds,
        "command": order.command,
        "configuration": to_toml(training.config),
        "notes": notes,
        "next_command": next_command(outputs),
    }
    page = make_report(
        training.model, training.table, training.config, job.columns, training.findings,
        verdicts, _training(job), facts,
    )  # fmt: skip
    report.write(page, outputs.report)


def next_command(outputs: Outputs) -> str:
    """What to type to use the model."""
    return f"chainrule predict {quoted(outputs.named)} NEW.csv -o predictions.csv"


def _tell_files(screen: Screen, outputs: Outputs) -> None:
    screen.heading("Written")
    what = {
        outputs.model: "the model",
        outputs.report: "all of this with charts, for a browser",
        outputs.history: "loss and metrics of each epoch",
        outputs.config: "the configuration, for --config",
    }
    screen.table([(str(path), told) for path, told in what.items()])
    screen.heading("Next")
    screen.write("  " + next_command(outputs))


# ---------------------------------------------------------------- the target


def _no_target(table: Table, source: str) -> SettingError:
    name, why = likely_target(table, source)
    return SettingError(
        "train", "which column is to be predicted?", expected="--target COLUMN",
        got="columns " + listed(table.columns, 40),
        fix=f"--target {quoted(name)} ({why})",
    )  # fmt: skip


def likely_target(table: Table, source: str) -> tuple[str, str]:
    """The column that is most likely meant, and why."""
    if source in datasets.names() and not Path(source).is_file():
        return datasets.get(source).target, "it is what this data set is for"
    folded = {name.strip().lower(): name for name in reversed(table.columns)}
    for name in TARGET_NAMES:
        if name in folded:
            return folded[name], "a guess: by its name"
    return table.columns[-1], "a guess: the last column"
