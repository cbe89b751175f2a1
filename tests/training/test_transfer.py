from collections.abc import Callable

import pytest
import torch

from napari_medseg.errors import ConfigError
from napari_medseg.models import Bundle, ModelSpec, build
from napari_medseg.models.anatomy import head_axes
from napari_medseg.models.retarget import fine_tuned_spec
from napari_medseg.progress import Note
from napari_medseg.training import RunFolder, train
from napari_medseg.training.transfer import fresh_parameters, load_weights
from napari_medseg.volume import LabelClass


def spec_of(*names: str, architecture: str = "dynunet", **changes: object) -> ModelSpec:
    classes = [LabelClass(value=0, name="background")]
    classes += [LabelClass(value=k, name=name) for k, name in enumerate(names, start=1)]
    options = {"features": 4, **({"max_stages": 3} if architecture == "dynunet" else {"stages": 3})}
    values = {"name": "m", "architecture": architecture, "options": options, "patch_size": (16, 16, 16)}
    return ModelSpec(**(values | {"classes": tuple(classes)} | changes))  # type: ignore[arg-type]


def bundle_of(spec: ModelSpec) -> Bundle:
    torch.manual_seed(1)
    return Bundle.create(spec, build(spec).state_dict())


def outputs(spec: ModelSpec, start: Bundle) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of the network that starts from `start`, and of `start` itself, for one patch."""
    torch.manual_seed(2)
    network = build(spec)
    load_weights(network, spec, start)
    patch = torch.randn((1, spec.channels, 16, 16, 16))
    with torch.no_grad():
        return network.eval()(patch), start.network()(patch)


@pytest.mark.parametrize("architecture", ["dynunet", "unet"])
def test_the_same_classes_give_the_same_network(architecture: str) -> None:
    spec = spec_of("liver", "spleen", architecture=architecture)
    ours, theirs = outputs(spec, bundle_of(spec))
    assert torch.equal(ours, theirs)


def test_classes_keep_their_output_wherever_they_stand() -> None:
    ours, theirs = outputs(spec_of("kidney", "spleen"), bundle_of(spec_of("spleen", "liver", "kidney")))
    torch.testing.assert_close(ours[:, [0, 1, 2]], theirs[:, [0, 3, 1]])


def test_new_classes_are_named_and_begin_anew() -> None:
    old, new = spec_of("liver"), spec_of("liver", "tumour")
    torch.manual_seed(2)
    network = build(new)
    note = load_weights(network, new, bundle_of(old))
    assert "new for tumour" in note
    ours, theirs = outputs(new, bundle_of(old))
    torch.testing.assert_close(ours[:, :2], theirs)


@pytest.mark.parametrize(
    "other",
    [spec_of("liver", architecture="unet"), spec_of("liver", options={"features": 8}), spec_of("liver", channels=2)],
)
def test_another_architecture_is_refused(other: ModelSpec) -> None:
    spec = spec_of("liver")
    with pytest.raises(ConfigError, match="cannot be the start"):
        load_weights(build(spec), spec, bundle_of(other))


def test_training_goes_on_from_a_bundle(make_run: Callable[..., RunFolder]) -> None:
    first = make_run("first")
    list(train(first))
    second = make_run("second", init=first.bundle, steps=1, learning_rate=1e-9, weight_decay=0.0, hold_out=0.0)
    events = list(train(second))
    assert any("starts from the weights of head" in event.text for event in events if isinstance(event, Note))
    before, after = Bundle.load(first.bundle).state_dict(), Bundle.load(second.bundle).state_dict()
    for key, weight in before.items():
        torch.testing.assert_close(after[key], weight, atol=1e-7, rtol=0)


def test_a_class_without_a_telling_name_is_known_by_its_value() -> None:
    old = spec_of("liver", "spleen")
    classes = (LabelClass(value=0, name="background"), LabelClass(value=2, name="class 2"))
    new = old.model_copy(update={"classes": classes})
    ours, theirs = outputs(new, bundle_of(old))
    torch.testing.assert_close(ours, theirs[:, [0, 2]])


def test_a_name_counts_more_than_a_value() -> None:
    ours, theirs = outputs(spec_of("Spleen", "tumour"), bundle_of(spec_of("liver", "spleen")))
    torch.testing.assert_close(ours[:, :2], theirs[:, [0, 2]])
    assert not torch.allclose(ours[:, 2], theirs[:, 1])


def test_what_is_fresh_are_the_heads_if_a_class_is_new() -> None:
    old = spec_of("liver")
    assert fresh_parameters(spec_of("liver"), old) == ()
    assert {name.removeprefix("skip_layers.") for name in fresh_parameters(spec_of("tumour"), old)} >= {
        "output_block.conv.conv.bias",
        "output_block.conv.conv.weight",
    }


def test_overlapping_classes_give_no_output_to_those_that_exclude_each_other() -> None:
    old = spec_of("whole", "core", output="regions")
    new = spec_of("whole", "core")
    torch.manual_seed(2)
    note = load_weights(build(new), new, bundle_of(old))
    assert "new for all classes" in note


DYNUNET = {
    "kernel_size": [3, 3, 3], "strides": [1, 2, 2], "upsample_kernel_size": [2, 2], "filters": [4, 8, 16],
    "deep_supervision": True, "deep_supr_num": 1,
}  # fmt: skip
NETWORKS = {
    "AttentionUnet": {"channels": [4, 8], "strides": [2]},
    "BasicUNet": {"features": [4, 4, 8, 8, 8, 4]},
    "DynUNet": DYNUNET,
    "HighResNet": {},
    "SegResNet": {"init_filters": 8},
    "SwinUNETR": {"feature_size": 12},
    "UNet": {"channels": [4, 8], "strides": [2], "num_res_units": 2},
    "UNETR": {"img_size": [64] * 3, "feature_size": 4, "hidden_size": 24, "mlp_dim": 24, "num_heads": 2},
    "VNet": {},
}


@pytest.mark.parametrize(("network", "arguments"), NETWORKS.items(), ids=NETWORKS)
def test_the_heads_of_networks_of_monai_are_adapted(network: str, arguments: dict[str, object]) -> None:
    options = {"network": network, "arguments": arguments}
    old = spec_of("liver", "spleen", "kidney", architecture="monai", options=options)
    new = spec_of("kidney", "tumour", architecture="monai", options=options)
    start = bundle_of(old)
    made = build(new)
    note = load_weights(made, new, start)
    assert "kept for background, kidney and new for tumour" in note
    before, after, heads = start.state_dict(), made.state_dict(), head_axes(new)
    for name, tensor in after.items():
        rows, source = tensor, before[name]
        for axis in heads.get(name, ()):
            rows = rows.index_select(axis, torch.tensor([0, 1]))
            source = source.index_select(axis, torch.tensor([0, 3]))
        assert torch.equal(rows, source), name


@pytest.mark.parametrize(
    ("network", "blocks"), [("PlainConvUNet", "n_conv_per_stage"), ("ResidualEncoderUNet", "n_blocks_per_stage")]
)
def test_the_first_fold_of_an_nnunet_goes_on_with_all_its_outputs(network: str, blocks: str) -> None:
    pytest.importorskip("dynamic_network_architectures")
    arguments = {
        "n_stages": 3, "features_per_stage": [4, 8, 16], "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3] * 3] * 3, "strides": [[1] * 3, [2] * 3, [2] * 3], "n_conv_per_stage_decoder": [1] * 2,
        "conv_bias": True, "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"affine": True}, "nonlin": "torch.nn.LeakyReLU", blocks: [1] * 3,
    }  # fmt: skip
    options = {"network": network, "arguments": arguments, "folds": 2, "mirror_axes": (0,)}
    old = spec_of("liver", "spleen", architecture="nnunet", options=options)
    new = fine_tuned_spec(old, "mine", (LabelClass(value=1, name="spleen"), LabelClass(value=2, name="tumour")))
    assert new.options["folds"] == 1
    start, made = bundle_of(old), build(new)
    load_weights(made, new, start)
    before, after = start.state_dict(), made.state_dict()
    assert not [name for name in after if name.startswith("members.1")]
    heads = [name for name in after if ".seg_layers." in name]
    assert heads
    for name in heads:
        assert torch.equal(after[name][[0, 1]], before[name][[0, 2]])
    made.train()
    patch = torch.randn(1, 1, 16, 16, 16)
    assert [tuple(out.shape[2:]) for out in made(patch)] == [(16,) * 3, (8,) * 3]
    assert made.eval()(patch).shape == (1, 3, 16, 16, 16)
