"""`chainrule train`: trains on a table, and prints and writes the results of each stage."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from chainrule import recipe
from chainrule.cli.command import (
    USAGE,
    Command,
    CommandLine,
    Device,
    Encoding,
    InPartsOption,
    MaybeData,
    Memory,
    Option,
    Quiet,
    Sheet,
)
from chainrule.cli.console import Console
from chainrule.cli.mpiexec import start_ranks
from chainrule.cli.order import Job, Order, chosen_config
from chainrule.cli.outputs import Outputs, claimed, quoted, trace_file, write_trace
from chainrule.cli.resume import (
    begun_in,
    checkpoint_of,
    command_of,
    place,
    resumed,
    tell_how_to_go_on,
)
from chainrule.cli.target import require_target
from chainrule.cli.written import print_files, write_first, write_report
from chainrule.costs.profile import Profile
from chainrule.data.blocks import Encoded
from chainrule.data.readers.inparts import in_parts
from chainrule.data.readers.sources import is_query, read
from chainrule.display.format import counted
from chainrule.engine.devices import check_device
from chainrule.errors import DataError, NotFinite, SettingError
from chainrule.model.learning.learner import SAMPLE
from chainrule.model.model import Model
from chainrule.model.ranked import BLOCKS
from chainrule.recipe import Training
from chainrule.recipe.runfolder import RunFolder, kept_folder
from chainrule.report.text import (
    print_importance,
    print_notes,
    print_results,
    print_sections,
    print_source,
)
from chainrule.system.ranks.communicator import ending_together, from_first, of_host
from chainrule.system.ranks.world import in_group, speaks, world
from chainrule.system.settings import require_integer
from chainrule.system.startup import INTERRUPTED
from chainrule.train.progress import choose
from chainrule.train.record import Record

if TYPE_CHECKING:
    from chainrule.live.watch import Live


FOR_PAGES = Record(nodes=(), rows=SAMPLE, gradients=False, parameters=False)
"""The recording that pages show, without the arrays that only Python reads."""


def train(
    data: MaybeData = None,
    /,
    *,
    config: Annotated[
        Path | None, Option("settings from a TOML file; options override it")
    ] = None,
    test: Annotated[str | None, Option("data to test on at the end", metavar="DATA")] = None,
    output: Annotated[
        str | None,
        Option("the folder to write to, or NAME.safetensors", "--output", "-o", metavar="PATH"),
    ] = None,
    force: Annotated[bool, Option("replace the files of another run")] = False,
    encoding: Encoding = None,
    sheet: Sheet = None,
    stream: InPartsOption = False,
    memory: Memory = None,
    quiet: Quiet = False,
    check_only: Annotated[
        bool, Option("read, check and resolve the settings; do not train")
    ] = False,
    profile: Annotated[bool, Option("print at the end where the time of a step goes")] = False,
    live: Annotated[bool, Option("show the run on a page while it goes on")] = False,
    record: Annotated[
        bool, Option("keep what the layers do on some rows, epoch by epoch, for the pages")
    ] = False,
    trace: Annotated[
        str | None,
        Option("write where the time of a step goes as trace events, for ui.perfetto.dev",
               metavar="FILE.json"),
    ] = None,
    ranks: Annotated[
        int | None, Option("train in so many processes on this machine, by MPI", metavar="N")
    ] = None,
    checkpoint: Annotated[
        str | None,
        Option("keep the state of the run in a folder: the same command, or --resume, goes on",
               metavar="FOLDER"),
    ] = None,
    every: Annotated[
        str | None, Option("the time between two checkpoints, such as 60s, 5min, 1h", metavar="T")
    ] = None,
    keep: Annotated[
        int | None, Option("how many checkpoints of each fit are kept", metavar="N")
    ] = None,
    resume: Annotated[
        str | None,
        Option("go on with the run in this folder, which --checkpoint made; no other argument is "
               "needed", metavar="FOLDER"),
    ] = None,
    threads: Annotated[
        int | None,
        Option("the number of processors to use, where that is faster; results are the same for "
               "any", metavar="N"),
    ] = None,
    device: Device = "cpu",
    command_line: CommandLine = "",
    **settings: Any,
) -> int:  # fmt: skip
    """Train a network on a table, and write the model, its history and a report.

    DATA and --target are enough; all else is chosen by the data, and printed.
    """
    trouble = Console(sys.stderr if speaks() else None)
    if data is None and resume is None:
        what = "DATA is missing"
        trouble.error(SettingError("chainrule train", what, fix="chainrule train --help"))
        return USAGE
    if ranks is not None:
        return start_ranks(ranks, command_line, data or "")
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(require_integer("threads", threads, 1))
    begun = None
    if resume is not None:
        own = {"config": config, "test": test, "encoding": encoding, "sheet": sheet,
               "device": None if device == "cpu" else device, "record": record or None}  # fmt: skip
        begun = begun_in(resume, {"checkpoint": checkpoint, **own, **settings})
        checkpoint = os.path.abspath(resume)
    kept = checkpoint_of(checkpoint, every, keep, {} if begun is None else begun.command)
    order = Order(
        data=data or "", chosen=chosen_config(settings, config), test=test, output=output,
        force=force, encoding=encoding, sheet=sheet, stream=stream, memory=memory, quiet=quiet,
        check_only=check_only, profile=profile, live=live, record=record, checkpoint=kept,
        trace=trace_file("train", trace, [] if not data or is_query(data) else [Path(data)]),
        command_line=command_line, device=device,
    )  # fmt: skip
    if begun is not None:
        order = replace(order, **resumed(begun, data, output, order.trace))
    if in_group() and order.chosen.blocks is None:  # kept for one that goes on alone
        order = replace(order, chosen=replace(order.chosen, blocks=BLOCKS))
    with ending_together(world()), kept_folder(None if check_only else kept) as folder:
        if not speaks():
            return _take_part(order)
        return _carry_out(order, folder, Console(None if quiet else sys.stdout), trouble)


COMMAND = Command(
    "train",
    train,
    """
    chainrule train penguins --target species
    chainrule train houses.csv --target price --hidden 256,128 --seed 7
    chainrule train 'logs/*.parquet' --target failed --memory 2GB
    chainrule train "from 'logs/*.parquet' where day > 9" --target failed
    chainrule train new.csv --config penguins-model/config.toml
    """,
)


def _carry_out(order: Order, kept: RunFolder | None, screen: Console, trouble: Console) -> int:
    """Train as ordered; returns the exit code. Raises ChainruleError."""
    begun = time.perf_counter()
    job = _prepared(order, kept, screen, trouble)
    model = job.training.model
    if order.check_only:
        return 1 if any(x.severity == "error" for x in job.training.findings) else 0
    output, force = place(kept, order.output, order.force)
    with claimed(order.data, output, force, order.record) as outputs:
        if kept is not None:
            kept.keep(output=str(outputs.named))
        if not order.quiet:
            trouble.write("")
        stop = _run(job)
        if not len(model.history):
            if isinstance(stop, NotFinite):
                raise stop
            trouble.say("interrupted before the end of the first epoch: nothing was written")
            tell_how_to_go_on(kept, trouble)
            return INTERRUPTED
        try:
            _finish(job, outputs, stop, begun)
        except KeyboardInterrupt:
            there = [path.name for path in outputs.files if path.exists()]
            trouble.say(f"interrupted; written: {', '.join(there) or 'nothing'}")
            stop = KeyboardInterrupt()
    if isinstance(stop, NotFinite):
        raise stop
    if stop is not None:
        tell_how_to_go_on(kept, trouble)
    return 0 if stop is None else INTERRUPTED


def _take_part(order: Order) -> int:
    """Train as ordered, on a rank that neither prints nor writes; returns the exit code."""
    job = _prepared(replace(order, quiet=True, live=False), None, Console(None), Console(None))
    if order.check_only:
        return 0
    job.training.checkpoint = order.checkpoint
    stop = _run(job)
    if isinstance(stop, NotFinite):
        raise stop
    if stop is None:
        job.training.refit(job.progress)
    return 0 if stop is None else INTERRUPTED


def _prepared(
    order: Order, kept: RunFolder | None, screen: Console, trouble: Console
) -> Job:  # fmt: skip
    """Read, check and resolve, and print the results of each stage."""
    check_device(order.device, "train")
    training = _training(order, screen)
    training.device = order.device
    if kept is not None:
        _keep(order, training, kept, trouble)
    training.print_data(screen)
    resolved, model = training.config, training.model
    # its errors are raised before the long run
    recipe.build_optimizer(recipe.default_length(resolved), model.graph)
    option = "--profile" if order.profile else "--trace" if order.trace else None
    if option and resolved.optimizer == "lbfgs":
        raise SettingError("train", f"{option} times minibatch steps, and lbfgs has none",
                           fix=f"leave out {option}")  # fmt: skip
    test = None if order.test is None else _test_rows(model, order)
    training.print_settings(screen)
    if test is not None:
        screen.heading("Test")
        screen.say(f"{counted(len(test), 'row')} of {order.test}", indent=2)
        print_notes(screen, test.notes)
    live = None
    if order.live:
        live = _live(training)
        trouble.write(trouble.styled(live.url, "bold"))
        trouble.say("this page shows the run, on this machine")
    return Job(order, screen, trouble, training, choose(not order.quiet), test, live, kept)


def _keep(order: Order, training: Training, kept: RunFolder, trouble: Console) -> None:
    """Keep the command beside its checkpoints, or compare it. Raises SettingError."""
    more = {"test": order.test, "encoding": order.encoding, "sheet": order.sheet,
            "stream": training.in_parts, "memory": order.memory,
            "record": order.record,
            "device": None if order.device == "cpu" else order.device}  # fmt: skip
    if kept.begun is None and order.output is not None:  # else `place` compares it first
        more["output"] = order.output
    command = command_of(kept, order.data, order.command_line, more)
    kept.begin(order.chosen, training, command=command)
    for note in kept.notes:
        trouble.say(note, label="note", style="cyan")


def _training(order: Order, screen: Console) -> Training:
    """The data, read as a whole or in parts, and what was learned of them."""
    data, chosen = order.data, order.chosen
    parts = in_parts(data, stream=order.stream, memory=order.memory, encoding=order.encoding,
                     sheet=order.sheet or None, processes=len(of_host(world())))  # fmt: skip
    parts = from_first(world(), parts)  # others may have less free memory
    if parts is not None:
        from chainrule.recipe.streamed import of_parts  # noqa: PLC0415  (few tables need it)

        return of_parts(
            parts, chosen, screen, lambda table: require_target(table, data, chosen.target)
        )
    table = read(data, encoding=order.encoding, sheet=order.sheet, gaps=chosen.gaps)
    print_source(screen, table.source, len(table), len(table.columns), table.notes)
    require_target(table, data, chosen.target)
    return Training.of(table, chosen)


def _live(training: Training) -> Live:
    """The page of a run, served already."""
    from chainrule.live.watch import Live  # noqa: PLC0415  (a server: only where it is used)

    return Live(training)


def _test_rows(model: Model, order: Order) -> Encoded:
    assert model.schema is not None
    assert order.test is not None
    table = read(order.test, encoding=order.encoding, sheet=order.sheet)
    encoded = model.schema.encode(table, "required")
    if not len(encoded):
        raise DataError(table.source, "has no rows to test on")
    return encoded


def _run(job: Job) -> KeyboardInterrupt | NotFinite | None:
    """Train; returns the exception that interrupted it."""
    try:
        callbacks = [] if job.live is None else [job.live.watch]
        job.training.fit(job.progress, callbacks, FOR_PAGES if job.order.record else None)
    except (KeyboardInterrupt, NotFinite) as stop:
        return stop
    return None


def _finish(
    job: Job, outputs: Outputs, stop: KeyboardInterrupt | NotFinite | None, begun: float
) -> None:
    """Write the essential files, then evaluate, and write the others."""
    write_first(job, outputs)
    if stop is not None:
        _print_stop(job, stop, outputs)
    if stop is None and job.training.refit(job.progress):
        write_first(job, outputs)
    training = job.training
    tests = [] if job.test is None else training.test(job.test)
    print_results(job.screen, [*training.evaluations, *tests] or [training.on_training])
    print_importance(job.screen, training.importance)
    if stop is None:
        _tell_times(job)
    elif job.order.trace is not None:
        job.trouble.say(f"{quoted(job.order.trace)} is not written: the run did not end")
    write_report(job, outputs, tests, time.perf_counter() - begun, stop)
    print_files(job.screen, outputs, job.order.data)
    if job.live is not None:
        told = "the page stays until it is closed, or Ctrl-C"
        job.live.finish(f"The run has ended; its report is {outputs.report}.",
                        lambda: job.trouble.say(told))  # fmt: skip


def _print_stop(job: Job, stop: KeyboardInterrupt | NotFinite, outputs: Outputs) -> None:
    training, quiet = job.training, job.order.quiet
    history, best_kept = training.model.history, recipe.keeps_best(training.data, training.config)
    epoch = f"{history.best}, the best so far," if best_kept else str(history.last_epoch)
    printed = isinstance(stop, KeyboardInterrupt) and not quiet  # by `fit`
    what = "training broke off: " if isinstance(stop, NotFinite) else "interrupted: "
    job.trouble.say(f"{'' if printed else what}the model of epoch {epoch} is in "
                    f"{quoted(outputs.model)}")  # fmt: skip


def _tell_times(job: Job) -> None:
    """Print and write where the time of a step goes, if it is asked for."""
    if not job.order.profile and job.order.trace is None:
        return
    found = _profile(job)
    if job.order.profile:
        print_sections(job.screen, found.sections())
    if job.order.trace is not None:
        job.screen.write("")
        write_trace(found, job.order.trace, job.screen)


def _profile(job: Job) -> Profile:
    """The profile of a step, on the training rows."""
    model = job.training.model
    settings = recipe.step_settings(job.training.config, model.graph)
    return model.profile(job.training.on_training.encoded, **settings)
