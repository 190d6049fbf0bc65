"""Layers and losses through a model: every loss goes down, and files bring all layers back."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.nn import layer

R = np.random.default_rng(8)
X = R.normal(size=(120, 4)).astype("float32")
GAPS = R.random(120) < 0.3
CLASS = (X[:, 0] > 0).astype("int32") + (X[:, 1] > 0)
SHARES = R.dirichlet(np.ones(3), size=120).astype("float32")


def number(name, *shape):
    return cr.input(name, shape)


def codes(name, *shape):
    return cr.input(name, shape, dtype="int32")


CASES = {
    "squared_error": (4, lambda y: cr.squared_error(y, number("t", 4)), X),
    "absolute_error": (4, lambda y: cr.absolute_error(y, number("t", 4)), X),
    "huber": (4, lambda y: cr.huber(y, number("t", 4)), X),
    "poisson": (1, lambda y: cr.poisson(y, codes("t", 1)), R.poisson(np.exp(X[:, :1]))),
    "quantile": (3, lambda y: cr.quantile(y, number("t"), quantiles=[0.1, 0.5, 0.9]), X[:, 0]),
    "binary": (3, lambda y: cr.binary_cross_entropy(y, cr.input("t", 3, "bool")), X[:, :3] > 0),
    "classes": (3, lambda y: cr.cross_entropy(y, codes("t")), CLASS),
    "ignored": (3, lambda y: cr.cross_entropy(y, codes("t"), ignore_index=-1),
                np.where(GAPS, -1, CLASS)),
    "shares": (3, lambda y: cr.cross_entropy(y, number("t", 3)), SHARES),
    "kl_divergence": (3, lambda y: cr.kl_divergence(y, number("t", 3)), SHARES),
    "hinge": (3, lambda y: cr.hinge(y, codes("t")), CLASS),
    "cosine": (3, lambda y: cr.cosine(y, number("t", 3)), X[:, 1:]),
    "penalised": (3, lambda y: cr.cross_entropy(y, codes("t")) + cr.l1(*cr.weights_of(y),
                  strength=1e-4), CLASS),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_loss_goes_down(name):
    width, make, target = CASES[name]
    y = cr.dense(cr.mlp(number("x", 4), 16, "tanh"), width)
    model, data = cr.Model(outputs=y, loss=make(y), seed=0), {"x": X, "t": target}
    before = model.evaluate(data)["loss"]
    model.fit(data, optimizer=cr.Adam(3e-2), batch_size=32, epochs=5, validation=None,
              verbose=False)  # fmt: skip
    after = model.evaluate(data)["loss"]
    assert np.isfinite(after)
    assert after < before


@pytest.mark.parametrize("along", [(), (2,)])
def test_targets_with_gaps(along):
    known = R.random((120, *along)) < 0.7
    target = X[:, :2].copy()
    target[~known] = np.nan
    y = cr.dense(number("x", 4), 2)
    w = cr.input("w", along, dtype="bool")
    model = cr.Model(outputs=y, loss=cr.squared_error(y, number("t", 2), weights=w), seed=0)
    data = {"x": X, "t": target, "w": known}
    model.fit(data, optimizer=cr.Adam(0.1), batch_size=16, epochs=10, validation=0.2, verbose=False)
    assert model.evaluate(data)["loss"] < 0.05


def test_a_model_of_all_layers_comes_back_from_its_file(tmp_path):
    h = cr.concat([number("x", 4), cr.embedding(codes("c", 2), 5, 3).reshape(-1, 6)], -1)
    h = cr.sequential(
        h,
        layer.mlp((16, 16), "gelu", norm="batch", dropout=0.1),
        layer.residual(layer.dense(8, "elu"), layer.rms_norm(), layer.dense(16)),
        layer.layer_norm(),
        layer.dense(3, init=lambda shape, generator: generator.normal(size=shape), name="out"),
    )
    model = cr.Model(outputs=h, loss=cr.cross_entropy(h, codes("t")), seed=0)
    data = {"x": X, "c": R.integers(0, 5, size=(120, 2)), "t": CLASS}
    model.fit(data, optimizer=cr.Adam(1e-2), batch_size=32, epochs=3, validation=None,
              verbose=False)  # fmt: skip
    assert model.value("batch_norm.steps") == 12
    model.save(tmp_path / "m.safetensors")
    again = cr.load(tmp_path / "m.safetensors")
    seen = {"x": X, "c": data["c"]}
    np.testing.assert_array_equal(again.predict(seen), model.predict(seen))
    assert cr.summary(again) == cr.summary(model)
    one = again.predict({"x": X[:1], "c": data["c"][:1]})
    np.testing.assert_allclose(one, model.predict(seen)[:1], rtol=1e-5, atol=1e-6)
