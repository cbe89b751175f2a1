"""The settings of a classification's training."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from napari_medseg.models.spec import Crop
from napari_medseg.training.scored.run import ScoredConfig, Share


def _words(value: object) -> object:
    """Return the words of a text with commas between them."""
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Flips = Literal["auto", "none", "sideways", "all"]


class ClassificationConfig(ScoredConfig):
    """How to learn to classify; the defaults are for ten minutes on a laptop.

    Examples
    --------
    >>> ClassificationConfig(epochs=5).learning_rate
    0.001
    """

    answer: Literal["auto", "single", "multi", "ordinal"] = "auto"
    """single: each image has one class. multi: any number of them, each judged by itself. ordinal: the classes are
    grades, in the order of their numbers or names, and near misses are less wrong. auto: multi where the labels name
    several classes for an image, else single."""
    architecture: str = "auto"
    """A registered architecture for classification; auto takes resnet18_small for small images, resnet18 for large ones
    and for volumes resnet18_3d, or cnn_small without a graphics processor; for another size of it, see `width`."""
    width: Annotated[int, Field(ge=1, le=256)] | None = None
    """Channels of the first stage of resnet18_small and cnn_small; None: 64 on a graphics processor, 32 without."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Before the last layer of torchvision's networks that have it; None for their own."""
    image_size: Annotated[int, Field(ge=8, le=1024)] | None = None
    """Edge in voxels to which images are brought; None chooses from the images, the network and the device."""
    pretrained: str | None = None
    """``imagenet`` fetches torchvision's weights, ``medicalnet`` those of MedicalNet for volumes; anything else is a
    file of weights for the architecture."""
    freeze: Literal["none", "head", "staged"] = "none"
    """Of a pretrained network. none: all layers learn, the pretrained ones at a lower rate. head: only the last layer
    learns. staged: only the last layer in the first fifth of the steps; then one stage after the other is freed, from
    the last to the first, until all learn from the middle of the steps on."""
    body_rate: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Learning rate of pretrained layers, as a share of that of the last layer."""
    stage_rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Learning rate of a pretrained stage, as a share of that of the stage after it; 1 for the same in all."""
    gradient_clip: Annotated[float, Field(gt=0)] = 5.0
    """Largest norm of the gradient; longer ones are shortened."""
    batch_size: Annotated[int, Field(ge=2, le=1024)] = 64
    """Images per step."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: rare classes count more, so that all count alike; of several classes per image, the presence of each
    counts as much as its absence."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of each label that is spread over all classes."""
    focal: Annotated[float, Field(ge=0, le=5)] = 0.0
    """Power of the focal loss; 0 for cross-entropy."""
    mixup: Annotated[float, Field(ge=0, le=5)] = 0.0
    """Shape of the distribution of shares by which two images are mixed; 0 mixes none."""
    cutmix: Annotated[float, Field(ge=0, le=5)] = 0.0
    """Shape of the distribution of shares by which a box of an image is replaced by that of another; 0 replaces none.
    With `mixup`, half of the batches get either."""
    flips: Flips = "auto"
    """Augmentation: mirror images, sideways only or along all axes. auto: sideways in colour, as in photographs and
    microscopy; none in grey, as left and right, up and down mean something in most scans."""
    geometry: bool = True
    """Augmentation: rotate, scale and shift a little."""
    intensity: bool = True
    """Augmentation: change brightness and contrast a little."""
    randaugment: Annotated[int, Field(ge=0, le=5)] = 0
    """Augmentation: so many strong changes of each image, drawn from rotation, shear, scale, shift, contrast,
    brightness, gamma, noise, blur or sharpening, and erasing of a box; 0 for none."""
    strength: Share = 0.5
    """Augmentation: of the strongest of these changes, those on unlabelled images among them."""
    unlabelled: Path | None = None
    """Folder of images without labels, to learn from what the network is sure of in them (FixMatch)."""
    sure: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Probability from which the network's answer for an unlabelled image is taken for true."""
    unlabelled_weight: Annotated[float, Field(ge=0, le=10)] = 1.0
    """Of the loss on unlabelled images."""
    covariates: Words = ()
    """Columns of the table of labels that the network is told beside the image, such as age,sex."""
    crop: Crop = Crop()
    """How regions are cut out, where the table of labels gives boxes."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.995
    """Weights that are scored and kept are a running mean with this decay per step; 0 takes the last ones."""
    hold_out: Annotated[float, Field(gt=0, le=0.5)] = 0.15
    """Share of the images to validate on, where the source does not say which."""
    nearly_equal: bool = True
    """Whether images that are nearly the same (saved anew, resized a little, brighter, noisier) count as equal."""
    leaks: Literal["auto", "refuse", "drop"] = "auto"
    """What to do with images or patients on both sides of a given split: refuse to train, or leave them out of
    training. auto: drop for equal images of an npz file, refuse for all else."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the network's arithmetic; ``auto`` takes bfloat16 where the processor computes in it."""
