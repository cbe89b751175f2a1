"""Detection in volumes: nodules of known place and size in generated CT, among vessels that look like them in a slice.

    python benchmarks/nodules.py                                    30 minutes of training, then FROC on unseen volumes
    python benchmarks/nodules.py --minutes 10 --json result.json    also write the figures
    python benchmarks/nodules.py --write phantoms                   only write the volumes and their tables
    python benchmarks/nodules.py --memory [model]                   peak memory of a search in 512 x 512 x 300 voxels

The volumes are NIfTI files, the nodules are given as LUNA16 gives them (centre in mm and diameter). Training,
prediction and scoring are those of the command line.
"""

import argparse
import csv
import json
import logging
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_medseg.data.boxes import Sphere, find_boxed
from napari_medseg.data.boxes.opening import boxes_on
from napari_medseg.evaluate.boxes import BoxPairs, renamed
from napari_medseg.evaluate.detection import evaluate_detection
from napari_medseg.evaluate.matching import iou_matrix
from napari_medseg.inference.detection.detect import detect, detect_files
from napari_medseg.inference.detection.options import DetectOptions
from napari_medseg.io import write
from napari_medseg.models import Bundle
from napari_medseg.prediction import Prediction
from napari_medseg.progress import Control, EpochEnd, Finished
from napari_medseg.training import train
from napari_medseg.training.detection import DetectionConfig, create_detection
from napari_medseg.volume import Geometry, Volume

SHAPE = (64, 112, 112)
SPACING_MM = (1.5, 1.2, 1.2)
DIAMETERS_MM = (5.0, 14.0)
LUNG_HU, TISSUE_HU, NOISE_HU = -820.0, 40.0, 35.0
TRAIN, TEST = 28, 16
LARGE = (300, 512, 512)
SURE = 0.5
"""Score of the boxes whose edges are compared with the truth."""
log = logging.getLogger("nodules")


def geometry_of(shape: tuple[int, ...], seed: int) -> Geometry:
    """Return a grid that lies as those of scanners do: (z, y, x) towards superior, posterior and left, moved."""
    affine = np.zeros((4, 4))
    affine[:3, :3] = np.array([[0, 0, -SPACING_MM[2]], [0, -SPACING_MM[1], 0], [SPACING_MM[0], 0, 0]])
    affine[:, 3] = [*np.random.default_rng([seed, 7]).uniform(-150, 150, 3), 1]
    return Geometry(shape, affine)


def phantom(seed: int, shape: tuple[int, ...] = SHAPE) -> tuple[Volume, list[Sphere]]:
    """Return a CT of a lung with nodules, and where they are.

    Vessels are tubes as bright and as thick as nodules, straight or bent, and cross each other; a slice of one is as
    round as a nodule.

    Parameters
    ----------
    seed : int
        Everything random follows from it.
    shape : tuple of int
        Voxels along (z, y, x).
    """
    rng = np.random.default_rng(seed)
    geometry = geometry_of(shape, seed)
    spacing = np.array(SPACING_MM)
    grid = np.stack(np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, spacing, strict=True)), indexing="ij"), -1)
    grid = grid.astype(np.float32)
    solid = np.zeros(shape, np.float32)
    size = np.array(shape) * spacing
    for _ in range(round(14 * size.prod() / (96 * 134 * 134))):
        _add_vessel(solid, grid, size, rng)
    spheres, centres = [], np.empty((0, 3))
    while len(spheres) < rng.integers(3, 6) or not spheres:
        radius = rng.uniform(*DIAMETERS_MM) / 2
        middle = rng.uniform(radius + 4, size - radius - 4)
        if len(centres) and np.linalg.norm(centres - middle, axis=1).min() < 25:
            continue
        centres = np.concatenate([centres, middle[None]])
        _add_ball(solid, grid, middle, radius, rng.uniform(0.7, 1.0))
        x, y, z = (geometry @ (middle / spacing)) * [-1, -1, 1]
        spheres.append(Sphere((float(x), float(y), float(z)), float(2 * radius)))
    # A wall, as every lung has one.
    solid = np.maximum(solid, np.clip((5 - grid[..., 2]) / SPACING_MM[2] + 0.5, 0, 1))
    noise = ndimage.gaussian_filter(rng.normal(0, 1, shape).astype(np.float32), 0.6)
    values = LUNG_HU + (TISSUE_HU - LUNG_HU) * solid + NOISE_HU / noise.std() * noise
    data = np.round(values).astype(np.int16)
    return Volume(data, geometry, name=f"phantom {seed}", modality="CT", units="HU"), spheres


def _add_ball(
    solid: NDArray[np.float32], grid: NDArray[np.float32], middle: NDArray[np.float64], radius: float, bright: float
) -> None:
    """Add a ball whose border runs through voxels as far as it covers them."""
    spacing = np.array(SPACING_MM)
    low = np.maximum(np.floor((middle - radius) / spacing) - 2, 0).astype(int)
    high = np.ceil((middle + radius) / spacing).astype(int) + 3
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    away = np.linalg.norm(grid[box] - middle.astype(np.float32), axis=-1)
    cover = np.clip((radius - away) / spacing.mean() + 0.5, 0, 1) * bright
    solid[box] = np.maximum(solid[box], cover)


def _add_vessel(
    solid: NDArray[np.float32], grid: NDArray[np.float32], size: NDArray[np.float64], rng: np.random.Generator
) -> None:
    """Add a tube along a bent line through the volume."""
    place, way = rng.uniform(0.1, 0.9, 3) * size, rng.normal(0, 1, 3)
    radius, bright = rng.uniform(1.0, 4.0), rng.uniform(0.6, 1.0)
    bend = rng.normal(0, 0.03, 3)
    for direction in (1, -1):
        point, heading = place.copy(), direction * way / np.linalg.norm(way)
        while ((point > -radius) & (point < size + radius)).all():
            _add_ball(solid, grid, np.clip(point, 0, size - 1), radius, bright)
            heading = heading + bend * direction
            heading /= np.linalg.norm(heading)
            point = point + heading * max(radius / 2, 1.0)


def write_set(folder: Path, seeds: range) -> tuple[Path, Path]:
    """Write phantoms and their table; return the folder of images and the table."""
    images, table = folder / "images", folder / "annotations.csv"
    images.mkdir(parents=True, exist_ok=True)
    rows = [["seriesuid", "coordX", "coordY", "coordZ", "diameter_mm"]]
    for seed in seeds:
        volume, spheres = phantom(seed)
        name = f"phantom{seed:04}"
        write(volume, images / f"{name}.nii.gz")
        rows += [[name, *(f"{v:.6f}" for v in (*s.centre_lps_mm, s.diameter_mm))] for s in spheres]
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return images, table


def box_errors(pairs: BoxPairs) -> NDArray[np.float64]:
    """Return how far each edge of the sure boxes is from the nodule's, in voxels."""
    errors = []
    for name, truth in pairs.truth.items():
        found = pairs.predicted[name].chosen(pairs.predicted[name].scores >= SURE)
        shared = iou_matrix(truth.edges, found.edges)
        for number in np.flatnonzero(shared.max(axis=1, initial=0) > 0.1):
            errors.append(np.abs(found.edges[shared[number].argmax()] - truth.edges[number]).ravel())
    return np.concatenate(errors) if errors else np.empty(0)


def score(bundle: Bundle, images: Path, table: Path, device: str) -> dict[str, Any]:
    """Return scores and errors on the phantoms of a table."""
    boxed = find_boxed(images, table)
    *_, done = detect_files(boxed.paths, boxed.names, bundle, DetectOptions(device=device), Control())
    assert isinstance(done, Finished)
    boxes, _shapes = done.result  # type: ignore[misc]
    truth = {name: boxes_on(boxed, number) for number, name in enumerate(boxed.names)}
    classes = boxed.source.classes
    pairs = BoxPairs(classes, {name: renamed(found, classes) for name, found in boxes.items()}, truth)
    report = evaluate_detection(pairs)
    errors = box_errors(pairs)
    return {
        **report.scores,
        "intervals": {name: (i.low, i.high) for name, i in report.intervals.items()},
        "sensitivity": report.classes["nodule"].sensitivity,
        "edge_error_voxels": {"mean": float(errors.mean()), "p95": float(np.quantile(errors, 0.95))},
        "nodules": report.classes["nodule"].boxes,
    }


def one_run(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train on phantoms and score on others."""
    sources = write_set(folder / "train", range(arguments.train))
    config = DetectionConfig(minutes=arguments.minutes, device=arguments.device, clock=arguments.clock)
    *_, made = create_detection(folder / "run", sources, config)
    assert isinstance(made, Finished)
    for event in train(made.result):  # type: ignore[arg-type]
        if isinstance(event, EpochEnd):
            log.info("step %d, %.0f s: loss %.3f %s", event.step, event.seconds, event.loss, event.scores)
    bundle = Bundle.load(folder / "run" / "bundle")
    if arguments.keep:
        bundle.save(arguments.keep)
    test = write_set(folder / "test", range(10_000, 10_000 + arguments.test))
    return score(bundle, *test, arguments.device)


def memory(bundle: Bundle, device: str) -> dict[str, float]:
    """Return the peak memory of a search in a large volume, above that of the volume, in GB."""
    small, _spheres = phantom(99)
    repeats = [-(-n // m) for n, m in zip(LARGE, small.data.shape, strict=True)]
    data = np.tile(np.asarray(small.data), repeats)[tuple(slice(n) for n in LARGE)].copy()
    volume = Volume(data, geometry_of(LARGE, 99), modality="CT", units="HU")
    # From here on the kernel counts the peak anew.
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    *_, done = detect(volume, bundle, DetectOptions(device=device))
    assert isinstance(done, Finished)
    peak = _status("VmHWM")
    prediction = done.result
    assert isinstance(prediction, Prediction)
    sure = int((prediction.boxes.scores >= SURE).sum())
    return {
        "gb_above": (peak - before) / 1e6,
        "gb_image": data.nbytes / 1e9,
        "seconds": prediction.seconds,
        "sure": sure,
    }


def _status(name: str) -> int:
    """Return a figure of this process in kB, as Linux tells it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def quick_model(folder: Path, device: str) -> None:
    """Write a model that learnt for a few seconds: its memory is that of any other.

    In a process of its own, as memory that a training has had would hide what the search needs.
    """
    config = DetectionConfig(minutes=None, epochs=2, hold_out=0, device=device)
    *_, made = create_detection(folder / "run", write_set(folder / "train", range(2)), config)
    assert isinstance(made, Finished)
    for _event in train(made.result):  # type: ignore[arg-type]
        pass


def main(words: list[str]) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall", help="what the minutes are of")
    parser.add_argument("--train", type=int, default=TRAIN, help="phantoms to learn from")
    parser.add_argument("--test", type=int, default=TEST, help="phantoms to score on")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--write", type=Path, help="write the phantoms here, and stop")
    parser.add_argument("--keep", type=Path, help="keep the model here")
    parser.add_argument("--memory", nargs="?", const="", help="measure the memory of this model, or of one made for it")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if arguments.write:
        write_set(arguments.write / "train", range(arguments.train))
        write_set(arguments.write / "test", range(10_000, 10_000 + arguments.test))
        return
    with TemporaryDirectory() as folder:
        if arguments.memory is None:
            found: dict[str, Any] = one_run(Path(folder), arguments)
        else:
            if not arguments.memory:
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                    pool.submit(quick_model, Path(folder), arguments.device).result()
            model = Path(arguments.memory or Path(folder) / "run" / "bundle")
            found = memory(Bundle.load(model), arguments.device)
    log.info("%s", json.dumps(found, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
