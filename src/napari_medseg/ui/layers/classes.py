"""Class names and colours of labels layers."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from napari.utils.colormaps import DirectLabelColormap

from napari_medseg.data import BACKGROUND_VALUE
from napari_medseg.volume import LabelClass

if TYPE_CHECKING:
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_medseg.results.table import Row

MOST_NAMED = 256
"""A label map with more values than this numbers objects, not classes."""

PAINTED_BACKGROUND = LabelClass(value=BACKGROUND_VALUE, name="background (painted)", color="#7f7f7f")
"""What the user marks as belonging to no class, as opposed to not looked at."""


def class_display(classes: Iterable[LabelClass]) -> dict[str, Any]:
    """Return the ``features`` and ``colormap`` of a labels layer with these classes.

    0 is transparent; a value that no class has is magenta, so that nobody paints it unseen.
    """
    named = sorted((c for c in classes if c.value), key=lambda c: c.value)
    colors: dict[int | None, Any] = {None: "magenta", 0: "transparent"}
    colors |= {c.value: c.color for c in named}
    return {
        "colormap": DirectLabelColormap(color_dict=colors),
        "features": pd.DataFrame(
            {"index": [0, *(c.value for c in named)], "name": ["background", *(c.name for c in named)]}
        ),
    }


def set_classes(layer: "Labels", classes: Iterable[LabelClass]) -> None:
    """Give a labels layer class names and colours; its voxels stay as they are."""
    display = class_display(classes)
    layer.colormap = display["colormap"]
    layer.features = display["features"]


def set_measures(layer: "Labels", measures: "Mapping[int, Row]") -> None:
    """Put what was measured of each class beside its name in a layer's features, which napari shows as a table.

    Parameters
    ----------
    layer : Labels
        Keeps the names that it has; a layer without names takes those of the measures.
    measures : mapping of int to mapping
        Cells by heading, by class value.
    """
    named = _names(layer) or {0: "background"}
    names = {value: str(row["class"]) for value, row in measures.items()} | named
    headings = [heading for heading in next(iter(measures.values()), {}) if heading not in ("value", "class")]
    values = sorted(names)
    columns = {heading: [measures.get(value, {}).get(heading) for value in values] for heading in headings}
    table = {"index": values, "name": [names[value] for value in values], **columns}
    layer.features = pd.DataFrame(table)


def classes_of(layer: "Labels") -> tuple[LabelClass, ...]:
    """Return the classes that a labels layer names, in order of value, without background.

    Colours are those shown; a layer without names has no classes.
    """
    return tuple(
        LabelClass(value=value, name=name, color=shown_color(layer, value))
        for value, name in sorted(_names(layer).items())
        if value not in (0, BACKGROUND_VALUE) and 0 < value <= 65535 and name
    )


def present_classes(labels: "NDArray[np.integer]") -> tuple[LabelClass, ...]:
    """Return a numbered class for each value that occurs, 0 left out; none if the values number objects."""
    low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    if low < 0 or high > 65535:
        return ()
    found = np.zeros(high + 1, dtype=bool)
    for block in labels.reshape(-1, labels.shape[-1]) if labels.ndim < 3 else labels:
        found[block] = True
    values = np.flatnonzero(found)
    if len(values) > MOST_NAMED:
        return ()
    return tuple(LabelClass(value=int(value), name=f"class {value}") for value in values if value)


def _names(layer: "Labels") -> dict[int, str]:
    """Return what a layer calls its values; nothing for one without names."""
    features = layer.features
    if "index" not in features or "name" not in features:
        return {}
    return {int(value): str(name) for value, name in zip(features["index"], features["name"], strict=True)}


def shown_color(layer: "Labels", value: int) -> str:
    """Return the colour of a value as ``#rrggbb``."""
    color = layer.get_color(value)
    red, green, blue = (0, 0, 0) if color is None else (round(255 * float(part)) for part in color[:3])
    return f"#{red:02x}{green:02x}{blue:02x}"
