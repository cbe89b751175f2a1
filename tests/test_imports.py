"""The napari process must never load torch, and the core must never load the GUI."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "monai", "triton", "lightning")
GUI = ("napari", "qtpy", "magicgui", "superqt", "pyqtgraph", "vispy")


def loaded_by(module: str, suspects: tuple[str, ...]) -> list[str]:
    """Return which of the suspects a fresh interpreter holds after importing the module."""
    code = f"import sys, {module}; print(*[name for name in {suspects!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    "module",
    [
        "napari_medseg",
        "napari_medseg.cli",
        "napari_medseg.data",
        "napari_medseg.explain.jobs",
        "napari_medseg.inference",
        "napari_medseg.io",
        "napari_medseg.jobs",
        "napari_medseg.models",
        "napari_medseg.results",
        "napari_medseg.training",
    ],
)
def test_core_loads_neither_torch_nor_the_gui(module: str) -> None:
    assert loaded_by(module, HEAVY + GUI) == []


@pytest.mark.parametrize("module", ["napari_medseg.ui.readers", "napari_medseg.ui.writers", "napari_medseg.ui.samples"])
def test_commands_of_the_manifest_load_without_torch(module: str) -> None:
    assert loaded_by(module, HEAVY) == []


def test_what_must_not_be_loaded_is_noticed() -> None:
    assert loaded_by("json", ("json", "torch")) == ["json"]
