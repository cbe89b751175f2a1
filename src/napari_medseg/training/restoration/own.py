"""Super-resolution learned from one volume: its slices show how it would look across them.

After Zhao et al., SMORE: a self-supervised anti-aliasing and super-resolution algorithm for MRI, IEEE TMI 40 (2021).
"""

from collections.abc import Generator
from dataclasses import replace
from math import ceil

import numpy as np
import torch

from napari_medseg.device import choose
from napari_medseg.errors import DataError
from napari_medseg.inference.restoration.finer import refine, thickest
from napari_medseg.inference.restoration.options import FinerOptions, OwnOptions
from napari_medseg.inference.restoration.restored import Restored, Scale
from napari_medseg.models import Bundle, Intensity, ModelSpec, build
from napari_medseg.progress import Control, Event, Finished, Note, Progress
from napari_medseg.training.clock import clock_of
from napari_medseg.training.restoration.config import RestorationConfig
from napari_medseg.training.restoration.fitting import Standing, fit
from napari_medseg.training.restoration.learner import Learner
from napari_medseg.training.restoration.material import LEAST
from napari_medseg.training.restoration.pairs import Fine, degraded, in_plane, whole_factor
from napari_medseg.training.restoration.profile import estimated_width
from napari_medseg.volume import Volume
from napari_medseg.volume.plain import plain_values
from napari_medseg.volume.sampling import AxisSampling

MOST = 4.0
"""Times that slices are made thinner at most."""
NEARLY = 1.1
"""Spacings that differ by less are alike: there is nothing to learn."""
WHOLE = 0.02
"""A factor so near to a whole number is that number."""
PATCH = (16, 48)
"""Coarse voxels of a patch, across the slices and along them."""
PATCHES = 16
"""Per step."""
VIEWS = 2
"""Ways of mirroring, where neither user nor time decides."""
VIEWS_SHARE = 0.35
"""Most of the time that goes into applying the network."""
REST_SHARE = 0.04
"""Of the time, for comparing with the thick slices and the like."""


def plan_axis(volume: Volume, options: OwnOptions) -> tuple[int, AxisSampling]:
    """Return the axis across the slices, and how it was sampled in voxels of the result.

    Raises
    ------
    DataError
        If the image is not a volume, or its slices are thin already and no factor was given.
    """
    if len(volume.spatial_shape) != 3:
        raise DataError(f"{volume.name} is a plane image.", "Train on a set of fine images instead.")
    thick = thickest(volume) if options.thick is None else options.thick
    spacing = (1.0, 1.0, 1.0) if volume.geometry is None else volume.geometry.spacing
    inside = min(spacing[axis] for axis in range(3) if axis != thick)
    factor = options.factor
    if options.spacing_mm is not None:
        factor = spacing[thick] / options.spacing_mm
    elif factor is None:
        factor = min(spacing[thick] / inside, MOST)
    if not NEARLY <= factor <= MOST:
        raise DataError(
            f"{volume.name} has slices {spacing[thick]:.3g} mm apart and pixels of {inside:.3g} mm, which would be "
            f"{factor:.3g} times finer.",
            f"Give a factor or a spacing that makes it {NEARLY} to {MOST:g} times finer.",
        )
    if abs(factor - round(factor)) < WHOLE:
        factor = float(round(factor))
    width = factor if options.thickness_mm is None else factor * options.thickness_mm / spacing[thick]
    return thick, AxisSampling(factor, width, options.profile)


def refine_own(
    volume: Volume, options: OwnOptions | None = None, control: Control | None = None
) -> Generator[Event, None, None]:
    """Learn from a volume how it looks in fine, and make its slices thin.

    Parameters
    ----------
    volume : Volume
        One channel, three axes of space.
    options : OwnOptions, optional
        How; the defaults if None.
    control : Control, optional
        Cancels and pauses; `training.messages.Stop` ends the learning early.

    Yields
    ------
    Event
        `Progress`, `Step`, `Note`, and last `Finished` with a (`Restored`, `Bundle`): the result, and the network,
        which serves for other volumes of the same kind.

    Raises
    ------
    DataError
        If there is nothing to learn from.
    """
    options, control = options or OwnOptions(), control or Control()
    clock = clock_of(options.clock)
    started = clock()
    yield Progress("Cutting planes", 0, 1)
    thick, axis = plan_axis(volume, options)
    if options.estimate_thickness and options.thickness_mm is None:
        axis = replace(axis, width=_estimated(volume, thick, axis))
        yield Note(f"Slices are estimated to be {axis.thickness / axis.factor:.2f} times as thick as they are apart.")
    pairs = planes_of(volume, thick, axis, options.seed)
    spec = _spec(volume, axis, options)
    torch.manual_seed(options.seed)
    config = RestorationConfig(
        steps=options.steps,
        minutes=None,
        clock=options.clock,
        device=options.device,
        precision=options.precision,
        seed=options.seed,
    )
    learner, state = Learner(build(spec), config, choose(options.device)), Standing()
    each = learner.calibrate(pairs)
    views = options.views or VIEWS
    if options.minutes is not None:
        apply_seconds = 2 * each * float(np.prod(volume.spatial_shape)) / (PATCHES * float(np.prod(pairs.patch)))
        minutes, views = _shared_out(options, apply_seconds, clock() - started)
        config = config.model_copy(update={"minutes": minutes})
    yield from fit(learner, pairs, config, state, control)
    yield Note(f"Learned in {state.step} steps from {sum(len(image.fine) for image in pairs.images)} slices.")
    bundle = Bundle.create(spec, learner.network.state_dict())
    for event in refine(volume, bundle, _applied(axis, thick, views, options), control):
        if isinstance(event, Finished):
            result = event.result
            assert isinstance(result, Restored)
            result.report.update(steps=float(state.step), seconds=clock() - started)
            yield Finished((result, bundle))
        else:
            yield event


def _shared_out(options: OwnOptions, apply_seconds: float, passed: float) -> tuple[float, int]:
    """Return the minutes for learning and the number of views, so that all fits the time."""
    assert options.minutes is not None
    budget = options.minutes * 60
    fitting = [count for count in (4, 2, 1) if count * apply_seconds <= VIEWS_SHARE * budget]
    views = options.views or (fitting or [1])[0]
    left = budget * (1 - REST_SHARE) - passed - views * apply_seconds
    # Little time is better spent on some learning than on a network that knows nothing.
    return max(left, 0.2 * budget) / 60, views


def planes_of(volume: Volume, thick: int, axis: AxisSampling, seed: int) -> Fine:
    """Return pairs from the slices of a volume, which are made thick within their plane.

    Raises
    ------
    DataError
        If the slices are too small.
    """
    whole = _whole(axis)
    values = plain_values(volume)
    sides, scale = (whole, AxisSampling(1)), Scale.of(values)
    planes = in_plane(values, thick, _steps(volume, thick, whole.factor))
    large = [image for image in planes if min(image.shape[1] // whole_factor(whole), image.shape[2]) >= LEAST]
    if not large:
        raise DataError(
            f"{volume.name} of {' x '.join(map(str, values.shape))} voxels is too small to learn from.",
            "Choose a larger volume, a smaller factor, or a model.",
        )
    examples = tuple(degraded(image, sides, scale) for image in large)
    room = [min(example.thick.shape[side] for example in examples) for side in (1, 2)]
    return Fine(examples, sides, (min(PATCH[0], room[0]), min(PATCH[1], room[1])), PATCHES, seed)


def _steps(volume: Volume, thick: int, factor: float) -> dict[int, float]:
    """Return for each axis within the slices how long fine voxels are in its own."""
    spacing = (1.0, 1.0, 1.0) if volume.geometry is None else volume.geometry.spacing
    return {side: spacing[thick] / factor / spacing[side] for side in range(3) if side != thick}


def _estimated(volume: Volume, thick: int, axis: AxisSampling) -> float:
    whole = _whole(axis)
    width = estimated_width(plain_values(volume), thick, _steps(volume, thick, whole.factor), whole)
    return width * axis.factor / whole.factor


def _whole(axis: AxisSampling) -> AxisSampling:
    """Return the sampling that the network learns, whose factor is a whole number."""
    factor = float(ceil(axis.factor))
    return replace(axis, factor=factor, width=axis.thickness * factor / axis.factor)


def _spec(volume: Volume, axis: AxisSampling, options: OwnOptions) -> ModelSpec:
    whole = _whole(axis)
    network = {
        "features": options.features,
        "blocks": options.blocks,
        "factor": [int(whole.factor), 1],
        "width": [whole.thickness, 1.0],
        "profile": whole.profile,
    }
    return ModelSpec(
        name=f"own slices x{axis.factor:.3g}",
        architecture="subpixel",
        options=network,
        task="superresolution",
        dims=2,
        classes=(),
        axcodes=None,
        intensity=Intensity(kind="zscore"),
        patch_size=PATCH,
        modality=volume.modality,
        description=f"Makes slices {axis.factor:.3g} times thinner; learned from the slices of one volume alone.",
        citation="Zhao et al., SMORE, IEEE Trans Med Imaging 40 (2021)",
    )


def options_to_refine(volume: Volume, options: OwnOptions) -> FinerOptions:
    """Return how to apply what was learned from one volume to another of its kind."""
    thick, axis = plan_axis(volume, options)
    return _applied(axis, thick, options.views or VIEWS, options)


def _applied(axis: AxisSampling, thick: int, views: int, options: OwnOptions) -> FinerOptions:
    return FinerOptions(
        views=views,
        factor=axis.factor,
        consistency=options.consistency,
        thick=thick,
        device=options.device,
        precision=options.precision,
    )
