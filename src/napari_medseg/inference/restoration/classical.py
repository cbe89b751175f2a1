"""Enhancement without learning: filters of scikit-image, and N4 of SimpleITK."""

from collections.abc import Callable, Iterator
from functools import reduce
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import ConfigError, DataError
from napari_medseg.inference.restoration.options import TITLES, ClassicalOptions, Method
from napari_medseg.inference.restoration.restored import Restoring, rms
from napari_medseg.progress import Control, Event, Finished, Progress
from napari_medseg.volume import Volume
from napari_medseg.volume.noise import noise_level
from napari_medseg.volume.plain import plain_values
from napari_medseg.volume.sampling import gaussian_weights

N4_EDGE = 64
"""Voxels along the longest edge on which the bias field is fitted."""
LEAST = 1e-6
"""Of the range of values: what counts as nothing in deblurring."""


def enhance_classically(
    volume: Volume, options: ClassicalOptions | None = None, control: Control | None = None
) -> Iterator[Event]:
    """Enhance a volume or a plane image by a classical method.

    Parameters
    ----------
    volume : Volume
        One channel, no axes beside those of space.
    options : ClassicalOptions, optional
        How; the defaults if None.
    control : Control, optional
        Cancels before and after the method, which itself is one step.

    Yields
    ------
    Event
        `Progress`, and last `Finished` with a `Restored` without a map of uncertainty.

    Raises
    ------
    ConfigError
        If a setting that the method needs is missing.
    DataError
        If the image has colours or further axes.
    """
    options, control = options or ClassicalOptions(), control or Control()
    title = TITLES[options.method]
    restoring, values = Restoring(volume, title.lower()), plain_values(volume)
    control.checkpoint()
    yield Progress(title, 0, 1)
    result, said = _METHODS[options.method](values, volume, options)
    control.checkpoint()
    report = {"noise": noise_level(values), "changed": rms(result - values)}
    said = f"{said}; root mean square of the change: {report['changed']:.3g}{restoring.unit}"
    yield Finished(restoring.end(result, said, report))


Result = tuple[NDArray[np.float32], str]


def _level(values: NDArray[np.float32], options: ClassicalOptions) -> float:
    return max(options.level or noise_level(values), 1e-6 * (float(np.ptp(values)) or 1.0))


def _nlm(values: NDArray[np.float32], _volume: Volume, options: ClassicalOptions) -> Result:
    from skimage.restoration import denoise_nl_means

    level, strength = _level(values, options), 0.7 * options.strength
    size = {"patch_size": 3, "patch_distance": 4} if values.ndim == 3 else {"patch_size": 5, "patch_distance": 8}
    done = denoise_nl_means(values, h=strength * level, sigma=level, fast_mode=True, **size)
    return np.asarray(done, np.float32), f"non-local means, for noise of {level:.3g}, strength {options.strength:g}"


def _tv(values: NDArray[np.float32], _volume: Volume, options: ClassicalOptions) -> Result:
    from skimage.restoration import denoise_tv_chambolle

    level = _level(values, options)
    done = denoise_tv_chambolle(values, weight=0.6 * options.strength * level, max_num_iter=100)
    return np.asarray(done, np.float32), f"total variation, for noise of {level:.3g}, strength {options.strength:g}"


def _median(values: NDArray[np.float32], _volume: Volume, _options: ClassicalOptions) -> Result:
    from scipy.ndimage import median_filter

    return np.asarray(median_filter(values, 3), np.float32), "median of 3 voxels along each axis"


def _clahe(values: NDArray[np.float32], _volume: Volume, options: ClassicalOptions) -> Result:
    from skimage.exposure import equalize_adapthist

    low, high = float(values.min()), float(values.max())
    if high == low:
        return values, "local contrast"
    limit = min(1.0, 0.01 * options.strength)
    # Another axis keeps scikit-image from taking three or four columns for colours.
    done = equalize_adapthist(((values - low) / (high - low))[..., None], clip_limit=limit)[..., 0]
    return np.asarray(low + (high - low) * done, np.float32), f"local contrast (CLAHE), clipping limit {limit:g}"


def _deblur(values: NDArray[np.float32], volume: Volume, options: ClassicalOptions) -> Result:
    from skimage.restoration import richardson_lucy

    if options.blur_mm is None:
        raise ConfigError("Deblurring needs the width of the blur.", "Give blur_mm, such as 1.5.")
    spacing = (1.0,) * values.ndim if volume.geometry is None else volume.geometry.spacing
    low, span = float(values.min()), float(np.ptp(values)) or 1.0
    psf = reduce(np.multiply.outer, [gaussian_weights(options.blur_mm / step) for step in spacing])
    reach = [(size // 2, size // 2) for size in psf.shape]
    padded = np.pad((values - low) / span + LEAST, reach, mode="edge")
    done = richardson_lucy(padded, psf, num_iter=options.rounds, clip=False)
    inside = tuple(slice(before, -after or None) for before, after in reach)
    said = f"Richardson-Lucy, {options.rounds} rounds, Gaussian blur of {options.blur_mm:g} mm (FWHM)"
    return np.asarray(low + span * (done[inside] - LEAST), np.float32), said


def _n4(values: NDArray[np.float32], _volume: Volume, _options: ClassicalOptions) -> Result:
    try:
        sitk = import_module("SimpleITK")
    except ImportError as error:
        raise ConfigError("Bias correction needs SimpleITK.", "Install napari-medseg[bias].") from error
    if values.ndim != 3 or min(values.shape) < 4 or not (values > 0).any():
        raise DataError("Bias correction is for volumes of four slices or more, with values above 0.")
    image = sitk.GetImageFromArray(values)
    mask = sitk.OtsuThreshold(image, 0, 1, 200)
    step = [max(1, -(-n // N4_EDGE)) for n in reversed(values.shape)]
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations([30, 30, 20])
    n4.Execute(sitk.Shrink(image, step), sitk.Shrink(mask, step))
    field = sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(image))
    return (values / np.exp(field)).astype(np.float32), "bias field taken out (N4)"


_METHODS: dict[Method, Callable[[NDArray[np.float32], Volume, ClassicalOptions], Result]] = {
    "nlm": _nlm,
    "tv": _tv,
    "median": _median,
    "clahe": _clahe,
    "deblur": _deblur,
    "n4": _n4,
}
