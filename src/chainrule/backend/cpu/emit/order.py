"""The IR of the function that shuffles rows: Philox words, sorted by buckets."""

from __future__ import annotations

from chainrule.backend.cpu.emit.text import Function

FRAME = ("rows", "out", "words", "starts", "seed", "bits", "epochs")
"""The words of the frame.

rows: the address of the int64 to shuffle, (n,); out: that of the results, (epochs, n); words: that
of room for n + 3 int64; starts: that of room for 2**bits int64; seed: of the orders; bits: of the
largest number of a row, at least 1; epochs: their number.
"""

_ADDRESSES = ("rows", "out", "words", "starts")
_MULTIPLIERS = 0xD2E7470EE14C6C93, 0xCA5A826395121157
_WEYL = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
_ROUNDS = 10


def order_function() -> str:
    """The IR of `@order(ptr frame, i64 n, i64 epoch)`, for the epochs from this one on.

    Each row has a word of the Philox 4x64-10 whose key is seed and epoch, with the number of the
    row in its low bits; sorted words give the order. They are uniform: with about as many buckets
    as rows, by the high bits, next to nothing is left to sort within one.
    """
    f = Function("order", "ptr %frame, i64 %n, i64 %epoch", external=True)
    word = {
        name: f.load("ptr" if name in _ADDRESSES else "i64", f.shift("i64", "%frame", str(k)), 8)
        for k, name in enumerate(FRAME)
    }
    buckets = f.value(f"shl i64 1, {word['bits']}")
    low = f.value(f"sub i64 {buckets}, 1")
    high = f.value(f"sub i64 64, {word['bits']}")
    with f.loop("0", word["epochs"]) as epoch:
        key = word["seed"], f.add("%epoch", epoch)
        out = f.shift("i64", word["out"], f.mul(epoch, "%n"))
        with f.loop("0", buckets) as k:
            f.store("i64", "0", f.shift("i64", word["starts"], k), 8)
        with f.loop("0", "%n", 4) as first:
            drawn = _philox(f, f.add(f.div(first, 4), "1"), key)
            for lane, x in enumerate(drawn):
                _count(f, word, f.add(first, str(lane)), x, low, high)
        _sum(f, word["starts"], buckets)
        with f.loop("0", "%n") as k:
            x = f.load("i64", f.shift("i64", word["words"], k), 8)
            at = f.shift("i64", word["starts"], f.value(f"lshr i64 {x}, {high}"))
            place = f.load("i64", at, 8)
            f.store("i64", x, f.shift("i64", out, place), 8)
            f.store("i64", f.value(f"add i64 {place}, 1"), at, 8)
        with f.loop("1", "%n") as k:
            _insert(f, out, k)
        with f.loop("0", "%n") as k:
            to = f.shift("i64", out, k)
            number = f.value(f"and i64 {f.load('i64', to, 8)}, {low}")
            f.store("i64", f.load("i64", f.shift("i64", word["rows"], number), 8), to, 8)
    return f.end()


def _philox(f: Function, counter: str, key: tuple[str, str]) -> tuple[str, str, str, str]:
    """The four words of a counter. Source: as in maths/philox.py."""
    a, b, c, d = counter, "0", "0", "0"
    for turn in range(_ROUNDS):
        bumped = [
            f.value(f"add i64 {x}, {turn * weyl % 2**64}")
            for x, weyl in zip(key, _WEYL, strict=True)
        ]
        (top_a, low_a), (top_c, low_c) = (
            _product(f, x, by) for x, by in zip((a, c), _MULTIPLIERS, strict=True)
        )
        a = f.value(f"xor i64 {f.value(f'xor i64 {top_c}, {b}')}, {bumped[0]}")
        c = f.value(f"xor i64 {f.value(f'xor i64 {top_a}, {d}')}, {bumped[1]}")
        b, d = low_c, low_a
    return a, b, c, d


def _product(f: Function, x: str, by: int) -> tuple[str, str]:
    """The high and the low half of a product of 64 bits by 64."""
    wide = f.value(f"mul i128 {f.value(f'zext i64 {x} to i128')}, {by}")
    return (
        f.value(f"trunc i128 {f.value(f'lshr i128 {wide}, 64')} to i64"),
        f.value(f"trunc i128 {wide} to i64"),
    )


def _count(f: Function, word: dict[str, str], number: str, x: str, low: str, high: str) -> None:
    """Store a row's word, with its number in the low bits, and count it in its bucket."""
    cleared = f.value(f"and i64 {x}, {f.value(f'xor i64 {low}, -1')}")
    f.store("i64", f.value(f"or i64 {cleared}, {number}"),
            f.shift("i64", word["words"], number), 8)  # fmt: skip
    at = f.shift("i64", word["starts"], f.value(f"lshr i64 {x}, {high}"))
    one = f.value(f"zext i1 {f.less(number, '%n')} to i64")  # 0 beyond the last row
    f.store("i64", f.value(f"add i64 {f.load('i64', at, 8)}, {one}"), at, 8)


def _sum(f: Function, starts: str, buckets: str) -> None:
    """Counts become the places where buckets start."""
    total = f.local("i64")
    f.store("i64", "0", total, 64)
    with f.loop("0", buckets) as k:
        at, before = f.shift("i64", starts, k), f.load("i64", total, 64)
        f.store("i64", f.value(f"add i64 {before}, {f.load('i64', at, 8)}"), total, 64)
        f.store("i64", before, at, 8)


def _insert(f: Function, out: str, place: str) -> None:
    """Move the word at a place down to where it belongs among those before it."""
    x, before = f.load("i64", f.shift("i64", out, place), 8), f.block
    f.do("br label %sort")
    f.label("sort")
    f.do(f"%k = phi i64 [{place}, %{before}], [%below, %move]")
    f.do("%below = add i64 %k, -1")
    f.do("%some = icmp sgt i64 %k, 0")
    f.do("br i1 %some, label %look, label %put")
    f.label("look")
    other = f.load("i64", f.shift("i64", out, "%below"), 8)
    f.do(f"br i1 {f.value(f'icmp ugt i64 {other}, {x}')}, label %move, label %put")
    f.label("move")
    f.store("i64", other, f.shift("i64", out, "%k"), 8)
    f.do("br label %sort")
    f.label("put")
    f.store("i64", x, f.shift("i64", out, "%k"), 8)
