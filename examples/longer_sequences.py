"""Parity of sequences longer than those trained on: a GRU goes on counting, a dense network fails.

Both networks see the same numbers, and have about as much time to train.
"""

import os

import numpy as np

import chainrule as cr

SHORT, LONG = 8, 24  # steps in training, steps at most
generator = np.random.default_rng(0)


def sequences(rows: int, most: int) -> dict[str, np.ndarray]:
    """Random bits of 1 to `most` steps, each with a mark that it counts; and their parity."""
    counts = np.arange(LONG) < generator.integers(1, most + 1, rows)[:, None]  # (rows, LONG)
    bits = generator.integers(0, 2, counts.shape) * counts
    odd = bits.sum(axis=1, keepdims=True) % 2
    return {"x": np.stack([bits, counts], axis=2), "t": odd}


def dense(x: cr.Node) -> cr.Node:
    """All steps side by side."""
    return cr.mlp(cr.flatten(x), (128, 128))


def recurrent(x: cr.Node) -> cr.Node:
    """Step by step, with the same weights; steps that do not count leave the state alone."""
    return cr.gru(x, 16, mask=cr.greater(x[:, :, 1], 0.5), outputs="last")


data = sequences(4000, SHORT)
for network in (dense, recurrent):
    x, t = cr.input("x", (LONG, 2)), cr.input("t", (1,))
    logit = cr.dense(network(x), 1, name="logit")
    model = cr.Model(outputs=logit, loss=cr.binary_cross_entropy(logit, t), seed=0)
    model.fit(data, optimizer=cr.Adam(1e-2), epochs=int(os.environ.get("EPOCHS", "20")))
    print(f"{network.__name__}, {model.size:,} parameters")
    for least, most in ((1, SHORT), (SHORT + 1, LONG)):
        new = sequences(4000, most)
        new = {name: v[new["x"][:, :, 1].sum(axis=1) >= least] for name, v in new.items()}
        right = model.evaluate(new)["accuracy"]
        print(f"  {least} to {most} steps: {100 * right:.1f} % right")
