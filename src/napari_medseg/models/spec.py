"""What a model needs and gives."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from napari_medseg.models.pipeline import Pipeline
from napari_medseg.prediction import LabelClass, OutputKind

OVERLAP = 0.25
"""Share of a tile that it has in common with the next, where a model does not say."""
BACKGROUND = LabelClass(value=0, name="background")


class Intensity(BaseModel):
    """How image values become network input; one rule for all channels, computed on the whole image.

    Each rule is the MONAI transform of the same effect, so that a MONAI bundle gives the same numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: Literal["zscore", "minmax", "percentile", "window", "fixed"] = "zscore"
    """``zscore``: subtract the mean and divide by the standard deviation (``NormalizeIntensity``). ``minmax``: map
    the smallest and the largest value to 0 and 1 (``ScaleIntensity``). ``percentile``: map the `low` and `high`
    percentile to 0 and 1 and clip (``ScaleIntensityRangePercentiles``). ``window``: map the values `low` and `high` to
    0 and 1 and clip (``ScaleIntensityRange``), for calibrated units such as HU. ``fixed``: the same without clipping,
    such as mean and mean plus standard deviation of all training images."""
    nonzero: bool = False
    """For ``zscore``: take mean and standard deviation over nonzero voxels only, and leave zeros at zero."""
    low: float = 0.5
    """Lower percentile or value; unused by ``zscore`` and ``minmax``."""
    high: float = 99.5
    """Upper percentile or value; unused by ``zscore`` and ``minmax``."""

    @model_validator(mode="after")
    def _ordered(self) -> "Intensity":
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        return self


class Crop(BaseModel):
    """How a region of an image is cut out to be classified."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    margin: Annotated[float, Field(ge=0, le=5)] = 0.25
    """Of each side of the region's box, as a share of the box's edge."""
    edge_mm: Annotated[float, Field(gt=0)] | None = None
    """Edge in mm of a cube (square) around the region's middle, instead of the box with its margin, so that sizes stay
    comparable. Voxels where an image has no geometry."""


class Covariate(BaseModel):
    """A fact about the patient that a classification is told beside the image."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """Heading of its column."""
    values: tuple[str, ...] = ()
    """What it may be, for words; empty for a number."""
    mean: float = 0.0
    deviation: Annotated[float, Field(gt=0)] = 1.0
    """Of a number in the training data; an unknown value counts as the mean."""


class ModelSpec(BaseModel):
    """What a model needs and gives; everything but the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: Annotated[str, Field(min_length=1)]
    """As shown to the user."""
    architecture: str
    """Name of a registered architecture."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Architecture's own arguments, as JSON values (features, strides, ...)."""
    task: Literal["segmentation", "classification", "detection", "superresolution", "enhancement"] = "segmentation"
    """Whether the network says a class for each voxel, one for the whole image, or boxes with classes. For
    super-resolution and enhancement it says an image, finer or cleaner, and there are no `classes`."""
    dims: Literal[2, 3] = 3
    """Whether the network sees planes or blocks. A two-dimensional network runs on a volume slice by slice along the
    first axis of the network's grid."""
    channels: Annotated[int, Field(ge=1)] = 1
    """Number of input channels."""
    classes: tuple[LabelClass, ...] = (BACKGROUND, LabelClass(value=1, name="foreground"))
    """Output channel k gives the probability of ``classes[k]``; for segmentation the first is background
    (value 0). A classification has no background: all classes are alike."""
    output: OutputKind = "classes"
    """``regions``: the network has one channel per foreground class and none for background. Classes may overlap; a
    voxel belongs to the last class whose probability (a sigmoid of its own) is above one half. Of a classification:
    ``several``: an image may have any number of the classes, each with a sigmoid of its own; ``ordered``: the classes
    are grades, and channel k says whether an image that is above the grades before is above grade k, too."""
    axcodes: Annotated[str, Field(pattern="^[RLAPSI]{3}$")] | None = "SPL"
    """Anatomical directions of the network grid's axes; None for images without geometry, taken as they are stored."""
    spacing: tuple[float, float, float] | None = None
    """Voxel size in mm, in the order of `axcodes`, to which images are resampled; None keeps the image's own."""
    intensity: Intensity = Intensity()
    patch_size: tuple[int, ...] = (64, 64, 64)
    """Voxels of one tile, one number per dimension of the network."""
    overlap: Annotated[float, Field(ge=0, lt=1)] = OVERLAP
    """Share of a tile that it has in common with the next, unless a prediction chooses another."""
    blending: Literal["gaussian", "constant"] = "gaussian"
    """How much the voxels of a tile count where tiles overlap: those near its middle most, or all the same."""
    interpolated: Literal["logits", "probabilities"] = "logits"
    """What is brought from the voxels of `spacing` back to the image's; the largest counts there."""
    pipeline: Pipeline | None = None
    """What is done around the network, instead of `axcodes`, `spacing` and `intensity`; None for these."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of a classification: the logits are divided by it, so that the probabilities are as sure as they are right."""
    images: Annotated[int, Field(ge=1)] = 1
    """Of a classification: how many images of the same place its channels come from, such as sequences; each has its
    intensity rule applied by itself."""
    covariates: tuple[Covariate, ...] = ()
    """What a classification is told beside the image."""
    crop: Crop | None = None
    """Of a classification of regions: how they are cut out. None: it is for whole images."""
    zoom: Annotated[float, Field(gt=0, le=8)] = 1.0
    """Of a detection on planes: images are made so many times as large for the network."""
    air_below: float | None = None
    """Tiles in which no voxel of any channel reaches this value, before the intensity rule, are background and need not
    be computed: for CT for instance -500 HU. None computes every tile, as MONAI alone always does."""
    modality: str | None = None
    """DICOM modality code of the images it was made for."""
    description: str = ""
    licence: str = ""
    """SPDX identifier of the weights."""
    citation: str = ""
    training_data: tuple[str, ...] = ()
    """SHA-256 of each training image and label pair."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """What was measured on held-out data, such as ``{"dice/liver": 0.93}``."""

    @model_validator(mode="after")
    def _consistent(self) -> "ModelSpec":
        if len(self.patch_size) != self.dims or min(self.patch_size) < 1:
            raise ValueError(f"patch_size {self.patch_size} needs {self.dims} positive numbers")
        values = [c.value for c in self.classes]
        distinct = len(values) >= 2 and len(set(values)) == len(values)
        if self.task == "classification" and not distinct:
            raise ValueError(f"classes need two distinct values at least; got {values}")
        if self.task == "segmentation" and (not distinct or values[0] != 0):
            raise ValueError(f"classes need background (0) first and distinct values; got {values}")
        if self.task == "detection" and (not values or len(set(values)) < len(values) or 0 in values):
            raise ValueError(f"classes of a detection need distinct values from 1 on; got {values}")
        if self.channels % self.images:
            raise ValueError(f"{self.channels} channels cannot come from {self.images} images")
        if self.spacing is not None and (self.axcodes is None or min(self.spacing) <= 0):
            raise ValueError("spacing needs axcodes and positive numbers")
        return self

    @property
    def outputs(self) -> int:
        """Number of output channels of the network."""
        return len(self.classes) - (self.output in ("regions", "ordered"))

    @property
    def foreground(self) -> tuple[LabelClass, ...]:
        """The classes without background; all of them for a classification and a detection."""
        return self.classes if self.task in ("classification", "detection") else self.classes[1:]
