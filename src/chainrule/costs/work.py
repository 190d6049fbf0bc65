"""The work of the kernels of a plan: operations, vector instructions, bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from chainrule.ir.kernel import BYTES, Acc, At, Axis, Buffer, Call, Const, Expr, Kernel, Read, Row
from chainrule.plan.plan import Split, Task

PRICES = {
    "div": 12, "sqrt": 12, "floor": 1, "round": 1, "mod": 20, "floordiv": 20, "pow": 98,
    "exp": 27, "expm1": 26, "log": 34, "log1p": 41, "sin": 49, "cos": 46, "tanh": 36,
    "sigmoid": 38, "softplus": 64, "erf": 42, "philox": 75, "select": 1, "bfloat16": 9,
}  # fmt: skip
"""Vector instructions of a function; for the maths library, the number in its code."""

NOT_FLOPS = (
    "cast", "select", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor", "not", "count",
    "bfloat16",
)  # fmt: skip
"""Functions that do not count as floating-point operations."""

SCATTERED = 2
"""Instructions for each lane of a read whose lanes are not contiguous."""

HORIZONTAL_SUM = 12
"""Instructions that add up the lanes of a vector at the end of a sum along it."""

ROUGH_ELEMENT = 12
"""Instructions of a written element in a rough estimate."""

LOOP_OVERHEAD = 2
"""Instructions of every loop iteration besides its body."""


@dataclass(frozen=True)
class Traffic:
    """Bytes of a buffer that a kernel touches.

    Attributes:
        buffer, new: the buffer, and whether it is the new side of a state.
        bytes: read, or written.
        whole: whether every thread touches all of it, and not its own part.
    """

    buffer: Buffer
    new: bool
    bytes: int
    whole: bool


@dataclass(frozen=True)
class Work:
    """The operations and bytes of a kernel, over all threads.

    Attributes:
        task: the kernel's task.
        flops: floating-point operations; functions such as exp count as one.
        instructions: of vectors, those of a matrix product's sums left out.
        product: rows, columns, terms and repetitions of a contraction; None for others.
        touched: the buffers that it reads and writes.
    """

    task: Task
    flops: int
    instructions: float
    product: tuple[int, int, int, int] | None
    touched: tuple[Traffic, ...]

    @property
    def kernel(self) -> Kernel:
        """The kernel itself."""
        return self.task.kernel

    @property
    def rounded(self) -> bool:
        """Whether it is a product of factors rounded to bfloat16."""
        known = self.task.contraction
        return known is not None and known.rounded

    @property
    def split(self) -> Split:
        """Its division among threads."""
        return self.task.split

    @property
    def bytes(self) -> int:
        """Bytes read and written, each buffer counted once."""
        return sum(x.bytes for x in self.touched)


def work(task: Task, rows: int, lanes: int = 8) -> Work:
    """The work of a kernel on `rows` rows, with `lanes` of float32 in a vector."""
    return _Counter(task, rows, lanes).work()


def rough_work(task: Task, rows: int, lanes: int = 8) -> Work:
    """An estimate without a look at expressions: exact for products, rough for others."""
    counter, kernel = _Counter(task, rows, lanes), task.kernel
    free = math.prod(counter.sizes[: len(kernel.axes)])
    terms = free if counter.product is not None else math.prod(counter.sizes)
    instructions = ROUGH_ELEMENT * terms / counter.lanes * len(kernel.writes)
    return Work(task, 0, instructions, counter.product, ())


class _Counter:
    """Counts the work of one kernel by a walk over its expressions."""

    def __init__(self, task: Task, rows: int, lanes: int) -> None:
        kernel = task.kernel
        self.task, self.kernel, self.rows = task, kernel, rows
        self.over = () if kernel.reduction is None else kernel.reduction.over
        self.axes = (*kernel.axes, *self.over)
        self.place = {axis: k for k, axis in enumerate(self.axes)}
        self.sizes = [size_of(axis, rows) for axis in self.axes]
        known = task.contraction
        self.product = None if known is None else known.dims(self.sizes.__getitem__)
        self.lanes = lanes // 2 if is_double(kernel) else lanes
        self.along = self._vector_axis()
        self.seen: dict[int, int] = {}
        self.instructions, self.flops = 0.0, 0
        self.reads: dict[Buffer, tuple[int, bool]] = {}

    def work(self) -> Work:
        kernel, reduction = self.kernel, self.kernel.reduction
        free = math.prod(self.sizes[: len(kernel.axes)])
        product = self.product
        if reduction is not None:
            terms = math.prod(self.sizes)
            self._visit(reduction.value)
            self.flops += terms
            turns = self._turns((1 << len(self.axes)) - 1)
            self.instructions += (1 + LOOP_OVERHEAD / 2) * turns
            if self.along >= len(kernel.axes):
                self.instructions += HORIZONTAL_SUM * free
            if product is not None:
                self.instructions, self.flops = 0.0, 2 * terms
        inner = self._turns((1 << len(kernel.axes)) - 1)
        self.instructions += LOOP_OVERHEAD * inner
        touched = []
        for write in kernel.writes:
            for expr in (write.value, *write.place):
                self._visit(expr)
            self.instructions += inner * (2 if write.add else 1)
            size = BYTES[write.buffer.dtype] * min(free, _elements(write.buffer, self.rows))
            touched.append(Traffic(write.buffer, write.buffer.space == "state", size, False))
        for buffer, (times, first) in self.reads.items():
            size = BYTES[buffer.dtype] * min(times, _elements(buffer, self.rows))
            touched.append(Traffic(buffer, False, size, not first))
        return Work(self.task, self.flops, self.instructions, product, tuple(touched))

    def _vector_axis(self) -> int:
        """The number of the axis that vectors go along, or -1."""
        free = len(self.kernel.axes)
        for k in reversed(range(free)):
            axis = At(self.kernel.axes[k])
            if all(w.place and _last(w.place) == axis for w in self.kernel.writes):
                return k
        return len(self.axes) - 1 if len(self.axes) > free else -1

    def _turns(self, depends: int) -> float:
        """The number of times that a value that depends on these axes is computed."""
        inner = depends.bit_length()
        turns = math.prod(self.sizes[:inner])
        if 0 <= self.along < inner:
            size = self.sizes[self.along]
            turns = turns // max(size, 1) * -(-size // self.lanes)
        return turns

    def _visit(self, root: Expr) -> int:
        """Count an expression once; gives the axes that it depends on, as bits."""
        if id(root) in self.seen:
            return self.seen[id(root)]
        match root:
            case Const():
                depends = 0
            case Acc():
                depends = (1 << len(self.kernel.axes)) - 1
            case At(axis):
                depends = 1 << self.place[axis]
            case Row(at):
                depends = self._visit(at)
                self.instructions += self._turns(depends)
            case Read(_, place):
                depends = 0
                for x in place:
                    depends |= self._visit(x)
                self._read(root, depends)
            case Call(function, operands, dtype):
                depends = 0
                for x in operands:
                    depends |= self._visit(x)
                turns = self._turns(depends)
                self.instructions += PRICES.get(function, 1) * turns
                if dtype.startswith("float") and function not in NOT_FLOPS:
                    self.flops += math.prod(self.sizes[: depends.bit_length()])
        self.seen[id(root)] = depends
        return depends

    def _read(self, read: Read, depends: int) -> None:
        times = math.prod(s for k, s in enumerate(self.sizes) if depends >> k & 1)
        before, whole = self.reads.get(read.buffer, (0, True))
        first = bool(self.kernel.axes) and _reads_own_part(read, self.kernel.axes[0])
        self.reads[read.buffer] = max(before, times), whole and first
        turns = self._turns(depends)
        moves = self.along >= 0 and depends >> self.along & 1
        near = not moves or _last(read.place) == At(self.axes[self.along])
        self.instructions += turns * (1 if near else SCATTERED * self.lanes)


def size_of(axis: Axis, rows: int) -> int:
    return axis.size if isinstance(axis.size, int) else rows


def _elements(buffer: Buffer, rows: int) -> int:
    return math.prod(d if isinstance(d, int) else rows for d in buffer.shape)


def is_double(kernel: Kernel) -> bool:
    value = kernel.writes[0].value if kernel.reduction is None else kernel.reduction.value
    return value.dtype in ("float64", "int64")


def _last(place: tuple[Expr, ...]) -> Expr | None:
    """The last expression of an index that is not constant: that of the contiguous axis."""
    return next((x for x in reversed(place) if not isinstance(x, Const)), None)


def _reads_own_part(read: Read, axis: Axis) -> bool:
    """Whether a read goes by rows as the axis does, so that a thread reads only its own part."""
    first = read.place[0] if read.place else None
    return first == At(axis) or first == Row(At(axis))
