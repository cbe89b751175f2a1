"""One answer per image: what a classification network sees, and what it says."""

import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from napari_medseg.data.labelled.answers import Classified
from napari_medseg.data.labelled.images import Pictures, with_channels
from napari_medseg.data.labelled.table import SLICE_MARK
from napari_medseg.device import choose, compute_dtype
from napari_medseg.errors import BundleError, DataError, MedsegError
from napari_medseg.inference.preprocess import transform_named
from napari_medseg.models import Bundle, ModelSpec
from napari_medseg.models.configs import intensity_transform
from napari_medseg.models.covariates import encode
from napari_medseg.prediction import OutputKind
from napari_medseg.progress import Control, Event, Finished, Note, with_time_left
from napari_medseg.tasks.kinds.classification import log_probabilities

EVERY = 16
"""Images between two reports."""
BATCH_VALUES = 1 << 22
"""Input values of a batch."""


def resized(image: NDArray[np.generic], spec: ModelSpec, name: str) -> torch.Tensor:
    """Return an image in the model's size, before its intensity rule.

    Parameters
    ----------
    image : (channel, [z,] y, x) array
        As `napari_medseg.data.labelled.picture_of` gives it.
    spec : ModelSpec
        Of the model.
    name : str
        Of the image, for messages.

    Returns
    -------
    (channel, [z,] y, x) float32 tensor
        Of `spec.patch_size`; the aspect ratio is not kept.

    Raises
    ------
    DataError
        If the image is a volume and the model sees planes, or the other way round; or its channels do not fit.
    """
    if image.ndim != spec.dims + 1:
        kinds = {2: "a plane image", 3: "a volume"}
        found = kinds.get(image.ndim - 1, "of another kind")
        raise DataError(f"{name} is {found}; {spec.name} is for {kinds[spec.dims]}.", "Choose another model or image.")
    values = torch.from_numpy(with_channels(image, spec.channels, name))[None]
    size = tuple(spec.patch_size)
    if values.shape[2:] == size:
        return values[0]
    if spec.dims == 2:
        return functional.interpolate(values, size, mode="bilinear", antialias=True, align_corners=False)[0]
    smaller = tuple(min(n, m) for n, m in zip(values.shape[2:], size, strict=True))
    # Averages first, so that nothing between the new voxels is passed over.
    values = functional.interpolate(values, smaller, mode="area")
    return functional.interpolate(values, size, mode="trilinear", align_corners=False)[0]


def normalised(images: torch.Tensor, spec: ModelSpec) -> torch.Tensor:
    """Return (image, channel, [z,] y, x) images of the model's size after its intensity rule."""
    rule = transform_named(*intensity_transform(spec.intensity))
    if spec.intensity.kind == "fixed":
        return rule(images)
    # By what each image holds; several of one place have each their own intensities.
    return torch.cat([rule(part) for image in images for part in image.chunk(spec.images)]).reshape(images.shape)


def batch_size(spec: ModelSpec) -> int:
    """Return how many images are predicted on together."""
    return max(1, min(256, BATCH_VALUES // (spec.channels * int(np.prod(spec.patch_size)))))


def classify(
    bundle: Bundle,
    pictures: Pictures,
    control: Control | None = None,
    device: str = "auto",
    facts: Sequence[Sequence[str]] = (),
) -> Iterator[Event]:
    """Predict the classes of images.

    A volume is classified slice by slice by a model of planes.

    Parameters
    ----------
    bundle : Bundle
        Of a classification.
    pictures : Pictures
        The images.
    control : Control, optional
        Cancels and pauses.
    device : str
        As for `napari_medseg.device.choose`.
    facts : sequence of sequence of str
        Covariates of each image, in the order of the model's; without them all are unknown.

    Yields
    ------
    Event
        `Progress`, a `Note` for each image that cannot be read or does not fit, and last `Finished` with `Classified`.

    Raises
    ------
    BundleError
        If the model is for another task.
    """
    spec, control = bundle.spec, control or Control()
    if spec.task != "classification":
        raise BundleError(f"{spec.name} is for {spec.task}.", "Choose a model for classification.")
    place, started = choose(device), time.monotonic()
    network = bundle.network().to(place)
    told = encode(spec.covariates, facts) if spec.covariates and facts else None
    if spec.covariates and told is None:
        names = ", ".join(covariate.name for covariate in spec.covariates)
        yield Note(f"{spec.name} was told {names} in training; nothing is known of them here.", "warning")
    queue = _Queue(network, spec, place, told)
    for number in range(len(pictures)):
        if number % EVERY == 0:
            control.checkpoint()
            yield with_time_left("Classifying", len(pictures), started, number)
        try:
            for name, image in views(pictures, number, spec):
                queue.add(name, image, number)
        except MedsegError as error:
            yield Note(f"{pictures.names[number]}: {error}", "warning")
            queue.names.append(pictures.names[number])
    queue.flush()
    yield Finished(Classified(tuple(queue.names), queue.answers()))


def views(pictures: Pictures, number: int, spec: ModelSpec) -> list[tuple[str, torch.Tensor]]:
    """Return an image in the model's size, or its slices for a model of planes, with names."""
    name = pictures.names[number]
    images = pictures.planes(number) if spec.dims == 2 else [pictures.get(number)]
    names = [name] if len(images) == 1 else [f"{name}{SLICE_MARK}{k}" for k in range(len(images))]
    return [(one, resized(image, spec, name)) for one, image in zip(names, images, strict=True)]


class _Queue:
    """Gathers images until they make a batch.

    Parameters
    ----------
    network : nn.Module
        On `device`.
    spec : ModelSpec
        Of the network.
    device : torch.device
        Where.
    told : (image, number) array, optional
        Covariates.
    """

    def __init__(
        self, network: nn.Module, spec: ModelSpec, device: torch.device, told: NDArray[np.float32] | None
    ) -> None:
        self._network, self._spec, self._device, self._told = network, spec, device, told
        self._many = batch_size(spec)
        self._waiting: list[tuple[int, torch.Tensor, int]] = []
        self._found: dict[int, NDArray[np.float64]] = {}
        self.names: list[str] = []

    def add(self, name: str, image: torch.Tensor, number: int) -> None:
        """Add image `number`, or a slice of it, in the model's size."""
        self._waiting.append((len(self.names), image, number))
        self.names.append(name)
        if len(self._waiting) == self._many:
            self.flush()

    def flush(self) -> None:
        """Predict on all that wait."""
        if self._waiting:
            places, images, numbers = zip(*self._waiting, strict=True)
            facts = None if self._told is None else torch.from_numpy(self._told[list(numbers)])
            seen = normalised(torch.stack(images), self._spec)
            logits = logits_of(self._network, seen, facts, self._device)
            found = probabilities(logits, self._spec.temperature, self._spec.output)
            self._found |= dict(zip(places, found, strict=True))
            self._waiting.clear()

    def answers(self) -> NDArray[np.float64]:
        """Return the (image, class) probabilities of all, nan for those without an answer."""
        result = np.full((len(self.names), len(self._spec.classes)), np.nan)
        for place, found in self._found.items():
            result[place] = found
        return result


def logits_of(
    network: nn.Module,
    batch: torch.Tensor,
    facts: torch.Tensor | None,
    device: torch.device,
    precision: str = "float32",
) -> torch.Tensor:
    """Return a network's (image, channel) logits as float32 on the CPU; it is in evaluation mode afterwards.

    Parameters
    ----------
    network : nn.Module
        On `device`.
    batch : (image, channel, [z,] y, x) tensor
        As the network sees it.
    facts : (image, number) tensor, optional
        Covariates.
    device : torch.device
        Where.
    precision : str
        ``auto`` for the fastest of the device, else float32.
    """
    dtype = compute_dtype("auto" if precision == "auto" else "float32", device)
    told = () if facts is None else (facts.to(device),)
    with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
        logits: torch.Tensor = network.eval()(batch.to(device, torch.float32), *told)
    return logits.float().cpu()


def probabilities(logits: torch.Tensor, temperature: float, output: OutputKind = "classes") -> NDArray[np.float64]:
    """Return (image, class) probabilities; they sum to 1 unless an image may have several classes."""
    found = log_probabilities(logits / temperature, output).double().exp().numpy()
    if output != "several":
        found = found / found.sum(axis=1, keepdims=True)
    return np.asarray(found, np.float64)
