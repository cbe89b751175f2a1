"""Every test of the window must take its widgets with it."""

import gc
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtWidgets import QApplication, QMenu


def windows() -> set[str]:
    """Return a description of each widget without a parent; menus are left out, because Qt keeps them with no owner."""
    if QApplication.instance() is None:
        return set()
    # What was told to go, goes now.
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    found = [widget for widget in QApplication.topLevelWidgets() if not isinstance(widget, QMenu)]
    return {f"{type(widget).__name__} {widget.objectName()!r} at {id(widget):#x}" for widget in found}


@pytest.fixture(autouse=True)
def _no_widget_is_left_behind() -> Iterator[None]:
    before = windows()
    yield
    if left := windows() - before:
        # Slow, so only where it matters: what is held by nothing but a reference cycle may go as well.
        gc.collect()
        left = windows() - before
    assert not left, f"widgets that outlive the test: {sorted(left)}"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Return a folder of three CT series, in two folders below it: 6, 5 and 7 slices, of the last one missing."""
    folder = tmp_path / "Doe^Jane"
    for number, (slices, spacing, words) in enumerate(
        [((0, 1, 2, 3, 4, 5), 3.0, "Thorax 3.0"), ((0, 1, 2, 3, 4), 5.0, "Head"), ((0, 1, 3, 4, 5, 6), 2.0, "Neck")], 1
    ):
        write_series(folder / f"part{number % 2}", number, [spacing * place for place in slices], words)
    return folder


def write_series(folder: Path, number: int, positions_mm: Sequence[float], description: str) -> list[Path]:
    """Write slices of 128 x 128 at these heights, each of one value, in an order that is not theirs."""
    folder.mkdir(parents=True, exist_ok=True)
    dataset = dcmread(get_testdata_file("CT_small.dcm"))
    dataset.PatientName, dataset.SeriesNumber, dataset.SeriesDescription = "Doe^Jane", number, description
    dataset.SeriesInstanceUID = f"1.2.3.{number}"
    paths = []
    for place in np.random.default_rng(number).permutation(len(positions_mm)):
        dataset.ImagePositionPatient[2] = positions_mm[place]
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}.{place}"
        dataset.PixelData = np.full((128, 128), 100 * number + place, np.int16).tobytes()
        paths.append(folder / f"s{number}-{len(paths)}.dcm")
        dataset.save_as(paths[-1])
    return paths
