"""Classification on a data set of MedMNIST, as a user runs it, against the published figures.

    python benchmarks/medmnist.py pneumoniamnist.npz                         defaults: ten minutes, seed 0
    python benchmarks/medmnist.py pneumoniamnist.npz --protocol              MedMNIST's own network, three seeds
    python benchmarks/medmnist.py pneumoniamnist.npz --json result.json      also write the figures

defaults: `train classification` with nothing but the images and the time.
protocol: ResNet-18 for 28 pixels at full width, the official split, `--epochs` at most, the weights of the best
validation AUC; the mean of `--seeds` runs counts.
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

from napari_medseg.data.labelled.answers import Classified
from napari_medseg.data.labelled.listing import open_npz
from napari_medseg.evaluate.classification import scores_of
from napari_medseg.inference.classify import classify
from napari_medseg.models import Bundle
from napari_medseg.progress import EpochEnd, Finished
from napari_medseg.training import train
from napari_medseg.training.classification import ClassificationConfig, create_classification

PUBLISHED = {"pneumoniamnist": {"roc_auc": 0.944, "accuracy": 0.854}}
"""Test AUC and accuracy of ResNet-18 at 28 pixels, MedMNIST v2, Table 3."""
log = logging.getLogger("medmnist")


def one_run(data: Path, config: ClassificationConfig, folder: Path) -> dict[str, float]:
    """Train once and return the scores on the test part."""
    *_, made = create_classification(folder, (data, None), config)
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
    return scores_of(np.searchsorted(values, labels), answers.result.probabilities)


def settings(arguments: argparse.Namespace, seed: int) -> ClassificationConfig:
    """Return how to train."""
    common: dict[str, Any] = {"seed": seed, "device": arguments.device, "minutes": arguments.minutes}
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
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args(words)
    arguments.minutes = arguments.minutes or None
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    runs = []
    for seed in range(arguments.seeds or (3 if arguments.protocol else 1)):
        with TemporaryDirectory() as folder:
            runs.append(one_run(arguments.data, settings(arguments, seed), Path(folder) / "run"))
        log.info("seed %d: test %s", seed, {score: round(value, 4) for score, value in runs[-1].items()})
    found = summary(arguments.data.stem, runs)
    log.info("%s", json.dumps({key: found[key] for key in ("mean", "published")}, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
