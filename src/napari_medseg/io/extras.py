"""What this package knows of a volume and a file format has no field for, as one line of JSON inside the file."""

import json
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from napari_medseg.volume import LabelClass, Volume

KEY = "napari-medseg"
"""Name of the free field that holds the line."""


class Extras(BaseModel):
    """Kind, units, axes and classes. No name and no identifier: a file may be passed on."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["image", "labels"] = "image"
    modality: str | None = None
    units: str | None = None
    window: tuple[float, float] | None = None
    axes: tuple[str, ...] = ()
    axis_values: dict[str, list[float] | list[list[float]]] = {}
    classes: tuple[LabelClass, ...] = ()
    derivation: str = ""

    @classmethod
    def of(cls, volume: Volume) -> Self:
        """Return what is to be kept of a volume."""
        return cls(
            kind=volume.kind,
            modality=volume.modality,
            units=volume.units,
            window=volume.window,
            axes=volume.axes,
            axis_values={name: np.asarray(values).tolist() for name, values in volume.axis_values.items()},
            classes=volume.classes,
            derivation=volume.derivation,
        )

    @classmethod
    def parse(cls, line: str | None) -> Self:
        """Return what a file says, or the defaults if it says nothing."""
        return cls.model_validate_json(line) if line else cls()

    @property
    def line(self) -> str:
        """The JSON text: ASCII, without line breaks and spaces, so that a format may cut it where it likes."""
        text = json.dumps(self.model_dump(mode="json", exclude_defaults=True), separators=(",", ":"))
        return text.replace(" ", "\\u0020")

    def applied(self, volume: Volume) -> Volume:
        """Return the volume with what is known beyond the format's own fields, which win where both speak."""
        volume = self._with_axes(volume)
        return replace(
            volume,
            kind="labels" if self.kind == "labels" and volume.data.dtype.kind in "iu" else volume.kind,
            modality=volume.modality or self.modality,
            units=volume.units or self.units,
            window=volume.window or self.window,
            classes=volume.classes or self.classes,
            derivation=self.derivation,
        )

    def _with_axes(self, volume: Volume) -> Volume:
        """Return the volume with the leading axes that were written: names, order and values."""
        if len(self.axes) != len(volume.axes):
            return volume
        order = list(range(volume.data.ndim))
        if set(self.axes) == set(volume.axes):
            order[: len(self.axes)] = [volume.axes.index(name) for name in self.axes]
        data = volume.data.transpose(order)
        values = {name: np.array(numbers, dtype=np.float64) for name, numbers in self.axis_values.items()}
        fitting = {name: array for name, array in values.items() if self.axes and len(array) == data.shape[0]}
        return replace(volume, data=data, axes=self.axes, axis_values=dict(volume.axis_values) | fitting)


def fields_of(line: str, most: int) -> dict[str, str]:
    """Return the line in numbered fields of at most `most` characters, for readers that end at a fixed length."""
    parts = [line[start : start + most] for start in range(0, len(line), most)]
    return {f"{KEY}-{number}": part for number, part in enumerate(parts, start=1)}


def line_in(fields: dict[str, Any]) -> str:
    """Return the line that `fields_of` cut; empty if it is not there."""
    parts: list[str] = []
    while (part := fields.get(f"{KEY}-{len(parts) + 1}")) is not None:
        parts.append(str(part))
    return "".join(parts)
