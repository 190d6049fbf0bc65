"""The methods of a Model that train it, and those that say what a training step costs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy.typing as npt

from chainrule.data.windows import BlockShuffle
from chainrule.explain.trace import Trace
from chainrule.model import fit as fitting
from chainrule.model import stepping
from chainrule.model.state import Data, ModelState
from chainrule.train.callbacks import Callback, EarlyStopping, State
from chainrule.train.checkpoint import Checkpoint
from chainrule.train.fitsettings import FitSettings
from chainrule.train.history import History
from chainrule.train.lbfgs import LBFGS
from chainrule.train.metrics import Metric
from chainrule.train.metrics.registry import Function
from chainrule.train.optim import Optimizer
from chainrule.train.progress import Progress
from chainrule.train.record import Record

if TYPE_CHECKING:
    from chainrule.costs.forecast import Forecast
    from chainrule.costs.profile import Profile


class Trainable(ModelState):
    """A ModelState with the methods that train it; `Predicting` and `Model` add the rest."""

    def fit(
        self,
        data: Data,
        *,
        optimizer: Optimizer | LBFGS | str | None = None,
        batch_size: int = 32,
        epochs: int | None = None,
        validation: float | Data | None = 0.2,
        groups: npt.ArrayLike | str | None = None,
        time: npt.ArrayLike | str | None = None,
        patience: int | EarlyStopping | None = None,
        keep_best: bool = True,
        new_run: bool = False,
        total_epochs: int | None = None,
        shuffle: bool | BlockShuffle = True,
        metrics: Iterable[str | Metric | Function] | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        trainable: Iterable[str] | None = None,
        callbacks: Iterable[Callback | Callable[[State], object]] | Callback | None = None,
        record: Record | Iterable[str] | str | bool | None = None,
        checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
        precision: str = "float32",
        backend: str = "native",
        device: str = "cpu",
        threads: int | None = None,
        blocks: int | None = None,
        verbose: bool | str | Progress | None = True,
    ) -> History:
        """Train the model. Another call goes on: several are one run of all their epochs.

        With the optimizer of the last call, or None, training goes on where that call ended:
        schedules count on, and a span that is a fraction of the run is one of all epochs so far.
        If the criterion and the rows that it judges are the same too, patience and the best score
        go on, and the best epoch of all calls is kept. Another optimizer, even with one setting
        that differs, or `new_run=True`, begins a new run with the present parameters. The
        optimizer's averages are kept where its class is the same. L-BFGS keeps no memory of its
        steps: it begins each call as the first, so that several take other steps than one.

        Args:
            data: for each input by name its array, rows first; or a table, a file or a query
                where the model has a schema; or a stream, `cr.data.stream(...)`, of which a part
                at a time is in memory.
            optimizer: such as Adam(1e-3), or its name. None continues with the last one, at first
                Adam(1e-3). LBFGS uses all rows in every step, which is one of its iterations.
            batch_size: examples a step; the last minibatch of an epoch may be smaller.
            epochs: passes over all training rows; None: 20, or as many iterations as LBFGS has.
            validation: the share of rows held out (shuffled, stratified by class, seeded), or
                separate data; None or 0 holds out none. Of a stream they are chosen by a hash of
                their number, at most 1,048,576 of them or 128 MiB, which are held in memory.
            groups, time: hold out complete groups, or the latest rows: an array with an entry a
                row, or the name of a column of the table.
            patience: stop when the validation loss, or the criterion of an EarlyStopping, has not
                improved for this number of epochs.
            keep_best: end with the parameters of the best epoch, where there is validation or
                patience. The criterion of an epoch is of its last parameters: where it is the
                loss of the training rows, `history["loss"]` is that loss, evaluated after each
                epoch; else it is the mean over the minibatches, of the parameters before each
                update.
            new_run: begin a new run: schedules, patience and the best score begin anew.
            total_epochs: of the complete run, for schedules with spans that are fractions of it,
                where several calls make one run; None: the epochs of the calls so far.
            shuffle: take the rows in a new order in each epoch. A stream's are shuffled block by
                block; `cr.BlockShuffle()` takes arrays in memory in the same order, and holds out
                the same rows.
            metrics: names or functions (target, prediction); None takes the defaults of the loss.
            clip_norm, clip_value: bounds on the gradients' joint norm, or on each entry.
            trainable: names or patterns of the parameters to train; None trains all.
            callbacks: called after each epoch with the state of the run; a Callback also at its
                beginning and end, and after each step.
            record: keep values and gradients of a few rows, and the parameters, after each epoch:
                True, names of nodes, or a Record. They are then in `model.record`, and
                `model.show()` has a time line of what the layers did. It changes nothing in the
                run, and takes the time of a few rows an epoch.
            checkpoint: a Checkpoint, or the path of its folder: the state of the run is written
                there from time to time. After the end of the process, the same call, on a new
                model of the same definition, goes on from the last one, and ends with the same
                bits, on any number of threads. Where the folder has another call's checkpoints,
                a SettingError says what differs. Not with `record`.
            precision: "bfloat16" rounds the factors of large products to it, and adds up in
                float32; loss, parameters and updates stay float32. It is for processors that
                multiply bfloat16, and not for L-BFGS. Predictions are as always.
            backend: "native" compiles the step to machine code; "interpreter" computes with NumPy,
                node by node, which is slow and serves as a reference.
            device: what does the steps: "cpu"; "gpu" or "gpu:1", the first or the second graphics
                processor; "opencl", "opencl:1" or "opencl:NAME", a device of OpenCL by its number
                or a part of its name; "auto", the one that is predicted to be the quickest, or
                the processor where that one fails, and a line says why. `chainrule devices` lists
                those that are there. It computes the scores of epochs too. Results differ in last
                bits between devices.
            threads: the number of processors that a step may use, where it is faster; None: all.
                Results have the same bits for any number.
            blocks: cut each minibatch into so many blocks, whose sums are added in a fixed order:
                the results have the same bits on any number of processes that share the run, see
                "Several machines" in the guide, or on one. None: 8 under `mpiexec`, else 1.
            verbose: True shows the run in a form for the terminal, notebook or file; False
                shows nothing; "terminal", "log" or "notebook" choose one; or a Progress.

        Returns:
            The model's history: a row for each epoch of this and all earlier runs.

        Raises:
            FeedError, DataError: the data does not fit the graph or the schema.
            SettingError: a setting is not allowed, or there is no such device.
            MissingExtra, DeviceError: the library of a device is missing, or its driver fails.
            NotFinite: a loss became NaN or infinite; the model is as before that step.
            GraphError: with blocks, the network mixes the rows of a minibatch otherwise than by
                sums and means.
            RankLost: a process that shares the run has ended, or does not answer.
        """
        settings = FitSettings(
            optimizer=optimizer, batch_size=batch_size, epochs=epochs, validation=validation,
            groups=groups, time=time, patience=patience, keep_best=keep_best, new_run=new_run,
            total_epochs=total_epochs, shuffle=shuffle, metrics=metrics, clip_norm=clip_norm,
            clip_value=clip_value, trainable=trainable, callbacks=callbacks, record=record,
            checkpoint=checkpoint, precision=precision, backend=backend, device=device,
            threads=threads, blocks=blocks, verbose=verbose,
        )  # fmt: skip
        return fitting.fit(self, data, settings)

    def step(
        self,
        batch: Data,
        *,
        optimizer: Optimizer | LBFGS | str | None = None,
        total_steps: int | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        trainable: Iterable[str] | None = None,
        precision: str = "float32",
        backend: str = "native",
        device: str = "cpu",
        threads: int | None = None,
    ) -> float:
        """Do one update with a minibatch; returns its loss before the update.

        Calls with the same optimizer, or None, are the steps of one run, as the minibatches of
        `fit` are: schedules count on, averages go on, and each step draws its own dropout. Another
        optimizer begins a new run with the present parameters; if its class is the same, averages
        are kept. The compiled step is kept between calls.

        The history gets no row. A later `fit` with the same optimizer goes on in the same run, from
        these parameters; its first epoch is counted as the next one of the history. Patience and
        the best score, which belong to epochs, begin anew.

        Args:
            batch: the rows of the minibatch: for each input by name its array, rows first; or a
                table where the model has a schema. Where the loss weights rows, weights are
                relative to the mean of these rows, in `fit` to that of all training rows.
            optimizer: such as Adam(1e-3), or its name. None continues with the last one, at first
                Adam(1e-3).
            total_steps: of the complete run, for schedules with spans that are fractions of it.
            clip_norm, clip_value, trainable, precision, backend, device, threads: as for `fit`.

        Raises:
            FeedError, DataError: the batch does not fit the graph or the schema.
            GraphError: the model has no loss. SettingError: a setting is not allowed.
            NotFinite: the loss or an update is NaN or infinite; the model is as before.
        """
        given = stepping.given(
            optimizer,
            total_steps,
            clip_norm,
            clip_value,
            trainable,
            precision,
            backend,
            threads,
            device,
        )
        return stepping.step(self, batch, given)

    def trace_step(
        self,
        batch: Data,
        *,
        optimizer: Optimizer | LBFGS | str | None = None,
        total_steps: int | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        trainable: Iterable[str] | None = None,
        precision: str = "float32",
    ) -> Trace:
        """The training step that `step` would do, with every number; the model is not changed.

        The values, the gradient of the loss at every node, and the new value of every parameter
        and optimizer slot, by the interpreter: `trace.value("hidden")`, `trace.gradient("hidden")`,
        `trace.updated("hidden.w")`. `trace.steps()` has all of them with their formulas: forward,
        backward, and then the update, by the optimizer's own formula.

        Args:
            batch, optimizer, total_steps, clip_norm, clip_value, trainable, precision: as for
                `step`; any processor can trace bfloat16.

        Raises:
            Errors as in `step`, except for numbers that are not finite, which are shown.
        """
        given = stepping.given(optimizer, total_steps, clip_norm, clip_value, trainable, precision)
        return stepping.trace(self, batch, given)

    def plan(
        self,
        batch_size: int = 32,
        *,
        optimizer: Optimizer | LBFGS | str | None = None,
        threads: int | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        precision: str = "float32",
        rows: int | None = None,
        ranks: int | None = None,
        blocks: int | None = None,
        bandwidth: float = 1e9,
        latency: float = 1e-4,
    ) -> Forecast:
        """A forecast of a training step as machine code: its kernels, time and memory.

        `print(model.plan())` shows the passes over the graph, the kernels with the nodes that
        each computes, phases, layout, memory, and the predicted time of a step; the first call
        measures the speed of this machine, in about a third of a second.

        Args:
            batch_size, optimizer, clip_norm, clip_value, precision: as for `fit`.
            threads: that share the step, at most all processors; None: as many as are predicted
                to be fastest.
            rows: of the data set, for its memory.
            ranks: processes that share each minibatch: the forecast of one process stays, and
                `shared` is that of all.
            blocks: of a minibatch that processes share; None: 8, or as many as there are.
            bandwidth, latency: between two processes: bytes a second, and seconds of a message.

        Returns:
            A forecast: text, and `kernels`, `phases`, `flops`, `bytes`, `seconds`, `memory`.

        Raises:
            GraphError: the model has no loss. SettingError: a setting is not allowed.
        """
        from chainrule.model.plan import Network, plan  # noqa: PLC0415  (few programs need it)

        settings = FitSettings(
            optimizer=optimizer, batch_size=batch_size, threads=threads, clip_norm=clip_norm,
            clip_value=clip_value, blocks=blocks, precision=precision,
        )  # fmt: skip
        network = None if ranks is None else Network(ranks, bandwidth, latency)
        return plan(self, settings, rows, network)

    def profile(
        self,
        data: Data,
        *,
        batch_size: int = 32,
        optimizer: Optimizer | LBFGS | str | None = None,
        threads: int | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        precision: str = "float32",
        seconds: float = 0.5,
    ) -> Profile:
        """The time that each kernel and node of a training step takes, measured and predicted.

        Steps are run on the data as in `fit`, but on a copy: the model is not changed.

        Args:
            data, batch_size, optimizer, clip_norm, clip_value, precision: as for `fit`.
            threads: as for `plan`.
            seconds: of measurement.

        Returns:
            A profile: text, and `kernels`, `nodes`, `waiting`, `seconds`, `forecast`.

        Raises:
            FeedError, DataError: the data does not fit. GraphError: the model has no loss.
            SettingError: a setting is not allowed. NotFinite: a loss is NaN or infinite.
        """
        from chainrule.model.profile import profile  # noqa: PLC0415  (few programs need it)

        settings = FitSettings(
            optimizer=optimizer, batch_size=batch_size, threads=threads, clip_norm=clip_norm,
            clip_value=clip_value, precision=precision,
        )  # fmt: skip
        return profile(self, data, settings, seconds)


for _method in (
    Trainable.fit, Trainable.step, Trainable.trace_step, Trainable.plan, Trainable.profile,
):  # fmt: skip
    _method.__qualname__ = f"Model.{_method.__name__}"  # as users know it, in errors and in help
