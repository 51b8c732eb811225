"""Pictures as HTTP likes them: the format that is accepted, an ETag, and how long an answer may be kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response

from service.pictures.overlay import RENDERING, Format

_YEAR_S = 365 * 24 * 3600


def accepted(request: Request) -> Format:
    """PNG for who accepts that and not WebP; WebP else."""
    accept = request.headers.get("accept", "").lower()
    return "png" if "image/png" in accept and "image/webp" not in accept else "webp"


def version_in_addresses(version: str) -> str:
    """What X-Rosetta-Version says: what is shown, and how it is drawn."""
    return f"{version}-{RENDERING}"


class Tag:
    """What an answer shows, in one line: known before anything is made.

    Attributes:
        version: of what is shown: probe set, weights, layer; and how. A name may stand for others tomorrow.
    """

    def __init__(self, version: str, shown: list[Any], *, lasting: bool = True) -> None:
        """Of a version, of all else that decides the answer's bytes, and whether these are the last word."""
        self.version = version_in_addresses(version)
        self._of, self._shown, self._lasting = version, shown, lasting
        text = json.dumps([RENDERING, version, shown, *([] if lasting else ["stored"])])
        self._etag = f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'

    def of_stored(self) -> Tag:
        """The one of what is shown from the coarse things that mining left, until a worker makes better ones."""
        return Tag(self._of, self._shown, lasting=False)

    def is_known(self, request: Request) -> bool:
        """Whether the caller has this very answer."""
        known = request.headers.get("if-none-match", "")
        tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
        return bool(tags & {self._etag, "*"})

    def unchanged(self, version: str | None) -> Response:
        """The answer to a caller that has it."""
        return Response(status_code=304, headers=self._headers(version))

    def answer(self, body: bytes, form: Format, version: str | None, headers: Mapping[str, str]) -> Response:
        """The answer, with what it may be kept by.

        Args:
            body: the picture.
            form: its format.
            version: what the request named, if it did.
            headers: more of them.
        """
        return Response(body, media_type=f"image/{form}", headers={**self._headers(version), **headers})

    def _headers(self, version: str | None) -> dict[str, str]:
        # An address has names, which may come to stand for another model; one that has the version too never changes.
        kept = f"max-age={_YEAR_S}, immutable" if self._lasting and version == self.version else "no-cache"
        return {
            "etag": self._etag,
            "cache-control": f"private, {kept}",
            "vary": "Accept",
            "x-rosetta-version": self.version,
        }
