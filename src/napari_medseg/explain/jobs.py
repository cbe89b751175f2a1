"""Explanation as a job for `napari_medseg.jobs`: from file to file, with a small result."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from napari_medseg.errors import ConfigError, DataError, ReadError
from napari_medseg.explain.options import ExplainOptions
from napari_medseg.explain.result import Explanation, ExplanationFiles
from napari_medseg.progress import Control, Event, Finished, Progress, throttle
from napari_medseg.volume import Volume

if TYPE_CHECKING:
    from napari_medseg.models import Bundle

GRID_MM = 1e-2
"""Largest distance between corners of images on one grid: headers round."""


def explain_volume(
    control: Control,
    image: Path | Sequence[Path],
    bundle: "Path | Bundle",
    what: tuple[str, str | None, dict[str, Any]],
    out: Path,
    region: Path | None = None,
) -> Iterator[Event]:
    """Explain what a model says about an image file, and write the map.

    Parameters
    ----------
    control : Control
        Cancels and pauses.
    image : Path or sequence of Path
        Anything `napari_medseg.io.read` reads as one image; several on one grid are channels of one.
    bundle : Path or Bundle
        The model, or its folder.
    what : (str, str or None, dict)
        Name of the method; the class, None for the likeliest; fields of `ExplainOptions`.
    out : Path
        Map to write, in the format of its suffix.
    region : Path, optional
        Instead of the options' region.

    Yields
    ------
    Event
        Those of `explain`, progress at most ten times a second; last `Finished` with `ExplanationFiles`.
    """
    method, target, fields = what
    wanted = _options(fields if region is None else {**fields, "region": region})
    images = [image] if isinstance(image, Path) else list(image)
    yield from throttle(_explain_volume(control, (images, bundle), (method, target, wanted), Path(out)))


def _explain_volume(
    control: Control,
    sources: "tuple[list[Path], Path | Bundle]",
    what: tuple[str, str | None, ExplainOptions],
    out: Path,
) -> Iterator[Event]:
    from napari_medseg.explain.engine import explain
    from napari_medseg.io import write
    from napari_medseg.models import Bundle

    images, given = sources
    bundle = Bundle.load(given) if isinstance(given, Path) else given
    found = None
    for event in explain(_together([read_one(path) for path in images]), bundle, *what, control):
        if isinstance(event, Finished):
            found = event.result
        else:
            yield event
    assert isinstance(found, Explanation)
    control.checkpoint()
    yield Progress("Saving", 0, 1)
    write(found.map, out)
    assert found.map.window is not None
    yield Finished(ExplanationFiles(out, found.map.window, found.scores))


def _together(volumes: list[Volume]) -> Volume:
    """Return images of one grid as channels of one."""
    first = volumes[0]
    if len(volumes) == 1:
        return first
    for other in volumes[1:]:
        alike = first.geometry is None or other.geometry is None or first.geometry.matches(other.geometry, GRID_MM)
        if first.axes or first.rgb or other.data.shape != first.data.shape or not alike:
            raise DataError(
                f"{first.name} and {other.name} are not images of one channel on one grid.",
                "Register and resample them.",
            )
    data = np.stack([np.asarray(volume.data) for volume in volumes])
    return replace(first, data=data, axes=("channel",))


def _options(fields: dict[str, Any]) -> ExplainOptions:
    try:
        return ExplainOptions.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"The explanation's {'.'.join(map(str, first['loc']))} cannot be {first['input']!r}: {first['msg']}."
        ) from error


def read_one(path: Path) -> Volume:
    """Read the one image of a file or folder.

    Raises
    ------
    ReadError
        If it holds several, or none.
    """
    from napari_medseg.io import read

    images = [volume for volume in read(path, suv=True) if volume.kind == "image"]
    if len(images) != 1:
        raise ReadError(f"{path.name} holds {len(images)} images.", "Explain one image at a time.")
    return images[0]
