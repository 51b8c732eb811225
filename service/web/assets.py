"""Assets: the style sheet and the scripts, under URLs that carry their digest, so that browsers keep them for good."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files

from fastapi import APIRouter, Response

from rosetta.errors import NotFound

router = APIRouter(include_in_schema=False)

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_FOREVER = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}


@router.get("/static/{digest}/{name}")
def asset(digest: str, name: str) -> Response:
    """The file of that name, if it is the one of that digest."""
    found = _assets().get(name)
    if found is None or found[0] != digest:
        raise NotFound(f"there is no /static/{digest}/{name}: load the page again")
    return Response(found[1], media_type=_TYPES[name.rpartition(".")[2]], headers=_FOREVER)


def url(name: str) -> str:
    """Where the file of that name is."""
    return f"/static/{_assets()[name][0]}/{name}"


@cache
def _assets() -> dict[str, tuple[str, bytes]]:
    """Digest and bytes of each file, by name; read once."""
    found = {}
    for file in files("service.web.static").iterdir():
        if file.name.rpartition(".")[2] in _TYPES:
            content = file.read_bytes()
            found[file.name] = (sha256(content).hexdigest()[:16], content)
    return found
