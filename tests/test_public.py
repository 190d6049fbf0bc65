"""The public names, and what the public interface tells of names and calls that do not exist."""

from __future__ import annotations

import ast
import importlib
import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import CallError, ChainruleError, UnknownName, nearest
from chainrule.system.calls import own_names, telling


def callables() -> Iterator[tuple[str, Callable[..., Any]]]:
    """All public functions, classes and methods, by name."""
    places: list[tuple[str, Any]] = [(name, getattr(cr, name)) for name in cr.__all__]
    modules = [(name, x) for name, x in places if isinstance(x, ModuleType)]
    places += [(f"{name}.{y}", getattr(x, y)) for name, x in modules for y in own_names(x)]
    for name, x in places:
        error = inspect.isclass(x) and issubclass(x, (Exception, tuple))
        if error or not callable(x) or not getattr(x, "__module__", "").startswith("chainrule"):
            continue
        yield name, x
        parts = x.__mro__ if inspect.isclass(x) else ()
        for method, function in {m: f for part in parts for m, f in vars(part).items()}.items():
            if not inspect.isfunction(function) or method.startswith("_"):
                continue
            if method in vars(x) or function.__qualname__ == f"{x.__qualname__}.{method}":
                yield f"{name}.{method}", function


NOT_CALLED = {"Callback", "data.Schema", "init.Start", "metrics.plain_name"}
"""Classes that a user derives from or is given, and a function whose results are cached."""

CALLABLES = {name: x for name, x in callables() if name not in NOT_CALLED}


def test_dir_shows_the_public_names_alone() -> None:
    assert dir(cr) == sorted([*cr.__all__, "__version__"])
    shown = {name: getattr(cr, name) for name in cr.__all__}
    modules = {name for name, x in shown.items() if isinstance(x, ModuleType)}
    assert modules == {"data", "errors", "init", "layer", "metrics", "schedules"}
    assert {"train", "Model", "relu", "MLPClassifier", "N"} < set(shown)
    assert not {"autodiff", "ops", "nn", "engine", "system", "annotations"} & set(shown)
    assert not [name for name in shown if name.startswith("_")]
    code = "from chainrule import *; print(train.__name__, 'Any' in dir(), 'autodiff' in dir())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["train", "False", "False"]


STUB = Path(cr.__file__).with_name("__init__.pyi")


def test_the_stub_says_where_each_name_is_from() -> None:
    lines = ast.parse(STUB.read_text("utf-8")).body[1:]
    assert all(isinstance(line, ast.ImportFrom) for line in lines)
    listed = [
        (x.module, alias) for x in lines if isinstance(x, ast.ImportFrom) for alias in x.names
    ]
    assert all(alias.name == alias.asname for _, alias in listed)  # else it is not re-exported
    assert sorted(alias.name for _, alias in listed) == dir(cr)
    for module, alias in listed:
        held = vars(importlib.import_module(str(module)))[alias.name]
        assert inspect.unwrap(getattr(cr, alias.name)) is inspect.unwrap(held), alias.name


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("print('recipe' in dir(cr), any('chainrule.recipe' in x for x in sys.modules))", "False"),
        ("print(cr.train.__module__, cr.train.__module__ in sys.modules)", "recipe.trained True"),
        ("import chainrule.train.loop; print(cr.train.__name__)", "train"),
        ("from chainrule import train, data; print(train.__name__, data.__name__)", "train"),
        (
            "from chainrule import *; print(len(cr.__all__) - len(set(cr.__all__) & {*globals()}))",
            "0",
        ),
        ("cr.data.raed", "did you mean 'read'?"),
        ("from chainrule.data import reed", "cannot import name 'reed'"),
        ("cr.errors.ShapeEror", "did you mean 'ShapeError'?"),
        ("cr.metrics.acuracy", "did you mean 'accuracy'?"),
        ("cr.Model(cr.input('x', (2,))).history.plot(widht=3)", "did you mean 'width'?"),
        ("cr.run(cr.input('x', (2,)) * 2, {'x': [[1, 2]]}).steps(digit=3)", "mean 'digits'?"),
        ("cr.input('x', (2,)).sum(axes=1)", "did you mean 'axis'?"),
        ("pickle.loads(pickle.dumps(cr.Adam(0.1))).to_dict(3)", "by position"),
        ("print(pickle.loads(pickle.dumps(cr.compare)) is cr.compare)", "True"),
        ("print(copy.deepcopy(cr.schedules.Cosine(0.1)) == cr.schedules.Cosine(0.1))", "True"),
    ],
)
def test_a_new_process_loads_names_when_they_are_used(code: str, shown: str) -> None:
    program = f"import copy, pickle, sys\nimport chainrule as cr\n{code}"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert shown in (told.stdout or told.stderr)


@pytest.mark.parametrize("name", CALLABLES)
def test_a_misspelt_argument_is_told_everywhere(name: str) -> None:
    function = CALLABLES[name]
    kinds = {x.kind for x in inspect.signature(function).parameters.values()}
    if inspect.Parameter.VAR_KEYWORD in kinds:
        pytest.skip("takes all names: settings, which it checks by itself")
    with pytest.raises(ChainruleError) as raised:
        function(no_such_argument=1)
    assert "there is no argument 'no_such_argument'" in str(raised.value)
    assert isinstance(raised.value, TypeError)


def test_nearly_all_of_the_interface_is_tried() -> None:
    assert len(CALLABLES) > 250
    assert {
        "SGD",
        "Model.fit",
        "relu",
        "MLPClassifier.fit",
        "metrics.accuracy",
        "init.Normal",
        "data.read",
    } < set(CALLABLES)


@pytest.mark.parametrize(
    ("where", "name", "meant"),
    [
        (cr, "sigmod", "sigmoid"),
        (cr, "ReLU", "relu"),
        (cr, "Dense", "dense"),
        (cr, "Linear", "dense"),
        (cr, "MSELoss", "squared_error"),
        (cr, "mse", "squared_error"),
        (cr, "MLPClasifier", "MLPClassifier"),
        (cr, "Adamw", "AdamW"),
        (cr.metrics, "acuracy", "accuracy"),
        (cr.schedules, "cosine", "Cosine"),
        (cr.init, "glorot_unifrom", "glorot_uniform"),
        (cr.layer, "Dropout", "dropout"),
        (cr.errors, "ShapeEror", "ShapeError"),
        (cr.data, "raed", "read"),
    ],
)
def test_a_misspelt_name_gets_the_nearest(where: Any, name: str, meant: str) -> None:
    if meant not in own_names(where):
        meant = nearest(name, own_names(where)) or ""
    with pytest.raises(UnknownName, match=f"did you mean '{meant}'"):
        getattr(where, name)
    assert not hasattr(where, name)
    assert hasattr(where, meant)


def test_a_name_like_no_other_points_to_the_list() -> None:
    with pytest.raises(AttributeError, match=r"there is no 'qwxyz'\n.*dir\(chainrule\) lists"):
        cr.qwxyz  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute '_private'"):
        cr._private  # noqa: B018


X, Y = np.zeros((8, 2)), np.zeros((8, 1))


def model() -> Any:
    x, y = cr.input("x", (2,)), cr.input("y", (1,))
    z = cr.dense(x, 1)
    return cr.Model(z, cr.squared_error(z, y))


@pytest.mark.parametrize(
    ("call", "what", "fix"),
    [
        (lambda: cr.SGD(lr=0.1), "no argument 'lr'", "did you mean 'rate'?"),
        (lambda: cr.Adam(1e-3, eps=1), "no argument 'eps'", "did you mean 'epsilon'?"),
        (lambda: cr.AdamW(weight_decay=1), "'weight_decay'", "did you mean 'decay'?"),
        (lambda: cr.Adam(1e-3, 0.9), "takes 1 argument by position, and 2 were", "decay=..."),
        (lambda: cr.mean(cr.input("x", (2,)), dim=1), "'dim'", "did you mean 'axis'?"),
        (lambda: cr.dense(cr.input("x", (2,)), units=3), "'units'", "did you mean 'width'?"),
        (lambda: cr.dense(cr.input("x", (2,))), "'width' is missing", None),
        (lambda: cr.layer.dense(3, activaton="relu"), "'activaton'", "mean 'activation'?"),
        (lambda: cr.layer.dropout(), "'rate' is missing", None),
        (lambda: cr.input("x", name="y"), "'name' is given twice", None),
        (lambda: cr.schedules.Cosine(lr=1), "'lr'", "did you mean 'rate'?"),
        (lambda: cr.EarlyStopping(patince=1), "'patince'", "did you mean 'patience'?"),
        (lambda: cr.Model(), "'outputs' is missing", None),
        (lambda: cr.MLPRegressor(max_iters=3), "'max_iters'", "did you mean 'max_iter'?"),
        (lambda: cr.MLPRegressor().fit(X), "'y' is missing", None),
        (lambda: cr.MLPRegressor().partial_fit(X), "'y' is missing", None),
        (lambda: cr.MLPClassifier().predict_proba(x=X), "'x'", "did you mean 'X'?"),
        (lambda: cr.train(), "'source' is missing", None),
        (lambda: cr.train("penguins", "species", epoch=1), "'epoch'", "did you mean 'epochs'?"),
        (lambda: cr.search("penguins", "species", trial=1), "'trial'", "did you mean 'trials'?"),
        (lambda: model().fit(X, Y), "by position, and 2", 'fit({"x": ..., "y": ...})'),
        (lambda: model().fit(X, Y, 3), "by position, and 3", 'fit({"x": ..., "y": ...})'),
        (lambda: model().fit(x=X, y=Y), "no argument 'x'", 'fit({"x": ..., "y": ...})'),
        (lambda: model().fit({}, lr=0.1), "no argument 'lr'", "optimizer=cr.Adam(0.1)"),
        (lambda: model().fit({}, epoch=1), "no argument 'epoch'", "did you mean 'epochs'?"),
        (lambda: model().predict(X, Y), "by position, and 2", 'predict({"x": ...'),
        (lambda: model().history.plot(widht=3), "'widht'", "did you mean 'width'?"),
    ],
)
def test_a_call_that_does_not_fit_gets_the_one_that_was_meant(
    call: Callable[[], object], what: str, fix: str | None
) -> None:
    with pytest.raises(ChainruleError) as raised:
        call()
    assert what in str(raised.value)
    assert (raised.value.fix is None) == (fix is None)
    assert fix is None or fix in str(raised.value.fix)


def test_a_model_of_a_table_is_fitted_to_one_table() -> None:
    table = {"size": [1.0, 2.0] * 10, "price": [2.0, 4.0] * 10}
    found = cr.train(table, "price", epochs=1, members=1, hidden=4, refit="no", verbose=False)
    with pytest.raises(CallError, match="one column of the table is 'price'"):
        found.fit(table["size"], table["price"])


def test_errors_inside_of_a_function_stay_what_they_are() -> None:
    def broken(x: int) -> object:
        return len(x)  # type: ignore[arg-type]

    with pytest.raises(TypeError, match=r"object of type 'int' has no len"):
        telling(broken)(3)
    with pytest.raises(TypeError, match="takes 0 positional arguments but 1 was given") as raised:
        model().fit({"x": X, "y": Y}, epochs=1, verbose=False, callbacks=[lambda: None])
    assert type(raised.value) is TypeError


def test_what_tells_of_calls_looks_like_what_it_was_and_can_be_pickled() -> None:
    assert list(inspect.signature(cr.SGD).parameters)[:2] == ["rate", "decay"]
    assert inspect.getdoc(cr.train).startswith("A trained model")  # type: ignore[union-attr]
    for x in (cr.dense, cr.relu, cr.train, cr.metrics.accuracy, cr.SGD(0.1), cr.data.read):
        assert pickle.loads(pickle.dumps(x)) == x
