"""Images with less noise, by a network."""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import BundleError
from napari_medseg.inference.restoration.applying import (
    FLIPS,
    TILE_VOXELS,
    Runner,
    Views,
    from_blocks,
    runner_for,
    ways,
)
from napari_medseg.inference.restoration.finer import axis_order
from napari_medseg.inference.restoration.neighbours import looks_alike, orders_of, with_neighbours
from napari_medseg.inference.restoration.options import CleanerOptions
from napari_medseg.inference.restoration.restored import (
    Restoring,
    Scale,
    check_task,
    floor_of,
    followed,
    rms,
)
from napari_medseg.models import Bundle
from napari_medseg.models.zoo.subpixel import SubpixelOptions
from napari_medseg.progress import Control, Event, Finished
from napari_medseg.volume import Volume
from napari_medseg.volume.plain import plain_values
from napari_medseg.volume.stabilise import stabiliser_for


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
        If the model is for another task or other dimensions.
    DataError
        If the image has colours or further axes.
    """
    spec, options, control = bundle.spec, options or CleanerOptions(), control or Control()
    check_task(spec, "enhancement")
    restoring = Restoring(volume, "denoised")
    whole = plain_values(volume)
    if spec.dims == 3 and whole.ndim == 2:
        raise BundleError(f"{spec.name} is for volumes; {volume.name} is a plane image.", "Choose another model.")
    values = whole if whole.ndim == 3 else whole[None]
    stabiliser = stabiliser_for(values, SubpixelOptions(**spec.options).noise, options.level)
    stable = stabiliser.apply(values)
    scale = Scale.by(spec.intensity, stable)
    views = Views(values.shape)
    runner = runner_for(bundle, (1,) * spec.dims, options)
    flips = ways(values.size, spec.dims, options.views)
    if spec.dims == 3:
        answers = from_blocks(runner, scale.apply(stable), axis_order(spec.axcodes, volume), flips, views)
    else:
        orders = orders_of(turned=SubpixelOptions(**spec.options).turned and looks_alike(volume))
        answers = _answers(runner, scale.apply(stable), (spec.channels, orders), flips, views)
    yield from followed(answers, "Cleaning", control)
    result = np.maximum(stabiliser.undo(scale.undo(views.mean)).reshape(whole.shape), floor_of(whole, volume))
    spread = (views.spread() * scale.deviation).reshape(whole.shape) if views.count > 1 else None
    removed = rms(result - whole)
    report = {"noise": stabiliser.level, "removed": removed, "views": float(views.count)}
    said = (
        f"denoised by the model {spec.name}, for {stabiliser.kind} noise of {stabiliser.level:.3g}{restoring.unit}; "
        f"what it took away has a root mean square of {removed:.3g}{restoring.unit}"
    )
    yield Finished(restoring.end(result, said, report, spread))


def _answers(
    runner: Runner,
    values: NDArray[np.float32],
    case: tuple[int, Sequence[tuple[int, int, int]]],
    flips: int,
    views: Views,
) -> Iterator[tuple[int, int]]:
    channels, orders = case
    total, done = flips * sum(values.shape[order[0]] for order in orders), 0
    for order, flip in product(orders, FLIPS[:flips]):
        add = views.begin(order)
        turned = np.flip(values.transpose(order), flip)
        step = max(1, TILE_VOXELS // (turned.shape[1] * turned.shape[2]))
        for start in range(0, len(turned), step):
            part = slice(start, min(start + step, len(turned)))
            add(part, np.flip(runner(with_neighbours(turned, part, channels)), flip))
            done += part.stop - part.start
            yield done, total
