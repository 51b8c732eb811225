"""A generator whose maps are linear in its latents, so that the latents can be told from the maps."""

import torch
from torch import nn

from workers.translation.targets import LayerTargets, Pair, Side, Targets
from workers.zoo.base import LatentSpace, Network
from workers.zoo.maps import plain_maps

LATENTS, COARSE, FINE = 6, 5, 7  # dimensions of z, and units of either layer
COARSE_SIDE, FINE_SIDE = 4, 8
MEAN, STD = 0.7, 1.6  # that every unit is said to have


class Plane(nn.Module):
    """Two layers of maps, each `bias + sum_i z_i basis_i`, and an image that mixes the units of the second."""

    def __init__(self, poison=None, classes=0):
        super().__init__()
        draw = torch.Generator().manual_seed(3)
        for name, units, side in (("coarse", COARSE, COARSE_SIDE), ("fine", FINE, FINE_SIDE)):
            self.register_buffer(f"{name}_basis", torch.randn(LATENTS, units, side, side, generator=draw))
            self.register_buffer(f"{name}_bias", torch.randn(units, side, side, generator=draw))
            setattr(self, name, nn.Identity())
        self.register_buffer("colours", torch.randn(3, FINE, generator=draw))
        self.register_buffer("offsets", 2 * torch.randn(max(1, classes), COARSE, 1, 1, generator=draw))
        self.after = nn.ReLU(inplace=True)  # overwrites what was recorded, as many networks do
        self.poison, self.calls, self.finished = poison, 0, 0

    def forward(self, z, classes=None):
        self.calls += 1
        if self.poison is not None:
            z = self.poison(z)
        coarse = torch.einsum("ni,ichw->nchw", z, self.coarse_basis) + self.coarse_bias
        self.after(self.coarse(coarse if classes is None else coarse + self.offsets[classes]))
        fine = self.fine(torch.einsum("ni,ichw->nchw", z, self.fine_basis) + self.fine_bias)
        self.finished += 1
        return torch.einsum("dc,nchw->ndhw", self.colours, fine) * 0.05


def plane(poison=None, classes=0):
    """The plane as a generator; `poison` may spoil latents on their way in. Each class has an offset of its own."""
    return Network(
        module=Plane(poison, classes).eval(),
        layers=("coarse", "fine"),
        weights_digest="plane",
        family="planted",
        latents=LatentSpace(LATENTS, FINE_SIDE, FINE_SIDE, classes=classes or None),
        images=torch.sigmoid,
        inputs=lambda latents: (latents.values, latents.classes),
        to_maps=plain_maps,
    )


def own_maps(z, classes=None):
    """Both layers' maps of latents, by layer; `classes` int64 [N] of a plane with three."""
    module, found = Plane(classes=3), {}
    for layer in ("coarse", "fine"):
        basis, bias = getattr(module, f"{layer}_basis"), getattr(module, f"{layer}_bias")
        found[layer] = torch.einsum("ni,ichw->nchw", z, basis) + bias
    if classes is not None:
        found["coarse"] += module.offsets[classes]
    return found


def pair(layer, channel, model_layer="seen", model_channel=0, weight=1.0, minimum=None):
    """A pair of a unit of the plane and one of some model, both of the same statistics."""
    return Pair(Side(layer, channel, MEAN, STD), Side(model_layer, model_channel, MEAN, STD, minimum), weight)


def targets_of(z, classes=None):
    """What a model would see whose units are the plane's own: all pairs, standardised."""
    layers = []
    for layer, maps in own_maps(z, classes).items():
        pairs = tuple(pair(layer, channel, layer, channel) for channel in range(maps.shape[1]))
        layers.append(LayerTargets(layer, pairs, (maps - MEAN) / STD))
    return Targets(tuple(layers))
