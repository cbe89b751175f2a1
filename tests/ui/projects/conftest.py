"""A real window with the plugin, as for the widgets."""

from collections.abc import Callable

import pytest
from npe2 import PluginManifest


@pytest.fixture
def viewer(make_napari_viewer, npe2pm, plugin_settings):
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
