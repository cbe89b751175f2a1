"""Gradient table of a diffusion-weighted NRRD file."""

import re

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import ReadError
from napari_medseg.io.nrrd.header import NrrdHeader
from napari_medseg.io.nrrd.layout import Layout

GRADIENT = re.compile(r"DWMRI_gradient_(\d{1,6})", re.IGNORECASE)
REPEATS = re.compile(r"DWMRI_NEX_(\d{1,6})", re.IGNORECASE)


def gradients(header: NrrdHeader, layout: Layout) -> dict[str, NDArray[np.float64]]:
    """Return ``b_value`` (n,) in s/mm² and ``b_vector`` (n, 3) as unit RAS+ directions; empty for other images.

    The b-value of the header is that of the longest gradient; others scale with the square of their length.
    """
    if header.keys.get("modality", "").upper() != "DWMRI" or "DWMRI_b-value" not in header.keys:
        return {}
    table = _table(header)
    lengths = np.linalg.norm(table, axis=1)
    if not len(table) or not np.isfinite(lengths).all() or not lengths.any():
        return {}
    frame = header.measurement_frame
    rotation = np.column_stack(frame) if len(frame) == 3 else np.eye(3)
    directions = table @ rotation.T @ layout.to_ras.T
    norms = np.linalg.norm(directions, axis=1, keepdims=True)
    directions = np.divide(directions, norms, out=np.zeros_like(directions), where=norms > 0)
    b_values = float(header.keys["DWMRI_b-value"]) * (lengths / lengths.max()) ** 2
    return {"b_value": b_values, "b_vector": directions}


def _table(header: NrrdHeader) -> NDArray[np.float64]:
    """Return the gradients, each repeated as often as the header says."""
    repeats = {int(found[1]): int(value) for key, value in header.keys.items() if (found := REPEATS.fullmatch(key))}
    rows: dict[int, list[float]] = {}
    for key, value in header.keys.items():
        if (found := GRADIENT.fullmatch(key)) and value.strip().lower() not in ("n/a", ""):
            row = [float(word) for word in value.split()]
            if len(row) != 3:
                raise ReadError(f"{header.path.name} has {key} = {value[:40]!r}: three numbers are needed.")
            rows |= {
                int(found[1]) + i: row for i in range(max(1, min(repeats.get(int(found[1]), 1), max(header.sizes))))
            }
    return np.array([rows[number] for number in sorted(rows)], dtype=np.float64).reshape(-1, 3)
