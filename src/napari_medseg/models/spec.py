"""What a model needs and gives."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from napari_medseg.models.pipeline import Pipeline
from napari_medseg.prediction import LabelClass

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


class ModelSpec(BaseModel):
    """What a model needs and gives; everything but the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: Annotated[str, Field(min_length=1)]
    """As shown to the user."""
    architecture: str
    """Name of a registered architecture."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Architecture's own arguments, as JSON values (features, strides, ...)."""
    task: Literal["segmentation", "classification", "superresolution", "enhancement"] = "segmentation"
    """Whether the network says a class for each voxel or one for the whole image. For
    super-resolution and enhancement it says an image, finer or cleaner, and there are no `classes`."""
    dims: Literal[2, 3] = 3
    """Whether the network sees planes or blocks. A two-dimensional network runs on a volume slice by slice along the
    first axis of the network's grid."""
    channels: Annotated[int, Field(ge=1)] = 1
    """Number of input channels."""
    classes: tuple[LabelClass, ...] = (BACKGROUND, LabelClass(value=1, name="foreground"))
    """Output channel k gives the probability of ``classes[k]``; for segmentation the first is background
    (value 0). A classification has no background: all classes are alike."""
    output: Literal["classes", "regions"] = "classes"
    """``regions``: the network has one channel per foreground class and none for background. Classes may overlap; a
    voxel belongs to the last class whose probability (a sigmoid of its own) is above one half."""
    axcodes: Annotated[str, Field(pattern="^[RLAPSI]{3}$")] | None = "SPL"
    """Anatomical directions of the network grid's axes; None for images without geometry, taken as they are stored."""
    spacing: tuple[float, float, float] | None = None
    """Voxel size in mm, in the order of `axcodes`, to which images are resampled; None keeps the image's own."""
    intensity: Intensity = Intensity()
    patch_size: tuple[int, ...] = (64, 64, 64)
    """Voxels of one tile, one number per dimension of the network."""
    pipeline: Pipeline | None = None
    """What is done around the network, instead of `axcodes`, `spacing` and `intensity`; None for these."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of a classification: the logits are divided by it, so that the probabilities are as sure as they are right."""
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
        if self.spacing is not None and (self.axcodes is None or min(self.spacing) <= 0):
            raise ValueError("spacing needs axcodes and positive numbers")
        return self

    @property
    def outputs(self) -> int:
        """Number of output channels of the network."""
        return len(self.classes) - (self.output == "regions")

    @property
    def foreground(self) -> tuple[LabelClass, ...]:
        """The classes without background; all of them for a classification."""
        return self.classes if self.task == "classification" else self.classes[1:]
