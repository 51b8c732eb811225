"""What the pages say of what is wrong, and how they change jobs by form."""

from __future__ import annotations

import pytest

from service import jobs
from service.database import schema
from tests.integration.api.zoo import GAN, insert


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/models/dcgan-face", 404, f'href="/models/{GAN}"'),
        ("/units/dcgan-face/9", 404, f'href="/units/{GAN}/9"'),
        (f"/units/{GAN}/99", 404, "its 14 units are 0 to 13"),
        (f"/units/{GAN}/x", 422, "is not a unit"),
        (f"/pairs/{GAN}/lonely", 404, "rosetta mine --probe PROBE"),
        (f"/pairs/{GAN}/{GAN}", 422, "not compared with itself"),
        (f"/models/{GAN}?probe=face", 404, "did you mean faces?"),
        ("/concepts/999", 404, "no concept 999"),
        ("/concepts/0", 422, "greater than or equal to 1"),
        ("/concepts?cursor=x", 422, "cursor is not one of this list"),
        ("/jobs/999", 404, "no job 999"),
        ("/jobs/x", 422, "valid integer"),
        ("/models/%00", 422, "no text may"),
        ("/nothing", 404, "there is no page /nothing"),
    ],
)
def test_errors_are_pages(http, path, status, said):
    page = http.get(path, headers={"Accept": "text/html"})
    assert page.status_code == status
    assert page.headers["content-type"].startswith("text/html")
    assert said in page.text.replace("&#39;", "'")
    assert 'role="alert"' in page.text


def test_what_is_not_for_people_stays_json(http):
    for path, accept in (("/nothing", "*/*"), ("/v1/nothing", "text/html"), ("/v1/models/nobody", "text/html")):
        assert http.get(path, headers={"Accept": accept}).json()["error"]["code"] == "not_found"


def test_a_job_is_cancelled_and_tried_again_by_form(http, engine):
    job = jobs.create(engine, "mine", "by form", {"probe": "faces", "models": ["a", "b"]}, [{"images": 10}])
    page = http.get(f"/jobs/{job}").text
    assert f'action="/jobs/{job}/cancel"' in page
    assert "a, b on faces" in page
    assert "No worker is running" in page
    assert f'data-job="{job}" data-state="queued"' in http.get("/").text
    answer = http.post(f"/jobs/{job}/cancel", headers={"Sec-Fetch-Site": "same-origin"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{job}")
    page = http.get(f"/jobs/{job}").text
    assert f'action="/jobs/{job}/retry"' in page
    assert "cancelled" in page
    assert http.post(f"/jobs/{job}/retry", follow_redirects=False).status_code == 303
    assert http.get(f"/v1/jobs/{job}").json()["state"] == "queued"
    again = http.post(f"/jobs/{job}/retry")
    assert (again.status_code, "cancel it first, or wait" in again.text) == (409, True)
    jobs.cancel(engine, job)


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://evil.org"}]
)
def test_forms_of_other_sites_change_nothing(http, engine, headers):
    job = jobs.create(engine, "mine", "foreign", {"probe": "faces"}, [{}])
    assert http.post(f"/jobs/{job}/cancel", headers=headers).status_code == 401
    assert http.get(f"/v1/jobs/{job}").json()["state"] == "queued"
    jobs.cancel(engine, job)


def test_a_failed_job_says_why(http, engine):
    with engine.begin() as conn:
        job = insert(
            conn, schema.jobs, kind="register", key="no weights", parameters={"name": "x", "source": "timm:x"},
            state="failed", remaining=1, error_code="invalid_request", error_message="there are no weights",
            result={"models": ["x"]},
        )  # fmt: skip
    page = http.get(f"/jobs/{job}").text
    assert '<p class="problem" role="alert">there are no weights</p>' in page
    assert f'action="/jobs/{job}/retry"' in page
    assert "there are no weights" in http.get("/jobs?state=failed").text
