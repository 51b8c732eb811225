"""Inversions and edits from the pages: forms that become jobs, and the page that watches one at work."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, File, Request, Response, UploadFile
from starlette.datastructures import FormData
from starlette.responses import JSONResponse, RedirectResponse

from rosetta.edits import ImageReference, PairChoice
from rosetta.errors import InvalidRequest, NotFound
from rosetta.recipes import Optimiser, Recipe
from service import jobs, recipes
from service.api.routes.common import JobId
from service.api.state import State, state_of
from service.jobs.presence import workers_at_work
from service.queries import probes, translation_family, translations
from service.submit_translation import preview_path, submit_recipe
from service.web import edit_forms, images
from service.web.jobs import refuse_other_sites
from service.web.pages import PageRoute, render
from service.web.translations import TranslationId, show_list, show_translation

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_SAMPLES, _SAMPLES_SEED = 1000, 20_231_002  # a seed of its own: no probe set that was mined has these images
_RANGE = re.compile(r"(\d{1,9})(?:\s*-\s*(\d{1,9}))?")
_SPACES: dict[str, Literal["z", "w", "w+"] | None] = {"": None, "z": "z", "w": "w", "w+": "w+"}

Upload = Annotated[UploadFile | None, File()]
_ours = [Depends(refuse_other_sites)]


async def _form(request: Request) -> FormData:
    return await request.form()


Sent = Annotated[FormData, Depends(_form)]


@router.post("/translations", dependencies=_ours)
def invert(request: Request, sent: Sent, image: Upload = None) -> Response:
    """Has a generator make an image, and shows how it does; or the form again, with what is wrong."""
    state, fields = state_of(request), _fields(sent)
    chosen = [str(name) for name in sent.getlist("model")]
    everyone = not chosen or fields.get("offered") == str(len(chosen))  # then those without a pair are passed over
    try:
        references = _images(state, fields, image)
        with state.reading.connect() as conn:
            recipe = recipes.inversion(
                conn,
                state.settings,
                generator=fields.get("generator", ""),
                images=references,
                models_=None if everyone else chosen,
                probe=fields.get("dictionary") or None,
                pairs=_pairs(fields),
                optimiser=_optimiser(fields),
                space=_space(fields.get("space", "")),
                seed=_whole(fields, "seed", 0),
                class_index=_optional(fields, "class_index"),
            )
        return _submitted(state, recipe)
    except (InvalidRequest, NotFound) as error:
        return show_list(request, {**fields, "model": chosen}, problem=error)


@router.post("/translations/images", dependencies=_ours)
def take_image(request: Request, image: Upload = None) -> Response:
    """Takes in an image that a script sends, to align to; its sha256."""
    try:
        return JSONResponse({"image": images.taken(state_of(request), image)}, 201)
    except InvalidRequest as error:
        return JSONResponse({"error": {"message": error.message}}, error.status)


@router.post("/translations/{translation}/edits", dependencies=_ours)
def edit(request: Request, translation: TranslationId, sent: Sent, image: Upload = None) -> Response:
    """Has what the fields ask for done, and shows how; or the page again, with what is wrong."""
    state, fields = state_of(request), _fields(sent)
    position = int(fields.get("position") or 0)
    try:
        uploaded = images.taken(state, image) if image is not None and image.filename else None
        wanted = edit_forms.edits_of(fields, uploaded)
        with state.reading.connect() as conn:
            positions = None if fields.get("all") else [position]
            recipe = recipes.edit(conn, state.settings, translation, wanted, positions=positions)
        return _submitted(state, recipe)
    except (InvalidRequest, NotFound) as error:
        with state.reading.connect() as conn:
            translations.get_translation(conn, translation)
        return show_translation(request, translation, position, fields, problem=error)


@router.get("/translations/jobs/{job}")
def watch(request: Request, job: JobId) -> Response:
    """A job that steers, at work, with the images so far; once it is done, its translation."""
    state = state_of(request)
    with state.reading.connect() as conn:
        found = jobs.get(conn, job)
        workers = workers_at_work(conn)
        kept = translation_family.made_by(conn, job)
    if found.kind not in ("invert", "edit"):
        return RedirectResponse(f"/jobs/{job}", 303)
    if found.state == "done" and found.result:
        return RedirectResponse(f"/translations/{found.result['translation']}", 303)
    shown = preview_path(state.settings, job).is_file()
    return render(request, "steering_job", job=found, workers=workers, shown=shown, kept=kept)


def _submitted(state: State, recipe: Recipe) -> Response:
    return RedirectResponse(f"/translations/jobs/{submit_recipe(state.engine, state.celery, recipe).id}", 303)


def _fields(sent: FormData) -> dict[str, str]:
    return {name: value.strip() for name, value in sent.items() if isinstance(value, str)}


def _images(state: State, fields: Mapping[str, str], upload: UploadFile | None) -> list[ImageReference]:
    """The images that a form names: by file, by numbers of a probe set, or a sample that nobody has seen."""
    match fields.get("from"):
        case "probe":
            return [ImageReference(probe=fields.get("probe"), position=one) for one in _positions(fields)]
        case "sample":
            name = f"{fields.get('generator', '')[:55]}-samples"
            with state.engine.begin() as conn:
                probes.add_generator_probe(conn, name, fields.get("generator", ""), _SAMPLES, _SAMPLES_SEED)
            return [ImageReference(probe=name, position=secrets.randbelow(_SAMPLES))]
    return [ImageReference(digest=images.taken(state, upload))]


def _positions(fields: Mapping[str, str]) -> list[int]:
    """The numbers of `3`, `0-15` or `1, 4, 9-12`."""
    found: list[int] = []
    for part in fields.get("numbers", "").split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise InvalidRequest(f"'{part.strip()}' names no image: write numbers such as 7, or 0-15, or 1, 4, 9-12")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < first + recipes.MOST_IMAGES:
            raise InvalidRequest(f"{part.strip()} is not 1 to {recipes.MOST_IMAGES} images: name fewer, least first")
        found += range(first, last + 1)
    return found


def _pairs(fields: Mapping[str, str]) -> PairChoice:
    usual = PairChoice()
    least, q_value = edit_forms.number_of(fields, "least"), edit_forms.number_of(fields, "q")
    return PairChoice(
        k=_optional(fields, "k"),
        q_value=None if fields.get("any_q") else usual.q_value if q_value is None else q_value,
        min_correlation=usual.min_correlation if least is None else least,
    )


def _optimiser(fields: Mapping[str, str]) -> Optimiser:
    usual = Optimiser()
    pixel = edit_forms.number_of(fields, "pixel")
    return Optimiser(
        steps=_whole(fields, "steps", usual.steps),
        starts=_whole(fields, "starts", usual.starts),
        pixel=usual.pixel if pixel is None else pixel,
    )


def _space(text: str) -> Literal["z", "w", "w+"] | None:
    if text not in _SPACES:
        raise InvalidRequest(f"latents are in z, w or w+, not in '{text}'")
    return _SPACES[text]


def _whole(fields: Mapping[str, str], name: str, usual: int) -> int:
    value = _optional(fields, name)
    return usual if value is None else value


def _optional(fields: Mapping[str, str], name: str) -> int | None:
    value: Any = edit_forms.number_of(fields, name)
    if value is not None and value != int(value):
        raise InvalidRequest(f"{name.replace('_', ' ')} is a whole number, not {value:g}")
    return None if value is None else int(value)
