"""From folders and options to a training run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_medseg.cli.case_names import chosen
from napari_medseg.cli.patients import patients
from napari_medseg.cli.predict import find_model
from napari_medseg.cli.schemes import LOOK_AT, class_names, count_objects
from napari_medseg.cli.settings import build, parse
from napari_medseg.data import BACKGROUND_VALUE
from napari_medseg.data.fingerprint import window_of
from napari_medseg.data.label_array import label_array, labels_on
from napari_medseg.data.sample import Scheme
from napari_medseg.errors import ConfigError, DataError
from napari_medseg.io import read
from napari_medseg.io.case_names import same_names
from napari_medseg.io.named import by_stem
from napari_medseg.models import ModelSpec
from napari_medseg.models.design import Design, design_spec
from napari_medseg.models.ensemble import trainable
from napari_medseg.models.retarget import fine_tuned_spec
from napari_medseg.models.versions import place_of
from napari_medseg.training import Case, TrainConfig, create_run
from napari_medseg.volume import LabelClass, Volume

OBJECTS = (
    "The label maps number their objects, so all nonzero values are trained as one class; --scheme dense takes each "
    "for a class."
)


@dataclass(frozen=True)
class Request:
    """How the user wants to train."""

    init: Path | None = None
    """Model to start from."""
    minutes: float | None = None
    settings: tuple[str, ...] = ()
    """``key=value`` of `TrainConfig` and `Design`."""
    names: tuple[str, ...] = ()
    """``value=name`` of classes."""
    scheme: Literal["auto", "dense", "sparse", "foreground"] = "auto"
    """What the values in the label files mean; see the documentation of labels. auto: dense, or foreground where the
    maps number their objects."""
    cases: str | None = None
    """Which cases, of all that there are; see `case_names`."""
    patients: Path | None = None
    """Table of images and patients."""
    keep: str | None = None
    """Name under which the model goes into the user's library."""

    def create(self, folder: Path, images: Path, labels: Path) -> list[str]:
        """Lay out the run.

        Parameters
        ----------
        folder : Path
            The run's.
        images, labels : Path
            Folders whose files pair by name without suffix.

        Returns
        -------
        list of str
            What the user should know.

        Raises
        ------
        MedsegError
            If the options or the files do not serve, with a remedy.
        """
        design, config = self._values()
        pairs, notes = _pairs(images, labels, self.cases)
        found, known = _values_in(path for _image, path in pairs.values())
        scheme = self.scheme
        if scheme == "auto":
            objects = count_objects([set(values.tolist()) for values in found])
            scheme = "foreground" if objects else "dense"
            notes += [OBJECTS] * objects
        groups = patients(pairs, self.patients)
        cases = [
            Case(id=name, image=image.resolve(), labels=label.resolve(), scheme=scheme, group=groups[name])
            for name, (image, label) in pairs.items()
        ]
        classes = _renamed(_classes(found, known, scheme), class_names(self.names))
        spec = self._spec(self.keep or folder.resolve().name, cases, design, classes)
        init = None if self.init is None else trainable(find_model(self.init)).path
        create_run(folder, spec, cases, config, init, place_of(self.keep) if self.keep else None)
        return notes

    def _values(self) -> tuple[Design, TrainConfig]:
        values = parse(self.settings)
        known = [*TrainConfig.model_fields, *Design.model_fields]
        unknown = sorted(values.keys() - set(known))
        if unknown:
            raise ConfigError(f"There is no setting {unknown[0]!r}.", f"Known are {', '.join(known)}.")
        # Who counts steps does not want a clock.
        if "steps" in values:
            values.setdefault("minutes", None)
        if self.minutes is not None:
            values["minutes"] = self.minutes
        # Nobody looks, so no time is kept free for it.
        values.setdefault("preview_hz", 0)
        design = {key: values.pop(key) for key in list(values) if key in Design.model_fields}
        return build(Design, design), build(TrainConfig, values)

    def _spec(self, name: str, cases: Sequence[Case], design: Design, classes: dict[int, LabelClass]) -> ModelSpec:
        if self.init is None:
            images = [_image(case.image) for case in cases[:LOOK_AT]]
            channels = max(_channels(image) for image in images)
            window = window_of((image, _labels(case, image)) for case, image in zip(cases, images, strict=False))
            others = [image.geometry for image in images[1:]]
            return design_spec(name, images[0], list(classes.values()), design, channels, window, others)
        start = trainable(find_model(self.init)).spec
        known = {entry.value: entry for entry in start.foreground}
        told = class_names(self.names)
        merged = {value: entry if value in told else known.get(value, entry) for value, entry in classes.items()}
        # Unlabelled voxels do not contradict a class that nobody drew, background would.
        same = merged.keys() <= known.keys() and cases[0].scheme == "dense"
        only = cases[0].scheme == "foreground" and len(known) == 1 and not told
        if cases[0].scheme == "sparse" or same or only:
            merged = known if only else known | merged
        return fine_tuned_spec(start, name, list(merged.values()))


def _pairs(images: Path, labels: Path, cases: str | None) -> tuple[dict[str, tuple[Path, Path]], list[str]]:
    """Return image and labels by case name: all label maps that were chosen, each with its image."""
    pictures = by_stem(images)
    known, drawn, ends = same_names(pictures, by_stem(labels))
    wanted = chosen(drawn, cases, labels, ends)
    missing = [path.name for name, path in wanted.items() if name not in known]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(wanted)} label maps have no image of their name in {images}, such as "
            f"{missing[0]}.",
            "Give each label map the name of its image.",
        )
    surplus = len(pictures) - len(wanted) if cases is None else 0
    notes = [f"{surplus} of {len(pictures)} images have no labels and are left out."] if surplus else []
    if any(ends):
        told = (
            f"those of the {what} end in {end}" for what, end in zip(("images", "labels"), ends, strict=True) if end
        )
        notes.append(f"Names are compared without their ends: {', '.join(told)}.")
    return {name: (known[name], wanted[name]) for name in wanted}, notes


def _labels(case: Case, image: Volume) -> NDArray[np.generic]:
    return labels_on(read(case.labels)[0], image.spatial_shape, image.geometry, case.id)


def _image(path: Path) -> Volume:
    image = next((volume for volume in read(path, suv=True) if volume.kind == "image"), None)
    if image is None:
        raise DataError(f"{path.name} is a label map.", "Give the folder of the images to --images.")
    return image


def _channels(image: Volume) -> int:
    """Return how many channels a network for such images has; transparency is none."""
    return 3 if image.rgb else image.data.size // prod(image.spatial_shape)


def _values_in(paths: Iterable[Path]) -> tuple[list[NDArray[np.generic]], dict[int, LabelClass]]:
    """Return the values that occur in each label map, in increasing order, and the classes that the files name."""
    found: list[NDArray[np.generic]] = []
    known: dict[int, LabelClass] = {}
    for path in paths:
        volume = read(path)[0]
        values = np.unique(label_array(volume, path.name))
        if values.dtype.kind not in "buif" or values.min() < 0 or (values != np.rint(values)).any():
            raise DataError(f"{path.name} is not a label map.", "Its values must be whole numbers of 0 or more.")
        found.append(values)
        known |= {entry.value: entry for entry in volume.classes}
    return found, known


def _classes(found: list[NDArray[np.generic]], known: dict[int, LabelClass], scheme: Scheme) -> dict[int, LabelClass]:
    """Return the classes that occur in the label maps, by value."""
    if scheme == "foreground":
        return {1: LabelClass(value=1, name="foreground")}
    values = sorted({int(value) for each in found for value in each.tolist()} - {0})
    if scheme == "sparse":
        values = [value for value in values if value != BACKGROUND_VALUE]
    if not values:
        raise DataError("The label maps hold no class.", "Choose the folder with the labels.")
    return {value: known.get(value) or LabelClass(value=value, name=f"class {value}") for value in values}


def _renamed(classes: dict[int, LabelClass], names: dict[int, str]) -> dict[int, LabelClass]:
    for value, name in names.items():
        if value not in classes:
            raise ConfigError(f"No label map holds the class {value}.", f"There are {', '.join(map(str, classes))}.")
        classes[value] = LabelClass(value=value, name=name)
    return classes
