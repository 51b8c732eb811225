"""StyleGAN3 (t and r, Karras et al. 2021) and StyleGAN-XL (Sauer et al. 2022) from their published pickles."""

from __future__ import annotations

from collections.abc import Mapping as Table
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from workers.zoo import maps, records, weights
from workers.zoo.base import LatentSpace
from workers.zoo.records import Record
from workers.zoo.stylegan3_geometry import Layer
from workers.zoo.stylegan3_layers import AliasFreeLayer, FourierFeatures
from workers.zoo.stylegan3_mapping import Mapping, MappingSizes
from workers.zoo.stylegan3_settings import published_layers, read, settings, stored_layers
from workers.zoo.stylegan_built import Built
from workers.zoo.stylegan_generator import StyleGenerator

_OUTPUT_SCALE = 0.25  # what the published networks multiply the last layer by


class Synthesis(nn.Module):
    """Styles to an image, layer by layer."""

    def __init__(self, layers: Table[str, Layer], styles: int, scale: float = _OUTPUT_SCALE) -> None:
        """Has its filters; the rest is zeros and random numbers until weights are loaded.

        Args:
            layers: by name, in forward order; the last makes the colours.
            styles: W, numbers of w.
            scale: that the colours are multiplied by.
        """
        super().__init__()
        self.names, self.scale = tuple(layers), scale
        self.input = FourierFeatures(layers[self.names[0]].before, styles)
        for name, layer in layers.items():
            self.add_module(name, AliasFreeLayer(layer, styles))
        self.num_ws = 1 + len(layers)

    def forward(self, ws: Tensor) -> Tensor:
        """[N, colours, H, H] of [N, L, W]: a w for the Fourier features, and one for each layer."""
        first, *others = ws.unbind(1)
        maps = self.input(first)
        for name, w in zip(self.names, others, strict=True):
            maps = self.get_submodule(name)(maps, w)
        return maps * self.scale


@dataclass(frozen=True)
class ImageMaps:
    """Reads layers' outputs as maps of the image: the canvas around it is cut away.

    The signals of StyleGAN3 go beyond the image, so that its border is nothing special (Karras et al. 2021,
    section 3.2); a map that is compared with another network's has to show what the image shows.

    Attributes:
        margins: samples around the image, by layer.
    """

    margins: Table[str, int]

    def __call__(self, layer: str, output: Any) -> Tensor:
        """[N, C, rate, rate] of a synthesis layer; any other layer's output as it is.

        Raises:
            LayerError: when the output is neither maps nor a vector.
        """
        found, margin = maps.plain_maps(layer, output), self.margins.get(layer, 0)
        return found[:, :, margin : found.shape[2] - margin, margin : found.shape[3] - margin]


def build(record: Record, file: str) -> Built:
    """The generator of a persistent `Generator` (stylegan3, stylegan-xl) or `SuperresGenerator` (stylegan-xl).

    The second is a first one whose last layers were replaced by a head for a higher resolution, maybe several times;
    all of its layers are in the file.

    Raises:
        InvalidRequest: when it is another network; names the first keys that do not fit.
    """
    state = records.state_dict(record)
    modules = Record(record.kind, records.attribute(record, "_modules", dict))
    synthesis = records.attribute(modules, "synthesis", Record)
    grown = "head_layer_names" in record.state
    layers = stored_layers(synthesis) if grown else published_layers(record, file)
    sizes = _mapping_sizes(records.attribute(modules, "mapping", Record), state)
    scale = read(settings(synthesis), (), ("output_scale",)).get("output_scale", _OUTPUT_SCALE)
    architecture = _architecture(layers, sizes)
    with torch.device("meta"):  # what does not fit costs no memory
        module = StyleGenerator(Mapping(sizes), Synthesis(layers, sizes.styles, scale), sizes.styles)
    if reason := weights.misfit(module.state_dict(), state):
        raise weights.mismatch(file, architecture, reason)
    module.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    return _built(module, layers, architecture)


def _mapping_sizes(record: Record, state: Table[str, Tensor]) -> MappingSizes:
    # The attribute `num_layers` is the argument; StyleGAN-XL's class embedding is a plain table, without bias.
    found = read(settings(record), ("z_dim", "w_dim", "c_dim"), ("num_layers", "lr_multiplier"))
    table = state.get("mapping.embed.weight") if "mapping.embed.bias" not in state else None
    return MappingSizes(
        latents=found["z_dim"],
        styles=found["w_dim"],
        classes=found["c_dim"],
        depth=found.get("num_layers", 2),
        rate=found.get("lr_multiplier", 0.01),
        table=None if table is None or table.ndim != 2 else (table.shape[0], table.shape[1]),
    )


def _architecture(layers: Table[str, Layer], sizes: MappingSizes) -> str:
    *others, last = layers.values()
    side = f"{last.after.size} x {last.after.size}"
    if sizes.table:
        return f"StyleGAN-XL ({side})"
    return f"StyleGAN3-{'r' if any(layer.radial for layer in others) else 't'} ({side})"


def _built(module: StyleGenerator, layers: Table[str, Layer], architecture: str) -> Built:
    sizes, side = module.mapping.sizes, list(layers.values())[-1].after.size
    margins = {f"synthesis.{name}": layer.after.margin for name, layer in layers.items()}
    name = architecture.partition(" ")[0].lower()
    return Built(
        module=module,
        space=LatentSpace(
            dimensions=sizes.latents,
            height=side,
            width=side,
            classes=sizes.classes or None,
            styles=(module.synthesis.num_ws, sizes.styles),
        ),
        layers=tuple(f"synthesis.{name}" for name, layer in layers.items() if not layer.colours),
        architecture=architecture,
        aliases=("stylegan-xl", "stylegan xl") if sizes.table else ("stylegan3", "stylegan 3", name),
        to_maps=ImageMaps({**margins, "synthesis.input": module.synthesis.input.signal.margin}),
    )
