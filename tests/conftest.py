"""Fixtures for all tests: data sets that live outside the repository, and settings that never touch the user's own."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

# Read when torch and the BLAS libraries load. One thread each: sums are bit-equal between runs, and workers do not
# fight for cores.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
# Mesa's hardware probing is noise in a virtual display; a real GPU driver ignores the variable.
os.environ.setdefault("LIBGL_ALWAYS_SOFTWARE", "1")


@cache
def cuda_devices() -> int:
    """Return the number of CUDA devices, asked of the driver so that torch stays out of the test process."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def has_display() -> bool:
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not cuda_devices():
        pytest.skip("no CUDA device")
    if item.get_closest_marker("viewer") and not has_display():
        pytest.skip("no display: start Xvfb and set DISPLAY, or use 'make test'")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Loading torch's compiler after Mesa's OpenGL ends the process, so whatever opens a window runs last.
    items.sort(key=lambda item: item.get_closest_marker("viewer") is not None or "ui" in item.path.parts)
    # That the machine kept a window or another process waiting is no defect: such tests get a second try, which the
    # summary tells of.
    for item in items:
        if item.get_closest_marker("slow") or {"ui", "jobs"} & set(item.path.parts):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Return a function that gives the folder of a data set by name, or skips the test where it is not at hand."""

    @cache
    def locate(name: str) -> Path | str:
        folder = os.environ.get("MEDSEG_TEST_DATA")
        if folder:
            found = Path(folder) / name
            return found if found.is_dir() else f"no folder {name!r} in MEDSEG_TEST_DATA={folder}"
        tool = SHARED / "tools" / "data"
        if not tool.is_file():
            return f"data set {name!r} is not here: set MEDSEG_TEST_DATA to the folder that holds it"
        done = subprocess.run([tool, name], capture_output=True, text=True, check=False)
        return Path(done.stdout.strip()) if done.returncode == 0 else done.stderr.strip()

    def data_set(name: str) -> Path:
        found = locate(name)
        if isinstance(found, str):
            pytest.skip(found)
        return found

    return data_set


@pytest.fixture(scope="session")
def reader_check() -> Path:
    """Return the path of the stand-alone reader conformance script, or skip."""
    script = SHARED / "tools" / "check_reader.py"
    if not script.is_file():
        pytest.skip("the reader conformance script is not beside the repository")
    return script


@pytest.fixture(scope="session", autouse=True)
def _napari_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAPARI_CONFIG", str(tmp_path_factory.mktemp("napari") / "settings.yaml"))
        yield


@pytest.fixture(autouse=True)
def medseg_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder where the tested code keeps its model library: empty at the start of every test."""
    home = tmp_path / "medseg-home"
    monkeypatch.setenv("NAPARI_MEDSEG_HOME", str(home))
    return home
