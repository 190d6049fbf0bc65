"""The encoding of a text file: by its first bytes, by a library, and the errors of a wrong one."""

from __future__ import annotations

import codecs
import re

from chainrule.data.columns.texts import Notes
from chainrule.display.format import clip
from chainrule.errors import DataError

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins with the mark of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
CYRILLIC = ("cp1251", "koi8_r", "cp866")
COMMON = (
    "cp1252", "cp1250", *CYRILLIC, "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp932",
    "euc_jp", "gb18030", "big5", "cp949",
)  # fmt: skip
"""The encodings that files have where it is not stated, the most frequent first."""
NAMES = {
    "cp932": "Shift-JIS", "cp949": "EUC-KR", "euc_jp": "EUC-JP", "gb18030": "GBK", "big5": "Big5",
    "koi8_r": "KOI8-R", "cp866": "IBM866",
}  # fmt: skip
FREQUENT = "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъ"  # letters of Russian by frequency
LETTERS = set(FREQUENT + FREQUENT.upper() + "ёЁ«»—–…№“”„‘’°\u00a0")
SAMPLE = 1 << 16
NEIGHBOURS = ("cp1250", "cp1254", "cp1257")  # differ from Windows-1252 in a few letters
RUSSIAN = re.compile(r"[А-ЯЁ]?[а-яё]+|[А-ЯЁ]+|[\x00-\x7f]*")
FOREIGN = re.compile(r"[^\x00-\x7f]")
JAPANESE = re.compile(r"(?=.*[ぁ-ヶ])[ぁ-ヶー一-龥々、。・]+")
SIGN_IN_WORD = re.compile(r"[^\W\d_][¹³¿£¥¼¾ªº]|[¹³¿£¥¼¾ª][^\W\d_]|[\x80-\x9f]")
FOREIGN_WORD = re.compile(r"[^\W\d_]*[^\W\d_\x00-\x7f][^\W\d_]*")


class NotInEncoding(DataError):
    """Bytes that are not valid in the encoding."""


def stated_encoding(head: bytes) -> str | None:
    """The encoding that the first bytes state: a mark, or the zeros of UTF-16; None: none."""
    for mark, name in MARKS:
        if head.startswith(mark):
            return name
    pairs = len(head) // 2
    if head.startswith(b"PAR1") or not pairs:
        return None
    for name, zeros, others in (("utf-16-le", head[1::2], head[::2]),
                                ("utf-16-be", head[::2], head[1::2])):  # fmt: skip
        if zeros.count(0) > 0.3 * pairs and others.count(0) < 0.01 * pairs:
            return name
    return None


def decode(content: bytes, encoding: str, source: str) -> str:
    """The text. Raises NotInEncoding with the first invalid byte, and DataError for the name."""
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeError as error:
        raise _invalid(content, encoding, source, error) from None
    except LookupError:
        raise DataError(
            source, "unknown encoding", got=encoding,
            expected="a name that Python knows, such as utf-8, windows-1251, shift_jis, gbk",
        ) from None  # fmt: skip


def detect(content: bytes, source: str, notes: Notes) -> str:
    """The encoding of a text that is not UTF-8, noted. Raises NotInEncoding where it is damaged.

    A text that is UTF-8 but for a few bytes is damaged: another encoding would garble the rest.
    """
    damaged = _invalid(content, "utf-8", source, None)
    lines = [line for line in content.splitlines() if not line.isascii()]
    sample = b"\n".join(lines)[:SAMPLE].rpartition(b"\n")[0] or b"\n".join(lines)[:SAMPLE]
    invalid = content.decode("utf-8", "replace").count("\ufffd")
    valid = sum(not char.isascii() for char in content.decode("utf-8", "ignore"))
    encoding = None if valid >= invalid else _guess(sample)
    if encoding is None:
        raise damaged
    name = NAMES.get(encoding, encoding.replace("cp", "Windows-"))
    words = list(dict.fromkeys(FOREIGN_WORD.findall(sample.decode(encoding, "replace"))))[:3]
    shown = ", ".join(repr(clip(word, 20)) for word in words)
    notes.add(
        f"the file is not UTF-8: read as {name}, by its bytes ({shown or 'no letters'}); if that "
        "is wrong, name its encoding, for example encoding='cp1250'"
    )
    return encoding


def _guess(sample: bytes) -> str | None:
    """The most probable of the common encodings, or None if none fits."""
    from charset_normalizer import from_bytes  # noqa: PLC0415  (100 ms, and rarely needed)

    fitting = {name: sample.decode(name) for name in COMMON if _fits(sample, name)}
    russian = {name: _russian(fitting[name]) for name in CYRILLIC if name in fitting}
    if russian and max(russian.values()) > 0:
        return max(russian, key=lambda name: russian[name])
    for name in ("cp932", "euc_jp"):
        if JAPANESE.fullmatch("".join(FOREIGN.findall(fitting.get(name, "")))):
            return name
    found = [match.encoding for match in from_bytes(sample, cp_isolation=list(COMMON))]
    best = next((name for name in found if name in fitting), None)
    western = "cp1252" in fitting and not SIGN_IN_WORD.search(fitting["cp1252"])
    if western and (best is None or best in NEIGHBOURS):
        return "cp1252"
    foreign = sum(byte > 127 for byte in sample)
    return best if foreign > 1 else None


def _fits(sample: bytes, encoding: str) -> bool:
    try:
        sample.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _russian(text: str) -> float:
    """The likeness of a text to Russian: positive if its words are written as there."""
    words = FOREIGN_WORD.findall(text)
    if not all(map(RUSSIAN.fullmatch, words)) or not set(FOREIGN.findall(text)) <= LETTERS:
        return 0.0
    return sum(1 / (3 + FREQUENT.index(char)) for char in "".join(words) if char in FREQUENT)


def _invalid(
    content: bytes, encoding: str, source: str, error: UnicodeError | None
) -> NotInEncoding:
    """The error for the first byte that is not valid in the encoding."""
    if error is None:
        try:
            content.decode(encoding)
        except UnicodeDecodeError as found:
            error = found
    if not isinstance(error, UnicodeDecodeError):
        return NotInEncoding(source, "is not valid text in its encoding", expected=encoding)
    start = error.start
    line = content.count(b"\n", 0, start) + 1
    near = content[max(start - 12, 0) : start + 12].decode("latin-1").replace("\n", " ")
    return NotInEncoding(
        source,
        f"is not {encoding.upper()}",
        got=f"byte 0x{content[start]:02x} at offset {start}: {near!r} in Latin-1",
        at=f"{source}, line {line}",
        fix="name its encoding, for example read(path, encoding='latin-1'), or repair that line",
    )
