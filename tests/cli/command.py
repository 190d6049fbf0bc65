"""Runs the command line as a user would: a process of its own, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import chainrule

SOURCE = str(Path(chainrule.__file__).parent.parent)


def environment(**more: str) -> dict[str, str]:
    """What a process gets: no colours, no width, no warnings that turn into errors."""
    kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    return {**kept, "PYTHONPATH": SOURCE, "PYTHONIOENCODING": "utf-8", **more}


def start(*arguments: str, cwd: Path, **more: str) -> subprocess.Popen[str]:
    """The command, running."""
    return subprocess.Popen(
        [sys.executable, "-m", "chainrule", *arguments], cwd=cwd, text=True, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(**more),
    )  # fmt: skip


def run(*arguments: str, cwd: Path, code: int = 0, **more: str) -> tuple[str, str]:
    """The command's output and error texts, once it has ended with that code."""
    with start(*arguments, cwd=cwd, **more) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == code, f"{process.returncode}\n{out}\n{err}"
    assert "Traceback" not in out + err
    return out, err


def houses(path: Path, rows: int = 240, seed: int = 5) -> Path:
    """A regression table: price from size, age and town, with an id, gaps and a date."""
    random = np.random.default_rng(seed)
    size, age = random.uniform(40, 200, rows), random.integers(0, 90, rows)
    town = random.choice(["Ulm", "Bonn", "Köln"], rows)
    price = 3000 * size - 500 * age + 9000 * (town == "Köln") + random.normal(0, 3000, rows)
    lines = ["id,size,age,town,sold,price"]
    for k in range(rows):
        shown = "" if k % 17 == 3 else f"{size[k]:.1f}"
        day = f"20{20 + k % 4}-0{1 + k % 9}-1{k % 10}"
        lines.append(f"H{k:04d},{shown},{age[k]},{town[k]},{day},{price[k]:.0f}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
