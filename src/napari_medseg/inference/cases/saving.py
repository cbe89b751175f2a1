"""Writing a prediction about one case, in the format that was asked for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from napari_medseg.errors import ConfigError
from napari_medseg.inference.cases.request import Case
from napari_medseg.inference.jobs import write_maps
from napari_medseg.io import formats, write
from napari_medseg.io.writing import as_volume
from napari_medseg.prediction import Prediction

Saver = Callable[[Prediction, Case, Path], dict[str, Path]]
"""Writes a prediction on a case into a folder; returns what it wrote, by ``labels``, ``probabilities``,
``uncertainty``."""


ALIASES = {"dicom-seg": "dcm", "rtstruct": "rtstruct.dcm"}
"""Other names of suffixes."""


def saver_for(name: str) -> Saver:
    """Return what writes predictions in a format.

    Parameters
    ----------
    name : str
        A suffix that can be written, with or without its first dot, or a name in `ALIASES`.

    Raises
    ------
    ConfigError
        If there is no such format.

    Examples
    --------
    >>> saver_for("jpg-2077")
    Traceback (most recent call last):
    ...
    napari_medseg.errors.ConfigError: There is no format 'jpg-2077' to write in. Use one of ...
    """
    wanted = ALIASES.get(name.lower(), name.lower().removeprefix("."))
    able = [form for form in formats() if form.write is not None]
    if not any(form.can_write(Path(f"x.{wanted}")) for form in able):
        suffixes = sorted(pattern.removeprefix("*.") for form in able for pattern in form.written)
        known = ", ".join([*ALIASES, *suffixes])
        raise ConfigError(f"There is no format {name!r} to write in.", f"Use one of {known}.")
    return lambda prediction, case, folder: _save(prediction, case, folder / f"{case.name}.{wanted}")


def _save(prediction: Prediction, case: Case, path: Path) -> dict[str, Path]:
    # DICOM segmentations refer to the series that was predicted on.
    write(replace(as_volume(prediction), source=(case.path,), series_id=case.series_id), path)
    # DICOM has no place for probabilities.
    beside = path.with_name(f"{case.name}.nii.gz") if path.suffix == ".dcm" else path
    probabilities, uncertainty = write_maps(prediction, beside)
    found = {"labels": path, "probabilities": probabilities, "uncertainty": uncertainty}
    return {what: place for what, place in found.items() if place is not None}
