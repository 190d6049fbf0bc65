"""The history of a run: rows, best epoch, files, and the drawn curves."""

import json
import math
import os
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from chainrule.display.format import duration, number
from chainrule.display.lineplot import curves_svg
from chainrule.display.svg import nice_ticks, tick_labels
from chainrule.errors import ModelFileError, SettingError
from chainrule.train.history import History


def history(losses, **columns):
    made = History()
    for place, loss in enumerate(losses):
        made.append({"loss": loss, **{name: values[place] for name, values in columns.items()}})
    return made


def polylines(svg):
    root = ElementTree.fromstring(svg)
    found = root.iter("{http://www.w3.org/2000/svg}polyline")
    return [[tuple(map(float, p.split(","))) for p in e.get("points").split()] for e in found]


def test_rows_are_numbered_and_columns_filled_with_nan():
    made = history([3.0, 2.0])
    made.append({"loss": 1.0, "Validation Loss": 5})
    assert made["epoch"].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(made["validation loss"], [np.nan, np.nan, 5])
    assert made.columns == ("epoch", "loss", "validation_loss")
    assert len(made) == 3
    assert "validation_loss" in made
    assert "auc" not in made


def test_rows_given_out_are_copies():
    made = history([3.0])
    made.row(1)["loss"] = 0
    next(iter(made))["loss"] = 0
    assert made["loss"].tolist() == [3.0]


def test_epochs_must_rise_and_values_be_numbers():
    made = history([3.0, 2.0])
    for row in ({"epoch": 2, "loss": 1.0}, {"epoch": 2.5}, {"loss": "low"}):
        with pytest.raises(SettingError):
            made.append(row)
    assert len(made) == 2


def test_unknown_column_names_the_nearest():
    with pytest.raises(SettingError, match="did you mean 'loss'"):
        history([1.0])["los"]


@pytest.mark.parametrize(
    ("losses", "best"),
    [([3, 1, 2], 2), ([1, 1, 1], 1), ([math.nan, 2, math.nan], 2), ([math.nan], None),
     ([-math.inf, 4.0], 2), ([math.inf, math.nan], None), ([], None)],
)  # fmt: skip
def test_best_epoch_of_losses(losses, best):
    assert history(losses).best == best


def test_best_epoch_by_criterion_and_direction():
    made = history([1, 2, 3], validation_loss=[3, 1, 2], validation_accuracy=[0.1, 0.2, 0.3])
    assert (made.criterion, made.best) == ("validation_loss", 2)
    made.judge_by("validation accuracy")
    assert made.best == 3
    made.judge_by("own", "max")
    assert made.best is None
    with pytest.raises(SettingError, match="does not exist"):
        made.judge_by("own")


def test_a_second_run_continues_the_epochs():
    made = History()
    assert made.begin_run() == 1
    made.append({"loss": 2.0})
    assert made.begin_run() == 2
    assert made.runs == (1,), "a run without epochs leaves no mark"
    assert made.begin_run() == 2
    made.append({"loss": 1.0})
    assert made.runs == (1, 2)
    assert made.last_epoch == 2


def test_dict_survives_json_with_all_values():
    made = history([math.nan, math.inf, -math.inf, 0.1], step=[1, 2, 3, 4])
    made.begin_run()
    made.append({"loss": 1e-300, "validation_auc": 0.5})
    made.judge_by("validation_auc")
    text = json.dumps(made.to_dict(), allow_nan=False)
    back = History.from_dict(json.loads(text))
    assert json.dumps(back.to_dict(), allow_nan=False) == text
    np.testing.assert_array_equal(back["loss"], made["loss"])
    assert "validation_auc" not in back.row(1)
    assert (back.best, back.runs) == (5, (1, 5))
    assert isinstance(back.row(2)["step"], int)


def changed(**parts):
    saved = history([1.0, 2.0]).to_dict()
    saved.update(parts)
    return saved


@pytest.mark.parametrize(
    "saved",
    [{}, None, [], changed(columns=None), changed(columns={"epoch": 3}), changed(runs=[7]),
     changed(columns={"epoch": [1, 2], "loss": [1.0]}), changed(columns={"loss": [1.0]}),
     changed(columns={"epoch": [2, 1]}), changed(columns={"epoch": [1, "two"]}), changed(runs=5),
     changed(columns={"epoch": [1, None]}), changed(columns={"epoch": [1, True]}),
     changed(columns={"epoch": ["inf", 2]}), changed(better="up"), changed(criterion=3),
     changed(runs=[[1]]), changed(columns={"epoch": [1.5, 2]})],
)  # fmt: skip
def test_damaged_dict_is_refused(saved):
    with pytest.raises(ModelFileError, match="damaged"):
        History.from_dict(saved)


def test_csv_holds_every_row(tmp_path):
    made = history([0.1, math.nan], rate=[1e-3, 1e-3])
    made.append({"loss": 1 / 3, "f1, macro": 1})
    path = made.to_csv(tmp_path / "history.csv")
    lines = path.read_text().splitlines()
    assert lines[0] == 'epoch,rate,loss,"f1,_macro"'
    assert lines[1:] == ["1,0.001,0.1,", "2,0.001,nan,", f"3,,{1 / 3!r},1"]
    assert os.listdir(tmp_path) == ["history.csv"]


def test_csv_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "history.csv"
    history([1.0]).to_csv(path)
    old = path.read_text()
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(OSError, match=r"folder\.csv"):
        history([2.0]).to_csv(tmp_path / "folder.csv")
    with pytest.raises(FileNotFoundError):
        history([2.0]).to_csv(tmp_path / "absent" / "history.csv")
    assert sorted(os.listdir(tmp_path)) == ["folder.csv", "history.csv"]
    assert path.read_text() == old
    history([2.0]).to_csv(path)
    assert path.read_text() == "epoch,loss\n1,2.0\n"
    assert (path.stat().st_mode & 0o777) == (0o666 & ~_umask())


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_repr_is_short():
    assert repr(History()) == "History(no epochs yet)"
    assert repr(history([2.0, 0.123456])) == "History(2 epochs, lowest loss 0.1235 in epoch 2)"
    assert repr(history([math.nan])) == "History(1 epoch)"


def test_html_shows_best_and_last_rows():
    made = history([1.0, *np.linspace(2, 3, 20)], **{"<b>": [7] * 21})
    page = made._repr_html_()
    assert re.findall(r"<td>(\d+)</td><td>[\d.]+</td><td>7", page) == list("1") + [
        str(epoch) for epoch in range(17, 22)
    ]
    assert "<b>" not in page
    assert page.count("font-weight:bold") == 1
    ElementTree.fromstring(page.replace("<br>", "<br/>"))
    assert "<table>" not in History()._repr_html_()


def test_plot_is_saved_as_well_formed_svg(tmp_path):
    path = history([3.0, 2.0, 1.0]).plot().save(tmp_path / "curves.svg")
    text = path.read_text()
    assert polylines(text) == polylines(history([3.0, 2.0, 1.0]).plot().svg)
    assert 'fill="white"' in text


def test_curve_falls_where_the_loss_falls():
    (points,) = polylines(curves_svg([1, 2, 3], {"loss": [3.0, 2.0, 1.0]}))
    (x1, y1), (x2, y2), (x3, y3) = points
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.11)
    assert y2 - y1 == pytest.approx(y3 - y2, abs=0.11)
    assert y2 > y1, "SVG's y axis points down"


def test_large_range_is_drawn_on_a_log_scale():
    svg = curves_svg([1, 2, 3], {"loss": [100.0, 1.0, 0.01]})
    ((_, y1), (_, y2), (_, y3)) = polylines(svg)[0]
    assert y2 - y1 == pytest.approx(y3 - y2, abs=0.11)
    assert "loss (log scale)" in svg
    assert "log scale" not in curves_svg([1, 2], {"loss": [100.0, -1.0]})
    assert "log scale" not in curves_svg([1, 2], {"loss": [100.0, 0.0]})


def test_values_that_are_not_finite_leave_a_gap():
    svg = curves_svg(range(6), {"loss": [1, 2, math.nan, 3, math.inf, 2]})
    assert [len(points) for points in polylines(svg)] == [2]
    assert svg.count("<circle") == 2
    assert "nan" not in svg
    assert "inf" not in svg


@pytest.mark.parametrize(
    "values",
    [[], [5.0], [0.0, 0.0], [math.nan, math.nan], [1e308, -1e308], [5e-324, 1.0], [1e-290, 1e290],
     [1.0, 1.0 + 2.3e-16], [-3e5, -3e5], [1e-12, 2e-12], [1e299, -1e299]],
)  # fmt: skip
def test_odd_values_are_drawn_without_a_fault(values):
    svg = curves_svg(range(len(values)), {"a <b> & c": values}, best=(0, "a <b> & c"))
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert "nan" not in re.sub(r"<(title|desc)>.*?</\1>", "", svg)
    inside = [0 <= x <= 640 and 0 <= y <= 360 for line in polylines(svg) for x, y in line]
    assert all(inside)


def test_thousands_of_epochs_keep_their_extremes_and_a_small_file():
    values = np.sin(np.arange(50_000) / 3000) + 2
    values[31_415] = 9.0
    svg = curves_svg(np.arange(50_000), {"loss": values})
    (points,) = polylines(svg)
    assert len(points) < 2400
    assert min(y for _, y in points) < 60, "the spike is still there"


def test_best_epoch_and_continued_runs_are_marked():
    made = history([3, 2, 4, 5], validation_loss=[3, 1, 2, 2])
    made.begin_run()
    made.append({"loss": 3, "validation_loss": 2})
    svg = made.plot().svg
    assert "best validation loss: epoch 2" in svg
    assert svg.count("run continued") == 1
    assert "best epoch 2" in svg
    assert "training loss: 3 at epoch 1, 3 at 5." in svg


@pytest.mark.parametrize(
    ("low", "high", "wanted", "expected"),
    [(0, 10, 5, [0, 2, 4, 6, 8, 10]), (0.1, 0.34, 4, [0.1, 0.2, 0.3]), (1, 1, 4, [1]),
     (-1, 1, 4, [-1, -0.5, 0, 0.5, 1]), (1e6, 1.0003e6, 3, [1e6, 1000100, 1000200, 1000300])],
)  # fmt: skip
def test_ticks_are_round(low, high, wanted, expected):
    assert nice_ticks(low, high, wanted) == pytest.approx(expected)


def test_tick_labels_differ():
    assert tick_labels([4.99999, 5.0, 5.00001]) == ["4.99999", "5", "5.00001"]
    assert tick_labels([0.1, 0.2]) == ["0.1", "0.2"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"),
     (3599.7, "1 h 00 min"), (7860, "2 h 11 min"), (100_000, "1 d 3 h"), (math.inf, "?")],
)  # fmt: skip
def test_durations_in_words(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.69314718, "0.6931"), (3, "3"), (1234567, "1,234,567"), (1.2e-5, "1.2e-5"), (1e30, "1e30"),
     (2024, "2024"), (9999.7, "10,000"), (9999.2, "9999"), (31021.4, "31,021"),
     (-1e-12, "-1e-12"), (2.5e9, "2.5e9"), (math.nan, "nan"),
     (-math.inf, "-inf"), (np.float64(2.5), "2.5")],
)  # fmt: skip
def test_numbers_in_words(value, text):
    assert number(value) == text
