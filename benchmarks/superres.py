"""How much finer images get: degraded volumes made fine again, by interpolation, from the volume itself, from a set.

Every volume is made coarse across its slices with a Gaussian profile, as wide at half maximum as slices are apart;
slice pairs of the hippocampus are averaged at 2x. The code for it is independent of the package. Then PSNR, SSIM and
HFEN are taken against the volume as it was, over the whole volume.

    python benchmarks/superres.py --json superres.json                      # all: about three hours
    python benchmarks/superres.py --json superres.json --volumes mni --factors 3 --minutes 4
    python benchmarks/superres.py --json superres.json --volumes --set-factors 2 --set-minutes 8

A part takes its minutes for learning and one or two more. What is in the JSON file is not repeated unless the settings
have changed, so the parts may be run one after the other. With ``--clock processor`` minutes are those that the
processor works, over all threads: on a busy machine, or with one thread, the same comes out as on a quiet one.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_medseg import read
from napari_medseg.evaluate.images import compare
from napari_medseg.inference.restoration.finer import refine
from napari_medseg.inference.restoration.options import OwnOptions
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
FACTORS = (3, 2, 4)
"""Times finer, in the order in which they are measured."""
GAIN = "gain_db_over_best_interpolation"
Image = NDArray[np.float32]
Cell = dict[str, Any]


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


def coarse_volume(thick: Image, factor: int) -> Volume:
    """Return thick slices across head-feet as a volume."""
    return Volume(thick, Geometry(thick.shape, np.diag([1.0, 1, factor, 1])[:, [2, 1, 0, 3]]))


def degraded(path: Path, factor: int) -> tuple[Image, Image, Volume]:
    """Return a volume's values, cut to whole slices, the thick slices of it, and the volume."""
    (volume,) = read(path)
    fine = np.asarray(volume.data, np.float32)
    fine = fine[: len(fine) // factor * factor]
    return fine, slices_of(fine, factor), volume


def budget(minutes: float, steps: int | None, options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of how long to learn."""
    return {"minutes": None, "steps": steps} if steps else {"minutes": minutes, "clock": options.clock}


def plain_cells(name: str, path: Path, factor: int) -> Iterator[Cell]:
    """Yield the scores of the interpolations of one volume."""
    fine, thick, _ = degraded(path, factor)
    for method, image in interpolations(thick, factor):
        yield {"data": name, "factor": factor, "method": method, **compare(image, fine)}


def own_cells(name: str, path: Path, factor: int, options: argparse.Namespace) -> Iterator[Cell]:
    """Yield what the package makes of one volume alone."""
    fine, thick, volume = degraded(path, factor)
    started, cpu = time.monotonic(), time.process_time()
    settings = OwnOptions(factor=factor, **budget(options.minutes, options.steps, options))
    result, _bundle = finished(refine_own(coarse_volume(thick, factor), settings))
    image = np.asarray(result.image.data, np.float32)
    timed = {"seconds": time.monotonic() - started, "cpu_seconds": time.process_time() - cpu}
    about = {"data": name, "factor": factor}
    yield {**about, "method": METHODS[0], **compare(image, fine), **timed, "report": result.report}
    if name == SEGMENTED and factor in options.dice_factors and network_file().is_file():
        spline = next(interpolations(thick, factor))
        yield from dice_cells(about, (fine, volume), {spline[0]: spline[1], METHODS[0]: image})


def dice_cells(about: Cell, truth: tuple[Image, Volume], images: dict[str, Image]) -> Iterator[Cell]:
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


def model_of(name: str, images: list[Path], config: SuperResolutionConfig, options: argparse.Namespace) -> Bundle:
    """Return a model that learned from images; one that is there already is not trained again."""
    run = RunFolder(Path(options.work) / name)
    if not run.bundle.is_dir():
        if not run.config.exists():
            finished(create_restoration(run.path, images, config))
        finished(train(run, resume=run.last.exists()))
    return Bundle.load(run.bundle)


def other_cells(name: str, path: Path, factor: int, options: argparse.Namespace) -> Iterator[Cell]:
    """Yield what a model makes of one volume that learned from the other ones."""
    others = [other for key, other in places().items() if key in options.set_volumes and key != name]
    config = SuperResolutionConfig(
        factor=(factor, 1, 1), **budget(options.set_minutes, options.set_steps, options), hold_out=0
    )
    bundle = model_of(f"others-{name}-x{factor}", others, config, options)
    fine, thick, _ = degraded(path, factor)
    result = finished(refine(coarse_volume(thick, factor), bundle))
    image = np.asarray(result.image.data, np.float32)
    yield {"data": name, "factor": factor, "method": METHODS[1], **compare(image, fine), "report": result.report}


def hippocampus(factor: int, options: argparse.Namespace) -> Iterator[Cell]:
    """Yield the scores on held-out cases of thick slices made thin again, by a model from the training cases."""
    folder = Path(os.environ.get("MEDSEG_TEST_DATA", SHARED)) / "seg3d-hippocampus"
    split = json.loads((folder / "split.json").read_text())
    files = {path.name.split(".")[0]: path for path in sorted(folder.glob("images*/*.nii.gz"))}
    cases = {part: [files[str(name).split("/")[-1].split(".")[0]] for name in split[part]] for part in ("train", "val")}
    profile = "box" if factor == 2 else "gaussian"
    config = SuperResolutionConfig(
        factor=(factor, 1, 1), profile=profile, **budget(options.set_minutes, options.set_steps, options)
    )
    bundle = model_of(f"hippocampus-x{factor}", cases["train"], config, options)
    yield from averaged(cases["val"], factor, bundle, profile)


def averaged(paths: list[Path], factor: int, bundle: Bundle, profile: str) -> Iterator[Cell]:
    """Yield the mean scores of each method over cases."""
    scores: dict[str, list[dict[str, float]]] = {}
    for path in paths:
        fine, thick, volume = degraded(path, factor)
        assert volume.geometry is not None
        assert volume.geometry.axcodes[0] in "IS", "the first axis runs along the body"
        if profile == "box":
            thick = fine.reshape(-1, factor, *fine.shape[1:]).mean(1)
        for name, image in interpolations(thick, factor):
            scores.setdefault(name, []).append(compare(image, fine))
        result = finished(refine(coarse_volume(thick, factor), bundle))
        scores.setdefault(METHODS[1], []).append(compare(np.asarray(result.image.data, np.float32), fine))
    for name, each in scores.items():
        means = {key: float(np.mean([one[key] for one in each])) for key in each[0]}
        yield {"data": "hippocampus", "cases": len(each), "factor": factor, "method": name, **means}


def gain(found: list[Cell], method: str, factor: int) -> float | None:
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
    parser.add_argument("--json", type=Path, help="file for all cells and the gains; parts that are in it are kept")
    parser.add_argument("--volumes", nargs="*", default=["mni", "t1_256", "chris_t1"], help="which; none to leave out")
    parser.add_argument("--factors", nargs="*", type=int, default=FACTORS)
    parser.add_argument("--minutes", type=float, default=4.5, help="for each self-supervised cell, all in all")
    parser.add_argument("--steps", type=int, help="instead, steps of learning: the same on any machine")
    parser.add_argument("--dice-factors", nargs="*", type=int, default=[3], help="for the overlap of labels")
    parser.add_argument(
        "--set-volumes", nargs="*", default=["mni", "t1_256", "chris_t1"], help="each is made fine from the others"
    )
    parser.add_argument("--set-volume-factors", nargs="*", type=int, default=FACTORS)
    parser.add_argument("--set-factors", nargs="*", type=int, default=[3, 2], help="of the hippocampus")
    parser.add_argument("--set-minutes", type=float, default=10, help="to train on a set")
    parser.add_argument("--set-steps", type=int, help="instead, steps")
    parser.add_argument("--clock", choices=["wall", "processor"], default="wall", help="what the minutes are of")
    parser.add_argument("--work", default="superres-runs", help="folder for models that are trained on a set")
    options = parser.parse_args()
    known = options.json is not None and options.json.is_file()
    found: list[Cell] = json.loads(options.json.read_text())["cells"] if known else []
    for part, cells in parts(options):
        if any(cell["part"] == part for cell in found):
            continue
        for cell in cells():
            found.append({"part": part, **cell})
            print(json.dumps(found[-1]), flush=True)
        if options.json is not None:
            options.json.write_text(json.dumps({"cells": found, GAIN: gains(found)}, indent=1))
    print(json.dumps({GAIN: gains(found)}))


def gains(found: list[Cell]) -> dict[str, float | None]:
    """Return the mean gains in dB over the best interpolation of the same data."""
    named = zip(("self_supervised", "from_set"), METHODS, strict=True)
    return {f"{name}_{factor}x": gain(found, method, factor) for name, method in named for factor in sorted(FACTORS)}


def parts(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Iterator[Cell]]]]:
    """Yield what was asked for: the name of each part, with its settings, and what makes its cells."""
    known = places()
    own = f"{options.steps} steps" if options.steps else f"{options.minutes:g} {options.clock} minutes"
    of_set = f"{options.set_steps} steps" if options.set_steps else f"{options.set_minutes:g} {options.clock} minutes"
    for factor in FACTORS:
        for name in options.volumes if factor in options.factors else ():
            yield f"{name} x{factor} interpolated", partial(plain_cells, name, known[name], factor)
            yield f"{name} x{factor} alone, {own}", partial(own_cells, name, known[name], factor, options)
        if factor in options.set_factors:
            yield f"hippocampus x{factor}, {of_set}", partial(hippocampus, factor, options)
    for factor in FACTORS if len(options.set_volumes) > 1 else ():
        for name in options.set_volumes if factor in options.set_volume_factors else ():
            yield f"{name} x{factor} from others, {of_set}", partial(other_cells, name, known[name], factor, options)


if __name__ == "__main__":
    main()
