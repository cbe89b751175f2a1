"""The model card: what a person should know before using a model."""

from napari_medseg.models.configs import is_planar
from napari_medseg.models.family import citation, runs_in_monai, title
from napari_medseg.models.pipeline import NnUNet
from napari_medseg.models.spec import ModelSpec

VERBS = {"segmentation": "Segments", "classification": "Tells apart", "detection": "Finds"}
TILES = {"classification": "images brought to"}


def model_card(spec: ModelSpec) -> str:
    """Return ``docs/README.md`` in Markdown."""
    rows = [f"| {c.value} | {c.name} | `{c.color}` |" for c in spec.classes]
    scores = [f"| {name} | {value:.4g} |" for name, value in sorted(spec.metrics.items())]
    citations = [f"- {text}" for text in (spec.citation, citation(spec)) if text]
    parts = [
        f"# {spec.name}",
        spec.description or _purpose(spec),
        "For research only; not a medical device.",
        "## Input",
        _input_text(spec),
        "## Output",
        "\n".join(["| value | class | colour |", "|---|---|---|", *rows]) if rows else _purpose(spec),
        "## Network",
        f"{title(spec)}, {spec.dims}D, {TILES.get(spec.task, 'tiles of')} "
        f"{' x '.join(map(str, spec.patch_size))} voxels.",
        "## Measured on held-out data",
        "\n".join(["| measure | value |", "|---|---|", *scores]) if scores else "Nothing was held out.",
        "## Training data",
        f"{len(spec.training_data)} {'image and label pairs' if rows else 'images'}; their SHA-256 are in "
        "`configs/metadata.json`.",
        "## Use without napari",
        _usage(spec),
        "## Licence and citation",
        f"Weights: {spec.licence or 'no licence was stated'}.",
        "\n".join(citations),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _purpose(spec: ModelSpec) -> str:
    if spec.architecture == "unrolled":
        return "Undoes a blur. What it adds is computed, not measured."
    if spec.task == "enhancement":
        return "Makes images less noisy. What it gives is computed, not measured."
    if spec.task == "superresolution":
        factor = " x ".join(map(str, spec.options.get("factor", ())))
        return f"Makes images finer, {factor} times along the axes. What it adds is computed, not measured."
    return f"{VERBS[spec.task]} {', '.join(c.name for c in spec.foreground)}."


def _input_text(spec: ModelSpec) -> str:
    if isinstance(spec.pipeline, NnUNet):
        return f"{spec.channels} channel(s), prepared as nnU-Net does ({spec.pipeline.configuration})."
    if spec.pipeline is not None:
        return f"{spec.channels} channel(s); see the parts."
    rule = spec.intensity
    intensity = {
        "zscore": "mean 0 and standard deviation 1" + (" over nonzero voxels" if rule.nonzero else ""),
        "minmax": "smallest and largest value to 0 and 1",
        "percentile": f"percentiles {rule.low:g} and {rule.high:g} to 0 and 1, clipped",
        "window": f"values {rule.low:g} and {rule.high:g} to 0 and 1, clipped",
        "fixed": f"values {rule.low:g} and {rule.high:g} to 0 and 1, not clipped",
    }[rule.kind]
    axes = f"axes in the directions {spec.axcodes}" if spec.axcodes else "array axes as stored (z, y, x)"
    size = f"{' x '.join(f'{s:g}' for s in spec.spacing)} mm" if spec.spacing else "the image's own voxel size"
    air = "" if spec.air_below is None else f" Tiles that are all below {spec.air_below:g} count as background."
    image = f"{spec.modality or 'Any modality'}, {spec.channels} channel(s)"
    return f"{image}; {axes}; {size}; intensities: {intensity}.{air}"


def _usage(spec: ModelSpec) -> str:
    if not runs_in_monai(spec):
        return "This model runs in napari-medseg only."
    example = "photo.png" if is_planar(spec) else "scan.nii.gz"
    return (
        "With MONAI, pytorch-ignite and nibabel installed, in this folder:\n\n"
        "```\n"
        f"python -m monai.bundle run --config_file configs/inference.json --image {example} --output_dir labels\n"
        "python -m monai.bundle run --config_file configs/inference.json --dataset_dir scans --output_dir labels\n"
        "```\n\n"
        f"writes `labels/{example.replace('.', '_seg.', 1)}`. From another folder, add `--bundle_root` with the path "
        "of this one."
    )
