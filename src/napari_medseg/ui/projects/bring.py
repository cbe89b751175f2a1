"""Bringing the cases of a project into the viewer."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_medseg.data.annotation import Annotation
from napari_medseg.errors import MedsegError
from napari_medseg.project import CaseEntry, Project, sessions
from napari_medseg.project.fingerprint import fingerprint
from napari_medseg.project.images import NAMELESS
from napari_medseg.ui.layers import (
    PAINTED_BACKGROUND,
    add_layers,
    frame_of,
    geometry_of,
    image_of,
    image_volume,
    own_shape,
    painted_labels,
    place,
    set_annotation,
    set_classes,
)
from napari_medseg.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image, Labels
    from napari.viewer import Viewer


@dataclass(frozen=True, eq=False)
class Loaded:
    """A case in memory."""

    case: CaseEntry
    images: tuple[Volume, ...]
    labels: Volume | None
    annotation: Annotation | None
    problems: tuple[MedsegError, ...]
    """Why the image or the labels are missing."""
    shown: "Image | None" = None
    """The layer that shows the image already."""


@dataclass(frozen=True, eq=False)
class Opened:
    """A project that was opened, and cases of it to be shown."""

    project: Project
    cases: tuple[Loaded, ...]


def open_project(folder: Path, open_images: "Sequence[Image]") -> Opened:
    """Open a project, from any thread, and read the case that was saved last; of a session, all cases.

    Raises
    ------
    MedsegError
        If it cannot be opened; what cannot be read of a case is told with the case.
    """
    project = Project.open(folder)
    wanted = [case.id for case in project.content.cases]
    if not sessions.is_session(project):
        wanted = sorted(wanted, key=lambda case: project.saved_at(case) or 0.0)[-1:]
    return Opened(project, tuple(load_case(project, case, open_images) for case in wanted))


def load_case(project: Project, case: str, open_images: "Sequence[Image]") -> Loaded:
    """Read a case, from any thread; what cannot be read is left out, with the reason.

    Parameters
    ----------
    project : Project
        Whose case.
    case : str
        Identifier.
    open_images : sequence of Image
        Layers that may show the case's image already.
    """
    entry = project.case(case)
    problems: list[MedsegError] = []
    images: list[Volume] = []
    shown = _showing(entry, open_images)
    if shown is None:
        try:
            images = [_named(image, entry.name) for image in project.read_images(case)]
        except MedsegError as error:
            problems.append(error)
    labels, annotation = None, None
    try:
        labels, annotation = project.load_labels(case) or (None, None)
    except MedsegError as error:
        problems.append(error)
    return Loaded(entry, tuple(images), labels, annotation, tuple(problems), shown)


def show_case(viewer: "Viewer", loaded: Loaded) -> "Labels | None":
    """Add the layers of a case to the viewer, and return that of its labels; None if it has none yet."""
    image = loaded.shown
    if loaded.images:
        image = add_layers(viewer, place(loaded.images, frame_of(viewer.layers)).tuples)[0]
    if loaded.labels is None:
        return None
    layer = _labels_layer(viewer, image, loaded.labels)
    if loaded.annotation is not None and loaded.annotation.shape == own_shape(layer):
        set_annotation(layer, loaded.annotation)
    return layer


def hide_case(viewer: "Viewer", labels: "Labels", others: "Sequence[Labels]") -> None:
    """Remove a labels layer, and its image if no other labels lie on it."""
    layers = viewer.layers
    image = image_of(labels, layers)
    if labels in layers:
        layers.remove(labels)
    if image is not None and all(image_of(other, layers) != image for other in others):
        layers.remove(image)


def _labels_layer(viewer: "Viewer", image: "Image | None", labels: Volume) -> "Labels":
    if image is not None and _same_grid(image, labels):
        layer = painted_labels(image, labels, labels.name)
        viewer.add_layer(layer)
        return layer
    (added,) = add_layers(viewer, place([labels], frame_of(viewer.layers)).tuples)
    set_classes(added, (*labels.classes, PAINTED_BACKGROUND))
    return added


def _same_grid(image: "Image", labels: Volume) -> bool:
    grid = geometry_of(image)
    if grid is None or labels.geometry is None:
        return grid is labels.geometry and image_volume(image).spatial_shape == labels.spatial_shape
    return grid.matches(labels.geometry)


def _named(image: Volume, case: str) -> Volume:
    """Return an image with a name for its layer; copies in a project have none of their own."""
    return replace(image, name=case) if image.name == NAMELESS else image


def _showing(entry: CaseEntry, layers: "Sequence[Image]") -> "Image | None":
    """Return the layer that shows the image of a case."""
    known = {image.fingerprint for image in entry.images}
    return next((layer for layer in layers if fingerprint(image_volume(layer)) in known), None)
