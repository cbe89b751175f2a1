"""What a training may learn from, beside the image that the user looks at."""

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels

from napari_medseg.errors import DataError
from napari_medseg.ui.layers import image_of, image_volume, tag_of, training_labels
from napari_medseg.ui.layers.labels import moved_onto
from napari_medseg.ui.run_layout import Source
from napari_medseg.ui.widgets.live_labels import OpenPair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image, Layer

    from napari_medseg.project import Project
    from napari_medseg.ui.projects.keeper import Keeper
    from napari_medseg.volume import Volume


@dataclass(frozen=True, eq=False)
class Candidate:
    """A case that a training may learn from."""

    source: Source
    pair: OpenPair | None
    """Its layers, if it is open: strokes on them reach the training."""
    in_project: bool
    """Whether it belongs to a project of the user's."""

    @property
    def id(self) -> str:
        """Identifier within a run."""
        return self.source.id


def open_source(pair: OpenPair, name: str = "this image", group: str = "") -> Source:
    """Return the source of a pair of layers."""
    image = image_volume(pair.image)
    return Source(lambda: image, lambda _image: training_labels(pair.labels, pair.image), pair.id, name, group)


def candidates(keeper: "Keeper", current: "Labels | None") -> list[Candidate]:
    """Return the other open labels layers that lie on an image, and the cases of the project that are not open.

    Cases that are kept for testing are left out.

    Parameters
    ----------
    keeper : Keeper
        Of the viewer.
    current : Labels or None
        The labels layer that the user works on.
    """
    layers = list(keeper.viewer.layers)
    found = []
    for labels in layers:
        image = image_of(labels, layers) if _is_work(labels) and labels != current else None
        case = keeper.case_of(labels)
        if image is None or is_test(keeper, case):
            continue
        group = group_of(keeper, case, image)
        pair = OpenPair(case or f"layer-{str(labels.unique_id)[:8]}", image, labels)
        found.append(Candidate(open_source(pair, labels.name, group), pair, case is not None and not keeper.is_session))
    project = keeper.project
    for entry in project.content.cases if project is not None else ():
        closed = keeper.layer_of(entry.id) is None and entry.split == "train" and entry.images
        if project is not None and closed and project.saved_at(entry.id) is not None:
            source = _stored(project, entry.id, entry.name, entry.group or entry.images[0].fingerprint)
            found.append(Candidate(source, None, not keeper.is_session))
    return found


def to_check(keeper: "Keeper", learnt: "Sequence[str]") -> list[Source]:
    """Return all that is labelled in the project of the user's, if there is one, but what is learnt from.

    Parameters
    ----------
    keeper : Keeper
        Of the viewer.
    learnt : sequence of str
        Identifiers of the cases that are learnt from.
    """
    project, found = keeper.project, []
    if keeper.is_session or project is None:
        return []
    for entry in project.content.cases:
        if entry.id in learnt or not entry.images or project.saved_at(entry.id) is None:
            continue
        labels = keeper.layer_of(entry.id)
        image = None if labels is None else image_of(labels, list(keeper.viewer.layers))
        if labels is not None and image is not None:
            source = open_source(OpenPair(entry.id, image, labels), entry.name)
        else:
            source = _stored(project, entry.id, entry.name, "")
        found.append(replace(source, learnt=False))
    return found


def is_test(keeper: "Keeper", case: str | None) -> bool:
    """Return whether a case is kept for testing."""
    return case is not None and keeper.project is not None and keeper.project.case(case).split == "test"


def group_of(keeper: "Keeper", case: str | None, image: "Image") -> str:
    """Return what labels of one patient have in common: the patient of the case, or else the image."""
    if case is not None and keeper.project is not None:
        entry = keeper.project.case(case)
        if entry.group or entry.images:
            return entry.group or entry.images[0].fingerprint
    return f"image {image.unique_id}"


def _is_work(layer: "Layer") -> bool:
    """Return whether a layer holds labels that may be learnt from: not what a model says."""
    tag = tag_of(layer)
    return isinstance(layer, Labels) and (tag is None or tag.role in ("opened", "painted"))


def _stored(project: "Project", case: str, name: str, group: str) -> Source:
    return Source(lambda: project.read_images(case)[0], partial(_told, project, case), case, name, group)


def _told(project: "Project", case: str, image: "Volume") -> "Volume":
    """Return what a training is told by the stored labels of a case, on the grid of its image."""
    found = project.load_labels(case)
    if found is None:
        raise DataError(f"{project.case(case).name} has no labels.", "Open it and paint, or leave it out.")
    labels, annotation = found
    if annotation is not None:
        labels = replace(labels, data=annotation.taught(np.asarray(labels.data)))
    return moved_onto(labels, image)
