"""Prediction by the configuration of a MONAI bundle that the user trusts: all between image and labels is MONAI's.

The configuration is executed, here, in the process that predicts.
"""

import sys
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from scipy import ndimage

from napari_medseg.device import choose
from napari_medseg.errors import BundleError, ConfigError
from napari_medseg.inference.options import PredictOptions
from napari_medseg.io import write
from napari_medseg.models import Bundle
from napari_medseg.models.configs import label_dtype
from napari_medseg.models.files import INFERENCE, METADATA
from napari_medseg.models.pipeline import MonaiConfig
from napari_medseg.models.spec import OVERLAP
from napari_medseg.models.trust import digest_of, require
from napari_medseg.prediction import LabelMap, Output
from napari_medseg.progress import Control, Event, Progress
from napari_medseg.volume import Geometry, Volume

SAVERS = ("SaveImaged", "SaveImage")
"""Steps that write files, which are left out: writing is ours."""
PRESENT = 0.5
"""Value of a map of one class above which the class is there."""


def predict_config(
    volume: Volume, bundle: Bundle, pipeline: MonaiConfig, options: PredictOptions, control: Control
) -> Generator[Event, None, tuple[Output, ...]]:
    """Predict as a trusted bundle says; see `napari_medseg.inference.pipelines.outputs_of`."""
    assert bundle.path is not None
    require(digest_of(bundle.path), bundle.spec.name, "has a configuration that executes code")
    if options.probabilities or options.uncertainty or options.flip_axes or options.overlap != OVERLAP:
        raise ConfigError(
            f"{bundle.spec.name} is run by its own configuration, which gives labels only, its own way.",
            "Leave out the settings probabilities, uncertainty, flip_axes and overlap.",
        )
    if volume.geometry is None or volume.geometry.ndim != 3 or len(volume.axes) > 1 or volume.rgb:
        raise BundleError(
            f"{bundle.spec.name} takes volumes with a place in space, which {volume.name} is not.",
            "Choose one volume of it, or save it in a format with geometry.",
        )
    yield Progress("Preparing", 0, 1)
    with TemporaryDirectory(prefix="medseg-config-") as folder, scripts_of(bundle.path):
        image = write(volume, Path(folder) / "image.nii.gz")
        config = Configuration(bundle, pipeline, str(choose(options.device)), bundle.path)
        prepared = config.prepare(image)
        control.checkpoint()
        yield Progress("Predicting", 0, 1)
        config.infer(prepared)
        control.checkpoint()
        values, affine = config.finish(prepared)
        yield Progress("Predicting", 1, 1, 0.0)
    labels = _on_the_image(values, affine, volume.geometry, label_dtype(bundle.spec))
    return (LabelMap(labels, bundle.spec.classes),)


@contextmanager
def scripts_of(folder: Path) -> Iterator[None]:
    """Let Python find the modules of a bundle's folder, such as ``scripts``, and forget them afterwards."""
    before, written = set(sys.modules), sys.dont_write_bytecode
    sys.path.insert(0, str(folder))
    # Python's cache would be a change of the folder.
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = written
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            place = getattr(sys.modules[name], "__file__", None)
            if place is not None and Path(place).is_relative_to(folder):
                del sys.modules[name]


class Configuration:
    """The parts of a bundle's configuration, as MONAI builds them.

    Parameters
    ----------
    bundle : Bundle
        For its weights and messages.
    pipeline : MonaiConfig
        Names of input and output.
    device : str
        Where the network runs.
    folder : Path
        The bundle's.
    """

    def __init__(self, bundle: Bundle, pipeline: MonaiConfig, device: str, folder: Path) -> None:
        from monai.bundle.config_parser import ConfigParser

        self._name, self._pipeline, self._device = bundle.spec.name, pipeline, torch.device(device)
        self._classes = len(bundle.spec.classes)
        self._parser = ConfigParser()
        with self._explained("read"):
            self._parser.read_meta(str(folder / METADATA))
            self._parser.read_config(str(folder / INFERENCE))
            self._parser["bundle_root"] = str(folder)
            self._parser["device"] = self._device
            self._network = self._parser.get_parsed_content("network_def").to(self._device)
            self._network.load_state_dict(bundle.state_dict())
            self._network.eval()
            self._inferer = self._parser.get_parsed_content("inferer")

    def prepare(self, image: Path) -> dict[str, Any]:
        """Return what the bundle's own preparation makes of an image file."""
        with self._explained("prepare the image"):
            found = self._parser.get_parsed_content("preprocessing")({self._pipeline.image_key: str(image)})
            return dict(found)

    @torch.inference_mode()
    def infer(self, data: dict[str, Any]) -> None:
        """Add the network's output to the prepared data."""
        with self._explained("predict"):
            image = data[self._pipeline.image_key]
            found = self._inferer(torch.as_tensor(image)[None].to(self._device), self._network)
            data[self._pipeline.output_key] = _like(found[0].cpu(), image)

    def finish(self, data: dict[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return the (x, y, z) labels after the bundle's own steps, and their affine."""
        from monai.transforms.compose import Compose

        with self._explained("make labels"):
            if "postprocessing" in self._parser:
                chain = self._parser.get_parsed_content("postprocessing")
                steps = [step for step in chain.transforms if type(step).__name__ not in SAVERS]
                data = Compose(steps)(data)
            found = data[self._pipeline.output_key]
            values = torch.as_tensor(found).cpu().numpy()
            affine = np.asarray(getattr(found, "affine", np.eye(4)), np.float64)
        return self._one_map(values).astype(np.float32), affine

    def _one_map(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return one map of labels: where maps overlap, the last one counts."""
        if len(values) == 1:
            return np.asarray(values[0])
        if len(values) == self._classes:
            return np.asarray(values.argmax(axis=0))
        if len(values) == self._classes - 1:
            numbers = np.arange(1, self._classes, dtype=np.uint16).reshape(-1, 1, 1, 1)
            return np.asarray(((values > PRESENT) * numbers).max(axis=0))
        raise BundleError(
            f"{self._name} gives {len(values)} maps for {self._classes} classes, and not one label map.",
            "Use it with MONAI itself.",
        )

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            with warnings.catch_warnings():
                # About readers and transforms of MONAI's, which the user has no hand in.
                warnings.simplefilter("ignore")
                yield
        except BundleError:
            raise
        # The configuration may raise anything.
        except Exception as error:
            reason = " ".join(str(error.__cause__ or error).split())[:300]
            raise BundleError(
                f"The configuration of {self._name} could not {what} ({type(error).__name__}: {reason}).",
                "Install what it needs, or use it with MONAI itself.",
            ) from error


def _like(values: torch.Tensor, image: object) -> torch.Tensor:
    """Return a network's output with the place of its input, so that MONAI can undo the preparation."""
    from monai.data.meta_tensor import MetaTensor

    if not isinstance(image, MetaTensor):
        return values
    return MetaTensor(values, meta=dict(image.meta), applied_operations=list(image.applied_operations))


def _on_the_image(
    values: NDArray[np.float32], affine: NDArray[np.float64], geometry: Geometry, dtype: DTypeLike
) -> NDArray[np.unsignedinteger]:
    """Return (x, y, z) labels on the grid of an image, by the nearest voxel where the grids differ."""
    place = np.linalg.solve(affine, geometry.affine)
    found = ndimage.affine_transform(values, place[:3, :3], place[:3, 3], geometry.shape, order=0, mode="grid-constant")
    labels: NDArray[np.unsignedinteger] = np.rint(found).astype(dtype)
    return labels
