"""MONAI bundles of other makers, as far as their configuration is plain data: converted, never executed."""

from napari_medseg.models.foreign.conversion import convert

__all__ = ["convert"]
