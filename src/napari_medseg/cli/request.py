"""From folders and options to a training run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_medseg.cli.paths import by_stem
from napari_medseg.cli.settings import build, parse
from napari_medseg.data import BACKGROUND_VALUE
from napari_medseg.errors import ConfigError, DataError
from napari_medseg.io import read
from napari_medseg.models import Bundle, ModelSpec
from napari_medseg.models.design import Design, design_spec
from napari_medseg.training import Case, TrainConfig, create_run
from napari_medseg.volume import LabelClass


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
    scheme: Literal["dense", "sparse"] = "dense"
    """What 0 means in the label files: background, or unlabelled."""

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
        pairs, notes = _pairs(images, labels)
        cases = [
            Case(id=name, image=image.resolve(), labels=label.resolve(), scheme=self.scheme)
            for name, (image, label) in pairs.items()
        ]
        spec = self._spec(folder.resolve().name, cases, design)
        create_run(folder, spec, cases, config, None if self.init is None else self.init.resolve())
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
        design = {key: values.pop(key) for key in list(values) if key in Design.model_fields}
        return build(Design, design), build(TrainConfig, values)

    def _spec(self, name: str, cases: Sequence[Case], design: Design) -> ModelSpec:
        classes = _renamed(_classes(cases), parse(self.names, as_text=True))
        if self.init is None:
            first = next((volume for volume in read(cases[0].image) if volume.kind == "image"), None)
            if first is None:
                raise DataError(f"{cases[0].image.name} is a label map.", "Give the folder of the images to --images.")
            channels = first.data.size // prod(first.spatial_shape)
            return design_spec(name, first, list(classes.values()), design, channels)
        spec = Bundle.load(self.init).spec
        unknown = sorted(set(classes) - {entry.value for entry in spec.classes})
        if unknown:
            raise ConfigError(f"{spec.name} has no class {unknown[0]}, but the labels do.", "Train without --init.")
        return spec.model_copy(update={"name": name, "metrics": {}, "training_data": ()})


def _pairs(images: Path, labels: Path) -> tuple[dict[str, tuple[Path, Path]], list[str]]:
    """Return image and labels by case name: all label maps, each with its image."""
    known, wanted = by_stem(images), by_stem(labels)
    missing = [path.name for name, path in wanted.items() if name not in known]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(wanted)} label maps have no image of their name in {images}, such as "
            f"{missing[0]}.",
            "Give each label map the name of its image.",
        )
    surplus = len(known) - len(wanted)
    notes = [f"{surplus} of {len(known)} images have no labels and are left out."] if surplus else []
    return {name: (known[name], wanted[name]) for name in wanted}, notes


def _classes(cases: Iterable[Case]) -> dict[int, LabelClass]:
    """Return the classes that occur in the label maps, by value."""
    classes: dict[int, LabelClass] = {}
    for case in cases:
        volume = read(case.labels)[0]
        values = np.unique(np.asarray(volume.data))
        if values.dtype.kind not in "buif" or values.min() < 0 or (values != np.rint(values)).any():
            raise DataError(f"{case.labels.name} is not a label map.", "Its values must be whole numbers of 0 or more.")
        names = {entry.value: entry for entry in volume.classes}
        for value in map(int, values):
            if value and not (case.scheme == "sparse" and value == BACKGROUND_VALUE):
                classes.setdefault(value, names.get(value) or LabelClass(value=value, name=f"class {value}"))
    if not classes:
        raise DataError("The label maps hold no class.", "Choose the folder with the labels.")
    return dict(sorted(classes.items()))


def _renamed(classes: dict[int, LabelClass], names: dict[str, Any]) -> dict[int, LabelClass]:
    for value, name in names.items():
        if not value.isdigit() or int(value) not in classes:
            raise ConfigError(f"No label map holds the class {value}.", f"There are {', '.join(map(str, classes))}.")
        classes[int(value)] = LabelClass(value=int(value), name=name)
    return classes
