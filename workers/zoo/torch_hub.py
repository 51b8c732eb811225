"""The source `hub:`: networks that their authors publish for torch.hub, such as `hub:facebookresearch/dino:main/ENTRY`.

torch.hub runs the code of a repository, and a service must not. So this knows entries, the same architecture in
timm and where their weights lie; nothing of the repository is fetched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from rosetta.errors import InvalidRequest
from workers.zoo import options
from workers.zoo import timm as timm_source
from workers.zoo.base import Network
from workers.zoo.locations import Locations

_REFERENCE = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+?)(:[\w.-]+)?/(?P<entry>\w+)", re.ASCII)


@dataclass(frozen=True)
class _Entry:
    """A network: its architecture in timm, the URL of its weights, its family and licence."""

    architecture: str
    url: str
    family: str
    licence: str


def _dino(architecture: str, file: str) -> _Entry:
    # Caron et al. 2021, Emerging properties in self-supervised vision transformers: the table of backbones.
    url = f"https://dl.fbaipublicfiles.com/dino/{file}/{file}.pth"
    return _Entry(architecture, url, family="dino", licence="apache-2.0")


_ENTRIES = {
    "facebookresearch/dino": {
        "dino_vits16": _dino("vit_small_patch16_224.dino", "dino_deitsmall16_pretrain"),
        "dino_vits8": _dino("vit_small_patch8_224.dino", "dino_deitsmall8_pretrain"),
        "dino_vitb16": _dino("vit_base_patch16_224.dino", "dino_vitbase16_pretrain"),
        "dino_vitb8": _dino("vit_base_patch8_224.dino", "dino_vitbase8_pretrain"),
        "dino_resnet50": _dino("resnet50", "dino_resnet50_pretrain"),
    }
}


def load(reference: str, locations: Locations) -> Network:
    """The network of a known entry.

    Args:
        reference: `owner/repository:branch/entry`, the branch optional; `?size=HEIGHTxWIDTH` as of `timm:`.
        locations: where its weights may lie, as the file that its authors publish.

    Raises:
        InvalidRequest: when the entry is unknown, its weights are not at hand, or they do not fit.
    """
    name, asked = options.split(reference, "hub", ("size",))
    match = _REFERENCE.fullmatch(name)
    entry = _ENTRIES.get(match["repository"], {}).get(match["entry"]) if match else None
    if match is None or entry is None:
        known = "; ".join(f"hub:{repository}:main/ with {', '.join(names)}" for repository, names in _ENTRIES.items())
        raise InvalidRequest(
            f"'hub:{name}' is not known, and no repository's code is run here: known are {known}; "
            "bring another network as timm:, onnx: or export:",
            source=f"hub:{name}",
        )
    file = locations.file((entry.url.rpartition("/")[2],), of=match["entry"], url=entry.url)
    size = options.size(asked["size"]) if "size" in asked else None
    network = timm_source.read(entry.architecture, file, size=size)
    return replace(
        network,
        family=entry.family,
        aliases=(match["entry"], match["entry"].replace("_", " ")),
        details={**network.details, "licence": entry.licence},
    )
