"""MONAI bundles of other makers: converted if their configuration is data, else left to MONAI, if they are trusted."""

from napari_medseg.models.foreign.conversion import convert
from napari_medseg.models.foreign.trusted import trusted_config

__all__ = ["convert", "trusted_config"]
