"""Kernels that put the functions of a step together, for one step or for many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from chainrule.backend.gpu.emit.dialect import FRAME
from chainrule.backend.gpu.emit.loops import Written
from chainrule.backend.gpu.emit.scalars import STORED
from chainrule.backend.gpu.layout import Layout, layout
from chainrule.backend.gpu.program import Count, Launch, Part, Program, Traits
from chainrule.plan.linearize import Argument, LinearKernel
from chainrule.plan.plan import Signature

STEPS, TOTAL = 256, 2**27
"""The most steps of a launch, and the most operations: it has to end soon."""

LOCAL = 48 * 1024
"""The most bytes of local memory that are used: what CUDA gives without being asked."""

_PARAMETERS = (
    "GLOBAL i64 *frame", "GLOBAL const i64 *index", "GLOBAL u8 *state", "GLOBAL u8 *work",
    "GLOBAL const u8 *given", "GLOBAL const i64 *table", "const i64 at",
)  # fmt: skip
"""Of all that is launched; the data follow.

They are the frame, the index of rows, the blocks of states, of what lies between kernels and of
step inputs; the table of places, and where those of this launch stand in it: for each operand the
offsets of both sides, or that of a step input and its bytes from step to step.
"""

_FUNCTION = (
    "const int group", "FRAME_AT i64 *frame", "GLOBAL const i64 *index", "STATE_AT u8 *state",
    "WORK_AT u8 *work", "GLOBAL const u8 *given", "TABLE_AT const i64 *table", "const i64 at",
    "NEAR u64 *room",
)  # fmt: skip
"""The parameters of a function; `room` is local memory."""

_GIVEN = "frame, index, state, work, given, table"


@dataclass(frozen=True)
class Function:
    """The function of a kernel.

    Attributes:
        name: of the function.
        node: the name of the kernel.
        linear: the kernel.
        written: its code.
    """

    name: str
    node: str
    linear: LinearKernel
    written: Written

    @property
    def data(self) -> dict[int, str]:
        """The type of each argument that is an array of the data, by its number."""
        listed = enumerate(self.linear.arguments)
        return {k: STORED[x.dtype] for k, x in listed if x.space == "data"}

    @property
    def text(self) -> str:
        """The function in C."""
        linear, written = self.linear, self.written
        data = [f"GLOBAL const {kind} *d{k}" for k, kind in self.data.items()]
        lines = [
            f"// {_printable(self.node)}",
            f"FUNCTION void {self.name}({', '.join([*_FUNCTION, *data])}) {{",
            "  const int n = (int)frame[COUNT];",
        ]
        stored = linear.written()
        lines += [f"  {_pointer(k, x, k in stored)}" for k, x in enumerate(linear.arguments)]
        if written.scratch:
            kind = linear.instrs[linear.value].dtype
            sums = Argument(kind, (written.scratch,), "work", (1,))
            lines.append(f"  {_pointer(len(linear.arguments), sums, True)}")
        return "\n".join([*lines, written.text, "}"]) + "\n"

    @property
    def groups(self) -> str:
        """The number of its groups, in C."""
        return " * ".join(_groups(x) for x in self.written.counts)

    def call(self, group: str, start: int, first: int) -> str:
        """The call for a group.

        start, first: where its operands and its data begin among those of the launch.
        """
        data = "".join(f", d{first + k}" for k in range(len(self.data)))
        made = f"{self.name}({group}, {_GIVEN}, at + {2 * start}, room{data});"
        return f"if (!frame[FAILED]) {made}" if self.linear.commit else made


def _groups(count: Count) -> str:
    if not count.power:
        return str(count.groups(1))
    elements = " * ".join([f"(i64){count.fixed}", *["n"] * count.power])
    return f"(int)(({elements} + {count.group - 1}) / {count.group})"


def _pointer(number: int, argument: Argument, written: bool) -> str:
    """The declaration of the pointer to an argument's elements."""
    kind = f"{'' if written else 'const '}{STORED[argument.dtype]} *"
    name, place = f"b{number}", f"table[at + {2 * number}]"
    match argument.space:
        case "rows":
            return f"GLOBAL const i64 *{name} = index + frame[FIRST];"
        case "data":
            return f"GLOBAL {kind}{name} = d{number};"
        case "state":
            place = f"table[at + {2 * number} + frame[SIDE]]"
            return f"STATE_AT {kind}{name} = (STATE_AT {kind})(state + {place});"
        case "step":
            along = f"table[at + {2 * number + 1}] * frame[STEP]"
            return f"GLOBAL {kind}{name} = (GLOBAL {kind})(given + {place} + {along});"
    return f"WORK_AT {kind}{name} = (WORK_AT {kind})(work + {place});"


def _printable(name: str) -> str:
    """The name of a node for a comment: one line, and no end of a line that goes on."""
    return name.encode("ascii", "replace").decode().replace("\\", "/").replace("\n", " ")[:80]


class Launches:
    """Writes what is launched.

    Args:
        functions: of kernels, by name.
        signature: of the program.
        rows: the most of a minibatch.
        items: the work-items of a group.
        traits: of the device.
        prefix: of names.
        work: the operations of a step, about.
    """

    def __init__(
        self, functions: Mapping[str, Function], signature: Signature, rows: int, items: int,
        traits: Traits, prefix: str, work: int,
    ) -> None:  # fmt: skip
        self._functions, self._signature, self._rows = functions, signature, rows
        self._items, self._traits, self._prefix, self._work = items, traits, prefix, work

    def each(self, launches: Sequence[Sequence[Sequence[Part]]]) -> Program:
        """The program that launches runs of levels, for each step again."""
        texts = [_spaces(), *(x.text for x in self._functions.values())]
        known: dict[str, str] = {}
        made = list[Launch]()
        for levels in launches:
            body = self._one(levels[0]) if len(levels) == 1 else self._several(levels)
            body = self._room(levels) + "  if (frame[STOPPED]) return;\n" + body
            head = ", ".join([*_PARAMETERS, *self._data(levels)])
            key = f"({head}) {{\n{body}}}\n"
            if key not in known:
                known[key] = f"{self._prefix}launch_{len(known)}"
                texts.append(f"KERNEL({self._items}) {known[key]}{key}")
            made.append(Launch(known[key], tuple(map(tuple, levels))))
        texts.append(f"KERNEL(1) {self._prefix}advance({_ADVANCE}) {{\n")
        texts.append(f"  if (!frame[STOPPED]) {{\n{self._advance()}  }}\n}}\n")
        return self._program(texts, made, 0)

    def steps(self, levels: Sequence[Sequence[Part]]) -> Program:
        """The program that does many steps in a launch, by one group."""
        place = layout(self._signature, levels, self._rows, float64=self._traits.float64)
        words = 2 * sum(len(part.operands) for level in levels for part in level)
        near, room = self._near(place, words, levels), self._room([*levels])
        name, most = f"{self._prefix}steps", max(1, min(STEPS, TOTAL // max(self._work, 1)))
        given = ", ".join([
            *(x.replace("*", "*far_") if x.split("*")[-1] in near else x for x in _PARAMETERS),
            *self._data(levels), *_ADVANCE.split(", ")[1:3], "const i64 loss",
        ])  # fmt: skip
        copies = [(far, size, kind) for far, (size, kind) in near.items()]
        body = [f"KERNEL({self._items}) {name}({given}) {{\n", room]
        body += [f"  LOCAL u64 near_{x}[{-(-size // 8)}];\n" for x, size, _ in copies]
        body += [f"  NEAR {kind} *{x} = (NEAR {kind} *)near_{x};\n" for x, _, kind in copies]
        for x, size, _ in copies:
            body.append(self._copy(f"near_{x}", f"((GLOBAL const u64 *)far_{x})", size))
        body.append("  SYNC;\n")
        turning = f"turn < {most} && !frame[STOPPED] && frame[STEP] < frame[STEPS]"
        body.append(f"  for (int turn = 0; {turning}; turn++) {{\n")
        body += [self._several(levels), "  if (ITEM == 0) {\n"]
        body += ["    const i64 at = loss;\n", self._advance(), "  }\n  SYNC;\n  }\n"]
        for x, size, _ in copies:
            if x != "table":
                body.append(self._copy(f"((GLOBAL u64 *)far_{x})", f"near_{x}", size))
        body.append("}\n")
        texts = [_spaces(near), *(x.text for x in self._functions.values()), *body]
        return self._program(texts, [Launch(name, tuple(map(tuple, levels)))], most)

    def _program(self, texts: Sequence[str], launches: Sequence[Launch], steps: int) -> Program:
        return Program(
            "".join(texts), tuple(launches), self._signature, self._rows, self._items, steps,
            f"{self._prefix}advance", self._work,
        )  # fmt: skip

    def _near(
        self, place: Layout, words: int, levels: Sequence[Sequence[Part]]
    ) -> dict[str, tuple[int, str]]:
        """The bytes and the types of what lies in local memory while steps are done."""
        left = min(self._traits.local, LOCAL) - self._bytes(levels)
        found = {"frame": (8 * len(FRAME), "i64")}
        sizes = (("table", 8 * words, "i64"), ("state", place.state, "u8"),
                 ("work", place.work, "u8"))  # fmt: skip
        left -= found["frame"][0]
        for name, size, kind in sizes:
            if size <= left:
                found[name] = size, kind
                left -= size
        return found

    def _bytes(self, levels: Sequence[Sequence[Part]]) -> int:
        """The bytes of local memory that parts need."""
        return max(
            (self._functions[part.function].written.local for level in levels for part in level),
            default=0,
        )

    def _room(self, levels: Sequence[Sequence[Part]]) -> str:
        """The declaration of that memory."""
        return f"  LOCAL u64 room[{max(-(-self._bytes(levels) // 8), 1)}];\n"

    def _data(self, levels: Sequence[Sequence[Part]]) -> Iterator[str]:
        """The parameters for arrays of the data, in the order of parts."""
        number = 0
        for level in levels:
            for part in level:
                for kind in self._functions[part.function].data.values():
                    yield f"GLOBAL const {kind} *d{number}"
                    number += 1

    def _calls(
        self, levels: Sequence[Sequence[Part]], group: str
    ) -> Iterator[list[tuple[Function, str]]]:
        """The calls of parts, by level."""
        start, first = 0, 0
        for level in levels:
            found = list[tuple[Function, str]]()
            for part in level:
                function = self._functions[part.function]
                found.append((function, function.call(group, start, first)))
                start, first = start + len(part.operands), first + len(function.data)
            yield found

    def _one(self, level: Sequence[Part]) -> str:
        """The statements of a level: each part has some groups."""
        lines = ["  const int n = (int)frame[COUNT];\n"]
        lines.append("  int group = GROUP + (int)frame[BASE];\n")
        (calls,) = self._calls([level], "group")
        for function, call in calls[:-1]:
            lines.append(f"  if (group < {function.groups}) {{\n    {call}\n    return;\n  }}\n")
            lines.append(f"  group -= {function.groups};\n")
        lines.append(f"  {calls[-1][1]}\n")
        return "".join(lines)

    def _several(self, levels: Sequence[Sequence[Part]]) -> str:
        """The statements of levels that one group does."""
        lines = ["  const int n = (int)frame[COUNT];\n"]
        for calls in self._calls(levels, "group"):
            for function, call in calls:
                lines.append(f"  for (int group = 0; group < {function.groups}; group++) {{\n")
                lines.append(f"    {call}\n  }}\n")
                if function.written.local:
                    lines.append("  BARRIER;\n")
            lines.append("  SYNC;\n")
        return "".join(lines)

    def _copy(self, to: str, source: str, size: int) -> str:
        head = f"for (int k = ITEM; k < {-(-size // 8)}; k += {self._items})"
        return f"  {head} {to}[k] = {source}[k];\n"

    def _advance(self) -> str:
        """The statements at the end of a step: note the loss, and go on to the next step."""
        lines = ["    const i64 s = frame[STEP];\n"]
        if self._signature.loss is not None:
            kind = STORED[self._signature.loss.dtype]
            lines.append(f"    losses[s] = (f64)*(WORK_AT const {kind} *)(work + at);\n")
        lines.append(_TO_NEXT)
        return "".join(lines)


_ADVANCE = (
    "GLOBAL i64 *frame, GLOBAL const i64 *ends, GLOBAL f64 *losses, GLOBAL const u8 *work, "
    "const i64 at"
)
"""The parameters of the kernel at the end of a step."""

_TO_NEXT = """\
    if (frame[FAILED]) {
      frame[STOPPED] = 1;
    } else {
      frame[STEP] = s + 1;
      frame[SIDE] = 1 - frame[SIDE];
      frame[FIRST] = ends[s + 1];
      frame[COUNT] = ends[s + 2] - ends[s + 1];
    }
"""


def _spaces(near: Mapping[str, object] | None = None) -> str:
    """The address spaces of the frame, the table, states, and what lies between kernels."""
    lines = list[str]()
    for name in ("frame", "table", "state", "work"):
        space = "NEAR" if name in (near or {}) else "GLOBAL"
        lines += [f"#undef {name.upper()}_AT\n", f"#define {name.upper()}_AT {space}\n"]
    return "".join(lines)
