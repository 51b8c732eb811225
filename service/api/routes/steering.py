"""Steering a generator through the units it shares with other models: inversions, edits, recipes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from rosetta.errors import NotFound
from rosetta.recipes import Recipe
from rosetta.results import Job
from service import recipes
from service.api.encoding import respond
from service.api.routes.common import JobId
from service.api.state import state_of
from service.api.steering_bodies import EditTranslation, Invert, RunRecipe
from service.submit_translation import preview_path, submit_recipe

router = APIRouter(prefix="/v1", tags=["translations"])

_PREVIEW = {200: {"description": "The images so far", "content": {"image/webp": {}}}}


@router.post("/inversions", response_model=Job, status_code=202, summary="Have a generator make given images")
def invert(request: Request, body: Invert) -> Response:
    """A job; its result names the `translation`. The same request again is answered at once, with status 200."""
    state = state_of(request)
    with state.reading.connect() as conn:
        recipe = recipes.inversion(
            conn,
            state.settings,
            generator=body.generator,
            images=body.images,
            models_=body.models,
            probe=body.probe,
            pairs=body.pairs,
            optimiser=body.optimiser,
            space=body.space,
            seed=body.seed,
            class_index=body.class_index,
        )
    return _submitted(request, recipe)


@router.post("/edits", response_model=Job, status_code=202, summary="Change what a translation made")
def edit(request: Request, body: EditTranslation) -> Response:
    """A job; its result names the new `translation`, whose parent is the old one."""
    state = state_of(request)
    with state.reading.connect() as conn:
        recipe = recipes.edit(
            conn,
            state.settings,
            body.translation,
            body.edits,
            positions=body.positions,
            optimiser=body.optimiser,
        )
    return _submitted(request, recipe)


@router.post("/recipes", response_model=Job, status_code=202, summary="Carry out a recipe")
def run_recipe(request: Request, body: RunRecipe) -> Response:
    """A job that makes the translation again: on the same device bit for bit, with the weights that it names alone."""
    return _submitted(request, Recipe.from_json(body.recipe), again=body.again)


@router.get(
    "/jobs/{job}/preview",
    response_class=Response,
    responses=_PREVIEW,  # type: ignore[arg-type]
    summary="What a running inversion or edit shows",
)
def get_preview(
    request: Request,
    job: JobId,
    step: Annotated[int, Query(ge=0, description="any number: a new one makes a browser ask anew")] = 0,
) -> Response:
    """The best images so far, side by side; once the job is done, its translation has them."""
    try:
        content = preview_path(state_of(request).settings, job).read_bytes()
    except FileNotFoundError:
        raise NotFound(f"job {job} shows nothing: it has not begun, is over, or makes no images", job=job) from None
    return Response(content, media_type="image/webp", headers={"cache-control": "no-store"})


def _submitted(request: Request, recipe: Recipe, *, again: bool = False) -> Response:
    state = state_of(request)
    job = submit_recipe(state.engine, state.celery, recipe, again=again)
    return respond(job, 200 if job.already_done else 202)
