"""The Surfaces tab of the Results panel: classes as closed surfaces in 3D, and as files."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from napari.layers import Labels
from qtpy.QtWidgets import QDoubleSpinBox, QFileDialog, QPushButton, QWidget

from napari_medseg.results import Mesh, Surface, write_meshes
from napari_medseg.ui.background import in_background
from napari_medseg.ui.folders import new_scratch_file
from napari_medseg.ui.layers import add_surface
from napari_medseg.ui.widgets.class_menu import ClassMenu
from napari_medseg.ui.widgets.desk import Desk, buttons, layer_classes
from napari_medseg.ui.widgets.file_job import FileJob, FileTask
from napari_medseg.ui.widgets.number_table import NumberTable
from napari_medseg.ui.widgets.section import rows, stacked

TARGET = "napari_medseg.results.jobs:make_surfaces"
FILTERS = "STL (*.stl);;OBJ (*.obj)"


@dataclass(frozen=True, eq=False)
class _Made:
    """Surfaces in memory, of a layer."""

    layer: Labels
    meshes: tuple[Mesh, ...]


class SurfacesTab(QWidget):
    """Choose classes, show them in 3D, write them to files.

    Parameters
    ----------
    desk : Desk
        Where to work.
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, desk: Desk, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._layer: Labels | None = None
        self._made: _Made | None = None
        self._job = FileJob(desk.panel, self)
        self.classes = ClassMenu(self)
        self.smoothing = QDoubleSpinBox(self)
        self.smoothing.setRange(0, 20)
        self.smoothing.setSingleStep(0.5)
        self.smoothing.setValue(1.0)
        self.smoothing.setSuffix(" mm")
        self.smoothing.setToolTip("Width of a Gaussian over the class before its surface is taken; 0 shows the voxels")
        self.show_button = QPushButton("Show in 3D", self)
        self.show_button.setToolTip("Make a closed surface of each class, and turn the view to 3D")
        self.save_button = QPushButton("Save STL or OBJ…", self)
        self.save_button.setToolTip("Write the surfaces that are shown, in LPS millimetres as 3D Slicer expects them")
        self.table = NumberTable("What each surface encloses, and its area", self)
        layout = stacked(self)
        layout.addLayout(rows(("Classes", self.classes), ("Smoothing", self.smoothing)))
        layout.addLayout(buttons(self.show_button, self.save_button))
        layout.addWidget(self.table)
        self.show_button.clicked.connect(self.start)
        self.save_button.clicked.connect(self._on_save)
        self._job.done.connect(self._on_done)

    def show_layer(self, layer: Labels | None) -> None:
        """Work on this layer from now on."""
        self._made = None
        self.classes.set_classes(layer_classes(layer) if layer is not None else ())
        self.table.show_rows((), {})
        self.refresh()

    def refresh(self) -> None:
        """Enable what can be done now."""
        self.show_button.setEnabled(self._desk.choice.layer is not None and not self._desk.panel.busy)
        self.save_button.setEnabled(self._made is not None)

    def start(self, _checked: bool = False) -> None:
        """Make the surfaces in the background."""
        self._desk.attempt(self._start)

    def _start(self) -> None:
        self._layer = self._desk.labels
        self.classes.set_classes(layer_classes(self._layer))
        arguments = {
            "values": self.classes.values,
            "smoothing_mm": self.smoothing.value(),
            "out": new_scratch_file(),
        }
        self._job.start(FileTask(TARGET, {"labels": self._desk.found(self._layer)}, arguments))

    def _on_done(self, found: tuple[Surface, ...]) -> None:
        if self._layer is not None:
            in_background(partial(_load, self._layer, found), self._show, self._desk.panel.show_error)

    def _show(self, made: _Made) -> None:
        layer, viewer = made.layer, self._desk.viewer
        if layer not in viewer.layers:
            return
        colors = {entry.name: entry.color for entry in layer_classes(layer)}
        meshes = tuple(_colored(mesh, colors) for mesh in made.meshes)
        for mesh in meshes:
            add_surface(viewer, layer, mesh)
        if meshes:
            layer.visible = False
            viewer.dims.ndisplay = 3
            self._desk.note(f"{layer.name} is hidden behind its surfaces.")
        if layer is self._desk.choice.layer:
            self._made = _Made(layer, meshes) if meshes else None
            self.table.show_rows([_row(mesh) for mesh in meshes], colors)
        self.refresh()

    def _on_save(self) -> None:
        if self._made is None:
            return
        suggestion = f"{self._made.layer.name}.stl"
        path, chosen = QFileDialog.getSaveFileName(self, "Save surfaces", suggestion, FILTERS)
        if path:
            place = Path(path)
            if place.suffix.lower() not in (".stl", ".obj"):
                place = place.with_name(place.name + (".obj" if chosen.startswith("OBJ") else ".stl"))
            work = partial(write_meshes, self._made.meshes, place)
            in_background(work, self._on_saved, self._desk.panel.show_error)

    def _on_saved(self, paths: tuple[Path, ...]) -> None:
        self._desk.note(f"Saved {', '.join(path.name for path in paths)}.")


def _load(layer: Labels, found: tuple[Surface, ...]) -> _Made:
    meshes = []
    for surface in found:
        with np.load(surface.path) as stored:
            meshes.append(Mesh(surface.entry, stored["vertices"], stored["faces"]))
        surface.path.unlink()
    return _Made(layer, tuple(meshes))


def _colored(mesh: Mesh, colors: dict[str, str]) -> Mesh:
    """Return a surface in the colour that its class has in the layer."""
    color = colors.get(mesh.entry.name, mesh.entry.color)
    return Mesh(mesh.entry.model_copy(update={"color": color}), mesh.vertices, mesh.faces)


def _row(mesh: Mesh) -> dict[str, str | int | float | None]:
    return {"class": mesh.entry.name, "encloses (ml)": mesh.volume_ml, "area (cm²)": mesh.area_mm2 / 100}
