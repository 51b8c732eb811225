"""The perceptual distance of two images, LPIPS, where its weights are at hand (Zhang et al. 2018).

The package has the weights of the distance itself; AlexNet's own, which it builds on, are looked for as those of any
network are: in a weights folder, then in the hub's cache.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from rosetta.errors import InvalidRequest
from service.settings import Settings
from workers.translation.objective import Distance
from workers.zoo import weights
from workers.zoo.locations import Locations

_FILE = "alexnet-owt-7be5be79.pth"
_URL = f"https://download.pytorch.org/models/{_FILE}"


def load(settings: Settings, device: torch.device) -> Distance:
    """LPIPS of images float32 [B, 3, H, W] in [0, 1]: float32 [B]; gradients pass.

    Raises:
        InvalidRequest: when the package or AlexNet's weights are not there, with the mend.
    """
    locations = Locations(None, settings.weights_dirs)
    return _build(locations.file([_FILE], of="AlexNet, which LPIPS builds on", url=_URL), device)


def load_if_there(settings: Settings, device: torch.device) -> Distance | None:
    """As `load`; None where something is missing, and nothing is downloaded."""
    found = Locations(None, settings.weights_dirs).in_folders([_FILE])
    cached = Path(torch.hub.get_dir()) / "checkpoints" / _FILE
    file = found or (cached if cached.is_file() else None)
    try:
        return None if file is None else _build(file, device)
    except InvalidRequest:
        return None


def _build(file: Path, device: torch.device) -> Distance:
    try:
        import lpips
    except ImportError as error:
        raise InvalidRequest("LPIPS needs its package: pip install 'rosetta-neurons[perceptual]'") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks torchvision in an old way
        module: nn.Module = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    state = {key: value for key, value in weights.read_state(file).items() if key.startswith("features.")}
    # The package cuts AlexNet's features in five slices, whose layers keep their numbers.
    slices = {
        key.rpartition("slice")[2].partition(".")[2]: key
        for key in module.net.state_dict()  # type: ignore[union-attr]
    }
    renamed = {slices[name]: value for key, value in state.items() if (name := key.removeprefix("features.")) in slices}
    weights.fit(module.net, renamed, file=file.name, architecture="AlexNet, which LPIPS builds on")  # type: ignore[arg-type]
    module.requires_grad_(False).eval().to(device)

    def distance(a: Tensor, b: Tensor) -> Tensor:
        found: Tensor = module(a, b, normalize=True)
        return found.flatten()

    return distance
