"""The text of a plan: a function for each kernel that differs, and the launches of a step."""

from __future__ import annotations

from dataclasses import replace

from chainrule.backend.gpu.emit.dialect import head
from chainrule.backend.gpu.emit.loops import Written, loops
from chainrule.backend.gpu.emit.products import product
from chainrule.backend.gpu.emit.scalars import STORED
from chainrule.backend.gpu.layout import argument
from chainrule.backend.gpu.program import Launch, Program, Traits
from chainrule.ir.kernel import Buffer
from chainrule.plan.affine import Analysis
from chainrule.plan.linearize import Argument, LinearKernel, Operand, laid_out
from chainrule.plan.plan import Plan, Task


def build(plan: Plan, max_rows: int, traits: Traits) -> Program:
    """The kernels of a plan for minibatches of up to `max_rows` rows on a device.

    Kernels that differ in their buffers alone share code.
    """
    text, launches, scratch = functions(plan, max_rows, traits)
    return program(head(float64=traits.float64) + text, launches, scratch, plan, max_rows)


def program(
    text: str, launches: tuple[Launch, ...], scratch: tuple[Buffer, ...], plan: Plan, max_rows: int
) -> Program:
    """The program of a whole text; its signature has the scratch memory too."""
    signature = replace(plan.signature, buffers=(*plan.buffers, *scratch))
    return Program(text, launches, signature, max_rows)


def functions(
    plan: Plan, max_rows: int, traits: Traits, prefix: str = ""
) -> tuple[str, tuple[Launch, ...], tuple[Buffer, ...]]:
    """The functions of a plan without the head of the text, their launches, their scratch memory.

    prefix: of their names, where plans share a text.
    """
    known: dict[LinearKernel, list[tuple[str, Written]]] = {}
    texts, launches, scratch = list[str](), list[Launch](), list[Buffer]()
    for task in plan.tasks:
        linear = laid_out(task.linear, task.operands, lambda x: argument(x, max_rows))
        name = task.kernel.name
        if linear not in known:
            number, known[linear] = len(known), []
            for part, made in enumerate(_written(task, linear, max_rows, traits)):
                function = f"{prefix}kernel_{number}{'_sums' * part}"
                known[linear].append((function, made))
                texts.append(_function(function, made, linear, name))
        more: tuple[Operand, ...] = ()
        if known[linear][0][1].scratch:
            dtype = linear.instrs[linear.value].dtype
            scratch.append(Buffer(f"parts of {name}", (known[linear][0][1].scratch,), dtype))
            more = ((scratch[-1], False),)
        for function, made in known[linear]:
            operands = (*task.operands, *more)
            launches.append(Launch(name, function, operands, made.counts, made.items))
    return "\n".join(texts), tuple(launches), tuple(scratch)


def _written(task: Task, linear: LinearKernel, rows: int, traits: Traits) -> list[Written]:
    analysis = Analysis(linear)
    if task.contraction is not None:
        made = product(analysis, task.contraction, rows, traits)
        if made:
            return made
    return [loops(analysis, rows)]


def _function(name: str, written: Written, linear: LinearKernel, node: str) -> str:
    """The function of a kernel.

    Its parameters are the frame, the index of rows, the blocks of states, of what lies between
    kernels and of step inputs; the table of places, and where those of this launch stand in it: for
    each argument the offsets of both sides, or that of a step input and its bytes from step to
    step; then the data.
    """
    data = [k for k, x in enumerate(linear.arguments) if x.space == "data"]
    more = [f"GLOBAL const {STORED[linear.arguments[k].dtype]} *d{k}" for k in data]
    parameters = ", ".join([
        "GLOBAL i64 *frame", "GLOBAL const i64 *index", "GLOBAL u8 *state", "GLOBAL u8 *work",
        "GLOBAL const u8 *given", "GLOBAL const i64 *table", "const i64 at", *more,
    ])  # fmt: skip
    lines = [f"// {_printable(node)}", f"KERNEL({written.items}) {name}({parameters}) {{"]
    lines.append("  if (frame[STOPPED]) return;")
    if linear.commit:
        lines.append("  if (frame[FAILED]) return;")
    lines.append("  const int n = (int)frame[COUNT];")
    stored = linear.written()
    for k, x in enumerate(linear.arguments):
        lines.append(f"  {_pointer(k, x, written=k in stored)}")
    if written.scratch:
        kind = linear.instrs[linear.value].dtype
        sums = Argument(kind, (written.scratch,), "work", (1,))
        lines.append(f"  {_pointer(len(linear.arguments), sums, written=True)}")
    return "\n".join([*lines, written.text, "}"]) + "\n"


def _pointer(number: int, argument: Argument, *, written: bool) -> str:
    """The declaration of the pointer to an argument's elements."""
    kind = f"GLOBAL {'' if written else 'const '}{STORED[argument.dtype]} *"
    name, place = f"b{number}", f"table[at + {2 * number}]"
    match argument.space:
        case "rows":
            return f"GLOBAL const i64 *{name} = index + frame[FIRST];"
        case "data":
            return f"{kind}{name} = d{number};"
        case "state":
            return f"{kind}{name} = ({kind})(state + table[at + {2 * number} + frame[SIDE]]);"
        case "step":
            along = f"table[at + {2 * number + 1}] * frame[STEP]"
            return f"{kind}{name} = ({kind})(given + {place} + {along});"
    return f"{kind}{name} = ({kind})(work + {place});"


def _printable(name: str) -> str:
    """The name of a node for a comment: one line, and no end of a line that goes on."""
    return name.encode("ascii", "replace").decode().replace("\\", "/").replace("\n", " ")[:80]
