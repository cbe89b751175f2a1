"""Grad-CAM and Grad-CAM++."""

from typing import TYPE_CHECKING

from napari_medseg.explain.registry import Method, register

if TYPE_CHECKING:
    import torch

    from napari_medseg.explain.layers import Grid
    from napari_medseg.explain.question import Question


def grad_cam(question: "Question") -> "torch.Tensor":
    """Return the features of a layer, weighted by the mean slope of the score in each, where they speak for it."""
    return _map(question, "GradCAM")


def grad_cam_plus_plus(question: "Question") -> "torch.Tensor":
    """Return the same with weights that count rising slopes only, for several objects of the class."""
    return _map(question, "GradCAMpp")


class _Caught:
    """Answers like a network with MONAI's hooks.

    Parameters
    ----------
    grid : Grid
        What the hooks would have caught.
    """

    def __init__(self, grid: "Grid") -> None:
        self._grid = grid
        # Grad-CAM++ takes the exponential of the score, which may be infinite; it is a factor of the whole map.
        self.score = grid.score * 0

    def __call__(
        self, _image: "torch.Tensor", **_keywords: object
    ) -> "tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]":
        """Return score, values and slopes."""
        return self._grid.score, [self._grid.values], [self._grid.gradient]


def _map(question: "Question", name: str) -> "torch.Tensor":
    """Let MONAI compute the map, from values and slopes that may come from tokens, and bring it to the image."""
    import torch
    from monai.visualize import class_activation_maps

    from napari_medseg.explain.layers import grid_of

    # MONAI's own hooks know nothing of tokens, so its arithmetic is given what they would have caught.
    caught = class_activation_maps.ModelWithHooks(question.score, ())
    cam = getattr(class_activation_maps, name)(caught, ())

    def of(grid: "Grid") -> torch.Tensor:
        cam.nn_module = _Caught(grid)
        found: torch.Tensor = cam.compute_map(question.image, class_idx=0)
        return found

    coarse = of(grid_of(question, lambda grid: bool(of(grid).any())))
    mode = "bilinear" if question.dims == 2 else "trilinear"
    fine = torch.nn.functional.interpolate(coarse, question.image.shape[2:], mode=mode, align_corners=False)
    return fine[0]


register(
    Method(
        "grad-cam",
        "Grad-CAM",
        "Where the features of a late layer speak for the class; coarse, and only what speaks for it.",
        grad_cam,
        lambda _question: 1,
        signed=False,
        uses=("layer",),
    )
)
register(
    Method(
        "grad-cam++",
        "Grad-CAM++",
        "Like Grad-CAM, weighted so that several objects of the class are all seen.",
        grad_cam_plus_plus,
        lambda _question: 1,
        signed=False,
        uses=("layer",),
    )
)
