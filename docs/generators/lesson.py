"""The page "Training, illustrated": one step of a small network, written from its trace."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

import chainrule as cr
from chainrule.explain.formula import number, transparent
from chainrule.explain.lecture import DRAWN, EXAMPLE, RATE
from chainrule.explain.lecture import network as build
from chainrule.explain.steps import TraceStep

Network = Mapping[str, cr.Node]

FORWARD = {
    "u1": "Each of the two hidden units adds up the inputs, each times its weight. A column of "
    "`W1` holds the weights of one hidden unit.",
    "z1": "Each hidden unit has a bias, which is added.",
    "h": "The sigmoid function, sigmoid(z) = 1 / (1 + e^-z), squashes any number to 0 .. 1. "
    "The first hidden unit is nearly on, the second nearly off.",
    "u2": "The output unit does the same with the hidden units: a weighted sum,",
    "z2": "its bias,",
    "y": "and the sigmoid. This is the network's answer for this example.",
    "d": "Now the error. The target is 1, so the answer falls short by",
    "q": "which is squared, so that it counts the same in both directions, and more when it is "
    "large.",
    "s": "The sum goes over all outputs and all examples, axes 1 and 0. Here there is one of each.",
    "E": "Half of it is the error `E`. The half is there only so that the 2 of the square cancels.",
}

LOCAL = {
    "divide": "`{c} = {f}`, so {c} changes half as fast as {x}: the local derivative is 1 / 2.",
    "sum": "`{c}` is a sum, and a sum changes as fast as each of its terms: the local derivative "
    "is 1.",
    "square": "`{c} = {f}` has the local derivative 2 {x}.",
    "subtract": "`{c} = {f}` changes {how} {x}: the local derivative is {sign}1.",
    "sigmoid": "`{c} = {f}` has the local derivative {c} (1 - {c}): the slope of the sigmoid, "
    "written with its own value. It is largest, 1/4, at {c} = 1/2 and close to 0 where a unit is "
    "almost on or off.",
    "add": "`{c} = {f}` changes as fast as {x}: the local derivative is 1.{rows}",
}

MATMUL = {
    0: "In `{c} = {f}` each entry of `{x}` is multiplied by its weights, so its gradient is what "
    "comes back from every unit that it feeds, times the weight on the way, added up.",
    1: "In `{c} = {f}` each weight is multiplied by one entry of `{other}`. So its gradient is "
    "that entry times the gradient of the unit that the weight leads to.",
}

ROWS = (
    " The bias serves every example, so what comes back is summed over the examples; here "
    "there is one."
)


def traced() -> tuple[Network, cr.Trace]:
    """The network, and its trace forward, backward and through the update."""
    network = build()
    model = cr.Model(outputs=network["y"], loss=network["E"])
    return network, model.trace_step(EXAMPLE, optimizer=cr.SGD(RATE))


def drawing() -> str:
    """The picture of the page, and of the README."""
    _, trace = traced()
    title = (
        "A network of two inputs, two hidden units and one output as a computation graph, "
        "with the value and the gradient of every node for one example"
    )
    return trace.picture(nodes=DRAWN, title=title).svg


def page() -> str:
    """The whole page."""
    _, trace = traced()
    steps = trace.steps()
    forward = [s for s in steps if s.direction == "forward"]
    backward = [s for s in steps if s.direction == "backward"]
    update = [s for s in steps if s.direction == "update"]
    parts = [
        INTRODUCTION,
        "## Forward: from the inputs to the error\n\nEvery node is computed from nodes before "
        "it. Each step is shown with names, with numbers, and with its result.",
        *(f"{FORWARD[s.name]}\n\n{_block(s)}" for s in forward),
        BACKWARD,
        *(f"{_words(trace, s)}\n\n{_block(s)}" for s in backward if s.name != "t"),
        UPDATE,
        *map(_block, update),
        ENTRIES,
        _update(trace),
        _again(trace),
        REMARKS.format(
            delta=number(-trace.gradient("z2"), 9),
            slopes=number(-trace.gradient("W2"), 9),
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _block(step: TraceStep) -> str:
    """A step as code: name = formula, = numbers, = result; equal lines once."""
    name, _, formula = step.formula.partition(" = ")
    rounded = number(step.value)
    lines = [x for x in (formula, step.numbers) if x != rounded]
    pad = " " * len(name)
    return (
        "```text\n" + f"{name} = " + f"\n{pad} = ".join([*lines, number(step.value, 9)]) + "\n```"
    )


def _words(trace: cr.Trace, step: TraceStep) -> str:
    """The local derivatives of a step, in words: its own, then those that only pass it on."""
    if not step.consumers:
        return "It begins with the error itself, which changes as fast as it does."
    passed = (f"{_local(trace, name)} So ∂E/∂{name} is the same." for name in step.passed)
    return " ".join([_local(trace, step.name), *passed])


def _local(trace: cr.Trace, name: str) -> str:
    """The local derivative of the node that reads this one, in words."""
    node = trace.graph[name]
    consumer, position = _reader(trace, node)
    formula = next(s.formula for s in trace.steps() if s.name == trace.graph.name(consumer))
    reader, _, text = formula.partition(" = ")
    words = {"c": reader, "f": text, "x": name}
    op = consumer.op.name
    if op == "matmul":
        words["other"] = trace.graph.name(consumer.operands[1 - position])
        return MATMUL[position].format(**words)
    if op == "subtract":
        words |= {"how": "against", "sign": "-"} if position else {"how": "as fast as", "sign": ""}
    words["rows"] = ROWS if transparent(trace.graph.consumers(node)[0]) else ""
    return LOCAL[op].format(**words)


def _reader(trace: cr.Trace, node: cr.Node) -> tuple[cr.Node, int]:
    """The operation that reads a node, ignoring broadcasts, and the index of the operand."""
    consumer = trace.graph.consumers(node)[0]
    while transparent(consumer):
        node, consumer = consumer, trace.graph.consumers(consumer)[0]
    return consumer, consumer.inputs.index(node)


def _update(trace: cr.Trace) -> str:
    """The table of all parameters before and after one step, entry by entry."""
    rows = ["| weight | before | gradient | after |", "|---|---:|---:|---:|"]
    for name in ("W1", "b1", "W2", "b2"):
        before, gradient, after = trace.value(name), trace.gradient(name), trace.updated(name)
        for index in np.ndindex(before.shape):
            position = ", ".join(map(str, index[:1] if before.shape[1:] == (1,) else index))
            cells = (f"{before[index]:g}", f"{gradient[index]:.9f}", f"{after[index]:.9f}")
            rows.append(f"| `{name}[{position}]` | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _trained(network: Network) -> cr.Model:
    lesson = cr.Model(outputs=network["y"], loss=network["E"])
    lesson.step(EXAMPLE, optimizer=cr.SGD(RATE))
    return lesson


def _again(trace: cr.Trace) -> str:
    after = _trained(build()).run(EXAMPLE)
    return (
        f"The same example again: the answer was {number(trace.value('y'), 9)} and is now "
        f"{number(after.value('y'), 9)}; the error was {number(trace.value('E'), 9)} and is now "
        f"{number(after.value('E'), 9)}. Training repeats this step many times, with different "
        "examples."
    )


INTRODUCTION = """# Training, illustrated

One training step of a small network, with every number. Two inputs, two hidden units, one output,
sigmoid units throughout. The example is x = (1, 0), and the answer should be t = 1.

![The network as a graph, with value and gradient at each node](assets/lecture.svg)

The network is a *computation graph*: each box is a number, or a few of them, and the arrows show
which boxes it is computed from. A training step has three parts:

1. **Forward**: compute every box from top to bottom, the error `E` last.
2. **Backward**: compute from bottom to top how `E` would change if a box changed a little: the
   *gradient* ∂E/∂box.
3. **Update**: move each weight and bias a little against its gradient, so that `E` becomes
   smaller.

This is the code. Everything below it is generated from `trace.steps()`.

```python
import chainrule as cr

x = cr.input("x", (2,), dtype="float64")
t = cr.input("t", (1,), dtype="float64")
W1 = cr.parameter("W1", [[3.7, 2.9], [3.7, 2.9]], dtype="float64")
b1 = cr.parameter("b1", [-1.5, -4.5], dtype="float64")
W2 = cr.parameter("W2", [[4.5], [-5.2]], dtype="float64")
b2 = cr.parameter("b2", [-2.0], dtype="float64")

h = cr.sigmoid(x @ W1 + b1).named("h")
y = cr.sigmoid(h @ W2 + b2).named("y")
E = (cr.sum((t - y) ** 2) / 2).named("E")

model = cr.Model(outputs=y, loss=E)
trace = model.trace_step({"x": [[1.0, 0.0]], "t": [[1.0]]}, optimizer=cr.SGD(10.0))
for step in trace.steps():
    print(step)
```

On this page the intermediate steps have names too: `u1`, `z1`, `u2`, `z2`, `d`, `q`, `s`."""

BACKWARD = """## Backward: the chain rule

How does `E` change when a box changes a little? If the box is read by just one other box, then by
the **chain rule**

    ∂E/∂box = ∂E/∂(the next box) times the local derivative of the next box by this box

The first factor is known already, since we go from the error backwards. The second is a
derivative of one simple function. (A box that is read by several others gets one such product from
each, and they are added.)"""

UPDATE = f"""## Update

Gradient descent moves every weight and bias against its gradient, here with the rate {RATE:g}:

    after = before - {RATE:g} * gradient

These are the last steps of `trace.steps()`. `model.step` does the same, and keeps the new
values."""

ENTRIES = """Entry by entry: the second input is 0, so the weights that lead from it had no
influence on the answer. Their gradient is 0 and they do not change."""

REMARKS = """## How this compares with the slides

- The slides write a weight matrix with a row for each unit: W1 = [[3.7, 3.7], [2.9, 2.9]]. Here a
  column belongs to a unit, so that `x @ W1` works with the examples as rows of `x`. One is the
  transpose of the other.
- The slides work with the negative of the gradient, and then add it: the output's
  delta = -∂E/∂z2 = {delta}, and -∂E/∂W2 = {slopes}.
- The printed slides round to a few digits, and show a bias of -4.6 where their arithmetic
  uses -4.5.

Next: [the tour](tour.md) does the same with whole tables."""
