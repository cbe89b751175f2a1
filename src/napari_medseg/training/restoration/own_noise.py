"""Noise removed by a network that learns from one noisy image alone."""

from collections.abc import Generator

import numpy as np
import torch

from napari_medseg.device import choose
from napari_medseg.inference.restoration.cleaner import clean
from napari_medseg.inference.restoration.neighbours import looks_alike, orders_of
from napari_medseg.inference.restoration.options import CleanerOptions, OwnNoiseOptions
from napari_medseg.inference.restoration.restored import Restored
from napari_medseg.models import Bundle, build
from napari_medseg.progress import Control, Event, Finished, Note, Progress
from napari_medseg.training.clock import clock_of
from napari_medseg.training.restoration.config import EnhancementConfig
from napari_medseg.training.restoration.fitting import Standing, fit
from napari_medseg.training.restoration.learner import Learner
from napari_medseg.training.restoration.material import Image
from napari_medseg.training.restoration.noisy import noisy_pairs
from napari_medseg.training.restoration.request import spec_for
from napari_medseg.volume import Volume
from napari_medseg.volume.plain import plain_values

VIEWS = 2
"""Ways of mirroring, where neither user nor time decides."""
APPLY_SHARE = 0.3
"""Most of the time that goes into applying the network."""


def clean_own(
    volume: Volume, options: OwnNoiseOptions | None = None, control: Control | None = None
) -> Generator[Event, None, None]:
    """Learn from an image what is noise in it, and remove that.

    Parameters
    ----------
    volume : Volume
        One channel, no axes beside those of space.
    options : OwnNoiseOptions, optional
        How; the defaults if None.
    control : Control, optional
        Cancels and pauses; `training.messages.Stop` ends the learning early.

    Yields
    ------
    Event
        `Progress`, `Step`, `Note`, and last `Finished` with a (`Restored`, `Bundle`): the result, and the network.

    Raises
    ------
    DataError
        If the image is too small, or has colours or further axes.
    """
    options, control = options or OwnNoiseOptions(), control or Control()
    clock = clock_of(options.clock)
    started = clock()
    yield Progress("Measuring noise", 0, 1)
    values = plain_values(volume)
    config = EnhancementConfig(
        method=options.learning,
        noise=options.noise,
        level=options.level,
        neighbours=options.neighbours,
        steps=options.steps,
        minutes=None,
        clock=options.clock,
        device=options.device,
        precision=options.precision,
        seed=options.seed,
    )
    spec = spec_for("own noise", volume, config)
    turned = looks_alike(volume)
    spec = spec.model_copy(update={"options": {**spec.options, "turned": turned}})
    pairs = noisy_pairs(spec, config, [Image(values, "")])
    torch.manual_seed(options.seed)
    learner, state = Learner(build(spec), config, choose(options.device), squared=True), Standing()
    each, shown = learner.calibrate(pairs), options_to_clean(options)
    if options.minutes is not None:
        orders = len(orders_of(turned=turned))
        apply_seconds = orders * each * values.size / (pairs.size * float(np.prod(pairs.patch)))
        budget = 60 * options.minutes
        fitting = [count for count in (4, 2, 1) if count * apply_seconds <= APPLY_SHARE * budget]
        views = options.views or (fitting or [1])[0]
        shown = shown.model_copy(update={"views": views})
        left = max(0.96 * budget - views * apply_seconds - (clock() - started), 0.2 * budget)
        config = config.model_copy(update={"minutes": left / 60})
    yield from fit(learner, pairs, config, state, control)
    yield Note(f"Learned in {state.step} steps.")
    bundle = Bundle.create(spec, learner.network.state_dict())
    for event in clean(volume, bundle, shown, control):
        if isinstance(event, Finished):
            result = event.result
            assert isinstance(result, Restored)
            result.report.update(steps=float(state.step), seconds=clock() - started)
            yield Finished((result, bundle))
        else:
            yield event


def options_to_clean(options: OwnNoiseOptions) -> CleanerOptions:
    """Return how to apply what was learned from one image to another of its kind."""
    views = options.views or VIEWS
    return CleanerOptions(views=views, level=options.level, device=options.device, precision=options.precision)
