"""Search by text: what labels say, and what an image-text model finds, for which a request may wait."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from starlette.concurrency import run_in_threadpool

from rosetta.errors import JobFailed, Unavailable
from rosetta.labels import TextMatch
from rosetta.text_search import TextAnswer
from service.api.making import made
from service.api.state import State
from service.jobs.presence import workers_at_work
from service.queries.label_search import BY_LABEL, search_labels
from service.queries.text_search import TextQuery, near_text, stored_sketch, text_query
from service.submit_texts import submit_embed_text

NO_MODEL = (
    "labels alone were searched: with an image-text model (`rosetta models add clip --source "
    "open_clip:ViT-B-32/openai`) and a mined probe set, units are found by what they respond to"
)


async def find_by_text(
    state: State, text: str, *, image_text: str | None, within: str | None, probe: str | None, top: int
) -> TextAnswer:
    """What a text finds; of an image-text model that cannot be asked now, the note says why.

    Args:
        state: of the application.
        text: one word or several.
        image_text: the image-text model; None: the one that was registered first.
        within: only units of this model, family or nickname; None: all, and concepts by their labels.
        probe: the probe set; None: of the image-text model, the one on which a model was last mined.
        top: how many of either.

    Raises:
        NotFound: when a name is unknown, with the nearest ones.
        InvalidRequest: when there is no word in the text, or the named model is no image-text model.
    """

    def look() -> tuple[list[TextMatch], TextQuery | None, int]:
        with state.reading.connect() as conn:
            said = search_labels(conn, text, within=within, probe=probe, top=top)
            query = text_query(conn, text, image_text=image_text, within=within, probe=probe)
            return said, query, workers_at_work(conn)

    said, query, workers = await run_in_threadpool(look)
    if query is None:
        return TextAnswer(tuple(said), (BY_LABEL,), NO_MODEL)

    def read() -> npt.NDArray[np.float16] | None:
        with state.reading.connect() as conn:
            return stored_sketch(conn, query)

    sketch = await run_in_threadpool(read)
    if sketch is None and not workers:
        note = f"{query.model.name} was not asked: no worker is at work, start one with `rosetta worker`"
        return TextAnswer(tuple(said), (BY_LABEL,), note)
    try:
        what = f"what {query.model.name} makes of the text"
        sketch = await made(state, what, read, lambda: submit_embed_text(state.engine, state.celery, query))
    except (JobFailed, Unavailable) as error:
        return TextAnswer(tuple(said), (BY_LABEL,), error.message)

    def find() -> list[TextMatch]:
        with state.engine.begin() as conn:
            return near_text(conn, query, sketch, top=top)

    found = await run_in_threadpool(find)
    return TextAnswer((*said, *found), (BY_LABEL, query.model.name))
