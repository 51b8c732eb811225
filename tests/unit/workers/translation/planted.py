"""Small networks whose truth is known."""

import torch
from torch import nn

from workers.zoo.base import LatentSpace, Network, Preprocessing
from workers.zoo.maps import plain_maps
from workers.zoo.stylegan_generator import StyleGenerator

SIDE = 8


class Painter(nn.Module):
    """Four units on an 8 x 8 grid, fired by z: the left half, the right half, the upper half, and nothing seen.

    The image is gray: 0.05 times the sum of the first three.
    """

    def __init__(self):
        super().__init__()
        self.units = nn.Identity()
        masks = torch.zeros(4, SIDE, SIDE)
        masks[0, :, :4] = masks[1, :, 4:] = masks[2, :4] = masks[3] = 1
        self.register_buffer("masks", masks)
        self.register_buffer("colours", torch.tensor([0.05, 0.05, 0.05, 0.0])[:, None, None])

    def forward(self, z):
        maps = self.units(z.abs()[:, :, None, None] * self.masks)
        return (maps * self.colours).sum(1, keepdim=True).expand(-1, 3, -1, -1)


def painter():
    """The painter as a generator."""
    return Network(
        module=Painter(),
        layers=("units",),
        weights_digest="painter",
        family="planted",
        latents=LatentSpace(4, SIDE, SIDE),
        images=lambda output: output.clamp(0, 1),
        inputs=lambda latents: (latents.values,),
        to_maps=plain_maps,
    )


class Eye(nn.Module):
    """Three units that see the gray of the image: of the left half, of the right half, and its negative everywhere."""

    def __init__(self):
        super().__init__()
        self.units = nn.Identity()
        masks = torch.zeros(3, SIDE, SIDE)
        masks[0, :, :4] = masks[1, :, 4:] = 1
        masks[2] = -1
        self.register_buffer("masks", masks)

    def forward(self, images):
        return self.units(images[:, :1] * self.masks)


def eye(side=SIDE):
    """The eye as a network that looks at images."""
    return Network(
        module=Eye(),
        layers=("units",),
        weights_digest="eye",
        family="planted",
        preprocessing=Preprocessing(side, side, (0, 0, 0), (1, 1, 1)),
        to_maps=plain_maps,
    )


class Linear(nn.Module):
    """z to a vector of units: `weight @ z`, as 1 x 1 maps; the image is gray, 0.5 + 0.01 times the first unit."""

    def __init__(self, weight):
        super().__init__()
        self.units = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        self.units.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, z):
        return (0.5 + 0.01 * self.units(z)[:, :1, None, None]).expand(-1, 3, 4, 4)


def linear(weight):
    """A generator whose first layer is linear in z."""
    return Network(
        module=Linear(weight),
        layers=("units",),
        weights_digest="linear",
        family="planted",
        latents=LatentSpace(weight.shape[1], 4, 4),
        images=lambda output: output.clamp(0, 1),
        inputs=lambda latents: (latents.values,),
        to_maps=plain_maps,
    )


class _Mapping(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.register_buffer("weight", weight)

    def forward(self, z, labels):
        return z @ self.weight.T + 5

    def mean(self, labels):
        return torch.full((len(self.weight),), 5.0)


class _Synthesis(nn.Module):
    num_ws = 3

    def forward(self, ws):
        return ws.mean((1, 2))[:, None, None, None].expand(-1, 3, 4, 4) / 100


def styled(weight):
    """A style-based generator: w = weight @ z + 5, three style vectors."""
    return Network(
        module=StyleGenerator(_Mapping(weight), _Synthesis(), len(weight)),
        layers=(),
        weights_digest="styled",
        family="planted",
        latents=LatentSpace(weight.shape[1], 4, 4, styles=(3, len(weight))),
        images=lambda output: output.clamp(0, 1),
        inputs=lambda latents: (latents.values, latents.classes, latents.truncation, latents.space),
        to_maps=plain_maps,
    )
