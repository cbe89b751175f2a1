"""Feature maps of a layer."""

from typing import TYPE_CHECKING

from napari_medseg.explain.registry import Method, register

if TYPE_CHECKING:
    import torch

    from napari_medseg.explain.question import Question


def feature_maps(question: "Question") -> "torch.Tensor":
    """Return the features of a layer on which the score depends most, the strongest first."""
    import torch

    from napari_medseg.explain.layers import grid_of

    grid = grid_of(question)
    chosen = question.shared.get("features")
    if chosen is None:
        worth = (grid.values * grid.gradient).abs().flatten(2).sum(dim=2)[0]
        chosen = worth.topk(min(question.options.features, len(worth))).indices
        question.shared["features"] = chosen
    mode = "bilinear" if question.dims == 2 else "trilinear"
    shown = grid.values[:, chosen]
    return torch.nn.functional.interpolate(shown, question.image.shape[2:], mode=mode, align_corners=False)[0]


register(
    Method(
        "feature-maps",
        "Feature maps",
        "What a layer of the network gives at each place: the features on which the score depends most.",
        feature_maps,
        lambda _question: 1,
        signed=True,
        uses=("layer", "features"),
    )
)
