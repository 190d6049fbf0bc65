"""A transformer that learns to sort: eight digits go in, the same digits in order come out."""

import os

import numpy as np

import chainrule as cr

LENGTH, DIGITS, WIDTH = 8, 10, 32

generator = np.random.default_rng(0)
every = np.unique(generator.integers(0, DIGITS, (12_000, LENGTH)), axis=0)  # no sequence twice
generator.shuffle(every)
train, test = every[1000:], every[:1000]

digits = cr.input("digits", (LENGTH,), dtype="int32")
ordered = cr.input("ordered", (LENGTH,), dtype="int32")
h = cr.embedding(digits, DIGITS, WIDTH, name="embedding")  # (N, 8) -> (N, 8, 32)
h = cr.positions(h, "learned", name="positions")  # tells the places of the answer apart
for k in (1, 2):
    h = cr.transformer_encoder(h, heads=4, hidden=64, name=f"block{k}")
logits = cr.dense(cr.layer_norm(h), DIGITS, name="logits")  # for each place the digit there

model = cr.Model(outputs=logits, loss=cr.cross_entropy(logits, ordered), seed=0)
print(model.summary())
model.fit(
    {"digits": train, "ordered": np.sort(train)},
    optimizer=cr.Adam(cr.schedules.OneCycle(5e-3)),
    batch_size=64,
    epochs=int(os.environ.get("EPOCHS", "8")),
)

answer = model.predict({"digits": test}).argmax(-1)
right = answer == np.sort(test)
print(f"{len(test):,} sequences that training has not seen:")
print(f"  digits at the right place: {right.mean():.3f}")
print(f"  sequences right in full:   {right.all(-1).mean():.3f}")
for row in range(3):
    print("  " + " ".join(map(str, test[row])), "->", " ".join(map(str, answer[row])))
