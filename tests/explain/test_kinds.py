"""Methods on networks whose maps can be computed by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from napari_medseg.errors import ConfigError
from napari_medseg.explain import ExplainOptions, method_named, methods
from napari_medseg.explain.kinds.lime import superpixels
from napari_medseg.explain.layers import grid_of, prepared
from napari_medseg.explain.question import Question, Score
from napari_medseg.models import ModelSpec, build
from napari_medseg.volume import LabelClass

SHAPES = [(1, 2, 8, 9), (1, 1, 6, 5, 7)]


def linear_question(shape, batch=7, **options) -> tuple[Question, torch.Tensor]:
    """Return a question about a sum with known weights, and those."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), 1))
    image, baseline = torch.randn(shape), torch.randn(shape)
    score = Score(prepared(network), lambda output: output[:, 0], lambda _images: None)
    chosen = ExplainOptions(per_channel=True, noise=0.0, **options)
    return Question(score, image, baseline, chosen, batch), network[1].weight.detach().reshape(shape)[0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("method", ["integrated-gradients", "shap"])
def test_a_sum_is_shared_out_exactly(shape, method):
    question, weights = linear_question(shape)
    found = method_named(method).attribute(question)
    expected = weights * (question.image - question.baseline)[0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        difference = question.score(question.image) - question.score(question.baseline)
    torch.testing.assert_close(found.sum()[None], difference, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_smoothgrad_of_a_sum_is_its_weights(shape):
    question, weights = linear_question(shape)
    torch.testing.assert_close(method_named("smoothgrad").attribute(question), weights)


@pytest.mark.parametrize("shape", SHAPES)
def test_occlusion_of_a_sum_voxel_by_voxel(shape):
    question, weights = linear_question(shape, window=1, stride=1)
    found = method_named("occlusion").attribute(question)
    torch.testing.assert_close(found, weights * (question.image - question.baseline)[0], rtol=1e-3, atol=1e-5)


def test_occlusion_is_the_mean_of_the_windows_over_a_voxel():
    question, weights = linear_question((1, 1, 4, 6), window=2, stride=2)
    parts = (weights * (question.image - question.baseline)[0]).reshape(2, 2, 3, 2).sum(dim=(1, 3))
    expected = parts.repeat_interleave(2, dim=0).repeat_interleave(2, dim=1)[None]
    torch.testing.assert_close(method_named("occlusion").attribute(question), expected, rtol=1e-4, atol=1e-5)


def test_all_channels_of_a_window_are_hidden_together():
    question, weights = linear_question((1, 3, 5, 5), window=1, stride=1)
    together = Question(question.score, question.image, question.baseline, ExplainOptions(window=1, stride=1), 5)
    expected = (weights * (question.image - question.baseline)[0]).sum(dim=0, keepdim=True)
    torch.testing.assert_close(method_named("occlusion").attribute(together), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_lime_of_a_sum_is_that_of_each_part(shape):
    question, weights = linear_question(shape, superpixels=9, samples=120)
    found = method_named("lime").attribute(question)
    parts = superpixels(question.image[0].numpy(), 9)
    shares = (weights * (question.image - question.baseline)[0]).sum(dim=0).numpy()
    expected = np.array([shares[parts == part].sum() for part in range(parts.max() + 1)])[parts]
    np.testing.assert_allclose(found[0].numpy(), expected, rtol=1e-3, atol=1e-3)


def test_the_sum_of_integrated_gradients_is_the_difference_of_a_curved_score():
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(4 * 36, 1))
    image, baseline = torch.randn(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    score = Score(prepared(network), lambda output: output[:, 0], lambda _images: None)
    found = method_named("integrated-gradients").attribute(Question(score, image, baseline, ExplainOptions(), 5))
    with torch.no_grad():
        torch.testing.assert_close(found.sum()[None], score(image) - score(baseline), rtol=1e-4, atol=1e-5)


def test_grad_cam_by_hand():
    """One convolution, mean, weights 3 and -2: the map is the positive part of 3 a - 2 b, over the number of voxels."""
    network = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 1))
    network[0].weight.data = torch.tensor([1.0, 0.5]).view(2, 1, 1, 1)
    network[3].weight.data = torch.tensor([[3.0, -2.0]])
    image = torch.tensor([[1.0, -1.0], [2.0, 0.0]])[None, None]
    score = Score(prepared(network), lambda output: output[:, 0], lambda _images: None)
    question = Question(score, image, image * 0, ExplainOptions(), 1)
    found = method_named("grad-cam").attribute(question)
    expected = ((3 * image - 2 * 0.5 * image) / 4).clamp(min=0)[0]
    torch.testing.assert_close(found, expected)
    assert question.shared["layer"] == "0"
    plus = method_named("grad-cam++").attribute(question)
    torch.testing.assert_close(plus / plus.max(), (image / 2).clamp(min=0)[0])


def test_feature_maps_are_the_layer_s_strongest():
    network = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1))
    network[0].weight.data = torch.tensor([1.0, 5.0, 2.0]).view(3, 1, 1, 1)
    network[3].weight.data = torch.tensor([[1.0, 0.0, 1.0]])
    image = torch.rand(1, 1, 4, 4)
    score = Score(prepared(network), lambda output: output[:, 0], lambda _images: None)
    question = Question(score, image, image * 0, ExplainOptions(features=2), 1)
    found = method_named("feature-maps").attribute(question)
    torch.testing.assert_close(found, torch.cat([2 * image[0], image[0]]))


@pytest.mark.parametrize(
    ("architecture", "edges", "layer"),
    [
        ("resnet18_small", (32, 32), "layer4"),
        ("cnn_small", (16, 16, 16), "11"),
        ("squeezenet1_1", (64, 64), "classifier.2"),
        ("resnet10_3d", (48, 48, 48), "layer4"),
    ],
)
def test_the_last_layer_with_a_grid_is_taken(architecture, edges, layer):
    classes = tuple(LabelClass(value=k, name=f"c{k}") for k in range(2))
    options = {"width": 2} if architecture.endswith("small") else {}
    spec = ModelSpec(
        name="m", architecture=architecture, options=options, task="classification", dims=len(edges), classes=classes,
        axcodes=None, patch_size=edges,
    )  # fmt: skip
    torch.manual_seed(0)
    question = _about(build(spec), edges)
    grid = grid_of(question)
    assert grid.name == layer
    assert grid.values.shape[0] == 1
    assert min(grid.values.shape[2:]) > 1
    assert method_named("grad-cam").attribute(question).shape == (1, *edges)


def _about(network, edges, **options) -> Question:
    score = Score(prepared(network), lambda output: output[:, 1], lambda _images: None)
    image = torch.rand(1, 1, *edges)
    return Question(score, image, image * 0, ExplainOptions(**options), 4)


def test_tokens_of_a_transformer_are_laid_out_as_a_grid():
    from torchvision.models import VisionTransformer

    torch.manual_seed(0)
    network = VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=2)
    network.conv_proj = nn.Conv2d(1, 16, 8, 8)
    # torchvision begins with a last layer of zeros.
    nn.init.normal_(network.heads.head.weight)
    question = _about(network, (32, 32))
    grid = grid_of(question)
    assert grid.name == "encoder.layers.encoder_layer_1.ln_1"
    assert grid.values.shape == (1, 16, 4, 4)
    # The token of the class is left out, and rows come before columns.
    tokens = {}
    network.encoder.layers[1].ln_1.register_forward_hook(lambda _m, _i, output: tokens.update(found=output))
    network(question.image)
    torch.testing.assert_close(grid.values[0, :, 1, 2], tokens["found"][0, 1 + 4 + 2])
    assert method_named("grad-cam").attribute(question).shape == (1, 32, 32)


def test_a_volume_of_tokens():
    from monai.networks.nets import ViT

    torch.manual_seed(0)
    network = ViT(1, 16, 8, hidden_size=12, mlp_dim=12, num_layers=1, num_heads=2, classification=True, num_classes=2)
    head = nn.Sequential(network)
    score = Score(prepared(head), lambda output: output[0][:, 1], lambda _images: None)
    image = torch.rand(1, 1, 16, 16, 16)
    question = Question(score, image, image * 0, ExplainOptions(), 4)
    grid = grid_of(question)
    assert grid.values.shape == (1, 12, 2, 2, 2)
    assert "norm1" in grid.name


def test_a_network_without_a_grid_is_refused_by_what_needs_one():
    question, _weights = linear_question((1, 1, 4, 4))
    for method in ("grad-cam", "grad-cam++", "feature-maps"):
        with pytest.raises(ConfigError, match="occlusion, LIME"):
            method_named(method).attribute(question)


def test_every_method_says_what_it_does():
    for method in methods():
        assert method.about.endswith(".")
        assert set(method.uses) <= set(ExplainOptions.model_fields)
        assert method_named(method.name) is method


@pytest.mark.parametrize("method", ["occlusion", "lime", "integrated-gradients", "smoothgrad", "shap"])
def test_the_expected_passes_are_about_right(method):
    question, _weights = linear_question((1, 2, 16, 16), superpixels=4)
    seen = []
    question.score._seen = seen.append
    method_named(method).attribute(question)
    assert sum(seen) == pytest.approx(method_named(method).passes(question), rel=0.3)


class Pyramid(nn.Module):
    """A fine layer that speaks for the cue, and a coarse one that speaks against it."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(1, 1, 2, stride=2), nn.AvgPool2d(8)
        nn.init.constant_(self.fine.weight, 0.25)
        nn.init.zeros_(self.fine.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fine(images).amax(dim=(1, 2, 3)) - 0.1 * self.coarse(images).amax(dim=(1, 2, 3))


def test_grad_cam_goes_to_a_finer_layer_where_the_coarse_one_says_nothing_for_the_class():
    image = torch.zeros((1, 1, 16, 16))
    image[:, :, 4:6, 10:12] = 1
    score = Score(prepared(Pyramid()), lambda output: output, lambda _images: None)
    question = Question(score, image, image * 0, ExplainOptions(), 4, {"dense": True})
    found = method_named("grad-cam").attribute(question)[0]
    assert question.shared["layer"] == "fine"
    assert found[4:6, 10:12].sum() > 0.3 * found.sum() > 0
    chosen = Question(score, image, image * 0, ExplainOptions(layer="coarse"), 4, {"dense": True})
    assert not method_named("grad-cam").attribute(chosen).any()
