"""How much finer images get: degraded volumes made fine again, by interpolation, from the volume itself, from a set.

Every volume is made coarse across its slices with a Gaussian profile, as wide at half maximum as slices are apart;
slice pairs of the hippocampus are averaged at 2x. The code for it is independent of the package. Then PSNR, SSIM and
HFEN are taken against the volume as it was, over the whole volume.

    python benchmarks/superres.py --json superres.json                 # all; some minutes per cell
    python benchmarks/superres.py --volumes mni --factors 3 --minutes 4
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_medseg import read
from napari_medseg.evaluate.images import compare
from napari_medseg.inference.restoration.finer import refine
from napari_medseg.inference.restoration.options import FinerOptions, OwnOptions
from napari_medseg.models import Bundle
from napari_medseg.progress import Finished
from napari_medseg.training import RunFolder, train
from napari_medseg.training.restoration.config import SuperResolutionConfig
from napari_medseg.training.restoration.own import refine_own
from napari_medseg.training.restoration.request import create_restoration
from napari_medseg.volume import Geometry, Volume

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SEGMENTED, NETWORK = "t1_256", "model5_gw_ae"
"""Volume and network for the overlap of labels."""
METHODS = ("self-supervised", "from a set")
"""Ours; all others are interpolations."""
Image = NDArray[np.float32]


def places() -> dict[str, Path]:
    """Return the volumes that are here, by name."""
    import nilearn.datasets

    own = Path(nilearn.datasets.__file__).parent / "data"
    found = {"mni": own / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"}
    folder = Path(os.environ.get("MEDSEG_TEST_DATA", SHARED)) / "demo-nifti"
    found |= {
        "t1_256": folder / "brainchop_t1_256.nii.gz",
        "chris_t1": folder / "niivue_chris_t1.nii.gz",
        "mr_gd": folder / "niivue_MR_Gd.nii.gz",
        "ct_angio": folder / "niivue_CT_AVM.nii.gz",
    }
    return {name: path for name, path in found.items() if path.is_file()}


def network_file() -> Path:
    """Return the description of the network for the overlap of labels."""
    return Path(os.environ.get("MEDSEG_TEST_DATA", SHARED)) / "weights" / "brainchop-meshnet" / f"{NETWORK}.json"


def slices_of(fine: Image, factor: int) -> Image:
    """Return thick slices with a Gaussian profile along the first axis."""
    sigma = factor / (2 * np.sqrt(2 * np.log(2)))
    at = np.arange(len(fine))
    rows = []
    for number in range(len(fine) // factor):
        weights = np.exp(-0.5 * ((at - (number + 0.5) * factor + 0.5) / sigma) ** 2)
        rows.append(np.tensordot(weights / weights.sum(), fine, 1))
    return np.stack(rows).astype(np.float32)


def interpolations(thick: Image, factor: int) -> Iterator[tuple[str, Image]]:
    """Yield what interpolation makes of thick slices, by name."""
    import SimpleITK as sitk  # noqa: N813

    zoom = (factor, 1, 1)
    yield "cubic spline", ndimage.zoom(thick, zoom, order=3, mode="nearest", grid_mode=True)
    image = sitk.GetImageFromArray(thick)
    image.SetSpacing((1.0, 1.0, float(factor)))
    size = [*reversed(thick.shape[1:]), len(thick) * factor]
    for name, method in (("SimpleITK B-spline", sitk.sitkBSpline), ("SimpleITK Lanczos", sitk.sitkLanczosWindowedSinc)):
        first, unit = (0.0, 0.0, 0.5 - factor / 2), (1.0, 1.0, 1.0)
        done = sitk.Resample(image, size, sitk.Transform(), method, first, unit, image.GetDirection(), 0.0)
        values = sitk.GetArrayFromImage(done)
        # Outside the outer slices' centres ITK gives nothing: the nearest slice stays, as in the spline.
        inside = np.clip(np.arange(len(values)), factor // 2, len(values) - 1 - factor // 2)
        yield name, values[inside]


def finished(events: Iterator[object]) -> Any:
    """Return what a job ends with."""
    return next(event.result for event in events if isinstance(event, Finished))


def self_supervised(thick: Image, factor: int, options: argparse.Namespace) -> tuple[Image, dict[str, float]]:
    """Return what the package makes of one volume alone."""
    volume = Volume(thick, Geometry(thick.shape, np.diag([factor, 1, 1, 1])))
    budget = {"minutes": None, "steps": options.steps} if options.steps else {"minutes": options.minutes}
    result, _bundle = finished(refine_own(volume, OwnOptions(factor=factor, **budget)))
    return np.asarray(result.image.data, np.float32), result.report


def cells(name: str, path: Path, factor: int, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the scores of each method on one volume."""
    (volume,) = read(path)
    fine = np.asarray(volume.data, np.float32)
    fine = fine[: len(fine) // factor * factor]
    thick = slices_of(fine, factor)
    about = {"data": name, "factor": factor}
    for method, image in interpolations(thick, factor):
        yield {**about, "method": method, **compare(image, fine)}
    started, cpu = time.monotonic(), time.process_time()
    image, report = self_supervised(thick, factor, options)
    timed = {"seconds": time.monotonic() - started, "cpu_seconds": time.process_time() - cpu}
    yield {**about, "method": "self-supervised", **compare(image, fine), **timed, "report": report}
    if name == SEGMENTED and network_file().is_file():
        yield from dice_cells(about, (fine, volume), dict(interpolations(thick, factor)) | {"self-supervised": image})


def dice_cells(
    about: dict[str, Any], truth: tuple[Image, Volume], images: dict[str, Image]
) -> Iterator[dict[str, Any]]:
    """Yield the Dice between a fixed network's labels on the true image and on each of the others."""
    from napari_medseg.inference import predict
    from napari_medseg.models.importing import import_brainchop

    fine, volume = truth
    assert volume.geometry is not None
    grid = volume.geometry.cropped((0, 0, 0), fine.shape)
    bundle = import_brainchop(network_file())

    def labels(image: Image) -> NDArray[np.integer]:
        found = finished(predict(Volume(image, grid), bundle)).label_map.labels
        return np.asarray(found)

    right = labels(fine)
    for method, image in images.items():
        found = labels(image)
        classes = [k for k in np.unique(right) if k]
        dice = [2 * np.sum((right == k) & (found == k)) / np.sum((right == k) * 1 + (found == k)) for k in classes]
        yield {**about, "method": method, "network": NETWORK, "dice": float(np.mean(dice))}


def hippocampus(factor: int, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the scores on held-out cases of slice pairs made single again, by a model from the training cases."""
    folder = Path(os.environ.get("MEDSEG_TEST_DATA", SHARED)) / "seg3d-hippocampus"
    split = json.loads((folder / "split.json").read_text())
    files = {path.name.split(".")[0]: path for path in sorted(folder.glob("images*/*.nii.gz"))}
    cases = {part: [files[str(name).split("/")[-1].split(".")[0]] for name in split[part]] for part in ("train", "val")}
    run = RunFolder(Path(options.work) / f"hippocampus-x{factor}")
    profile = "box" if factor == 2 else "gaussian"
    if not run.bundle.is_dir():
        budget = (
            {"minutes": None, "steps": options.set_steps} if options.set_steps else {"minutes": options.set_minutes}
        )
        config = SuperResolutionConfig(factor=(factor, 1, 1), profile=profile, **budget)
        finished(create_restoration(run.path, cases["train"], config))
        finished(train(run))
    bundle = Bundle.load(run.bundle)
    yield from averaged(cases["val"], factor, bundle, profile)


def averaged(paths: list[Path], factor: int, bundle: Bundle, profile: str) -> Iterator[dict[str, Any]]:
    """Yield the mean scores of each method over cases."""
    scores: dict[str, list[dict[str, float]]] = {}
    for path in paths:
        (volume,) = read(path)
        assert volume.geometry is not None
        fine = np.asarray(volume.data, np.float32)
        axis = "IS".find(volume.geometry.axcodes[0])
        assert axis >= 0, "the first axis runs along the body"
        fine = fine[: len(fine) // factor * factor]
        thick = fine.reshape(-1, factor, *fine.shape[1:]).mean(1) if profile == "box" else slices_of(fine, factor)
        for name, image in interpolations(thick, factor):
            scores.setdefault(name, []).append(compare(image, fine))
        coarse = Volume(thick, Geometry(thick.shape, np.diag([1.0, 1, factor, 1])[:, [2, 1, 0, 3]]))
        result = finished(refine(coarse, bundle, FinerOptions(views=4)))
        scores.setdefault("from a set", []).append(compare(np.asarray(result.image.data, np.float32), fine))
    for name, each in scores.items():
        means = {key: float(np.mean([one[key] for one in each])) for key in each[0]}
        yield {"data": "hippocampus", "cases": len(each), "factor": factor, "method": name, **means}


def gain(found: list[dict[str, Any]], method: str, factor: int) -> float | None:
    """Return the mean gain in dB of a method over the best interpolation of the same data; None if it did not run."""
    scored = [cell for cell in found if "psnr" in cell and cell["factor"] == factor]
    gains = []
    for cell in scored:
        if cell["method"] == method:
            rivals = [one for one in scored if one["data"] == cell["data"] and one["method"] not in METHODS]
            gains.append(cell["psnr"] - max(one["psnr"] for one in rivals))
    return float(np.mean(gains)) if gains else None


def main() -> None:
    """Run what was asked for, print each cell, and write all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file for all cells and the gains")
    parser.add_argument("--volumes", nargs="*", default=["mni", "t1_256", "chris_t1"], help="which; none to leave out")
    parser.add_argument("--factors", nargs="*", type=int, default=[2, 3, 4])
    parser.add_argument("--minutes", type=float, default=4.5, help="for each self-supervised cell, all in all")
    parser.add_argument("--steps", type=int, help="instead, steps of learning: the same on any machine")
    parser.add_argument("--set-factors", nargs="*", type=int, default=[2, 3], help="of the hippocampus")
    parser.add_argument("--set-minutes", type=float, default=10, help="to train on the set")
    parser.add_argument("--set-steps", type=int, help="instead, steps")
    parser.add_argument("--work", default="superres-runs", help="folder for models that are trained on a set")
    options = parser.parse_args()
    found: list[dict[str, Any]] = []
    for cell in everything(options):
        found.append(cell)
        print(json.dumps(cell))
        gains = {"self_supervised_3x": gain(found, METHODS[0], 3), "from_set_3x": gain(found, METHODS[1], 3)}
        others = {"self_supervised_2x": gain(found, METHODS[0], 2), "from_set_2x": gain(found, METHODS[1], 2)}
        report = {"cells": found, "gain_db_over_best_interpolation": gains | others}
        if options.json is not None:
            options.json.write_text(json.dumps(report, indent=1))
    print(json.dumps(report["gain_db_over_best_interpolation"]) if found else "nothing was asked for")


def everything(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield all cells."""
    known = places()
    for name in options.volumes:
        for factor in options.factors:
            yield from cells(name, known[name], factor, options)
    for factor in options.set_factors:
        yield from hippocampus(factor, options)


if __name__ == "__main__":
    main()
