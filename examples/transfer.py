"""Transfer: the convolutions that learned seven digits, frozen, and a new head for three others."""

import os

import numpy as np

import chainrule as cr

OLD, EACH = 7, 3  # digits of the first task; examples of each new one
epochs = int(os.environ.get("EPOCHS", "30"))
table = cr.data.read("digits").to_dict()  # 1,797 images of 8 x 8 pixels from 0 to 16
digit = table.pop("digit")
pixels = np.stack(list(table.values()), axis=1).reshape(-1, 8, 8, 1) / 16  # (n, 8, 8, 1)


def network(classes: int, trainable: bool, values=None) -> cr.Model:
    """A body of two convolutions, which may be frozen, and a head."""
    x, t = cr.input("x", (8, 8, 1)), cr.input("t", (), dtype="int32")
    h = cr.conv(x, 16, 3, "relu", name="edges", trainable=trainable)
    h = cr.max_pool(h, 2)
    h = cr.conv(h, 32, 3, "relu", name="parts", trainable=trainable)
    logits = cr.dense(cr.flatten(h), classes, name="head")
    return cr.Model(outputs=logits, loss=cr.cross_entropy(logits, t), seed=0, values=values)


def fit(model: cr.Model, x: np.ndarray, t: np.ndarray, epochs: int) -> None:
    model.fit({"x": x, "t": t}, optimizer=cr.Adam(5e-3), epochs=epochs, batch_size=32,
              validation=None, verbose=False)  # fmt: skip


# The first task has many examples: the digits 0 to 6.
seen = digit < OLD
first = network(OLD, trainable=True)
fit(first, pixels[seen], digit[seen], epochs)

# The second has nine: three of each of 7, 8 and 9. Its body is that of the first, and stays so.
new = np.flatnonzero(~seen)
few = np.concatenate([new[digit[new] == k][:EACH] for k in range(OLD, 10)])
rest = np.setdiff1d(new, few)
body = {name: x for name, x in first.values.items() if not name.startswith("head")}
moved = network(10 - OLD, trainable=False, values=body)
alone = network(10 - OLD, trainable=True)
for model in (moved, alone):
    fit(model, pixels[few], digit[few] - OLD, 7 * epochs)
assert all((moved.value(name) == x).all() for name, x in body.items())

print(f"{len(few)} images of new digits, scored on the other {len(rest)}")
for words, model in (("a new head on the old body", moved), ("all from the beginning", alone)):
    accuracy = model.evaluate({"x": pixels[rest], "t": digit[rest] - OLD})["accuracy"]
    print(f"{words}: {model.size:,} trained parameters, accuracy {accuracy:.3f}")
