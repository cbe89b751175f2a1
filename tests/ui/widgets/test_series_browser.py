"""A user drops folders and files on the window, and picks what to open, while the window goes on answering."""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from napari.settings import get_settings
from napari.utils.notifications import Notification, notification_manager
from npe2 import PluginManifest
from qtpy.QtCore import QItemSelectionModel, QMimeData, QPointF, Qt, QTimer, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QApplication, QDockWidget, QFileDialog

from napari_medseg.errors import ReadError
from napari_medseg.io import read, scan
from napari_medseg.progress import Progress
from napari_medseg.ui import opening
from napari_medseg.ui.layers import geometry_of, tag_of
from napari_medseg.ui.widgets.series_browser import SeriesBrowser, browser_of
from napari_medseg.ui.widgets.series_table import DESCRIPTION, PICTURE_COLUMN, SERIES, SIZE, SPACING, WARNINGS

pytestmark = pytest.mark.viewer

PATIENCE_MS = 30_000


@pytest.fixture
def viewer(make_napari_viewer, npe2pm, plugin_settings):
    """Return a real window with the plugin, which opens everything that is dropped."""
    npe2pm.register(PluginManifest.from_distribution("napari-medseg"))
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1300, 900)
    settings = get_settings()
    settings.plugins.extension2reader = {"*": "napari-medseg"}
    return viewer


@pytest.fixture
def drop(viewer, qtbot) -> Callable[..., None]:
    """Return a function that drops paths on the canvas, as the event loop would deliver it."""

    def let_go(*paths: Path) -> None:
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
        done = []

        def deliver() -> None:
            none, action = Qt.KeyboardModifier.NoModifier, Qt.DropAction.CopyAction
            viewer.window._qt_viewer.dropEvent(QDropEvent(QPointF(9, 9), action, mime, Qt.MouseButton.LeftButton, none))
            done.append(mime)

        QTimer.singleShot(0, deliver)
        qtbot.waitUntil(lambda: bool(done), timeout=PATIENCE_MS)

    return let_go


@pytest.fixture
def shown() -> Iterator[list[str]]:
    """Return the texts of the notifications that the user sees."""
    texts: list[str] = []

    def keep(notification: Notification) -> None:
        texts.append(notification.message)

    notification_manager.notification_ready.connect(keep)
    yield texts
    notification_manager.notification_ready.disconnect(keep)


@pytest.fixture
def until(qtbot) -> Callable[[Callable[[], object]], None]:
    """Return a function that waits until a condition holds, with the window alive."""
    return lambda condition: qtbot.waitUntil(lambda: bool(condition()), timeout=PATIENCE_MS)


@pytest.fixture
def browser(until) -> Callable[[], SeriesBrowser]:
    """Return a function that gives the browser, once it lists something and rests."""

    def wait() -> SeriesBrowser:
        until(lambda: browsers() and browsers()[0].table.entries and not browsers()[0].loader.busy)
        return browsers()[0]

    return wait


def browsers() -> list[SeriesBrowser]:
    return [widget for widget in QApplication.allWidgets() if isinstance(widget, SeriesBrowser) and widget.isVisible()]


def texts(browser: SeriesBrowser, column: int) -> list[str]:
    model = browser.table.model()
    return [str(model.index(row, column).data()) for row in range(model.rowCount())]


def pick(browser: SeriesBrowser, *rows: int) -> None:
    browser.table.clearSelection()
    for row in rows:
        flags = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
        browser.table.selectionModel().select(browser.table.model().index(row, 0), flags)


def states(browser: SeriesBrowser) -> list[str]:
    return [browser.table.state(entry) for entry in browser.table.entries]


def press(button, qtbot) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_a_dropped_folder_is_listed_and_what_is_picked_is_opened(viewer, study, drop, browser, until, qtbot, shown):
    torch_before = "torch" in sys.modules
    drop(study)
    table = browser()
    assert len(viewer.layers) == 0
    assert texts(table, SERIES) == [info.name for info in scan(study)]
    by_name = dict(zip(texts(table, SERIES), range(3), strict=True))
    first, third = by_name["CT 1"], by_name["CT 3"]
    assert texts(table, DESCRIPTION)[first] == "Thorax 3.0"
    assert texts(table, SIZE)[first] == "6 × 128 × 128"
    assert texts(table, SPACING)[first].startswith("3 × ")
    assert "missing" in texts(table, WARNINGS)[third]
    tooltip = table.table.model().index(third, SERIES).data(Qt.ItemDataRole.ToolTipRole)
    assert "Description: Neck" in tooltip
    assert "missing" in tooltip
    until(lambda: all(table.table.model().index(row, PICTURE_COLUMN).data(1) is not None for row in range(3)))

    pick(table, first, third)
    assert table.load_button.text() == "Load 2 series"
    press(table.load_button, qtbot)
    until(lambda: not table.loader.busy)
    assert sorted(layer.name for layer in viewer.layers) == ["CT 1", "CT 3"]
    assert sorted(states(table)) == ["", "Loaded", "Loaded"]
    layer = viewer.layers["CT 1"]
    (expected,) = read(study, series=tag_of(layer).volume.series_id)
    np.testing.assert_array_equal(layer.data, expected.data)
    assert geometry_of(layer) == expected.geometry
    assert layer.contrast_limits_range[1] >= layer.data[2:4].max()
    assert any("missing" in note for note in table.messages.notes)
    assert sum("missing" in text for text in shown) == 1
    assert ("torch" in sys.modules) == torch_before
    assert not any("Doe" in text for text in [*shown, *table.messages.notes, *(la.name for la in viewer.layers)])


def test_a_double_click_opens_a_series(viewer, study, drop, browser, until):
    drop(study)
    table = browser()
    table.table.doubleClicked.emit(table.table.model().index(1, 1))
    until(lambda: len(viewer.layers) == 1)


def test_a_folder_of_one_series_is_opened_without_asking(viewer, study, drop, until):
    drop(study / "part0")
    until(lambda: len(viewer.layers) == 1)
    assert viewer.layers[0].data.shape == (5, 128, 128)
    assert browsers() == []


def test_a_large_single_series_is_opened_in_the_background_and_the_browser_leaves(
    viewer, study, drop, until, monkeypatch
):
    monkeypatch.setattr(opening, "QUICK_BYTES", 1000)
    drop(study / "part0")
    until(lambda: len(viewer.layers) == 1)
    until(lambda: browsers() == [])


def test_slices_that_are_dropped_one_by_one_are_their_whole_series(viewer, study, drop, until):
    drop(*sorted((study / "part1").glob("s1-*.dcm"))[:4])
    until(lambda: len(viewer.layers) == 1)
    assert viewer.layers[0].data.shape == (6, 128, 128)


def test_a_small_file_is_there_at_once(viewer, drop, tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4)), tmp_path / "small.nii")
    drop(tmp_path / "small.nii")
    assert [layer.name for layer in viewer.layers] == ["small"]


def test_a_script_gets_all_layers_and_the_window_the_list(viewer, study):
    layers = viewer.open(str(study), plugin="napari-medseg")
    assert sorted(layer.name for layer in layers) == ["CT 1", "CT 2", "CT 3"]
    (table,) = browsers()
    assert states(table) == ["Loaded"] * 3


class SlowRead:
    """Reads only when told to, and reports its progress till then."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, path, control, *, report, **options) -> Sequence[object]:
        self.begun.set()
        while not self.go_on.wait(0.005):
            report(Progress("Reading CT 1", 30, 120))
            control.checkpoint()
        return read(path, control, **options)


@pytest.fixture
def slow(monkeypatch) -> Iterator[SlowRead]:
    """Return a reading that waits."""
    reading = SlowRead()
    monkeypatch.setattr(opening, "read", reading)
    yield reading
    reading.go_on.set()


def test_the_window_answers_while_a_series_is_read(viewer, study, drop, browser, until, slow, qtbot):
    drop(study)
    table = browser()
    pick(table, 0, 1)
    press(table.load_button, qtbot)
    until(slow.begun.is_set)
    ticks = []
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(table.panel.status.text()))
    timer.start(1)
    # The reading goes on only once the window was alive that often.
    until(lambda: len(ticks) >= 50 and "30 of 120" in ticks[-1])
    assert "Reading CT 1: 30 of 120" in ticks[-1]
    assert len(viewer.layers) == 0
    assert states(table).count("Loading") == 2
    slow.go_on.set()
    until(lambda: len(viewer.layers) == 2)
    timer.stop()


def test_cancel_takes_back_what_waits_and_opens_nothing(viewer, study, drop, browser, until, slow, qtbot):
    drop(study)
    table = browser()
    pick(table, 0)
    press(table.load_button, qtbot)
    until(slow.begun.is_set)
    pick(table, 2)
    press(table.load_button, qtbot)
    assert states(table)[2] == "Waiting"
    press(table.panel.cancel_button, qtbot)
    until(lambda: not table.loader.busy)
    assert states(table) == ["", "", ""]
    assert table.panel.status.text() == "Cancelled"
    slow.go_on.set()
    qtbot.wait(100)
    assert len(viewer.layers) == 0
    press(table.load_button, qtbot)
    until(lambda: len(viewer.layers) == 1)


def test_a_series_that_cannot_be_read_says_why_and_the_others_open(
    viewer, study, drop, browser, until, qtbot, shown, monkeypatch
):
    def picky(path, control, **options):
        volumes = read(path, control, **options)
        if volumes[0].name == "CT 2":
            raise ReadError("CT 2 is cut off.", "Copy it again.")
        return volumes

    monkeypatch.setattr(opening, "read", picky)
    drop(study)
    table = browser()
    pick(table, 0, 1, 2)
    press(table.load_button, qtbot)
    until(lambda: not table.loader.busy)
    assert sorted(layer.name for layer in viewer.layers) == ["CT 1", "CT 3"]
    assert (table.messages.error.problem, table.messages.error.remedy) == ("CT 2 is cut off.", "Copy it again.")
    assert "CT 2 is cut off. Copy it again." in shown
    assert sorted(states(table)) == ["Failed", "Loaded", "Loaded"]


def test_a_folder_without_images_says_so_in_the_panel_and_as_a_notification(viewer, drop, until, tmp_path, shown):
    (tmp_path / "empty").mkdir()
    drop(tmp_path / "empty")
    until(lambda: browsers() and browsers()[0].messages.error is not None)
    assert browsers()[0].messages.error.remedy
    assert any("holds no" in text for text in shown)


def test_images_of_a_folder_are_listed_beside_the_one_that_is_damaged(viewer, drop, browser, tmp_path):
    for name in ("a.nii", "b.nii", "c.nii"):
        nib.save(nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4)), tmp_path / name)
    (tmp_path / "b.nii").write_bytes(b"no image")
    drop(tmp_path)
    table = browser()
    assert texts(table, SERIES) == ["a", "c"]
    assert "b.nii" in table.messages.error.problem


def test_rows_are_filtered_by_all_words_and_sorted_by_number(viewer, study, drop, browser):
    drop(study)
    table = browser()
    table.filter.setText("head ct")
    assert texts(table, DESCRIPTION) == ["Head"]
    table.filter.setText("")
    table.table.sortByColumn(SPACING, Qt.SortOrder.DescendingOrder)
    assert texts(table, DESCRIPTION) == ["Head", "Thorax 3.0", "Neck"]
    pick(table, 2)
    assert [entry.info.description for entry in table.table.selected] == ["Neck"]


def test_the_menu_opens_the_browser_and_its_button_a_folder(viewer, study, browser, until, monkeypatch, qtbot):
    from napari._app_model import get_app_model

    get_app_model().commands.execute_command("napari-medseg.series_browser").result()
    until(browsers)
    (table,) = browsers()
    assert browser_of(viewer) is table
    assert not table.load_button.isEnabled()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_, **__: str(study))
    press(table.folder_button, qtbot)
    browser()
    assert len(table.table.entries) == 3
    press(table.clear_button, qtbot)
    assert table.table.entries == ()


def test_a_browser_that_is_closed_while_it_reads_ends_the_reading(viewer, study, drop, browser, until, slow, qtbot):
    drop(study)
    table = browser()
    pick(table, 0)
    press(table.load_button, qtbot)
    until(slow.begun.is_set)
    job = table.panel.job
    (dock,) = (
        widget for widget in QApplication.allWidgets() if isinstance(widget, QDockWidget) and widget.isAncestorOf(table)
    )
    viewer.window.remove_dock_widget(dock)
    table.deleteLater()
    until(lambda: job.ended)
    assert job.state == "cancelled"
    assert len(viewer.layers) == 0


def test_a_tilted_head_of_uneven_slices_is_listed_and_opened_with_its_warnings(
    viewer, shared_data, drop, browser, until, shown
):
    drop(shared_data("dicom-ct-head-ge"))
    table = browser()
    assert len(table.table.entries) >= 2
    assert all("tilted" in text for text in texts(table, WARNINGS))
    pick(table, *range(len(table.table.entries)))
    table.load()
    until(lambda: not table.loader.busy)
    assert len(viewer.layers) == len(table.table.entries)
    assert sum(layer.data.shape[0] for layer in viewer.layers) >= 28
    assert "tilted" in "".join(shown)


def test_a_folder_of_nifti_files_is_searched_and_one_with_time_opened(viewer, shared_data, drop, browser, until):
    drop(shared_data("demo-nifti"))
    table = browser()
    assert len(table.table.entries) == 12
    table.filter.setText("pcasl")
    pick(table, 0)
    table.load()
    until(lambda: len(viewer.layers) == 1)
    assert viewer.layers[0].data.shape[0] == 10
    assert viewer.layers[0].axis_labels[0] == "time"
