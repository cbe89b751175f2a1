"""The methods that `interactive.py` compares: each learns from strokes until a mark on its clock, then predicts."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from napari_medseg.data import BACKGROUND_VALUE
from napari_medseg.data.fingerprint import window_of
from napari_medseg.inference import PredictOptions, predict
from napari_medseg.io import read, write
from napari_medseg.models import Bundle
from napari_medseg.models.design import Design, design_spec
from napari_medseg.progress import Finished, Note
from napari_medseg.training import Case, TrainConfig, create_run, train
from napari_medseg.training.clock import Clock, clock_of
from napari_medseg.volume import LabelClass, Volume

log = logging.getLogger("interactive")
Labels = NDArray[np.unsignedinteger]


@dataclass
class Structure:
    """What is painted."""

    name: str
    image: Volume
    truth: Labels
    """On the image's own array; 0 is background, classes count from 1."""
    each: int
    """First strokes per class and slice."""

    @property
    def classes(self) -> int:
        """Number of classes, background included."""
        return int(self.truth.max()) + 1

    def normalised(self) -> NDArray[np.float32]:
        """Return the voxels with mean 0 and standard deviation 1."""
        data = np.asarray(self.image.data, np.float32)
        return (data - data.mean()) / data.std()


class Method(Protocol):
    """Learns until a mark on its clock, then predicts."""

    def learn(self, labels: Labels, seconds: float) -> None:
        """Use so many seconds more to learn from all strokes."""

    def predict(self) -> Labels:
        """Return class values of all voxels."""


class Forest:
    """Random forest on scikit-image's features."""

    def __init__(self, structure: Structure, seed: int, clock: Clock) -> None:
        self._structure, self._seed, self._now = structure, seed, clock_of(clock)
        self._features: NDArray[np.float32] | None = None
        self._forest: Any = None
        self._debt = 0.0

    def learn(self, labels: Labels, seconds: float) -> None:
        """Compute the features once, then fit; what takes longer than a mark allows is ready at a later one."""
        from skimage.feature import multiscale_basic_features
        from sklearn.ensemble import RandomForestClassifier

        started = self._now()
        if self._features is None:
            self._features = multiscale_basic_features(self._structure.normalised(), sigma_min=1, sigma_max=8)
        drawn = labels > 0
        forest = RandomForestClassifier(100, random_state=self._seed, n_jobs=torch.get_num_threads())
        forest.fit(self._features[drawn], labels[drawn] % BACKGROUND_VALUE)
        self._debt += self._now() - started - seconds
        if self._debt <= 0:
            self._debt, self._forest = 0.0, forest

    def predict(self) -> Labels:
        """Return background everywhere while there is no forest."""
        assert self._features is not None
        if self._forest is None:
            return np.zeros(self._features.shape[:3], np.uint8)
        rows = self._features.reshape(-1, self._features.shape[-1])
        found = [self._forest.predict(part) for part in np.array_split(rows, max(1, len(rows) // 500_000))]
        return np.concatenate(found).reshape(self._features.shape[:3]).astype(np.uint8)


class Convpaint:
    """napari-convpaint's model, slice by slice as it works."""

    def __init__(self, structure: Structure, seed: int, clock: Clock, extractor: str) -> None:
        from napari_convpaint.convpaint_model import ConvpaintModel

        self._structure, self._extractor, self._now = structure, extractor, clock_of(clock)
        self._model: Any = None
        self._new = lambda: ConvpaintModel(alias=extractor)
        self._debt = 0.0

    def learn(self, labels: Labels, seconds: float) -> None:
        """Train on the slices that were painted on."""
        started = self._now()
        model = self._new()
        painted = np.flatnonzero(labels.any(axis=(1, 2)))
        images = [self._structure.normalised()[k] for k in painted]
        # its classes count from 1, 0 is unlabelled
        marks = [np.where(labels[k] == 0, 0, labels[k] % BACKGROUND_VALUE + 1).astype(np.uint8) for k in painted]
        model.train(images, marks)
        self._debt += self._now() - started - seconds
        if self._debt <= 0:
            self._debt, self._model = 0.0, model

    def predict(self) -> Labels:
        """Return background everywhere while there is no model."""
        data = self._structure.normalised()
        if self._model is None:
            return np.zeros(data.shape, np.uint8)
        return np.stack([np.asarray(self._model.segment(plane)).reshape(plane.shape) - 1 for plane in data]).astype(
            np.uint8
        )


class UNet:
    """MONAI's U-Net from scratch: the voxels that are painted are all it learns."""

    PATCH = 48

    def __init__(self, structure: Structure, seed: int, clock: Clock) -> None:
        from monai.networks.nets import UNet as Network

        torch.manual_seed(seed)
        self._structure, self._rng, self._now = structure, np.random.default_rng(seed), clock_of(clock)
        data = structure.normalised()
        self._patch = [min(self.PATCH, -(-n // 8) * 8) for n in data.shape]
        pad = [(0, max(0, p - n)) for p, n in zip(self._patch, data.shape, strict=True)]
        self._image = torch.from_numpy(np.pad(data, pad))
        self._pad = pad
        self._network = Network(3, 1, structure.classes, (16, 32, 64, 128), (2, 2, 2), num_res_units=1, norm="batch")
        self._optimizer = torch.optim.AdamW(self._network.parameters(), 1e-3)

    def learn(self, labels: Labels, seconds: float) -> None:
        """Go on training."""
        started = self._now()
        target = np.where(labels == 0, -1, labels.astype(np.int64) % BACKGROUND_VALUE)
        target = np.pad(target, self._pad, constant_values=-1)
        drawn = [np.argwhere(target == k) for k in range(self._structure.classes) if (target == k).any()]
        self._network.train()
        while self._now() - started < seconds:
            boxes = [self._box(drawn[self._rng.integers(len(drawn))]) for _ in range(2)]
            image = torch.stack([self._image[box][None] for box in boxes])
            wanted = torch.from_numpy(np.stack([target[box] for box in boxes]))
            loss = torch.nn.functional.cross_entropy(self._network(image), wanted, ignore_index=-1)
            self._optimizer.zero_grad()
            torch.autograd.backward(loss)
            self._optimizer.step()

    def _box(self, voxels: NDArray[np.intp]) -> tuple[slice, ...]:
        centre = voxels[self._rng.integers(len(voxels))]
        low = [
            int(np.clip(c - self._rng.integers(p // 4, 3 * p // 4), 0, n - p))
            for c, p, n in zip(centre, self._patch, self._image.shape, strict=True)
        ]
        return tuple(slice(start, start + p) for start, p in zip(low, self._patch, strict=True))

    @torch.inference_mode()
    def predict(self) -> Labels:
        """Predict with MONAI's sliding window."""
        from monai.inferers import sliding_window_inference

        self._network.eval()
        logits = sliding_window_inference(self._image[None, None], self._patch, 1, self._network, 0.5, "gaussian")
        found = logits[0].argmax(dim=0).numpy().astype(np.uint8)
        return found[tuple(slice(0, n) for n in self._structure.truth.shape)]


class Ours:
    """What the Train panel does: a sketch at once, then a network that starts from it, corrected and trained again."""

    def __init__(self, structure: Structure, seed: int, clock: Clock, folder: Path) -> None:
        self._structure, self._seed, self._clock, self._folder = structure, seed, clock, folder
        self._now = clock_of(clock)
        write(structure.image, folder / "image.nii.gz")
        (self._image,) = read(folder / "image.nii.gz")
        self._bundle: Path | None = None
        self._round = 0

    def learn(self, labels: Labels, seconds: float) -> None:
        """Make a run as the panel does and train for the time there is."""
        started = self._now()
        run = self._folder / f"run{self._round}"
        path = self._folder / f"labels{self._round}.nii.gz"
        write(replace(self._image, data=labels.astype(np.uint8), kind="labels", units=None, window=None), path)
        classes = [LabelClass(value=k, name=f"class {k}") for k in range(1, self._structure.classes)]
        size = "small" if self._round else "sketch"
        window = window_of([(self._image, labels)])
        spec = design_spec("interactive", self._image, classes, Design(size=size), intensity=window)
        left = max(seconds - (self._now() - started), 1) / 60
        case = Case(id="volume", image=self._folder / "image.nii.gz", labels=path)
        created = create_run(run, spec, [case], TrainConfig(minutes=left, clock=self._clock, seed=self._seed))
        for event in train(created):
            if isinstance(event, Note):
                log.info("    %s", event.text)
            if isinstance(event, Finished):
                self._bundle = event.result.bundle
        log.info("    asked %.1f s, took %.1f s", seconds, self._now() - started)
        self._round += 1

    def predict(self) -> Labels:
        """Predict with the model that the last run kept."""
        assert self._bundle is not None
        *_, last = predict(self._image, Bundle.load(self._bundle), PredictOptions())
        assert isinstance(last, Finished)
        return np.asarray(last.result.label_map.labels)
