"""The settings of training networks that give images."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from napari_medseg.device import Precision
from napari_medseg.training.clock import Clock

Count = Annotated[int, Field(ge=1, le=4)]


class RestorationConfig(BaseModel):
    """How long and how fast to learn; the defaults are for ten minutes on a laptop."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    minutes: Annotated[float, Field(gt=0, le=10_000)] | None = 10.0
    """Most time to train. The first steps are timed, and the number of steps follows. None: take `steps`."""
    clock: Clock = "wall"
    """What the minutes are of: time as it passes, or the work of all threads, for comparisons on a busy machine."""
    steps: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    """Most steps to take."""
    features: Annotated[int, Field(ge=4, le=512)] = 32
    """Channels of the network's hidden layers."""
    blocks: Annotated[int, Field(ge=1, le=64)] = 6
    """Residual blocks of the network."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-3
    """Peak learning rate of Adam."""
    batch_size: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Patches per step; None chooses by the number of dimensions."""
    patch_size: Annotated[tuple[Annotated[int, Field(ge=8)], ...], Field(min_length=2, max_length=3)] | None = None
    """Voxels of a patch of the input along the network's axes; None chooses."""
    hold_out: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Share of the images to score on, one at least; 0 for none."""
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 20.0
    """Least time between two checkpoints, from which a run resumes; 0 writes one after every step."""
    precision: Precision = "auto"
    """Number format of the network's arithmetic; ``auto`` takes bfloat16 where the processor computes in it."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Everything random follows from it and the step's number."""


class SuperResolutionConfig(RestorationConfig):
    """How to learn to make images finer, from images that are fine already.

    Examples
    --------
    >>> SuperResolutionConfig(factor=(3, 1, 1)).profile
    'gaussian'
    """

    factor: tuple[Count, Count, Count] = (2, 1, 1)
    """How many times finer along head-feet, front-back and left-right (z, y and x where images have no geometry). For
    plane images the first is 1."""
    profile: Literal["gaussian", "box"] = "gaussian"
    """How a thick slice weighs what it covers. box: the mean of the slices that it stands for."""
    thickness: Annotated[float, Field(gt=0, le=4)] = 1.0
    """Thickness of a slice as a share of the distance between slices: below 1 with gaps, above 1 where they overlap."""
    noise: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Noise that is added to the simulated slices, as a share of the images' standard deviation."""


class EnhancementConfig(RestorationConfig):
    """How to learn to remove noise, from noisy images alone, or to undo a blur, from sharp ones."""

    method: Literal["recorrupted", "noise2void", "deblur"] = "recorrupted"
    """recorrupted: noise of the strength that is in the image is added and taken away again in two independent ways
    (Pang et al. 2021); needs noise that is independent between voxels. noise2void: voxels are predicted from those
    around them (Krull et al. 2019). deblur: sharp images are blurred by `blur_mm`, and steps of gradient descent with
    learned ones between them undo it (unrolled proximal gradient, Adler and Öktem 2017)."""
    blur_mm: Annotated[float, Field(gt=0)] | None = None
    """For deblur: full width at half maximum of the Gaussian blur in mm, or in pixels for images without geometry. It
    has to be given."""
    noise: Literal["gaussian", "rician", "poisson"] = "gaussian"
    """What kind of noise it is: gaussian as in most images, rician for magnitude images of MR, poisson (with a gaussian
    part) for images that count photons."""
    level: Annotated[float, Field(gt=0)] | None = None
    """Standard deviation of the noise, in the image's unit; None estimates it for each image. For deblur it is added
    after the blur."""
    neighbours: Annotated[int, Field(ge=0, le=4)] = 1
    """Slices to each side that the network sees beside the one that it cleans."""
