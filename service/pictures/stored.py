"""What pictures are drawn of, as far as it is there: images of probe sets, and units' maps on them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rosetta.errors import NotFound
from service.pictures.cache import Cache, maps_key
from service.pictures.overlay import Scale
from service.pictures.reading import read_image
from service.pictures.thumbnails import Thumbnails
from service.queries.exemplars import MeasuredUnit
from service.queries.probe_images import ProbeImage
from service.settings import Settings
from service.uploads import image_path


def version_of(unit: MeasuredUnit) -> str:
    """What decides the maps of the unit's layer, in a few hexadecimal digits."""
    return maps_key(unit.probe_set.digest, unit.model.source, unit.model.weights_digest, unit.unit.layer)


def scale_of(unit: MeasuredUnit) -> Scale:
    """What the unit's colours stand for."""
    return Scale.of(unit.mean, unit.std, unit.maximum)


def stored_map(
    settings: Settings, unit: MeasuredUnit, position: int, *, coarse: bool = False
) -> npt.NDArray[np.float32] | None:
    """The unit's map float32 [H, W] on an image of its probe set; None when it is not made yet.

    Args:
        settings: say where.
        unit: whose.
        position: of the image.
        coarse: take the one that mining left, at most 14 x 14, where the map itself is not there.
    """
    cache = Cache(settings)
    found = cache.read_map(cache.maps_path(version_of(unit), position), unit.unit.channel)
    if found is None and coarse:
        return Thumbnails(settings).read_map(version_of(unit), position, unit.unit.channel)
    return found


def stored_image(settings: Settings, image: ProbeImage, *, coarse: bool = False) -> npt.NDArray[np.uint8] | None:
    """The image uint8 [H, W, 3]; None when a generator has not made it yet.

    Args:
        settings: say where.
        image: which.
        coarse: take the small one that mining left, where the image itself is not there.

    Raises:
        NotFound: when it is an uploaded file, and that is gone.
    """
    if image.digest is None:
        cache = Cache(settings)
        found = cache.read_image(cache.image_path(image.probe_set.digest, image.position))
        if found is None and coarse:
            return Thumbnails(settings).read_image(image.probe_set.digest, image.position)
        return found
    path = image_path(settings, image.digest)
    if not path.is_file():
        raise NotFound(
            f"the file of image '{image.name}' is no longer in the data directory: add the folder again with "
            "`rosetta probes add`",
            image=image.position,
        )
    return read_image(path, image.probe_set.height)
