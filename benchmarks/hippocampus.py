"""What some CPU minutes of training are worth on the hippocampus of the Medical Segmentation Decathlon.

    python benchmarks/hippocampus.py DATA --json hippocampus.json      hours: three trainings of 4, 8 and 15 minutes
    python benchmarks/hippocampus.py DATA --minutes 4 --systems ours   one figure

DATA holds `imagesTr`, `labelsTr` and `split.json` with the names of the cases to train on and of those to score.

ours: `napari-medseg train segmentation` with its defaults and nothing said but the time, then the bundle's prediction.
ours-tenth: the same from every tenth slice of each case, as if nothing else had been annotated.
nnunet-16, nnunet-32: nnU-Net's recipe (https://doi.org/10.1038/s41592-020-01008-z) with so many features, by MONAI:
DynUNet with deep supervision on two patches of 40 x 56 x 40 voxels at a time; SGD with Nesterov momentum 0.99 and a
rate of 0.01 that falls as (1 - t)^0.9; Dice plus cross-entropy; nnU-Net's augmentation with its probabilities, as far
as MONAI has it; bfloat16; mirrored views at prediction.

Each training has one core, and its minutes are those that the processor works; reading the images counts for none.
Dice is the mean over the cases, of the anterior and the posterior part.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

PATCH = (40, 56, 40)
PARTS = ("anterior", "posterior")
SYSTEMS = ("ours", "ours-tenth", "nnunet-16", "nnunet-32")
GOALS = {15.0: (0.885, 0.87), 120.0: (0.90, 0.885)}
Json = dict[str, Any]


def say(text: str) -> None:
    """Print at once."""
    print(text, file=sys.stderr, flush=True)


def names_of(data: Path, part: str) -> list[str]:
    """Return the cases of a part of the split."""
    return json.loads((data / "split.json").read_text(encoding="utf-8"))[part]


def labels_of(data: Path, name: str) -> np.ndarray:
    """Return the (z, y, x) labels of a case."""
    from napari_medseg.io import read

    return np.asarray(read(data / "labelsTr" / f"{name}.nii.gz")[0].data)


def dice_of(found: np.ndarray, truth: np.ndarray) -> list[float]:
    """Return the Dice of both parts."""
    pairs = [(found == k, truth == k) for k in (1, 2)]
    return [2 * float((a & b).sum()) / max(float(a.sum() + b.sum()), 1.0) for a, b in pairs]


# ours -----------------------------------------------------------------------------------------------------------------


def ours(data: Path, minutes: float, cases: list[str], tenth: bool) -> list[list[float]]:
    """Train by the command line, predict from Python, and return the Dice of each case."""
    from napari_medseg.inference import PredictOptions, predict
    from napari_medseg.io import read
    from napari_medseg.models import Bundle

    scores = []
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "napari_medseg", "train", "segmentation", "--out", str(run)]
        labels = every_tenth(data, Path(folder) / "labels") if tenth else data / "labelsTr"
        command += ["--images", str(data / "imagesTr"), "--labels", str(labels)]
        command += ["--scheme", "sparse"] if tenth else []
        command += ["--cases", f"{data / 'split.json'}:train", "--minutes", str(minutes), "--set", "clock=processor"]
        subprocess.run(command, check=True, stdout=sys.stderr)
        bundle = Bundle.load(run / "bundle")
        for name in cases:
            volume = read(data / "imagesTr" / f"{name}.nii.gz")[0]
            *_, last = predict(volume, bundle, PredictOptions(device="cpu"))
            scores.append(dice_of(last.result.outputs[0].labels, labels_of(data, name)))
    return scores


def every_tenth(data: Path, folder: Path) -> Path:
    """Write labels of every tenth slice, from a random first one; the others count as not annotated."""
    from napari_medseg.data import BACKGROUND_VALUE
    from napari_medseg.io import read, write

    folder.mkdir()
    for number, name in enumerate(names_of(data, "train")):
        (volume,) = read(data / "labelsTr" / f"{name}.nii.gz")
        labels = np.zeros(volume.data.shape, np.uint8)
        seen = slice(int(np.random.default_rng(number).integers(10)), None, 10)
        labels[seen] = np.where(volume.data[seen] == 0, BACKGROUND_VALUE, volume.data[seen])
        write(replace(volume, data=labels), folder / f"{name}.nii.gz")
    return folder


# nnU-Net's recipe -----------------------------------------------------------------------------------------------------


def image_of(data: Path, name: str) -> torch.Tensor:
    """Return the (1, z, y, x) image of a case, with mean 0 and standard deviation 1."""
    from napari_medseg.io import read

    image = torch.from_numpy(np.asarray(read(data / "imagesTr" / f"{name}.nii.gz")[0].data).astype(np.float32))
    return ((image - image.mean()) / image.std())[None]


def augmentation() -> Any:
    """Return how a case becomes a patch."""
    from monai import transforms as t

    both, image = ["image", "label"], "image"
    return t.Compose(
        [
            t.SpatialPadd(both, PATCH),
            t.RandCropByPosNegLabeld(both, "label", PATCH, pos=1, neg=2, num_samples=1),
            t.RandRotated(both, 0.52, 0.52, 0.52, prob=0.2, mode=("bilinear", "nearest"), padding_mode="zeros"),
            t.RandZoomd(both, prob=0.2, min_zoom=0.7, max_zoom=1.4, mode=("trilinear", "nearest")),
            t.RandGaussianNoised(image, prob=0.1, std=0.3),
            t.RandGaussianSmoothd(image, (0.5, 1.0), (0.5, 1.0), (0.5, 1.0), prob=0.1),
            t.RandScaleIntensityd(image, 0.25, prob=0.15),
            t.RandScaleIntensityFixedMeand(image, factors=0.25, prob=0.15),
            t.RandSimulateLowResolutiond(image, prob=0.125, zoom_range=(0.5, 1.0)),
            t.RandAdjustContrastd(image, prob=0.1, gamma=(0.7, 1.5), invert_image=True, retain_stats=True),
            t.RandAdjustContrastd(image, prob=0.3, gamma=(0.7, 1.5), retain_stats=True),
            *(t.RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in range(3)),
        ]
    )


def recipe(data: Path, minutes: float, cases: list[str], features: int) -> list[list[float]]:
    """Train by nnU-Net's recipe and return the Dice of each case."""
    from monai.losses import DiceCELoss
    from monai.networks.nets import DynUNet
    from monai.utils import set_determinism

    set_determinism(0)
    samples = [
        {"image": image_of(data, name), "label": torch.from_numpy(labels_of(data, name).astype(np.float32))[None]}
        for name in names_of(data, "train")
    ]
    strides, filters = [1, 2, 2, 2], [features * 2**level for level in range(4)]
    network = DynUNet(3, 1, 3, [3] * 4, strides, strides[1:], filters, deep_supervision=True, deep_supr_num=2)
    optimizer = torch.optim.SGD(network.parameters(), 0.01, 0.99, weight_decay=3e-5, nesterov=True)
    loss_of = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False)
    augment, rng, started, steps = augmentation(), np.random.default_rng(0), time.process_time(), 0
    while (passed := (time.process_time() - started) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * (1 - passed) ** 0.9
        chosen = [augment(samples[int(n)])[0] for n in rng.integers(0, len(samples), 2)]
        image, target = (torch.stack([patch[key].as_tensor() for patch in chosen]) for key in ("image", "label"))
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outputs = network(image).unbind(1)
        weights = [0.5**level for level in range(len(outputs))]
        parts = [w * loss_of(o.float(), target) for w, o in zip(weights, outputs, strict=True)]
        (sum(parts) / sum(weights)).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 12)
        optimizer.step()
        steps += 1
    say(f"nnU-Net's recipe: {steps} steps")
    return [dice_of(mirrored(network.eval(), image_of(data, name)), labels_of(data, name)) for name in cases]


@torch.inference_mode()
def mirrored(network: nn.Module, image: torch.Tensor) -> np.ndarray:
    """Return the labels of the mean over all mirrored views."""
    from monai.inferers import sliding_window_inference

    total = torch.zeros(())
    for axes in ((), (2,), (3,), (4,), (2, 3), (2, 4), (3, 4), (2, 3, 4)):
        logits = sliding_window_inference(image[None].flip(axes), PATCH, 1, network, overlap=0.5, mode="gaussian")
        total = total + logits.softmax(dim=1).flip(axes)
    return total[0].argmax(dim=0).numpy()


# ----------------------------------------------------------------------------------------------------------------------


def part(system: str, data: Path, minutes: float, every: int) -> Json:
    """Train and score one system in this process, on one core."""
    torch.set_num_threads(1)
    cases = names_of(data, "val")[::every]
    if system.startswith("ours"):
        scores = ours(data, minutes, cases, tenth=system.endswith("tenth"))
    else:
        scores = recipe(data, minutes, cases, int(system.split("-")[1]))
    return {name: float(value) for name, value in zip(PARTS, np.mean(scores, axis=0), strict=True)}


def run_part(system: str, minutes: float, core: int, chosen: argparse.Namespace) -> Json:
    """Run one training in a process of its own, on one core where the system can say so."""
    command = [sys.executable, __file__, str(chosen.data), "--part", system, "--minutes", str(minutes)]
    command += ["--every", str(chosen.every)]
    pinned = {"preexec_fn": lambda: os.sched_setaffinity(0, {core})} if hasattr(os, "sched_setaffinity") else {}
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True, **pinned)
    return json.loads(done.stdout.splitlines()[-1])


def summary(found: dict[str, Json]) -> Json:
    """Return whether we are ahead at every time, and how far from the goals."""
    margins = [
        min(found["ours"][minutes][p] - scores[p] for p in PARTS)
        for system, times in found.items()
        for minutes, scores in times.items()
        if not system.startswith("ours") and minutes in found.get("ours", {})
    ]
    missing = {
        f"{minutes:g}": {p: found["ours"][f"{minutes:g}"][p] - goal for p, goal in zip(PARTS, goals, strict=True)}
        for minutes, goals in GOALS.items()
        if f"{minutes:g}" in found.get("ours", {})
    }
    tenth = {
        minutes: min(scores[p] / found["ours"][minutes][p] for p in PARTS)
        for minutes, scores in found.get("ours-tenth", {}).items()
        if minutes in found.get("ours", {})
    }
    return {
        "share_with_a_tenth_of_the_slices": tenth,
        "smallest_margin_over_nnunet": min(margins) if margins else None,
        "margin_over_goal": missing,
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the data set")
    parser.add_argument("--json", type=Path, help="file to write the figures to; those that are in it are kept")
    parser.add_argument("--minutes", nargs="+", type=float, default=[4.0, 8.0, 15.0])
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--every", type=int, default=1, help="score every so manieth case only")
    parser.add_argument("--core", type=int, default=0, help="number of the core to compute on")
    parser.add_argument("--part", choices=SYSTEMS, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.part:
        print(json.dumps(part(chosen.part, chosen.data, chosen.minutes[0], chosen.every)))
        return
    known: Json = json.loads(chosen.json.read_text("utf-8")) if chosen.json and chosen.json.is_file() else {}
    found: dict[str, Json] = {
        system: known.get(system, {}) for system in SYSTEMS if system in {*chosen.systems, *known}
    }
    figures: Json = {}
    for minutes, system in product(chosen.minutes, chosen.systems):
        if f"{minutes:g}" not in found[system]:
            found[system][f"{minutes:g}"] = run_part(system, minutes, chosen.core, chosen)
            say(f"{system}, {minutes:g} minutes: {found[system][f'{minutes:g}']}")
        figures = {"torch": torch.__version__, "cases": len(names_of(chosen.data, "val")[:: chosen.every])}
        figures |= summary(found) | found
        if chosen.json:
            chosen.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
