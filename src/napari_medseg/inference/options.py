"""How to predict."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from napari_medseg.inference.postprocess.steps import PostProcessing
from napari_medseg.models.configs import OVERLAP


class PredictOptions(BaseModel):
    """How to predict; the defaults give the same labels as the bundle run by MONAI itself.

    MONAI computes tiles of air, too, so a model with a rule for them gives the same labels if its network finds
    background there.

    Examples
    --------
    >>> PredictOptions(overlap=0.5).precision
    'float32'
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    device: str = "auto"
    """``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``."""
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Number format of the network's arithmetic; ``auto`` takes the faster bfloat16 where the processor computes in
    it, and then a few voxels on borders may differ."""
    overlap: Annotated[float, Field(ge=0, le=0.9)] = OVERLAP
    """Share of a tile that it has in common with the next; more is slower and smoother."""
    batch_size: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Tiles at once; None chooses from the network. Too many for the memory are reduced on the way."""
    probabilities: bool = False
    """Whether to keep the probability of every class, in addition to the labels."""
    uncertainty: bool = False
    """Whether to keep how undecided the network is at each voxel (the entropy of its probabilities, from 0 to 1)."""
    flip_axes: tuple[Literal[0, 1, 2], ...] = ()
    """Axes of the network's grid along which tiles are also seen mirrored, in all combinations: the probabilities are
    averaged, which takes twice as long for each axis. A network for planes is not mirrored along axis 0."""
    skip_air: bool = True
    """Whether tiles that the model knows to be background by the image's values alone are not computed."""
    postprocessing: PostProcessing = PostProcessing()
    """Steps after the network, on the labels; probabilities stay as the network gave them."""
