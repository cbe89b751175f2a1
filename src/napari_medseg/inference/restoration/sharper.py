"""Images whose blur is undone by a network."""

from collections.abc import Iterator, Sequence
from math import ceil

import numpy as np

from napari_medseg.errors import BundleError
from napari_medseg.inference.restoration.applying import HALO, Runner, Views, from_blocks, ways
from napari_medseg.inference.restoration.finer import axis_order
from napari_medseg.inference.restoration.options import SharperOptions
from napari_medseg.inference.restoration.restored import (
    Restoring,
    Scale,
    check_task,
    floor_of,
    followed,
    rms,
)
from napari_medseg.models import Bundle
from napari_medseg.models.zoo.unrolled import UnrolledOptions
from napari_medseg.progress import Control, Event, Finished
from napari_medseg.volume import Volume
from napari_medseg.volume.noise import noise_level
from napari_medseg.volume.plain import plain_values
from napari_medseg.volume.sampling import blurred

WIDTHS_SEEN = 3
"""Widths of a blur to each side, beyond which nothing matters much."""


def sharpen(
    volume: Volume, bundle: Bundle, options: SharperOptions | None = None, control: Control | None = None
) -> Iterator[Event]:
    """Undo the blur of a volume or a plane image by a trained network.

    Parameters
    ----------
    volume : Volume
        One channel, no axes beside those of space.
    bundle : Bundle
        Of an enhancement that undoes a blur.
    options : SharperOptions, optional
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
    spec, options, control = bundle.spec, options or SharperOptions(), control or Control()
    check_task(spec, "enhancement")
    restoring = Restoring(volume, "sharper")
    values = plain_values(volume)
    if values.ndim != spec.dims:
        kinds = {2: "plane images", 3: "volumes"}
        raise BundleError(f"{spec.name} is for {kinds[spec.dims]}.", "Choose another model or image.")
    learned = UnrolledOptions(**spec.options)
    wanted, order = options.blur_mm or learned.blur_mm, axis_order(spec.axcodes, volume)
    width = learned.width[-spec.dims :] if wanted is None else network_width(volume, wanted, spec.axcodes)
    network = bundle.network()
    network.width = width  # type: ignore[assignment]  # of an UnrolledNetwork
    runner = Runner.of(network, (1,) * spec.dims, options.device, options.precision, sight(width))
    scale, views = Scale.of(values), Views(values.shape)
    answers = from_blocks(runner, scale.apply(values), order, ways(values.size, spec.dims, options.views), views)
    yield from followed(answers, "Sharpening", control)
    result = np.maximum(scale.undo(views.mean), floor_of(values, volume))
    report = {
        "residual": rms(blurred(result, [width[order.index(axis)] for axis in range(spec.dims)]) - values),
        "noise": noise_level(values),
        "changed": rms(result - values),
        "views": float(views.count),
    }
    by = f"{max(width):.3g} pixels" if volume.geometry is None else f"{wanted:.3g} mm"
    said = (
        f"a Gaussian blur of {by} (FWHM) was undone by the model {spec.name}; blurred again, the image differs from "
        f"what it was by {report['residual']:.3g}{restoring.unit} (noise: {report['noise']:.3g})"
    )
    spread = views.spread() * scale.deviation if views.count > 1 else None
    yield Finished(restoring.end(result, said, report, spread))


def network_width(volume: Volume, blur_mm: float, axcodes: str | None) -> tuple[float, ...]:
    """Return the width of a blur in voxels along each axis of the network for an image.

    Parameters
    ----------
    volume : Volume
        The image.
    blur_mm : float
        Full width at half maximum in mm, or in pixels if the image has no geometry.
    axcodes : str, optional
        How the network's axes run.
    """
    dims = len(volume.spatial_shape)
    if volume.geometry is None:
        return (blur_mm,) * dims
    return tuple(blur_mm / volume.geometry.spacing[axis] for axis in axis_order(axcodes, volume))


def sight(width: Sequence[float]) -> int:
    """Return how many voxels around a place have a part in what a network makes of it that undoes a blur."""
    return max(HALO, ceil(WIDTHS_SEEN * max(width)))
