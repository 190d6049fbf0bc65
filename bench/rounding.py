"""Products of bfloat16 beside float32: `python -m bench.rounding steps`, or `errors`.

`steps` prints the time of a step on one thread, the least of many taken in turn, as CPU time.
`errors` trains networks by both from several seeds, and prints their losses and accuracies.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

import chainrule as cr
from bench.designs import DESIGNS, Design
from bench.systems.nets import KINDS
from chainrule.engine.compile import split_step
from chainrule.engine.encoders import PrecomputedInputs
from chainrule.engine.native import NativeProgram
from chainrule.model.plan import step_of
from chainrule.train.fitsettings import FitSettings

Arrays = dict[str, npt.NDArray[Any]]
PRECISIONS = ("float32", "bfloat16")
SEEDS = 5
DENSE = (
    ((1024, 1024, 1024, 1024, 1024, 10), 256), ((1024, 1024, 1024, 1024, 1024, 10), 32),
    ((784, 512, 512, 10), 128), ((784, 512, 512, 10), 32), ((784, 128, 10), 256),
    ((784, 128, 10), 32), ((20, 256, 256, 10), 32), ((64, 64, 64, 10), 32),
)  # fmt: skip
"""Widths and minibatches of networks of dense layers."""


def classifier(x: cr.Node, body: Callable[[cr.Node], cr.Node], seed: int = 0) -> cr.Model:
    """A network of classes, trained by cross-entropy."""
    t, z = cr.input("t", (), dtype="int32"), body(x)
    return cr.Model(z, cr.cross_entropy(z, t), seed=seed)


def perceptron(widths: tuple[int, ...], seed: int = 0) -> cr.Model:
    """Dense layers with relu."""

    def body(h: cr.Node) -> cr.Node:
        for width in widths[1:-1]:
            h = cr.dense(h, width, "relu")
        return cr.dense(h, widths[-1])

    return classifier(cr.input("x", (widths[0],)), body, seed)


def designed(design: Design) -> cr.Model:
    """A network of `bench/designs.py`."""
    return classifier(cr.input("x", design.shape), lambda x: KINDS[design.kind](x, design))


def cases() -> Iterator[tuple[str, cr.Model, tuple[int, ...], int]]:
    """Name, model, shape of an example, rows of a minibatch."""
    for widths, batch in DENSE:
        yield f"{'-'.join(map(str, widths))}, {batch}", perceptron(widths), widths[:1], batch
    for design in DESIGNS:
        if not design.words:
            yield f"{design.name}, {design.batch}", designed(design), design.shape, design.batch


def program(model: cr.Model, batch: int, precision: str) -> NativeProgram:
    """The step of a model on one thread, ready to run."""
    settings = FitSettings(optimizer="adam", batch_size=batch, precision=precision)
    split = split_step(step_of(model, settings)[0])
    encode = PrecomputedInputs(split)
    return NativeProgram(split.body, dict(model.values), 0, encode, split.full, 1)


def times(model: cr.Model, shape: tuple[int, ...], batch: int, seconds: float) -> list[float]:
    """The seconds of a step in each precision."""
    numbers, rows = np.random.default_rng(0), 4 * batch
    data: Arrays = {
        "x": numbers.standard_normal((rows, *shape)).astype("float32"),
        "t": numbers.integers(0, 10, rows).astype("int32"),
    }
    batches, rates = [*numbers.permutation(rows).reshape(4, batch)], [1e-6] * 4
    programs = [program(model, batch, x) for x in PRECISIONS]
    best = [float("inf")] * len(programs)
    end, turns = time.perf_counter() + seconds, 0
    while time.perf_counter() < end or turns < 5:
        turns += 1
        for k, each in enumerate(programs):
            begun = time.process_time()
            each.run(data, batches, rates)
            best[k] = min(best[k], (time.process_time() - begun) / len(batches))
    return best


def steps(wanted: str) -> None:
    """Prints a line for each network."""
    print("| network, rows of a minibatch | float32, us | bfloat16, us | times as fast |")
    print("|---|---|---|---|")
    for name, model, shape, batch in cases():
        if wanted in name:
            one, two = (1e6 * x for x in times(model, shape, batch, 4.0))
            print(f"| {name} | {one:,.0f} | {two:,.0f} | {one / two:.2f} |", flush=True)


# ---------------------------------------------------------------- errors


def pictures(name: str) -> tuple[Arrays, Arrays]:
    """Training and test rows: the digits of scikit-learn, or 5,000 of MNIST."""
    if name == "digits":
        from sklearn.datasets import load_digits  # noqa: PLC0415

        x, t = load_digits(return_X_y=True)
        x = x / 16
    else:
        columns = dict(cr.data.read(name).to_dict())
        t = np.asarray(columns.pop("label"), "int32")
        x = np.stack([np.asarray(c, "float32") for c in columns.values()], 1) / 255
    order = np.random.default_rng(0).permutation(len(t))
    parts = order[len(t) // 5 :], order[: len(t) // 5]
    train, test = ({"x": x[p].astype("float32"), "t": t[p].astype("int32")} for p in parts)
    return train, test


def errors(wanted: str) -> None:
    """Prints the mean over seeds of loss and accuracy, and the spread of accuracy."""
    print("| data, network | precision | training loss | test loss | test accuracy |")
    print("|---|---|---|---|---|")
    for name, hidden in (("digits", (256, 256)), ("mnist-5k", (512, 512))):
        if wanted not in name:
            continue
        train, test = pictures(name)
        widths = (train["x"].shape[1], *hidden, 10)
        for precision in PRECISIONS:
            found = []
            for seed in range(SEEDS):
                model = perceptron(widths, seed)
                history = model.fit(
                    train, optimizer=cr.Adam(1e-3), epochs=20, validation=test, keep_best=False,
                    precision=precision, verbose=False,
                )  # fmt: skip
                row = {k: history[k][-1] for k in ("loss", "validation_loss")}
                found.append((*row.values(), history["validation_accuracy"][-1]))
            loss, held, hit = np.array(found).T
            print(
                f"| {name}, {'-'.join(map(str, widths))} | {precision} | {loss.mean():.4f} | "
                f"{held.mean():.4f} | {hit.mean():.4f}, from {hit.min():.4f} to {hit.max():.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    {"steps": steps, "errors": errors}[sys.argv[1]](" ".join(sys.argv[2:]))
