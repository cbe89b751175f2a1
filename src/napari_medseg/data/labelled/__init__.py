"""Images with their classes: where they are, what they show, and which part of them is learnt from."""

from napari_medseg.data.labelled.images import Pictures, picture_of
from napari_medseg.data.labelled.listing import LabelledImages, find_labelled
from napari_medseg.data.labelled.parts import Parts, split_folds, split_parts
from napari_medseg.data.labelled.table import read_table

__all__ = [
    "LabelledImages", "Parts", "Pictures", "find_labelled", "picture_of", "read_table", "split_folds", "split_parts",
]  # fmt: skip
