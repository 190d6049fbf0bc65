"""Handwritten digits: a network with one hidden layer, and its confusion matrix."""

import os

import numpy as np

import chainrule as cr

table = cr.data.read("digits").to_dict()  # 1,797 images of 8 x 8 pixels from 0 to 16
digit = table.pop("digit")
pixels = np.stack(list(table.values()), axis=1) / 16  # (n, 64)

x = cr.input("x", (64,))
t = cr.input("t", (), dtype="int32")
h = cr.dense(x, 128, activation="relu", name="hidden")
h = cr.dropout(h, 0.2)
logits = cr.dense(h, 10, name="logits")

model = cr.Model(outputs=logits, loss=cr.cross_entropy(logits, t), seed=0)
order = cr.data.shuffled(len(digit), 0)
train, test = order[300:], order[:300]
model.fit(
    {"x": pixels[train], "t": digit[train]},
    optimizer=cr.Adam(cr.schedules.OneCycle(5e-3)),
    epochs=int(os.environ.get("EPOCHS", "20")),
)

scores = model.evaluate({"x": pixels[test], "t": digit[test]})
print(f"accuracy on 300 held-out images: {scores['accuracy']:.3f}")
print("rows: the digit, columns: the prediction")
print(cr.metrics.confusion_matrix(digit[test], model.predict({"x": pixels[test]})).astype(int))
