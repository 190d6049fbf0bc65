"""Metrics against hand-computed numbers and naive pairwise expressions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.errors import DataError, DTypeError, SettingError, ShapeError
from chainrule.train import metrics as m

# Six rows, three classes. Predicted: 0 0 1 1 2 1; hits: rows 0, 2, 4.
TARGET = [0, 1, 1, 2, 2, 0]
PROBABILITIES = [
    [0.8, 0.1, 0.1],
    [0.5, 0.4, 0.1],
    [0.2, 0.7, 0.1],
    [0.35, 0.6, 0.05],
    [0.1, 0.1, 0.8],
    [0.3, 0.4, 0.3],
]


def random_classes(seed, n=60, k=4, grid=5):
    """Targets and probabilities on a coarse grid, so that ties are many."""
    rng = np.random.default_rng(seed)
    p = rng.integers(0, grid, (n, k)) + 0.5
    return rng.integers(0, k, n), p / p.sum(axis=1, keepdims=True)


def pair_auc(positive, scores, weights):
    """How often a positive row outranks a negative one, pair by pair."""
    won = total = 0.0
    for i in np.flatnonzero(positive):
        for j in np.flatnonzero(~positive):
            w = weights[i] * weights[j]
            total += w
            won += w * ((scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j]))
    return won / total


def test_accuracy_and_confusion_by_hand():
    assert m.accuracy(TARGET, PROBABILITIES) == 3 / 6
    assert m.confusion_matrix(TARGET, PROBABILITIES).tolist() == [[1, 1, 0], [1, 1, 0], [0, 1, 1]]
    assert m.balanced_accuracy(TARGET, PROBABILITIES) == 0.5


def test_precision_recall_and_f1_by_hand():
    assert m.precision(TARGET, PROBABILITIES) == pytest.approx((1 / 2 + 1 / 3 + 1) / 3)
    assert m.recall(TARGET, PROBABILITIES) == 0.5
    assert m.f1(TARGET, PROBABILITIES) == pytest.approx((2 / 4 + 2 / 5 + 2 / 3) / 3)
    assert m.f1(TARGET, PROBABILITIES, average="micro") == 0.5
    table = m.per_class(TARGET, PROBABILITIES)
    np.testing.assert_allclose(table["precision"], [1 / 2, 1 / 3, 1])
    np.testing.assert_allclose(table["f1"], [2 / 4, 2 / 5, 2 / 3])
    np.testing.assert_array_equal(table["support"], [2, 2, 2])


def test_weighted_average_counts_by_support():
    # class 0: 3 rows, all found, and one false alarm; class 1: 1 row, missed.
    target, p = [0, 0, 0, 1], [[1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]]
    assert m.recall(target, p, average="weighted") == 0.75
    assert m.f1(target, p, average="weighted") == pytest.approx(0.75 * 6 / 7)
    assert m.f1(target, p) == pytest.approx((6 / 7 + 0) / 2), "class 2 occurs nowhere"


def test_binary_takes_class_one_and_needs_more_than_half():
    target, p = [0, 1, 1, 1], [0.5, 0.5, 0.6, 0.9]
    assert m.accuracy(target, p) == 0.75
    assert m.precision(target, p) == 1
    assert m.recall(target, p) == pytest.approx(2 / 3)
    two = np.stack([1 - np.array(p), p], axis=1)
    for name in m.DEFAULTS["classification"]:
        function = m.METRICS[name].function("classification")
        assert function(target, p) == function(target, two) == function(target, np.c_[p]), name


def test_ratio_without_cases_is_zero():
    assert m.precision([1, 1], [0.1, 0.2]) == 0
    assert m.recall([0, 0], [0.1, 0.2]) == 0
    assert m.f1([0, 0], [0.1, 0.2]) == 0


@pytest.mark.parametrize(("k", "share"), [(1, 3 / 6), (2, 5 / 6), (3, 1.0), (9, 1.0)])
def test_top_k_by_hand(k, share):
    assert m.top_k_accuracy(TARGET, PROBABILITIES, k=k) == pytest.approx(share)


def test_top_one_is_accuracy_even_where_scores_tie():
    target, p = random_classes(3)
    assert m.top_k_accuracy(target, p, k=1) == m.accuracy(target, p)
    assert m.top_k_accuracy([0, 1, 2], np.full((3, 3), 1 / 3), k=2) == pytest.approx(2 / 3)


@pytest.mark.parametrize("seed", range(5))
def test_auc_is_the_share_of_ordered_pairs(seed):
    target, p = random_classes(seed)
    weights = np.random.default_rng(seed).random(len(target))
    expected = [pair_auc(target == c, p[:, c], weights) for c in range(4)]
    assert m.auc(target, p, weights=weights) == pytest.approx(np.mean(expected), abs=1e-12)
    ones = np.ones(len(target))
    binary = m.auc(target > 1, p[:, 0])
    assert binary == pytest.approx(pair_auc(target > 1, p[:, 0], ones), abs=1e-12)


def test_auc_extremes_are_exact():
    scores = np.linspace(0, 1, 1000)
    weights = np.random.default_rng(0).random(1000)
    assert m.auc(scores > 0.3, scores, weights=weights) == 1
    assert m.auc(scores > 0.3, 1 - scores, weights=weights) == 0
    assert m.auc(scores > 0.3, np.full(1000, 0.5)) == 0.5
    assert m.auc([0, 1], [0.0, -0.0]) == 0.5


def test_auc_without_both_sides_is_nan_and_noted():
    scores = m.classification([1, 1], [0.2, 0.9])
    assert math.isnan(scores["auc"])
    assert scores.notes == ("auc is NaN: the target holds a single class",)
    assert math.isnan(m.auc([2, 2], [[0.2, 0.2, 0.6]] * 2))


def test_auc_leaves_out_absent_classes():
    target, p = random_classes(1, k=3)
    wide = np.c_[p * 0.9, np.full(len(p), 0.1)]
    assert m.auc(target, wide) == pytest.approx(m.auc(target, p))
    assert m.classification(target, wide).notes == (
        "auc: the mean over 3 of 4 classes, the others do not occur",
    )


def test_log_loss_by_hand_and_at_zero():
    assert m.log_loss([0, 1], [[0.5, 0.5], [0.75, 0.25]]) == pytest.approx(math.log(8) / 2)
    assert m.log_loss([1], [0.0]) == pytest.approx(52 * math.log(2))
    assert m.log_loss([1, 0], [1.0, 0.0]) == 0
    tiny = np.array([[1e-10, 1 - 1e-10]], dtype=np.float32)
    assert m.log_loss([0], tiny) == pytest.approx(10 * math.log(10), rel=1e-6)


def test_brier_by_hand():
    assert m.brier([1, 0], [0.8, 0.3]) == pytest.approx((0.04 + 0.09) / 2)
    assert m.brier([0], [[0.5, 0.3, 0.2]]) == pytest.approx(0.25 + 0.09 + 0.04)
    assert m.brier([2], [[1.0, 0, 0]]) == 2


def test_calibration_error_by_hand():
    # Confidences .9 .9 (one right: gap .4) and .6 (right: gap .4); ten bins.
    assert m.calibration_error([1, 0, 1], [0.9, 0.9, 0.6], bins=10) == pytest.approx(0.4)
    # A confidence on an edge belongs to the bin below it: 0.6 and 0.7 stay apart.
    _, correct, weight = m.calibration_curve([1, 0], [0.625, 0.75], bins=8)
    assert weight.tolist() == [0, 0, 0, 0, 1, 1, 0, 0]
    assert correct[4] == 1
    assert correct[5] == 0
    assert m.calibration_error([1, 1, 1, 1], [1.0, 1.0, 1.0, 1.0]) == 0


NAMED = [(name, task) for task in ("classification", "multilabel", "regression")
         for name, row in m.METRICS.items() if row.function(task)]  # fmt: skip


def examples(task, seed=0, n=40):
    rng = np.random.default_rng(seed)
    if task == "classification":
        return random_classes(seed, n)
    if task == "multilabel":
        return rng.integers(0, 2, (n, 3)), rng.integers(0, 11, (n, 3)) / 10
    return rng.poisson(3, (n, 2)), rng.random((n, 2)) * 5 + 0.1


@pytest.mark.parametrize(("name", "task"), NAMED)
def test_whole_weights_are_repeated_rows(name, task):
    function = m.METRICS[name].function(task)
    target, prediction = examples(task)
    weights = np.random.default_rng(1).integers(0, 4, len(target))
    repeated = function(np.repeat(target, weights, 0), np.repeat(prediction, weights, 0))
    assert function(target, prediction, weights=weights) == pytest.approx(repeated, rel=1e-12)
    assert function(target, prediction, weights=weights * 0.3) == pytest.approx(repeated, rel=1e-9)


@pytest.mark.parametrize(("name", "task"), NAMED)
def test_nan_prediction_gives_nan_unless_its_weight_is_zero(name, task):
    function = m.METRICS[name].function(task)
    target, prediction = examples(task)
    broken = prediction.astype(float)
    broken[7, 1] = np.nan
    assert math.isnan(function(target, broken))
    keep = np.arange(len(target)) != 7
    without = function(target[keep], prediction[keep])
    assert function(target, broken, weights=keep) == pytest.approx(without, rel=1e-12)


@pytest.mark.parametrize(("name", "task"), NAMED)
def test_order_of_rows_does_not_matter(name, task):
    function = m.METRICS[name].function(task)
    target, prediction = examples(task)
    order = np.random.default_rng(2).permutation(len(target))
    shuffled = function(target[order], prediction[order])
    assert shuffled == pytest.approx(function(target, prediction), rel=1e-12)


def test_multilabel_by_hand():
    target = [[1, 0], [1, 1], [0, 0]]
    p = [[0.9, 0.4], [0.3, 0.6], [0.2, 0.5]]  # predicted 10, 01, 00
    assert m.subset_accuracy(target, p) == pytest.approx(2 / 3)
    assert m.label_accuracy(target, p) == pytest.approx(5 / 6)
    assert m.label_f1(target, p) == pytest.approx((2 / 3 + 1) / 2)
    assert m.micro_f1(target, p) == pytest.approx(4 / 5)
    assert m.label_precision(target, p) == 1
    assert m.label_recall(target, p) == 0.75
    assert m.label_balanced_accuracy(target, p) == pytest.approx(((0.5 + 1) / 2 + 1) / 2)
    assert m.label_auc(target, p) == 1
    errors = np.array([[0.1, 0.4], [0.7, 0.4], [0.2, 0.5]])
    assert m.label_brier(target, p) == pytest.approx((errors**2).mean())
    assert m.label_log_loss(target, p) == pytest.approx(-np.log(1 - errors).mean())
    assert m.per_label(target, p)["support"] == pytest.approx([2 / 3, 1 / 3])


def test_multilabel_auc_leaves_out_constant_labels():
    target, p = [[1, 1], [0, 1]], [[0.9, 0.1], [0.2, 0.3]]
    assert m.label_auc(target, p) == 1
    assert math.isnan(m.per_label(target, p)["auc"][1])


def test_regression_by_hand():
    target, guess = [1.0, 2.0, 3.0, 6.0], [1.0, 3.0, 1.0, 6.0]  # errors 0 1 2 0
    assert m.rmse(target, guess) == pytest.approx(math.sqrt(5 / 4))
    assert m.mae(target, guess) == 0.75
    assert m.median_absolute_error(target, guess) == 0.5
    assert m.r2(target, guess) == pytest.approx(1 - 5 / 14)
    weights = [1, 1, 2, 0]
    assert m.mae(target, guess, weights=weights) == 1.25
    assert m.median_absolute_error(target, guess, weights=weights) == 1.5


def test_several_outputs_are_scored_apart_and_averaged():
    target, guess = np.array([[0, 10], [2, 30]]), np.array([[1, 10], [3, 10]])
    assert m.rmse(target, guess) == pytest.approx((1 + math.sqrt(200)) / 2)
    assert m.r2(target, guess) == pytest.approx(((1 - 2 / 2) + (1 - 400 / 200)) / 2)


def test_r2_of_a_constant_target():
    tenths = np.full(7, 0.1)
    assert m.r2(tenths, tenths) == 1
    assert m.r2(tenths, tenths + 0.01) == 0
    assert math.isnan(m.r2([1.0], [1.0]))
    assert m.regression([1.0], [2.0]).notes == ("r2 is NaN: it needs two rows",)


def test_huge_and_infinite_errors_are_infinite_in_silence():
    assert m.rmse([0.0, 1.0], [1e200, 1.0]) == math.inf
    assert m.mae([0.0, 1.0], [np.inf, 1.0]) == math.inf
    assert m.r2([0.0, 1.0], [np.inf, 1.0]) == -math.inf


def test_poisson_deviance_by_hand():
    expected = 2 * ((2 * math.log(2 / 1) - 2 + 1) + 3) / 2
    assert m.poisson_deviance([2, 0], [1.0, 3.0]) == pytest.approx(expected)
    assert m.poisson_deviance([0, 4], [0.0, 4.0]) == 0
    assert m.poisson_deviance([1], [0.0]) == math.inf
    with pytest.raises(DataError, match="negative"):
        m.poisson_deviance([1], [-0.5])


def test_quantiles_by_hand():
    target = [1.0, 5.0, 9.0]
    guess = [[0.0, 2.0], [6.0, 8.0], [8.0, 7.0]]
    scores = m.quantiles(target, guess, levels=[0.1, 0.9])
    assert scores["pinball_0.1"] == pytest.approx((0.1 * 1 + 0.9 * 1 + 0.1 * 1) / 3)
    assert scores["pinball_0.9"] == pytest.approx((0.1 * 1 + 0.1 * 3 + 0.9 * 2) / 3)
    assert scores["pinball"] == pytest.approx((scores["pinball_0.1"] + scores["pinball_0.9"]) / 2)
    assert scores["coverage"] == pytest.approx(1 / 3)
    assert scores["crossing"] == pytest.approx(1 / 3)
    assert m.pinball(target, [2.0, 2.0, 2.0]) == pytest.approx(m.mae(target, [2.0, 2.0, 2.0]) / 2)


@given(st.integers(0, 10_000), st.integers(2, 30), st.integers(2, 6))
@settings(max_examples=60, deadline=None)
def test_classification_scores_stay_in_their_range(seed, n, k):
    target, p = random_classes(seed, n, k)
    scores = m.classification(target, p)
    for name, value in scores.items():
        top = {"brier": 2.0, "log_loss": math.inf}.get(name, 1.0)
        assert 0 <= value <= top or (name == "auc" and math.isnan(value)), name


def test_float32_gives_float64_sums():
    n = 200_000
    p = np.full(n, 0.1, dtype=np.float32)
    expected = float(np.float32(0.1)) ** 2
    assert m.brier(np.zeros(n, dtype=int), p) == pytest.approx(expected, rel=1e-12)


def test_default_scores_of_many_classes_add_top_five():
    target, p = random_classes(0, n=50, k=10)
    assert m.classification(target, p)["top_5_accuracy"] == m.top_k_accuracy(target, p, k=5)
    assert "top_5_accuracy" not in m.classification(*random_classes(0))


def test_notes_count_nan_predictions():
    scores = m.regression([1.0, 2.0, 3.0], [1.0, np.nan, np.nan])
    assert scores.notes == ("2 of 3 predictions are NaN, and so are the scores",)


BAD_INPUTS = {
    "lengths": (m.accuracy, ([0, 1, 0], [0.1, 0.2]), ShapeError, "same rows"),
    "no rows": (m.accuracy, ([], []), DataError, "no rows"),
    "class beyond k": (m.accuracy, ([0, 5], [0.1, 0.2]), DataError, "5 .row 1."),
    "negative class": (m.accuracy, ([-1, 0], [0.1, 0.2]), DataError, "-1 .row 0."),
    "class in between": (m.accuracy, ([0.5, 0], [0.1, 0.2]), DataError, "0.5"),
    "class NaN": (m.accuracy, ([np.nan, 0], [0.1, 0.2]), DataError, "nan"),
    "names": (m.accuracy, (["a", "b"], [0.1, 0.2]), DataError, "not numbers"),
    "binary logits": (m.accuracy, ([0, 1], [-3.0, 4.0]), DataError, "not probabilities"),
    "logits": (m.log_loss, ([0], [[2.0, -1.0]]), DataError, "not probabilities"),
    "sum": (m.brier, ([0], [[0.3, 0.3]]), DataError, "sum to 1"),
    "labels": (m.label_f1, ([[0, 2]], [[0.1, 0.2]]), DataError, "row 0, label 1"),
    "label shape": (m.label_f1, ([0, 1], [[0.1, 0.2]]), ShapeError, "differ"),
    "never broadcast": (m.rmse, ([1.0, 2.0], [[1.0, 2.0]]), ShapeError, "differ"),
    "target NaN": (m.rmse, ([1.0, np.nan], [1.0, 2.0]), DataError, "nan .row 1."),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_input_is_named(case):
    function, arguments, error, match = BAD_INPUTS[case]
    with pytest.raises(error, match=match):
        function(*arguments)


@pytest.mark.parametrize("weights", [[1, -1], [0, 0], [np.nan, 1], [np.inf, 1]])
def test_senseless_weights_are_refused(weights):
    with pytest.raises(DataError, match="weights"):
        m.accuracy([0, 1], [0.1, 0.2], weights=weights)


def test_rows_in_errors_are_counted_before_zero_weights_go():
    with pytest.raises(DataError, match="row 2"):
        m.accuracy([0, 7, 9], [0.1, 0.2, 0.3], weights=[0, 0, 1])


def test_wrong_settings_are_refused():
    with pytest.raises(SettingError, match="did you mean 'macro'"):
        m.f1(TARGET, PROBABILITIES, average="makro")
    with pytest.raises(SettingError, match="two classes"):
        m.f1(TARGET, PROBABILITIES, average="binary")
    with pytest.raises(SettingError, match="k >= 1"):
        m.top_k_accuracy(TARGET, PROBABILITIES, k=0)
    with pytest.raises(SettingError, match="levels"):
        m.pinball([1.0], [1.0], levels=[1.5])


def test_names_are_found_in_any_spelling():
    assert m.find_metric("balanced accuracy").name == "balanced_accuracy"
    assert m.find_metric("Log-Loss").name == "log_loss"
    top = m.find_metric("top 2 accuracy", "classification")
    assert top.function("classification")(TARGET, PROBABILITIES) == pytest.approx(5 / 6)


def test_unknown_metric_names_the_nearest():
    with pytest.raises(SettingError, match="did you mean 'accuracy'"):
        m.find_metrics(["acuracy"], "classification")
    with pytest.raises(SettingError, match="'rmse' is not defined for classification"):
        m.find_metrics(["rmse"], "classification")
    with pytest.raises(SettingError, match="two metrics"):
        m.find_metrics(["auc", "AUC"], "classification")
    with pytest.raises(SettingError, match="not a metric"):
        m.find_metrics([3], "classification")


def test_own_functions_are_metrics():
    def worst(target, prediction):
        return np.abs(np.subtract(target, prediction)).max()

    scores = m.score(["mae", worst], [1, 2], [1.5, 4], task="regression")
    assert scores == {"mae": 1.25, "worst": 2}
    with pytest.raises(SettingError, match="'worst' has no direction"):
        m.direction("validation worst", m.find_metrics([worst], "regression"))
    own = m.Metric("worst", worst, "min")
    assert m.direction("validation_worst", [own]) == "min"
    with pytest.raises(DTypeError, match="did not return a number"):
        m.score([lambda target, guess: target], [1, 2], [1, 2], task="regression")


@pytest.mark.parametrize(
    ("criterion", "better"),
    [("loss", "min"), ("validation loss", "min"), ("validation_auc", "max"), ("r2", "max"),
     ("validation_top_3_accuracy", "max"), ("validation_pinball_0.9", "min")],
)  # fmt: skip
def test_direction_of_a_criterion(criterion, better):
    assert m.direction(criterion) == better


def test_every_default_is_registered_for_its_task():
    for task, names in m.DEFAULTS.items():
        assert [metric.name for metric in m.find_metrics(names, task)] == list(names)
