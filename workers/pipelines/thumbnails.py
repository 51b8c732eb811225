"""Thumbnails of a mining job: coarse maps of the models it takes sketches of, and small images of a generator.

They are written beside the passes by a thread of their own, and are no reason for a job to fail.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from torch import Tensor

from service.database import schema
from service.pictures.cache import maps_key
from service.pictures.thumbnails import MapsFile
from service.pictures.thumbnails import Thumbnails as Folder
from workers.mining.mining_pass import MiningPass, TakeThumbnails
from workers.mining.thumbnails import Thumbnails, grid_of
from workers.pipelines.context import Context
from workers.pipelines.inputs import MinedModel

log = logging.getLogger(__name__)

_MOST_WAITING = 4  # writes; what they hold is beside the memory budget


class ThumbnailWriter:
    """Takes thumbnails as batches go by. A context: what is not published when it is left is deleted."""

    def __init__(self, context: Context, probe_set: sa.Row[Any], models: Mapping[int, MinedModel]) -> None:
        """For models by their places in the miner, as many as the limit lets in, and the probe set's images."""
        self._folder = Folder(context.settings)
        self._probe_digest, self._images = probe_set.digest, probe_set._mapping["count"]
        self._files: dict[int, dict[str, MapsFile]] = {}
        self._written: set[int] = set()  # places whose files are full
        self._unseen: set[int] = set()
        if self._folder.limit:
            with context.engine.connect() as connection:
                self._files = self._begin(connection, models)
            if probe_set.kind == "generator":
                self._unseen = set(self._without_image())
        self._seen: npt.NDArray[np.uint8] | None = None
        self._thread = ThreadPoolExecutor(1, "thumbnails")
        self._writing: deque[Future[None]] = deque()
        self._failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._thread.shutdown(cancel_futures=True)
        for layers in self._files.values():
            for file in layers.values():
                with suppress(OSError):
                    file.abandon()

    @property
    def see(self) -> Callable[[Tensor], None] | None:
        """Takes a batch's images, float32 [B, 3, H, W] in [0, 1]; None when all are there."""
        return self._see if self._unseen else None

    def takers(self, running: MiningPass, positions: Tensor) -> dict[int, TakeThumbnails]:
        """What takes the maps of a batch that all models have seen, by their places.

        Args:
            running: the pass.
            positions: int64 [B], the images' places in the probe set.
        """
        places = positions.numpy()
        if self._seen is not None:
            self._later(self._write_images, places, self._seen)
            self._seen = None
        wanted = (self._files.keys() & running.sketched) - self._written
        return {} if self._failed else {place: partial(self._take, place, places) for place in sorted(wanted)}

    def finish_pass(self, running: MiningPass) -> None:
        """What a pass has seen, later ones need not give again."""
        self._written |= running.sketched

    def publish(self) -> None:
        """Lets all maps appear, and the least recently used ones of before make room."""
        self._wait()
        if self._failed:
            return
        try:
            for layers in self._files.values():
                for file in layers.values():
                    file.publish()
            self._folder.trim()
        except OSError as error:
            self._give_up(error)

    def _begin(self, connection: sa.Connection, models: Mapping[int, MinedModel]) -> dict[int, dict[str, MapsFile]]:
        """A file a layer, of the models that fit."""
        columns = schema.models.c
        chosen = columns.id.in_([model.id for model in models.values()])
        rows = {
            row.id: row
            for row in connection.execute(sa.select(columns.id, columns.source, columns.weights_digest).where(chosen))
        }
        found: dict[int, dict[str, MapsFile]] = {}
        left = self._folder.limit
        for place, model in models.items():
            row = rows[model.id]
            files = {}
            for layer in model.layout.layers:
                path = self._folder.maps_path(maps_key(self._probe_digest, row.source, row.weights_digest, layer.name))
                files[layer.name] = MapsFile(path, self._images, layer.channels, grid_of((layer.height, layer.width)))
            size = sum(file.bytes for file in files.values())
            if size > left:
                log.warning(
                    "coarse maps of model '%s' are not stored: they take %.2f GiB, and ROSETTA_STORED_MAPS_BYTES "
                    "leaves %.2f GiB; without a worker there are no heat maps of it",
                    model.name,
                    size / 2**30,
                    left / 2**30,
                )
                continue
            left -= size
            found[place] = files
        return found

    def _without_image(self) -> Iterator[int]:
        for position in range(self._images):
            if not self._folder.image_path(self._probe_digest, position).is_file():
                yield position

    def _see(self, images: Tensor) -> None:
        self._seen = images.mul(255).round_().clamp_(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()

    def _take(self, place: int, positions: npt.NDArray[np.int64], layer: str, maps: Thumbnails) -> None:
        parts: Sequence[npt.NDArray[Any]] = [part.numpy() for part in (maps.low, maps.step, maps.levels)]
        self._later(self._files[place][layer].write, positions, *parts)

    def _write_images(self, positions: npt.NDArray[np.int64], images: npt.NDArray[np.uint8]) -> None:
        for position, image in zip(positions.tolist(), images, strict=True):
            if position in self._unseen:
                self._folder.write_image(self._probe_digest, position, image)
                self._unseen.discard(position)

    def _later(self, work: Callable[..., None], *arguments: Any) -> None:
        self._wait(_MOST_WAITING)
        self._writing.append(self._thread.submit(work, *arguments))

    def _wait(self, left: int = 0) -> None:
        """Until no more than so many writes are left."""
        while len(self._writing) > left:
            try:
                self._writing.popleft().result()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        if not self._failed:
            log.warning("thumbnails are not stored, and mining goes on: %s", error)
        self._failed = True
