"""How many steps to take, and how far each goes."""

import math

from napari_medseg.models.anatomy import Part
from napari_medseg.training.config import TrainConfig

TIMED_STEPS = 8
"""Steps that are taken, at a rising learning rate, before a time budget becomes a number of steps."""
UNTIMED_STEPS = 2
"""The first of them, which build caches and are slower than all others."""
SETTLED_FROM = 0.4
"""Share of the steps after which batch normalisation no longer looks at the batch."""
THAW_DECODER, THAW_ENCODER = 0.2, 0.4
"""Shares of the steps after which staged freezing lets the decoder and the encoder learn, too."""
PREVIEW_SHARE = 0.1
"""Most of the time that previews may take."""
LEAST_INTERVAL, MOST_SCORES = 50, 50
"""Steps between two scores, at least, and scores of a training, at most about, unless the user says how often."""


def ramp_steps(config: TrainConfig) -> int:
    """Return the steps before the learning rate starts to fall; they do not depend on how many follow."""
    return max(config.warmup_steps, TIMED_STEPS)


def learning_rate(step: int, steps: int, config: TrainConfig) -> float:
    """Return the learning rate of a step.

    Parameters
    ----------
    step : int
        Steps taken before.
    steps : int
        Steps planned.
    config : TrainConfig
        Peak, warm-up and schedule.

    Examples
    --------
    >>> config = TrainConfig(learning_rate=0.1, warmup_steps=9)
    >>> [round(learning_rate(step, 109, config), 3) for step in (0, 4, 9, 59, 108)]
    [0.01, 0.05, 0.1, 0.05, 0.0]
    """
    rise = min(1.0, (step + 1) / (config.warmup_steps + 1))
    ramp = ramp_steps(config)
    passed = min(max(step - ramp, 0) / max(steps - ramp, 1), 1.0)
    fall = 0.5 * (1 + math.cos(math.pi * passed)) if config.schedule == "cosine" else (1 - passed) ** 0.9
    return config.learning_rate * rise * fall


def statistics_settled(step: int, steps: int, config: TrainConfig) -> bool:
    """Return whether batch normalisation uses its running statistics from this step on.

    A batch of an interactive training is one or two patches around strokes, whose statistics are far from those of the
    image. A network that learned with them alone errs in prediction, which uses the running ones; so the rest of the
    training uses them too.

    Examples
    --------
    >>> [statistics_settled(step, 100, TrainConfig()) for step in (9, 39, 40, 99)]
    [False, False, True, True]
    """
    return step >= max(ramp_steps(config), math.ceil(SETTLED_FROM * steps))


def frozen_parts(step: int, steps: int, config: TrainConfig) -> frozenset[Part]:
    """Return the parts of a network from another model that do not learn at a step.

    Examples
    --------
    >>> staged = TrainConfig(freeze="staged")
    >>> [sorted(frozen_parts(step, 100, staged)) for step in (0, 20, 40)]
    [['decoder', 'encoder'], ['encoder'], []]
    """
    ramp = ramp_steps(config)
    if config.freeze == "head" or (config.freeze == "staged" and step < max(ramp, math.ceil(THAW_DECODER * steps))):
        return frozenset({"encoder", "decoder"})
    if config.freeze == "encoder" or (config.freeze == "staged" and step < max(ramp, math.ceil(THAW_ENCODER * steps))):
        return frozenset({"encoder"})
    return frozenset()


def score_interval(planned: int | None, config: TrainConfig) -> int:
    """Return the steps between two scores.

    Parameters
    ----------
    planned : int or None
        Steps of the training; None before it is known.
    config : TrainConfig
        May say it.

    Examples
    --------
    >>> [score_interval(planned, TrainConfig()) for planned in (None, 500, 2600)]
    [50, 50, 52]
    """
    return config.validate_every or max(LEAST_INTERVAL, math.ceil((planned or 0) / MOST_SCORES))


def plan_steps(
    seconds_left: float, steps_done: int, seconds_per_step: float, seconds_per_validation: float, config: TrainConfig
) -> int:
    """Return how many steps fit into a time budget.

    Parameters
    ----------
    seconds_left : float
        Budget that is left.
    steps_done : int
        Steps taken already; they count in the result.
    seconds_per_step, seconds_per_validation : float
        As measured.
    config : TrainConfig
        How often previews and validations come.
    """
    seconds = seconds_left * (1 - PREVIEW_SHARE) if config.preview_hz else seconds_left
    each = max(seconds_per_step + seconds_per_validation / (config.validate_every or LEAST_INTERVAL), 1e-6)
    fitting = seconds / each
    if config.validate_every is None:
        fitting = max(fitting, (seconds - MOST_SCORES * seconds_per_validation) / max(seconds_per_step, 1e-6))
    return steps_done + max(1, int(fitting))
