"""How near an image is to the true one."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from napari_medseg.errors import DataError
from napari_medseg.io.case_names import same_names
from napari_medseg.io.format import stem
from napari_medseg.io.named import by_stem
from napari_medseg.io.orientation import onto_grid
from napari_medseg.volume import Volume
from napari_medseg.volume.grey import as_grey
from napari_medseg.volume.plain import plain_values

SPREAD = "-uncertainty"
"""End of the names of maps of uncertainty, which lie beside the images that they are about."""
HFEN_SIGMA = 1.5
"""Standard deviation in voxels of the Laplacian of Gaussian that picks out edges (Ravishankar and Bresler 2011)."""


@dataclass(frozen=True)
class ImageScores:
    """How near an image is to the true one, and what that was measured on."""

    name: str
    """Of the true image."""
    psnr: float
    """In dB."""
    ssim: float
    hfen: float
    voxels: int
    """All of the image's."""
    low: float
    """Least value of the true image."""
    high: float
    """Largest one; PSNR and SSIM take the difference as the range."""

    def __str__(self) -> str:
        what = f"{self.name}, on all of its {self.voxels} voxels with values from {self.low:g} to {self.high:g}"
        return f"PSNR {self.psnr:.2f} dB, SSIM {self.ssim:.4f}, HFEN {self.hfen:.4f} against {what}"


def score_image(image: Volume, truth: Volume) -> ImageScores:
    """Compare an image with the true one.

    Parameters
    ----------
    image, truth : Volume
        What was computed, and what is right: of the same voxels, whichever way their axes run.

    Raises
    ------
    DataError
        If they have other voxels, or colours or further axes.
    """
    image, truth = as_grey(image), as_grey(truth)
    for volume in (image, truth):
        if volume.rgb or volume.axes:
            raise DataError(f"{volume.name} has colours or further axes.", "Compare images of one channel.")
    both = image.geometry is not None and truth.geometry is not None
    moved = onto_grid(truth, image.geometry) if both and image.geometry is not None else truth
    if moved is None or moved.spatial_shape != image.spatial_shape:
        raise DataError(f"{truth.name} has other voxels than {image.name}.", "Compare images of one grid.")
    right, known = plain_values(moved), np.isfinite(np.asarray(image.data)) & np.isfinite(np.asarray(moved.data))
    # Where one of them is no number there is nothing to compare.
    scores = compare(np.where(known, plain_values(image), right), right)
    voxels = int(np.count_nonzero(known))
    return ImageScores(truth.name, **scores, voxels=voxels, low=float(right.min()), high=float(right.max()))


def image_pairs(predictions: Path, references: Path) -> dict[str, tuple[Path, Path]]:
    """Return computed and true image by name.

    Parameters
    ----------
    predictions, references : Path
        Two images, or folders of images of the same names without suffix; maps of uncertainty are left out.

    Raises
    ------
    DataError
        If no image has its reference.
    """
    if predictions.is_file() and references.is_file():
        return {stem(references): (predictions, references)}
    computed = {name: path for name, path in by_stem(predictions, "images").items() if not name.endswith(SPREAD)}
    found, truth, _ = same_names(computed, by_stem(references, "images"))
    pairs = {name: (found[name], path) for name, path in truth.items() if name in found}
    if not pairs:
        raise DataError(f"No image in {predictions} has a reference in {references}.", "Give both the same names.")
    return pairs


def psnr(image: NDArray[np.floating], truth: NDArray[np.floating], peak: float | None = None) -> float:
    """Return the peak signal-to-noise ratio in dB; infinite for images that are alike.

    Parameters
    ----------
    image, truth : arrays of one shape
        What was computed, and what is right.
    peak : float, optional
        Range of values; None takes that of `truth`.
    """
    with np.errstate(divide="ignore"):
        return float(peak_signal_noise_ratio(_float(truth), _float(image), data_range=peak or _range(truth)))


def ssim(image: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Return the mean structural similarity (Wang et al. 2004), with the Gaussian weights of its authors; at most 1."""
    return float(
        structural_similarity(
            _float(truth),
            _float(image),
            data_range=_range(truth),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def hfen(image: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Return the high-frequency error norm: the error of the edges over the edges; 0 is best."""
    edges = ndimage.gaussian_laplace(_float(truth), HFEN_SIGMA)
    error = ndimage.gaussian_laplace(_float(image), HFEN_SIGMA) - edges
    return float(np.linalg.norm(error) / np.linalg.norm(edges))


def compare(image: NDArray[np.floating], truth: NDArray[np.floating]) -> dict[str, float]:
    """Return ``psnr`` in dB, ``ssim`` and ``hfen``."""
    return {"psnr": psnr(image, truth), "ssim": ssim(image, truth), "hfen": hfen(image, truth)}


def _float(values: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)


def _range(truth: NDArray[np.floating]) -> float:
    return float(truth.max() - truth.min()) or 1.0
