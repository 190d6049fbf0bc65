"""The files that `chainrule train` writes: the model, its history and settings, the report."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from chainrule.cli.console import Console
from chainrule.cli.order import Job, Order
from chainrule.cli.outputs import Outputs, quoted
from chainrule.cli.spelling import as_options
from chainrule.data.readers.stdin import STDIN
from chainrule.errors import ModelFileError
from chainrule.model.learning.file import save_learning
from chainrule.recipe.configfile import to_toml
from chainrule.report.results import Evaluation
from chainrule.system.atomicfile import write_whole


def _repeat(order: Order, outputs: Outputs) -> str:
    """The command that trains the same model again."""
    more = {"test": order.test, "encoding": order.encoding, "sheet": order.sheet}
    more |= {"memory": order.memory, "device": None if order.device == "cpu" else order.device}
    told = "".join(f" --{name} {quoted(value)}" for name, value in more.items() if value)
    told += " --stream" if order.stream else ""
    data = "-" if order.data == STDIN else quoted(order.data)
    return f"chainrule train {data}{told} --config {quoted(outputs.config)}"


def write_first(job: Job, outputs: Outputs) -> None:
    """Write the essential files: the model, its history and its configuration."""
    model = job.training.model
    if job.kept is not None:
        job.kept.keep(written=True)
    try:
        model.save(outputs.model)
    except ModelFileError:
        rescued = Path(tempfile.mkdtemp(prefix="chainrule-")) / outputs.model.name
        model.save(rescued)
        job.trouble.say(f"the model is in {quoted(rescued)} instead of {quoted(outputs.model)}")
        raise
    model.history.to_csv(outputs.history)
    write_whole(outputs.config, to_toml(job.training.config, _repeat(job.order, outputs)))


def write_report(
    job: Job, outputs: Outputs, tests: Sequence[Evaluation], seconds: float,
    stop: BaseException | None,
) -> None:  # fmt: skip
    training = job.training
    notes = list(training.schema.notes)
    if stop is not None:
        notes.append("The run was interrupted: the model is that of the best epoch until then.")
    page = training.report(
        tests, seconds=seconds, command=job.order.command_line, notes=notes,
        configuration=to_toml(training.config), next_command=_next_command(outputs, job.order.data),
        advice=as_options,
    )  # fmt: skip
    page.write(outputs.report)
    if outputs.learning is not None and training.model.learning is not None:
        save_learning(training.model.learning, outputs.learning)


def _next_command(outputs: Outputs, data: str) -> str:
    """The command that uses the model."""
    new = "NEW_FOLDER" if Path(data).is_dir() else f"NEW{_ending(data)}"
    return f"chainrule predict {quoted(outputs.named)} {new} -o predictions.csv"


def _ending(data: str) -> str:
    """The ending of new data for a model: files of pictures have their own."""
    path = Path(data)
    if path.suffix == ".npz":
        return ".npz"
    return "-images-idx3-ubyte" if path.name.removesuffix(".gz").endswith("-ubyte") else ".csv"


def print_files(screen: Console, outputs: Outputs, data: str) -> None:
    screen.heading("Written")
    contents = {
        outputs.model: "the model",
        outputs.report: "all of this with charts, for a browser",
        outputs.history: "loss and metrics of each epoch",
        outputs.config: "the configuration, for --config",
    }
    if outputs.learning is not None and outputs.learning.exists():
        contents[outputs.learning] = "what was recorded, for chainrule inspect"
    screen.table([(str(path), content) for path, content in contents.items()])
    screen.heading("Next")
    screen.write("  " + _next_command(outputs, data))
