"""One table has one reading, whatever container it comes in."""

import csv
import datetime as dt
import json

import numpy as np
import pytest

from chainrule.data import Schema, read

N = 120


def table():
    random = np.random.default_rng(0)
    start, hours = dt.datetime(2024, 1, 1, tzinfo=dt.UTC), random.integers(0, 9000, N).tolist()
    words = ["red", "blue", "nan", "inf", "none", "dress"]
    return {
        "num": [float(x) if k % 9 else None for k, x in enumerate(random.normal(size=N).round(3))],
        "count": random.integers(0, 50, N).tolist(),
        "flag": [bool(x) for x in random.integers(0, 2, N)],
        "zip": [f"{x:05}" for x in random.integers(100, 99999, 30).repeat(4)],
        "version": ["1.10", "1.9", "2.0-rc"] * (N // 3),
        "answer": ["yes", "no", "N/A"] * (N // 3),
        "phone": [f"+4917{x}" for x in random.integers(10**7, 10**8, N)],
        "when": [start + dt.timedelta(hours=hour) for hour in hours],
        "text": [" ".join(random.choice(words, 5)) for _ in range(N)],
        "hex": [f"{k:x}e{k % 10}0" for k in range(N)],
        "y": ["a", "b"] * (N // 2),
    }  # fmt: skip


def sources(folder):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    columns = table()
    texts = columns | {"when": [moment.isoformat() for moment in columns["when"]]}
    records = [dict(zip(texts, row, strict=True)) for row in zip(*texts.values(), strict=True)]
    for name, options in (("plain.csv", {}), ("quoted.csv", {"quoting": csv.QUOTE_ALL}),
                          ("semicolon.csv", {"delimiter": ";"})):  # fmt: skip
        with (folder / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, texts, **options)
            writer.writeheader()
            writer.writerows(records)
        yield name, folder / name
    frame = pandas.DataFrame(columns)
    frame.to_csv(folder / "pandas.csv", index=False)
    frame.to_parquet(folder / "t.parquet")
    (folder / "t.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    for name in ("pandas.csv", "t.parquet", "t.jsonl"):
        yield name, folder / name
    yield from {"dict": columns, "texts": texts, "records": records, "pandas": frame,
                "polars": polars.DataFrame(columns), "query": f"from '{folder / 'plain.csv'}'",
                }.items()  # fmt: skip


def test_a_model_of_any_container_reads_every_other_alike(tmp_path):
    tables = {name: read(source) for name, source in sources(tmp_path)}
    schemas = {name: Schema.learn(found, "y") for name, found in tables.items()}
    expected = schemas["plain.csv"].encode(tables["plain.csv"])
    kinds = {x.name: (x.guessed if x.kind == "dropped" else x.kind, x.gaps)
             for x in schemas["dict"].columns}  # fmt: skip
    assert kinds == {
        "num": ("number", 14), "count": ("number", 0), "flag": ("boolean", 0),
        "zip": ("category", 0), "version": ("category", 0), "answer": ("category", 0),
        "phone": ("id", 0), "when": ("date", 0), "text": ("text", 0), "hex": ("id", 0),
    }  # fmt: skip
    for learned, schema in schemas.items():
        for given, found in tables.items():
            encoded = schema.encode(found)
            assert not encoded.notes, (learned, given)
            for name, array in expected.arrays.items():
                np.testing.assert_array_equal(encoded.arrays[name], array, f"{learned}, {given}")
            assert encoded.target.tolist() == expected.target.tolist()
