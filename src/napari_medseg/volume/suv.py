"""PET as the standardised uptake value by body weight."""

from dataclasses import replace

import numpy as np

from napari_medseg.volume.volume import Volume

SUV = "SUVbw"
"""Unit of the values, in g/ml."""


def in_suv(volume: Volume) -> Volume:
    """Return PET as SUVbw where its header allows; any other volume as it is.

    Examples
    --------
    >>> pet = Volume(np.full((1, 1, 1), 5000.0), None, modality="PT", units="Bq/ml", suv_factor=4e-4)
    >>> suv = in_suv(pet)
    >>> float(suv.data[0, 0, 0]), suv.units
    (2.0, 'SUVbw')
    >>> in_suv(suv) is suv
    True
    """
    factor = volume.suv_factor
    if factor is None or volume.units == SUV:
        return volume
    note = f"PET values were turned from {volume.units or 'the unit of the file'} to SUVbw by the factor {factor:.6g}."
    limits = volume.window
    return replace(
        volume,
        data=volume.data.astype(np.float32) * np.float32(factor),
        units=SUV,
        window=None if limits is None else (limits[0] * factor, limits[1] * factor),
        warnings=(*volume.warnings, note),
    )
