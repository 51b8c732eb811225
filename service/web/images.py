"""The pages of a search by image: a form that takes one, and what answers to it or to a box in it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

import sqlalchemy as sa
from fastapi import APIRouter, Depends, File, Request, Response, UploadFile
from starlette.responses import RedirectResponse

from rosetta.addresses import parse_unit
from rosetta.errors import InvalidRequest, RosettaError
from rosetta.image_search import ImageAnswer, ImageMatch
from service import jobs, uploads
from service.api.state import State, state_of
from service.jobs.presence import workers_at_work
from service.pictures.boxes import image_size, square_of
from service.queries import exemplars
from service.submit_look import answer_of, look_at, looking, submit_look
from service.web.jobs import refuse_other_sites
from service.web.pages import PageRoute, render

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_TOP = 12
_EXEMPLARS = 4
_PIECE = 2**20
_LONGEST = 80  # of a file's name


@dataclass(frozen=True)
class Asked:
    """What a page asks of an image: all but `image` as a form sends it."""

    image: str
    within: str
    box: tuple[str, str, str, str]
    probe: str

    @property
    def numbers(self) -> tuple[float, ...] | None:
        """The box; None where no number is given.

        Raises:
            InvalidRequest: when some of the four are missing, or are no numbers.
        """
        given = [text.strip() for text in self.box]
        if not any(given):
            return None
        try:
            return tuple(map(float, given))
        except ValueError:
            raise InvalidRequest("a box is four numbers: x, y, width and height, in pixels of the image") from None


@dataclass(frozen=True)
class Answered:
    """A unit that answers, and the images that it fires on most."""

    match: ImageMatch
    exemplars: tuple[int, ...]


@router.post("/search", dependencies=[Depends(refuse_other_sites)])
def send_image(request: Request, image: Annotated[UploadFile | None, File()] = None) -> Response:
    """Takes an image in, and shows what answers to it; of one that is refused nothing stays."""
    try:
        return RedirectResponse(f"/search?{urlencode({'image': taken(state_of(request), image)})}", 303)
    except InvalidRequest as error:
        return render(request, "search", status=error.status, found=(), problem=error)


def taken(state: State, image: UploadFile | None) -> str:
    """The sha256 of an image that is stored now.

    Raises:
        InvalidRequest: when none was chosen, or it is none that networks can look at.
    """
    if image is None or not image.filename:
        raise InvalidRequest("no image was chosen: choose a file, or drop one on the page")
    sha256 = hashlib.sha256()
    while piece := image.file.read(_PIECE):
        sha256.update(piece)
    digest = sha256.hexdigest()
    image.file.seek(0)
    with uploads.Upload(state.settings, digest, state.settings.max_image_bytes) as upload:
        while piece := image.file.read(_PIECE):
            upload.write(piece)
        upload.finish(
            uploads.query_path(state.settings, digest), image=True, still=True, name=image.filename[:_LONGEST]
        )
    return digest


def show(request: Request, asked: Asked) -> Response:
    """The image, the form for a box in it, and what answers; or the job that looks at it now."""
    state = state_of(request)
    path = uploads.uploaded_image(state.settings, asked.image)
    width, height = image_size(path)
    problem, job, answer, box, names, found = None, None, None, None, [], []
    with state.reading.connect() as conn:
        try:
            names = [row.name for row in looking(conn)]
            box = asked.numbers
            look = look_at(
                conn, state.settings, asked.image, box=box, within=asked.within or None, probe=asked.probe or None
            )
            job = jobs.finished(conn, look.key) or submit_look(state.engine, state.celery, look)
            if job.state == "done":
                answer = answer_of(look, job, _TOP)
                found = _answered(conn, answer)
        except RosettaError as error:
            problem = error
        workers = workers_at_work(conn)
    left, top, side = square_of(width, height)
    return render(
        request,
        "image",
        status=problem.status if problem else 200,
        asked=asked,
        size=(width, height),
        square=(left, top, side),
        box=box if problem is None else None,
        looking=names,
        problem=problem,
        job=None if job is None or job.state == "done" else job,
        answer=answer,
        found=found,
        workers=workers,
    )


def _answered(conn: sa.Connection, answer: ImageAnswer) -> list[Answered]:
    found = []
    for match in answer.items:
        best = exemplars.list_exemplars(conn, match.model, parse_unit(match.unit), probe=match.probe_set)
        found.append(Answered(match, tuple(exemplar.image for exemplar in best[:_EXEMPLARS])))
    return found
