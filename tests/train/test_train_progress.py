"""How a run looks: real pseudo-terminals, pipes, closed streams, and the notebook's picture."""

import fcntl
import io
import os
import re
import struct
import subprocess
import sys
import termios
import textwrap
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from chainrule.errors import SettingError
from chainrule.train import progress as module
from chainrule.train.progress import (
    Brief,
    LogProgress,
    NotebookProgress,
    Progress,
    TerminalProgress,
    choose,
)

SOURCE = str(Path(module.__file__).parents[3])

RUN = """
import sys
from chainrule.train.progress import choose
progress = choose()
if len(sys.argv) > 1:
    progress.EVERY = 0  # redraw at every call
with progress:
    progress.note("100 rows \\x1b[31m, caf\\u00e9")
    progress.start(10, criterion="validation_auc")
    for epoch in range(1, 11):
        progress.update(epoch, 0.5, loss=9.0, rate=0.001)
        progress.epoch({"epoch": epoch, "seconds": epoch, "rate": 0.001, "loss": 1 / epoch,
                        "validation_loss": 2 / epoch, "validation_accuracy": 0.75,
                        "validation_auc": 0.875}, best=epoch < 9)
        if epoch == 5:
            progress.note("halfway there")
            print("from the user")
    progress.finish("done in no time")
"""
LAST = "epoch 10/10  loss 0.1      validation loss 0.2      auc 0.875   accuracy 0.75    rate 0.001"


def environment(**variables):
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
    usual = {"PYTHONPATH": SOURCE, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}
    return {**kept, **usual, **variables}


def in_terminal(code, width=110, *, arguments=("all",), stdout=None, **variables):
    """Run code with a pseudo-terminal of some width as stderr (and stdout): output, exit code."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        stdin=slave, stdout=stdout or slave, stderr=slave, env=environment(**variables),
    )  # fmt: skip
    os.close(slave)
    seen = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # the other side has closed
            break
        if not part:
            break
        seen += part
    os.close(master)
    return seen.decode(), child.wait()


def screen(output):
    """The lines left on a screen, of output that redraws whole lines (one line at a time)."""
    lines = [""]
    output = output.replace("\r\n", "\n")
    for piece in re.findall(r"\x1b\[[\d;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", output):
        if piece == "\n":
            lines.append("")
        elif piece == "\r" or piece.endswith("K"):
            lines[-1] = ""
        elif not piece.startswith("\x1b"):
            lines[-1] += piece
    return [line.rstrip() for line in lines if line.strip()]


def test_terminal_keeps_one_live_line_and_notes_above():
    output, code = in_terminal(RUN)
    assert code == 0
    assert screen(output) == [
        r"100 rows \x1b[31m, café",
        "halfway there",
        "from the user",
        "epoch 10/10  ━━━━━━━━━━━━  loss 0.1      validation loss 0.2      auc 0.875   "
        "accuracy 0.75    best 8",
        "done in no time",
    ]
    assert output.count("\x1b[?25l") == output.count("\x1b[?25h") == 1, "the cursor comes back"


@pytest.mark.parametrize("width", [8, 25, 40, 60, 80])
def test_live_line_fits_a_narrow_terminal(width):
    output, code = in_terminal(RUN, width)
    assert code == 0
    live = [line for line in re.split(r"[\r\n]|\x1b\[[\d;?]*[A-Za-z]", output) if "epoch" in line]
    pieces = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", output)
    drawn = [line for line in re.split(r"[\r\n]", pieces) if line.startswith("epoch")]
    assert len(live) >= 20
    assert max(len(line) for line in drawn) < width
    if width >= 40:
        assert all("validation loss" in line for line in drawn[3:])


def test_columns_variable_sets_the_width():
    output, code = in_terminal(RUN, 110, COLUMNS="30")
    assert code == 0
    assert screen(output)[-2] == "epoch 10/10"


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_live_line_is_redrawn_ten_times_a_second(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream, clock = Terminal(), Clock()
    with TerminalProgress(stream, clock) as progress:
        progress.start(1)
        before = stream.getvalue().count("epoch")
        for _ in range(1024):
            clock.now += 1 / 512
            progress.update(1, 0.5, loss=1.0)
        assert 15 <= stream.getvalue().count("epoch") - before <= 20, "in two seconds"


def test_no_color_and_ascii_are_respected():
    output, code = in_terminal(RUN, NO_COLOR="1", PYTHONIOENCODING="ascii")
    assert code == 0
    assert output.isascii()
    assert r"caf\xe9" in output
    assert "[============]" in output
    assert not re.search(r"\x1b\[[\d;]*3\d[\d;]*m", output), "no colour code"


def test_dumb_terminal_gets_plain_lines():
    output, code = in_terminal(RUN, TERM="dumb")
    assert code == 0
    assert "\x1b" not in output
    assert output.count("epoch ") == 10


def test_piped_data_is_not_touched_by_the_live_line():
    read, write = os.pipe()
    output, code = in_terminal(RUN, stdout=write)
    os.close(write)
    assert code == 0
    with os.fdopen(read) as pipe:
        assert pipe.read() == "from the user\n"
    assert "from the user" not in output


def test_error_in_a_run_leaves_the_terminal_in_order():
    output, code = in_terminal(RUN.replace('print("from the user")', "1 / 0"))
    assert code == 1
    assert output.rindex("\x1b[?25h") < output.index("ZeroDivisionError")
    assert "done" not in output


def test_terminal_that_closes_silences_the_run_only():
    script = """
    import os, sys
    from chainrule.train.progress import choose
    progress = choose()
    progress.EVERY = 0
    with progress:
        progress.start(3)
        progress.epoch({"epoch": 1, "loss": 1.0})
        os.close(2)
        progress.epoch({"epoch": 2, "loss": 1.0})
        progress.note("to a closed stream")
        progress.finish("nor this")
    assert sys.stderr is sys.__stderr__
    print("went on")
    """
    read, write = os.pipe()
    # Unbuffered: else Python's own last flush of the closed stderr makes the exit code 120.
    _, code = in_terminal(script, stdout=write, PYTHONUNBUFFERED="1")
    os.close(write)
    assert code == 0
    with os.fdopen(read) as pipe:
        assert pipe.read() == "went on\n"


def test_log_is_one_plain_line_an_epoch_on_stderr():
    done = subprocess.run(
        [sys.executable, "-c", RUN], capture_output=True, text=True, env=environment(), check=True
    )
    assert done.stdout == "from the user\n"
    lines = done.stderr.splitlines()
    assert [line for line in lines if not line.startswith("epoch")] == [
        r"100 rows \x1b[31m, café", "halfway there", "done in no time",
    ]  # fmt: skip
    epochs = [line for line in lines if line.startswith("epoch")]
    assert len(epochs) == 10
    assert epochs[-1].startswith(LAST)
    assert epochs[-1].endswith("10 s")
    assert epochs[0].endswith("best")
    assert all(text.isprintable() for text in lines)


@pytest.mark.parametrize("closed", ["2>&-", "2>/dev/full"])
def test_run_goes_on_without_a_working_stderr(closed):
    command = f'"{sys.executable}" -c "$RUN" {closed}'
    done = subprocess.run(
        ["sh", "-c", command], stdout=subprocess.PIPE, text=True, env=environment(RUN=RUN),
        check=False,
    )  # fmt: skip
    assert done.stdout == "from the user\n"


def test_log_survives_a_stream_closed_under_it():
    stream = io.StringIO()
    progress = LogProgress(stream)
    progress.start(2)
    stream.close()
    progress.epoch({"epoch": 1, "loss": 1.0})
    progress.finish("done")


def test_log_shows_training_metrics_only_where_no_validation_ones_are():
    stream = io.StringIO()
    progress = LogProgress(stream)
    progress.start(None)
    progress.epoch({"epoch": 3, "loss": 0.5, "accuracy": 0.25, "seconds": 70.0})
    progress.epoch({"epoch": 4, "loss": 0.5, "accuracy": 0.25, "validation accuracy": 0.75})
    first, second = stream.getvalue().splitlines()
    assert first.split() == ["epoch", "3", "loss", "0.5", "accuracy", "0.25", "1", "min", "10", "s"]
    assert "validation accuracy 0.75" in second
    assert "0.25" not in second


def logged(epochs, best=(), seconds=0.01, finished=None):
    """The lines of a run of so many epochs, `best` at some of them, each of some seconds."""
    stream, clock = io.StringIO(), Clock()
    with LogProgress(stream, clock) as progress:
        progress.start(epochs)
        for epoch in range(1, (finished or epochs) + 1):
            clock.now += seconds
            progress.epoch({"epoch": epoch, "loss": 1 / epoch}, best=epoch in best)
    return stream.getvalue().splitlines()


def told(lines):
    return [int(line.split()[1].split("/")[0]) for line in lines]


def test_log_of_a_long_run_shows_the_first_the_last_and_the_best_in_order():
    for epochs in (11, 60, 5000):
        for best in ((), (1, 2, 37), range(1, epochs), (1, epochs)):
            lines = logged(epochs, best)
            shown = told(lines)
            assert len(shown) <= 11
            assert shown == sorted(set(shown))
            assert (shown[0], shown[-1]) == (1, epochs)
            if best and max(best) <= epochs:
                assert max(best) in shown
            assert all(
                line.endswith("best") == (e in best) for line, e in zip(lines, shown, strict=True)
            )
    assert told(logged(10)) == list(range(1, 11))


def test_a_line_that_is_written_later_tells_of_its_own_epoch():
    stream, now = io.StringIO(), [0.0]
    progress = LogProgress(stream, lambda: now[0])
    progress.start(1000)
    for epoch in range(1, 301):
        now[0] = epoch / 10
        progress.update(epoch, 0.5, loss=77.0, rate=0.9)
        progress.epoch({"epoch": epoch, "rate": 0.1, "loss": abs(epoch - 200.5)}, best=epoch <= 200)
    progress.update(301, 0.5, loss=77.0, rate=0.9)
    now[0] = 99.0
    progress.close()
    lines = stream.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["1/1000", "125/1000", "200/1000", "300/1000"]
    told = " ".join(lines[2].split())
    assert told == "epoch 200/1000 loss 0.5 rate 0.1 20 s 1 min 20 s left best"
    assert lines[3].split()[3:6] == ["99.5", "rate", "0.1"]


def test_log_of_a_run_that_ends_early_shows_its_last_and_best_epoch():
    assert told(logged(5000, best=(1, 20), finished=29)) == [1, 20, 29]


def test_log_of_slow_epochs_shows_one_a_minute():
    assert len(logged(100, seconds=61.0)) == 100
    assert len(logged(100, seconds=25.0)) < 40


def test_time_left_is_judged_by_the_epochs_of_this_run():
    clock = Clock()
    progress = LogProgress(io.StringIO(), clock)
    progress.start(14, first_epoch=11)
    assert progress.seconds_left() is None
    clock.now += 6
    progress.update(11, 0.5)
    assert progress.done() == pytest.approx(1 / 8)
    assert progress.seconds_left() is None  # those 6 seconds may be the compiler's
    clock.now += 5
    progress.update(11, 0.75)
    assert progress.seconds_left() == pytest.approx(65)
    clock.now += 1
    progress.epoch({"epoch": 11})
    assert progress.seconds_left() == pytest.approx(36)
    progress.epoch({"epoch": 14})
    assert progress.seconds_left() == 0


def test_a_run_of_several_has_a_heading_and_the_time_left_of_all():
    clock, stream = Clock(), io.StringIO()
    progress = LogProgress(stream, clock)
    for heading, later in (("Run 1 of 2: some rows", 1.5), ("Run 2 of 2: all rows", 0.0)):
        progress.stage(heading, later)
        progress.start(4)
        for epoch in (1, 2, 3, 4):
            clock.now += 10
            progress.epoch({"epoch": epoch, "loss": 0.5})
        progress.close()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "Run 1 of 2: some rows"
    assert lines[2].endswith("20 s  1 min 20 s left in all")  # 2 epochs, and 6 as long as these
    assert lines[4].endswith("40 s  1 min 00 s left in all")
    assert lines[5:7] == ["", "Run 2 of 2: all rows"]
    assert lines[9].endswith("30 s  10 s left")
    assert lines[10].endswith("40 s")


def test_a_brief_run_is_seen_on_a_live_display_and_leaves_no_lines_in_a_log():
    stream = io.StringIO()
    brief = Brief(LogProgress(stream))
    brief.start(2, unit="model")
    brief.epoch({"epoch": 1, "loss": 0.5})
    brief.finish("2 models in 1 s")
    assert stream.getvalue() == ""
    page, clock = Page(), Clock()
    brief = Brief(NotebookProgress(page.display, clock))
    brief.start(2, unit="model")
    clock.now += 1
    brief.epoch({"epoch": 1, "loss": 0.5})
    assert "model 1/2" in str(page.shown[-1])
    assert "loss" not in str(page.shown[-1])


class Page:
    """A notebook's cell: keeps what was displayed and each update."""

    def __init__(self):
        self.shown = []

    def display(self, picture, display_id):
        assert display_id is True
        self.shown.append(picture)
        return self

    def update(self, picture):
        self.shown.append(picture)


def test_notebook_redraws_in_place_a_few_times_a_second():
    page, clock = Page(), Clock()
    progress = NotebookProgress(page.display, clock)
    with progress:
        progress.note("<100> rows")
        progress.start(100)
        for epoch in range(1, 101):
            clock.now += 0.05
            row = {"epoch": epoch, "loss": 1 / epoch, "validation_loss": 2 / epoch}
            progress.epoch(row, best=epoch < 60)
        progress.finish("done")
    assert 10 <= len(page.shown) <= 16, "5 seconds at 2.5 a second"
    last = page.shown[-1]
    body = ElementTree.fromstring(last._repr_html_())
    assert len(list(body.iter("{http://www.w3.org/2000/svg}polyline"))) == 2
    assert "best epoch 59" in last._repr_html_()
    assert repr(last).splitlines()[:2] == ["<100> rows", "done"]
    assert "epoch 100/100 · loss 0.01 · validation loss 0.02" in repr(last)


def test_choose_takes_what_suits_the_place():
    assert type(choose(False)) is Progress
    assert type(choose("silent")) is Progress
    assert type(choose(None, io.StringIO())) is LogProgress
    assert type(choose(True, io.StringIO())) is LogProgress
    closed = io.StringIO()
    closed.close()
    assert type(choose(True, closed)) is Progress
    with pytest.raises(SettingError, match="did you mean 'terminal'"):
        choose("terminel")


def test_silent_says_nothing(capfd):
    with choose(False) as progress:
        progress.start(2)
        progress.update(1, 0.5, loss=1.0)
        progress.epoch({"epoch": 1, "loss": 1.0})
        progress.note("note")
        progress.finish("done")
    assert capfd.readouterr() == ("", "")


def test_rich_is_not_imported_before_a_terminal_needs_it():
    code = "import sys; from chainrule.train import progress as p; p.choose(); "
    code += "assert 'rich' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment())
