"""Regression with uncertainty: the quantiles 5 %, 50 % and 95 % at once."""

import os

import numpy as np

import chainrule as cr

generator = np.random.default_rng(0)
at = generator.uniform(-3, 3, size=(2000, 1))
noise = (0.1 + 0.3 * np.abs(at[:, 0])) * generator.normal(size=2000)  # more of it further out
value = np.sin(at[:, 0]) + noise

levels = (0.05, 0.5, 0.95)
x = cr.input("x", (1,))
t = cr.input("t", ())
h = cr.mlp(x, (64, 64), "tanh")
y = cr.dense(h, len(levels), name="quantiles")

model = cr.Model(outputs=y, loss=cr.quantile(y, t, quantiles=levels), seed=0)
model.fit(
    {"x": at[:1500], "t": value[:1500]},
    optimizer=cr.Adam(cr.schedules.Cosine(5e-3)),
    epochs=int(os.environ.get("EPOCHS", "40")),
)

low, _, high = model.predict({"x": at[1500:]}).T
inside = np.mean((low <= value[1500:]) & (value[1500:] <= high))
print(f"{inside:.1%} of 500 new values lie between the 5 % and the 95 % quantile")
for position in (0.0, 1.5, 3.0):
    row = model.predict({"x": [[position]]})[0]
    print(f"x = {position:3}: {row[0]:6.2f} to {row[2]:5.2f}, middle {row[1]:5.2f}")
