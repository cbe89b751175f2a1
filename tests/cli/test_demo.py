import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from napari_medseg.cli import demo, virtual_display
from napari_medseg.errors import JobError

needs_xvfb = pytest.mark.skipif(shutil.which("Xvfb") is None, reason="Xvfb is not installed")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, str]]]:
    """Return the list that the commands of the demo are put in, instead of being run."""
    commands: list[tuple[list[str], dict[str, str]]] = []

    def note(command: list[str], env: dict[str, str], check: bool) -> Any:
        commands.append((command, env))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(demo.subprocess, "run", note)
    return commands


@needs_xvfb
def test_without_a_display_it_runs_under_a_virtual_one_and_closes(command, started, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(demo, "has_display", lambda: False)
    monkeypatch.setattr(demo.sys, "platform", "linux")
    assert command("demo", "--out", tmp_path).code == 0
    ((line, environment),) = started
    assert "napari_medseg.cli.virtual_display" in line
    assert line[-3:] == ["--out", str(tmp_path), "--close"]
    assert Path(environment["NAPARI_CONFIG"]).parent == Path(environment["NAPARI_MEDSEG_HOME"])
    assert not Path(environment["NAPARI_MEDSEG_HOME"]).exists()


def test_with_a_display_the_window_stays(command, started, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(demo, "has_display", lambda: True)
    assert command("demo", "--out", tmp_path).code == 0
    ((line, _environment),) = started
    assert line == [sys.executable, "-m", "napari_medseg.ui.demo", "--out", str(tmp_path)]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a display")
def test_neither_display_nor_virtual_one_is_one_clear_line(command, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(demo.shutil, "which", lambda _name: None)
    outcome = command("demo", "--headless", "--out", tmp_path)
    assert outcome.code == 2
    assert "apt-get install xvfb" in outcome.err


def test_its_failure_is_the_commands_failure(command, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(demo, "has_display", lambda: True)
    monkeypatch.setattr(demo.subprocess, "run", lambda *_a, **_k: subprocess.CompletedProcess([], 2))
    assert command("demo", "--out", tmp_path).code == 2


@needs_xvfb
def test_a_command_sees_its_own_display_and_its_exit_code_returns(tmp_path: Path) -> None:
    code = f"import os; open({str(tmp_path / 'display')!r}, 'w').write(os.environ['DISPLAY']); raise SystemExit(3)"
    assert virtual_display.run("640x480x24", [sys.executable, "-c", code]) == 3
    assert (tmp_path / "display").read_text().startswith(":")


@needs_xvfb
def test_a_display_that_does_not_start_is_an_error() -> None:
    with pytest.raises(JobError, match="Xvfb"):
        virtual_display.run("nonsense", [sys.executable, "-c", ""])
