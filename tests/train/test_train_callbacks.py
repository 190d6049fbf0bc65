"""Early stopping, plateaus and callbacks, decided by hand."""

import dataclasses
import math

import pytest

from chainrule.errors import SettingError
from chainrule.train.callbacks import (
    BestTracker,
    Callback,
    EarlyStopping,
    PlateauTracker,
    State,
    as_callbacks,
)
from chainrule.train.history import History
from chainrule.train.metrics import Metric
from chainrule.train.schedules import ReduceOnPlateau


def follow(tracker, values):
    """The improvements seen, and the epoch after which the run stops."""
    improved = []
    for epoch, value in enumerate(values, 1):
        improved.append(tracker.update(value))
        if tracker.should_stop:
            return improved, epoch
    return improved, None


@pytest.mark.parametrize(
    ("better", "values", "improved", "stop", "best"),
    [
        ("min", [3, 2, 2, 2], [1, 1, 0, 0], 4, 2),
        ("min", [3, 4, 2, 5, 1], [1, 0, 1, 0, 1], None, 5),
        ("max", [3, 2, 1], [1, 0, 0], 3, 1),
        ("max", [1, 3, 2, 4], [1, 1, 0, 1], None, 4),
        ("min", [math.nan, 5, math.nan, -math.inf], [0, 1, 0, 0], 4, 2),
        ("max", [math.nan, math.inf], [0, 0], 2, None),
    ],
)
def test_best_epoch_and_stop(better, values, improved, stop, best):
    tracker = BestTracker("loss", better, patience=2)
    assert follow(tracker, values) == (list(map(bool, improved)), stop)
    assert tracker.best_epoch == best


def test_small_improvements_do_not_count():
    tracker = BestTracker("loss", "min", patience=3, minimum_improvement=0.5)
    assert follow(tracker, [2.0, 1.75, 1.5, 1.25, 1.0]) == ([True, False, False, True, False], None)


def test_without_patience_it_only_watches():
    tracker = BestTracker()
    assert follow(tracker, [1.0] * 100)[1] is None


def test_reason_is_a_sentence():
    tracker = BestTracker("validation_loss", "min", patience=2)
    follow(tracker, [0.25, 0.3, 0.4])
    assert tracker.reason == (
        "validation loss has not improved for 2 epochs (best 0.25 in epoch 1)"
    )
    broken = BestTracker("loss", "min", patience=1)
    follow(broken, [math.nan])
    assert broken.reason == "loss was never finite in 1 epoch"


def test_a_saved_tracker_goes_on_as_if_never_stopped():
    values = [3, 2, 4, 2.5, 1, 2, 2, 2]
    whole, part = BestTracker(patience=3), BestTracker(patience=3)
    follow(whole, values)
    follow(part, values[:3])
    part = BestTracker(**dataclasses.asdict(part))
    follow(part, values[3:])
    assert part == whole


def test_tracker_takes_the_given_epoch():
    tracker = BestTracker()
    tracker.update(1.0, epoch=21)
    assert tracker.best_epoch == 21


def test_setting_makes_the_tracker_of_the_run():
    assert EarlyStopping().tracker().criterion == "validation_loss"
    assert EarlyStopping().tracker(validation=False).criterion == "loss"
    tracker = EarlyStopping("validation AUC", patience=3).tracker()
    assert (tracker.criterion, tracker.better, tracker.patience) == ("validation_auc", "max", 3)
    own = Metric("profit", lambda target, guess: 0.0, "max")
    assert EarlyStopping("validation_profit").tracker(metrics=[own]).better == "max"
    assert EarlyStopping("validation_profit", better="min").tracker().better == "min"


@pytest.mark.parametrize(
    "settings",
    [{"patience": 0}, {"patience": 2.5}, {"patience": True}, {"minimum_improvement": -1.0},
     {"minimum_improvement": math.nan}, {"better": "up"}],
)  # fmt: skip
def test_wrong_settings_are_refused(settings):
    with pytest.raises(SettingError, match="EarlyStopping"):
        EarlyStopping(**settings)


def test_criterion_that_cannot_be_followed_is_refused_at_once():
    with pytest.raises(SettingError, match="needs validation data"):
        EarlyStopping("validation_loss").tracker(validation=False)
    with pytest.raises(SettingError, match="did you mean 'accuracy'"):
        EarlyStopping("validation_acuracy").tracker()


def test_plateau_cuts_the_rate_after_patience():
    tracker, settings = PlateauTracker(), ReduceOnPlateau(factor=0.5, patience=2)
    scales = [tracker.update(v, settings) for v in [3, 2, 2, 2, 2, 2, 1, 1]]
    assert scales == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_plateau_cools_down_and_takes_what_is_not_finite_for_no_improvement():
    settings = ReduceOnPlateau(factor=0.5, patience=1, cooldown=2)
    tracker = PlateauTracker("max")
    scales = [tracker.update(v, settings) for v in [1, 1, 1, math.inf, 1, 1, 2, math.nan]]
    assert scales == [1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]


def test_plateau_counts_only_improvements_that_are_large_enough():
    settings = ReduceOnPlateau(factor=0.5, patience=1, minimum_improvement=0.5)
    tracker = PlateauTracker()
    assert [tracker.update(v, settings) for v in [3, 2.5, 2, 1.5]] == [1, 0.5, 0.5, 0.25]
    strict, settings = PlateauTracker(), dataclasses.replace(settings, best_of_all=True)
    assert [strict.update(v, settings) for v in [3, 2.5, 2, 1.4]] == [1, 0.5, 0.25, 0.25]


@pytest.mark.parametrize(
    "settings",
    [{"factor": 1.0}, {"factor": 0.0}, {"patience": 0}, {"minimum": -1}, {"cooldown": -1}],
)
def test_plateau_refuses_wrong_settings(settings):
    with pytest.raises(SettingError, match="ReduceOnPlateau"):
        ReduceOnPlateau(**settings)


def test_functions_and_objects_are_callbacks():
    class Stopper(Callback):
        def on_epoch(self, state):
            state.stop("enough")

    seen = []
    state = State(model=None, history=History(), epoch=7)
    for callback in as_callbacks([lambda state: seen.append(state.epoch), Stopper()]):
        callback.on_start(state)
        callback.on_epoch(state)
        callback.on_finish(state)
    state.stop("later")
    assert seen == [7]
    assert state.stop_reason == "enough"
    assert as_callbacks(None) == []
    assert len(as_callbacks(Stopper())) == len(as_callbacks(print)) == 1


def test_refuses_what_is_not_a_callback():
    with pytest.raises(SettingError, match="not a callback"):
        as_callbacks([3])
    with pytest.raises(SettingError, match=r"pass Callback\(\)"):
        as_callbacks([Callback])
