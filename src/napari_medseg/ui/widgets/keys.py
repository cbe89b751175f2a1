"""Keys of a panel, which work on the canvas for as long as the panel is there."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from napari_medseg.ui.background import is_alive

if TYPE_CHECKING:
    from napari.viewer import Viewer


class Keys(QObject):
    """Binds keys of the viewer; those of the selected layer come first.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose canvas.
    actions : mapping of str to callable
        What each key does.
    parent : QObject
        The panel; the keys are given back when it is destroyed.
    """

    def __init__(self, viewer: "Viewer", actions: Mapping[str, Callable[[], object]], parent: QObject) -> None:
        super().__init__(parent)
        before = {key: viewer.bind_key(key, _press(parent, act), overwrite=True) for key, act in actions.items()}
        parent.destroyed.connect(partial(_give_back, viewer, before))


def _press(panel: QObject, act: Callable[[], object]) -> "Callable[[Viewer], None]":
    # napari asks for the name of what is bound, which a partial does not have
    def press(viewer: "Viewer") -> None:
        if is_alive(panel):
            act()

    return press


def _give_back(viewer: "Viewer", before: dict[str, Callable[..., object] | None], _panel: object = None) -> None:
    for key, function in before.items():
        viewer.bind_key(key, function, overwrite=True)
