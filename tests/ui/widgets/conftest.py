"""A user at a real window: the plugin, a scanner that writes DICOM, a mouse, and one warm worker for all tests."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManifest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_medseg.data import BACKGROUND_VALUE
from napari_medseg.jobs import LocalEngine, local_engine
from napari_medseg.ui.layers import to_layer_tuples
from napari_medseg.ui.widgets.job_panel import JobPanel
from napari_medseg.ui.widgets.message_box import MessageBox
from napari_medseg.volume import Geometry, Volume

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0])
SHAPE = (20, 40, 44)
"""Slices, rows, columns of the scanned phantom."""


@dataclass(frozen=True)
class Phantom:
    """A bright ball in noise, as a scanner would store it."""

    data: np.ndarray
    """(slice, row, column) int16."""
    affine: np.ndarray
    """(slice, row, column) index to RAS+ mm."""
    ball: np.ndarray
    """(slice, row, column) bool truth."""


def _rotation(degrees: float) -> np.ndarray:
    a = np.radians(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    return about_x @ about_z


def scan(directions: np.ndarray, spacing: tuple[float, float, float]) -> Phantom:
    """Return a phantom whose axes run along the columns of `directions` (RAS+), with `spacing` in mm."""
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = (12.5, -40.25, 33.0)
    slices, rows, columns = np.indices(SHAPE)
    ball = np.hypot(np.hypot((slices - 10) * 1.6, rows - 18), columns - 24) < 11
    noise = np.random.default_rng(0).normal(0, 12, SHAPE)
    return Phantom((300 * ball + 100 + noise).astype(np.int16), affine, ball)


def make_phantom(name: str) -> Phantom:
    axial = np.column_stack([[0, 0, 1], [0, -1, 0], [-1, 0, 0]]).astype(float)  # slices to S, rows to P, columns to L
    sagittal = np.column_stack([[-1, 0, 0], [0, 0, -1], [0, -1, 0]]).astype(float)  # to L, I, P
    flipped = np.column_stack([[0, 0, -1], [0, 1, 0], [1, 0, 0]]).astype(float)  # to I, A, R
    return {
        "axial": lambda: scan(axial, (1.5, 1.0, 1.0)),
        "oblique": lambda: scan(_rotation(17.0) @ axial, (1.5, 0.9, 0.9)),
        "sagittal": lambda: scan(sagittal, (1.5, 0.9, 0.9)),
        "flipped": lambda: scan(flipped, (1.5, 1.0, 1.0)),
        "anisotropic": lambda: scan(axial, (5.0, 0.7, 0.7)),
    }[name]()


def write_dicom(scanned: Phantom, folder: Path) -> Path:
    """Write one file per slice, under names that say nothing about their order."""
    folder.mkdir()
    spacing = np.linalg.norm(scanned.affine[:3, :3], axis=0)
    directions = LPS_FROM_RAS @ (scanned.affine[:3, :3] / spacing)
    study, series = generate_uid(), generate_uid()
    for name, number in enumerate(np.random.default_rng(3).permutation(len(scanned.data))):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = MRImageStorage
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
        ds.Modality, ds.PatientName, ds.PatientID = "MR", "Doe^Jane", "SECRET-77"
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SeriesNumber = study, series, 4
        ds.InstanceNumber = int(number) + 1
        position = LPS_FROM_RAS @ (scanned.affine @ (number, 0, 0, 1))[:3]
        ds.ImagePositionPatient = [float(f"{v:.10f}") for v in position]
        ds.ImageOrientationPatient = [float(f"{v:.12f}") for v in (*directions[:, 2], *directions[:, 1])]
        ds.PixelSpacing = [float(spacing[1]), float(spacing[2])]
        ds.SliceThickness = float(spacing[0])
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.Rows, ds.Columns = scanned.data.shape[1:]
        ds.BitsAllocated = ds.BitsStored = 16
        ds.HighBit, ds.PixelRepresentation = 15, 1
        ds.PixelData = scanned.data[number].tobytes()
        ds["PixelData"].VR = "OW"
        ds.save_as(folder / f"IM{name:04d}", enforce_file_format=True)
    return folder


@pytest.fixture(scope="session")
def engine() -> Iterator[LocalEngine]:
    """Return the engine that the widgets share; its worker stays warm for all tests."""
    engine = local_engine()
    engine.start()
    yield engine
    engine.close()


@pytest.fixture
def viewer(make_napari_viewer, npe2pm, plugin_settings, engine):
    """Return a real window with the plugin, and settings of its own."""
    npe2pm.register(PluginManifest.from_distribution("napari-medseg"))
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1300, 1000)
    return viewer


@pytest.fixture
def dock(viewer, qtbot) -> Callable[[str], object]:
    """Return a function that opens a dock widget of the plugin as its menu entry does."""

    def open_widget(name: str) -> object:
        _, widget = viewer.window.add_plugin_dock_widget("napari-medseg", name)
        qtbot.wait(50)
        return widget

    return open_widget


class Mouse:
    """Paints on the canvas, in the coordinates of a layer's data."""

    def __init__(self, viewer, qtbot) -> None:
        self._viewer, self._qtbot = viewer, qtbot
        self._canvas = viewer.window._qt_viewer.canvas.native

    def stroke(self, layer, *indices: tuple[float, ...]) -> None:
        """Drag from each index to the next with the left button."""
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        points = [self._pixel(layer, index) for index in indices]
        # the cursor comes to the place first, as it does when a hand moves it
        self._send(QEvent.Type.MouseMove, points[0], none, none)
        self._send(QEvent.Type.MouseButtonPress, points[0], left, left)
        for point in points[1:]:
            self._send(QEvent.Type.MouseMove, point, none, left)
        self._send(QEvent.Type.MouseButtonRelease, points[-1], left, none)

    def _send(self, kind: QEvent.Type, point: QPoint, button: Qt.MouseButton, held: Qt.MouseButton) -> None:
        """Send one event; QTest's own moves say that no button is held, so they draw nothing."""
        place, screen = QPointF(point), QPointF(self._canvas.mapToGlobal(point))
        event = QMouseEvent(kind, place, screen, button, held, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(self._canvas, event)
        # vispy drops moves that come within 10 ms of one another
        self._qtbot.wait(15)

    def _pixel(self, layer, index: tuple[float, ...]) -> QPoint:
        world = np.array(layer.data_to_world(index))
        row, column = self._viewer.dims.displayed
        offset = (world - np.array(self._viewer.scene.camera.center)[-world.size :]) * self._viewer.scene.camera.zoom
        return QPoint(round(self._canvas.width() / 2 + offset[column]), round(self._canvas.height() / 2 + offset[row]))


@pytest.fixture
def mouse(viewer, qtbot) -> Mouse:
    return Mouse(viewer, qtbot)


@pytest.fixture
def settle(qtbot) -> Callable[..., None]:
    """Return a function that waits until a condition holds, with the window alive; an error in a panel fails."""

    def wait(condition: Callable[[], object], seconds: float = 60.0) -> None:
        def holds() -> bool:
            for panel in QApplication.allWidgets():
                if isinstance(panel, MessageBox) and panel.error is not None:
                    pytest.fail(f"the panel shows: {panel.error}")
            return bool(condition())

        try:
            qtbot.waitUntil(holds, timeout=round(1000 * seconds))
        except qtbot.TimeoutError:
            panels = [panel for panel in QApplication.allWidgets() if isinstance(panel, JobPanel)]
            pytest.fail(f"after {seconds} s the panels say {[(p.status.text(), p.messages.notes) for p in panels]}")

    return wait


@pytest.fixture
def show_slice(viewer, qtbot) -> Callable[[object, int], None]:
    """Return a function that moves the slider to a slice of a layer's data."""

    def move(layer, index: int) -> None:
        axis = viewer.dims.not_displayed[0]
        place = [n // 2 for n in layer.data.shape]
        place[axis] = index
        viewer.dims.set_point(axis, layer.data_to_world(place)[axis])
        qtbot.wait(20)

    return move


@pytest.fixture
def click(qtbot) -> Callable[[object], None]:
    """Return a function that clicks a button."""
    return lambda button: qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture
def set_up() -> Callable[..., None]:
    """Return a function that sets options in the Train widget's forms; the length is in steps, not in minutes."""

    def change(widget, **options) -> None:
        setup = widget.setup
        setup.time.show(setup.time.values().model_copy(update={"minutes": None}))
        setup.advanced.show(setup.advanced.values().model_copy(update=options))

    return change


@pytest.fixture
def train(dock, set_up):
    """Return the Train widget, set to a tiny network."""
    widget = dock("Train")
    widget.setup.design.show(widget.setup.design.values().model_copy(update={"size": "small"}))
    set_up(widget, patch_size=(16, 16, 16), batch_size=1, validate_every=10, precision="float32")
    return widget


@pytest.fixture
def scribbled(viewer, phantom, train):
    """Return an image layer with strokes of the ball and of background on it, drawn without a mouse."""
    scanned = phantom("axial")
    volume = Volume(scanned.data, Geometry(SHAPE, scanned.affine), name="MR 4", modality="MR")
    ((data, about, _),) = to_layer_tuples(volume)
    image = viewer.add_image(data, **about)
    train.paint.add_labels()
    labels = train.paint.layer
    for index in (6, 10, 14):
        labels.data[index, 18, 18:30] = 1
        labels.data[index, 3, 3:40] = labels.data[index, 36, 3:40] = BACKGROUND_VALUE
    labels.refresh()
    return image


@pytest.fixture
def phantom() -> Callable[[str], Phantom]:
    """Return a function that gives the phantom of a geometry by its name."""
    return make_phantom


@pytest.fixture
def dicom(tmp_path) -> Callable[[Phantom], Path]:
    """Return a function that writes a phantom as a folder of DICOM files."""
    return lambda scanned: write_dicom(scanned, tmp_path / "series")
