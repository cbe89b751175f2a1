"""The image, the networks and the predictors that `tiling.py` compares."""

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import nn

from napari_medseg.inference.engine import predict_grid
from napari_medseg.inference.options import PredictOptions
from napari_medseg.inference.preprocess import ModelGrid, to_model_grid
from napari_medseg.inference.recipe import Job, Measurement, Recipe
from napari_medseg.models import Intensity, ModelSpec, build
from napari_medseg.progress import Control
from napari_medseg.volume import Geometry, LabelClass, Volume

CLASSES = 105
OVERLAP = 0.25
LEVELS = (-500.0, 0.0, 20.0, 40.0, 60.0, 80.0, 120.0)
"""HU between the classes that the trained network tells apart; the other outputs learn never to be the largest."""
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
Json = dict[str, Any]


def phantom(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Volume:
    """Return a CT of a lying cylinder with organs of random shape and the noise of a real scan, in int16 HU."""
    rng = np.random.default_rng(0)
    coarse = ndimage.zoom(rng.normal(0, 1, (8, 8, 8)), [n / 64 for n in shape], order=1)[..., : shape[2] // 8]
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape[1:])
    inside = (y[:, None] ** 2 / 0.5 + x**2 / 0.8) < 1
    data = np.empty(shape, np.int16)
    for plane in range(shape[0]):
        organs = ndimage.zoom(coarse[min(plane // 8, len(coarse) - 1)], 8, order=1, mode="nearest")
        organs = np.resize(organs, shape[1:])
        values = np.where(inside, 40 + 80 * organs, -1000) + rng.normal(0, 12, shape[1:])
        data[plane] = values
    affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])[:, [2, 1, 0, 3]]
    return Volume(data, Geometry(shape, affine), name="phantom")


def spec_of(classes: int, **fields: Any) -> ModelSpec:
    """Return a model for CT with so many classes."""
    entries = tuple(LabelClass(value=k, name=f"class {k}" if k else "background") for k in range(classes))
    window = Intensity(kind="window", low=-1000.0, high=1000.0)
    values = {"name": "benchmark", "architecture": "dynunet", "classes": entries, "intensity": window}
    return ModelSpec(**values | fields)


def labels_of(grid: ModelGrid, spec: ModelSpec, network: nn.Module, options: PredictOptions) -> np.ndarray:
    """Return the labels that we give."""
    work = predict_grid(grid, spec, network, options, Control())
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value[0].labels


class Clock:
    """What seconds are of."""

    name = "wall"


def seconds_of(work: Callable[[], object]) -> tuple[float, object]:
    """Return how long some work took by the clock, and what it returned."""
    now = CLOCKS[Clock.name]
    started = now()
    found = work()
    return now() - started, found


def say(text: str) -> None:
    """Print at once."""
    print(text, file=sys.stderr, flush=True)


def trained(network: nn.Module, volume: Volume, spec: ModelSpec, steps: int) -> nn.Module:
    """Train a network for some steps to tell smooth levels of the image's HU apart; its output then is clear."""
    if steps == 0:
        return network
    image = to_model_grid(volume, spec).image
    smooth = ndimage.gaussian_filter(image[0].numpy() * 2000 - 1000, 2.0)
    target = torch.from_numpy(np.digitize(smooth, LEVELS))
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    rng, edge = np.random.default_rng(1), 48
    for step in range(steps):
        z, y, x = (int(rng.integers(0, n - min(edge, n) + 1)) for n in target.shape)
        box = (slice(z, z + edge), slice(y, y + edge), slice(x, x + edge))
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(image[(None, slice(None), *box)])
        loss = nn.functional.cross_entropy(logits.float(), target[box][None])
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            say(f"training: step {step}, loss {loss.item():.3f}")
    return network


class Scene:
    """A network, an image, and how all of them compute."""

    def __init__(self, shape: tuple[int, int, int], features: int, edge: int, steps: int = 0) -> None:
        self.precision = "float32"
        """Number format for all."""
        self.volume = phantom(shape, (1.0, 1.2, 1.2))
        options = {"features": features, "max_stages": 4}
        self.spec = spec_of(CLASSES, options=options, patch_size=(edge,) * 3, spacing=(1.5, 1.5, 1.5))
        torch.manual_seed(0)
        self.network = trained(build(self.spec), self.volume, self.spec, steps).eval()
        self.options = PredictOptions(device="cpu", overlap=OVERLAP)
        self.on_network_grid: dict[str, torch.Tensor] = {}
        """What the others' networks gave before it was resampled."""

    def autocast(self) -> torch.autocast:
        """Return the number format for those who do not choose it themselves."""
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.precision == "bfloat16")

    def measured(self, job: Job) -> Recipe:
        """Return the fastest way to compute that gives the same labels."""
        measurement = Measurement(job, PredictOptions(precision="auto", compile="off"), Recipe(), share=1e9)
        return measurement.best()

    def ours(self, recipe: Recipe) -> np.ndarray:
        """Return our labels, from the image as it was read."""
        options = self.options.model_copy(update={"precision": recipe.precision, "memory_format": recipe.memory_format})
        return labels_of(to_model_grid(self.volume, self.spec), self.spec, self.network, options)

    def monai(self) -> np.ndarray:
        """Return MONAI's labels, by the steps of our bundle's configuration."""
        from monai.data.meta_tensor import MetaTensor
        from monai.inferers import SlidingWindowInferer
        from monai.transforms import Compose, ScaleIntensityRange, Spacing

        image = MetaTensor(
            torch.from_numpy(self.volume.data.astype(np.float32))[None],
            affine=torch.tensor(self.volume.geometry.affine),
        )
        before = Compose(
            [Spacing(self.spec.spacing, mode="bilinear"), ScaleIntensityRange(-1000, 1000, 0, 1, clip=True)]
        )
        inferer = SlidingWindowInferer(self.spec.patch_size, 1, OVERLAP, mode="gaussian")
        with torch.inference_mode(), self.autocast():
            seen = before(image)
            logits = inferer(seen[None], self.network)[0].float()
            back = before.inverse(MetaTensor(logits, meta=seen.meta, applied_operations=seen.applied_operations[:1]))
            self.on_network_grid["monai"] = logits
            return back.argmax(dim=0).numpy()

    def nnunet(self, image: torch.Tensor) -> np.ndarray:
        """Return the labels of nnU-Net's predictor, from the (channel, z, y, x) image on the network's grid."""
        from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        resampling = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
        configuration = {
            "patch_size": list(self.spec.patch_size),
            "spacing": list(self.spec.spacing),
            "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
            "resampling_fn_probabilities_kwargs": resampling,
            # Required, and not used for a network that is given.
            "architecture": {"network_class_name": "", "arch_kwargs": {}, "_kw_requires_import": []},
        }
        plans = {"configurations": {"3d": configuration}, "label_manager": "LabelManager"}
        plans |= {f"transpose_{way}": [0, 1, 2] for way in ("forward", "backward")}
        manager = PlansManager(plans)
        found = manager.get_configuration("3d")
        dataset = {"labels": {c.name: c.value for c in self.spec.classes}, "channel_names": {"0": "CT"}}
        predictor = nnUNetPredictor(1 - OVERLAP, True, False, False, torch.device("cpu"), allow_tqdm=False)
        predictor.manual_initialization(self.network, manager, found, None, dataset, "", None)
        shape = self.volume.data.shape
        properties = {
            "spacing": list(self.volume.geometry.spacing),
            "shape_before_cropping": shape,
            "shape_after_cropping_and_before_resampling": shape,
            "bbox_used_for_cropping": [[0, n] for n in shape],
        }
        with self.autocast():
            logits = predictor.predict_sliding_window_return_logits(image)
        self.on_network_grid["nnunet"] = logits
        return convert_predicted_logits_to_segmentation_with_correct_shape(
            logits, manager, found, predictor.label_manager, properties, num_threads_torch=torch.get_num_threads()
        )
