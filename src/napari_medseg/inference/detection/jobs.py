"""Detection as a job for `napari_medseg.jobs`. Importing this module loads no torch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from napari_medseg.data.boxes.opening import single_image
from napari_medseg.errors import ConfigError
from napari_medseg.inference.detection.options import DetectOptions
from napari_medseg.progress import Control, Event, throttle


def detect_volume(control: Control, image: Path, bundle: Path, options: dict[str, Any]) -> Iterator[Event]:
    """Find boxes on the image of a file.

    Parameters
    ----------
    control : Control
        Cancels and pauses.
    image : Path
        Anything `napari_medseg.io.read` reads as one image.
    bundle : Path
        The model's folder.
    options : dict
        Fields of `DetectOptions`.

    Yields
    ------
    Event
        `Progress`, at most ten times a second, and last `Finished` with a `Prediction` whose `boxes` are in voxels of
        the image's own grid.

    Raises
    ------
    ConfigError
        If an option is none.
    """
    from napari_medseg.inference.detection.detect import detect
    from napari_medseg.models import Bundle

    try:
        choice = DetectOptions.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(f"The detection's {place} cannot be {first['input']!r}: {first['msg']}.") from error
    volume = single_image(Path(image), Path(image).name)
    yield from throttle(detect(volume, Bundle.load(bundle), choice, control))
