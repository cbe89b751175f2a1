"""Dice against seconds and painted voxels, while a simulated user paints, looks, corrects and paints again.

    python benchmarks/interactive.py --json result.json
    python benchmarks/interactive.py --structures hippocampus --methods ours forest --seconds 5 30

A user paints strokes of every class on three slices (seeded, shaky, 5 % of the voxels slip across a border). Each
method then has until the first mark on its clock; its prediction of the whole volume is scored, the user paints
corrections where it is most wrong, and the method goes on with them until the next mark. The clock counts what a user
waits for before a prediction could be asked for: reading, features, training. Predicting the whole volume and scoring
are not counted, for any method. A method that has no model at a mark scores 0 there.

forest     random forest on scikit-image's multi-scale features of the volume, 3D (Gaussian, edges, texture)
convpaint  napari-convpaint, where it is installed, with the feature extractor of --convpaint
unet       a 3D U-Net of MONAI, from scratch, on patches around strokes
ours       the sketch until the first mark, then a new network that starts from it; the better of both, as in the panel

MNI152 is downloaded by nilearn where it is not at hand; the other data are given as folders: --hippocampus with
imagesTr and labelsTr of the Medical Segmentation Decathlon's Task04, --organs with TotalSegmentator's example CT.
"""

import argparse
import importlib.util
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from napari_medseg.data import BACKGROUND_VALUE
from napari_medseg.data.fingerprint import window_of
from napari_medseg.data.samples import mni152_path, mni152_tissues
from napari_medseg.data.strokes import Annotator, draw_corrections, draw_strokes
from napari_medseg.inference import PredictOptions, predict
from napari_medseg.io import read, write
from napari_medseg.models import Bundle
from napari_medseg.models.design import Design, design_spec
from napari_medseg.progress import Finished, Note
from napari_medseg.training import Case, TrainConfig, create_run, train
from napari_medseg.volume import LabelClass, Volume

log = logging.getLogger("interactive")
ORGANS = (1, 2, 3, 5, 6)
"""TotalSegmentator's numbers of spleen, right and left kidney, liver and stomach."""
CORRECTIONS = 12
"""Strokes of the user between two marks."""
SLIPS = 0.05

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

    def __init__(self, structure: Structure, seed: int) -> None:
        self._structure, self._seed = structure, seed
        self._features: NDArray[np.float32] | None = None
        self._forest: Any = None
        self._debt = 0.0

    def learn(self, labels: Labels, seconds: float) -> None:
        """Compute the features once, then fit; what takes longer than a mark allows is ready at a later one."""
        from skimage.feature import multiscale_basic_features
        from sklearn.ensemble import RandomForestClassifier

        started = time.perf_counter()
        if self._features is None:
            self._features = multiscale_basic_features(self._structure.normalised(), sigma_min=1, sigma_max=8)
        drawn = labels > 0
        forest = RandomForestClassifier(100, random_state=self._seed, n_jobs=torch.get_num_threads())
        forest.fit(self._features[drawn], labels[drawn] % BACKGROUND_VALUE)
        self._debt += time.perf_counter() - started - seconds
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

    def __init__(self, structure: Structure, seed: int, extractor: str) -> None:
        from napari_convpaint.convpaint_model import ConvpaintModel

        self._structure, self._extractor = structure, extractor
        self._model: Any = None
        self._new: Callable[[], Any] = lambda: ConvpaintModel(alias=extractor)
        self._debt = 0.0

    def learn(self, labels: Labels, seconds: float) -> None:
        """Train on the slices that were painted on."""
        started = time.perf_counter()
        model = self._new()
        painted = np.flatnonzero(labels.any(axis=(1, 2)))
        images = [self._structure.normalised()[k] for k in painted]
        # its classes count from 1, 0 is unlabelled
        marks = [np.where(labels[k] == 0, 0, labels[k] % BACKGROUND_VALUE + 1).astype(np.uint8) for k in painted]
        model.train(images, marks)
        self._debt += time.perf_counter() - started - seconds
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

    def __init__(self, structure: Structure, seed: int) -> None:
        from monai.networks.nets import UNet as Network

        torch.manual_seed(seed)
        self._structure, self._rng = structure, np.random.default_rng(seed)
        data = structure.normalised()
        self._patch = [min(self.PATCH, -(-n // 8) * 8) for n in data.shape]
        pad = [(0, max(0, p - n)) for p, n in zip(self._patch, data.shape, strict=True)]
        self._image = torch.from_numpy(np.pad(data, pad))
        self._pad = pad
        self._network = Network(3, 1, structure.classes, (16, 32, 64, 128), (2, 2, 2), num_res_units=1, norm="batch")
        self._optimizer = torch.optim.AdamW(self._network.parameters(), 1e-3)

    def learn(self, labels: Labels, seconds: float) -> None:
        """Go on training."""
        started = time.perf_counter()
        target = np.where(labels == 0, -1, labels.astype(np.int64) % BACKGROUND_VALUE)
        target = np.pad(target, self._pad, constant_values=-1)
        drawn = [np.argwhere(target == k) for k in range(self._structure.classes) if (target == k).any()]
        self._network.train()
        while time.perf_counter() - started < seconds:
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

    def __init__(self, structure: Structure, seed: int, folder: Path) -> None:
        self._structure, self._seed, self._folder = structure, seed, folder
        write(structure.image, folder / "image.nii.gz")
        (self._image,) = read(folder / "image.nii.gz")
        self._bundle: Path | None = None
        self._round = 0

    def learn(self, labels: Labels, seconds: float) -> None:
        """Make a run as the panel does and train for the time there is."""
        started = time.perf_counter()
        run = self._folder / f"run{self._round}"
        path = self._folder / f"labels{self._round}.nii.gz"
        write(replace(self._image, data=labels.astype(np.uint8), kind="labels", units=None, window=None), path)
        classes = [LabelClass(value=k, name=f"class {k}") for k in range(1, self._structure.classes)]
        size = "small" if self._round else "sketch"
        window = window_of([(self._image, labels)])
        spec = design_spec("interactive", self._image, classes, Design(size=size), intensity=window)
        left = max(seconds - (time.perf_counter() - started), 1) / 60
        case = Case(id="volume", image=self._folder / "image.nii.gz", labels=path)
        created = create_run(run, spec, [case], TrainConfig(minutes=left, seed=self._seed))
        for event in train(created):
            if isinstance(event, Note):
                log.info("    %s", event.text)
            if isinstance(event, Finished):
                self._bundle = event.result.bundle
        log.info("    asked %.1f s, took %.1f s", seconds, time.perf_counter() - started)
        self._round += 1

    def predict(self) -> Labels:
        """Predict with the model that the last run kept."""
        assert self._bundle is not None
        *_, last = predict(self._image, Bundle.load(self._bundle), PredictOptions(overlap=0.25))
        assert isinstance(last, Finished)
        return np.asarray(last.result.label_map.labels)


def dice(predicted: Labels, truth: Labels) -> list[float]:
    """Return the Dice of each class but background."""
    both = [((predicted == k) & (truth == k)).sum() for k in range(1, int(truth.max()) + 1)]
    sizes = [(predicted == k).sum() + (truth == k).sum() for k in range(1, int(truth.max()) + 1)]
    return [float(2 * b / s) for b, s in zip(both, sizes, strict=True)]


def session(structure: Structure, method: Method, marks: list[float], seed: int) -> Iterator[dict[str, Any]]:
    """Yield the score at each mark."""
    amount = np.count_nonzero(structure.truth, axis=(1, 2)).cumsum()
    slices = [(0, int(np.searchsorted(amount, share * amount[-1]))) for share in (0.25, 0.5, 0.75)]
    hand = Annotator(strokes=structure.each, error_rate=SLIPS, seed=seed)
    labels = draw_strokes(structure.truth, slices, hand)
    clock = 0.0
    for number, mark in enumerate(marks):
        method.learn(labels, mark - clock)
        clock = mark
        predicted = method.predict()
        scores = dice(predicted, structure.truth)
        yield {"seconds": mark, "voxels": int((labels > 0).sum()), "dice": scores, "mean": float(np.mean(scores))}
        hand = Annotator(strokes=CORRECTIONS, error_rate=SLIPS, seed=1000 * seed + number)
        labels = draw_corrections(structure.truth, predicted, labels, hand)


def structures(arguments: argparse.Namespace) -> Iterator[Structure]:
    """Yield what was asked for and is at hand."""
    if "mni152" in arguments.structures:
        (image,) = read(mni152_path("t1"))
        yield Structure("mni152", image, np.asarray(mni152_tissues().data), 6)
    if "hippocampus" in arguments.structures:
        path = sorted((arguments.hippocampus / "imagesTr").glob("hippocampus_*.nii.gz"))[arguments.case]
        (image,), (truth,) = read(path), read(arguments.hippocampus / "labelsTr" / path.name)
        yield Structure("hippocampus", image, np.asarray(truth.data), 2)
    if "organs" in arguments.structures:
        (image,) = read(arguments.organs / "totalseg_example_ct_sm.nii.gz")
        (found,) = read(arguments.organs / "totalseg_example_seg.nii.gz")
        truth = np.zeros(found.data.shape, np.uint8)
        for number, value in enumerate(ORGANS, start=1):
            truth[np.asarray(found.data) == value] = number
        yield Structure("organs", image, truth, 2)


def method(name: str, structure: Structure, seed: int, folder: Path, extractor: str) -> Method:
    """Return a method that knows nothing yet."""
    if name == "forest":
        return Forest(structure, seed)
    if name == "convpaint":
        return Convpaint(structure, seed, extractor)
    return UNet(structure, seed) if name == "unet" else Ours(structure, seed, folder)


def summary(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the margin of ours over the best of the others, over all cells that both have."""
    best: dict[tuple[Any, ...], float] = {}
    ours: dict[tuple[Any, ...], float] = {}
    for cell in cells:
        key = cell["structure"], cell["seed"], cell["seconds"]
        if cell["method"] == "ours":
            ours[key] = cell["mean"]
        else:
            best[key] = max(best.get(key, 0.0), cell["mean"])
    margins = [ours[key] - best[key] for key in ours if key in best]
    return {"min": float(min(margins)), "median": float(np.median(margins))} if margins else {}


def main(words: list[str]) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", nargs="+", default=["mni152", "hippocampus", "organs"])
    parser.add_argument("--methods", nargs="+", default=["forest", "convpaint", "unet", "ours"])
    parser.add_argument("--seconds", nargs="+", type=float, default=[5, 30, 120, 600])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--hippocampus", type=Path)
    parser.add_argument("--case", type=int, default=0, help="which hippocampus, by sorted name")
    parser.add_argument("--organs", type=Path)
    parser.add_argument("--convpaint", default="vgg", help="feature extractor; vgg needs ImageNet's weights")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    names = [n for n in arguments.methods if n != "convpaint" or importlib.util.find_spec("napari_convpaint")]
    cells: list[dict[str, Any]] = []
    for structure in structures(arguments):
        for seed in arguments.seeds:
            for name in names:
                with TemporaryDirectory() as folder:
                    learner = method(name, structure, seed, Path(folder), arguments.convpaint)
                    for cell in session(structure, learner, arguments.seconds, seed):
                        cells.append({"structure": structure.name, "method": name, "seed": seed, **cell})
                        log.info("%s", json.dumps(cells[-1]))
    found = {"cells": cells, "margin_over_best_other": summary(cells)}
    log.info("%s", found["margin_over_best_other"])
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
