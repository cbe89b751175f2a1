"""What is painted is on disk some seconds later, and comes back."""

import numpy as np
import pytest

from napari_medseg.data import BACKGROUND_VALUE
from napari_medseg.io import write
from napari_medseg.project import Project, sessions
from napari_medseg.ui.layers import add_layers, annotation_of, classes_of, new_labels, place
from napari_medseg.ui.projects import keeper as keeping
from napari_medseg.ui.projects.keeper import keeper_of
from napari_medseg.volume import Geometry, LabelClass, Volume

pytestmark = pytest.mark.viewer
SHAPE = (8, 20, 24)
AFFINE = np.array([[0, 0, -1.0, 5], [0, -1.0, 0, 6], [2.0, 0, 0, 7], [0, 0, 0, 1]])


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save a tenth of a second after a stroke, not ten seconds."""
    monkeypatch.setattr(keeping, "SAVE_MS", 100)


@pytest.fixture
def panel(dock, soon):
    """Return the Project widget."""
    return dock("Project")


@pytest.fixture
def image(viewer, panel):
    """Return an image layer that was read from no file."""
    data = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    volume = Volume(data, Geometry(SHAPE, AFFINE), name="MR 4", modality="MR")
    return add_layers(viewer, place([volume], None).tuples)[0]


@pytest.fixture
def labels(viewer, image):
    """Return an empty labels layer on the image."""
    layer = new_labels(image, [LabelClass(value=1, name="liver", color="#ff0000")])
    return viewer.add_layer(layer)


def saved(keeper, case="case-001"):
    """Return the labels of a case as they are on disk."""
    found = Project.look(keeper.project.folder).load_labels(case)
    return None if found is None else found[0].data


def painted(labels, z, value=1):
    """Paint a dot, as the brush does."""
    labels.paint((z, 5, 5), value)


def test_strokes_are_saved_and_only_strokes(viewer, panel, image, labels, qtbot):
    keeper = panel.keeper
    viewer.dims.set_point(0, 4.0)
    qtbot.wait(400)
    assert keeper.project is None or not keeper.project.content.cases
    painted(labels, 3)
    qtbot.waitUntil(lambda: keeper.project is not None and not keeper.is_dirty, timeout=10_000)
    np.testing.assert_array_equal(saved(keeper), labels.data)
    assert keeper.is_session
    painted(labels, 6, BACKGROUND_VALUE)
    annotation_of(labels).finish_slice(0, 6)
    assert keeper.is_dirty
    qtbot.waitUntil(lambda: not keeper.is_dirty, timeout=10_000)
    np.testing.assert_array_equal(saved(keeper), labels.data)
    labels.undo()
    qtbot.waitUntil(lambda: np.array_equal(saved(keeper), labels.data), timeout=10_000)
    assert len(keeper.project.content.cases) == 1
    assert panel.table.rowCount() == 1
    qtbot.waitUntil(lambda: panel.state.text().startswith("Saved at"), timeout=10_000)


def test_a_mark_without_a_stroke_is_kept(panel, labels, qtbot):
    qtbot.wait(300)
    annotation_of(labels).finish_slice(0, 2)
    labels.events.data(value=labels.data)
    qtbot.waitUntil(lambda: panel.keeper.project is not None and not panel.keeper.is_dirty, timeout=10_000)
    stored = Project.look(panel.keeper.project.folder).load_labels("case-001")
    assert stored[1].finished == {(0, 2)}


def test_a_removed_layer_is_saved_at_once(viewer, panel, labels, qtbot):
    painted(labels, 3)
    expected = labels.data.copy()
    viewer.layers.remove(labels)
    np.testing.assert_array_equal(saved(panel.keeper), expected)
    panel.table.setCurrentCell(0, 0)
    panel.show_button.click()
    qtbot.waitUntil(lambda: panel.keeper.layer_of("case-001") is not None, timeout=10_000)
    again = panel.keeper.layer_of("case-001")
    np.testing.assert_array_equal(again.data, expected)
    assert [c.name for c in classes_of(again)] == ["liver"]
    assert again.name == "case 1 labels"
    # the image was open, so it is not opened twice
    assert len(viewer.layers) == 2


def test_a_disk_that_is_full_is_told_and_tried_again(viewer, panel, labels, qtbot, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        painted(labels, 3)
        qtbot.waitUntil(lambda: panel.messages.error is not None, timeout=10_000)
        assert "No space left" in panel.messages.error.problem
        assert panel.keeper.is_dirty
        assert panel.state.text() == "Not saved; trying again."
        # labels that cannot be saved are not let go of with their layer
        expected = labels.data.copy()
        viewer.layers.remove(labels)
    qtbot.waitUntil(lambda: not panel.keeper.is_dirty, timeout=10_000)
    np.testing.assert_array_equal(saved(panel.keeper), expected)
    assert "Saved after all." in panel.messages.notes


def test_a_session_becomes_a_project_and_is_opened_again(viewer, panel, labels, qtbot, tmp_path):
    painted(labels, 3)
    qtbot.waitUntil(lambda: panel.keeper.project is not None and not panel.keeper.is_dirty, timeout=10_000)
    session = panel.keeper.project.folder
    panel.create(tmp_path / "study")
    qtbot.waitUntil(lambda: not panel.keeper.is_session, timeout=10_000)
    assert not session.exists()
    assert "study" in panel.title.text()
    painted(labels, 5)
    qtbot.waitUntil(lambda: not panel.keeper.is_dirty, timeout=10_000)
    expected = labels.data.copy()
    assert panel.keeper.case_of(labels) == "case-001"
    assert sessions.left_behind() == []

    panel.notes.setPlainText("two readers")
    qtbot.waitUntil(lambda: panel.keeper.project.content.notes == "two readers", timeout=5000)
    panel.table.item(0, 0).setText("first visit")
    panel.table.item(0, 4).setCheckState(panel.table.item(0, 4).checkState().Unchecked)
    case = panel.keeper.project.content.cases[0]
    assert (case.name, case.split) == ("first visit", "test")

    other = Project.create(tmp_path / "other")
    other.close()
    panel.open(other.folder)
    qtbot.waitUntil(lambda: panel.keeper.project.folder.name == "other", timeout=10_000)
    assert labels not in viewer.layers
    viewer.layers.clear()
    panel.open(tmp_path / "study")
    qtbot.waitUntil(lambda: panel.keeper.layer_of("case-001") is not None, timeout=10_000)
    np.testing.assert_array_equal(panel.keeper.layer_of("case-001").data, expected)
    np.testing.assert_array_equal(viewer.layers[0].data, np.arange(np.prod(SHAPE)).reshape(SHAPE))


def test_a_second_window_cannot_open_it(panel, qtbot, tmp_path):
    with Project.create(tmp_path / "study") as project:
        panel.open(project.folder)
        qtbot.waitUntil(lambda: panel.messages.error is not None, timeout=10_000)
        assert "another window" in panel.messages.error.problem


def test_a_case_without_its_image_comes_with_its_labels(viewer, panel, qtbot, tmp_path):
    data = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    path = write(Volume(data, Geometry(SHAPE, AFFINE), name="a"), tmp_path / "scan.nii.gz")
    (image,) = viewer.open(path, plugin="napari-medseg")
    image.selected = True
    viewer.layers.selection.active = image
    panel.add_button.click()
    qtbot.waitUntil(lambda: panel.table.rowCount() == 1 and not panel.keeper.is_dirty, timeout=10_000)
    layer = panel.keeper.layer_of("case-001")
    painted(layer, 2)
    expected = layer.data.copy()
    panel.create(tmp_path / "study")
    qtbot.waitUntil(lambda: not panel.keeper.is_session and not panel.keeper.is_dirty, timeout=10_000)
    viewer.layers.clear()
    path.rename(tmp_path / "moved.nii.gz")
    panel.open(tmp_path / "study")
    # it is open in this window, which does not lock out itself
    qtbot.waitUntil(lambda: panel.keeper.layer_of("case-001") is not None, timeout=10_000)
    assert "case 1 is not where it was" in panel.messages.error.problem
    np.testing.assert_array_equal(panel.keeper.layer_of("case-001").data, expected)
    panel.table.setCurrentCell(0, 0)
    assert panel.locate_button.isEnabled()


def test_closing_the_window_saves_and_the_next_one_offers_it(viewer, panel, labels, qtbot, monkeypatch):
    panel.keeper._timer.setInterval(600_000)
    painted(labels, 3)
    expected = labels.data.copy()
    qtbot.wait(50)
    assert panel.keeper.is_dirty
    viewer.close()
    (folder,) = [path for path in sessions.sessions_folder().glob("*") if (path / "project.json").exists()]
    stored = Project.look(folder).load_labels("case-001")
    np.testing.assert_array_equal(stored[0].data, expected)


def test_panels_of_a_window_share_a_keeper(viewer, panel):
    assert keeper_of(viewer, panel) is panel.keeper
    assert panel.keeper.parent() is panel.window()
