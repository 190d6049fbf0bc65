"""`chainrule devices`, and `--device` on the command line."""

from __future__ import annotations

import re
from pathlib import Path

from command import houses, run

from backend.opencl import device

OPTIONS = ("--target", "price", "--epochs", "1", "--rate", "0.001")


def test_devices_are_listed_and_auto_says_why_it_takes_the_processor(tmp_path: Path) -> None:
    """One after the other, as the speeds are measured once."""
    here, kept = device(), {"CHAINRULE_CODE_CACHE": "on", "CHAINRULE_CACHE": str(tmp_path / "kept")}
    out, _ = run("devices", cwd=tmp_path, **kept)
    assert re.search(rf"^  cpu .*\n\n +{here.word}  {here.name}, a processor$", out, re.MULTILINE)
    assert re.search(r"speed +\S+ us a kernel, \S+ GFLOP/s in products, \S+ GB/s", out)
    ran = out[out.index("What the drivers have run on") :]
    assert re.search(r"opencl  its tests run on a processor \(PoCL\); it has not been run on", ran)
    assert re.search(r"cuda +NVRTC compiles its kernels in the tests; it has not been run", ran)
    assert "CUDA" in out[out.index("Cannot be used") :]
    houses(tmp_path / "houses.csv", rows=60)
    _, progress = run("train", "houses.csv", *OPTIONS, "--device", "auto", cwd=tmp_path, **kept)
    line = rf"device cpu: \S+ .?s a step; {here.word}, a processor: \S+ .?s predicted"
    assert re.search(line, progress)
    _, told = run("predict", "houses-model", "houses.csv", "-o", "p.csv", "--device", "auto",
                  cwd=tmp_path, **kept)  # fmt: skip
    assert re.search(rf"device cpu: \S+ .?s a pass; {here.word}, a processor:",
                     " ".join(told.split()))  # fmt: skip
    houses(tmp_path / "more.csv", rows=20)
    _, told = run("train", "more.csv", *OPTIONS, "--device", "opencl:no such", cwd=tmp_path, code=1)
    assert "  fix       --device opencl:0, or --device cpu" in told
    assert not (tmp_path / "more-model").exists()
