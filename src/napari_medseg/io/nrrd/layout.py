"""Which axis of a NRRD file is space, colour or something else, and where the grid lies in the patient."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import ReadError
from napari_medseg.io.grids import LPS_TO_RAS, MM_PER_UNIT, NO_ORIGIN, UNORIENTED, grid_of, unoriented
from napari_medseg.io.nrrd.header import NrrdHeader
from napari_medseg.volume import Geometry

SPACE_KINDS = ("domain", "space")
COLOUR_KINDS = {"rgb-color": 3, "3-color": 3, "rgba-color": 4, "4-color": 4}
NAMES = {"time": "time", "list": "frame", "domain": "frame", "space": "frame", "": "frame"}
"""Name of a leading axis by its kind; any other kind holds the components of a vector or matrix."""

WAYS = {
    "right": (0, 1),
    "left": (0, -1),
    "anterior": (1, 1),
    "posterior": (1, -1),
    "superior": (2, 1),
    "inferior": (2, -1),
}
"""RAS+ axis and sign of the words that name a space."""
SHORT = {"ras": "right-anterior-superior", "las": "left-anterior-superior", "lps": "left-posterior-superior"}

UNNAMED = "The file does not say how its space lies in the patient; left-posterior-superior was assumed."
Role = Literal["space", "colour", "complex", "lead"]


@dataclass(frozen=True, eq=False)
class Layout:
    """What the axes of the file are, the fastest first."""

    roles: tuple[Role, ...]
    names: tuple[str, ...]
    """Of the leading axes, the slowest first, without those of length one."""
    geometry: Geometry | None
    """Grid of the spatial axes, the slowest first."""
    to_ras: NDArray[np.float64]
    """(3, 3) rotation of the file's space into RAS+."""
    warnings: tuple[str, ...]

    @property
    def is_complex(self) -> bool:
        """Whether the last axis of `arranged` is (real, imaginary)."""
        return "complex" in self.roles

    def arranged(self, stored: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return a view of the file's array (slowest axis first) as (leading..., spatial..., colour or complex)."""
        slowest_first = self.roles[::-1]
        order = [axis for wanted in ("lead", "space", "colour", "complex") for axis in _where(slowest_first, wanted)]
        array = stored.transpose(order)
        lead = len(_where(slowest_first, "lead"))
        return array.reshape(*(n for n in array.shape[:lead] if n > 1), *array.shape[lead:])


def layout_of(header: NrrdHeader) -> Layout:
    """Return the meaning of the axes.

    Raises
    ------
    ReadError
        If the file has not two or three spatial axes, or their directions contradict one another.
    """
    roles = _roles(header)
    spatial = _where(roles, "space")
    if len(spatial) not in (2, 3):
        raise ReadError(
            f"{header.path.name} has {len(spatial)} spatial axes among {header.sizes}; an image has two or three.",
            "Check the fields 'kinds' and 'space directions'.",
        )
    to_ras, notes = _space(header)
    geometry, more = _geometry(header, spatial, to_ras)
    if "complex" in roles:
        more = [*more, "The values are complex numbers; their magnitude is shown."]
    return Layout(roles, _names(header, roles), geometry, to_ras, (*notes, *more))


def _where(roles: Sequence[str], wanted: str) -> list[int]:
    return [axis for axis, role in enumerate(roles) if role == wanted]


def _roles(header: NrrdHeader) -> tuple[Role, ...]:
    roles = [_role(header, axis) for axis in range(len(header.sizes))]
    surplus = _where(roles, "space")[3:]
    return tuple("lead" if axis in surplus else role for axis, role in enumerate(roles))


def _role(header: NrrdHeader, axis: int) -> Role:
    kind, size = header.kinds[axis], header.sizes[axis]
    if any(vector is not None for vector in header.vectors):
        vector = header.vectors[axis]
        if vector is not None and vector[:3].any():
            return "space"
    # nan among spacings is how a file without directions marks an axis that is no space.
    elif kind in SPACE_KINDS or (not kind and not _only_here_nan(header, axis)):
        return "space"
    if COLOUR_KINDS.get(kind) == size:
        return "colour"
    return "complex" if kind == "complex" and size == 2 else "lead"


def _only_here_nan(header: NrrdHeader, axis: int) -> bool:
    return bool(np.isnan(header.spacings[axis]) and not np.isnan(header.spacings).all())


def _names(header: NrrdHeader, roles: tuple[Role, ...]) -> tuple[str, ...]:
    names: list[str] = []
    for axis in reversed(_where(roles, "lead")):
        if header.sizes[axis] == 1:
            continue
        # A step in a space with time that does not move is a step in time.
        in_time = header.vectors[axis] is not None
        name = "time" if in_time else NAMES.get(header.kinds[axis], "component")
        names.append(name if name not in names else f"{name}{len(names) + 1}")
    return tuple(names)


def _space(header: NrrdHeader) -> tuple[NDArray[np.float64], list[str]]:
    """Return the rotation of the file's space into RAS+, and what had to be assumed."""
    name = header.fields.get("space", "").lower().removesuffix("-time")
    name = SHORT.get(name if len(name) != 4 else name.removesuffix("t"), name)
    words = name.split("-")
    if len(words) == 3 and {WAYS[word][0] for word in words if word in WAYS} == {0, 1, 2}:
        rotation = np.zeros((3, 3))
        for column, (axis, sign) in enumerate(WAYS[word] for word in words):
            rotation[axis, column] = sign
        return rotation, []
    known = any(vector is not None for vector in header.vectors)
    return LPS_TO_RAS, [UNNAMED] if known else []


def _geometry(header: NrrdHeader, spatial: list[int], to_ras: NDArray[np.float64]) -> tuple[Geometry | None, list[str]]:
    sizes = [header.sizes[axis] for axis in spatial]
    vectors = [header.vectors[axis] for axis in spatial]
    given = [vector for vector in vectors if vector is not None]
    if not given:
        return _from_spacings(header, spatial, sizes)
    scale, notes = _scale(header.words("space units"))
    steps = np.array([_three(vector, header) for vector in given]) * scale @ to_ras.T
    if header.origin is None:
        return grid_of(steps, np.zeros(3), sizes), [*notes, NO_ORIGIN]
    return grid_of(steps, to_ras @ _three(header.origin, header) * scale, sizes), notes


def _from_spacings(header: NrrdHeader, spatial: list[int], sizes: list[int]) -> tuple[Geometry | None, list[str]]:
    """Return a grid without orientation, or none if the file does not know all distances."""
    spacings = [abs(header.spacings[axis]) for axis in spatial]
    if not np.isfinite(spacings).all() or 0 in spacings:
        return None, []
    units = header.words("units")
    scale, notes = _scale([units[axis] for axis in spatial if axis < len(units)])
    return unoriented([spacing * scale for spacing in spacings], sizes), [*notes, UNORIENTED]


def _three(vector: NDArray[np.float64], header: NrrdHeader) -> NDArray[np.float64]:
    """Return x, y, z of a vector in a space of two, three or (with time) four dimensions."""
    if len(vector) not in (2, 3, 4) or not np.isfinite(vector).all():
        raise ReadError(
            f"{header.path.name} has the vector {vector.tolist()}; two to four finite numbers are needed.",
            "Repair the header.",
        )
    return np.array([*vector[:3], 0.0][:3])


def _scale(units: Sequence[str]) -> tuple[float, list[str]]:
    """Return the mm of the file's unit of length."""
    found = {unit.lower() for unit in units[:3] if unit}
    scales = {MM_PER_UNIT[unit] for unit in found if unit in MM_PER_UNIT}
    if len(scales) != 1 or len(found) != sum(unit in MM_PER_UNIT for unit in found):
        return 1.0, [f"The unit of length {'/'.join(sorted(found))!r} is not known; mm was assumed."] if found else []
    scale = scales.pop()
    return scale, [] if scale == 1.0 else [f"The header's positions are in {found.pop()}; they were converted to mm."]
