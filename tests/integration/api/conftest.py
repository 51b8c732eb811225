"""A client of the application, on a zoo that was mined on paper."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from PIL import Image

from service.api.app import create_app
from service.settings import Settings
from tests.integration.api import zoo


@pytest.fixture(scope="module")
def correlations(engine: sa.Engine) -> dict[str, np.ndarray]:
    """The zoo, stored; r of the GAN's units with each model's on probe set faces."""
    with engine.begin() as conn:
        return zoo.seed(conn)


@pytest.fixture(scope="module")
def http(correlations: dict[str, np.ndarray], settings: Settings) -> Iterator[TestClient]:
    """A client of the running application."""
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as client:
        yield client


@pytest.fixture
def picture() -> Callable[[tuple[int, int, int]], bytes]:
    """Makes the bytes of a small PNG of one colour."""

    def make(colour: tuple[int, int, int]) -> bytes:
        file = io.BytesIO()
        Image.new("RGB", (40, 30), colour).save(file, "PNG")
        return file.getvalue()

    return make
