"""The pictures of a page: addresses that browsers may keep, and one job for all that are not made yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa

from service.api.state import State
from service.api.tags import version_in_addresses
from service.database import schema
from service.jobs.presence import workers_at_work
from service.pictures.cache import Cache, maps_key, version_of_images
from service.pictures.thumbnails import Thumbnails
from service.queries import names
from service.queries.probe_images import generator_of
from service.submit_pictures import submit_pictures

Layer = tuple[str, str]  # a model's name, and a layer of it


@dataclass(frozen=True)
class Pictures:
    """What a page's pictures are addressed by.

    Attributes:
        images: version of the probe set's images.
        maps: version of each layer's maps.
        lacking: what is not made yet and will not be, as no worker is at work: `whole` where mining left coarse ones of
            all, `all` where it did not; "" where nothing is lacking, or a job makes it.
    """

    images: str = ""
    maps: Mapping[Layer, str] = field(default_factory=dict)
    lacking: Literal["", "whole", "all"] = ""

    def of(self, model: str, layer: str) -> str:
        """The version of a layer's maps."""
        return self.maps.get((model, layer), "")


def prepare(
    state: State, conn: sa.Connection, probe: str, layers: Iterable[Layer], positions: Sequence[int]
) -> Pictures:
    """The pictures of a page; a job is submitted for those that are not there, if a worker is at work.

    Args:
        state: of the application.
        conn: where to look.
        probe: name of the probe set.
        layers: whose maps are shown on all of the images.
        positions: of these in the probe set.
    """
    if not positions:
        return Pictures()
    probe_set, wanted = names.probe_row(conn, probe), sorted(set(layers))
    models = {
        row.name: row
        for row in conn.execute(
            sa.select(schema.models).where(schema.models.c.name.in_({model for model, _ in wanted}))
        )
    }
    keys = {
        (model, layer): maps_key(probe_set.digest, models[model].source, models[model].weights_digest, layer)
        for model, layer in wanted
        if model in models
    }
    cache = Cache(state.settings)
    images = (
        [position for position in positions if not cache.image_path(probe_set.digest, position).is_file()]
        if probe_set.kind == "generator"
        else []
    )
    maps = {
        place: [position for position in positions if not cache.maps_path(key, position).is_file()]
        for place, key in keys.items()
    }
    missing = {place: some for place, some in maps.items() if some}
    lacking: Literal["", "whole", "all"] = ""
    if images or missing:
        if workers_at_work(conn):
            _submit(state, conn, probe_set, models, missing, images)
        else:
            folder = Thumbnails(state.settings)
            left = [folder.maps_path(keys[place]).is_file() for place in missing]
            left += [folder.image_path(probe_set.digest, position).is_file() for position in images]
            lacking = "whole" if all(left) else "all"
    return Pictures(
        version_in_addresses(version_of_images(probe_set.digest)),
        {place: version_in_addresses(key) for place, key in keys.items()},
        lacking,
    )


def _submit(
    state: State,
    conn: sa.Connection,
    probe_set: sa.Row[Any],
    models: Mapping[str, sa.Row[Any]],
    missing: Mapping[Layer, Sequence[int]],
    images: Sequence[int],
) -> None:
    """Has all of a page made by one job, on which each picture's own request then waits."""
    layers: dict[str, list[str]] = {}
    for model, layer in missing:
        layers.setdefault(model, []).append(layer)
    wanted = [(models[model], some) for model, some in layers.items()] or [(generator_of(conn, probe_set), [])]
    positions = {position for some in (images, *missing.values()) for position in some}
    submit_pictures(state.engine, state.celery, wanted=wanted, probe_set=probe_set, positions=positions)
