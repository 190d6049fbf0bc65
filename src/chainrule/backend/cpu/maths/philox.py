"""Philox 4x32-10 as vector code: the numbers that `uniform` draws.

Element e of row n takes word e % 4 of counter (e // 4, n, step, stream) under the key (low, high),
and its upper 24 bits are a fraction. Source: J. Salmon et al., Parallel random numbers: as easy as
1, 2, 3, SC 2011.
"""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.backend.cpu.emit.irtext import Body, Kind, Value, define, select, shuffle

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_WORDS = "i32 %low, i32 %high, i32 %step, i32 %stream"


def definition(symbol: str, kind: Kind) -> str:
    """A function of the elements and rows, one of each a lane, as vectors of i64."""
    body = Body(fused=False)
    wide = Kind("i64", kind.width)
    element, row = Value(body, "%element", wide), Value(body, "%row", wide)
    words = _words(body, element >> 2, row)
    odd = (element & 1).compare("ne", 0)
    low, high = select(odd, words[1], words[0]), select(odd, words[3], words[2])
    word = select((element & 2).compare("ne", 0), high, low)
    result = _fraction(word.cast("trunc", "i32"), kind)
    head = f"{kind.text} {symbol}({wide.text} %element, {wide.text} %row, {_WORDS})"
    return define(head, body, result)


def run_definition(symbol: str, every: str, kind: Kind) -> str:
    """A function of an element and a row, as i64: this element and those that follow it.

    A vector of four or more is drawn four lanes at a time if the element is a multiple of 4, and
    else cut out of two such vectors. Narrower ones are left to the function `every`.
    """
    body = Body(fused=False)
    head = f"{kind.text} {symbol}(i64 %element, i64 %row, {_WORDS})"
    if kind.width < 4:
        wide = Kind("i64", kind.width)
        elements, rows = _count(body, "%element", wide), body.splat("%row", wide)
        text = f"{wide.text} {elements.name}, {wide.text} {rows.name}, {_WORDS}"
        return define(head, body, body.emit(f"call {kind.text} {every}({text})", kind))
    element = Value(body, "%element", Kind("i64", 1))
    odd = element & 3
    body.lines += [f"  br i1 {odd.compare('ne', 0).name}, label %cut, label %four", "four:"]
    narrow = Kind("i64", kind.width // 4)
    words = _words(body, _count(body, (element >> 2).name, narrow), body.splat("%row", narrow))
    drawn = _fraction(_interleave([word.cast("trunc", "i32") for word in words]), kind)
    body.lines += [f"  ret {kind.text} {drawn.name}", "cut:"]
    return define(head, body, _cut(element - odd, odd, symbol, kind))


def _cut(start: Value, skip: Value, symbol: str, kind: Kind) -> Value:
    """The vector that begins `skip` elements after `start`, a multiple of 4."""
    body, element = start.body, kind.element
    room = body.emit(f"alloca [{2 * kind.width} x {element}], align 64", Kind("ptr", 1)).name
    for lane in (0, kind.width):
        text = f"i64 {(start + lane).name}, i64 %row, {_WORDS}"
        drawn = body.emit(f"call {kind.text} {symbol}({text})", kind).name
        place = body.emit(f"getelementptr {element}, ptr {room}, i64 {lane}", skip.kind).name
        body.lines.append(f"  store {kind.text} {drawn}, ptr {place}, align 4")
    place = body.emit(f"getelementptr {element}, ptr {room}, i64 {skip.name}", skip.kind).name
    return body.emit(f"load {kind.text}, ptr {place}, align 4", kind)


def _words(body: Body, block: Value, row: Value) -> list[Value]:
    """The four words of each counter, in the low halves of i64; the high halves are anything."""
    kind = block.kind
    low, high, step, stream = (
        body.splat(body.emit(f"zext i32 %{name} to i64", Kind("i64", 1)).name, kind)
        for name in ("low", "high", "step", "stream")
    )
    c0, c1, c2, c3 = block, row, step, stream
    for turn in range(10):
        if turn:
            low, high = low + _WEYL[0], high + _WEYL[1]
        p0, p1 = (c0 & _MASK) * _MULTIPLIERS[0], (c2 & _MASK) * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ low, p1, (p0 >> 32) ^ c3 ^ high, p0
    return [c0, c1, c2, c3]


def _count(body: Body, first: str, kind: Kind) -> Value:
    """first, first + 1, ... along the lanes."""
    start = body.splat(first, kind)
    if kind.width == 1:
        return start
    lanes = ", ".join(f"i64 {lane}" for lane in range(kind.width))
    return start + Value(body, f"<{lanes}>", kind)


def _interleave(words: Sequence[Value]) -> Value:
    """Word 0, 1, 2, 3 of the first counter, then those of the second."""
    counters = words[0].kind.width
    if counters == 1:
        return _gather(words)
    first, second = (shuffle(a, b, range(2 * counters)) for a, b in (words[:2], words[2:]))
    order = [counters * word + lane for lane in range(counters) for word in range(4)]
    return shuffle(first, second, order)


def _gather(words: Sequence[Value]) -> Value:
    """Scalars as the lanes of a vector."""
    kind = Kind(words[0].kind.element, len(words))
    whole = Value(words[0].body, "poison", kind)
    for lane, word in enumerate(words):
        parts = f"{kind.text} {whole.name}, {word.kind.text} {word.name}, i32 {lane}"
        whole = word.body.emit(f"insertelement {parts}", kind)
    return whole


def _fraction(word: Value, kind: Kind) -> Value:
    """The upper 24 bits as a multiple of 2^-24 in [0, 1)."""
    return (word >> 8).cast("sitofp", kind.element) * 2.0**-24
