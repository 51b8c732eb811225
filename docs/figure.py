"""Draws the README's picture: a unit of a face generator, and the units of other networks that match it.

python docs/figure.py docs/rosetta-pair.png [UNIT]

The first eight samples of seed 0, and heat maps from each unit's mean over them to its 99.5th percentile; r is over
200 samples.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch.nn import functional

from workers.mining.layout import ModelLayout
from workers.mining.miner import Miner
from workers.pipelines.forward import ForwardPasses
from workers.pipelines.layers import trace
from workers.probes import GeneratorProbes
from workers.zoo import registry

MODELS = ("dcgan-faces", "efficientnet-lite0", "mobilenet-v2", "age-net")
IMAGES, SHOWN, TILE, GAP, LABEL = 200, 8, 96, 4, 222
# Anchors of matplotlib's viridis (CC0), which is perceptually uniform.
VIRIDIS = np.array(
    [(68, 1, 84), (72, 40, 120), (62, 74, 137), (49, 104, 142), (38, 130, 142), (31, 158, 137), (53, 183, 121),
     (109, 205, 89), (180, 222, 44), (253, 231, 37)]
)  # fmt: skip


def colours(values: np.ndarray) -> np.ndarray:
    """Values in [0, 1] as RGB, float [..., 3]."""
    place = values * (len(VIRIDIS) - 1)
    return np.stack([np.interp(place, range(len(VIRIDIS)), VIRIDIS[:, c]) for c in range(3)], -1)


def main(path: str, unit: int) -> None:
    """Mine the demo zoo in memory and draw."""
    networks = {name: registry.load(f"demo:{name}") for name in MODELS}
    layouts = [ModelLayout(name, tuple(trace(network, network.layers, name))) for name, network in networks.items()]
    probes = GeneratorProbes(networks["dcgan-faces"], 0, IMAGES)
    passes = ForwardPasses(
        probes, networks, {name: network.layers for name, network in networks.items()}, torch.device("cpu")
    )
    miner = Miner(layouts, [(0, 1), (0, 2), (0, 3)], [], IMAGES, "figure")
    running = miner.start(miner.passes[0])
    maps: dict[tuple[str, str], torch.Tensor] = {}

    def consume(model: str, layer: str, value: torch.Tensor) -> None:
        running.write(MODELS.index(model), layer, value)
        maps[model, layer] = value.clone()

    for positions in passes.run(miner.order.split(miner.passes[0].batch), MODELS, consume):
        running.finish_batch(positions)
    miner.finish(running)
    units = [(0, unit, 1.0)]
    for place in (1, 2, 3):
        found = miner.pair(0, place).forward.neighbours
        units.append((place, int(found.index[unit, 0]), float(found.correlation[unit, 0])))
    for _ in passes.run(
        [torch.arange(SHOWN)], MODELS, lambda m, layer, value: maps.update({(m, layer): value.clone()})
    ):
        pass
    with torch.inference_mode():
        faces = probes.network.images(probes.network.module(*probes.network.inputs(probes.latents(range(SHOWN)))))
    draw(path, faces, [(layouts[place], number, r, maps) for place, number, r in units])


def draw(path: str, faces: torch.Tensor, rows: list) -> None:
    """One row of faces, and one of heat maps for each unit."""
    big = functional.interpolate(faces, size=(TILE, TILE), mode="bicubic", antialias=True).clamp(0, 1)
    pictures = [np.asarray(face.permute(1, 2, 0)) * 255 for face in big]
    sheet = Image.new("RGB", (LABEL + SHOWN * (TILE + GAP), (len(rows) + 1) * (TILE + GAP) - GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    pen.text((8, TILE // 2 - 10), "generated faces", fill="black", font=font)
    for column, picture in enumerate(pictures):
        sheet.paste(Image.fromarray(picture.astype(np.uint8)), (LABEL + column * (TILE + GAP), 0))
    for line, (layout, number, r, maps) in enumerate(rows, 1):
        first = 0
        for layer in layout.layers:
            if number < first + layer.channels:
                break
            first += layer.channels
        values = maps[layout.name, layer.name][:, number - first][:, None]
        values = functional.interpolate(values, size=(TILE, TILE), mode="bilinear")[:, 0].numpy()
        low, high = values.mean(), np.quantile(values, 0.995)  # r asks where both lie above their means
        top = line * (TILE + GAP)
        r_text = "the unit asked for" if line == 1 else f"best match, r = {r:.2f}"
        for offset, text in enumerate((layout.name, f"unit {number} ({layer.name}:{number - first})", r_text)):
            pen.text((8, top + 16 + 21 * offset), text, fill="black", font=font)
        for column, picture in enumerate(pictures):
            heat = np.clip((values[column] - low) / (high - low), 0, 1)
            grey = picture.mean(-1, keepdims=True)
            mixed = (0.35 * grey + 0.65 * colours(heat)).astype(np.uint8)
            sheet.paste(Image.fromarray(mixed), (LABEL + column * (TILE + GAP), top))
    sheet.quantize(256).save(path, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 813)
