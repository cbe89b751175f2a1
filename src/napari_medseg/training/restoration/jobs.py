"""Enhancing one image, from beginning to end: for the command line, and as a job for `napari_medseg.jobs`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from napari_medseg.errors import ConfigError, ReadError
from napari_medseg.inference.restoration.classical import enhance_classically
from napari_medseg.inference.restoration.cleaner import clean
from napari_medseg.inference.restoration.finer import refine
from napari_medseg.inference.restoration.framewise import Way, each_frame
from napari_medseg.inference.restoration.options import (
    METHODS,
    ClassicalOptions,
    CleanerOptions,
    EnhancedFiles,
    FinerOptions,
    OwnNoiseOptions,
    OwnOptions,
    SharperOptions,
)
from napari_medseg.inference.restoration.restored import Restored
from napari_medseg.inference.restoration.sharper import sharpen
from napari_medseg.io import read, write
from napari_medseg.io.format import stem
from napari_medseg.io.writing import check_target
from napari_medseg.models import Bundle
from napari_medseg.progress import Control, Event, Finished, Progress, throttle
from napari_medseg.training.restoration.own import options_to_refine, refine_own
from napari_medseg.training.restoration.own_noise import clean_own, options_to_clean
from napari_medseg.volume import Volume
from napari_medseg.volume.frames import has_frames
from napari_medseg.volume.grey import as_grey

OptionsT = TypeVar("OptionsT", bound=BaseModel)


def enhance(
    volume: Volume, method: str, settings: Mapping[str, object], control: Control, model: Path | None = None
) -> Iterator[Event]:
    """Enhance an image by any method.

    Parameters
    ----------
    volume : Volume
        The image.
    method : str
        One of `METHODS`, or ``"model"``.
    settings : mapping
        Fields of the method's options: `OwnOptions`, `OwnNoiseOptions`, `ClassicalOptions`; of `FinerOptions`,
        `CleanerOptions` or `SharperOptions` for a model.
    control : Control
        Cancels and pauses.
    model : Path, optional
        The model's folder, for ``"model"``.

    Yields
    ------
    Event
        Those of the method, and last `Finished` with (`Restored`, `Bundle` or None): the network, if one was learned.

    Raises
    ------
    MedsegError
        If method, settings or image do not serve.
    """
    if method == "model":
        if model is None:
            raise ConfigError("No model was named.", "Choose one.")
        return by_model(volume, Bundle.load(model), settings, control)
    if method not in METHODS:
        raise ConfigError(f"There is no method named {method!r}.", f"There are {', '.join(METHODS)}.")
    options: BaseModel
    if method == "superresolution":
        options = checked(OwnOptions, settings)
    elif method == "denoise":
        options = checked(OwnNoiseOptions, settings)
    else:
        options = checked(ClassicalOptions, {**settings, "method": method})
    return _of_any(volume, partial(_alone, options, control), control)


def by_model(volume: Volume, bundle: Bundle, settings: Mapping[str, object], control: Control) -> Iterator[Event]:
    """Enhance an image by a model for super-resolution or enhancement; ends with (`Restored`, None), as `enhance`."""
    options = checked(_kind(bundle), settings)
    return _of_any(volume, lambda frame, _learned: _modelled(frame, bundle, options, control), control)


def _of_any(volume: Volume, way: Way, control: Control) -> Iterator[Event]:
    volume = as_grey(volume)
    return each_frame(volume, way, control) if has_frames(volume) else way(volume, None)


def _alone(options: BaseModel, control: Control, volume: Volume, learned: Bundle | None) -> Iterator[Event]:
    """Enhance an image of one channel without a model, or by what was learned from another one of its kind."""
    if isinstance(options, OwnOptions):
        if learned is None:
            return refine_own(volume, options, control)
        return _modelled(volume, learned, options_to_refine(volume, options), control)
    if isinstance(options, OwnNoiseOptions):
        if learned is None:
            return clean_own(volume, options, control)
        return _modelled(volume, learned, options_to_clean(options), control)
    assert isinstance(options, ClassicalOptions)
    return _without_network(enhance_classically(volume, options, control))


def _kind(bundle: Bundle) -> type[FinerOptions] | type[SharperOptions] | type[CleanerOptions]:
    """Return which options there are for a model."""
    if bundle.spec.task == "superresolution":
        return FinerOptions
    return SharperOptions if bundle.spec.architecture == "unrolled" else CleanerOptions


def _modelled(volume: Volume, bundle: Bundle, options: BaseModel, control: Control) -> Iterator[Event]:
    if isinstance(options, FinerOptions):
        return _without_network(refine(volume, bundle, options, control))
    if isinstance(options, SharperOptions):
        return _without_network(sharpen(volume, bundle, options, control))
    assert isinstance(options, CleanerOptions)
    return _without_network(clean(volume, bundle, options, control))


def _without_network(events: Iterator[Event]) -> Iterator[Event]:
    for event in events:
        yield Finished((event.result, None)) if isinstance(event, Finished) else event


def checked(kind: type[OptionsT], settings: Mapping[str, object]) -> OptionsT:
    """Return settings as options.

    Raises
    ------
    ConfigError
        If one of them is unknown or impossible.
    """
    try:
        return kind.model_validate(dict(settings))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            known = ", ".join(sorted(kind.model_fields))
            raise ConfigError(f"There is no setting {name!r} here.", f"Known are {known}.") from error
        raise ConfigError(f"The setting {name} cannot be {first['input']!r}: {first['msg']}.") from error


def enhance_file(
    control: Control,
    image: Path,
    request: Mapping[str, object],
    out: Path,
    model: Path | None = None,
    keep: Path | None = None,
) -> Iterator[Event]:
    """Enhance an image file, and write what comes of it.

    Parameters
    ----------
    control : Control
        Cancels and pauses.
    image : Path
        Anything `napari_medseg.io.read` reads as one image.
    request : mapping
        ``method``; ``settings`` as for `enhance`; and, if only a part is wanted, ``start`` and ``stop`` with an index
        for each axis of space.
    out : Path
        Where to write; the map of uncertainty goes beside it as ``<stem>-uncertainty``.
    model : Path, optional
        The model's folder, for the method ``"model"``.
    keep : Path, optional
        Where a network that was learned is kept as a bundle.

    Yields
    ------
    Event
        Those of the method, at most ten times a second; last `Finished` with `EnhancedFiles`.
    """
    yield from throttle(_enhance_file(control, Path(image), request, (Path(out), model, keep)))


def _enhance_file(
    control: Control, image: Path, request: Mapping[str, object], places: tuple[Path, Path | None, Path | None]
) -> Iterator[Event]:
    out, model, keep = places
    check_target(out)
    yield Progress("Reading", 0, 1)
    volume = _part(_read_one(image, control), request.get("start"), request.get("stop"))
    settings = request.get("settings") or {}
    assert isinstance(settings, Mapping)
    answer = None
    for event in enhance(volume, str(request["method"]), settings, control, model):
        if isinstance(event, Finished):
            answer = event.result
        else:
            yield event
    assert isinstance(answer, tuple)
    restored, bundle = answer
    control.checkpoint()
    yield Progress("Saving", 0, 1)
    yield Finished(saved(restored, bundle if isinstance(bundle, Bundle) else None, out, keep))


def saved(restored: Restored, bundle: Bundle | None, out: Path, keep: Path | None = None) -> EnhancedFiles:
    """Write an enhanced image, its map of uncertainty and, if wanted, the network that was learned."""
    write(restored.image, out)
    spread = None
    if restored.spread is not None:
        name = stem(out)
        suffix = out.name.removeprefix(name) or ".nii.gz"
        spread = write(restored.spread, out.with_name(f"{name}-uncertainty{suffix}"))
    kept = None if bundle is None or keep is None else bundle.save(keep).path
    return EnhancedFiles(out, spread, kept, restored.title, restored.image.derivation, restored.report)


def _read_one(path: Path, control: Control) -> Volume:
    images = [volume for volume in read(path, control, suv=True) if volume.kind == "image"]
    if len(images) != 1:
        raise ReadError(f"{path.name} holds {len(images)} images.", "Enhance one image at a time.")
    return images[0]


def _part(volume: Volume, start: object, stop: object) -> Volume:
    """Return the part of a volume from `start` to `stop`; all of it if nothing is said."""
    if not isinstance(start, Sequence) or not isinstance(stop, Sequence):
        return volume
    first = [max(0, int(n)) for n in start]
    last = [min(int(n), size) for n, size in zip(stop, volume.spatial_shape, strict=True)]
    inside = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    box = (slice(None),) * len(volume.axes) + inside
    grid = None if volume.geometry is None else volume.geometry.cropped(first, last)
    return replace(volume, data=np.asarray(volume.data)[box], geometry=grid)
