"""Images that were computed from others, and what all ways of computing them share."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import BundleError
from napari_medseg.models import Intensity, ModelSpec
from napari_medseg.progress import Control, Event, Progress
from napari_medseg.volume import Geometry, Volume
from napari_medseg.volume.plain import with_gaps

SYNTHESISED = "synthesised"
"""What stands in the name of every image that was computed."""
AIR_HU = -1024.0
"""What CT stores where there is nothing."""
FLOOR_SHARE = 0.01
"""Share of the voxels with the least value from which that is a floor."""
PURPOSES = {"superresolution": "super-resolution"}
"""How tasks are called where their name is not the word."""


@dataclass(frozen=True, eq=False)
class Restored:
    """An image that was computed from another."""

    title: str
    """What was done, in a word or two."""
    image: Volume
    """The result; `Volume.derivation` says what was done."""
    spread: Volume | None
    """Standard deviation of the answers from several sides, in the image's unit: where it is large, structures may be
    invented. None if there was one answer only."""
    report: dict[str, float] = field(default_factory=dict)
    """What is known about the result: ``residual`` and ``noise`` in the image's unit, ``seconds``, ..."""


@dataclass(frozen=True)
class Scale:
    """Between an image's values and those that a network sees."""

    mean: np.float32
    deviation: np.float32

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> "Scale":
        """Return what brings an image to mean 0 and standard deviation 1."""
        return cls(np.float32(values.mean(dtype=np.float64)), np.float32(values.std(dtype=np.float64) or 1.0))

    @classmethod
    def by(cls, rule: Intensity, values: NDArray[np.float32]) -> "Scale":
        """Return what brings an image to a network's intensities; nothing is clipped, since there is a way back."""
        if rule.kind == "zscore":
            some = values[values != 0] if rule.nonzero and values.any() else values
            return cls.of(some)
        low, high = rule.low, rule.high
        if rule.kind == "minmax":
            low, high = float(values.min()), float(values.max())
        elif rule.kind == "percentile":
            low, high = (float(bound) for bound in np.percentile(values, (rule.low, rule.high)))
        return cls(np.float32(low), np.float32(high - low or 1.0))

    def apply(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return an image as a network sees it."""
        return (values - self.mean) / self.deviation

    def undo(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return an image in its own unit."""
        return values * self.deviation + self.mean


@dataclass(frozen=True)
class Restoring:
    """The making of one image.

    Parameters
    ----------
    volume : Volume
        The image that another is made of.
    title : str
        What is done, in a word or two.
    """

    volume: Volume
    title: str
    started: float = field(default_factory=time.monotonic)

    @property
    def unit(self) -> str:
        """The image's unit with a space before it, if it has one."""
        return f" {self.volume.units}" if self.volume.units else ""

    def seconds(self) -> float:
        """Return the time it has taken so far."""
        return time.monotonic() - self.started

    def end(
        self,
        result: NDArray[np.float32],
        said: str,
        report: dict[str, float],
        spread: NDArray[np.float32] | None = None,
        grid: Geometry | None = None,
    ) -> Restored:
        """Return the result, marked as synthesised wherever it goes.

        Parameters
        ----------
        result : array
            In the image's unit.
        said : str
            What was done, in a sentence without its end.
        report : dict
            See `Restored.report`; the seconds are added.
        spread : array, optional
            See `Restored.spread`.
        grid : Geometry, optional
            Of the result; None if it is that of the image.
        """
        volume, grid = self.volume, grid or self.volume.geometry
        name, derivation = f"{volume.name} {self.title}", f"SYNTHESISED: {said}."
        data, title = as_before(with_gaps(result, volume), volume), f"{name} ({SYNTHESISED})"
        image = replace(volume, data=data, geometry=grid, name=title, derivation=derivation)
        report = report | {"seconds": self.seconds()}
        if spread is None:
            return Restored(self.title, image, None, report)
        title = f"{name}: uncertainty"
        about = f"Standard deviation of {report['views']:g} answers for the same place of what was {derivation}"
        other = replace(volume, data=spread, geometry=grid, name=title, derivation=about, window=None)
        return Restored(self.title, image, other, report)


def check_task(spec: ModelSpec, task: str) -> None:
    """Raise `BundleError` if a model is for another task."""
    if spec.task != task:
        raise BundleError(f"{spec.name} is for {spec.task}.", f"Choose a model for {PURPOSES.get(task, task)}.")


def followed(parts: Iterator[tuple[int, int]], words: str, control: Control) -> Iterator[Event]:
    """Tell how many parts are done; raises `Cancelled` between them."""
    for done, total in parts:
        control.checkpoint()
        yield Progress(words, done, total)


def floor_of(values: NDArray[np.float32], volume: Volume) -> float:
    """Return the value below which there is nothing in an image.

    Much of an image may have the least value, as air in CT and what was masked. Where no value is negative, none can
    be; CT knows nothing below -1024 HU unless the image does.
    """
    least = float(values.min())
    if np.mean(values == least) > FLOOR_SHARE:
        return least
    if least >= 0:
        return 0.0
    return min(least, AIR_HU) if volume.modality == "CT" else -np.inf


def as_before(values: NDArray[np.float32], volume: Volume) -> NDArray[np.generic]:
    """Return values in the image's own number type where that is whole numbers, which formats then hold exactly."""
    dtype = np.asarray(volume.data[:0]).dtype
    if dtype.kind not in "iu":
        return values
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)


def rms(values: NDArray[np.float32]) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
