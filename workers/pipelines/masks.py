"""Masks of a probe set, read when their images are looked at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
import torch

from service.database import schema
from service.pictures.masks import read_mask
from service.settings import Settings
from service.uploads import image_path
from workers.labelling.overlap import Seen


class ProbeMasks:
    """Where some things are to be seen on a probe set's images.

    Attributes:
        words: the things.
        images: on how many images each is to be seen.
        size: height and width of the masks.
    """

    def __init__(
        self,
        connection: sa.Connection,
        settings: Settings,
        probe_set: sa.Row[Any],
        words: Sequence[str],
        device: torch.device,
    ) -> None:
        """Looks up which files there are; reads none.

        Args:
            connection: of the store.
            settings: say where the files lie.
            probe_set: its row.
            words: the things.
            device: where masks are wanted.
        """
        self.words, self.size = list(words), (probe_set.height, probe_set.width)
        self._settings, self._device = settings, device
        columns = schema.probe_masks.c
        rows = connection.execute(
            sa.select(columns.position, columns.text, columns.digest)
            .where(columns.probe_set_id == probe_set.id, columns.text.in_(self.words))
            .order_by(columns.position, columns.text)
        ).all()
        place = {word: number for number, word in enumerate(self.words)}
        self._of: dict[int, list[tuple[int, str]]] = {}
        self.images = [0] * len(self.words)
        for row in rows:
            self._of.setdefault(row.position, []).append((place[row.text], row.digest))
            self.images[place[row.text]] += 1

    def seen(self, positions: Iterable[int]) -> list[Seen]:
        """What each of the images shows.

        Raises:
            InvalidRequest: when a file is broken; names it.
        """
        return [self._read(self._of.get(position, [])) for position in positions]

    def _read(self, masks: Sequence[tuple[int, str]]) -> Seen:
        things = torch.tensor([thing for thing, _ in masks], dtype=torch.int64)
        inside = [read_mask(image_path(self._settings, digest), *self.size) for _, digest in masks]
        stacked = torch.from_numpy(np.stack(inside)) if inside else torch.zeros(0, *self.size, dtype=torch.bool)
        return Seen(things.to(self._device), stacked.to(self._device))
