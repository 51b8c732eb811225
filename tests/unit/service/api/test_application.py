"""The application as a file: its description is the committed one, and it imports no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]


def test_openapi_is_the_committed_one():
    from service.api.openapi import document

    assert document() == (ROOT / "openapi.json").read_text(), "run: python -m service.api.openapi > openapi.json"


def test_every_route_is_described():
    from service.api.app import create_app
    from service.settings import Settings

    paths = create_app(Settings()).openapi()["paths"]
    assert "/v1/models/{model}/units/{unit}/matches" in paths
    for path, methods in paths.items():
        for method, operation in methods.items():
            assert operation["summary"], (method, path)
            assert operation.get("description"), (method, path)


def test_the_service_imports_no_torch():
    code = (
        "import service.api.app, sys; "
        "print([name for name in ('torch', 'torchvision', 'timm', 'onnx', 'workers') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.strip() == "[]"
