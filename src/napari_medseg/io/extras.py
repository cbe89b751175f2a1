"""What this package knows of a volume and a file format has no field for, as one line of JSON inside the file."""

import json
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from napari_medseg.volume import LabelClass, Volume

KEY = "napari-medseg"
"""Name of the free field that holds the line."""


class Extras(BaseModel):
    """Kind, units and classes. No name and no identifier: a file may be passed on."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["image", "labels"] = "image"
    modality: str | None = None
    units: str | None = None
    window: tuple[float, float] | None = None
    classes: tuple[LabelClass, ...] = ()

    @classmethod
    def of(cls, volume: Volume) -> Self:
        """Return what is to be kept of a volume."""
        return cls(
            kind=volume.kind,
            modality=volume.modality,
            units=volume.units,
            window=volume.window,
            classes=volume.classes,
        )

    @classmethod
    def parse(cls, line: str | None) -> Self:
        """Return what a file says, or the defaults if it says nothing."""
        return cls() if line is None else cls.model_validate_json(line)

    @property
    def line(self) -> str:
        """The JSON text; ASCII, without line breaks."""
        return json.dumps(self.model_dump(mode="json", exclude_defaults=True))

    def fields(self) -> dict[str, Any]:
        """Return the arguments for `Volume`."""
        return {name: getattr(self, name) for name in type(self).model_fields}
