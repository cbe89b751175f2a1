"""Labelled samples, patches, augmentation and splits."""

from napari_medseg.data.sample import BACKGROUND_VALUE, Sample, make_sample
from napari_medseg.tasks import UNLABELLED

__all__ = ["BACKGROUND_VALUE", "UNLABELLED", "Sample", "make_sample"]
