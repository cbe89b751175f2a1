"""How near an image is to the true one."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

HFEN_SIGMA = 1.5
"""Standard deviation in voxels of the Laplacian of Gaussian that picks out edges (Ravishankar and Bresler 2011)."""


def psnr(image: NDArray[np.floating], truth: NDArray[np.floating], peak: float | None = None) -> float:
    """Return the peak signal-to-noise ratio in dB.

    Parameters
    ----------
    image, truth : arrays of one shape
        What was computed, and what is right.
    peak : float, optional
        Range of values; None takes that of `truth`.
    """
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
