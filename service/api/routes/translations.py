"""Translations: what inversions and edits made, their pictures, latents and recipes."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response
from PIL import Image

from rosetta.results import Page
from rosetta.translations import Translation
from service.api.encoding import respond
from service.api.routes.common import Cursor, Limit
from service.api.state import state_of
from service.api.tags import Tag, accepted
from service.pictures import overlay as drawing
from service.queries import pages, translations

router = APIRouter(prefix="/v1/translations", tags=["translations"])

_Id = Annotated[int, Path(ge=1, le=2**31 - 1, description="number of a translation")]
_Position = Annotated[int, Path(ge=0, le=2**31 - 1, description="place in the translation, from 0")]
_PICTURE: Any = {200: {"description": "The picture", "content": {"image/webp": {}, "image/png": {}}}}
_ARRAY: Any = {200: {"description": "A .npy file", "content": {"application/octet-stream": {}}}}


@router.get("", response_model=Page[Translation], summary="Translations, newest first")
def list_translations(
    request: Request,
    generator: Annotated[str | None, Query(description="a model, a family or a nickname")] = None,
    kind: Annotated[Literal["inversion", "edit"] | None, Query(description="else both")] = None,
    limit: Limit = pages.DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Without recipes and images."""
    with state_of(request).reading.connect() as conn:
        return respond(translations.list_translations(conn, generator=generator, kind=kind, limit=limit, cursor=cursor))


@router.get("/{translation}", response_model=Translation, summary="A translation, its recipe and its images")
def get_translation(request: Request, translation: _Id) -> Response:
    """With the loss of every image by step."""
    with state_of(request).reading.connect() as conn:
        return respond(translations.get_translation(conn, translation))


@router.delete("/{translation}", status_code=204, summary="Remove a translation")
def remove_translation(request: Request, translation: _Id) -> Response:
    """Edits of it stay."""
    with state_of(request).engine.begin() as conn:
        translations.remove_translation(conn, translation)
    return Response(status_code=204)


@router.get("/{translation}/recipe", response_model=dict[str, Any], summary="The recipe, as a file")
def get_recipe(request: Request, translation: _Id) -> Response:
    """The same recipe on the same device makes the same images, bit for bit."""
    with state_of(request).reading.connect() as conn:
        recipe = translations.get_translation(conn, translation).recipe
    headers = {"content-disposition": f'attachment; filename="translation-{translation}.json"'}
    body = json.dumps(recipe, indent=1, ensure_ascii=False)
    return Response(body, media_type="application/json", headers=headers)


@router.get("/{translation}/latents", response_class=Response, responses=_ARRAY, summary="The latents of its images")
def get_latents(request: Request, translation: _Id) -> Response:
    """A .npy file, float32 [N, Z] in z, [N, W] in w, [N, L, W] in w+."""
    with state_of(request).reading.connect() as conn:
        latents = translations.read_latents(conn, translation)
    file = io.BytesIO()
    np.save(file, latents, allow_pickle=False)
    headers = {"content-disposition": f'attachment; filename="translation-{translation}-latents.npy"'}
    return Response(file.getvalue(), media_type="application/octet-stream", headers=headers)


@router.get(
    "/{translation}/images/{position}", response_class=Response, responses=_PICTURE, summary="One of its images"
)
def get_image(
    request: Request,
    translation: _Id,
    position: _Position,
    side: Annotated[translations.Side, Query(description="what was made, or what it was to become")] = "picture",
    size: Annotated[int | None, Query(ge=16, le=2048, description="longer side, pixels; else the model's own")] = None,
    form: Annotated[drawing.Format | None, Query(alias="format", description="else by Accept, and else webp")] = None,
    version: Annotated[str | None, Query(description="as X-Rosetta-Version said")] = None,
) -> Response:
    """The version is the picture's own: while a request names it, the answer may be kept for ever."""
    form = form or accepted(request)
    with state_of(request).reading.connect() as conn:
        file = translations.read_picture(conn, translation, position, side)
    tag = Tag(hashlib.sha256(file).hexdigest()[:32], [size, form])
    if tag.is_known(request):
        return tag.unchanged(version)
    with Image.open(io.BytesIO(file)) as image:
        pixels = np.asarray(image.convert("RGB"))
    shape = drawing.fit(pixels.shape[0], pixels.shape[1], size)
    return tag.answer(drawing.encode(drawing.resize_image(pixels, *shape), form), form, version, {})
