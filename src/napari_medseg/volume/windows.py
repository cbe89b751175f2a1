"""Display windows that radiologists know by name."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """A range of values to be shown from black to white."""

    name: str
    center: float
    width: float

    @property
    def limits(self) -> tuple[float, float]:
        """Lower and upper display limit.

        Examples
        --------
        >>> Window("Lung", -600, 1500).limits
        (-1350.0, 150.0)
        """
        return self.center - self.width / 2, self.center + self.width / 2


CT_WINDOWS = (
    Window("Brain", 40, 80),
    Window("Stroke", 40, 40),
    Window("Subdural", 75, 215),
    Window("Soft tissue", 50, 400),
    Window("Liver", 60, 160),
    Window("Mediastinum", 50, 350),
    Window("Lung", -600, 1500),
    Window("Angiography", 300, 600),
    Window("Bone", 400, 1800),
    Window("Temporal bone", 600, 2800),
)
"""Usual windows of computed tomography, in HU."""
