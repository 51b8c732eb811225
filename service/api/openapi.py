"""The API's description as JSON: `python -m service.api.openapi > openapi.json`."""

from __future__ import annotations

import json
import sys

from service.api.app import create_app
from service.settings import Settings


def document() -> str:
    """The OpenAPI document as it is committed: indented, keys in order, a line break at the end."""
    return json.dumps(create_app(Settings()).openapi(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
