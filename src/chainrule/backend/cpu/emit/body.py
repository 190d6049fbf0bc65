"""The expressions of a kernel as instructions, in one lane or in all lanes of an axis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from chainrule.backend.cpu.emit import scalars
from chainrule.backend.cpu.emit.finitecheck import FiniteCheck
from chainrule.backend.cpu.emit.text import (
    SCALARS,
    Function,
    constant,
    number,
    stored_type,
    type_of,
)
from chainrule.ir.kernel import BYTES
from chainrule.plan.affine import ACC, Access, AffineExpr, Analysis
from chainrule.plan.linearize import Store, constant_value
from chainrule.types import FLOATS

PARAMETERS = (
    "ptr %rows, i64 %n, i64 %low, i64 %high, ptr %scratch, ptr %flag, i64 %mark, ptr %blocks"
)
"""Parameters of every kernel function; the pointers to its buffers follow.

rows: the index of the minibatch's rows; n: their number; low, high: the part of the first axis to
run; scratch: memory of this thread; flag: set to `mark` if a new state is not finite;
blocks: those of the rows, see frame.py.
"""


@dataclass(frozen=True)
class Vectors:
    """The vectorization of a kernel: `lanes` indices of `axis` at once; None and 1 for none."""

    axis: int | None = None
    lanes: int = 1


class Body:
    """Writes the instructions of one kernel into a function.

    Computed values are reused in the rest of the current loop and in the loops in it.
    """

    def __init__(self, f: Function, analysis: Analysis, vectors: Vectors) -> None:
        self.f, self.linear, self.analysis, self.vectors = f, analysis.linear, analysis, vectors
        self.at: dict[int, str] = {}
        self.mask: str | None = None
        self.acc: str | None = None
        self._acc_varies = False
        self._scopes: list[dict[object, str]] = [{}]
        self._pointers: list[dict[object, tuple[str, frozenset[object]]]] = [{}]
        self.finite = FiniteCheck(f)

    # ------------------------------------------------------------ scopes

    @contextmanager
    def inside(self, axis: int | None = None, name: str = "") -> Iterator[None]:
        """The body of a loop: values computed there are forgotten after it."""
        self._scopes.append({})
        self._pointers.append({})
        if axis is not None:
            self.at[axis] = name
        yield
        if axis is not None:
            del self.at[axis]
        self._scopes.pop()
        self._pointers.pop()

    def set_acc(self, value: str | None, varies: bool) -> None:
        """Set the value of `acc`; `varies` if it differs between lanes."""
        self.acc, self._acc_varies = value, varies

    def _lookup(self, key: object) -> str | None:
        for scope in reversed(self._scopes):
            if key in scope:
                return scope[key]
        return None

    def _remember(self, key: object, value: str) -> str:
        self._scopes[-1][key] = value
        return value

    # ------------------------------------------------------------ values

    def varies(self, instr: int) -> bool:
        """Whether the lanes of an instruction may differ."""
        depends = self.analysis.depends[instr]
        return self.vectors.axis in depends or (self._acc_varies and ACC in depends)

    def lanes(self, instr: int) -> int:
        return self.vectors.lanes if self.varies(instr) else 1

    def vector(self, instr: int) -> str:
        """The value in all lanes; computed here if it is not available."""
        natural = self.value(instr)
        if self.varies(instr) or self.vectors.lanes == 1:
            return natural
        if self.linear.instrs[instr].op == "const":
            return constant(natural, self.linear.instrs[instr].dtype, self.vectors.lanes)
        key = ("splat", instr)
        kind = SCALARS[self.linear.instrs[instr].dtype]
        return self._lookup(key) or self._remember(
            key, self.f.splat(natural, kind, self.vectors.lanes)
        )

    def value(self, instr: int) -> str:
        """The value: a vector if it varies along the vector axis, else a scalar."""
        for place in self.analysis.needs(instr):
            if self._lookup(place) is None:
                self._remember(place, self._compute(place))
        return self._lookup(instr) or ""

    def hoist(self, roots: Iterable[int], stores: Iterable[Store] = ()) -> None:
        """Compute the loop invariants that `roots` need, before the loops in here."""
        available = frozenset(self.at)
        for instr in sorted({instr for root in roots for instr in self.analysis.needs(root)}):
            entry = self.linear.instrs[instr]
            if entry.op == "const" or self.analysis.reads_own_writes(instr):
                continue
            access = self.analysis.reads(instr) if entry.op == "read" else None
            if self.analysis.depends[instr] <= available:
                if self._lookup(instr) is None:
                    self._remember(instr, self._compute(instr))
            elif access is not None and not self._needs_gather(access):
                self._pointer(("read", instr), int(entry.data or 0), access.offset)
        for store in stores:
            access = self.analysis.access(store.argument, store.place)
            if not any(self.analysis.reads_own_writes(i) for i in access.offset.symbols):
                self._pointer(("store", store), store.argument, access.offset)

    def _needs_gather(self, access: Access) -> bool:
        """Whether the lanes of a read are neither equal nor contiguous."""
        axis = self.vectors.axis
        return axis is not None and self.analysis.stride(access, axis) not in (0, 1)

    def _compute(self, instr: int) -> str:
        entry, lanes = self.linear.instrs[instr], self.lanes(instr)
        match entry.op:
            case "const":
                return number(constant_value(entry), entry.dtype)
            case "at":
                name = self.at[int(entry.data or 0)]
                return self._iota(name) if lanes > 1 else name
            case "acc":
                return self.acc or ""
            case "read":
                return self._read(instr)
            case "count":
                return scalars.apply(self.f, "cast", entry.dtype, "int64", 1, ("%n",))
            case "philox":
                return self._philox(instr)
        get = self.vector if lanes > 1 else self.value
        operands = tuple(get(a) for a in entry.args)
        source = self.linear.instrs[entry.args[-1]].dtype
        return scalars.apply(self.f, entry.op, entry.dtype, source, lanes, operands)

    def _iota(self, start: str) -> str:
        """start, start + 1, ... along the lanes."""
        lanes = self.vectors.lanes
        steps = "<" + ", ".join(f"i64 {lane}" for lane in range(lanes)) + ">"
        spread = self.f.splat(start, "i64", lanes)
        return self.f.value(f"add <{lanes} x i64> {spread}, {steps}")

    def _philox(self, instr: int) -> str:
        entry, lanes = self.linear.instrs[instr], self.lanes(instr)
        words = [self.value(a) for a in entry.args[2:]]
        element, row = entry.args[:2]
        kind = type_of("int64", lanes)
        first = self.analysis.exprs[element]
        alone = not any(self.varies(i) for i in first.symbols)
        axis = self.vectors.axis
        steady = axis is not None and first.axes.get(axis, 0) == 1 and alone
        if lanes > 1 and steady and not self.varies(row):
            operands = (self.affine_scalar(first), self.value(row), *words)
            kinds = ("i64", "i64", *["i32"] * 4)
            return scalars.maths(self.f, "philox.run", entry.dtype, lanes, operands, kinds)
        get = self.vector if lanes > 1 else self.value
        operands = (get(element), get(row), *words)
        return scalars.maths(
            self.f, "philox", entry.dtype, lanes, operands, (kind, kind, *["i32"] * 4)
        )

    # ------------------------------------------------------------ indices

    def affine_scalar(self, expr: AffineExpr) -> str:
        """The value of an affine expression in the first lane."""
        total = str(expr.constant)
        for axis, factor in expr.axes.items():
            total = self.f.add(total, self.f.mul(self.at[axis], str(factor)))
        for instr, factor in expr.symbols.items():
            total = self.f.add(total, self.f.mul(self._index(instr), str(factor)))
        return total

    def _index(self, instr: int, lanes: int = 1) -> str:
        """The value of an integer instruction as int64."""
        value = self.value(instr) if lanes == 1 else self.vector(instr)
        dtype = self.linear.instrs[instr].dtype
        return scalars.apply(self.f, "cast", "int64", dtype, lanes, (value,))

    def _affine_vector(self, expr: AffineExpr) -> str:
        """The value of an affine expression in all lanes."""
        lanes, axis = self.vectors.lanes, self.vectors.axis
        steady, moving = AffineExpr(expr.constant), []
        for key, factor in expr.axes.items():
            if key == axis:
                moving.append((self._iota(self.at[key]), factor))
            else:
                steady = steady.plus(AffineExpr(axes={key: factor}))
        for instr, factor in expr.symbols.items():
            if self.varies(instr):
                moving.append((self._index(instr, lanes), factor))
            else:
                steady = steady.plus(AffineExpr(symbols={instr: factor}))
        total = self.f.splat(self.affine_scalar(steady), "i64", lanes)
        for value, factor in moving:
            if factor != 1:
                by = constant(str(factor), "int64", lanes)
                value = self.f.value(f"mul <{lanes} x i64> {value}, {by}")
            total = self.f.value(f"add <{lanes} x i64> {total}, {value}")
        return total

    def _pointer(self, key: object, argument: int, expr: AffineExpr) -> str:
        """The address of the first lane at an offset, built on the terms that outer loops added."""
        terms = {("axis", a): f for a, f in expr.axes.items() if a in self.at}
        available = frozenset(self.at) if self.acc is None else frozenset((ACC, *self.at))
        for instr, factor in expr.symbols.items():
            if self.analysis.depends[instr] <= available:
                terms["instr", instr] = factor
        pointer, done = f"%b{argument}", frozenset[object]()
        for scope in reversed(self._pointers):
            if key in scope:
                pointer, done = scope[key]
                break
        left = [t for t in terms if t not in done]
        if not left and done:
            return pointer
        offset = str(expr.constant) if not done else "0"
        for what, which in left:
            value = self.at[which] if what == "axis" else self._index(which)
            offset = self.f.add(offset, self.f.mul(value, str(terms[what, which])))
        kind = stored_type(self.linear.arguments[argument].dtype)
        pointer = self.f.shift(kind, pointer, offset)
        self._pointers[-1][key] = pointer, done | set(left) | {"constant"}
        return pointer

    def _clamped(self, access: Access) -> str:
        """The offset of the unproven axes, each index clamped to the buffer; in one lane."""
        total = "0"
        for place, stride, size in access.unproven:
            total = self.f.add(total, self.f.mul(self._clamped_index(place, size), str(stride)))
        return total

    def _clamped_index(self, place: AffineExpr, size: int) -> str:
        low = self.f.value(f"call i64 @llvm.smax.i64(i64 {self.affine_scalar(place)}, i64 0)")
        return self.f.value(f"call i64 @llvm.smin.i64(i64 {low}, i64 {max(size - 1, 0)})")

    # ------------------------------------------------------------ memory

    def _read(self, instr: int) -> str:
        entry = self.linear.instrs[instr]
        argument, access = int(entry.data or 0), self.analysis.reads(instr)
        axis = self.vectors.axis
        if not self.varies(instr):
            pointer = self._pointer(("read", instr), argument, access.offset)
            pointer = self.f.shift(stored_type(entry.dtype), pointer, self._clamped(access))
            return self.load(argument, pointer, 1)
        if axis is not None and self.analysis.stride(access, axis) == 1:
            return self._load_run(instr, argument, access)
        return self._gather(argument, access)

    def load(self, argument: int, pointer: str, lanes: int, mask: str | None = None) -> str:
        """Elements of an argument at an address; 0 in lanes that a mask leaves out."""
        dtype = self.linear.arguments[argument].dtype
        kind, size = stored_type(dtype, lanes), BYTES[dtype]
        if mask is None:
            raw = self.f.load(kind, pointer, size)
        else:
            raw = self.f.value(
                f"call {kind} @llvm.masked.load.v{lanes}{_code(dtype)}.p0(ptr align {size} "
                f"{pointer}, <{lanes} x i1> {mask}, {kind} zeroinitializer)"
            )
        if dtype != "bool":
            return raw
        return self.f.value(f"icmp ne {kind} {raw}, {'0' if lanes == 1 else 'zeroinitializer'}")

    def _load_run(self, instr: int, argument: int, access: Access) -> str:
        """A contiguous read; lanes outside of the buffer give 0."""
        lanes, axis = self.vectors.lanes, self.vectors.axis
        pointer = self._pointer(("read", instr), argument, access.offset)
        mask = None if self.linear.arguments[argument].slack else self.mask
        offset = "0"
        for place, stride, size in access.unproven:
            if axis in place.axes:
                inside = self.f.value(
                    f"icmp ult <{lanes} x i64> {self._affine_vector(place)}, "
                    f"{constant(str(size), 'int64', lanes)}"
                )
                mask = inside if mask is None else self._both(mask, inside)
                here = self.affine_scalar(place)
            else:
                here = self._clamped_index(place, size)
            offset = self.f.add(offset, self.f.mul(here, str(stride)))
        kind = stored_type(self.linear.arguments[argument].dtype)
        return self.load(argument, self.f.shift(kind, pointer, offset), lanes, mask)

    def _both(self, a: str, b: str) -> str:
        return self.f.value(f"and <{self.vectors.lanes} x i1> {a}, {b}")

    def _gather(self, argument: int, access: Access) -> str:
        """A gather, its indices clamped to the buffer."""
        lanes = self.vectors.lanes
        total = self._affine_vector(access.offset)
        kind = f"<{lanes} x i64>"
        for place, stride, size in access.unproven:
            here = self._affine_vector(place)
            for name, bound in (("smax", 0), ("smin", max(size - 1, 0))):
                edge = constant(str(bound), "int64", lanes)
                here = self.f.value(
                    f"call {kind} @llvm.{name}.v{lanes}i64({kind} {here}, {kind} {edge})"
                )
            here = self.f.value(f"mul {kind} {here}, {constant(str(stride), 'int64', lanes)}")
            total = self.f.value(f"add {kind} {total}, {here}")
        if self.mask is not None:
            zero = constant("0", "int64", lanes)
            total = self.f.value(
                f"select <{lanes} x i1> {self.mask}, {kind} {total}, {kind} {zero}"
            )
        dtype = self.linear.arguments[argument].dtype
        element, vector = stored_type(dtype), stored_type(dtype, lanes)
        places = self.f.value(f"getelementptr {element}, ptr %b{argument}, {kind} {total}")
        every = constant("true", "bool", lanes)
        raw = self.f.value(
            f"call {vector} @llvm.masked.gather.v{lanes}{_code(dtype)}.v{lanes}p0(<{lanes} x ptr> "
            f"align {BYTES[dtype]} {places}, <{lanes} x i1> {every}, {vector} poison)"
        )
        return raw if dtype != "bool" else self.f.value(f"icmp ne {vector} {raw}, zeroinitializer")

    def store(self, store: Store) -> None:
        """Write a store of the kernel, in the lanes that are in use."""
        argument = self.linear.arguments[store.argument]
        access = self.analysis.access(store.argument, store.place)
        moves = self.vectors.axis is not None and self.analysis.stride(access, self.vectors.axis)
        lanes = self.vectors.lanes if moves else 1
        value = self.vector(store.value) if lanes > 1 else self.value(store.value)
        pointer = self._pointer(("store", store), store.argument, access.offset)
        element = stored_type(argument.dtype)
        pointer = self.f.shift(element, pointer, self._clamped(access))
        mask = self.mask if lanes > 1 and not self._fits_padding(store) else None
        if store.add:
            old = self.load(store.argument, pointer, lanes, mask)
            both = (argument.dtype, argument.dtype, lanes, (old, value))
            value = scalars.apply(self.f, "add", *both)
        new = argument.space in ("state", "staged") and not self.linear.commit
        if new and argument.dtype in FLOATS:
            self.finite.add(value, argument.dtype, lanes, self.mask if lanes > 1 else None)
        kind = stored_type(argument.dtype, lanes)
        if argument.dtype == "bool":
            value = self.f.value(f"zext {type_of('bool', lanes)} {value} to {kind}")
        if mask is None:
            self.f.store(kind, value, pointer, BYTES[argument.dtype])
            return
        self.f.do(
            f"call void @llvm.masked.store.v{lanes}{_code(argument.dtype)}.p0({kind} {value}, "
            f"ptr align {BYTES[argument.dtype]} {pointer}, <{lanes} x i1> {mask})"
        )

    def _fits_padding(self, store: Store) -> bool:
        """Whether whole vectors stay within the padding of the row."""
        argument, axis, lanes = (
            self.linear.arguments[store.argument], self.vectors.axis, self.vectors.lanes,
        )  # fmt: skip
        own = argument.slack and not argument.inside
        if not axis or not own or len(argument.shape) != 2 or store.add:
            return False  # threads may share axis 0: then the next lanes are another's
        size = self.linear.sizes[axis]
        if size != argument.shape[1]:
            return False  # they are those of another part of the row
        along = self.analysis.exprs[store.place[-1]] == AffineExpr(axes={axis: 1})
        return along and isinstance(size, int) and -(-size // lanes) * lanes <= argument.strides[0]


def _code(dtype: str) -> str:
    """The type in memory, as names of intrinsics contain it."""
    return "i8" if dtype == "bool" else scalars.SUFFIX[dtype]
