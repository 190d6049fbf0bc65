"""The function that Python calls to compute a few rows: its calling convention as LLVM IR.

One text serves all networks: what differs is in the words of a call, whose address is in `self`. It
has no address of a process: what it calls are functions of Python's stable interface by name.
"""

from __future__ import annotations

from collections.abc import Sequence

CALL = ("run", "frame", "inputs", "outputs", "taken", "given", "most", "long", "rows", "ends",
        "array", "none", "empty", "check")  # fmt: skip
"""The words of a call.

run, frame: the machine code and its frame; inputs, outputs: the numbers of arguments and results;
taken, given: the addresses of the words INPUT of each argument, and OUTPUT of each result; most:
the most rows; long: the rows from which the interpreter's lock is released; rows: the address of
the indices 0, 1, ...; ends: that of the two ends of a step; array, none, empty: the objects
numpy.ndarray, None and numpy.empty; check: the address of a float32 for each row that is 0 where
the results hold, or 0.
"""

INPUT = ("slot", "ndim", "letter", "size", "d1", "d2", "d3", "unused")
"""The words of an argument: where the address of its data goes, the number of its axes, the letter
of its format, the bytes of an element, and the sizes of the axes after the first."""

OUTPUT = ("source", "pitch", "width", "format", "a", "b", "c", "d")
"""The words of a result: where machine code writes it; the bytes from row to row there, and of a
row; the format, and after the number of rows the arguments, by which numpy.empty is called."""

MOST_AXES = 4
"""The most axes of an argument or a result."""

MOST_ARRAYS = 48
"""The most arguments and results together: their views lie on the stack, within a page of it."""

FUNCTIONS = {
    "PyBuffer_Release": "void (ptr)",
    "PyErr_Clear": "void ()",
    "PyEval_RestoreThread": "void (ptr)",
    "PyEval_SaveThread": "ptr ()",
    "PyList_GetItem": "ptr (ptr, i64)",
    "PyList_New": "ptr (i64)",
    "PyList_SetItem": "i32 (ptr, i64, ptr)",
    "PyLong_AsVoidPtr": "ptr (ptr)",
    "PyObject_CallFunction": "ptr (ptr, ptr, ...)",
    "PyObject_GetBuffer": "i32 (ptr, ptr, i32)",
    "PyObject_Type": "ptr (ptr)",
    "PyTuple_GetItem": "ptr (ptr, i64)",
    "Py_DecRef": "void (ptr)",
    "Py_IncRef": "void (ptr)",
}
"""The functions of Python that it calls: all are in the stable interface of version 3.11."""

_NUMBERS = frozenset(("inputs", "outputs", "most", "long", "ndim", "letter", "size", "pitch",
                      "width", "a", "b", "c", "d"))  # fmt: skip
"""The words that are numbers, not addresses."""


def caller(frame: Sequence[str]) -> str:
    """The IR of `ptr @call(ptr self, ptr arguments, i64 given)`, a METH_FASTCALL function.

    `self` is a tuple whose first item is the address of the words CALL. The function takes arrays,
    and returns a new array, or a list of several. It returns None where an argument is anything
    else than an array of the right type, shape and layout, or where `check` says that the results
    do not hold: the caller then does it in a slower way, and tells what is wrong. It raises what
    numpy.empty raises.

    Args:
        frame: the names of the frame's words.
    """
    declared = [f"declare {kind.replace(' (', f' @{name}(')}" for name, kind in FUNCTIONS.items()]
    words = {name: frame.index(name) for name in ("rows", "offsets", "steps", "flag")}
    parts = {
        "most": str(MOST_ARRAYS), "call": _load("%call", CALL), "input": _load("%input", INPUT),
        "output": _load("%output", OUTPUT),
        **{f"frame_{name}": f"%at.{name} = getelementptr i64, ptr %call.frame, i64 {k}"
           for name, k in words.items()},
    }  # fmt: skip
    text = _TEXT
    for name, part in parts.items():
        text = text.replace(f"<{name}>", part)
    return "\n".join([*declared, text])


def _load(base: str, names: Sequence[str]) -> str:
    """Loads of all words after an address, as `base.name`."""
    lines = []
    for k, name in enumerate(names):
        kind = "i64" if name in _NUMBERS else "ptr"
        lines.append(f"{base}.{name}.at = getelementptr i64, ptr {base}, i64 {k}")
        lines.append(f"{base}.{name} = load {kind}, ptr {base}.{name}.at, align 8")
    return "\n  ".join(lines)


_TEXT = """
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)

%Py_buffer = type { ptr, ptr, i64, i64, i32, i32, ptr, ptr, ptr, ptr, ptr }

define ptr @call(ptr %self, ptr %arguments, i64 %given) nounwind {
entry:
  %item = call ptr @PyTuple_GetItem(ptr %self, i64 0)
  %call = call ptr @PyLong_AsVoidPtr(ptr %item)
  <call>
  %all = add i64 %call.inputs, %call.outputs
  %views = alloca [<most> x %Py_buffer], align 16
  %complete = icmp eq i64 %given, %call.inputs
  br i1 %complete, label %argument, label %unusual

argument: ; number k, of n rows
  %k = phi i64 [0, %entry], [%k.next, %fits]
  %n = phi i64 [-1, %entry], [%rows, %fits]
  %object.at = getelementptr ptr, ptr %arguments, i64 %k
  %object = load ptr, ptr %object.at, align 8
  %type = call ptr @PyObject_Type(ptr %object)
  call void @Py_DecRef(ptr %type)
  %is_array = icmp eq ptr %type, %call.array
  br i1 %is_array, label %open, label %unusual
open:
  %view = getelementptr %Py_buffer, ptr %views, i64 %k
  %no = call i32 @PyObject_GetBuffer(ptr %object, ptr %view, i32 60) ; C-contiguous, with format
  %opened = icmp eq i32 %no, 0
  br i1 %opened, label %look, label %refused
refused:
  call void @PyErr_Clear()
  br label %unusual
look:
  %k.next = add i64 %k, 1
  %input = getelementptr [8 x i64], ptr %call.taken, i64 %k
  <input>
  %axes.at = getelementptr %Py_buffer, ptr %view, i64 0, i32 5
  %axes32 = load i32, ptr %axes.at, align 4
  %axes = sext i32 %axes32 to i64
  %same_axes = icmp eq i64 %axes, %input.ndim
  br i1 %same_axes, label %compare, label %unusual
compare:
  %format.at = getelementptr %Py_buffer, ptr %view, i64 0, i32 6
  %format = load ptr, ptr %format.at, align 8
  %first = load i8, ptr %format, align 1
  %second.at = getelementptr i8, ptr %format, i64 1
  %second = load i8, ptr %second.at, align 1
  %letter = trunc i64 %input.letter to i8
  %same_letter = icmp eq i8 %first, %letter
  %one_letter = icmp eq i8 %second, 0
  %data = load ptr, ptr %view, align 8
  %address = ptrtoint ptr %data to i64
  %below = sub i64 %input.size, 1
  %over = and i64 %address, %below
  %aligned = icmp eq i64 %over, 0
  %shape.at = getelementptr %Py_buffer, ptr %view, i64 0, i32 7
  %shape = load ptr, ptr %shape.at, align 8
  %rows = load i64, ptr %shape, align 8
  %less = sub i64 %rows, 1
  %some = icmp ult i64 %less, %call.most ; from 1 to `most`
  %is_first = icmp eq i64 %k, 0
  %equal = icmp eq i64 %rows, %n
  %same_rows = or i1 %is_first, %equal
  %ok1 = and i1 %same_letter, %one_letter
  %ok2 = and i1 %ok1, %aligned
  %ok3 = and i1 %ok2, %some
  %ok4 = and i1 %ok3, %same_rows
  br i1 %ok4, label %axis, label %unusual
axis: ; number i
  %i = phi i64 [1, %compare], [%i.next, %same]
  %more_axes = icmp slt i64 %i, %axes
  br i1 %more_axes, label %size, label %fits
size:
  %have.at = getelementptr i64, ptr %shape, i64 %i
  %have = load i64, ptr %have.at, align 8
  %want.at = getelementptr i64, ptr %input.size.at, i64 %i
  %want = load i64, ptr %want.at, align 8
  %fit = icmp eq i64 %have, %want
  br i1 %fit, label %same, label %unusual
same:
  %i.next = add i64 %i, 1
  br label %axis
fits:
  store ptr %data, ptr %input.slot, align 8
  %more = icmp slt i64 %k.next, %call.inputs
  br i1 %more, label %argument, label %begin

begin:
  %list = call ptr @PyList_New(i64 %call.outputs)
  %no_list = icmp eq ptr %list, null
  br i1 %no_list, label %finish, label %result
result: ; number j
  %j = phi i64 [0, %begin], [%j.next, %made]
  %held = add i64 %call.inputs, %j
  %output = getelementptr [8 x i64], ptr %call.given, i64 %j
  <output>
  %new = call ptr (ptr, ptr, ...) @PyObject_CallFunction(ptr %call.empty, ptr %output.format,
    i64 %rows, i64 %output.a, i64 %output.b, i64 %output.c, i64 %output.d)
  %no_array = icmp eq ptr %new, null
  br i1 %no_array, label %drop, label %put
put:
  %put.no = call i32 @PyList_SetItem(ptr %list, i64 %j, ptr %new)
  %new.view = getelementptr %Py_buffer, ptr %views, i64 %held
  %new.no = call i32 @PyObject_GetBuffer(ptr %new, ptr %new.view, i32 57) ; C-contiguous, writable
  %new.opened = icmp eq i32 %new.no, 0
  br i1 %new.opened, label %made, label %drop
made:
  %j.next = add i64 %j, 1
  %more_results = icmp slt i64 %j.next, %call.outputs
  br i1 %more_results, label %result, label %ready
drop:
  call void @Py_DecRef(ptr %list)
  br label %finish

ready:
  %long = icmp sge i64 %rows, %call.long
  br i1 %long, label %unlocked, label %locked
unlocked:
  %thread = call ptr @PyEval_SaveThread()
  %holds.u = call i1 @compute(ptr %call, ptr %views, i64 %rows)
  call void @PyEval_RestoreThread(ptr %thread)
  br label %computed
locked:
  %holds.l = call i1 @compute(ptr %call, ptr %views, i64 %rows)
  br label %computed
computed:
  %holds = phi i1 [%holds.u, %unlocked], [%holds.l, %locked]
  br i1 %holds, label %results, label %wrong
wrong:
  call void @Py_DecRef(ptr %list)
  br label %unusual
results:
  %several = icmp sgt i64 %call.outputs, 1
  br i1 %several, label %finish, label %single
single:
  %only = call ptr @PyList_GetItem(ptr %list, i64 0)
  call void @Py_IncRef(ptr %only)
  call void @Py_DecRef(ptr %list)
  br label %finish

unusual:
  %opened.u = phi i64 [0, %entry], [%k, %argument], [%k, %refused], [%k.next, %look],
    [%k.next, %compare], [%k.next, %size], [%all, %wrong]
  call void @Py_IncRef(ptr %call.none)
  br label %finish
finish:
  %answer = phi ptr [%call.none, %unusual], [null, %begin], [null, %drop], [%list, %results],
    [%only, %single]
  %open.all = phi i64 [%opened.u, %unusual], [%call.inputs, %begin], [%held, %drop],
    [%all, %results], [%all, %single]
  br label %close
close:
  %q = phi i64 [0, %finish], [%q.next, %release]
  %left = icmp slt i64 %q, %open.all
  br i1 %left, label %release, label %out
release:
  %q.view = getelementptr %Py_buffer, ptr %views, i64 %q
  call void @PyBuffer_Release(ptr %q.view)
  %q.next = add i64 %q, 1
  br label %close
out:
  ret ptr %answer
}

; Run the machine code, and copy the results; whether they hold. Python's lock is not needed.
define internal i1 @compute(ptr %call, ptr %views, i64 %rows) nounwind {
entry:
  <call>
  <frame_rows>
  store ptr %call.rows, ptr %at.rows, align 8
  <frame_offsets>
  store ptr %call.ends, ptr %at.offsets, align 8
  <frame_steps>
  store i64 1, ptr %at.steps, align 8
  <frame_flag>
  store i64 0, ptr %at.flag, align 8
  store i64 0, ptr %call.ends, align 8
  %last = getelementptr i64, ptr %call.ends, i64 1
  store i64 %rows, ptr %last, align 8
  call void %call.run(ptr %call.frame, i64 0, i64 1)
  %unchecked = icmp eq ptr %call.check, null
  br i1 %unchecked, label %copy, label %check
check:
  %i = phi i64 [0, %entry], [%i.next, %check.next]
  %count.at = getelementptr i32, ptr %call.check, i64 %i
  %count = load i32, ptr %count.at, align 4
  %right = icmp eq i32 %count, 0
  br i1 %right, label %check.next, label %wrong
check.next:
  %i.next = add i64 %i, 1
  %more_rows = icmp slt i64 %i.next, %rows
  br i1 %more_rows, label %check, label %copy
wrong:
  ret i1 false

copy: ; number j
  %j = phi i64 [0, %entry], [0, %check.next], [%j.next, %copied]
  %output = getelementptr [8 x i64], ptr %call.given, i64 %j
  <output>
  %place = add i64 %call.inputs, %j
  %view = getelementptr %Py_buffer, ptr %views, i64 %place
  %to = load ptr, ptr %view, align 8
  %dense = icmp eq i64 %output.pitch, %output.width
  br i1 %dense, label %whole, label %row
whole:
  %bytes = mul i64 %rows, %output.width
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %output.source, i64 %bytes, i1 false)
  br label %copied
row:
  %r = phi i64 [0, %copy], [%r.next, %row]
  %from.bytes = mul i64 %r, %output.pitch
  %from = getelementptr i8, ptr %output.source, i64 %from.bytes
  %to.bytes = mul i64 %r, %output.width
  %here = getelementptr i8, ptr %to, i64 %to.bytes
  call void @llvm.memcpy.p0.p0.i64(ptr %here, ptr %from, i64 %output.width, i1 false)
  %r.next = add i64 %r, 1
  %more = icmp slt i64 %r.next, %rows
  br i1 %more, label %row, label %copied
copied:
  %j.next = add i64 %j, 1
  %another = icmp slt i64 %j.next, %call.outputs
  br i1 %another, label %copy, label %done
done:
  ret i1 true
}
"""
