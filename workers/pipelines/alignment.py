"""The probe set that a recording answers, row by row."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from rosetta.errors import InvalidRequest
from service.database.schema import probe_sets
from service.queries.names import not_found
from workers.zoo.base import Recording

# Shorter beginnings of a digest could be those of another one, or a name.
_SHORTEST_DIGEST = 12


def probe_set_of(connection: sa.Connection, recording: Recording) -> sa.Row[Any]:
    """The row of the probe set that a recording answers.

    Raises:
        NotFound: when there is none of that digest or name, with the nearest names.
        InvalidRequest: when the file itself states another one, or has more or fewer images.
    """
    rows = connection.execute(sa.select(probe_sets).order_by(probe_sets.c.name)).all()
    named = [row for row in rows if row.name == recording.probe]
    found = named or [row for row in rows if _is_digest(recording.probe, row)]
    if len(found) != 1:
        mend = "make it with `rosetta probes add NAME ...` before its recordings"
        raise not_found("probe set", recording.probe, [row.name for row in rows], mend)
    probe_set = found[0]
    stated = recording.stated
    if stated is not None and stated != probe_set.name and not _is_digest(stated, probe_set):
        raise InvalidRequest(
            f"the recording says itself that it answers probe set '{stated}', not '{probe_set.name}' "
            f"({probe_set.digest[:_SHORTEST_DIGEST]}): record '{probe_set.name}', or leave ?probe= out",
            probe=probe_set.name,
        )
    images = probe_set._mapping["count"]  # `.count` is a method of tuples
    if recording.images != images:
        raise InvalidRequest(
            f"the recording has {recording.images} images, probe set '{probe_set.name}' {images}: "
            "save one row an image, in the probe set's order",
            probe=probe_set.name,
        )
    return probe_set


def _is_digest(text: str, probe_set: sa.Row[Any]) -> bool:
    return len(text) >= _SHORTEST_DIGEST and probe_set.digest.startswith(text.lower())
