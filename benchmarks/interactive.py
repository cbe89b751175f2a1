"""Dice against seconds and painted voxels, while a simulated user paints, looks, corrects and paints again.

    python benchmarks/interactive.py --json result.json
    python benchmarks/interactive.py --structures hippocampus --methods ours forest --seconds 5 30

A user paints strokes of every class on three slices (seeded, shaky, 5 % of the voxels slip across a border). Each
method then has until the first mark on its clock; its prediction of the whole volume is scored, the user paints
corrections where it is most wrong, and the method goes on with them until the next mark. The clock counts what a user
waits for before a prediction could be asked for: reading, features, training. Predicting the whole volume and scoring
are not counted, for any method. A method that has no model at a mark scores 0 there. With ``--clock processor`` a
second is what two cores (or so many as ``--cores`` says) do in it, whatever else the machine does: two seconds of work.

Then strokes are painted on ever new slices of a volume of 256 x 256 x 256 voxels, and the time is taken until the
sketch has answered on the slice in view: `visible_slice_seconds`.

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
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from interactive_answers import answers
from interactive_methods import Convpaint, Forest, Labels, Method, Ours, Structure, UNet

from napari_medseg.data.samples import mni152_path, mni152_tissues
from napari_medseg.data.strokes import Annotator, draw_corrections, draw_strokes
from napari_medseg.io import read
from napari_medseg.training.clock import Clock

log = logging.getLogger("interactive")
ORGANS = (1, 2, 3, 5, 6)
"""TotalSegmentator's numbers of spleen, right and left kidney, liver and stomach."""
CORRECTIONS = 12
"""Strokes of the user between two marks."""
SLIPS = 0.05


def dice(predicted: Labels, truth: Labels) -> list[float]:
    """Return the Dice of each class but background."""
    both = [((predicted == k) & (truth == k)).sum() for k in range(1, int(truth.max()) + 1)]
    sizes = [(predicted == k).sum() + (truth == k).sum() for k in range(1, int(truth.max()) + 1)]
    return [float(2 * b / s) for b, s in zip(both, sizes, strict=True)]


def session(structure: Structure, method: Method, marks: list[float], each: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the score at each mark, of whose seconds each is worth so many on the clock."""
    amount = np.count_nonzero(structure.truth, axis=(1, 2)).cumsum()
    slices = [(0, int(np.searchsorted(amount, share * amount[-1]))) for share in (0.25, 0.5, 0.75)]
    hand = Annotator(strokes=structure.each, error_rate=SLIPS, seed=seed)
    labels = draw_strokes(structure.truth, slices, hand)
    clock = 0.0
    for number, mark in enumerate(marks):
        method.learn(labels, each * (mark - clock))
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


def method(name: str, structure: Structure, seed: int, clock: Clock, folder: Path, extractor: str) -> Method:
    """Return a method that knows nothing yet."""
    if name == "forest":
        return Forest(structure, seed, clock)
    if name == "convpaint":
        return Convpaint(structure, seed, clock, extractor)
    return UNet(structure, seed, clock) if name == "unet" else Ours(structure, seed, clock, folder)


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
    parser.add_argument("--clock", choices=["wall", "processor"], default="wall", help="what the seconds are of")
    parser.add_argument("--cores", type=int, default=2, help="whose work a second of the processor's clock is")
    parser.add_argument("--answers", type=int, default=20, help="strokes whose answer is timed; 0 for none")
    parser.add_argument("--json", type=Path, help="file for all cells; those of methods that are in it are kept")
    arguments = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    known = arguments.json is not None and arguments.json.is_file()
    found: dict[str, Any] = json.loads(arguments.json.read_text()) if known else {"cells": []}
    each = arguments.cores if arguments.clock == "processor" else 1
    names = [n for n in arguments.methods if n != "convpaint" or importlib.util.find_spec("napari_convpaint")]
    for structure in structures(arguments):
        for seed in arguments.seeds:
            for name in names:
                here = {"structure": structure.name, "method": name, "seed": seed}
                if any(here.items() <= cell.items() for cell in found["cells"]):
                    continue
                with TemporaryDirectory() as folder:
                    learner = method(name, structure, seed, arguments.clock, Path(folder), arguments.convpaint)
                    for cell in session(structure, learner, arguments.seconds, each, seed):
                        found["cells"].append(here | cell)
                        log.info("%s", json.dumps(here | cell))
                keep(found, arguments.json)
    if arguments.answers:
        with TemporaryDirectory() as folder:
            seconds = answers(Path(folder), arguments.answers)
        found["visible_slice_seconds"] = {"median": float(np.median(seconds)), "all": seconds}
    keep(found, arguments.json)
    log.info("%s", json.dumps({name: value for name, value in found.items() if name != "cells"}))


def keep(found: dict[str, Any], path: Path | None) -> None:
    """Write what was found so far."""
    found["margin_over_best_other"] = summary(found["cells"])
    if path is not None:
        path.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
