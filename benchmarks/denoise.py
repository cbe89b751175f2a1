"""How much noise is removed: known noise at three levels, against non-local means, total variation and BM4D.

Gaussian noise of 2, 5 and 10 % of the range is added to the middle slices of MNI152 T1; PSNR, SSIM and HFEN are taken
against the image as it was, with the time beside it. BM4D takes part where the user has installed the package bm4d,
whose licence is for non-commercial use only; it is no part of napari-medseg.

    python benchmarks/denoise.py --json denoise.json
    python benchmarks/denoise.py --slices 24 --levels 5 --steps 600
"""

import argparse
import importlib.util
import json
import time
from collections.abc import Iterator
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


def methods(noisy: Image, options: argparse.Namespace) -> Iterator[tuple[str, Image, float]]:
    """Yield what each method makes of an image, with its name and seconds."""
    volume = Volume(noisy, Geometry(noisy.shape, np.eye(4)))
    budget = {"minutes": None, "steps": options.steps} if options.steps else {"minutes": options.minutes}
    ways: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("non-local means", "nlm", {}),
        ("total variation", "tv", {}),
        (OURS, "denoise", budget),
        ("Noise2Void", "denoise", {**budget, "learning": "noise2void"}),
    )
    for name, method, settings in ways:
        started = time.monotonic()
        events = enhance(volume, method, settings, Control())
        restored, _network = next(event.result for event in events if isinstance(event, Finished))  # type: ignore[misc]
        yield name, np.asarray(restored.image.data, np.float32), time.monotonic() - started
    if importlib.util.find_spec("bm4d") is not None:
        from bm4d import bm4d

        started = time.monotonic()
        yield "BM4D", np.asarray(bm4d(noisy, options.sigma), np.float32), time.monotonic() - started


def main() -> None:
    """Run what was asked for, print each cell, and write all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file for all cells and the gains")
    parser.add_argument("--levels", nargs="*", type=float, default=[2, 5, 10], help="percent of the range")
    parser.add_argument("--slices", type=int, default=64, help="slices that take part")
    parser.add_argument("--minutes", type=float, default=3, help="for each network, all in all")
    parser.add_argument("--steps", type=int, help="instead, steps of learning: the same on any machine")
    options = parser.parse_args()
    image = truth(options.slices)
    cells: list[dict[str, Any]] = []
    for level in options.levels:
        options.sigma = level / 100 * float(np.ptp(image))
        noisy = image + np.random.default_rng(0).normal(0, options.sigma, image.shape).astype(np.float32)
        cells.append({"level": level, "method": "noisy", **compare(noisy, image)})
        for name, found, seconds in methods(noisy, options):
            cells.append({"level": level, "method": name, **compare(found, image), "seconds": seconds})
            print(json.dumps(cells[-1]))
    gains = {
        rival: {str(level): _psnr(cells, OURS, level) - _psnr(cells, rival, level) for level in options.levels}
        for rival in ("non-local means", "BM4D")
        if any(cell["method"] == rival for cell in cells)
    }
    print(json.dumps({"gain_db_over": gains}))
    if options.json is not None:
        options.json.write_text(json.dumps({"cells": cells, "gain_db_over": gains}, indent=1))


def _psnr(cells: list[dict[str, Any]], method: str, level: float) -> float:
    return next(cell["psnr"] for cell in cells if cell["method"] == method and cell["level"] == level)


if __name__ == "__main__":
    main()
