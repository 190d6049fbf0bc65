"""The verdict on a model in words: against a guess, by more than accuracy, and how sure it is."""

from __future__ import annotations

import re

import numpy as np
import pytest

from chainrule.report.headline import headline
from chainrule.report.results import Outcome

RNG = np.random.default_rng(0)
NO_BETTER = "The network does no better than that guess."


def rare(weights: tuple[float, ...] = (), blur: float = 1.0) -> Outcome:
    """Two classes, one of them in 3 % of the rows, with honest probabilities of them."""
    logits = RNG.normal(-4.6, 1.6 / blur, 3000)
    p = 1 / (1 + np.exp(-logits))
    target = (RNG.random(3000) < p).astype(int)
    prediction = np.stack([1 - p, p], axis=1)
    return Outcome("test", target, prediction, ("no", "yes"), 0.0, (0.97, 0.03), weights)


def said(outcome: Outcome) -> str:
    return " ".join(headline(outcome)).replace("\u00a0", " ")


def test_rows_that_are_ranked_well_are_not_called_a_guess() -> None:
    text = said(rare())
    assert NO_BETTER not in text
    assert "No more rows are classified right than by that guess, but its probabilities" in text
    loss, flat, area = map(float, re.findall(r"(?:loss|shares|AUC) ([\d.]+\d)", text))
    assert loss < 0.9 * flat
    assert area > 0.8


def test_ranks_count_also_where_the_probabilities_are_far_off() -> None:
    outcome = rare()
    p = np.asarray(outcome.prediction)[:, 1]
    raised = p * 32 / (p * 32 + 1 - p)  # as weights in training would
    off = Outcome("test", outcome.target, np.stack([1 - raised, raised], axis=1), ("no", "yes"),
                  0.0, (0.97, 0.03))  # fmt: skip
    assert NO_BETTER not in said(off)
    assert "it ranks rows well" in said(off)


@pytest.mark.parametrize("k", [2, 3])
def test_noise_is_called_no_better_than_a_guess(k: int) -> None:
    target = RNG.integers(0, k, 500) * (RNG.random(500) < 0.4)
    prediction = RNG.dirichlet(np.ones(k), 500) * [4.0] + np.eye(k)[0] * 3
    prediction /= prediction.sum(axis=1, keepdims=True)
    assert NO_BETTER in headline(Outcome("test", target, prediction, tuple("abc"[:k])))


def test_confident_mistakes_are_told_where_accuracy_looks_well() -> None:
    target = np.arange(200) % 2
    p = np.where(np.arange(200) % 4 == 0, 1 - target, target) * 0.999998 + 0.000001
    text = said(Outcome("test", target, np.stack([1 - p, p], axis=1), ("no", "yes")))
    assert "Its probabilities are worse than the shares of the classes: log loss 3.454" in text


def test_classes_decided_by_weights_are_scored_as_decided() -> None:
    outcome = rare((1.0, 97 / 3))
    recall = np.mean(outcome.predicted[np.asarray(outcome.target) == 1])
    assert recall > 0.6
    assert np.mean(rare().predicted[np.asarray(rare().target) == 1]) < 0.3
    assert "Classes are decided as if they were equally frequent: balanced accuracy" in said(
        outcome
    )


def test_numbers_have_an_interval_that_holds_the_error_of_most_samples() -> None:
    held = 0
    for _ in range(40):
        error = RNG.normal(size=120)
        (line,) = (x for x in headline(Outcome("test", error, np.zeros(120), guess=3.0))
                   if "interval" in x)  # fmt: skip
        low, high = map(float, re.findall(r"[\d.]+\d(?= to|\.$)", line)[-2:])
        held += low <= 1 <= high
    assert held >= 32
    assert "too few" in said(Outcome("test", [1.0, 2.0], [1.0, 2.5]))


def test_the_interval_is_the_same_for_numbers_of_any_size() -> None:
    target, error = RNG.normal(size=5000), RNG.normal(size=5000)
    lines = [said(Outcome("test", c * target, c * (target + error))) for c in (1.0, 1e150)]
    ends = [re.findall(r"interval of the RMSE is (\S+) to (\S+)\.", x)[0] for x in lines]
    ratio = [float(big) / float(small) for small, big in zip(*ends, strict=True)]
    np.testing.assert_allclose(ratio, 1e150, rtol=2e-3)


def test_a_few_large_errors_are_told_where_the_mean_error_is_small() -> None:
    target = np.arange(100.0)
    prediction = target + 0.1
    prediction[3] = 1500
    text = said(Outcome("test", target, prediction))
    assert "By RMSE, which a few large errors decide, the network does no better" in text
