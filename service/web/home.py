"""The home page: one search box, the zoo at a glance, what its models share, and the jobs that run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request, Response
from starlette.responses import RedirectResponse

from rosetta.addresses import parse_address
from rosetta.errors import InvalidRequest, NotFound, RosettaError
from rosetta.results import Job, JobState, ModelPair, ProbeSet
from service import jobs
from service.api import failures
from service.api.state import state_of
from service.jobs.presence import workers_at_work
from service.queries import buddies, comparisons, image_text, label_search, models, names, pages, probes, questions
from service.web.jobs import UNASKED
from service.web.pages import PageRoute, render

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_UNFINISHED: tuple[JobState, ...] = ("running", "queued")
_FEW_WORDS = 3  # more are a question that was not understood
_SHOWN = 100  # rows of a table; the models page and the API have the rest
_ADDRESS = re.compile(r"\S+(?:/|\s+(?:unit\s+)?)(?:\S+:)?\d{1,9}", re.IGNORECASE)


@router.get("/")
def home(request: Request, q: Annotated[str, Query()] = "", probe: Annotated[str, Query()] = "") -> Response:
    """The page; with `q`, the answer to that question on it, or the page that those words name."""
    question, page = q.strip(), _Page()
    status = 200
    try:
        with state_of(request).reading.connect() as conn:
            if question and (target := _place(conn, question)):
                return RedirectResponse(target, 303)
            page.fill(conn)
            if question:
                page.look_up(conn, question, probe or None)
    except sa.exc.OperationalError as error:
        page.problem = failures.of_database(error)
    if page.problem is not None:
        status = page.problem.status
    return render(request, "home", status=status, question=question, probe=probe, page=page)


class _Page:
    """What the home page shows."""

    def __init__(self) -> None:
        self.models: Sequence[Any] = ()
        self.probes: Sequence[ProbeSet] = ()
        self.pairs: Sequence[ModelPair] = ()
        self.jobs: Sequence[Job] = ()
        self.examples: Sequence[str] = ()
        self.more = False
        self.workers: int | None = None
        self.answer: Any = None
        self.problem: RosettaError | None = None
        self.named: Sequence[str] = ()  # models that the words name

    def fill(self, conn: sa.Connection) -> None:
        """Looks up what is shown whatever the question."""
        zoo = models.list_models(conn, limit=_SHOWN)
        self.models, self.more = zoo.items, zoo.next_cursor is not None
        self.probes = probes.list_probes(conn, limit=_SHOWN).items
        pairs = comparisons.list_pairs(conn, limit=pages.LARGEST_LIMIT).items
        self.pairs = sorted(pairs, key=lambda pair: -pair.significant_best_buddies)
        running = [jobs.list_jobs(conn, 10, state=state, without=UNASKED).items for state in _UNFINISHED]
        self.jobs = [job for some in running for job in some]
        self.workers = workers_at_work(conn)
        self.examples = _examples(conn, self.pairs, {model.name for model in self.models if model.is_generator})

    def look_up(self, conn: sa.Connection, question: str, probe: str | None) -> None:
        """Answers the question; what is none may be a word that several models or a probe set have."""
        try:
            self.answer = questions.answer(conn, question, probe)
        except InvalidRequest as error:
            self.named = _named(conn, question) if "questions" in error.details else ()
            self.problem = None if self.named else error
        except NotFound as error:
            self.problem = error

    def mined(self, model: str) -> list[str]:
        """The probe sets that a model was mined on."""
        return [probe.name for probe in self.probes if model in probe.mined_models]


def _place(conn: sa.Connection, text: str) -> str | None:
    """The page that an address, the name of one model or the words of a label lead to."""
    try:
        if _ADDRESS.fullmatch(text):
            mention, unit = parse_address(re.sub(r"\s+(?:unit\s+)?", "/", text, count=1, flags=re.IGNORECASE))
            found = names.resolve_models(conn, mention)
            if len(found) != 1:
                return None
            return f"/units/{quote(found[0].name)}/{names.unit_row(conn, found[0], unit).number}"
        found = names.resolve_models(conn, text)
    except NotFound as error:
        return _labelled(conn, text, seen=not error.suggestions)
    except RosettaError:
        return None
    return f"/models/{quote(found[0].name)}" if len(found) == 1 else None


def _labelled(conn: sa.Connection, text: str, *, seen: bool) -> str | None:
    """The search that finds something by the words of a text, or by what an image-text model sees in a few of them."""
    try:
        found = label_search.search_labels(conn, text, top=1)
    except InvalidRequest:  # no word in it
        return None
    few = seen and len(text.split()) <= _FEW_WORDS and not text.endswith("?")
    return f"/search?{urlencode({'q': text})}" if found or (few and image_text.image_text_models(conn)) else None


def _named(conn: sa.Connection, text: str) -> list[str]:
    """The models that a word fits, or else comes near to."""
    try:
        return [row.name for row in names.resolve_models(conn, text)]
    except NotFound as error:
        return list(error.suggestions)


def _examples(conn: sa.Connection, pairs: Sequence[ModelPair], generators: set[str]) -> list[str]:
    """Questions that have a good answer here; none before anything was mined."""
    if not pairs:
        return []
    pair = max(pairs, key=lambda pair: (bool({pair.model, pair.neighbour_model} & generators), pair.best_buddies))
    one, other = pair.model, pair.neighbour_model
    if other in generators:
        one, other = other, one
    ids = [names.model_row(conn, name).id for name in (one, other)]
    found = comparisons.latest_pair(conn, ids[0], ids[1], None)
    strongest = buddies.strongest(conn, found.id, top=1) if found else ()
    return [
        *(f"which neurons in {other} match {one} unit {match.unit}?" for match in strongest),
        f"what are the best buddies of {one} and {other}?",
        f"how many neurons do {one} and {other} share?",
    ]
