"""Classification on a data set of MedMNIST, as a user runs it, against the published figures.

    python benchmarks/medmnist.py pneumoniamnist.npz                         defaults: ten minutes, seed 0
    python benchmarks/medmnist.py pneumoniamnist.npz --protocol              MedMNIST's own network, three seeds
    python benchmarks/medmnist.py pneumoniamnist.npz --json result.json      also write the figures
    python benchmarks/medmnist.py pneumoniamnist.npz --share 0.1 --set epochs=20 --set architecture=squeezenet1_0
        --set pretrained=squeezenet1_0_imagenet_fp16.safetensors             a tenth of the labels, with and without

defaults: `train classification` with nothing but the images and the time.
protocol: ResNet-18 for 28 pixels at full width, the official split, `--epochs` at most, the weights of the best
validation AUC; the mean of `--seeds` runs counts.
--share: of the training images of each class, this share is learnt from; validation and test stay as they are.
Training, prediction and scoring are those of the command line; the test part is seen once, at the end.
"""

import argparse
import json
import logging
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from napari_medseg.cli.settings import parse
from napari_medseg.data.labelled.answers import Classified
from napari_medseg.data.labelled.listing import open_npz
from napari_medseg.evaluate.classification import evaluate_classification
from napari_medseg.evaluate.tables import Answers
from napari_medseg.inference.classify import classify
from napari_medseg.models import Bundle
from napari_medseg.progress import EpochEnd, Finished
from napari_medseg.training import train
from napari_medseg.training.classification import ClassificationConfig, create_classification

PUBLISHED = {"pneumoniamnist": {"roc_auc": 0.944, "accuracy": 0.854}}
"""Test AUC and accuracy of ResNet-18 at 28 pixels, MedMNIST v2, Table 3."""
log = logging.getLogger("medmnist")


def one_run(data: Path, config: ClassificationConfig, folder: Path, share: float = 1.0) -> dict[str, float]:
    """Train once and return the scores on the test part, and the ends of the interval of accuracy and AUC."""
    source = data if share == 1 else with_share(data, share, config.seed, folder.parent / "share.npz")
    *_, made = create_classification(folder, (source, None), config)
    assert isinstance(made, Finished)
    for event in train(made.result):
        if isinstance(event, EpochEnd) and event.scores:
            log.info("step %d: %s", event.step, {name: round(value, 4) for name, value in event.scores.items()})
    bundle = Bundle.load(folder / "bundle")
    pictures, labels, _parts = open_npz(data, ("test",))
    *_, answers = classify(bundle, pictures, device=config.device)
    assert isinstance(answers, Finished)
    assert labels is not None
    values = np.array([int(c.name) for c in bundle.spec.classes])
    assert isinstance(answers.result, Classified)
    names, probable = answers.result.names, answers.result.probabilities
    classes = tuple(c.name for c in bundle.spec.classes)
    truth = labels if labels.ndim == 2 else np.searchsorted(values, labels)
    report = evaluate_classification(Answers(classes, names, probable, truth))
    scores = {name: value for name, value in report.scores.items() if value is not None}
    for name in ("accuracy", "roc_auc"):
        if name in report.intervals:
            scores |= {f"{name}_low": report.intervals[name].low, f"{name}_high": report.intervals[name].high}
    return scores


def with_share(data: Path, share: float, seed: int, path: Path) -> Path:
    """Write a copy of a data set with a share of the training images of each class, and return its path."""
    with np.load(data) as packed:
        arrays = {name: packed[name] for name in packed.files}
    labels = arrays["train_labels"].reshape(len(arrays["train_labels"]), -1)
    rng = np.random.default_rng(seed)
    kinds = np.unique(labels, axis=0)
    groups = [rng.permutation(np.flatnonzero((labels == kind).all(axis=1))) for kind in kinds]
    kept = np.sort(np.concatenate([group[: max(2, round(share * len(group)))] for group in groups]))
    for name in ("train_images", "train_labels"):
        arrays[name] = arrays[name][kept]
    np.savez(path, **arrays)
    return path


def settings(arguments: argparse.Namespace, seed: int) -> ClassificationConfig:
    """Return how to train."""
    common: dict[str, Any] = {"seed": seed, "device": arguments.device, "minutes": arguments.minutes}
    common |= parse(arguments.set or [])
    if not arguments.protocol:
        return ClassificationConfig(**common)
    network = {"architecture": "resnet18_small", "width": 64, "epochs": arguments.epochs}
    return ClassificationConfig(**common | network)


def summary(name: str, runs: list[dict[str, float]]) -> dict[str, Any]:
    """Return means over runs, each run, and the published figures where they are known."""
    mean = {score: float(np.mean([run[score] for run in runs])) for score in runs[0]}
    return {"data": name, "mean": mean, "runs": runs, "published": PUBLISHED.get(name)}


def main(words: list[str]) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--protocol", action="store_true")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--minutes", type=float, default=10.0, help="per run; 0 for none")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--share", type=float, default=1.0, help="of the training labels")
    parser.add_argument("--set", action="append", metavar="KEY=VALUE", help="a setting of training")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args(words)
    arguments.minutes = arguments.minutes or None
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    runs = []
    for seed in range(arguments.seeds or (3 if arguments.protocol else 1)):
        with TemporaryDirectory() as folder:
            runs.append(one_run(arguments.data, settings(arguments, seed), Path(folder) / "run", arguments.share))
        log.info("seed %d: test %s", seed, {score: round(value, 4) for score, value in runs[-1].items()})
    found = summary(arguments.data.stem, runs)
    log.info("%s", json.dumps({key: found[key] for key in ("mean", "published")}, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
