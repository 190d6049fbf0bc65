"""One row of a table through a trained model: each step forward and backward with its numbers."""

import os

import chainrule as cr

table = cr.data.read("penguins")
model = cr.train(
    table,
    "species",
    hidden=(4,),
    dropout=0.0,
    epochs=int(os.environ.get("EPOCHS", "60")),
    verbose=False,
)

row = table.take([17])
print(row)
print(model.predict(row))

trace = model.run(row)
trace.backward(model.loss)
for step in trace.steps():
    print(f"\n[{step.direction}] {step}")
