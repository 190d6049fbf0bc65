"""The code of the guide for contributors: each example does what the guide says of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import chainrule

TESTS = Path(__file__).parent
GUIDE = TESTS.parent / "docs" / "contributing.md"

PROGRAM = '''
import __future__
import importlib, sys
import numpy as np
import chainrule as cr

def added(text, module, *more):
    """The names of a module, once an example has been written at its end."""
    place = importlib.import_module("chainrule." + module)
    names = dict(vars(place))
    for name in more:
        source, _, taken = name.rpartition(":")
        found = importlib.import_module(source)
        names[taken] = getattr(found, taken) if taken else found
        names |= {} if taken else {source: found}
    exec(compile(text, module, "exec", __future__.annotations.compiler_flag), names)
    return names

op, case, loss, optimizer, column, command, row = sys.stdin.read().split("=====")
a, b = np.random.default_rng(0).normal(size=(2, 60, 2)).astype("float32")
x, t = cr.input("x", (2,)), cr.input("t", (2,))

maths = "chainrule.ops.transcendental"
logaddexp = added(op, "ops.bounds", maths + ":exp", maths + ":log1p")["logaddexp"]
y = logaddexp(x, t)
np.testing.assert_allclose(cr.Model(y).predict({"x": a, "t": b}), np.logaddexp(a, b), rtol=1e-5)
assert cr.check_gradients(cr.sum(y), {"x": a[:3], "t": b[:3]}).ok

importlib.import_module("chainrule.ops.bounds").logaddexp = logaddexp
rows = importlib.import_module("cases.elementwise")
(made,) = eval(case, vars(rows))
assert (made.name, made.function, made.ops) == ("logaddexp", logaddexp, ("logaddexp",))

log_cosh = added(loss, "nn.losses", "math:")["log_cosh"]
y = log_cosh(x, t)
want = np.log(np.cosh(a - b)).mean()
np.testing.assert_allclose(cr.run(y, {"x": a, "t": b}).value(y), want, rtol=1e-5)

Yogi = added(optimizer, "train.optim.adam", "chainrule.ops.bounds:sign")["Yogi"]
model = cr.Model(p := cr.dense(x, 2), cr.squared_error(p, t))
before = model.evaluate({"x": a, "t": a})["loss"]
model.fit({"x": a, "t": a}, optimizer=Yogi(), epochs=20, verbose=False)
assert model.evaluate({"x": a, "t": a})["loss"] < before / 2

added(column, "data.columns.columns", "re:")
answers = ["1 - no", "2 - maybe", "3 - yes"] * 20
table = {"answer": answers, "y": [float(answer[0]) + x for answer, x in zip(answers, a[:, 0])]}
model = cr.train(table, "y", kinds={"answer": "ordinal"}, loss="log_cosh", epochs=2, verbose=False)
assert {row.column: row.kind for row in model.schema.describe()}["answer"] == "ordinal"
model.save("m.safetensors")

assert added(row, "recipe.config")["clip_value"].default is None
names = added(command, "cli.command")
assert names["COMMAND"].name == "summary"
names["summary"]("m.safetensors", total=True)
'''


def test_every_example_works(tmp_path: Path) -> None:
    blocks = re.findall(r"^    ```py\n(.*?)^    ```$", GUIDE.read_text("utf-8"), re.M | re.S)
    source = Path(chainrule.__file__).parent.parent
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(source), str(TESTS)])}
    done = subprocess.run(
        [sys.executable, "program.py"], input="=====".join(map(textwrap.dedent, blocks)), text=True,
        capture_output=True, cwd=tmp_path, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"[\d,]+ parameters, .*B\n", done.stdout)
