"""The checker of plans: the invariants that backends rely on, checked after planning."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from chainrule.errors import GraphError
from chainrule.ir.kernel import At, Buffer, Call, Const, Expr, Kernel, Write
from chainrule.plan.linearize import ROWS
from chainrule.plan.plan import Phase, Plan, Task
from chainrule.plan.schedule import allowed_splits, earlier, overlapping, parts_of, touches
from chainrule.types import N

ORDERED = ("argmax", "argmin", "scan")
"""Reductions that combine one term after another."""

WRITTEN = ("work", "staged", "gradient", "called", "loss", "state")
"""Spaces that kernels may write to."""


def check(plan: Plan) -> Plan:
    """Return `plan` if it keeps all rules.

    Raises:
        GraphError: it does not; the message names the rule and the kernel.
    """
    names = [buffer.name for buffer in plan.buffers]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise GraphError("plan", "two buffers have one name", got=twice)
    for task in plan.tasks:
        for broken in (*_axes(task), *_writes(task), *_indices(task)):
            raise _wrong(task, broken)
        if task.split not in allowed_splits(task.analysis):
            raise _wrong(task, f"threads cannot share it as {task.split!r}")
    _check_order(plan)
    for phase in plan.phases[:-1]:
        for task in phase.tasks:
            if task.kernel.commit:
                raise _wrong(task, "others run after it has committed")
    for phase in plan.phases:
        _check_phase(phase)
    return plan


def check_kernels(kernels: Iterable[Kernel]) -> None:
    """Raises GraphError if a kernel, not scheduled yet, writes nothing or what is written already.

    What else must hold, `check` finds in the plan.
    """
    written: set[Region] = set()
    for kernel in kernels:
        if not kernel.writes:
            raise GraphError("plan", "it writes nothing", at=f"kernel {kernel.name!r}")
        for write in kernel.writes:
            if _region(write) in written and not (write.add or kernel.commit):
                at = f"kernel {kernel.name!r}, buffer {write.buffer.name!r}"
                raise GraphError("plan", "it is written twice", at=at)
        written |= {_region(write) for write in kernel.writes}


Region = tuple[Buffer, tuple[int | float | bool, ...]]
"""A buffer, and the index of the first element that is written: parts of a joined array differ."""


def _region(write: Write) -> Region:
    return write.buffer, tuple(_first(x) for x in write.place)


def _first(index: Expr) -> int | float | bool:
    match index:
        case Const(value):
            return value
        case Call("add", (At(), Const(value))):
            return value
    return 0


def _wrong(task: Task, rule: str, buffer: Buffer | None = None) -> GraphError:
    at = f"kernel {task.kernel.name!r}"
    return GraphError("plan", rule, at=at if buffer is None else f"{at}, buffer {buffer.name!r}")


def _axes(task: Task) -> Iterator[str]:
    kernel, reduction = task.kernel, task.kernel.reduction
    over = () if reduction is None else reduction.over
    sizes = [axis.size for axis in kernel.axes]
    if len({*kernel.axes, *over}) < len(kernel.axes) + len(over):
        yield "an axis stands twice"
    if 1 in sizes:
        yield "a loop of one iteration needs no loop"
    if N in sizes[1:] and sizes[0] is not N and not any(write.add for write in kernel.writes):
        yield "the loop over the rows is not the first"
    if reduction is not None and not over:
        yield "a reduction over nothing"
    if reduction is not None and reduction.combine in ORDERED and len(over) > 1:
        yield f"{reduction.combine} goes over one axis"


def _writes(task: Task) -> Iterator[str]:
    if not task.kernel.writes:
        yield "it writes nothing"
    for write in task.kernel.writes:
        if write.buffer.space not in WRITTEN:
            yield f"it writes to the space {write.buffer.space!r}"
        if write.value.dtype != write.buffer.dtype:
            yield f"it writes {write.value.dtype} to a buffer of {write.buffer.dtype}"


def _indices(task: Task) -> Iterator[str]:
    """One int64 for each axis of a buffer; the rows of data are looked up."""
    instrs = task.linear.instrs
    reads = [(int(x.data or 0), x.args) for x in instrs if x.op == "read"]
    stores = [(x.argument, x.place) for x in task.linear.stores]
    for number, place in (*reads, *stores):
        buffer, _ = task.operands[number]
        if buffer is ROWS:
            continue
        if len(place) != len(buffer.shape):
            yield f"{len(place)} indices into {buffer.name!r} of {len(buffer.shape)} axes"
        if any(instrs[x].dtype != "int64" for x in place):
            yield f"an index into {buffer.name!r} is not an int64"
        if buffer.space == "data" and buffer.shape and not _is_row(task, place[0]):
            yield f"it reads the data {buffer.name!r} without looking up the row"


def _is_row(task: Task, instr: int) -> bool:
    index = task.linear.instrs[instr]
    return index.op == "read" and task.operands[int(index.data or 0)][0] is ROWS


def _check_order(plan: Plan) -> None:
    """Every buffer is written before it is read, and written once: then only added to."""
    buffers, written, regions = set(plan.buffers), set[Buffer](), set[Region]()
    parts = parts_of(buffers)
    for number, task in _numbered(plan):
        _make_calls(plan, number, written)
        for buffer in task.reads:
            if buffer not in buffers or buffer.whole not in buffers:
                raise _wrong(task, "it reads a buffer that the plan does not have", buffer)
            known = not written.isdisjoint((buffer, buffer.whole, *parts[buffer]))
            kept = buffer.space in ("work", "staged", "gradient", "called", "loss")
            if kept and not known:
                raise _wrong(task, "it reads what is not written yet", buffer)
        for write in task.kernel.writes:
            if write.buffer not in buffers:
                raise _wrong(task, "it writes a buffer that the plan does not have", write.buffer)
            updated = write.buffer in plan.updates
            if write.buffer.space == "state" and task.kernel.commit == updated:
                rule = "an update is not written in place" if updated else "it is not an update"
                raise _wrong(task, rule, write.buffer)
            known = write.buffer in written if write.add else _region(write) in regions
            if write.add != known:
                rule = "it adds to what is not written yet" if write.add else "it is written twice"
                raise _wrong(task, rule, write.buffer)
        written |= task.writes
        regions |= {_region(write) for write in task.kernel.writes}
    _make_calls(plan, len(plan.phases), written)
    loss = () if plan.loss is None else (plan.loss,)
    for buffer in (*plan.updates, *plan.outputs, *loss):
        if buffer not in written:
            raise GraphError("plan", "nothing writes it", at=f"buffer {buffer.name!r}")


def _numbered(plan: Plan) -> Iterator[tuple[int, Task]]:
    """The tasks in order, each with the number of its phase."""
    return ((k, task) for k, phase in enumerate(plan.phases) for task in phase.tasks)


def _make_calls(plan: Plan, phase: int, written: set[Buffer]) -> None:
    """Add the results of the calls before a phase to what is written."""
    for call in plan.calls:
        if call.phase <= phase and not written.issuperset(call.operands):
            at = f"the call of {call.name!r}"
            raise GraphError("plan", "it takes what is not written yet", at=at)
        if call.phase <= phase:
            written.add(call.result)


def _check_phase(phase: Phase) -> None:
    """Within a phase, no thread touches an element that another thread writes."""
    parts = parts_of(buffer for task in phase.tasks for buffer, _ in task.operands)
    wrote: defaultdict[Buffer, list[tuple[Task, bool]]] = defaultdict(list)
    read: defaultdict[Buffer, list[tuple[Task, bool]]] = defaultdict(list)
    for task in phase.tasks:
        for buffer, (writes, own) in touches(task).items():
            before_it = [(wrote[x], read[x]) for x in overlapping(buffer, parts)]
            conflicts = [y for w, r in before_it for y in earlier(buffer, writes, w, r)]
            for before, kept in conflicts:
                same = before.split == task.split == "none" and before.owner == task.owner
                each = before.split == "every" and not writes
                if not (own and kept) and not same and not each:
                    raise _wrong(task, f"it does not wait for {before.kernel.name!r}", buffer)
            (wrote if writes else read)[buffer].append((task, own))
