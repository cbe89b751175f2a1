"""The classes of a label map: number, name and colour."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

PALETTE = (
    "#e6194b", "#3cb44b", "#ffe119", "#4363d8", "#f58231", "#911eb4", "#46f0f0", "#f032e6", "#bcf60c", "#fabebe",
    "#008080", "#e6beff", "#9a6324", "#fffac8", "#800000", "#aaffc3", "#808000", "#ffd8b1", "#000075", "#a9a9a9",
)  # fmt: skip
"""Twenty distinct colours (S. Trubetskoy), class value 1 first; repeats after twenty."""


class LabelClass(BaseModel):
    """One class of a label map.

    Examples
    --------
    >>> LabelClass(value=1, name="liver").color
    '#e6194b'
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    value: Annotated[int, Field(ge=0, le=65535)]
    """Number in the label map; 0 is background."""
    name: Annotated[str, Field(min_length=1)]
    """As shown to the user."""
    color: Annotated[str, Field(pattern=r"^(#[0-9a-fA-F]{6})?$")] = ""
    """``#rrggbb``; from the palette if it is empty."""

    def model_post_init(self, _context: object) -> None:
        """Fill in the palette's colour."""
        if not self.color:
            object.__setattr__(self, "color", PALETTE[(self.value - 1) % len(PALETTE)] if self.value else "#000000")
