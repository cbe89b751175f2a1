"""How much noise is removed: known noise at three levels, against non-local means, total variation and BM4D.

Gaussian noise of 2, 5 and 10 % of the range is added to the middle slices of MNI152 T1; PSNR, SSIM and HFEN are taken
against the image as it was, with the time beside it. Every method but Noise2Void is told how strong the noise is, as
BM4D has to be. BM4D takes part where the user has installed the package bm4d, whose licence is for non-commercial use
only; it is no part of napari-medseg.

    python benchmarks/denoise.py --json denoise.json                     # about half an hour
    python benchmarks/denoise.py --json denoise.json --slices 24 --levels 5 --steps 600

What is in the JSON file is not repeated unless the settings have changed, so the levels may be run one after the other.
With ``--clock processor`` minutes are those that the processor works, over all threads.
"""

import argparse
import importlib.util
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_medseg import read
from napari_medseg.evaluate.images import compare
from napari_medseg.progress import Control, Finished
from napari_medseg.training.restoration.jobs import enhance
from napari_medseg.volume import Geometry, Volume

OURS = "denoise (from the image itself)"
Image = NDArray[np.float32]


def truth(slices: int) -> Image:
    """Return the middle slices of MNI152 T1."""
    import nilearn.datasets

    folder = Path(nilearn.datasets.__file__).parent / "data"
    (volume,) = read(folder / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz")
    image = np.asarray(volume.data, np.float32)
    first = max(0, (len(image) - slices) // 2)
    return image[first : first + slices]


def ways(sigma: float, options: argparse.Namespace) -> dict[str, Callable[[Image], Image]]:
    """Return the methods by name."""
    budget = {"minutes": options.minutes, "clock": options.clock}
    budget = {"minutes": None, "steps": options.steps} if options.steps else budget
    known = {"level": sigma}
    found: dict[str, Callable[[Image], Image]] = {
        "noisy": lambda noisy: noisy,
        "non-local means": partial(ours, "nlm", known),
        "total variation": partial(ours, "tv", known),
        OURS: partial(ours, "denoise", budget | known),
        "Noise2Void": partial(ours, "denoise", {**budget, "learning": "noise2void"}),
    }
    if importlib.util.find_spec("bm4d") is not None:
        found["BM4D"] = partial(bm4d, sigma)
    return {name: way for name, way in found.items() if options.methods is None or name in options.methods}


def ours(method: str, settings: dict[str, Any], noisy: Image) -> Image:
    """Return what the package makes of an image."""
    volume = Volume(noisy, Geometry(noisy.shape, np.eye(4)))
    events = enhance(volume, method, settings, Control())
    restored, _network = next(event.result for event in events if isinstance(event, Finished))  # type: ignore[misc]
    return np.asarray(restored.image.data, np.float32)


def bm4d(sigma: float, noisy: Image) -> Image:
    """Return what BM4D makes of an image."""
    from bm4d import bm4d as run

    return np.asarray(run(noisy, sigma), np.float32)


def main() -> None:
    """Run what was asked for, print each cell, and write all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file for all cells and the gains; cells that are in it are kept")
    parser.add_argument("--levels", nargs="*", type=float, default=[2, 5, 10], help="percent of the range")
    parser.add_argument("--methods", nargs="*", help="only these, by name")
    parser.add_argument("--slices", type=int, default=64, help="slices that take part")
    parser.add_argument("--minutes", type=float, default=3, help="for each network, all in all")
    parser.add_argument("--steps", type=int, help="instead, steps of learning: the same on any machine")
    parser.add_argument("--clock", choices=["wall", "processor"], default="wall", help="what the minutes are of")
    options = parser.parse_args()
    image = truth(options.slices)
    known = options.json is not None and options.json.is_file()
    cells: list[dict[str, Any]] = json.loads(options.json.read_text())["cells"] if known else []
    for level in options.levels:
        sigma = level / 100 * float(np.ptp(image))
        noisy = image + np.random.default_rng(0).normal(0, sigma, image.shape).astype(np.float32)
        for name, way in ways(sigma, options).items():
            learns = name in (OURS, "Noise2Void")
            budget = f"{options.steps} steps" if options.steps else f"{options.minutes:g} {options.clock} minutes"
            part = f"{name}, {level:g} %, {options.slices} slices{f', {budget}' if learns else ''}"
            if any(cell["part"] == part for cell in cells):
                continue
            started, cpu = time.monotonic(), time.process_time()
            found = way(noisy)
            timed = {"seconds": time.monotonic() - started, "cpu_seconds": time.process_time() - cpu}
            cells.append({"part": part, "level": level, "method": name, **compare(found, image), **timed})
            print(json.dumps(cells[-1]), flush=True)
            if options.json is not None:
                options.json.write_text(json.dumps({"cells": cells, "gain_db_over": gains(cells)}, indent=1))
    print(json.dumps({"gain_db_over": gains(cells)}))


def gains(cells: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the gain in dB of the network over each rival, by level of noise."""
    found: dict[str, dict[str, float]] = {}
    scores = {(cell["method"], cell["level"]): cell["psnr"] for cell in cells}
    for (method, level), psnr in scores.items():
        if method in ("noisy", "non-local means", "BM4D") and (OURS, level) in scores:
            found.setdefault(method, {})[f"{level:g}"] = scores[OURS, level] - psnr
    return found


if __name__ == "__main__":
    main()
