"""Commands in the documentation are commands that exist."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from napari_medseg.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
COMMAND = re.compile(r"^napari-medseg (.+?)(?: +#.*)?$", re.MULTILINE)


def documented() -> list[str]:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    found = [command for page in pages for command in COMMAND.findall(page.read_text(encoding="utf-8"))]
    return sorted(set(found))


@pytest.mark.parametrize("line", documented())
def test_documented_command_is_understood(line: str) -> None:
    words = shlex.split(line)
    command = typer.main.get_command(app)
    while words and (subcommands := getattr(command, "commands", None)):
        command = subcommands[words.pop(0)]
    with command.make_context(command.name, words) as context:
        assert context.params


def test_the_main_commands_are_documented() -> None:
    names = {line.split()[0] for line in documented()}
    assert names == set(typer.main.get_command(app).commands)
