"""Finer images: what a network adds, held to what was measured."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from nibabel.orientations import axcodes2ornt, io_orientation
from numpy.typing import NDArray

from napari_medseg.errors import BundleError
from napari_medseg.inference.restoration.applying import Runner, Views, from_blocks, from_planes, runner_for, ways
from napari_medseg.inference.restoration.options import FinerOptions
from napari_medseg.inference.restoration.restored import (
    Restoring,
    Scale,
    check_task,
    floor_of,
    followed,
    rms,
)
from napari_medseg.models import Bundle, ModelSpec
from napari_medseg.models.zoo.subpixel import SubpixelOptions
from napari_medseg.progress import Control, Event, Finished, Note, Progress
from napari_medseg.volume import Volume
from napari_medseg.volume.noise import noise_level
from napari_medseg.volume.plain import plain_values
from napari_medseg.volume.sampling import AxisSampling, along, coarser, consistent, refined, scaled, spline_matrix

THICKER = 1.5
"""Ratio of spacings from which slices are across another axis than a network was made for."""
ROUNDS = 16
"""Times at most that what lies above the floor is brought nearer to the slices."""
ENOUGH = 0.2
"""Share of the noise by which the slices may still differ."""


def refine(
    volume: Volume, bundle: Bundle, options: FinerOptions | None = None, control: Control | None = None
) -> Iterator[Event]:
    """Make a volume or a plane image finer by a trained network.

    Parameters
    ----------
    volume : Volume
        One channel, no axes beside those of space.
    bundle : Bundle
        Of a super-resolution.
    options : FinerOptions, optional
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
    spec, options, control = bundle.spec, options or FinerOptions(), control or Control()
    check_task(spec, "superresolution")
    restoring = Restoring(volume, "finer")
    values = plain_values(volume)
    whole = network_axes(spec, volume, options.thick)
    order = network_order(spec, volume, options.thick) if spec.dims == values.ndim else ()
    if order and order != axis_order(spec.axcodes, volume):
        yield Note(f"{spec.name} is turned to where the slices of {volume.name} are thick.")
    axes = [_wanted(axis, options.factor) for axis in whole]
    scale = Scale.by(spec.intensity, values)
    views = Views([axis.fine(n) for axis, n in zip(whole, values.shape, strict=True)])
    runner = runner_for(bundle, SubpixelOptions(**spec.options).factor, options)
    flips = ways(values.size, spec.dims, options.views)
    answers = _answers(runner, scale.apply(values), (order, whole), flips, views)
    yield from followed(answers, "Making finer", control)
    yield Progress("Comparing with the image", 0, 1)
    result = scale.undo(_respaced(views.mean, whole, axes, values.shape))
    spread = _respaced(views.spread(), whole, axes, values.shape) * scale.deviation if views.count > 1 else None
    made, report = held_to(values, result, axes, options.consistency, floor_of(values, volume))
    times = " x ".join(f"{axis.factor:.3g}" for axis in axes)
    said = (
        f"{times} times finer by the model {spec.name}; details between the slices are computed, not measured. Thick "
        f"slices of it differ from the measured ones by {report['residual']:.3g}{restoring.unit} (noise: "
        f"{report['noise']:.3g})"
    )
    grid = None if volume.geometry is None else refined(volume.geometry, axes)
    yield Finished(restoring.end(made, said, report | {"views": float(views.count)}, spread, grid))


def thickest(volume: Volume) -> int:
    """Return the axis with the largest spacing; the first where all are alike or unknown."""
    return 0 if volume.geometry is None else int(np.argmax(np.round(volume.geometry.spacing, 4)))


def network_axes(spec: ModelSpec, volume: Volume, thick: int | None = None) -> list[AxisSampling]:
    """Return how a model takes each axis of an image to be sampled.

    Raises
    ------
    BundleError
        If its dimensions do not fit the image.
    """
    options, ndim = SubpixelOptions(**spec.options), len(volume.spatial_shape)
    width = options.width or tuple(float(f) for f in options.factor)
    own = [AxisSampling(f, w, options.profile) for f, w in zip(options.factor, width, strict=True)]
    if spec.dims == ndim:
        return [own[position] for position in np.argsort(network_order(spec, volume, thick))]
    if ndim == 3 and own[1].factor == 1:
        across = thickest(volume) if thick is None else thick
        return [own[0] if axis == across else AxisSampling(1) for axis in range(3)]
    kinds = {2: "plane images", 3: "volumes"}
    raise BundleError(
        f"{spec.name} is for {kinds[spec.dims]}; {volume.name} has {ndim} axes.", "Choose another model or image."
    )


def network_order(spec: ModelSpec, volume: Volume, thick: int | None = None) -> tuple[int, ...]:
    """Return the image's axis for each axis of a network of as many dimensions.

    A network that refines one axis refines the one across the slices, also where they run in another direction than
    those that it learned from.

    Parameters
    ----------
    spec : ModelSpec
        Of the network.
    volume : Volume
        The image.
    thick : int, optional
        Array axis across the slices; None takes the one with the largest spacing, if that is clearly larger than along
        the axis that the network is made for.
    """
    order, factor = list(axis_order(spec.axcodes, volume)), SubpixelOptions(**spec.options).factor
    refined = [number for number, value in enumerate(factor) if value > 1]
    if len(refined) != 1 or volume.geometry is None:
        return tuple(order)
    own, spacing = order[refined[0]], volume.geometry.spacing
    if thick is None:
        widest = thickest(volume)
        thick = widest if spacing[widest] > THICKER * spacing[own] else own
    order[order.index(thick)], order[refined[0]] = own, thick
    return tuple(order)


def axis_order(axcodes: str | None, volume: Volume) -> tuple[int, ...]:
    """Return the image's axis for each axis of a network of as many dimensions, which run as `axcodes` say."""
    grid = volume.geometry
    if axcodes is None or grid is None or grid.ndim != 3:
        return tuple(range(len(volume.spatial_shape)))
    patient = list(io_orientation(grid.affine)[:, 0].astype(int))
    return tuple(patient.index(int(axis)) for axis in axcodes2ornt(tuple(axcodes))[:, 0])


def _answers(
    runner: Runner,
    values: NDArray[np.float32],
    case: tuple[tuple[int, ...], Sequence[AxisSampling]],
    flips: int,
    views: Views,
) -> Iterator[tuple[int, int]]:
    order, axes = case
    if order:
        return from_blocks(runner, values, order, flips, views)
    thick = next((number for number, axis in enumerate(axes) if axis.factor != 1), 0)
    return from_planes(runner, values, thick, flips, views)


def _wanted(axis: AxisSampling, factor: float | None) -> AxisSampling:
    """Return the sampling of the result: the network's, or that of a factor between two whole ones."""
    if factor is None or axis.factor == 1:
        return axis
    if not axis.factor - 1 < factor <= axis.factor:
        raise BundleError(
            f"The model makes {axis.factor:g} times finer, which does not serve for {factor:g} times.",
            f"Choose a factor above {axis.factor - 1:g} and up to {axis.factor:g}.",
        )
    return replace(axis, factor=factor, width=axis.thickness * factor / axis.factor)


def _respaced(
    values: NDArray[np.float32], whole: Sequence[AxisSampling], axes: Sequence[AxisSampling], shape: Sequence[int]
) -> NDArray[np.float32]:
    for number, (before, after) in enumerate(zip(whole, axes, strict=True)):
        if before.factor != after.factor:
            step = after.factor / before.factor
            matrix = spline_matrix(values.shape[number], after.fine(shape[number]), step)
            values = along(matrix, values, number)
    return values


def held_to(
    thick: NDArray[np.float32],
    fine: NDArray[np.float32],
    axes: Sequence[AxisSampling],
    enforce: bool,
    floor: float = -np.inf,
) -> tuple[NDArray[np.float32], dict[str, float]]:
    """Return an image that agrees with the thick slices, and how well it did before and does now.

    Parameters
    ----------
    thick, fine : arrays
        What was measured, and what was computed from it.
    axes : sequence of AxisSampling
        How thick slices arise.
    enforce : bool
        Whether to correct; else only the report is made.
    floor : float
        See `floor_of`.
    """
    report = {"residual_before": rms(coarser(fine, axes, thick.shape) - thick)}
    report["noise"] = noise_level(thick)
    fine = consistent(fine, thick, axes) if enforce else fine
    if fine.min() < floor:
        fine = np.maximum(fine - np.float32(floor), 0)
        if enforce:
            fine = scaled(fine, thick - np.float32(floor), axes, ROUNDS, ENOUGH * report["noise"])
        fine += np.float32(floor)
    report["residual"] = rms(coarser(fine, axes, thick.shape) - thick)
    return fine, report
