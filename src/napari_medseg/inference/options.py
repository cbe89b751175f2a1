"""How to predict."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from napari_medseg.inference.postprocess.steps import PostProcessing
from napari_medseg.models.pipeline import NnUNet
from napari_medseg.models.spec import OVERLAP, ModelSpec


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
    precision: Literal["float32", "bfloat16", "float16", "auto"] = "float32"
    """Number format of the network's arithmetic. ``float32`` is what MONAI does alone. With ``auto``, larger jobs begin
    with a short measurement of number formats, memory formats and batch sizes on a tile of the image, and take the
    fastest that gives the same labels to one voxel in a thousand; what it found is remembered for the device and the
    network, and smaller jobs take float32."""
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    """Order of the network's numbers in memory; ``auto`` is part of the measurement of precision ``auto``, and else
    contiguous."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Whether PyTorch compiles the network first, which takes a minute; ``auto`` is part of the measurement of
    precision ``auto``, for jobs that are long enough, and else off."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Threads of the CPU; None leaves PyTorch's choice."""
    overlap: Annotated[float, Field(ge=0, le=0.9)] = OVERLAP
    """Share of a tile that it has in common with the next; more is slower and smoother. The default stands for what the
    model says: half a tile with models of nnU-Net, a fifth with TotalSegmentator's."""
    batch_size: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Tiles at once; None chooses from the network, or by the measurement of precision ``auto``. Too many for the
    memory are reduced on the way."""
    probabilities: bool = False
    """Whether to keep the probability of every class, in addition to the labels."""
    uncertainty: bool = False
    """Whether to keep how undecided the network is at each voxel (the entropy of its probabilities, from 0 to 1)."""
    measure: Annotated[Literal["entropy", "mutual_information"], Field(title="Uncertainty is")] = "entropy"
    """What uncertainty is. ``mutual_information``: for an ensemble, only what its members disagree about; without what
    each of them is undecided about by itself."""
    flip_axes: tuple[Literal[0, 1, 2], ...] = ()
    """Axes of the network's grid along which tiles are also seen mirrored, in all combinations: the probabilities are
    averaged, which takes twice as long for each axis. A network for planes is not mirrored along axis 0."""
    skip_air: bool = True
    """Whether tiles that the model knows to be background by the image's values alone are not computed."""
    region: tuple[tuple[int, int], ...] | Path | None = None
    """Where to predict: first voxel and end along each of the image's own axes, or a file of labels on the image's grid
    whose nonzero voxels count. Only tiles that touch it are computed; inside, labels are as without a region, and
    outside is background."""
    postprocessing: PostProcessing = PostProcessing()
    """Steps after the network, on the labels; probabilities stay as the network gave them."""


def own_overlap(spec: ModelSpec, options: PredictOptions) -> float:
    """Return the share of a tile that it has in common with the next: the model's own, unless another was chosen."""
    if options.overlap != OVERLAP:
        return options.overlap
    return spec.pipeline.overlap if isinstance(spec.pipeline, NnUNet) else spec.overlap
