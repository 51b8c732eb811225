"""HTTP itself: keys, hosts, errors, limits, health, metrics."""

from __future__ import annotations

import base64
import re

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from rosetta.errors import InvalidRequest
from service.api.app import create_app
from service.settings import Settings
from tests.integration.api.zoo import GAN

KEY = "a long secret"


@pytest.fixture(scope="module")
def locked(settings):
    with TestClient(
        create_app(settings.model_copy(update={"api_keys": ("other", KEY)})), base_url="http://x.org"
    ) as client:
        yield client


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": KEY}, 401),
        ({"Authorization": f"Bearer {KEY}"}, 200),
        ({"X-API-Key": KEY}, 200),
        ({"X-API-Key": KEY[:-1]}, 401),
        ({"Authorization": "Basic " + base64.b64encode(f"me:{KEY}".encode()).decode()}, 200),
        ({"Authorization": "Basic !"}, 401),
    ],
)
def test_keys(locked, headers, status):
    for path in ("/v1/models", "/", "/openapi.json", "/metrics"):
        response = locked.get(path, headers=headers)
        assert response.status_code == status
        if status == 401:
            assert response.json()["error"]["code"] == "unauthorized"
            assert "Basic" in response.headers["www-authenticate"]
            assert KEY not in response.text


def test_health_needs_no_key(locked):
    assert locked.get("/healthz").json()["status"] == "ok"
    assert [check["name"] for check in locked.get("/readyz").json()["checks"]] == ["database", "broker"]


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("127.0.0.1:8000", 200), ("[::1]:8000", 200), ("evil.org", 401), ("evillocalhost", 401)],
)
def test_without_keys_only_this_machine_is_answered(http, host, status):
    assert http.get("/v1/models", headers={"Host": host}).status_code == status


def test_pages_of_other_sites_change_nothing(http):
    assert http.post("/v1/jobs/1/retry", headers={"Origin": "http://evil.org"}).status_code == 401
    assert http.post("/v1/jobs/1/retry", headers={"Origin": "http://127.0.0.1:8000"}).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("PUT", "/v1/models", 405, "invalid_request"),
        ("GET", "/v1/models/nobody", 404, "not_found"),
        ("POST", "/v1/mine", 422, "invalid_request"),
    ],
)
def test_one_error_body_for_everything(http, method, path, status, code):
    response = http.request(method, path, headers={"X-Request-ID": "mine-1"})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["request_id"]) == (status, code, "mine-1")
    assert response.headers["x-request-id"] == "mine-1"
    assert set(error) == {"code", "message", "details", "request_id"}


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b'"x"', b"\xff"])
def test_bodies_that_are_no_object(http, body):
    response = http.post("/v1/ask", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422)
    assert response.json()["error"]["code"] == "invalid_request"


def test_large_bodies_are_refused(http):
    for content in (b" " * (2**20 + 1), iter([b" " * 2**19] * 3)):
        response = http.post("/v1/ask", content=content, headers={"Content-Type": "application/json"})
        assert response.status_code == 413
        assert "1,048,576 bytes allowed" in response.json()["error"]["message"]


def test_a_request_id_of_another_shape_is_not_echoed(http):
    given = "x" * 100
    assert re.fullmatch("[0-9a-f]{32}", http.get("/healthz", headers={"X-Request-ID": given}).headers["x-request-id"])


def test_a_fault_is_logged_and_not_shown(settings, caplog):
    app = create_app(settings)

    @app.get("/fault")
    def fault():
        raise RuntimeError("the secret cause")

    with TestClient(app, base_url="http://127.0.0.1") as client:
        response = client.get("/fault")
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (500, "error")
    assert "secret" not in response.text
    assert error["request_id"] in caplog.text
    assert "the secret cause" in caplog.text


def test_a_database_that_is_away(settings):
    away = settings.model_copy(
        update={"database_url": "postgresql://nobody@127.0.0.1:1/x", "broker_url": "redis://127.0.0.1:1/0"}
    )
    with TestClient(create_app(away), base_url="http://127.0.0.1") as client:
        response = client.get("/v1/models")
        assert (response.status_code, response.json()["error"]["code"]) == (503, "unavailable")
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["error"]["code"]) == (503, "unavailable")
        assert [check["ok"] for check in ready.json()["error"]["details"]["checks"]] == [False, False]
        assert client.get("/healthz").status_code == 200
        assert client.get("/metrics").status_code == 200
        page = client.get("/")
        assert page.status_code == 503
        assert "the database does not answer" in page.text


def test_a_schema_of_another_version_is_not_ready(http, engine):
    with engine.begin() as conn:
        known = conn.scalar(sa.text("SELECT version_num FROM alembic_version"))
        conn.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    try:
        response = http.get("/readyz")
        assert response.status_code == 503
        assert "`rosetta migrate`" in response.json()["error"]["message"]
    finally:
        with engine.begin() as conn:
            conn.execute(sa.text("UPDATE alembic_version SET version_num = :known"), {"known": known})
    assert http.get("/readyz").status_code == 200


def test_no_database_named():
    with pytest.raises(InvalidRequest, match="ROSETTA_DATABASE_URL"), TestClient(create_app(Settings())):
        pass


def test_metrics(http):
    http.get(f"/v1/models/{GAN}")
    http.get("/v1/models/nobody")
    text = http.get("/metrics").text
    assert 'rosetta_http_requests_total{method="GET",route="/v1/models/{model}",status="200"}' in text
    assert 'rosetta_http_requests_total{method="GET",route="/v1/models/{model}",status="404"}' in text
    assert 'rosetta_http_request_seconds_bucket{le="0.001",method="GET",route="/v1/models/{model}"}' in text
    assert 'rosetta_jobs{state="queued"}' in text
    assert "rosetta_queue_messages" in text
    assert "nobody" not in text
