"""Detection of blood cells (BCCD): `train detection` against torchvision's Faster R-CNN, from the same beginning.

    python benchmarks/bccd.py det-bccd squeezenet.safetensors                      10, 30 and 60 minutes of each
    python benchmarks/bccd.py det-bccd squeezenet.safetensors --minutes 2 5 --clock processor
    python benchmarks/bccd.py det-bccd squeezenet.safetensors --minutes 10 --cores 1   one core, for twice the minutes
    python benchmarks/bccd.py det-bccd squeezenet.safetensors --only ours --json result.json

The folder holds ``images``, ``instances_train.json`` and ``instances_val.json``; the weights are those of a SqueezeNet
1.0 that saw ImageNet. Both learn from the training images alone and are scored on all validation images.

ours: `train detection` with nothing but the weights and the time. A tenth of the training images is held out.
reference: torchvision's Faster R-CNN on the features of the SqueezeNet, with the recipe of torchvision's references:
SGD with a rate of 0.0025 per image of the batch, momentum 0.9, weight decay 1e-4, mirrored images, the rate divided by
ten after 60 % and 85 % of the time. Images have their own size.

Minutes are those of two cores. On one core both train for twice as long, with one thread; by the processor's clock,
which is for busy machines, for twice as much of its time.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_medseg.data.boxes import BoxedImages, find_boxed
from napari_medseg.data.boxes.opening import open_image
from napari_medseg.evaluate.boxes import BoxPairs, renamed
from napari_medseg.evaluate.detection import evaluate_detection
from napari_medseg.inference.detection.detect import detect_files
from napari_medseg.inference.detection.options import DetectOptions
from napari_medseg.models import Bundle
from napari_medseg.models.weights import read_checkpoint
from napari_medseg.prediction import Boxes
from napari_medseg.progress import Control, EpochEnd, Finished
from napari_medseg.training import train
from napari_medseg.training.detection import DetectionConfig, create_detection

PUBLISHED = {"YOLOv7": {"map50": 0.906, "map": 0.61}, "EfficientDet-D0": {"map50": 0.901}}
"""Figures of others on splits of their own."""
CORES = 2
"""Of the machine that minutes are of."""
BATCH, RATE = 2, 0.0025
DROPS = (0.6, 0.85)
log = logging.getLogger("bccd")


def ours(data: Path, weights: Path, minutes: float, clock: str, device: str) -> dict[str, float]:
    """Train and return the scores on the validation images."""
    config = DetectionConfig(minutes=minutes, clock=clock, device=device, pretrained=str(weights))
    with TemporaryDirectory() as folder:
        sources = data / "images", data / "instances_train.json"
        *_, made = create_detection(Path(folder) / "run", sources, config)
        assert isinstance(made, Finished)
        for event in train(made.result):  # type: ignore[arg-type]
            if isinstance(event, EpochEnd):
                log.info("ours: step %d, %.0f s, held out %s", event.step, event.seconds, event.scores)
        bundle = Bundle.load(Path(folder) / "run" / "bundle")
        boxed = find_boxed(data / "images", data / "instances_val.json")
        *_, done = detect_files(boxed.paths, boxed.names, bundle, DetectOptions(device=device, flips=True), Control())
    assert isinstance(done, Finished)
    return scores_of(boxed, done.result[0])  # type: ignore[index]


def scores_of(boxed: BoxedImages, found: dict[str, Boxes]) -> dict[str, float]:
    """Return mAP50 and mAP50-95, and the AP50 of each class."""
    classes = boxed.source.classes
    predicted = {name: renamed(boxes, classes) for name, boxes in found.items()}
    report = evaluate_detection(BoxPairs(classes, predicted, dict(boxed.source.boxes)), resamples=0)
    values = {name: report.scores[name] for name in ("map50", "map")}
    values |= {f"ap50/{name}": one.ap50 for name, one in report.classes.items()}
    return {name: float(value) for name, value in values.items() if value is not None}


def reference_network(weights: Path, classes: int) -> nn.Module:
    """Return torchvision's Faster R-CNN on the features of a SqueezeNet."""
    from torchvision.models import squeezenet1_0
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.ops import MultiScaleRoIAlign

    features = squeezenet1_0(weights=None).features
    state = {k.removeprefix("features."): v.float() for k, v in read_checkpoint(weights).items() if "features" in k}
    features.load_state_dict(state)
    features.out_channels = 512
    anchors = AnchorGenerator(((32, 64, 128, 256, 512),), ((0.5, 1.0, 2.0),))
    made: nn.Module = FasterRCNN(
        features, classes + 1, min_size=480, max_size=640, rpn_anchor_generator=anchors,
        box_roi_pool=MultiScaleRoIAlign(["0"], 7, 2),
    )  # fmt: skip
    return made


def reference(data: Path, weights: Path, minutes: float, clock: Callable[[], float], device: str) -> dict[str, float]:
    """Train torchvision's Faster R-CNN with its recipe, and return the scores on the validation images."""
    started = clock()
    boxed = find_boxed(data / "images", data / "instances_train.json")
    index = {c.value: k + 1 for k, c in enumerate(boxed.source.classes)}
    place = torch.device("cuda" if device == "auto" and torch.cuda.is_available() else device.replace("auto", "cpu"))
    torch.manual_seed(0)
    network = reference_network(weights, len(index)).to(place).train()
    optimizer = torch.optim.SGD(network.parameters(), RATE * BATCH, 0.9, weight_decay=1e-4)
    rng, step = np.random.default_rng(0), 0
    images = [_tensor(boxed, number) for number in range(len(boxed.names))]
    while (share := (clock() - started) / (60 * minutes)) < 1:
        rise = min(1.0, (step + 1) / 100)
        for group in optimizer.param_groups:
            group["lr"] = RATE * BATCH * rise * 0.1 ** sum(share > drop for drop in DROPS)
        chosen = rng.integers(0, len(images), BATCH)
        batch = [_mirrored(images[k], boxed.source.boxes[boxed.names[k]], index, rng) for k in chosen]
        losses = network([image.to(place) for image, _t in batch],
                         [{key: value.to(place) for key, value in target.items()} for _i, target in batch])  # fmt: skip
        loss = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        step += 1
        if step % 50 == 0:
            log.info("reference: step %d, %.0f s, loss %.3f", step, clock() - started, float(loss.detach()))
    held = find_boxed(data / "images", data / "instances_val.json")
    return scores_of(held, _reference_boxes(network.eval(), held, place))


def _tensor(boxed: BoxedImages, number: int) -> torch.Tensor:
    values = np.asarray(open_image(boxed, number).data)[..., :3]
    return torch.from_numpy(np.moveaxis(values, -1, 0).astype(np.float32) / 255)


def _mirrored(
    image: torch.Tensor, boxes: Boxes, index: dict[int, int], rng: np.random.Generator
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    corners = torch.from_numpy(boxes.edges[:, :, ::-1].reshape(-1, 4).astype(np.float32))
    if rng.random() < 0.5:
        image, width = image.flip(2), image.shape[2]
        corners[:, [0, 2]] = width - corners[:, [2, 0]]
    labels = torch.tensor([index[value] for value in boxes.labels.tolist()], dtype=torch.int64)
    return image, {"boxes": corners.reshape(-1, 4), "labels": labels}


@torch.inference_mode()
def _reference_boxes(network: nn.Module, boxed: BoxedImages, device: torch.device) -> dict[str, Boxes]:
    values = np.array([c.value for c in boxed.source.classes])
    found = {}
    for number, name in enumerate(boxed.names):
        [answer] = network([_tensor(boxed, number).to(device)])
        edges = answer["boxes"].cpu().double().numpy().reshape(-1, 2, 2)[:, :, ::-1]
        labels = values[answer["labels"].cpu().numpy() - 1]
        found[name] = Boxes(edges, labels, answer["scores"].cpu().double().numpy(), boxed.source.classes)
    return found


def main(words: list[str]) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--minutes", type=float, nargs="+", default=[10.0, 30.0, 60.0])
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall", help="what the minutes are of")
    parser.add_argument("--cores", type=int, choices=(1, 2), default=2, help="threads; with one, twice the minutes")
    parser.add_argument("--only", choices=("ours", "reference"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    clock = time.process_time if arguments.clock == "processor" else time.monotonic
    torch.set_num_threads(arguments.cores)
    factor = CORES if arguments.clock == "processor" else CORES / arguments.cores
    found: dict[str, Any] = {"clock": arguments.clock, "threads": torch.get_num_threads(), "published": PUBLISHED}
    for two_core_minutes in arguments.minutes:
        minutes, scores = two_core_minutes * factor, {}
        if arguments.only != "reference":
            scores["ours"] = ours(arguments.data, arguments.weights, minutes, arguments.clock, arguments.device)
        if arguments.only != "ours":
            scores["reference"] = reference(arguments.data, arguments.weights, minutes, clock, arguments.device)
        found[f"{two_core_minutes:g} minutes"] = scores
        log.info("%g minutes: %s", two_core_minutes, json.dumps(scores, indent=1))
        if arguments.json:
            arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
