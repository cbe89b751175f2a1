"""A table of the volume of each class."""

from collections.abc import Mapping, Sequence

from qtpy.QtWidgets import QWidget

from napari_medseg.ui.widgets.number_table import NumberTable
from napari_medseg.volume import LabelClass


class VolumeTable(NumberTable):
    """Colour, name and ml per class.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Volume of each class in millilitres, from the image's own voxel size", parent)

    def show_volumes(self, classes: Sequence[LabelClass], volumes_ml: Mapping[str, float] | None) -> None:
        """Show the volumes.

        Parameters
        ----------
        classes : sequence of LabelClass
            In the order of the rows.
        volumes_ml : mapping of str to float, optional
            Volume per class name; None hides the table.
        """
        known = volumes_ml or {}
        named = [entry.name for entry in classes if entry.name in known]
        self.show_rows([{"class": name, "ml": known[name]} for name in named], {c.name: c.color for c in classes})
