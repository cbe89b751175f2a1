"""The information panel follows the selected layer, in exact numbers, and changes windows and views."""

import numpy as np
import pytest
from napari.layers import Layer
from npe2 import PluginManifest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_medseg.ui.layers import to_layer_tuples
from napari_medseg.ui.widgets.image_information import HINT, OTHER, ImageInformation
from napari_medseg.volume import Geometry, LabelClass, Volume

pytestmark = pytest.mark.viewer

AXIAL = np.array([[0, 0, -0.7, 100.5], [0, -0.7, 0, 90.25], [2.5, 0, 0, -300], [0, 0, 0, 1.0]])
CT = Volume(
    np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6) * 10 - 500,
    Geometry((4, 5, 6), AXIAL),
    "CT 3",
    modality="CT",
    units="HU",
    window=(-160.0, 240.0),
    warnings=("The gantry was tilted by 12 degrees.", "One slice is missing."),
)


@pytest.fixture
def viewer(make_napari_viewer, npe2pm, plugin_settings):
    npe2pm.register(PluginManifest.from_distribution("napari-medseg"))
    return make_napari_viewer(show=True)


@pytest.fixture
def panel(viewer, qtbot) -> ImageInformation:
    _, widget = viewer.window.add_plugin_dock_widget("napari-medseg", "Image information")
    qtbot.wait(50)
    return widget


def opened(viewer, volume: Volume) -> Layer:
    (layer,) = to_layer_tuples(volume)
    return viewer.add_layer(Layer.create(*layer))


def choose(panel: ImageInformation, name: str) -> None:
    index = panel.window.findData(name)
    assert index >= 0
    panel.window.setCurrentIndex(index)
    panel.window.activated.emit(index)


def test_the_numbers_and_warnings_of_the_selected_layer_are_shown_and_copied(viewer, panel, qtbot) -> None:
    assert panel.title.text() == HINT
    opened(viewer, CT)
    assert "CT 3" in panel.title.text()
    assert "2.5 × 0.7 × 0.7 mm" in panel.facts.text()
    assert "gantry was tilted" in panel.warnings.text()
    assert panel.warnings.isVisible()
    qtbot.mouseClick(panel.copy_button, Qt.MouseButton.LeftButton)
    copied = dict(line.split("\t") for line in QApplication.clipboard().text().splitlines() if "\t" in line)
    assert copied["Spacing"] == "2.5 × 0.7 × 0.7 mm"
    assert copied["First voxel (RAS mm)"] == "100.5, 90.25, -300"
    assert copied["Warning"] == "One slice is missing."


def test_it_follows_the_selection_and_the_name(viewer, panel) -> None:
    image = opened(viewer, CT)
    labels = opened(
        viewer,
        Volume(np.ones((4, 5, 6), np.uint8), CT.geometry, "organs", "labels", classes=(LabelClass(value=1, name="a"),)),
    )
    assert "label map" in panel.facts.text()
    assert not panel.window.isEnabled()
    assert not panel.warnings.isVisible()
    viewer.layers.selection.active = image
    image.name = "renamed"
    assert "renamed" in panel.title.text()
    viewer.layers.remove(image)
    viewer.layers.remove(labels)
    assert panel.title.text() == HINT
    assert not panel.copy_button.isEnabled()


def test_windows_of_ct_are_set_by_name_and_the_user_s_own_is_called_other(viewer, panel) -> None:
    image = opened(viewer, CT)
    assert panel.window.currentData() == "As in the file"
    choose(panel, "Lung")
    assert tuple(image.contrast_limits) == (-1350, 150)
    assert image.contrast_limits_range[0] <= -1350
    image.contrast_limits = (0, 77)
    assert panel.window.currentData() == OTHER
    choose(panel, "Brain")
    assert tuple(image.contrast_limits) == (0, 80)
    assert panel.window.findData(OTHER) < 0


def test_only_ct_has_the_windows_of_ct(viewer, panel) -> None:
    opened(viewer, Volume(np.arange(60.0).reshape(3, 4, 5), None, "MR 2", modality="MR"))
    names = [panel.window.itemData(index) for index in range(panel.window.count())]
    assert set(names) - {OTHER} == {"99 % of the voxels", "All values"}
    assert "unknown" in panel.facts.text()


def test_the_buttons_and_menu_entries_turn_the_view(viewer, panel, qtbot) -> None:
    from napari._app_model import get_app_model

    opened(viewer, CT)
    for plane, order in (("coronal", (1, 0, 2)), ("sagittal", (2, 0, 1)), ("axial", (0, 1, 2))):
        qtbot.mouseClick(panel.views[plane], Qt.MouseButton.LeftButton)
        assert viewer.dims.order == order
    for plane, order in (("sagittal", (2, 0, 1)), ("coronal", (1, 0, 2)), ("axial", (0, 1, 2))):
        get_app_model().commands.execute_command(f"napari-medseg.show_{plane}").result()
        assert viewer.dims.order == order
