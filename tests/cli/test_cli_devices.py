"""`chainrule devices`, and `--device` on the command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command import houses, run

from backend.opencl import device

OPTIONS = ("--target", "price", "--epochs", "1", "--rate", "0.001")


def test_devices_are_listed_with_speeds_and_what_they_have_run_on(tmp_path: Path) -> None:
    here = device()
    out, _ = run("devices", cwd=tmp_path)
    assert re.search(rf"^  cpu .*\n\n +{here.word}  {here.name}, a processor$", out, re.MULTILINE)
    assert re.search(r"speed +\S+ us a kernel, \S+ GFLOP/s in products, \S+ GB/s", out)
    ran = out[out.index("What the drivers have run on") :]
    assert re.search(r"opencl  its tests run on a processor \(PoCL\); it has not been run on", ran)
    assert re.search(r"cuda +NVRTC compiles its kernels in the tests; it has not been run", ran)
    assert "CUDA" in out[out.index("Cannot be used") :]


def test_auto_says_why_it_takes_the_processor(tmp_path: Path) -> None:
    here = device()
    houses(tmp_path / "houses.csv")
    _, progress = run("train", "houses.csv", *OPTIONS, "--device", "auto", cwd=tmp_path)
    line = rf"device cpu: \S+ us a step; {here.word}, a processor: \S+ .?s predicted"
    assert re.search(line, progress)
    _, told = run("predict", "houses-model", "houses.csv", "-o", "p.csv", "--device", "auto",
                  cwd=tmp_path)  # fmt: skip
    assert re.search(
        rf"device cpu: \S+ .?s a pass; {here.word}, a processor:", " ".join(told.split())
    )


@pytest.mark.parametrize("word", ["gpu:1", "opencl:no such", "GPU"])
def test_a_device_that_is_not_there_says_what_to_type(tmp_path: Path, word: str) -> None:
    device()
    houses(tmp_path / "houses.csv", rows=20)
    _, told = run("train", "houses.csv", *OPTIONS, "--device", word, cwd=tmp_path, code=1)
    fix = next(x for x in told.splitlines() if x.startswith("  fix"))
    assert "--device cpu" in fix or "`chainrule devices`" in fix
    assert [x.name for x in tmp_path.iterdir()] == ["houses.csv"]
