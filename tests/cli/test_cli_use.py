"""`predict`, `evaluate`, `show`, `data` and help, as a user meets them."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from command import environment, houses, run

import chainrule as cr
from chainrule.cli import main
from chainrule.cli.command import paths
from chainrule.cli.commands import COMMANDS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a classifier of towns and a regressor of prices."""
    folder = tmp_path_factory.mktemp("use")
    houses(folder / "h.csv", 200)
    for target, name in (("town", "towns"), ("price", "prices")):
        run("train", "h.csv", "--target", target, "--epochs", "3", "-q", "-o", name, cwd=folder)
    return folder


@pytest.fixture
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def write(path: Path, table: list[dict[str, str]], names: list[str]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(table)


def test_classes_with_probabilities_in_the_rows_order(folder: Path) -> None:
    out, err = run("predict", "towns", "h.csv", cwd=folder)
    found = rows(out)
    assert list(found[0]) == ["town", *(f"probability of {t}" for t in ("Bonn", "Köln", "Ulm"))]
    expected = cr.load(folder / "towns" / "model.safetensors").predict(folder / "h.csv")
    assert [row["town"] for row in found] == expected.labels.tolist()
    told = np.array([[float(x) for x in list(row.values())[1:]] for row in found], np.float32)
    assert np.array_equal(told, expected.probabilities)
    assert "Traceback" not in err


def test_met_at_prediction(inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Shuffled, extra and text columns, an unseen category, new gaps, no target."""
    table = rows((inside / "h.csv").read_text(encoding="utf-8"))[:20]
    for k, row in enumerate(table):
        row["colour"] = "red"
        row["town"] = "Paris" if k == 4 else row["town"]
        row["age"] = "" if k == 5 else row["age"]
    write(inside / "new.csv", table, ["colour", "town", "sold", "age", "size", "id"])
    assert main(["predict", "prices", "new.csv", "--keep", "id,town", "-o", "out.csv"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    for part in ("another order", "'colour'", "Paris", "age", "20 predictions of price in out.csv"):
        assert part in err
    found = rows((inside / "out.csv").read_text(encoding="utf-8"))
    assert [row["id"] for row in found] == [row["id"] for row in table]
    assert found[4]["town"] == "Paris"
    assert all(np.isfinite(float(row["price"])) for row in found)
    write(inside / "fewer.csv", table, ["town", "age", "Size"])
    assert main(["predict", "prices", "fewer.csv"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "lacks 2 columns" in err
    assert "rename 'Size' to 'size'" in err


def test_nodes_in_place_of_the_prediction(inside: Path, capsys) -> None:
    assert main(["predict", "prices", "h.csv", "--node", "dense", "--keep", "town"]) == 0
    found = rows(capsys.readouterr().out)
    model = cr.load(inside / "prices" / "model.safetensors")
    hidden = model.predict(inside / "h.csv", outputs="dense")
    assert list(found[0]) == ["town", *(f"dense.{k}" for k in range(hidden.shape[1]))]
    told = np.array([[float(x) for x in list(row.values())[1:]] for row in found], np.float32)
    assert np.array_equal(told, hidden)
    assert main(["predict", "prices", "h.csv", "--node", "dense,numbers", "-o", "n.csv"]) == 0
    assert f"200 rows of {hidden.shape[1] + 8} columns of dense, numbers in n.csv" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("dens", "fix       --node dense"),
        ("dense.w", "'dense.w' has no value for each row, but float32("),
        ("qq", "chainrule show prices/model.safetensors"),
        (",", "--node NAME,NAME"),
    ],
)
def test_nodes_that_are_refused(name: str, part: str, inside: Path, capsys) -> None:
    assert main(["predict", "prices", "h.csv", "--node", name]) == 1
    found = capsys.readouterr()
    assert part in found.err
    assert not found.out


def test_a_kept_target_stands_beside_the_prediction(inside: Path, capsys) -> None:
    assert main(["predict", "towns", "h.csv", "--keep", "town", "-o", "both.csv"]) == 0
    assert "'predicted town'" in capsys.readouterr().err
    found = rows((inside / "both.csv").read_text(encoding="utf-8"))
    assert list(found[0])[:2] == ["town", "predicted town"]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".tsv"])
def test_other_formats_hold_the_same(suffix: str, inside: Path, capsys) -> None:
    name = f"it's {suffix[1:]}{suffix}"
    assert main(["predict", "towns", "h.csv", "--keep", "id,size", "-o", name, "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    table = cr.data.read(name)
    expected = cr.load("towns/model.safetensors").predict("h.csv")
    source = cr.data.read("h.csv")
    assert table["town"].to_numpy().tolist() == expected.labels.tolist()
    assert table["id"].to_numpy().tolist() == source["id"].to_numpy().tolist()
    assert np.array_equal(table["size"].to_numpy(), source["size"].to_numpy(), equal_nan=True)
    got = table["probability of Ulm"].to_numpy().astype(np.float32)
    np.testing.assert_allclose(got, expected.probabilities[:, 2], rtol=1e-6)


@pytest.mark.parametrize(
    ("output", "part"),
    [
        ("h.csv", "would replace"), ("towns", "folder"), ("x.xlsx", ".parquet"),
        ("no/x.csv", "no such folder"), ("x", "no ending"),
    ],
)  # fmt: skip
def test_outputs_that_are_refused(output: str, part: str, inside: Path, capsys) -> None:
    before = (inside / "h.csv").read_bytes()
    assert main(["predict", "towns", "h.csv", "-o", output]) == 1
    assert part in capsys.readouterr().err
    assert (inside / "h.csv").read_bytes() == before


def test_evaluate(inside: Path, capsys) -> None:
    assert main(["evaluate", "towns", "h.csv", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    model = cr.load("towns/model.safetensors")
    truth = cr.data.read("h.csv")["town"].to_numpy()
    accuracy = float(np.mean(model.predict("h.csv").labels == truth))
    assert found["metrics"]["accuracy"] == pytest.approx(accuracy)
    most = max(np.unique(truth, return_counts=True)[1]) / 200
    assert found["constant_guess"]["accuracy"] == pytest.approx(most)
    assert np.array(found["confusion"]).trace() == round(accuracy * 200)
    assert any("trained on" in note for note in found["notes"])
    assert main(["evaluate", "towns/model.safetensors", "from 'h.csv' limit 50"]) == 0
    out, _ = capsys.readouterr()
    assert "50 test rows" in out
    assert "Confusion on test rows" in out


def test_evaluate_needs_the_target(inside: Path, capsys) -> None:
    assert main(["evaluate", "towns", "select * exclude (town) from 'h.csv'"]) == 1
    assert "'town'" in capsys.readouterr().err


def test_show(inside: Path, capsys) -> None:
    assert main(["show", "prices"]) == 0
    out = capsys.readouterr().out
    for part in ("price (regression)", "200 rows of h.csv", "3 epochs", "dense", "parameters"):
        assert part in out
    assert main(["show", "prices", "--graph"]) == 0
    out = capsys.readouterr().out
    assert "dense.w" in out
    assert "matmul(" in out
    assert main(["show", "prices", "--columns"]) == 0
    row = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("  id "))
    assert "left out" in row
    assert main(["show", "prices", "--config"]) == 0
    written = tomllib.loads((inside / "prices" / "config.toml").read_text(encoding="utf-8"))
    assert tomllib.loads(capsys.readouterr().out) == written
    assert main(["show", "prices", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["target"] == "price"
    assert content["config"]["epochs"] == 3


def test_a_model_made_from_arrays(inside: Path, capsys) -> None:
    x = cr.input("x", (2,))
    cr.Model(outputs=cr.dense(x, 1)).save("bare.safetensors")
    assert main(["show", "bare.safetensors"]) == 0
    assert "dense" in capsys.readouterr().out
    assert main(["show", "bare.safetensors", "--graph"]) == 0
    assert "# test_cli_use.py:" in capsys.readouterr().out
    for command in (["predict", "bare.safetensors", "h.csv"], ["show", "bare.safetensors",
                    "--config"], ["show", "bare.safetensors", "--columns"]):  # fmt: skip
        assert main(command) == 1
        assert capsys.readouterr().err.startswith(
            ("[load] the model was made", "[show] the model was")
        )


def test_folders_without_one_model(inside: Path, capsys) -> None:
    (inside / "nothing").mkdir()
    assert main(["show", "nothing"]) == 1
    assert "holds no model.safetensors" in capsys.readouterr().err


def test_data(inside: Path, capsys) -> None:
    assert main(["data", "list"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("penguins", "digits", "california", "CC0", "regression"))
    assert main(["data", "show", "h.csv", "--target", "price"]) == 0
    out = capsys.readouterr().out
    assert "h.csv: 200 rows, 6 columns" in out
    assert "looks like an id" in out
    assert main(["data", "fetch", "digits"]) == 0
    assert "digits.csv.gz" in capsys.readouterr().out.replace("\n", "")


def test_a_known_set_that_is_not_here(folder: Path) -> None:
    _, err = run("train", "letter", "--target", "letter", cwd=folder, code=1,
                 CHAINRULE_CACHE=str(folder / "cache"))  # fmt: skip
    assert "chainrule data fetch letter" in err


def test_data_show_tells_the_guesses_of_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"{day:02}/{month:02}/2024,{day}" for month in range(1, 13) for day in range(1, 13)]
    Path("days.csv").write_text("\n".join(["day,y", *lines, "24-01-05,3"]), "utf-8")
    assert main(["data", "show", "days.csv"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "read as month/day/year, but day and month may be exchanged" in told
    assert (
        "not a date as month/day/year, read as gaps: 1 cell, the first '24-01-05' in row 145"
        in told
    )


def test_bad_column_names_do_not_steer_the_terminal(inside: Path, capsys) -> None:
    Path("evil.csv").write_text('"a\033[31m",y\n' + "1.5,x\n2.5,z\n" * 20, encoding="utf-8")
    assert main(["data", "show", "evil.csv"]) == 0
    out, err = capsys.readouterr()
    assert "\033" not in out + err
    assert "\\x1b[31m" in out


# ---------------------------------------------------------------- help, pipes


@pytest.mark.parametrize("command", ["", *(path for path, _ in paths(COMMANDS))])
def test_help_has_examples(command: str, capsys) -> None:
    assert main([*command.split(), "--help"]) == 0
    out = capsys.readouterr().out
    assert len([line for line in out.splitlines() if "chainrule " in line]) >= 3
    assert "\033" not in out


def test_every_setting_is_a_flag(capsys) -> None:
    main(["train", "--help"])
    out = capsys.readouterr().out
    for key in cr.recipe.KEYS:  # type: ignore[attr-defined]
        assert f"--{key.replace('_', '-')} " in out


def test_help_in_a_pipe_has_an_option_a_line(capsys) -> None:
    main(["train", "--help"])
    lines = capsys.readouterr().out.splitlines()
    told = [line for line in lines if line.startswith("  --") and ": " in line]
    assert len(told) > len(cr.recipe.KEYS)  # type: ignore[attr-defined]
    for setting in cr.recipe.SETTINGS:  # type: ignore[attr-defined]
        option = f"--{setting.key.replace('_', '-')} "
        assert any(option in line and setting.help in line for line in told), setting.key


def test_version(tmp_path: Path) -> None:
    assert run("--version", cwd=tmp_path) == (cr.__version__ + "\n", "")


def test_a_reader_that_stops_is_not_an_error(folder: Path) -> None:
    lines = ["town,age,size,sold,id"] + ["Ulm,3,50.5,2020-01-11,H1"] * 30_000
    (folder / "long.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for given in (["predict", "prices", "long.csv"], ["show", "prices", "--json"]):
        process = subprocess.Popen(
            [sys.executable, "-m", "chainrule", *given], cwd=folder, env=environment(),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
        process.stderr.close()
        assert process.wait(timeout=60) == 0
        assert "Broken" not in err
        assert "Traceback" not in err


def test_training_survives_a_reader_that_stops(folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "chainrule", "train", "xor", "--target", "label", "--epochs", "2",
         "-o", "piped"],
        cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert (folder / "piped" / "report.html").is_file()


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    code = "import sys, chainrule.cli; print(*{n.split('.')[0] for n in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"cyclopts", "duckdb", "jinja2", "tomlkit", "rich"} & set(loaded)


def test_a_table_may_come_from_standard_input(tmp_path):
    rows = "a;b;y\n" + "".join(f"{k};{k % 5};{2 * k}\n" for k in range(40))

    def piped(*arguments, text=rows):
        done = subprocess.run(
            [sys.executable, "-m", "chainrule", *arguments], cwd=tmp_path, input=text, text=True,
            capture_output=True, env=environment(), timeout=120,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    code, out, _ = piped("train", "-", "--target", "y", "--epochs", "2")
    assert code == 0
    assert "standard input: 40 rows" in out
    assert "train - --config" in (tmp_path / "stdin-model" / "config.toml").read_text("utf-8")
    code, out, _ = piped("predict", "stdin-model", "-", "-o", "-")
    assert code == 0
    assert len(out.splitlines()) == 41
    assert "on standard input" in piped("evaluate", "stdin-model", "-")[1]
    assert "standard input: 40 rows" in piped("data", "show", "-")[1]
    assert "is empty" in piped("data", "show", "-", text="")[2]
    koi8 = "имя,y\nда,1\nнет,0\n".encode("koi8-r")
    (tmp_path / "k.csv").write_bytes(koi8)
    assert "имя" in run("data", "show", "k.csv", "--encoding", "koi8-r", cwd=tmp_path)[0]


def test_a_long_argument_is_refused_in_a_few_lines(tmp_path):
    _, err = run("data", "show", "x" * 100_000, cwd=tmp_path, code=1)
    assert "no such file" in err
    assert len(err) < 1_000


def test_a_long_query_whose_predictions_replace_a_file(inside: Path, capsys) -> None:
    Path("again.csv").write_text("old\n", "utf-8")
    query = f"select *, '{'я' * 250}' as remark from 'h.csv'"
    assert main(["predict", "towns", query, "-o", "again.csv"]) == 0, capsys.readouterr().err
    assert len(Path("again.csv").read_text("utf-8").splitlines()) == 201


def test_exercise_sheets_of_the_lecture_and_of_a_model(
    inside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["exercise", "lecture", "--variants", "2", "-o", "sheets"]) == 0
    out, err = capsys.readouterr()
    assert out == "2 sheets with keys in sheets: sheets.html, keys.html, sheets.md, keys.md\n"
    assert err == ""
    first = (inside / "sheets" / "keys.md").read_bytes()
    assert main(["exercise", "lecture", "--variants", "2", "-o", "sheets"]) == 1
    assert "--force" in capsys.readouterr().err
    assert main(["exercise", "lecture", "--variants", "2", "-o", "sheets", "--force", "-q"]) == 0
    assert (inside / "sheets" / "keys.md").read_bytes() == first
    assert main(["exercise", "prices", "h.csv", "--rows", "3,5", "-o", "units"]) == 0
    out, err = capsys.readouterr()
    assert "each sheet shows one unit" in " ".join(err.split())
    text = (inside / "units" / "sheets.md").read_text("utf-8")
    assert "One training step of prices by hand: sheet 2 of 2" in text
    assert "on row 5 of the data" in text
    assert main(["exercise", "prices", "h.csv", "--rows", "0"]) == 1
    assert main(["exercise", "prices", "h.csv", "--rows", "999"]) == 1
    assert "no such row" in capsys.readouterr().err
    assert not (inside / "prices-exercise").exists()


def test_compare_as_text_json_and_page(inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "prices", "prices", "h.csv", "-o", "c.html"]) == 0
    out, err = capsys.readouterr()
    assert "RMSE is the same" in out
    assert "The answers are equal on all rows." in out
    assert err == "the page is c.html\n"
    assert (inside / "c.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    assert main(["compare", "prices", "towns", "h.csv", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["a"], found["b"], found["rows"]) == ("prices", "towns", None)
    assert "predict different columns" in found["notes"][0]
    for arguments, words in (
        (["prices", "nowhere-model"], "there is no such model"),
        (["prices", "towns", "-o", "c.txt"], "-o c.html"),
        (["prices", "towns", "-o", "no/c.html"], "mkdir -p no"),
        (["prices", "towns", "nothing.csv"], "nothing.csv"),
    ):
        assert main(["compare", *arguments]) == 1
        assert words in capsys.readouterr().err
