"""How images are enhanced: the settings of all methods. Loads without torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from napari_medseg.device import Precision

Method = Literal["nlm", "tv", "median", "clahe", "deblur", "n4"]
TITLES: dict[Method, str] = {
    "nlm": "Non-local means",
    "tv": "Total variation",
    "median": "Median",
    "clahe": "Local contrast",
    "deblur": "Deblurring",
    "n4": "Bias correction",
}
"""As shown to the user."""
METHODS = ("superresolution", "denoise", *TITLES)
"""What can be done without a trained model."""


class ModelOptions(BaseModel):
    """How to apply any network that gives images."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    views: Annotated[int, Field(ge=1, le=8)] | None = None
    """Ways of mirroring that are averaged, up to eight for networks of volumes and four for those of planes; how far
    their answers are apart is the map of uncertainty. None takes as many as the image is small."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``."""
    precision: Precision = "auto"
    """Number format of the network's arithmetic; ``auto`` takes bfloat16 where the processor computes in it."""


class FinerOptions(ModelOptions):
    """How to make an image finer."""

    consistency: bool = True
    """Whether the result is corrected so that thick slices computed from it are the given ones."""
    factor: Annotated[float, Field(gt=1, le=4)] | None = None
    """How many times finer, where it is not a whole number: up to one less than the model's own factor, which is the
    default."""
    thick: Annotated[int, Field(ge=0, le=2)] | None = None
    """For a model that refines one axis: array axis across the slices; None takes the one with the largest spacing."""


class CleanerOptions(ModelOptions):
    """How to apply a network that cleans."""

    level: Annotated[float, Field(gt=0)] | None = None
    """Standard deviation of the noise in the image's unit; None estimates it."""


class SharperOptions(ModelOptions):
    """How to apply a network that undoes a blur."""

    blur_mm: Annotated[float, Field(gt=0)] | None = None
    """Full width at half maximum of the blur in mm, or in pixels for images without geometry. None: what the model
    learned to undo."""


class ClassicalOptions(BaseModel):
    """How to enhance an image; what a method does not use has no effect."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    method: Method = "nlm"
    """nlm: non-local means. tv: total variation. median: median of 3 voxels each way. clahe: local contrast (Zuiderveld
    1994). deblur: Richardson-Lucy with a Gaussian point spread. n4: bias field of MR coils (Tustison et al. 2010)."""
    strength: Annotated[float, Field(gt=0, le=10)] = 1.0
    """For nlm and tv, as a multiple of what suits the noise; for clahe, of a clipping limit of 0.01."""
    level: Annotated[float, Field(gt=0)] | None = None
    """Standard deviation of the noise in the image's unit, for nlm and tv; None estimates it."""
    blur_mm: Annotated[float, Field(gt=0)] | None = None
    """For deblur: full width at half maximum of the blur in mm, or in voxels for images without geometry. It has to be
    given."""
    rounds: Annotated[int, Field(ge=1, le=200)] = 15
    """Iterations of deblur; more sharpen more, noise included."""


class OwnOptions(BaseModel):
    """How to make thick slices thin with nothing but the volume itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    factor: Annotated[float, Field(gt=1, le=4)] | None = None
    """How many times finer across the slices; None makes the voxels as long there as in the slices, at most 4 times
    finer."""
    spacing_mm: Annotated[float, Field(gt=0)] | None = None
    """Distance between the new slices, instead of `factor`."""
    thickness_mm: Annotated[float, Field(gt=0)] | None = None
    """Thickness of a slice (full width at half maximum of its profile): smaller than the distance between slices where
    there are gaps. None: as that distance."""
    estimate_thickness: bool = False
    """Whether to find the thickness from the volume, where none is given: neighbouring slices of that thickness differ
    as rows within slices would. It takes tissue to look alike in all directions."""
    profile: Literal["gaussian", "box"] = "gaussian"
    """How a slice weighs what it covers."""
    thick: Annotated[int, Field(ge=0, le=2)] | None = None
    """Array axis across the slices; None takes the one with the largest spacing."""
    minutes: Annotated[float, Field(gt=0, le=1000)] | None = 4.0
    """Time for learning and applying together; None: take `steps`."""
    clock: Literal["wall", "processor"] = "wall"
    """What the minutes are of: time as it passes, or the work of all threads, for comparisons on a busy machine."""
    steps: Annotated[int, Field(ge=1)] = 4000
    """Most steps of learning."""
    features: Annotated[int, Field(ge=4, le=256)] = 32
    """Channels of the network's hidden layers."""
    blocks: Annotated[int, Field(ge=1, le=32)] = 6
    """Residual blocks of the network."""
    views: Annotated[int, Field(ge=1, le=4)] | None = None
    """Ways of mirroring that are averaged in each of two orientations; None takes as many as there is time for."""
    consistency: bool = True
    """Whether the result is corrected so that thick slices computed from it are the given ones."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``."""
    precision: Precision = "auto"
    """Number format of the network's arithmetic; ``auto`` takes bfloat16 where the processor computes in it."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Everything random follows from it and the step's number."""


class OwnNoiseOptions(BaseModel):
    """How to remove noise with nothing but the image itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    learning: Literal["recorrupted", "noise2void"] = "recorrupted"
    """recorrupted: needs noise that is independent between voxels. noise2void: does not need to know its strength."""
    noise: Literal["gaussian", "rician", "poisson"] = "gaussian"
    """gaussian: most images. rician: magnitude images of MR. poisson: images that count photons."""
    level: Annotated[float, Field(gt=0)] | None = None
    """Standard deviation of the noise in the image's unit; None estimates it."""
    minutes: Annotated[float, Field(gt=0, le=1000)] | None = 2.0
    """Time for learning and applying together; None: take `steps`."""
    clock: Literal["wall", "processor"] = "wall"
    """What the minutes are of: time as it passes, or the work of all threads, for comparisons on a busy machine."""
    steps: Annotated[int, Field(ge=1)] = 3000
    """Most steps of learning."""
    neighbours: Annotated[int, Field(ge=0, le=4)] = 1
    """Slices to each side that the network sees beside the one that it cleans."""
    views: Annotated[int, Field(ge=1, le=4)] | None = None
    """Ways of mirroring that are averaged, in each of three orientations where voxels are nearly cubes; None takes as
    many as there is time for."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``."""
    precision: Precision = "auto"
    """Number format of the network's arithmetic; ``auto`` takes bfloat16 where the processor computes in it."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Everything random follows from it and the step's number."""


@dataclass(frozen=True)
class EnhancedFiles:
    """What enhancing an image left."""

    image: Path
    spread: Path | None
    """Map of uncertainty, if there is one."""
    bundle: Path | None
    """The network that was learned, if it was to be kept."""
    title: str
    """What was done, in a word or two."""
    derivation: str
    """What was done, in a sentence."""
    report: dict[str, float]
    """See `Restored.report`."""
