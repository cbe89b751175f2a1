"""A user cleans up, measures, shows and compares labels, with a mouse, in a real window."""

import csv

import numpy as np
import pytest
import trimesh
from napari.layers import Layer, Surface
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_medseg.inference.postprocess import FillHoles, KeepLargest, Merge, PostProcessing, RemoveSmall, Smooth
from napari_medseg.ui.layers import classes_of, frame_of, labels_volume, new_labels, tag_of, to_layer_tuples
from napari_medseg.volume import Geometry, LabelClass, Volume

pytestmark = pytest.mark.viewer

CLASSES = (LabelClass(value=1, name="liver"), LabelClass(value=2, name="kidney", color="#102030"))
SHAPE = (14, 40, 44)
SPACING = (2.5, 0.8, 0.8)


def truth():
    """Return a liver with a hole and two specks, and a kidney, as (z, y, x) labels."""
    z, y, x = np.indices(SHAPE)
    labels = np.zeros(SHAPE, np.uint8)
    labels[np.hypot(np.hypot((z - 7) * 2.5, (y - 20) * 0.8), (x - 14) * 0.8) < 9] = 1
    labels[np.hypot(np.hypot((z - 6) * 2.5, (y - 22) * 0.8), (x - 34) * 0.8) < 5] = 2
    return labels


def noisy():
    labels = truth()
    labels[7, 20, 14] = 0
    labels[1, 1, 1] = labels[12, 38, 42] = 1
    return labels


@pytest.fixture
def geometry(request):
    """Return an axial grid, or an oblique one where a test asks for it."""
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, -1], [0, -1, 0], [1, 0, 0]]) * np.array(SPACING)
    if getattr(request, "param", "axial") == "oblique":
        c, s = np.cos(0.3), np.sin(0.3)
        affine[:3, :3] = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ affine[:3, :3]
    affine[:3, 3] = (18, 15, -12)
    return Geometry(SHAPE, affine)


@pytest.fixture
def show(viewer):
    """Return a function that adds the layer of a volume."""

    def add(volume):
        ((data, about, kind),) = to_layer_tuples(volume, frame_of(viewer.layers))
        return viewer.add_layer(Layer.create(data, about, kind))

    return add


@pytest.fixture
def image(show, geometry):
    values = (truth() * 50).astype(np.int16)
    return show(Volume(values, geometry, name="CT 2", modality="CT", units="HU", window=(-100, 200)))


@pytest.fixture
def labels(show, geometry, image):
    return show(Volume(noisy(), geometry, name="organs", kind="labels", classes=CLASSES))


@pytest.fixture
def results(labels, dock):
    return dock("Results")


@pytest.fixture
def turn_to(results, qtbot):
    """Return a function that clicks a tab."""

    def turn(name):
        (index,) = [k for k in range(results.bar.count()) if results.bar.tabText(k) == name]
        qtbot.mouseClick(results.bar, Qt.MouseButton.LeftButton, pos=results.bar.tabRect(index).center())
        assert results.bar.currentIndex() == index

    return turn


def add_step(results, title):
    menu = results.clean.steps.add_button.menu()
    next(action for action in menu.actions() if action.text() == title).trigger()
    return results.clean.steps.rows[-1]


def cells(table):
    return [[table.item(r, c).text() for c in range(table.columnCount())] for r in range(table.rowCount())]


def tick(menu, name):
    (item,) = menu.list.findItems(name, Qt.MatchFlag.MatchExactly)
    item.setCheckState(Qt.CheckState.Checked)


@pytest.mark.parametrize("geometry", ["oblique"], indirect=True)
def test_clean_up_is_looked_at_applied_and_taken_back(results, labels, viewer, click, settle):
    assert not results.clean.apply_button.isEnabled()
    tick(add_step(results, "Keep largest part").menu, "liver")
    add_step(results, "Fill holes")
    click(results.clean.preview_button)
    settle(lambda: results.clean.table.isVisible())
    assert [row[:3] for row in cells(results.clean.table)] == [["liver", "2", "1"]]
    np.testing.assert_array_equal(labels_volume(labels).data, noisy())
    (shown,) = [layer for layer in viewer.layers if layer.name == "organs changes"]
    assert sorted(np.unique(labels_volume(shown).data)) == [0, 1, 2]
    assert results.labels.layer is labels
    click(results.clean.apply_button)
    settle(lambda: results.clean.undo_button.isEnabled())
    np.testing.assert_array_equal(labels_volume(labels).data, truth())
    assert shown not in viewer.layers
    click(results.clean.undo_button)
    np.testing.assert_array_equal(labels_volume(labels).data, noisy())
    click(results.clean.redo_button)
    np.testing.assert_array_equal(labels_volume(labels).data, truth())
    assert labels_volume(labels).geometry == tag_of(labels).geometry


def test_several_applied_steps_are_taken_back_one_by_one(results, labels, click, settle):
    results.clean.steps.show_processing(PostProcessing(steps=(FillHoles(),)))
    results.clean.refresh()
    click(results.clean.apply_button)
    settle(lambda: results.clean.undo_button.isEnabled())
    filled = labels_volume(labels).data.copy()
    row = add_step(results, "Remove small parts")
    click(results.clean.steps.rows[0].remove_button)
    row.number.setValue(2)
    row.choice.setCurrentText("voxels")
    click(results.clean.apply_button)
    settle(lambda: results.clean.undo_button.toolTip() == "Undo: Remove small parts")
    np.testing.assert_array_equal(labels_volume(labels).data, truth())
    click(results.clean.undo_button)
    np.testing.assert_array_equal(labels_volume(labels).data, filled)
    click(results.clean.undo_button)
    np.testing.assert_array_equal(labels_volume(labels).data, noisy())
    assert not results.clean.undo_button.isEnabled()


def test_a_stroke_ends_a_preview_and_survives_undo(results, labels, viewer, click, settle, mouse, show_slice):
    results.clean.steps.show_processing(PostProcessing(steps=(FillHoles(),)))
    results.clean.refresh()
    click(results.clean.preview_button)
    settle(lambda: results.clean.table.isVisible())
    labels.mode, labels.brush_size, labels.selected_label = "paint", 1, 2
    viewer.layers.selection.active = labels
    show_slice(labels, 3)
    mouse.stroke(labels, (3, 4, 6), (3, 4, 10))
    assert (labels.data[3, 4, 6:11] == 2).all()
    assert not results.clean.table.isVisible()
    assert [layer.name for layer in viewer.layers] == ["CT 2", "organs"]
    click(results.clean.apply_button)
    settle(lambda: results.clean.undo_button.isEnabled())
    assert labels.data[7, 20, 14] == 1
    assert (labels.data[3, 4, 6:11] == 2).all()
    click(results.clean.undo_button)
    assert labels.data[7, 20, 14] == 0
    assert (labels.data[3, 4, 6:11] == 2).all()


def test_classes_are_merged_into_a_new_one_with_its_name(results, labels, click, settle):
    row = add_step(results, "Merge classes")
    for name in ("liver", "kidney"):
        tick(row.menu, name)
    row.choice.setCurrentText("abdomen")
    click(results.clean.apply_button)
    settle(lambda: results.clean.undo_button.isEnabled())
    assert [(entry.value, entry.name) for entry in classes_of(labels)] == [(3, "abdomen")]
    np.testing.assert_array_equal(labels_volume(labels).data, 3 * (noisy() > 0))
    click(results.clean.undo_button)
    assert classes_of(labels) == CLASSES


def test_the_users_painted_background_and_strokes_stay(viewer, image, dock, click, settle):
    painted = viewer.add_layer(new_labels(image, CLASSES))
    painted.data[4:9, 10:20, 10:20] = 1
    painted.data[6, 15, 15] = 255
    painted.data[6, 12, 12] = 0
    results = dock("Results")
    results.clean.steps.show_processing(PostProcessing(steps=(FillHoles(), KeepLargest())))
    results.clean.refresh()
    click(results.clean.apply_button)
    settle(lambda: results.clean.undo_button.isEnabled())
    assert painted.data[6, 15, 15] == 255
    assert painted.data[6, 12, 12] == 1


def test_steps_read_back_as_they_were_shown(results):
    wanted = PostProcessing(
        steps=(
            KeepLargest(classes=(2,), components=3),
            RemoveSmall(below_mm3=12.5),
            RemoveSmall(below_voxels=7, classes=(1,)),
            FillHoles(),
            Smooth(sigma_mm=1.25),
            Merge(classes=(1,), into=CLASSES[1]),
            Merge(classes=(2,), into=LabelClass(value=0, name="background")),
        )
    )
    results.clean.steps.show_processing(wanted)
    assert results.clean.steps.processing == wanted
    click_up = results.clean.steps.rows[1].up_button
    click_up.click()
    assert [step.kind for step in results.clean.steps.processing.steps][:2] == ["remove_small", "largest"]


@pytest.mark.parametrize("geometry", ["oblique"], indirect=True)
def test_measures_are_shown_kept_as_features_and_saved(
    results, labels, image, turn_to, click, settle, monkeypatch, tmp_path
):
    turn_to("Measure")
    assert results.measure.image.layer is image
    click(results.measure.measure_button)
    settle(lambda: results.measure.table.isVisible())
    heading = [results.measure.table.horizontalHeaderItem(c).text() for c in range(results.measure.table.columnCount())]
    first = dict(zip(heading, cells(results.measure.table)[0], strict=True))
    inside = noisy() == 1
    volume = inside.sum() * np.prod(SPACING) / 1000
    assert first["Class"] == "liver"
    assert float(first["volume (ml)"]) == pytest.approx(volume, rel=1e-3)
    assert first["components"] == "3"
    assert float(first["mean (HU)"]) == pytest.approx((truth() * 50)[inside].mean(), rel=1e-3)
    table = labels.features.set_index("name")
    assert table.loc["liver", "volume (ml)"] == pytest.approx(volume)
    assert list(labels.features["index"]) == [0, 1, 2]
    assert classes_of(labels) == CLASSES
    path = tmp_path / "organs.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(path), ""))
    click(results.measure.save_button)
    settle(lambda: "Saved organs.csv." in results.panel.messages.notes)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["liver", "kidney"]
    assert float(rows[1]["median (HU)"]) == 100
    centre = (tag_of(labels).geometry @ np.argwhere(noisy() == 2)).mean(axis=0)
    assert [float(rows[1][f"centroid {axis} (mm)"]) for axis in "RAS"] == pytest.approx(centre, abs=1e-4)
    labels.data_setitem((np.array([0]), np.array([0]), np.array([0])), 1)
    labels.events.paint(value=[])
    assert any("measure again" in note for note in results.panel.messages.notes)


@pytest.mark.parametrize("geometry", ["axial", "oblique"], indirect=True)
def test_surfaces_lie_on_their_labels_and_are_written_where_the_patient_is(
    results, labels, viewer, turn_to, click, settle, monkeypatch, tmp_path
):
    turn_to("Surfaces")
    tick(results.surfaces.classes, "kidney")
    results.surfaces.smoothing.setValue(0)
    click(results.surfaces.show_button)
    settle(lambda: results.surfaces.table.isVisible())
    (surface,) = [layer for layer in viewer.layers if isinstance(layer, Surface)]
    assert viewer.dims.ndisplay == 3
    assert not labels.visible
    box = np.argwhere(labels.data == 2)
    corners = np.array([labels.data_to_world(p) for p in (box.min(axis=0) - 0.5, box.max(axis=0) + 0.5)])
    points = np.array([surface.data_to_world(p) for p in surface.vertices])
    np.testing.assert_allclose(points.min(axis=0), corners.min(axis=0), atol=1e-3)
    np.testing.assert_allclose(points.max(axis=0), corners.max(axis=0), atol=1e-3)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(tmp_path / "kidney.stl"), ""))
    click(results.surfaces.save_button)
    settle(lambda: "Saved kidney.stl." in results.panel.messages.notes)
    solid = trimesh.load(tmp_path / "kidney.stl")
    assert solid.is_watertight
    centre = (tag_of(labels).geometry @ np.argwhere(noisy() == 2)).mean(axis=0)
    np.testing.assert_allclose(solid.center_mass, centre * (-1, -1, 1), atol=0.3)
    assert solid.volume == pytest.approx((noisy() == 2).sum() * np.prod(SPACING), rel=0.15)
    click(results.surfaces.show_button)
    settle(lambda: not results.panel.busy)
    assert len([layer for layer in viewer.layers if isinstance(layer, Surface)]) == 1


def test_comparison_scores_each_class_and_shows_the_errors(
    results, labels, show, geometry, viewer, turn_to, click, settle, monkeypatch, tmp_path
):
    reference = show(Volume(truth(), geometry, name="expert", kind="labels", classes=CLASSES))
    turn_to("Compare")
    assert results.compare.reference.layer is reference
    click(results.compare.compare_button)
    settle(lambda: results.compare.table.isVisible() and len(viewer.layers) == 4, 120)
    by_class = {row[0]: row[1:] for row in cells(results.compare.table)}
    overlap = 2 * ((noisy() == 1) & (truth() == 1)).sum() / ((noisy() == 1).sum() + (truth() == 1).sum())
    assert float(by_class["liver"][0]) == pytest.approx(overlap, abs=1e-3)
    assert by_class["kidney"][:3] == ["1", "0", "1"]
    errors = viewer.layers["errors of organs against expert"]
    found = labels_volume(errors)
    assert found.geometry == geometry
    expected = np.zeros(SHAPE, np.uint8)
    expected[1, 1, 1] = expected[12, 38, 42] = 1
    expected[7, 20, 14] = 2
    np.testing.assert_array_equal(found.data, expected)
    assert results.labels.layer is labels
    path = tmp_path / "scores.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(path), ""))
    click(results.compare.save_button)
    settle(lambda: "Saved scores.csv." in results.panel.messages.notes)
    assert "HD95 (mm)" in path.read_text()


def test_labels_on_another_grid_are_compared_on_the_references_with_a_word(
    results, show, geometry, turn_to, click, settle, viewer
):
    coarse = truth()[:, ::2, ::2]
    affine = geometry.affine.copy()
    affine[:3, 1:3] *= 2
    show(Volume(coarse, Geometry(coarse.shape, affine), name="coarse", kind="labels", classes=CLASSES))
    turn_to("Compare")
    click(results.compare.compare_button)
    settle(lambda: results.compare.table.isVisible(), 120)
    assert any("another grid than coarse" in note for note in results.panel.messages.notes)


def test_labels_elsewhere_are_refused(results, show, geometry, turn_to, click, qtbot):
    affine = geometry.affine.copy()
    affine[:3, 3] += 500
    show(Volume(truth(), Geometry(SHAPE, affine), name="elsewhere", kind="labels"))
    turn_to("Compare")
    click(results.compare.compare_button)
    qtbot.waitUntil(lambda: results.panel.messages.error is not None, timeout=30_000)
    assert "does not lie on" in results.panel.messages.error.problem


def test_any_labels_layer_can_be_used(image, viewer, dock, click, settle):
    own = viewer.add_labels(noisy().astype(np.int32), name="mine", scale=SPACING, units=("mm",) * 3)
    results = dock("Results")
    assert results.labels.layer is own
    results.clean.steps.show_processing(PostProcessing(steps=(RemoveSmall(below_voxels=2), FillHoles())))
    results.clean.refresh()
    click(results.clean.apply_button)
    settle(lambda: results.clean.undo_button.isEnabled())
    np.testing.assert_array_equal(own.data, truth())
    results.show_tab("Measure")
    click(results.measure.measure_button)
    settle(lambda: results.measure.table.isVisible())
    volume = float(cells(results.measure.table)[1][1])
    assert volume == pytest.approx((truth() == 2).sum() * np.prod(SPACING) / 1000, rel=1e-3)


def test_what_cannot_be_done_is_disabled(viewer, dock, image):
    results = dock("Results")
    assert results.labels.layer is None
    for button in (
        results.clean.preview_button,
        results.clean.undo_button,
        results.measure.measure_button,
        results.measure.save_button,
        results.surfaces.show_button,
        results.surfaces.save_button,
        results.compare.compare_button,
    ):
        assert not button.isEnabled()


def test_a_job_is_cancelled_and_the_labels_stay(results, labels, click, settle):
    results.clean.steps.show_processing(PostProcessing(steps=(FillHoles(),) * 60))
    results.clean.refresh()
    click(results.clean.apply_button)
    click(results.panel.cancel_button)
    settle(lambda: not results.panel.busy)
    np.testing.assert_array_equal(labels_volume(labels).data, noisy())
    assert not results.clean.undo_button.isEnabled()
