"""How to explain."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class ExplainOptions(BaseModel):
    """How to explain; what a method does not use has no effect on it.

    Examples
    --------
    >>> ExplainOptions(baseline="mean").steps
    32
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    device: str = "auto"
    """``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``."""
    region: tuple[tuple[int, int], ...] | Path | None = None
    """First voxel and end along each of the image's own axes, or a file of labels on the image's grid whose nonzero
    voxels count. For segmentation: the voxels whose mean score is explained, instead of those where the class was
    found. For classification: the box around it is cut out and is all that the model sees. For detection: the box that
    overlaps most with it is explained, instead of the surest."""
    layer: str | None = None
    """Layer of the network, by name, for Grad-CAM and feature maps; None for the last one with a grid (classification)
    or the coarsest (segmentation)."""
    baseline: Literal["auto", "blur", "mean", "black"] = "auto"
    """What stands for absence: the image blurred over a tenth of its edges, the mean of each channel, or its smallest
    value. ``auto``: the first of these that halves the probability of the class, or else that which lowers it most."""
    steps: Annotated[int, Field(ge=2, le=1024)] = 32
    """Points on the way from the baseline to the image, for integrated gradients."""
    samples: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Noisy copies for SmoothGrad and SHAP (24 if not given), or images with hidden parts for LIME (8 for each
    part)."""
    noise: Annotated[float, Field(ge=0, le=2)] = 0.1
    """Standard deviation of the noise of SmoothGrad and SHAP, as a share of the range of the image's values."""
    window: Annotated[int, Field(ge=1, le=512)] | None = None
    """Edge in voxels of the network's grid of what occlusion hides; None for an eighth of the image's."""
    stride: Annotated[int, Field(ge=1, le=512)] | None = None
    """Voxels from one place of the window to the next; None for half a window in planes and a whole one in volumes."""
    superpixels: Annotated[int, Field(ge=2, le=2000)] = 50
    """Parts, as many as possible up to this number, that LIME hides."""
    features: Annotated[int, Field(ge=1, le=64)] = 8
    """How many feature maps to show, the strongest first."""
    per_channel: bool = False
    """Whether gradient methods and occlusion give a map for each channel of the image, instead of the sum."""
    sanity: Literal["full", "cascading", "none"] = "full"
    """Which weights are replaced by random ones to check that the map depends on them: all at once, or from the last
    layer to the first in five stages."""
    randomisations: Annotated[int, Field(ge=1, le=50)] | None = None
    """How often they are drawn; None for three times, and once for methods that hide parts of the image."""
    curve_steps: Annotated[int, Field(ge=0, le=500)] = 20
    """Steps in which the image is deleted and inserted; 0 leaves these scores out."""
    batch_size: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Images through the network at once; None chooses by their size. Too many for the memory are reduced on the
    way."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of everything that is drawn at random."""
