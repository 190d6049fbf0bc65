"""The model file: the same bits back, and no damage or malice that gets further than an error."""

from __future__ import annotations

import io
import os
import pickle
import random
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import chainrule as cr
from chainrule.errors import ModelFileError
from chainrule.graph import Graph
from chainrule.model import file as modelfile
from chainrule.model import safetensors as safetensor
from chainrule.model.file import read, write
from chainrule.model.saved import Saved
from mutations import compact, forged, parts, sealed

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs signals and links")

CONTRACT = {
    "columns": [{"name": "größe [m²]", "mean": 0.1, "levels": ("a", None)}],
    "quantiles": np.linspace(0, 1, 33),
    "$odd": [float("nan"), float("-inf"), -0.0],
}


def small(fill: float = 0.5) -> Saved:
    """Two parameters, a dropout, a large constant; everything that a file can hold."""
    x = cr.input("x", (20,))
    h = cr.dropout(x + np.arange(20, dtype=np.float32), 0.5)
    w = cr.parameter("w", cr.init.HeNormal(), (20, 2))
    y = (h @ w + cr.parameter("b", [0.0, 1.0], trainable=False)).named("y")
    return Saved(
        graph=Graph([y, cr.mean(y * y).named("loss")]),
        outputs=("y",),
        loss="loss",
        values={
            "w": np.full((20, 2), fill, np.float32),
            "b": np.array([0x7FC00123, 0x80000000], np.uint32).view(np.float32),
        },
        optimizer={"name": "adam", "rate": 1e-3, "betas": (0.9, 0.999)},
        state={"w.m": np.full((20, 2), 1e-40, np.float32), "count": np.array(3, np.int64)},
        steps=3,
        seed=2**63 + 5,
        contract=CONTRACT,
        history={"loss": [1.0, float("nan")]},
        notes={"single": True},
    )


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    write(path, small())
    return path.read_bytes()


@pytest.fixture
def reading(tmp_path) -> Callable[[bytes], Saved]:
    def reading_bytes(content: bytes) -> Saved:
        path = tmp_path / "m.safetensors"
        path.write_bytes(content)
        return read(path)

    return reading_bytes


def refused(reading: Callable[[bytes], Saved], content: bytes, match: str | None = None) -> str:
    with pytest.raises(ModelFileError, match=match) as caught:
        reading(content)
    text = str(caught.value)
    assert "m.safetensors" in text
    assert len(text) < 2000  # the path among it
    assert caught.value.__cause__ is None
    return text


def assert_same(a: Saved, b: Saved) -> None:
    assert cr.listing(a.graph, sources=True) == cr.listing(b.graph, sources=True)
    for mine, other in ((a.values, b.values), (a.state, b.state)):
        assert mine.keys() == other.keys()
        for name, array in mine.items():
            assert (array.dtype, array.shape) == (other[name].dtype, other[name].shape)
            assert array.tobytes() == other[name].tobytes()
    for field in ("outputs", "loss", "optimizer", "steps", "seed", "notes"):
        assert getattr(a, field) == getattr(b, field)
    assert repr(a.history) == repr(b.history)
    assert repr(a.contract) == repr(b.contract)


# ---------------------------------------------------------------- round trips


def test_everything_comes_back_the_same(tmp_path):
    path = tmp_path / "m.safetensors"
    write(path, small())
    again = read(path)
    assert_same(small(), again)
    assert again.versions["numpy"] == np.__version__
    assert sorted(os.listdir(tmp_path)) == ["m.safetensors"]


def test_equal_models_make_equal_bytes_and_so_does_a_second_round(tmp_path, content):
    path = tmp_path / "m.safetensors"
    write(path, small())
    lines = [x.source for x in small().graph]
    assert lines == [x.source for x in read(path).graph]
    assert path.read_bytes() == content
    write(path, read(path))
    assert path.read_bytes() == content


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_pattern_of_bits_comes_back(tmp_path, dtype):
    kind = np.dtype(dtype)
    raw = np.random.default_rng(0).bytes(kind.itemsize * 997)
    odd = np.frombuffer(raw, dtype)
    saved = Saved(Graph(cr.parameter("w", odd, dtype=dtype)), ("w",), None, {"w": odd})
    write(tmp_path / "m", saved)
    again = read(tmp_path / "m")
    assert again.values["w"].tobytes() == raw
    assert again.graph.parameters[0].initial.tobytes() == raw


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint32", "bool", "float32", "float64"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (5, 7)])
def test_every_dtype_and_shape_of_state(tmp_path, dtype, shape):
    array = np.random.default_rng(1).integers(0, 2, shape).astype(dtype)
    saved = Saved(Graph(cr.input("x")), ("x",), None, {}, state={"s": array})
    write(tmp_path / "m", saved)
    again = read(tmp_path / "m").state["s"]
    assert (again.dtype, again.shape, again.tobytes()) == (array.dtype, shape, array.tobytes())


def test_views_in_any_order_are_written_as_what_they_show(tmp_path):
    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    view = base[::-1, ::2].T
    saved = Saved(Graph(cr.parameter("w", view)), ("w",), None, {"w": view})
    write(tmp_path / "m", saved)
    assert read(tmp_path / "m").values["w"].tolist() == view.tolist()


def test_arrays_that_were_read_can_be_written_to(content, reading):
    again = reading(content)
    again.values["w"][0] = 7
    assert again.values["w"][0].tolist() == [7, 7]
    assert again.values["w"][1].tolist() == [0.5, 0.5]
    with pytest.raises(ValueError, match="read-only"):
        again.graph["constant"].attributes["value"][0] = 1


def test_it_is_an_ordinary_safetensors_file(content):
    arrays = safetensors.numpy.load(content)
    assert arrays["parameters/w"].tolist() == [[0.5, 0.5]] * 20
    assert sorted(arrays) == [
        "extra/contract.quantiles", "graph/constant.value", "optimizer/count", "optimizer/w.m",
        "parameters/b", "parameters/w",
    ]  # fmt: skip


def test_a_model_without_anything(tmp_path):
    write(tmp_path / "m", Saved(Graph(cr.input("x")), ("x",), None, {}))
    again = read(tmp_path / "m")
    assert (again.values, again.optimizer, again.contract, again.steps) == ({}, None, None, 0)


def test_odd_names_come_back(tmp_path):
    names = ["größe/[m²]\n'\"", "__metadata__", "a.b", "parameters/w"]
    nodes = [cr.parameter(name, [float(k)]) for k, name in enumerate(names)]
    values = {name: np.array([float(k)], np.float32) for k, name in enumerate(names)}
    write(tmp_path / "m", Saved(Graph(nodes), (), None, values))
    again = read(tmp_path / "m").values
    assert {name: float(x[0]) for name, x in again.items()} == dict(
        zip(names, range(4), strict=True)
    )


@pytest.mark.parametrize("bound", [2**53, 1e19, 1e38, 1e300])
def test_bounds_of_any_size_come_back(tmp_path, bound):
    x = cr.input("x", (), "float64")
    path = tmp_path / "m.safetensors"
    cr.Model(cr.clip(x, -bound, bound)).save(path)
    far = np.array([-np.inf, 1.5, np.inf])
    assert cr.load(path).predict({"x": far}).tolist() == [-bound, 1.5, bound]


def test_a_file_from_before_is_still_read():
    """A file of format 1, kept in the tests: whoever changes the format sees it here."""
    again = read(Path(__file__).parents[1] / "golden" / "format1.safetensors")
    assert cr.listing(again.graph) == cr.listing(small().graph)
    assert again.values["w"].tolist() == [[0.5, 0.5]] * 20
    assert repr(again.contract) == repr(CONTRACT)


# ---------------------------------------------------------------- damage


def test_cut_at_every_length(content, tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    for length in reversed(range(len(content))):
        os.truncate(path, length)
        refused(lambda _: read(path), b"")


def test_every_byte_flipped(content, tmp_path):
    path = tmp_path / "m.safetensors"
    with open(path, "wb", buffering=0) as file:
        file.write(content)
        for place, byte in enumerate(content):
            for mask in (0x01, 0x20, 0x80, 0xFF, byte ^ 0x20, byte ^ 0x30):
                if mask:
                    os.pwrite(file.fileno(), bytes([byte ^ mask]), place)
                    with pytest.raises(ModelFileError):
                        read(path)
            os.pwrite(file.fileno(), bytes([byte]), place)
    assert_same(read(path), small())


def test_bytes_added_or_swapped(content, reading):
    generator = random.Random(0)
    for extra in (b"\0", b" ", b"\0" * 8, content):
        refused(reading, content + extra)
        refused(reading, extra + content)
    for _ in range(200):
        a, b = sorted(generator.sample(range(len(content)), 2))
        swapped = bytearray(content)
        swapped[a:b] = swapped[a:b][::-1]
        if bytes(swapped) != content:
            refused(reading, bytes(swapped))


def test_damage_is_reported_as_damage(content, reading):
    flipped = content[:-1] + bytes([content[-1] ^ 1])
    assert "damaged or was cut short" in refused(reading, flipped)
    assert "damaged or was cut short" in refused(reading, content[: len(content) // 2])
    assert "copy or download it again" in refused(reading, content[:-1])


def test_garbage(reading):
    generator = random.Random(1)
    for size in (*range(40), 100, 1000, 5000):
        garbage = generator.randbytes(size)
        refused(reading, garbage)
        refused(reading, struct.pack("<Q", size) + garbage)
        refused(reading, struct.pack("<Q", 2**63) + garbage)


# ---------------------------------------------------------------- files of others


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        member = zipfile.ZipInfo("archive/data.pkl")  # of 1980, so tests keep their names
        archive.writestr(member, "x")
    return buffer.getvalue()


class Evil:
    def __reduce__(self):
        return os.mkdir, ("opened",)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "an empty file"),
        (b"species,island\nAdelie,Dream\n", "text, beginning with 'species,island"),
        ("Größe;Gewicht\n".encode() * 50, "text, beginning with 'Größe"),
        (b'{"nodes": []}', "JSON, beginning with"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (pickle.dumps(Evil()), "a pickle, which could run code"),
        (zipped(), "a zip archive, as PyTorch"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 50, "an HDF5 file, as Keras"),
        (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\x00", "an ONNX model"),
        (b"\x93NUMPY\x01\x00v\x00{'descr'", "a NumPy array"),
        (b"PAR1\x15\x04", "a Parquet table"),
        (b"GGUF\x03\x00\x00\x00", "a GGUF model"),
        (b"\x1f\x8b\x08\x00", "a gzip archive"),
        (safetensors.numpy.save({"a": np.zeros(3)}), "a safetensors file of another program"),
        (safetensors.numpy.save({}, {"chainrule": "{}"}), "a safetensors file of another program"),
        (safetensors.numpy.save({"a": np.zeros(3)})[:30], "a safetensors file that was cut short"),
        (bytes(range(128, 256)), "bytes of no known kind, beginning with 80 81"),
        (b"\0" * 5, "bytes of no known kind"),
        (b"\x80", "bytes of no known kind"),
    ],
)
def test_files_of_other_programs_are_recognised(tmp_path, monkeypatch, content, match, reading):
    monkeypatch.chdir(tmp_path)
    assert "this is not a model file" in refused(reading, content, match)
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: os.mkfifo(path), lambda path: None])
def test_what_is_not_a_file(tmp_path, make):
    if sys.platform == "win32":
        pytest.skip("needs pipes")
    make(tmp_path / "m")
    with pytest.raises(ModelFileError, match=r"\[load\] .*(folder|ordinary file|cannot be read)"):
        read(tmp_path / "m")


def test_a_file_of_a_newer_version(content, reading):
    newer = content.replace(b'\\"format\\":1', b'\\"format\\":9', 1)
    text = refused(reading, newer, "newer version")
    assert "format 9" in text
    assert "pip install --upgrade chainrule" in text


# ---------------------------------------------------------------- malice: checksums are right


def test_forging_without_a_change_is_read(content, reading):
    assert_same(reading(forged(*parts(content))), small())


def tensor(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda header: header["parameters/w"].update(changes)


def rename(old: str, new: str) -> Callable[[dict[str, Any]], None]:
    def change(header: dict[str, Any]) -> None:
        header[new] = header.pop(old)

    return change


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (tensor(dtype="F64"), "wrong offsets"),
        (tensor(dtype="I32"), "another type"),
        (tensor(dtype="BF16"), "BF16"),
        (tensor(dtype=3), "dtype"),
        (tensor(shape=[2, 20]), r"another type[\s\S]*float32\(20, 2\)[\s\S]*float32\(2, 20\)"),
        (tensor(shape=[40]), "another type"),
        (tensor(shape=[10**9, 10**9]), "wrong offsets"),
        (tensor(shape=[10**18, 0]), "wrong offsets"),
        (tensor(shape=[-20, -2]), "shape"),
        (tensor(shape=[20.0, 2]), "shape"),
        (tensor(shape=[1] * 40 + [20, 2]), "shape"),
        (tensor(shape="20"), "shape"),
        (tensor(data_offsets=[0, 160]), "wrong offsets"),
        (tensor(data_offsets=[0, 2**62]), "data_offsets"),
        (tensor(data_offsets=[-160, 0]), "data_offsets"),
        (tensor(data_offsets=[0]), "data_offsets"),
        (tensor(data_offsets=[10**30, 10**30 + 160]), "data_offsets"),
        (tensor(more=1), "more"),
        (lambda header: header.pop("parameters/w"), "wrong offsets|fill the file"),
        (lambda header: header["parameters/w"].pop("shape"), "shape"),
        (rename("parameters/w", "parameters/v"), r"not those of the graph[\s\S]*of w[\s\S]*of v"),
        (rename("parameters/w", "optimizer/w"), r"not those of the graph[\s\S]*value of w"),
        (rename("optimizer/w.m", "parameters/w.m"), r"not those of the graph[\s\S]*w\.m"),
        (rename("optimizer/w.m", "evil/w.m"), r"does not belong to a model[\s\S]*evil"),
        (rename("optimizer/w.m", "w.m"), "does not belong to a model"),
        (rename("graph/constant.value", "graph/other"), "array is missing"),
        (rename("optimizer/w.m", "graph/other"), "nothing refers to"),
        (rename("optimizer/w.m", "extra/other"), "settings"),
        (lambda header: header["__metadata__"].update(more="1"), "other metadata"),
        (lambda header: header["__metadata__"].update(more=1), "header"),
        (lambda header: header.update(x=3), "header"),
        (lambda header: header["optimizer/count"].update(dtype="U32", shape=[2]), None),
    ],
)
def test_forged_headers(content, reading, change, match):
    header, document, data = parts(content)
    change(header)
    forgery = forged(header, document, data)
    if match is None:  # the optimizer's arrays are its own affair
        assert reading(forgery).state["count"].tolist() == [3, 0]
    else:
        refused(reading, forgery, match)


def test_tensors_that_overlap_or_leave_gaps(content, reading):
    header, document, data = parts(content)
    names = [name for name in header if name != "__metadata__"]
    for name in names:
        begin, end = header[name]["data_offsets"]
        for shift in (-1, 1, 8, -begin or 16):
            changed = header | {name: header[name] | {"data_offsets": [begin + shift, end + shift]}}
            refused(reading, forged(changed, document, data))
    refused(reading, forged(header, document, data + b"\0"), "fill the file")
    refused(reading, forged(header, document, data[:-1]), "fill the file|in its place")


def test_booleans_are_0_or_1(tmp_path, reading):
    saved = Saved(Graph(cr.input("x")), ("x",), None, {}, state={"s": np.ones(8, bool)})
    write(tmp_path / "b", saved)
    header, document, data = parts((tmp_path / "b").read_bytes())
    assert data == b"\1" * 8
    refused(reading, forged(header, document, data[:-1] + b"\2"), "neither 0 nor 1")


@pytest.mark.parametrize(
    ("path", "value", "match"),
    [
        (("format",), 1.5, "newer|not a model file"),
        (("format",), 0, "an unknown format"),
        (("versions",), [], "versions"),
        (("versions",), {"chainrule": 3}, "versions"),
        (("outputs",), ["z"], "'z'"),
        (("outputs",), ["matmul"], "not an output"),
        (("outputs",), "y", "outputs"),
        (("loss",), "z", "'z'"),
        (("loss",), "y", "a loss is a scalar"),
        (("loss",), 3, "loss"),
        (("steps",), -1, "counted from 0"),
        (("steps",), 1.5, "steps"),
        (("steps",), True, "steps"),
        (("extra", "seed"), "5", "settings"),
        (("extra", "seed"), 2**70, "64 bits"),
        (("extra", "notes"), None, "settings"),
        (("extra", "notes"), {"$tuple": []}, "settings"),
        (("extra", "history"), [], "settings"),
        (("extra", "more"), 1, "settings"),
        (("extra", "contract"), {"a": {"$stored": "nothing"}}, "array is missing"),
        (("extra", "contract"), None, "settings"),
        (("extra",), [], "extra"),
        (("more",), 1, "more"),
        (("graph",), None, "graph"),
        (("graph", "nodes"), [], "outputs|array|order"),
        (("graph", "nodes", 0, "shape"), [10**9] * 5, "too large"),
        (("graph", "nodes", 1, "dtype"), "float16", r"unknown dtype[\s\S]*written by chainrule"),
        (("graph", "nodes", 4, "operands"), ["y"], "precede"),
        (("graph", "nodes", 4, "op"), "__import__", "unknown op '__import__'"),
    ],
)
def test_forged_documents(content, reading, path, value, match):
    header, document, data = parts(content)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    refused(reading, forged(header, document, data), match)


def test_every_missing_part_is_refused(content, reading):
    header, document, data = parts(content)
    for part, within in ((document, None), (document["extra"], "extra")):
        for key in [k for k in part if k not in ("format", "sha256")]:
            kept = {k: v for k, v in part.items() if k != key}
            changed = kept if within is None else document | {within: kept}
            refused(reading, forged(header, changed, data))


START = '{"format":1,"sha256":"' + "0" * 64 + '",'


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (START + '"a":' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deep"),
        (START + '"a":' + '{"b":' * 900 + "1" + "}" * 900 + "}", "document|deep"),
        (START + '"steps":1,"steps":2}', "twice"),
        (START + '"a":{"b":1,"b":2}}', "twice"),
        (START + '"a":NaN}', "NaN is not JSON"),
        (START + '"a":-Infinity}', "Infinity is not JSON"),
        (START + '"a":1' + "0" * 10_000 + "}", "not JSON"),
        (START + '"a":1e999}', "document"),
        (START + '"a":1', "not JSON"),
        (START + '"a":1} {}', "not JSON"),
        (START[:-1] + "}", "document"),
        (START + '"a":[' + "0," * (safetensor.MAX_VALUES + 1) + "0]}", "too many values"),
    ],
    ids=range(12),
)
def test_json_beyond_reason(content, reading, text, match):
    header, _, data = parts(content)
    refused(reading, forged(header, text, data), match)


def test_headers_beyond_reason(content, reading):
    header, _, data = parts(content)
    plain = compact(header)
    assert_same(reading(sealed(plain.encode(), data)), small())
    for broken in (
        plain[:-1],
        plain + "x",
        plain[:-1] + ',"x":' + "[" * 100_000 + "]" * 100_000 + "}",
        plain[:-1] + ',"__metadata__":{}}',
        plain[:-1] + "," + compact({"parameters/w": header["parameters/w"]})[1:],
        plain[:-1] + ',"x":NaN}',
    ):
        refused(reading, sealed(broken.encode(), data))
    refused(reading, sealed(plain.encode()[:-1] + b',"\xff":1}', data), "not JSON")


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**40, 2**63 - 1, 2**64 - 1])
def test_a_header_length_that_is_not_true(content, reading, length):
    forgery = bytearray(content)
    forgery[:8] = struct.pack("<Q", length)
    refused(reading, bytes(forgery))


def test_text_from_a_file_cannot_steer_the_terminal(content, reading):
    header, document, data = parts(content)
    document["graph"]["nodes"][1]["op"] = "\x1b[2J\x07"
    document["versions"]["chainrule"] = "\x1b]0;title\x07"
    text = refused(reading, forged(header, document, data))
    assert "\x1b" not in text
    assert "\x07" not in text


def test_a_file_that_shrinks_while_it_is_read(content, tmp_path, monkeypatch):
    path = tmp_path / "m"
    path.write_bytes(content)
    real = os.fstat

    def shrinking(descriptor):
        found = real(descriptor)
        os.truncate(path, 900)
        return found

    monkeypatch.setattr(modelfile.os, "fstat", shrinking)
    with pytest.raises(ModelFileError, match="fewer bytes"):
        read(path)


# ---------------------------------------------------------------- writing that fails


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"values": {}}, "a value of w, b"),
        ({"values": small().values | {"z": np.zeros(1)}}, r"not those of[\s\S]*z"),
        ({"values": small().values | {"w": np.zeros((20, 2))}}, r"'w'[\s\S]*float64\(20, 2\)"),
        ({"values": small().values | {"w": np.zeros((2, 20), np.float32)}}, r"\(2, 20\)"),
        ({"state": {"s": np.zeros(2, np.complex64)}}, "'s' has a type that cannot be saved"),
        ({"state": {"\ud800": np.zeros(2)}}, "Unicode"),
        ({"outputs": ("z",)}, "'z'"),
        ({"outputs": ("matmul",)}, "not an output"),
        ({"loss": "y"}, "a loss is a scalar"),
        ({"steps": -1}, "counted from 0"),
        ({"contract": {"columns": [{"levels": {1, 2}}]}}, r"contract\.columns\[0\]\.levels"),
        ({"notes": {"f": print}}, r"notes\.f"),
        ({"seed": 2**64}, "64 bits"),
        ({"notes": {"a": [0] * 2000}}, "too many values"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_disk_is_touched(
    tmp_path, monkeypatch, changes, match
):
    monkeypatch.setattr(safetensor, "MAX_VALUES", 2000)
    path = tmp_path / "m"
    path.write_text("old")
    saved = Saved(**{**vars(small()), **changes})
    with pytest.raises(ModelFileError, match=match):
        write(path, saved)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["m"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(),
                                   safetensors.SafetensorError("I/O (os error 28)")])  # fmt: skip
def test_an_error_while_writing_leaves_the_old_file(tmp_path, monkeypatch, error):
    path = tmp_path / "m"
    path.write_text("old")

    def fails(arrays, file, metadata):
        Path(file).write_bytes(b"half")
        raise error

    monkeypatch.setattr(safetensors.numpy, "save_file", fails)
    kind = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else ModelFileError
    with pytest.raises(kind) as caught:
        write(path, small())
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["m"]
    if kind is ModelFileError:
        assert "free some space" in str(caught.value)


@posix
def test_a_full_disk(tmp_path):
    """A limit on the size of files stands for a disk that is full."""
    (tmp_path / "m").write_text("old")
    script = (
        "import resource, signal, sys, numpy as np, chainrule as cr\n"
        "from chainrule.model.file import write\n"
        "from chainrule.model.saved import Saved\n"
        "big = np.zeros(100_000, np.float32)\n"
        "saved = Saved(cr.Graph(cr.parameter('w', big)), ('w',), None, {'w': big})\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "try: write(sys.argv[1], saved)\n"
        "except cr.errors.ModelFileError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "m")], capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert "[save] the file cannot be written" in done.stdout
    assert "File too large" in done.stdout
    assert (tmp_path / "m").read_text() == "old"
    assert os.listdir(tmp_path) == ["m"]


def test_places_where_no_file_can_be(tmp_path):
    (tmp_path / "file").write_text("x")
    for path, match in (
        (tmp_path, r"this is a folder[\s\S]*model\.safetensors"),
        (tmp_path / "no" / "m", "no such folder"),
        (tmp_path / "file" / "m", "no such folder"),
        (tmp_path / ("n" * 300), "cannot be written"),
    ):
        with pytest.raises(ModelFileError, match=match):
            write(path, small())
    assert os.listdir(tmp_path) == ["file"]


@posix
def test_devices_and_links(tmp_path, content):
    with pytest.raises(ModelFileError, match="not an ordinary file"):
        write("/dev/null", small())
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link", small())
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == content
    assert_same(read(tmp_path / "link"), small())
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for use in (lambda: write(tmp_path / "loop", small()), lambda: read(tmp_path / "loop")):
        with pytest.raises(ModelFileError):
            use()


@posix
def test_a_read_only_file_is_left_alone(tmp_path, monkeypatch):
    path = tmp_path / "m"
    path.write_text("old")
    path.chmod(0o444)
    if os.geteuid() == 0:  # to whom everything can be written
        monkeypatch.setattr(modelfile.os, "access", lambda path, mode: False)
    with pytest.raises(ModelFileError, match="read-only"):
        write(path, small())
    assert path.read_text() == "old"


LOOP = """
import itertools, sys, numpy as np, chainrule as cr
from chainrule.model.file import write
from chainrule.model.saved import Saved
node = cr.parameter("w", cr.init.Zeros(), (300_000,))
print("ready", flush=True)
for k in itertools.count():
    values = {"w": np.full(300_000, k % 97, np.float32)}
    write(sys.argv[1], Saved(cr.Graph(node), ("w",), None, values, steps=k % 97))
    print(k, flush=True)
"""


@posix
def test_killed_again_and_again_while_writing(tmp_path):
    path, generator = tmp_path / "m.safetensors", random.Random(2)
    for _ in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", LOOP, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(generator.uniform(0, 0.05))
        child.kill()
        child.communicate()
        assert child.returncode == -9
        found = read(path)
        assert (found.values["w"] == found.steps).all()
        assert os.listdir(tmp_path) == ["m.safetensors"]  # reading removed what was left
    write(path, small())
    assert os.listdir(tmp_path) == ["m.safetensors"]
    assert_same(read(path), small())


def test_the_file_in_a_folder_is_named(tmp_path):
    with pytest.raises(ModelFileError, match="name the file in it"):
        cr.load(tmp_path)
    (tmp_path / "a.txt").touch()
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ModelFileError, match=r"fix +load\('.*model\.safetensors'\)"):
        cr.load(tmp_path)
