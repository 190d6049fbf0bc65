"""The data check: each planted fault is found, and healthy tables stay silent."""

import numpy as np
import pytest

from chainrule.data import check_table, guess_kinds, read

N = 400


def healthy(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=N)
    return {
        "x": x,
        "z": rng.normal(size=N),
        "c": rng.choice(["u", "v", "w"], N),
        "y": np.where(x + rng.normal(size=N) > 0, "yes", "no"),
    }


def found(data, target="y", **options):
    return [(f.severity, f.column) for f in check_table(read(data), target, **options)]


@pytest.mark.parametrize("seed", range(5))
def test_healthy_tables_are_silent(seed):
    data = healthy(seed)
    assert found(data) == []
    assert found(data, "x") == []
    assert found(data, None) == []


@pytest.mark.parametrize("name", ["penguins", "moons", "spiral", "xor"])
def test_embedded_tables_are_silent(name):
    table = read(name)
    target = "species" if name == "penguins" else table.columns[-1]
    assert check_table(table, target) == []


def planted():
    data = healthy()
    rng = np.random.default_rng(1)
    numeric = rng.normal(size=N)
    label = data["y"]
    return [
        ({"k": ["same"] * N}, "info", "k", "constant"),
        ({"id": rng.permutation(N)}, "info", "id", "id"),
        ({"k": np.arange(N)}, "warning", "k", "numbers the rows"),
        ({"k": np.where(rng.random(N) < 0.7, np.nan, numeric)}, "warning", "k", "gaps"),
        ({"k": np.exp(rng.normal(0, 4, N))}, "info", "k", "skewed"),
        ({"k": np.where(np.arange(N) == 7, np.inf, numeric)}, "error", "k", "infinite"),
        ({"k": label}, "warning", "k", "copy of the target"),
        ({"k": np.where(label == "yes", "approved", "refused")}, "warning", "k", "almost perf"),
        ({"k": np.where(label == "yes", 5, 3) + rng.normal(0, 0.1, N)}, "warning", "k", "almost"),
    ]


@pytest.mark.parametrize(("extra", "severity", "column", "words"), planted())
def test_planted_columns(extra, severity, column, words):
    findings = check_table(read(healthy() | extra), "y")
    assert [(f.severity, f.column) for f in findings] == [(severity, column)]
    assert words in findings[0].message
    assert findings[0].fix


@pytest.mark.parametrize(
    "leak",
    [lambda y: y * 2 + 1, lambda y: np.exp(y), lambda y: y + 1e-6, lambda y: -y],
    ids=["affine", "monotone", "shifted", "negative"],
)
def test_leaks_of_a_number(leak):
    data = healthy()
    target = np.random.default_rng(2).normal(size=N)
    assert found(data | {"k": leak(target), "t": target}, "t") == [("warning", "k")]


def test_a_useful_number_is_not_a_leak():
    data = healthy()
    target = data["x"] + 0.1 * np.random.default_rng(2).normal(size=N)
    assert found(data | {"t": target}, "t") == []


def test_a_frequent_class_hides_no_uselessness():
    data = healthy() | {"y": np.where(np.arange(N) % 18 == 0, "rare", "usual")}
    assert found(data) == []


def test_the_only_column_is_not_a_leak():
    x = np.linspace(0, 1, N) * 3.7
    assert found({"x": x, "y": 2 * x}) == []


def test_classes_out_of_balance():
    data = healthy() | {"y": np.where(np.arange(N) < 12, "rare", "usual")}
    findings = check_table(read(data), "y")
    assert [(f.severity, f.column) for f in findings] == [("warning", "y")]
    assert "'usual' has 388 rows, 'rare' 12" in findings[0].message
    data["y"][:] = "usual"
    data["y"][:2] = "rare"
    assert "only 2 rows" in check_table(read(data), "y")[0].message


def test_classes_spelt_in_two_ways():
    data = healthy()
    data["y"] = np.char.replace(np.char.replace(data["y"], "yes", "hot"), "no", "icy")
    data["y"][::3] = np.char.upper(data["y"][::3])
    data["y"][1] = "Hot"
    data["c"][5] = "U"
    findings = {f.column: f for f in check_table(read(data), "y") if "several ways" in f.message}
    assert (findings["y"].severity, findings["c"].severity) == ("warning", "info")
    assert "'HOT', 'Hot' and 'hot'" in findings["y"].message
    assert "'ICY' and 'icy'" in findings["y"].message
    assert "'U' and 'u'" in findings["c"].message
    spaced = healthy()
    spaced["c"] = np.where(spaced["c"] == "u", "new york", "new  york")
    assert found(spaced) == [("info", "c")]


def test_a_row_of_totals_at_the_end():
    rng = np.random.default_rng(0)
    amounts = np.round(rng.uniform(0, 90, (40, 2)), 2)
    data = {
        "shop": [f"s{i % 4}" for i in range(40)] + ["Total"],
        "sales": [*amounts[:, 0], amounts[:, 0].sum()],
        "cost": [f"$ {value:,.2f}" for value in [*amounts[:, 1], amounts[:, 1].sum()]],
        "size": [*rng.normal(size=40), np.nan],
    }
    (finding,) = (f for f in check_table(read(data), "size") if f.severity == "warning")
    assert (finding.column, "'sales', 'cost'" in finding.message) == (None, True)
    data["sales"][-1] += 1
    data["cost"][-1] = "$ 12.50"
    assert not [f for f in check_table(read(data), "size") if f.severity == "warning"]


@pytest.mark.parametrize("column", [[0] * 30 + [1, 1], [0] * 32, [1.0, 2.0, 3.0]])
def test_no_row_of_totals(column):
    table = read({"a": column, "b": [float(i * i) for i in range(len(column))]})
    assert not [f for f in check_table(table, "b") if "sum" in f.message]


def test_targets_that_cannot_be():
    assert found(healthy() | {"y": ["a"] * N}) == [("error", "y")]
    days = np.datetime64("2020-01-01") + np.random.default_rng(0).integers(0, 300, N)
    assert found(healthy() | {"y": days}) == [("error", "y")]
    lacking = healthy()["y"].astype(object)
    lacking[:100] = None
    assert found(healthy() | {"y": lacking}) == [("warning", "y")]


def test_repeated_rows():
    rows = np.arange(N)
    rows[350:] = rows[:50]
    data = {name: values[rows] for name, values in healthy().items()}
    findings = check_table(read(data), "y")
    assert [(f.severity, f.column) for f in findings] == [("warning", None)]
    assert "12 % of the rows" in findings[0].message
    few = {
        "a": np.tile([0, 1], N),
        "b": np.tile([0, 0, 1, 1], N // 2),
        "y": np.tile([0, 1, 1, 0], N // 2),
    }
    assert found(few) == []  # such columns cannot but repeat


def test_small_and_wide_tables():
    assert found({"x": np.random.default_rng(0).normal(size=20), "y": [0, 1] * 10}) == [
        ("info", None)
    ]
    wide = {
        f"x{i}": column for i, column in enumerate(np.random.default_rng(0).normal(size=(80, 60)))
    }
    assert found(wide | {"y": np.tile([0, 1], 30)}) == [("info", None)]


def test_choices_of_the_user_are_not_reported():
    data = healthy() | {"k": np.arange(N)}
    assert found(data, kinds={"k": "ignore"}) == []
    assert found(data, kinds={"k": "id"}) == []


def test_a_large_category_is_not_an_id_because_of_the_sample():
    rng = np.random.default_rng(0)
    shop = np.char.add("s", rng.integers(0, 60_000, 200_000).astype(str))
    data = {"shop": shop, "a": rng.normal(size=200_000), "y": rng.normal(size=200_000)}
    assert guess_kinds(read(data))["shop"].name == "category"
    assert found(data) == []


def test_a_class_of_few_rows_does_not_make_a_column_a_leak():
    rng = np.random.default_rng(0)
    y = np.array(["neg"] * 4000, object)
    y[:4] = "pos"
    assert found({"a": rng.normal(size=4000), "b": rng.normal(size=4000), "y": y}) == [
        ("warning", "y")
    ]


def test_outliers_of_a_target_are_reported():
    data = healthy() | {"y": np.random.default_rng(1).normal(size=N)}
    assert found(data) == []
    data["y"][7] = 1e9
    assert found(data) == [("warning", "y")]


def test_large_tables_are_sampled_and_leaks_still_found():
    rng = np.random.default_rng(0)
    y = rng.normal(size=120_000)
    data = {"a": rng.normal(size=120_000), "leak": y * 3, "y": y}
    assert found(data) == [("warning", "leak")]


def test_an_id_whose_order_tells_the_target_is_named():
    rng = np.random.default_rng(3)
    n = 600
    time, noise = np.arange(n) / n, rng.normal(size=n)
    data = {"order_id": np.arange(n) + 7000, "x": rng.normal(size=n), "y": 2 * time + noise}
    (told,) = [x for x in check_table(read(data), "y") if x.severity == "warning"]
    assert told.column == "order_id"
    assert "its order tells 2" in told.message  # 4 / 12 of the variance of 1 + 4 / 12
    assert "kinds={'order_id': 'number'}" in told.fix
    late = np.where(rng.random(n) < time, "late", "early")
    told = [x for x in check_table(read(data | {"y": late}), "y") if x.severity == "warning"]
    assert [x.column for x in told] == ["order_id"]
    shuffled = data | {"order_id": rng.permutation(n) + 7000}
    assert [x for x in check_table(read(shuffled), "y") if x.severity == "warning"] == []
