"""Ctrl-C in and around critical sections: when it takes effect, and what stays installed."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from chainrule.system.signals import none_ignored, often_uninterrupted, uninterrupted


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    """The handler of an interactive program, before and after."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def section(done: list[int], *, inner: bool) -> None:
    with uninterrupted():
        if inner:
            with uninterrupted():
                press()
        press()
        done.append(len(done))


def test_ctrl_c_takes_effect_at_the_end_of_a_section_often_or_not() -> None:
    done: list[int] = []
    for inner in (False, True):
        with pytest.raises(KeyboardInterrupt):
            section(done, inner=False)
        with often_uninterrupted():
            with pytest.raises(KeyboardInterrupt):
                section(done, inner=inner)
            with uninterrupted():
                pass  # it is not told again
            with pytest.raises(KeyboardInterrupt):
                press()
    assert done == [0, 1, 2, 3]


def test_frequent_sections_leave_the_handler_of_the_system_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls, real = [], signal.signal

    def counted(number: int, handler: signal.Handlers) -> object:
        calls.append(number)
        return real(number, handler)

    with often_uninterrupted():
        monkeypatch.setattr(signal, "signal", counted)
        for _ in range(100):
            with often_uninterrupted(), uninterrupted():
                pass
        assert not calls
        with uninterrupted(lambda: None):
            pass
        assert len(calls) == 2
    assert len(calls) == 3


def test_a_handler_that_is_set_within_stays_and_is_deferred_too() -> None:
    seen = []

    def own(number: int, frame: object) -> None:
        seen.append("own")

    with often_uninterrupted():
        signal.signal(signal.SIGINT, own)
        with uninterrupted():
            press()
            seen.append("section")
    assert signal.getsignal(signal.SIGINT) is own
    assert seen == ["section", "own"]
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_an_error_in_a_section_opens_it() -> None:
    with often_uninterrupted():
        with pytest.raises(ValueError, match="x"), uninterrupted():
            raise ValueError("x")
        with pytest.raises(KeyboardInterrupt):
            press()


def test_the_first_ctrl_c_stops_and_the_second_interrupts() -> None:
    told: list[str] = []

    def work() -> None:
        with uninterrupted(lambda: told.append("stop")):
            press()
            told.append("goes on")
            press()
            told.append("never")

    with often_uninterrupted(), pytest.raises(KeyboardInterrupt):
        work()
    assert told == ["stop", "goes on"]


def test_other_threads_and_ignored_signals_change_nothing() -> None:
    found = []

    def work() -> None:
        with often_uninterrupted(), uninterrupted():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with often_uninterrupted(), uninterrupted():
        press()
        found.append(signal.getsignal(signal.SIGINT))
    assert found == [signal.default_int_handler, signal.SIG_IGN]
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Finalized:
    """An object that is being freed when Ctrl-C comes."""

    def __del__(self) -> None:
        press()


def test_ctrl_c_while_an_object_is_freed_is_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.unraisablehook
    done: list[str] = []

    def work() -> None:
        Finalized()
        done.append("freed")
        time.sleep(30)
        done.append("slept")

    with pytest.raises(KeyboardInterrupt), none_ignored():
        work()
    assert done == ["freed"]
    assert sys.unraisablehook is before
    assert capsys.readouterr().err == ""


def test_other_errors_that_are_ignored_are_told_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Failing:
        def __del__(self) -> None:
            raise ValueError("in a finalizer")

    told: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda error: told.append(str(error.exc_value)))
    with none_ignored():
        Failing()
    assert told == ["in a finalizer"]
