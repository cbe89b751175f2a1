"""Progress of a call on a terminal, and nothing elsewhere."""

import io
import os
import signal

import pytest
from rich.console import Console

from napari_medseg.cli import console
from napari_medseg.errors import Cancelled
from napari_medseg.progress import Progress


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_for_terminals(monkeypatch: pytest.MonkeyPatch, is_terminal: bool) -> None:
    text = io.StringIO()
    monkeypatch.setattr(console, "err", lambda: Console(file=text, force_terminal=is_terminal, width=80))
    with console.watching() as (_, report):
        report(Progress("Reading headers", 64, 10_000))
    assert ("Reading headers" in text.getvalue()) is is_terminal
    assert ("64/10000" in text.getvalue()) is is_terminal


def test_ctrl_c_stops_the_call() -> None:
    with console.watching() as (control, _):
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Cancelled):
            control.checkpoint()
