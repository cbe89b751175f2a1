"""Sharp images and how they look blurred, for networks that undo a blur."""

import numpy as np

from napari_medseg.errors import DataError
from napari_medseg.inference.restoration.sharper import sight
from napari_medseg.models.spec import ModelSpec
from napari_medseg.models.zoo.unrolled import UnrolledOptions
from napari_medseg.training.restoration.config import EnhancementConfig
from napari_medseg.training.restoration.material import LEAST, SIZES, Image
from napari_medseg.training.restoration.pairs import Fine, example_of
from napari_medseg.training.restoration.shelf import Shelf
from napari_medseg.volume.noise import noise_level
from napari_medseg.volume.sampling import AxisSampling, blurred


def blurred_pairs(spec: ModelSpec, config: EnhancementConfig, images: list[Image], shelf: Shelf) -> Fine:
    """Return pairs of sharp images and what a blur makes of them.

    Noise is added as strong as it is in the images, or as `EnhancementConfig.level` says: what a network of sharp
    images without noise would learn makes noise large.

    Raises
    ------
    DataError
        If no image is large enough.
    """
    width = UnrolledOptions(**spec.options).width
    edge = sight(width)
    large = [image.values[None] for image in images if min(image.values.shape) >= LEAST]
    if not large:
        raise DataError(f"The images have fewer than {LEAST} voxels along an axis.", "Choose larger images.")
    examples = tuple(example_of(values, blurred(values, width), edge, shelf=shelf) for values in large)
    shares = [
        (noise_level(values[0]) if config.level is None else config.level) / float(example.scale.deviation)
        for values, example in zip(large, examples, strict=True)
    ]
    smallest = np.min([example.thick.shape[1:] for example in examples], axis=0)
    patch = tuple(min(p + 2 * edge, int(n)) for p, n in zip(spec.patch_size, smallest, strict=True))
    same, size = tuple(AxisSampling(1) for _ in range(spec.dims)), config.batch_size or SIZES[spec.dims]
    return Fine(examples, same, patch, size, config.seed, float(np.mean(shares)), edge)
