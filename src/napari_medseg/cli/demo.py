"""``demo``: the plugin at work in a real window, in a process of its own since this one knows no window."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from napari_medseg.errors import JobError

VIRTUAL_SCREEN = "1680x1200x24"


def demo(
    headless: Annotated[
        bool, typer.Option("--headless", help="Use a virtual display, and do not wait at the end.")
    ] = False,
    out_folder: Annotated[
        Path, typer.Option("--out", help="Folder for the screenshot, labels and measurements.")
    ] = Path("demo"),
) -> None:
    """Train on a real brain scan in a napari window, predict, and measure the result."""
    hidden = headless or not has_display()
    command = [sys.executable, "-m", "napari_medseg.ui.demo", "--out", str(out_folder)]
    environment = dict(os.environ)
    if hidden:
        command = [*_virtual_display(), *command, "--close"]
        # Mesa's hardware probing is noise where there is no screen.
        environment.setdefault("LIBGL_ALWAYS_SOFTWARE", "1")
        environment.pop("WAYLAND_DISPLAY", None)
        # The same window on every machine, and nothing left behind on this one.
        folder = tempfile.mkdtemp(prefix="medseg-demo-")
        environment["NAPARI_CONFIG"], environment["NAPARI_MEDSEG_HOME"] = f"{folder}/settings.yaml", folder
    code = subprocess.run(command, env=environment, check=False).returncode
    if hidden:
        shutil.rmtree(folder, ignore_errors=True)
    if code:
        raise typer.Exit(code if code > 0 else 1)


def has_display() -> bool:
    """Return whether windows can be shown."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _virtual_display() -> list[str]:
    """Return the start of a command that gives the rest of it a display of its own."""
    if sys.platform in ("win32", "darwin"):
        return []
    if shutil.which("Xvfb") is None:
        raise JobError("There is no display and no Xvfb to stand in for one.", "Install it: apt-get install xvfb")
    return [sys.executable, "-m", "napari_medseg.cli.virtual_display", VIRTUAL_SCREEN]
