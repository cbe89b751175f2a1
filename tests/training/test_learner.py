from typing import Any

import pytest
import torch

from napari_medseg.models import ModelSpec
from napari_medseg.tasks import task_named
from napari_medseg.training import TrainConfig
from napari_medseg.training.learner import Batch, Learner, Pace

CPU = torch.device("cpu")
TASK = task_named("segmentation")
DYNUNET = {
    "kernel_size": [3, 3, 3], "strides": [1, 2, 2], "upsample_kernel_size": [2, 2], "filters": [4, 8, 16],
    "norm_name": ["BATCH", {"affine": True}],
}  # fmt: skip


def spec_of(**arguments: Any) -> ModelSpec:
    options = {"network": "DynUNet", "arguments": DYNUNET | arguments}
    return ModelSpec(name="m", architecture="monai", options=options, patch_size=(16, 16, 16))


def learner_of(spec: ModelSpec | None = None, fresh: tuple[str, ...] | None = None, **settings: Any) -> Learner:
    config = TrainConfig(**({"device": "cpu", "precision": "float32"} | settings))
    return Learner(spec or spec_of(), TASK, config, CPU, fresh)


def batch() -> Batch:
    torch.manual_seed(3)
    return Batch(torch.randn(2, 1, 16, 16, 16), torch.randint(-1, 2, (2, 16, 16, 16)))


def changed(learner: Learner, pace: Pace) -> set[str]:
    """Names of what a step changed, up to the first dot."""
    before = {name: tensor.clone() for name, tensor in learner.network.state_dict().items()}
    learner.step(batch(), pace, 0)
    after = learner.network.state_dict()
    return {
        name.partition(".")[0]
        for name, tensor in before.items()
        if not torch.equal(tensor, after[name]) and not name.startswith("skip_layers")
    }


ENCODER, DECODER, HEAD = {"input_block", "downsamples", "bottleneck"}, {"upsamples"}, {"output_block"}


@pytest.mark.parametrize(
    ("frozen", "learning"),
    [((), ENCODER | DECODER | HEAD), (("encoder",), DECODER | HEAD), (("encoder", "decoder"), HEAD)],
)
def test_frozen_parts_keep_their_weights_and_statistics(frozen: tuple[str, ...], learning: set[str]) -> None:
    learner = learner_of(fresh=(), freeze="staged")
    assert changed(learner, Pace(0.1, frozen=frozenset(frozen))) == learning  # type: ignore[arg-type]


def test_parts_that_thaw_learn_again() -> None:
    learner = learner_of(fresh=(), freeze="staged")
    assert changed(learner, Pace(0.1, frozen=frozenset({"encoder", "decoder"}))) == HEAD
    assert changed(learner, Pace(0.1)) == ENCODER | DECODER | HEAD


def test_a_network_that_starts_from_nothing_is_not_frozen() -> None:
    learner = learner_of(freeze="head")
    assert changed(learner, Pace(0.1, frozen=frozenset({"encoder", "decoder"}))) == ENCODER | DECODER | HEAD


def test_layers_that_were_taken_over_learn_at_a_share_of_the_rate() -> None:
    head = ("output_block.conv.conv.weight", "output_block.conv.conv.bias")
    slow = learner_of(fresh=head, body_rate=0.25, optimizer="sgd", momentum=0.0, weight_decay=0.0, gradient_clip=1e9)
    fast = learner_of(optimizer="sgd", momentum=0.0, weight_decay=0.0, gradient_clip=1e9)
    start = {name: p.detach().clone() for name, p in slow.network.named_parameters()}
    for learner in (slow, fast):
        learner.step(batch(), Pace(0.1), 0)
    for (name, ours), theirs in zip(slow.network.named_parameters(), fast.network.parameters(), strict=True):
        share = 1.0 if name in head else 0.25
        torch.testing.assert_close(ours - start[name], share * (theirs - start[name]), rtol=1e-3, atol=1e-6)


def test_sgd_is_that_of_nesterov() -> None:
    learner = learner_of(optimizer="sgd", momentum=0.9, weight_decay=0.0, gradient_clip=1e9)
    twin = learner_of(optimizer="sgd", momentum=0.0, weight_decay=0.0, gradient_clip=1e9)
    start = next(learner.network.parameters()).detach().clone()
    for each in (learner, twin):
        each.step(batch(), Pace(0.1), 0)
    # the first step with momentum m and Nesterov's look ahead goes 1 + m times as far
    ours, theirs = (next(each.network.parameters()).detach() - start for each in (learner, twin))
    torch.testing.assert_close(ours, 1.9 * theirs, rtol=1e-3, atol=1e-7)


def test_weight_decay_pulls_towards_zero() -> None:
    learner = learner_of(weight_decay=0.5)
    learner.network.requires_grad_(False)
    nothing = Batch(torch.randn(1, 1, 16, 16, 16), torch.full((1, 16, 16, 16), -1))
    before = next(learner.network.parameters()).detach().clone()
    learner.step(nothing, Pace(0.1), 0)
    torch.testing.assert_close(next(learner.network.parameters()).detach(), before * (1 - 0.1 * 0.5))


def test_dropout_sets_channels_before_the_head_to_zero() -> None:
    learner = learner_of(dropout=0.9)
    seen: list[torch.Tensor] = []
    learner.network.get_submodule("output_block.conv.conv").register_forward_hook(
        lambda _module, inputs, _output: seen.append(inputs[0])
    )
    learner.step(batch(), Pace(0.1), 0)
    channels = seen[0].flatten(2).abs().sum(-1)
    assert (channels == 0).any()
    seen.clear()
    learner.network.eval()(batch().image)
    assert (seen[0].flatten(2).abs().sum(-1) > 0).all()


@pytest.mark.parametrize("architecture", ["dynunet", "unet", "meshnet"])
def test_every_architecture_that_is_made_here_learns_with_dropout(architecture: str) -> None:
    spec = ModelSpec(name="m", architecture=architecture, patch_size=(16, 16, 16))
    assert torch.isfinite(learner_of(spec, dropout=0.5).step(batch(), Pace(0.01), 0))


def test_deep_supervision_halves_the_weight_of_each_coarser_output() -> None:
    learner = learner_of(spec_of(deep_supervision=True, deep_supr_num=1))
    outputs = learner.network(batch().image)
    assert outputs.shape[1] == 2
    target = batch().target
    fine, coarse = (TASK.loss(outputs[:, level], target) for level in range(2))
    found = learner._deep_loss(outputs, target)
    torch.testing.assert_close(found, (fine + coarse / 2) / 1.5)


def test_outputs_of_other_sizes_are_brought_to_that_of_the_target() -> None:
    learner = learner_of()
    target = batch().target
    fine, coarse = torch.randn(2, 2, 16, 16, 16), torch.randn(2, 2, 8, 8, 8)
    enlarged = torch.nn.functional.interpolate(coarse, (16, 16, 16), mode="trilinear")
    wanted = (TASK.loss(fine, target) + TASK.loss(enlarged, target) / 2) / 1.5
    torch.testing.assert_close(learner._deep_loss([fine, coarse], target), wanted)
