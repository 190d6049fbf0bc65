"""Scores that are added up part by part are those of all rows at once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from msgspec import structs

import chainrule as cr
from chainrule.recipe.tally import Tally
from chainrule.report.headline import headline
from chainrule.report.results import Outcome
from chainrule.train import metrics


def parts(n: int):
    edges = [0, 1, 7, 100, n // 2, n]
    return [slice(a, b) for a, b in pairwise(edges)]


@pytest.mark.parametrize("classes", [2, 3, 12])
def test_classes(classes):
    random = np.random.default_rng(classes)
    n = 4000
    truth = random.integers(0, classes, n)
    logits = random.normal(size=(n, classes)) + 1.5 * np.eye(classes)[truth]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    schema = cr.data.Schema.learn(
        cr.data.read({"x": random.normal(size=n), "y": [f"c{t:02}" for t in truth]}), "y"
    )
    tally = Tally(schema, p[::7])
    for part in parts(n):
        tally.add(truth[part], p[part], metrics.log_loss(truth[part], p[part]))
    assert tally.rows == n
    for found, prediction in ((tally.scores, p), (tally.guess, None)):
        if prediction is None:
            shares = np.array(schema.target.counts) / n
            prediction = np.tile(shares, (n, 1))
        exact = metrics.classification(truth, prediction)
        assert [x for x in found if x != "loss"] == list(exact)
        for name, value in exact.items():
            error = 2e-5 if name == "auc" else 1e-12
            assert found[name] == pytest.approx(value, abs=error), name
    np.testing.assert_array_equal(tally.counts, metrics.confusion_matrix(truth, p))
    assert tally.scores["loss"] == pytest.approx(tally.scores["log_loss"], rel=1e-12)


def test_a_bound_of_the_error_of_the_auc():
    """Scores that fall together in a bin are told as such."""
    n = 2000
    truth = np.arange(n) % 2
    near = 0.5 + 1e-9 * np.arange(n)[:, None] * np.array([[-1.0, 1.0]])
    schema = cr.data.Schema.learn(cr.data.read({"x": np.arange(n) / 7, "y": truth}), "y")
    tally = Tally(schema, near[:1])
    tally.add(truth, near, 0.7)
    found = tally.scores
    exact = metrics.auc(truth, near)
    (note,) = found.notes
    bound = float(note.removeprefix("auc: exact to "))
    assert abs(found["auc"] - exact) <= bound
    assert bound > 0.2


@pytest.mark.parametrize("shape", ["usual", "exact", "constant"])
def test_numbers(shape):
    random = np.random.default_rng(1)
    n = 3001
    truth = 1e6 + random.normal(size=n) if shape != "constant" else np.full(n, 3.0)
    prediction = truth + (random.normal(size=n) if shape != "exact" else 0.0)
    learned = truth if shape != "constant" else random.normal(size=n)
    schema = cr.data.Schema.learn(cr.data.read({"x": random.normal(size=n), "y": learned}), "y")
    tally = Tally(schema, np.zeros(1))
    for part in parts(n):
        tally.add(truth[part], prediction[part], 1.0)
    exact, found = metrics.regression(truth, prediction), tally.scores
    for name, value in exact.items():
        rough = name == "median_absolute_error"
        assert found[name] == pytest.approx(value, rel=1e-3 if rough else 1e-9, abs=1e-9), name
    assert found["loss"] == 1.0


@pytest.mark.parametrize("sure", [0.0, 0.4, 3.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [2, 3])
def test_classes_in_words(classes, weighted, sure):
    """Also where no more are right than by the guess, and where classes have weights."""
    random = np.random.default_rng(classes)
    n = 3000
    truth = np.minimum(random.integers(0, 4 * classes, n), classes - 1)
    logits = random.normal(size=(n, classes)) + sure * np.eye(classes)[truth]
    p = np.exp(logits + 2 * np.arange(classes))
    p /= p.sum(axis=1, keepdims=True)
    table = cr.data.read({"x": random.normal(size=n), "y": [f"c{t}" for t in truth]})
    schema = cr.data.Schema.learn(table, "y")
    if weighted:
        target = schema.target.balanced()
        schema = structs.replace(schema, target=target)
    counts = np.array(schema.target.counts)
    outcome = Outcome("test", truth, p, tuple(map(str, schema.target.classes)),
                      float(counts.argmax()), tuple(counts / n), schema.target.weights)  # fmt: skip
    tally = Tally(schema, p)
    for part in parts(n):
        tally.add(truth[part], p[part], 0.5)
    assert tally.headline("test") == headline(outcome)


@pytest.mark.parametrize(("rows", "noise"), [(7, 0.1), (900, 1.0), (5000, 0.3), (5000, 50.0)])
def test_numbers_in_words(rows, noise):
    random = np.random.default_rng(rows)
    truth = random.normal(40, 3, rows)
    prediction = truth + random.normal(0, noise, rows)
    schema = cr.data.Schema.learn(cr.data.read({"x": random.normal(size=rows), "y": truth}), "y")
    tally = Tally(schema, np.zeros(1))
    for begin in range(0, rows, 611):
        part = slice(begin, begin + 611)
        tally.add(truth[part], prediction[part], 1.0)
    outcome = Outcome("test", truth, prediction, guess=schema.target.stats.mean)
    assert tally.headline("test") == headline(outcome)


def test_rows_without_a_finite_prediction():
    schema = cr.data.Schema.learn(cr.data.read({"x": [1.5, 2, 3, 4.5], "y": [0.5, 1, 2, 7]}), "y")
    tally = Tally(schema, np.zeros(1))
    tally.add(np.array([1.0, 2.0]), np.array([1.0, np.nan]), 1.0)
    assert (tally.rows, tally.model.broken) == (0, 1)
    assert tally.headline("test") == ()
    tally.add(np.array([1.0, 2.0]), np.array([1.0, 2.0]), 1.0)
    assert tally.guess["mae"] == pytest.approx(np.abs([1.0 - 2.625, 2.0 - 2.625]).mean())
