"""Models as translation reads them: on the device, with their units' statistics on a probe set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa
import torch

from rosetta.errors import NotFound
from service.database.copy import read_records
from service.database.schema import unit_statistics
from workers.pipelines.inputs import MinedModel
from workers.translation.responses import Subject

_STATISTICS = np.dtype([("unit", "i4"), ("mean", "f4"), ("std", "f4"), ("dead", "?")])


def load_subjects(
    connection: sa.Connection, probe_set: int, models: Sequence[MinedModel], device: torch.device
) -> list[Subject]:
    """The models, moved to the device.

    Raises:
        NotFound: when one was not mined on the probe set.
    """
    found = []
    for model in models:
        model.network.module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        columns = unit_statistics.c
        rows = read_records(
            connection, unit_statistics, _STATISTICS, columns.probe_set_id == probe_set, columns.model_id == model.id
        )
        if len(rows) != model.layout.units:
            raise NotFound(f"{model.name} was not mined on the probe set: mine it first", model=model.name)
        rows = np.sort(rows, order="unit")
        std = np.where(rows["dead"], 0.0, rows["std"].astype("f8"))
        found.append(
            Subject(model.network, model.layout, torch.from_numpy(rows["mean"].astype("f8")), torch.from_numpy(std))
        )
    return found
