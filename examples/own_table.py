"""A table of your own: python examples/own_table.py FILE TARGET (without them, the penguins)."""

import os
import sys
from pathlib import Path

import chainrule as cr

source, target = sys.argv[1:] or ("penguins", "species")
settings = {"epochs": int(os.environ["EPOCHS"])} if "EPOCHS" in os.environ else {}

table = cr.data.read(source)
for finding in cr.data.check_table(table, target):
    print(f"{finding.severity}: {finding.message}")

model = cr.train(table, target, **settings)  # other settings are chosen by the data
for column in model.schema.describe():
    print(f"{column.column:<20} {column.kind:<9} {column.treatment}")

print(model.predict(table.drop(target).take(range(3))))  # a new table needs no target
model.save(f"{Path(source).stem}.safetensors")
