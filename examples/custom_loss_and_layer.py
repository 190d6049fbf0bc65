"""A custom loss and a custom layer: functions of nodes; gradients are derived automatically."""

import os

import numpy as np

import chainrule as cr


def gated(x: cr.Node, width: int, name: str) -> cr.Node:
    """A layer: `a * sigmoid(b)`, where a and b are two dense layers on x."""
    value = cr.dense(x, width, name=f"{name}.value")
    gate = cr.dense(x, width, activation="sigmoid", name=f"{name}.gate")
    return (value * gate).named(name)


def log_cosh(prediction: cr.Node, target: cr.Node) -> cr.Node:
    """A loss: like the square near 0 and like the absolute value far from it."""
    d = prediction - target
    return cr.mean(d + cr.softplus(-2.0 * d) - np.log(2.0)).named("loss")


x = cr.input("x", (3,))
t = cr.input("t", (1,))
y = cr.dense(gated(gated(x, 32, "first"), 32, "second"), 1, name="y")
loss = log_cosh(y, t)

generator = np.random.default_rng(0)
data = generator.normal(size=(1000, 3))
target = data[:, :1] * data[:, 1:2] + np.sin(2 * data[:, 2:])

print(cr.check_gradients(loss, {"x": data[:5], "t": target[:5]}))

model = cr.Model(outputs=y, loss=loss, seed=0)
model.fit(
    {"x": data, "t": target},
    optimizer=cr.AdamW(3e-3),
    epochs=int(os.environ.get("EPOCHS", "30")),
)
print(f"loss over all rows: {model.evaluate({'x': data, 't': target})['loss']:.4f}")
