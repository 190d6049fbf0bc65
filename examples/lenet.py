"""LeNet: convolutions on handwritten digits, or with DATA=fashion-mnist on pictures of clothes."""

import os

import numpy as np

import chainrule as cr

table = cr.data.read(os.environ.get("DATA", "digits")).to_dict()
label = table.popitem()[1]  # the last column; those before it are pixels, row by row
classes, target = np.unique(label, return_inverse=True)
pixels = np.stack(list(table.values()), axis=1).astype("float32")
side = int(pixels.shape[1] ** 0.5)
images = (pixels / pixels.max()).reshape(-1, side, side, 1)

x = cr.input("image", (side, side, 1), axes=("height", "width", "channels"))
t = cr.input("label", (), dtype="int32")
logits = cr.sequential(
    x,
    cr.layer.conv(6, 5, "relu", name="conv1"),
    cr.layer.max_pool(2, name="pool1"),
    cr.layer.conv(16, 5, "relu", name="conv2"),
    cr.layer.max_pool(2, name="pool2"),
    cr.layer.flatten(),
    cr.layer.dense(120, "relu", name="hidden1"),
    cr.layer.dense(84, "relu", name="hidden2"),
    cr.layer.dense(len(classes), name="logits"),
)
model = cr.Model(outputs=logits, loss=cr.cross_entropy(logits, t), seed=0)
print(model.summary())

order = cr.data.shuffled(len(target), 0)
test, train = np.split(order, [len(order) // 6])
model.fit(
    {"image": images[train], "label": target[train]},
    optimizer=cr.Adam(cr.schedules.OneCycle(4e-3)),
    epochs=int(os.environ.get("EPOCHS", "8")),
)
scores = model.evaluate({"image": images[test], "label": target[test]})
print(f"accuracy on {len(test)} held-out images: {scores['accuracy']:.3f}")

print("\nHow one pixel of the first layer came about:")
trace = model.run({"image": images[test[:1]], "label": target[test[:1]]})
print(trace.pixel("conv1", (side // 2, side // 2), channel=2))
