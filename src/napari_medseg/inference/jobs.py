"""Prediction as a job for `napari_medseg.jobs`: from file to file, with a small result."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from napari_medseg.errors import ConfigError, ReadError
from napari_medseg.inference.options import PredictOptions
from napari_medseg.inference.volumes import volumes_ml
from napari_medseg.prediction import Prediction, ProbabilityMap, UncertaintyMap
from napari_medseg.progress import Control, Event, Finished, Progress, throttle
from napari_medseg.volume import Volume

LABELS_ALONE = ("seg.nrrd", "dcm")
"""Ends of the names of formats that hold labels and no maps of numbers."""


@dataclass(frozen=True)
class PredictionFiles:
    """Where a prediction was written, and what it says in a few numbers."""

    labels: Path
    """Label map on the image's own grid."""
    probabilities: Path | None
    """Class probabilities on the image's own grid, if asked for."""
    uncertainty: Path | None
    """Uncertainty from 0 to 1 on the image's own grid, if asked for."""
    volumes_ml: dict[str, float] | None
    """Volume per foreground class name; None for an image without geometry."""
    bundle: str
    """Name of the model."""
    bundle_hash: str
    """SHA-256 of its weights and specification."""
    options: dict[str, Any]
    """The options of the prediction, and the device that it ran on."""
    seconds: float


def predict_volume(
    control: Control, image: Path, bundle: Path, options: dict[str, Any], out: Path, region: Path | None = None
) -> Iterator[Event]:
    """Predict on an image file and write the result.

    Parameters
    ----------
    control : Control
        Cancels and pauses.
    image : Path
        Anything `napari_medseg.io.read` reads as one image.
    bundle : Path
        The model's folder.
    options : dict
        Fields of `PredictOptions`.
    out : Path
        Label map to write, in the format of its suffix; probabilities and uncertainty go beside it as
        ``<stem>-probabilities`` and ``<stem>-uncertainty``.
    region : Path, optional
        Instead of the options' region.

    Yields
    ------
    Event
        Those of `predict`, progress at most ten times a second; last `Finished` with `PredictionFiles`.
    """
    wanted = options if region is None else {**options, "region": region}
    yield from throttle(_predict_volume(control, Path(image), Path(bundle), wanted, Path(out)))


def _predict_volume(control: Control, image: Path, bundle: Path, options: dict[str, Any], out: Path) -> Iterator[Event]:
    from napari_medseg.inference.engine import predict
    from napari_medseg.io import write
    from napari_medseg.models import Bundle

    choice = _options(options)
    model = Bundle.load(bundle)
    prediction = None
    for event in predict(_read_one(image), model, choice, control):
        if isinstance(event, Finished):
            prediction = event.result
        else:
            yield event
    assert isinstance(prediction, Prediction)
    control.checkpoint()
    yield Progress("Saving", 0, 1)
    write(prediction, out)
    yield Finished(
        PredictionFiles(
            out,
            *write_maps(prediction, out),
            volumes_ml(prediction),
            prediction.bundle,
            prediction.bundle_hash,
            prediction.options,
            prediction.seconds,
        )
    )


def _options(options: dict[str, Any]) -> PredictOptions:
    try:
        return PredictOptions.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"The prediction's {'.'.join(map(str, first['loc']))} cannot be {first['input']!r}: {first['msg']}."
        ) from error


def _read_one(path: Path) -> Volume:
    from napari_medseg.io import read

    images = [volume for volume in read(path, suv=True) if volume.kind == "image"]
    if len(images) != 1:
        raise ReadError(f"{path.name} holds {len(images)} images.", "Predict on one image at a time.")
    return images[0]


def write_maps(prediction: Prediction, out: Path) -> tuple[Path | None, Path | None]:
    """Write what a prediction has beside its labels, and return where.

    Parameters
    ----------
    prediction : Prediction
        With or without a probability map and an uncertainty map.
    out : Path
        File of the labels; the maps go beside it, in the same format or, where that holds labels alone, as .nii.gz.

    Returns
    -------
    probabilities, uncertainty : Path or None
        None for a map that the prediction does not have.
    """
    places: dict[str, Path] = {}
    for output in prediction.outputs:
        if isinstance(output, ProbabilityMap):
            places["probabilities"] = _write_map(prediction, out, "probabilities", output.probabilities, ("class",))
        elif isinstance(output, UncertaintyMap):
            places["uncertainty"] = _write_map(prediction, out, "uncertainty", output.uncertainty, ())
    return places.get("probabilities"), places.get("uncertainty")


def _write_map(
    prediction: Prediction, out: Path, what: str, values: NDArray[np.float32], axes: tuple[str, ...]
) -> Path:
    from napari_medseg.io import write

    stem, dot, suffix = out.name.partition(".")
    if suffix.endswith(LABELS_ALONE):
        suffix = "nii.gz"
    volume = Volume(values, prediction.geometry, name=f"{prediction.bundle} {what}", axes=axes)
    return write(volume, out.with_name(f"{stem}-{what}{dot}{suffix}"))
