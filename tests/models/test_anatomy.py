import pytest

from napari_medseg.models import ModelSpec
from napari_medseg.models.anatomy import head_axes, parts

DYNUNET = {
    "kernel_size": [3, 3, 3], "strides": [1, 2, 2], "upsample_kernel_size": [2, 2], "filters": [4, 8, 16],
    "deep_supervision": True, "deep_supr_num": 1,
}  # fmt: skip
UNETR = {"img_size": [64] * 3, "feature_size": 4, "hidden_size": 24, "mlp_dim": 24, "num_heads": 2}
NNUNET = {
    "n_stages": 3, "features_per_stage": [4, 8, 16], "conv_op": "torch.nn.modules.conv.Conv3d",
    "kernel_sizes": [[3] * 3] * 3, "strides": [[1] * 3, [2] * 3, [2] * 3], "n_conv_per_stage_decoder": [1] * 2,
    "conv_bias": True, "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d", "norm_op_kwargs": {"affine": True},
    "nonlin": "torch.nn.LeakyReLU", "nonlin_kwargs": {"inplace": True},
}  # fmt: skip
# network, arguments, and where its encoder, decoder and head begin
FAMILIES = [
    ("AttentionUnet", {"channels": [4, 8, 16], "strides": [2, 2]}, ("model.0", "model.1.upconv", "model.2")),
    ("BasicUNet", {"features": [4, 4, 8, 8, 8, 4]}, ("down_4", "upcat_4", "final_conv")),
    ("DynUNet", DYNUNET, ("bottleneck", "upsamples", "deep_supervision_heads")),
    ("HighResNet", {}, ("blocks.0", None, "blocks")),
    ("SegResNet", {"init_filters": 8}, ("down_layers", "up_layers", "conv_final")),
    ("SwinUNETR", {"feature_size": 12}, ("swinViT", "decoder5", "out")),
    ("UNet", {"channels": [4, 8, 16], "strides": [2, 2]}, ("model.1.submodule.1", "model.1.submodule.2", "model.2")),
    ("UNETR", UNETR, ("vit", "decoder5", "out")),
    ("VNet", {}, ("down_tr256", "up_tr256", "out_tr")),
]


def spec_of(architecture: str, options: dict, **changes: object) -> ModelSpec:
    return ModelSpec(name="m", architecture=architecture, options=options, patch_size=(64, 64, 64), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("network", "arguments", "begins"), FAMILIES, ids=[name for name, *_ in FAMILIES])
def test_the_parts_of_networks_of_monai(network: str, arguments: dict, begins: tuple[str, str | None, str]) -> None:
    found = parts(spec_of("monai", {"network": network, "arguments": arguments}))
    for part, name in zip(("encoder", "decoder", "head"), begins, strict=True):
        names = [key for key, value in found.items() if value == part]
        assert bool(names) == (name is not None)
        assert name is None or any(key.startswith(f"{name}.") for key in names)
    encoder, decoder, _ = begins
    ours = {value for key, value in found.items() if key.startswith(f"{encoder}.")}
    assert ours == {"encoder"}
    if decoder is not None:
        assert "encoder" not in {value for key, value in found.items() if key.startswith(f"{decoder}.")}


@pytest.mark.parametrize(
    ("network", "blocks"), [("PlainConvUNet", "n_conv_per_stage"), ("ResidualEncoderUNet", "n_blocks_per_stage")]
)
def test_the_parts_of_networks_of_nnunet(network: str, blocks: str) -> None:
    pytest.importorskip("dynamic_network_architectures")
    spec = spec_of("nnunet", {"network": network, "arguments": NNUNET | {blocks: [1] * 3}})
    found = parts(spec)
    assert {value for key, value in found.items() if key.startswith("members.0.encoder.")} == {"encoder"}
    assert {value for key, value in found.items() if ".transpconvs." in key} == {"decoder"}
    heads = {key for key, value in found.items() if value == "head"}
    # outputs at both resolutions of the decoder, with weight and bias
    assert len(heads) == 4
    assert all(".seg_layers." in key for key in heads)


def test_heads_are_the_tensors_that_know_the_classes() -> None:
    heads = head_axes(spec_of("dynunet", {"features": 4, "max_stages": 3}))
    assert {key.removeprefix("skip_layers.") for key in heads} >= {
        "output_block.conv.conv.weight",
        "output_block.conv.conv.bias",
    }
    assert set(heads.values()) == {(0,)}


def test_a_network_of_one_resolution_is_an_encoder() -> None:
    assert set(parts(spec_of("meshnet", {})).values()) == {"encoder", "head"}


def test_planes() -> None:
    spec = ModelSpec(name="m", architecture="dynunet", options={"features": 4}, dims=2, patch_size=(32, 32))
    assert set(parts(spec).values()) == {"encoder", "decoder", "head"}
