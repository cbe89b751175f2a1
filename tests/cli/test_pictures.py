"""From pictures as people have them to scores: colour and grey, transparent, of many sizes, masks in PNG."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_medseg.models import Bundle

Command = Callable[..., Any]
KINDS = ("L", "RGB", "RGBA", "LA", "P", "L")
SIZES = ((70, 60), (64, 64), (90, 40), (33, 47), (64, 80), (120, 100))


def picture(seed: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return a grey picture of bright discs, and a map that numbers them."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    objects = np.zeros(size, np.uint16)
    for number in range(1, 4 + 6 * seed):
        row, column = rng.integers(0, size[0]), rng.integers(0, size[1])
        objects[np.hypot(rows - row, columns - column) < 4] = number
    _values, numbered = np.unique(objects, return_inverse=True)
    grey = np.where(objects > 0, 190, 40) + rng.normal(0, 12, size)
    return grey.clip(0, 255).astype(np.uint8), numbered.reshape(size).astype(np.uint16)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for folder in ("images", "objects", "masks"):
        (tmp_path / folder).mkdir()
    for seed, (kind, size) in enumerate(zip(KINDS, SIZES, strict=True)):
        grey, objects = picture(seed, size)
        Image.fromarray(grey).convert(kind).save(tmp_path / "images" / f"p{seed}.png")
        Image.fromarray(objects).save(tmp_path / "objects" / f"p{seed}.png")
        # Masks of 0 and 255, some saved in colour.
        mask = Image.fromarray(((objects > 0) * 255).astype(np.uint8))
        mask.convert(("L", "RGB", "RGBA")[seed % 3]).save(tmp_path / "masks" / f"p{seed}.png")
    return tmp_path


@pytest.mark.parametrize(("labels", "value", "name"), [("objects", 1, "nucleus"), ("masks", 255, "nucleus")])
def test_from_pictures_to_scores(command: Command, pictures: Path, labels: str, value: int, name: str) -> None:
    run, images, out = pictures / "run", pictures / "images", pictures / "out"
    settings = (
        "--set",
        "steps=25",
        "--set",
        "patch_size=32,32",
        "--set",
        "learning_rate=0.02",
        "--class",
        f"{value}={name}",
    )
    done = command("train", "segmentation", "--images", images, "--labels", pictures / labels, "--out", run, *settings)
    assert done.code == 0, done.err
    assert ("number their objects" in done.err) == (labels == "objects")
    spec = Bundle.load(run / "bundle").spec
    assert (spec.dims, spec.channels) == (2, 3)
    assert [(entry.value, entry.name) for entry in spec.foreground] == [(value, name)]
    done = command("predict", run / "bundle", images, "--out", out)
    assert done.code == 0, done.err
    folders = ("--predictions", out, "--references", pictures / labels)
    done = command(
        "evaluate", "segmentation", *folders, "--json", pictures / "scores.json", "--class", f"{value}={name}"
    )
    assert done.code == 0, done.err
    report = json.loads((pictures / "scores.json").read_text())
    assert report["failures"] == {}
    assert len(report["cases"]) == len(KINDS)
    assert report["mean"][name]["dice"] > 0.8
