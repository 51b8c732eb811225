"""A source of tiny networks, for tests: `tiny:NAME`."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

from rosetta.errors import InvalidRequest
from workers.zoo.base import LatentSpace, Network, Preprocessing
from workers.zoo.locations import Locations

loads: list[str] = []


class Nested(nn.Module):
    """Its forward order is not its order of definition, and `never` does not run."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(5, 7)
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU())
        self.second = nn.Conv2d(4, 5, 3, stride=2, padding=1)
        self.never = nn.Conv2d(4, 5, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.second(self.first(images)).mean((2, 3)))


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.sound = nn.Conv2d(3, 2, 1)
        self.pair = Two()
        self.broken = nn.Conv2d(2, 2, 1)
        self.broken.weight.data.fill_(torch.nan)

    def forward(self, images: Tensor) -> Tensor:
        images = self.sound(images)
        self.pair(images)
        return self.broken(images)


class Two(nn.Module):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images, images


def load(reference: str, locations: Locations) -> Network:
    loads.append(reference)
    torch.manual_seed(0)
    given = locations.given
    digest = hashlib.sha256(given.read_bytes() if given else reference.encode()).hexdigest()
    if reference == "generator":
        module = nn.Sequential(nn.ConvTranspose2d(6, 4, 4), nn.ReLU(), nn.ConvTranspose2d(4, 3, 4, 2, 1), nn.Tanh())
        return Network(
            module=module,
            layers=("1",),
            weights_digest=digest,
            family="tiny",
            aliases=("small",),
            latents=LatentSpace(dimensions=6, height=8, width=8, classes=3),
            images=lambda output: (output + 1) / 2,
            inputs=lambda latents: (latents.values[:, :, None, None] + latents.classes[:, None, None, None],),
        )
    networks = {"nested": (Nested, ("first", "second", "last")), "odd": (Odd, ("sound",))}
    if reference not in networks:
        raise InvalidRequest(f"there is no tiny network '{reference}'")
    module_type, layers = networks[reference]
    taken = Preprocessing(height=16, width=24, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    return Network(module_type(), layers, digest, "tiny", preprocessing=taken, details={"licence": "none"})
