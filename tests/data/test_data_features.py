"""The numeric encoders as nodes: what each kind of column becomes in the graph."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.data import read
from chainrule.data.features import CLIP_SIGMA, features
from chainrule.data.schema import Schema
from chainrule.errors import SettingError
from chainrule.graph import Graph
from chainrule.recipe.evaluation import evaluate
from chainrule.recipe.importance import importance

N = 40


def encoded(columns, new=None, **options):
    """Schema, features, and the feature matrix of `new` (or of the training table)."""
    table = read(columns)
    schema = Schema.learn(table)
    found = features(schema, **options)
    arrays = schema.encode(read(new or columns), "none").arrays
    return schema, found, cr.run(found.node, arrays).value(found.node)


def test_numbers_are_standardised_as_training_had_them():
    x = np.linspace(3.0, 7.0, N)
    _, found, z = encoded({"x": x}, {"x": np.array([3.0, 5.0, 100.0])}, scaling="standard")
    expected = np.array([(3 - x.mean()) / x.std(), (5 - x.mean()) / x.std(), CLIP_SIGMA])
    np.testing.assert_allclose(z[:, 0], expected, rtol=1e-6)
    assert z.dtype == np.float32
    assert found.target is None
    assert found.treatments == {"x": "standardised"}


def test_robust_scaling_takes_the_quartiles_and_bends_outliers_inwards():
    x = np.append(np.linspace(-2.0, 2.0, 4001), 1e30)
    new = {"x": [0.0, 1.0, -1.0, 1e30, -1e300]}
    _, found, z = encoded({"x": x}, new, scaling="robust")
    one = 0.5 / np.sqrt(1 + (0.5 / 3) ** 2)  # the quartiles are at -1 and 1
    np.testing.assert_allclose(z[:, 0], [0, one, -one, 3, -3], atol=2e-3)
    assert "quartiles" in found.treatments["x"]


def test_robust_scaling_of_a_column_that_is_mostly_one_value_takes_wider_quantiles():
    x = np.append(np.zeros(900), np.arange(1.0, 101.0))
    _, _, z = encoded({"x": x}, {"x": [0.0, 50.0, 1e9]}, scaling="robust")
    assert z[0, 0] == 0
    assert 0.3 < z[1, 0] < z[2, 0] <= 3


@pytest.mark.parametrize(("rows", "how"), [(400, "quantiles"), (4000, "quartiles")])
def test_few_rows_of_numbers_that_rarely_differ_go_through_their_quantiles(rows, how):
    x = np.where(np.arange(rows) % 5, 0.0, np.exp(np.arange(rows) % 7))
    _, found, z = encoded({"x": x}, {"x": [0.0, 1.0, 20.0, 400.0]})
    assert how in found.treatments["x"]
    assert (np.diff(z[:, 0]) > 0).all()


def test_many_numbers_are_standardised_where_most_columns_are_in_bounds():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (500, 60))
    rare = np.where(rng.random((500, 60)) < 0.1, rng.exponential(size=(500, 60)) ** 3, 0)
    huge = rare * 1e300

    def treatment(x, count=60):
        found = encoded({f"x{k}": x[:, k] for k in range(count)})[1]
        return found.treatments["x0"]

    assert treatment(pixels) == "standardised"
    assert "quartiles" in treatment(pixels, 50)
    assert "quartiles" in treatment(rare)
    assert "quartiles" in treatment(huge)


def test_gaps_are_filled_with_the_median_and_marked_where_training_had_some():
    x = np.arange(N, dtype=float)
    x[5] = np.nan
    y = np.arange(N) * 2.0
    new = {"x": [np.nan, 3.0], "y": [1.0, np.nan]}
    _, found, z = encoded({"x": x, "y": y}, new, scaling="standard")
    assert z.shape == (2, 3)  # x, y, and the indicator of x's gaps
    median = np.nanmedian(x)
    assert z[0, 0] == pytest.approx((median - np.nanmean(x)) / np.nanstd(x), rel=1e-5)
    assert z[1, 1] == pytest.approx((np.median(y) - y.mean()) / y.std(), abs=1e-6)
    np.testing.assert_array_equal(z[:, 2], [1, 0])
    assert "marked" in found.treatments["x"]
    assert "marked" not in found.treatments["y"]


def test_a_large_offset_loses_no_digits():
    x = 1.7e9 + np.arange(N)  # seconds since 1970: float32 would make them all equal
    _, _, z = encoded({"x": x}, scaling="standard")
    np.testing.assert_allclose(z[:, 0], (x - x.mean()) / x.std(), rtol=1e-5, atol=1e-6)


def test_numbers_of_very_different_size_go_through_their_quantiles_by_themselves():
    rng = np.random.default_rng(0)
    size = np.exp(2.5 * rng.normal(size=3000))
    columns = {"x": rng.normal(size=3000), "size": size, "date_like": rng.exponential(size=3000)}
    _, found, z = encoded(columns)
    assert "quantiles" in found.treatments["size"]
    assert "quartiles" in found.treatments["x"]
    assert "quartiles" in found.treatments["date_like"]
    assert found.numbers.shape[1] == 3
    alone = encoded({"size": size}, scaling="quantile")[2]
    np.testing.assert_array_equal(z[:, 2:3], alone)  # beside the others, at the end
    assert "quartiles" in encoded(columns, scaling="robust")[1].treatments["size"]


def test_skewed_numbers_go_through_their_quantiles():
    x = np.append(np.linspace(0, 1, 10_000), 1e6)
    new = {"x": [-5.0, 0.0, 0.5, 1e6, 1e12]}
    _, found, z = encoded({"x": x}, new, scaling="quantile")
    assert found.treatments["x"].startswith("through its quantiles")
    share = z[:, 0] / 12**0.5 + 0.5
    np.testing.assert_allclose(share, [0, 0, 0.5, 1, 1], atol=2e-3)


def test_equal_values_share_the_middle_of_their_quantiles():
    x = np.array([0.0] * 50 + [1.0] * 50 + [1e9])
    _, _, z = encoded({"x": x}, {"x": [0.0, 1.0]}, scaling="quantile")
    share = z[:, 0] / 12**0.5 + 0.5
    # The lower half of the 33 knots is 0: their middle is about a quarter, and so for 1.
    np.testing.assert_allclose(share, [0.25, 0.75], atol=0.02)


def test_a_column_of_one_number_and_gaps_gives_no_nan():
    x = np.full(N, 3.0)
    x[0] = np.nan
    _, _, z = encoded({"x": x, "y": np.arange(N) * 1.0})
    assert np.isfinite(z).all()


def test_categories_are_one_hot_and_unseen_ones_all_zeros():
    colour = ["red", "green", "blue", "green"] * 10
    schema, found, z = encoded({"colour": colour}, {"colour": ["blue", "mauve", None, "red"]})
    np.testing.assert_array_equal(z, [[1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 1]])
    assert found.treatments["colour"] == "one-hot, 3 columns"
    assert schema.encode(read({"colour": ["mauve"]}), "none").notes


def test_a_gap_in_training_is_a_level_of_its_own():
    colour = [None, "green", "blue", "green"] * 10
    _, _, z = encoded({"colour": colour}, {"colour": [None, "green"]})
    np.testing.assert_array_equal(z, [[1, 0, 0], [0, 0, 1]])


def test_many_levels_are_embedded():
    codes = [f"level {k % 60}" for k in range(600)]
    _, found, z = encoded({"c": codes})
    width = round(1.6 * 60**0.56)
    assert z.shape == (600, width)
    assert "embedded" in found.treatments["c"]
    np.testing.assert_array_equal(z[0], z[60])


TITLES = [f"{rank} {job}" for rank in ("senior", "junior", "chief", "lead", "deputy")
          for job in ("clerk", "nurse", "driver", "cook", "smith", "baker", "miller", "judge",
                      "tailor", "porter", "mason", "pilot")]  # fmt: skip


def test_names_of_several_words_have_their_words_beside_the_embedding():
    columns = {"job": TITLES * 2 + ["senior juggler"]}
    new = {"job": ["senior clerk", "junior clerk", "senior juggler", "chief juggler", None]}
    schema, found, z = encoded(columns, new)
    (job,) = schema.used
    assert job.words.words == tuple(sorted({word for title in TITLES for word in title.split()}))
    codes, words = (x for x in schema.blocks)
    assert (codes.kind, words.name, words.width) == ("category", "job.words", 17)
    assert "embedded" in found.treatments["job"]
    assert "17 words" in found.treatments["job"]
    bags = z[:, -17:]
    np.testing.assert_allclose(np.square(bags).sum(axis=1), [1, 1, 1, 1, 0], atol=1e-6)
    clerk, senior = (job.words.words.index(word) for word in ("clerk", "senior"))
    assert (bags[[0, 1], clerk] > 0).all()
    assert (bags[[0, 2], senior] > 0).all()  # a title that is met once is known by its rank
    again = Schema.from_dict(schema.to_dict())
    np.testing.assert_array_equal(again.encode(read(new), "none").arrays["job.words"], bags)


@pytest.mark.parametrize(
    "names",
    [
        [f"town{k}" for k in range(60)],  # single words
        [f"new town{k}" for k in range(60)],  # a word that all share tells nothing
        TITLES[:40],  # few
        ["10 x" for _ in range(60)],
    ],
)
def test_names_whose_words_tell_nothing_are_levels_alone(names):
    schema, _, _ = encoded({"c": names * 3, "x": np.arange(3.0 * len(names)) ** 0.5})
    assert [x.kind for x in schema.blocks if x.kind == "array"] == []


@pytest.mark.parametrize(("positives", "alone"), [(540, True), (108, False)])
def test_levels_of_few_rows_share_a_vector_where_classes_are_rare(positives, alone):
    """With 1 positive in 10 a level needs 20 rows, with 1 in 2 it needs 4."""
    place = np.r_[np.repeat(np.arange(40), 24), np.repeat(np.arange(40, 70), 4)]
    n = np.arange(1080)
    y = np.where(n * positives // 1080 != (n + 1) * positives // 1080, 1, 0)
    table = read({"c": [f"p{k}" for k in place], "y": y})
    schema = Schema.learn(table, "y")
    found = features(schema)
    z = cr.run(found.node, schema.encode(table, "none").arrays).value(found.node)
    assert len(np.unique(z[:960], axis=0)) == 40
    assert len(np.unique(z[960:], axis=0)) == (30 if alone else 1)
    assert ("share one" in found.treatments["c"]) is not alone


def test_booleans_and_dates_are_numbers():
    table = {
        "member": [True, False, None, True] * 10,
        "day": np.array(["2024-02-29", "2024-03-01"] * 20, "datetime64[D]"),
    }
    _, found, z = encoded(table)
    assert np.isfinite(z).all()
    assert found.treatments["day"].startswith("parts of the date")
    assert len(np.unique(z, axis=0)) > 2


def test_the_features_can_be_named_like_layers_and_columns():
    table = {"features": np.arange(N), "numbers": np.arange(N)[::-1], "dense": ["a", "b"] * 20}
    _, found, z = encoded(table)
    model = cr.Model(outputs=cr.dense(found.node, 2))
    assert z.shape == (N, 4)
    assert len(model.values) == 2


def test_a_single_text_column_is_an_input_of_its_own_name():
    texts = [f"a good thing {k}" if k % 2 else f"bad and broken {k}" for k in range(60)]
    schema, found, z = encoded({"review": texts})
    block = schema.blocks[0]
    assert z.shape == (60, block.width)
    assert found.treatments == {"review": f"counts of {block.width} words, weighted"}
    model = cr.train({"review": texts, "y": [0, 1] * 30}, "y", verbose=False)
    assert list(model.predict({"review": ["a good thing", "bad and broken"]}).labels) == [1, 0]


def test_a_column_without_a_name_is_a_column():
    table = {
        "": ["a", "b"] * 10,
        "a\nb": np.arange(20),
        "日本": np.arange(20) * 2.0,
        "y": [0, 1] * 10,
    }
    model = cr.train(table, "y", verbose=False, epochs=30)
    assert model.evaluate(table)["accuracy"] > 0.9


def test_an_unknown_scaling_names_the_nearest():
    schema = Schema.learn(read({"x": np.arange(N)}))
    with pytest.raises(SettingError, match="did you mean 'quantile'"):
        features(schema, scaling="quantil")


def test_numbers_that_many_rows_share_are_learned_one_by_one():
    rng = np.random.default_rng(0)
    amount = np.where(rng.random(400) < 0.85, 0.0, rng.choice([5.0, 7.5, 1000.0, 3.25], 400))
    amount[0], amount[1] = 123.0, np.nan
    columns = {"amount": amount, "even": rng.normal(size=400)}
    schema, found, _ = encoded(columns)
    shared = {x.name: x.shared for x in schema.used}
    assert shared == {"amount": (0, 3.25, 5, 7.5, 1000), "even": ()}  # 123 is in one row alone
    assert found.treatments["amount"].endswith(
        "gaps filled with the median and marked, and 5 values that many rows share one by one"
    )
    graph = Graph(found.node)
    place = next(x for x in graph.operations if graph.name(x) == "amount.shared")
    new = {"amount": [0, 3.25, 5, 7.5, 1000, 4, -1, 1e9, np.nan], "even": np.zeros(9)}
    arrays = schema.encode(read(new), "none").arrays
    assert cr.run(place, arrays).value(place).tolist() == [0, 1, 2, 3, 4, 5, 5, 5, 5]


def test_many_categories_lie_in_one_array_and_mean_the_same():
    rng = np.random.default_rng(0)
    columns = {f"c{k}": rng.choice(["u", "v", "w", "x"], N).astype(object) for k in range(35)}
    columns["c3"][:9] = None
    columns["c4"] = np.array([f"l{i % 36}" for i in range(N)], object)
    new = {name: values[:6].copy() for name, values in columns.items()}
    new["c5"][0] = "never met"
    schema, found, z = encoded(columns, new)
    (block,) = schema.blocks
    assert (block.kind, block.width) == ("categories", 35)
    apart = np.concatenate(
        [encoded({n: columns[n]}, {n: new[n]})[2] for n in columns if n != "c4"], axis=1
    )
    np.testing.assert_array_equal(z[:, : apart.shape[1]], apart)
    assert z.shape[1] == apart.shape[1] + 12  # the embedding of c4
    assert found.treatments["c4"] == "embedded, 36 levels in 12 numbers"
    assert found.treatments["c3"] == "one-hot, 5 columns"
    limited = encoded(columns, new, one_hot_up_to=1)[2]
    assert limited.dtype == np.float32


def test_a_survey_of_many_questions_is_learned_saved_and_judged(tmp_path):
    rng = np.random.default_rng(0)
    table = {f"q{k}": rng.choice(["a", "b", "c"], 300) for k in range(60)}
    table["categories"] = np.where(table["q7"] == "a", "yes", "no")
    model = cr.train(table, "categories", epochs=12, refit="no", members=1, verbose=False)
    assert model.evaluate(table)["accuracy"] > 0.95
    model.save(tmp_path / "m.safetensors")
    again = cr.load(tmp_path / "m.safetensors").predict(table)
    np.testing.assert_array_equal(again.values, model.predict(table).values)
    found = importance(model, evaluate(model, model.schema.encode(read(table), "required"), "all"))
    assert found.ranked[0][0] == "q7"
    assert [name for name, rise, spread in found.columns if rise > 3 * spread] == ["q7"]
