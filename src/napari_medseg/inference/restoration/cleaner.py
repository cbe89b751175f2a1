"""Images with less noise, by a network."""

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import BundleError
from napari_medseg.inference.restoration.applying import FLIPS, TILE_VOXELS, Runner, Views
from napari_medseg.inference.restoration.finer import SYNTHESISED, Restored, Scale, as_before, plain_values, rms
from napari_medseg.inference.restoration.neighbours import with_neighbours
from napari_medseg.inference.restoration.options import CleanerOptions
from napari_medseg.models import Bundle
from napari_medseg.models.zoo.subpixel import SubpixelOptions
from napari_medseg.progress import Control, Event, Finished, Progress
from napari_medseg.volume import Volume
from napari_medseg.volume.stabilise import Stabiliser, stabiliser_for


def clean(
    volume: Volume, bundle: Bundle, options: CleanerOptions | None = None, control: Control | None = None
) -> Iterator[Event]:
    """Remove noise from a volume or a plane image by a trained network.

    Parameters
    ----------
    volume : Volume
        One channel, no axes beside those of space.
    bundle : Bundle
        Of an enhancement.
    options : CleanerOptions, optional
        How; the defaults if None.
    control : Control, optional
        Cancels and pauses.

    Yields
    ------
    Event
        `Progress`, and last `Finished` with a `Restored`.

    Raises
    ------
    BundleError
        If the model is for another task.
    DataError
        If the image has colours or further axes.
    """
    spec, options, control = bundle.spec, options or CleanerOptions(), control or Control()
    if spec.task != "enhancement":
        raise BundleError(f"{spec.name} is for {spec.task}.", "Choose a model for enhancement.")
    started = time.monotonic()
    whole = plain_values(volume)
    values = whole if whole.ndim == 3 else whole[None]
    stabiliser = stabiliser_for(values, SubpixelOptions(**spec.options).noise, options.level)
    stable = stabiliser.apply(values)
    scale = Scale.of(stable)
    views = Views(values.shape)
    runner = Runner.of(bundle.network(), (1, 1), options.device, options.precision)
    for done, total in _answers(runner, scale.apply(stable), spec.channels, options.views, views):
        control.checkpoint()
        yield Progress("Cleaning", done, total)
    result = stabiliser.undo(scale.undo(views.mean)).reshape(whole.shape)
    spread = (views.spread() * scale.deviation).reshape(whole.shape) if views.count > 1 else None
    removed = rms(result - whole)
    report = {"noise": stabiliser.level, "removed": removed, "seconds": time.monotonic() - started}
    yield Finished(_restored(volume, result, spread, spec.name, (stabiliser, report)))


def _answers(
    runner: Runner, values: NDArray[np.float32], channels: int, flips: int, views: Views
) -> Iterator[tuple[int, int]]:
    step = max(1, TILE_VOXELS // (values.shape[1] * values.shape[2]))
    total, done = flips * len(values), 0
    for flip in FLIPS[:flips]:
        add, axes = views.begin((0, 1, 2)), tuple(axis + 1 for axis in flip)
        turned = np.flip(values, axes)
        for start in range(0, len(values), step):
            part = slice(start, min(start + step, len(values)))
            add(part, np.flip(runner(with_neighbours(turned, part, channels)), axes))
            done += part.stop - part.start
            yield done, total


def _restored(
    volume: Volume,
    result: NDArray[np.float32],
    spread: NDArray[np.float32] | None,
    model: str,
    facts: tuple[Stabiliser, dict[str, float]],
) -> Restored:
    stabiliser, report = facts
    unit = f" {volume.units}" if volume.units else ""
    said = (
        f"SYNTHESISED: denoised by the model {model}, for {stabiliser.kind} noise of {report['noise']:.3g}{unit}; what "
        f"it took away has a root mean square of {report['removed']:.3g}{unit}."
    )
    name = f"{volume.name} denoised ({SYNTHESISED})"
    image = replace(volume, data=as_before(result, volume), name=name, derivation=said)
    if spread is None:
        return Restored("denoised", image, None, report)
    about = f"Standard deviation of several answers of the model {model} for the same place."
    other = replace(volume, data=spread, name=f"{volume.name} denoised: uncertainty", derivation=about, window=None)
    return Restored("denoised", image, other, report)
