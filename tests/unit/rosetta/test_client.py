from __future__ import annotations

import inspect
import json

import pytest

from rosetta import AsyncClient, Client, InvalidRequest, JobFailed, Unavailable
from rosetta.handles import AsyncJobHandle, JobHandle
from rosetta.transport import Endpoint
from rosetta.units import AsyncUnitHandle, UnitHandle
from rosetta.views import job_subject
from tests.unit.rosetta import values
from tests.unit.rosetta.fake import error


@pytest.mark.parametrize(
    ("blocking", "awaiting"), [(Client, AsyncClient), (JobHandle, AsyncJobHandle), (UnitHandle, AsyncUnitHandle)]
)
def test_the_asynchronous_side_mirrors_the_blocking_one(blocking, awaiting):
    def public(kind: type) -> dict[str, list[str]]:
        return {
            name: [str(each).split(":")[0] for each in inspect.signature(member).parameters.values()]
            for name, member in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_")
        }

    assert public(blocking) == public(awaiting)
    assert all(
        inspect.iscoroutinefunction(member)
        for name, member in vars(awaiting).items()
        if inspect.isfunction(member) and not name.startswith("_")
    )


def test_lists_page_transparently(talk, service):
    service.on("GET", "/v1/models", values.page(values.model("a"), cursor="c1"), values.page(values.model("b")))
    assert [model.name for model in talk(talk.client.models, family="resnet")] == ["a", "b"]
    assert service.paths() == [
        "GET /v1/models?family=resnet&limit=500",
        "GET /v1/models?family=resnet&limit=500&cursor=c1",
    ]


def test_a_limit_asks_for_no_more_than_it_says(talk, service):
    service.on("GET", "/v1/jobs", values.page(values.job(2), values.job(1), cursor="more"))
    assert len(talk(talk.client.jobs, limit=2)) == 2
    assert service.paths() == ["GET /v1/jobs?limit=2"]


def test_adding_a_model_waits_until_it_is_there(talk, service):
    service.on("POST", "/v1/models", values.job(3, "queued", kind="register", parameters={"name": "a"}))
    service.on("GET", "/v1/jobs/3", values.job(3, "done", kind="register"))
    service.on("GET", "/v1/models/a", values.model("a"))
    model = talk(talk.client.add_model, "a", "demo:a", layers="main.*", aliases=["net"], progress=False)
    assert model.name == "a"
    assert service.bodies("POST", "/v1/models") == [
        {
            "name": "a",
            "source": "demo:a",
            "layers": ["main.*"],
            "weights": None,
            "family": None,
            "aliases": ["net"],
        }
    ]


def test_a_registration_that_fails_says_why(talk, service):
    service.on("POST", "/v1/models", values.job(3, "queued", kind="register"))
    failed = values.job(3, "failed", kind="register", error_code="invalid_request", error_message="no such layer")
    service.on("GET", "/v1/jobs/3", failed)
    with pytest.raises(JobFailed, match="job 3 \\(register\\) failed: no such layer") as caught:
        talk(talk.client.add_model, "a", "demo:a", progress=False)
    assert caught.value.details == {"job": 3, "reason": "invalid_request"}


def test_a_unit_is_named_in_any_of_its_ways(talk, service):
    for path in ("813", "main.8:45", "features/0/Conv:3"):
        service.on("GET", f"/v1/models/dcgan-faces/units/{path}", values.unit())
    client = talk.client
    for arguments in [
        ("dcgan-faces", 813),
        ("dcgan-faces", "main.8:45"),
        ("dcgan-faces/main.8:45",),
        ("dcgan-faces/features/0/Conv:3",),
    ]:
        unit = talk(client.unit, *arguments)
        assert (unit.number, unit.address) == (813, "dcgan-faces/main.8:45")
    assert unit.statistics[0].std == 1.25
    assert repr(unit) == "<unit 813 of dcgan-faces: main.8:45, 32x32>"
    assert service.paths()[-1] == "GET /v1/models/dcgan-faces/units/features%2F0%2FConv:3"


def test_matches_of_a_unit(talk, service):
    service.on("GET", "/v1/models/dcgan-faces/units/813", values.unit())
    service.on("GET", "/v1/models/dcgan-faces/units/813/matches", values.page(values.match(1), values.match(2)))
    unit = talk(talk.client.unit, "dcgan-faces", 813)
    matches = talk(unit.matches, "efficientnet", top=2, best_buddies=True, probe="faces")
    assert [match.neighbour_unit for match in matches] == [67, 68]
    assert dict(service.asked[-1].url.params) == {
        "in": "efficientnet",
        "probe": "faces",
        "top": "2",
        "best_buddies": "true",
        "limit": "500",
    }


def test_approximate_matches_of_a_unit(talk, service):
    unknown = {"reciprocal_rank": None, "q_value": None, "is_best_buddy": False}
    rows = [values.match(rank, **unknown, approximate=True) for rank in (1, 2)]
    service.on("GET", "/v1/models/dcgan-faces/units/813", values.unit())
    service.on("GET", "/v1/models/dcgan-faces/units/813/matches", values.page(*rows), values.page(values.match()))
    unit = talk(talk.client.unit, "dcgan-faces", 813)
    matches = talk(unit.matches, approximate=True)
    assert [(match.neighbour_unit, match.approximate, match.q_value) for match in matches] == [
        (67, True, None),
        (68, True, None),
    ]
    assert dict(service.asked[-1].url.params) == {"approximate": "true", "limit": "500"}
    assert "~0.812" in repr(matches)
    exact = talk(unit.matches)  # a service that does not say so means exact ones
    assert (exact[0].approximate, "~" in repr(exact)) == (False, False)
    assert dict(service.asked[-1].url.params) == {"limit": "500"}


def test_candidates_of_a_unit_are_correlated_in_a_job(talk, service):
    row = {name: value for name, value in values.match().items() if name not in {"reciprocal_rank", "q_value"}}
    row = {name: value for name, value in row.items() if name != "is_best_buddy"} | {"similarity": 0.75}
    parameters = {"probe": "faces", "unit": "dcgan-faces/main.8:45", "models": ["dcgan-faces"], "top": 3}
    about = {"kind": "correlate", "parameters": parameters}
    service.on("GET", "/v1/models/dcgan-faces/units/813", values.unit())
    service.on("POST", "/v1/correlate", values.job(7, "queued", **about))
    service.on("GET", "/v1/jobs/7", values.job(7, "done", **about, result={"images": 100, "matches": [row]}))
    unit = talk(talk.client.unit, "dcgan-faces", 813)
    job = talk(unit.correlate, "efficientnet", 3)
    assert len(job.matches) == 0
    talk(job.wait, progress=False)
    assert [(match.neighbour_unit, match.correlation, match.similarity) for match in job.matches] == [
        (67, 0.8125, 0.75)
    ]
    (body,) = service.bodies("POST", "/v1/correlate")
    assert {name: value for name, value in body.items() if value is not None} == {
        "unit": "dcgan-faces/main.8:45",
        "in": "efficientnet",
        "top": 3,
    }
    assert "0.812" in repr(job.matches)
    assert "~0.750" in repr(job.matches)
    assert job_subject(job.last_seen) == "faces: dcgan-faces/main.8:45"


def test_a_unit_that_is_none_is_refused_before_anything_is_asked(talk, service):
    with pytest.raises(InvalidRequest, match="'x' is not a unit"):
        talk(talk.client.unit, "dcgan-faces", "x")
    assert not service.asked


def test_mine_gives_a_job(talk, service):
    service.on("POST", "/v1/mine", values.job(12, "done", already_done=True))
    job = talk(talk.client.mine, probe="faces", models=["a", "b"], keep=5)
    assert (job.id, job.status, job.already_done, job.result) == (12, "done", True, {"pairs": 1})
    assert service.bodies("POST", "/v1/mine") == [
        {"probe": "faces", "models": ["a", "b"], "keep": 5, "sketch_only": False, "parts": 1}
    ]


def test_a_job_is_cancelled_and_tried_again(talk, service):
    service.on("GET", "/v1/jobs/12", values.job(12))
    service.on("DELETE", "/v1/jobs/12", values.job(12, "cancelled"))
    service.on("POST", "/v1/jobs/12/retry", values.job(12, "queued"))
    job = talk(talk.client.job, 12)
    assert repr(job) == "<job 12 (mine) running 45%: about 1 min 10 s left, 4 models>"
    assert talk(job.cancel).status == "cancelled"
    assert talk(job.retry).status == "queued"
    assert talk(job.refresh).status == "running"


def test_ask(talk, service):
    answer = {
        "question": "?",
        "kind": "matches",
        "understood": "matches of 813",
        "text": "Two.",
        "matches": [values.match()],
    }
    service.on("POST", "/v1/ask", answer)
    found = talk(talk.client.ask, "which?", probe="faces")
    assert (str(found), found.kind, len(found.matches), len(found.pairs)) == ("Two.", "matches", 1, 0)
    assert found._repr_html_().startswith("<p>Two.</p>\n<table>")
    assert service.bodies("POST", "/v1/ask") == [{"question": "which?", "probe": "faces"}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "a folder of images or of a generator's samples"),
        ({"images": "x", "generator": "y"}, "a folder of images or of a generator's samples"),
        ({"generator": "y"}, "Give a count"),
        ({"generator": "y", "count": 3, "skip_broken": True}, "go with a folder"),
        ({"images": "x", "count": 3}, "go with a generator"),
        ({"images": "/nowhere"}, "there is no folder /nowhere"),
    ],
)
def test_a_probe_set_of_what(talk, service, arguments, message):
    with pytest.raises(InvalidRequest, match=message):
        talk(talk.client.add_probe, "faces", **arguments)
    assert not service.asked


def test_a_probe_set_of_a_generator(talk, service):
    service.on("POST", "/v1/probes", values.probe())
    probe = talk(talk.client.add_probe, "faces", generator="dcgan-faces", count=100, seed=7, truncation=0.5)
    assert probe.count == 100
    assert service.bodies("POST", "/v1/probes") == [
        {
            "name": "faces",
            "generator": "dcgan-faces",
            "count": 100,
            "seed": 7,
            "class_index": None,
            "truncation": 0.5,
        }
    ]


def test_removing(talk, service):
    service.on("DELETE", "/v1/models/a", {})
    service.on("DELETE", "/v1/probes/faces", error(409, "conflict", "job 3 mines on faces"))
    assert talk(talk.client.remove_model, "a") is None
    with pytest.raises(Exception, match="job 3 mines"):
        talk(talk.client.remove_probe, "faces")


@pytest.mark.parametrize("url", ["ftp://x", "localhost:8000", "http://"])
def test_an_address_that_is_none(url):
    with pytest.raises(InvalidRequest, match="is not an address of a service"):
        Client(url)


def test_the_environment_names_service_and_key(monkeypatch, service):
    monkeypatch.setenv("ROSETTA_URL", "https://zoo.test/rosetta/")
    monkeypatch.setenv("ROSETTA_API_KEY", "k1")
    assert Endpoint.find(None, None, 5) == Endpoint("https://zoo.test/rosetta", "k1", 5)
    assert Endpoint.find("http://other", "k2", 5) == Endpoint("http://other", "k2", 5)


def test_the_running_stack_is_found(monkeypatch, tmp_path):
    (tmp_path / "stack.json").write_text(json.dumps({"url": "http://127.0.0.1:8123", "pid": 1}))
    monkeypatch.setenv("ROSETTA_DATA_DIR", str(tmp_path))
    with Client() as client:
        assert client.url == "http://127.0.0.1:8123"
        assert repr(client) == "<Client of http://127.0.0.1:8123>"


def test_a_proxy_is_not_used_for_loopback(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test:3128")
    for url, proxied in [("http://127.0.0.1:8000", False), ("http://localhost", False), ("http://zoo.test", True)]:
        assert Endpoint.find(url, None, 5)._httpx_options()["trust_env"] is proxied


def test_health_tells_what_works_and_what_does_not(talk, service):
    database = {"name": "database", "ok": True, "value": "18.6", "mend": ""}
    broker = {"name": "broker", "ok": False, "value": "refused", "mend": "start it"}
    service.on(
        "GET",
        "/readyz",
        {"status": "ok", "checks": [database]},
        error(503, "unavailable", "broker: refused: start it", checks=[database, broker]),
        error(503, "unavailable", "away"),
    )
    assert [check.ok for check in talk(talk.client.health)] == [True]
    assert [check.ok for check in talk(talk.client.health)] == [True, False]
    with pytest.raises(Unavailable, match="away"):
        talk(talk.client.health)


def test_search_by_unit(talk, service):
    found = values.match() | {"similarity": 0.75}
    service.on("POST", "/v1/search", values.page(found))
    rows = talk(talk.client.search, unit="dcgan-faces/813", model="efficientnet", top=3)
    assert (rows[0].neighbour_unit, rows[0].similarity) == (67, 0.75)
    assert service.bodies("POST", "/v1/search") == [
        {"unit": "dcgan-faces/813", "in": "efficientnet", "probe": None, "top": 3}
    ]
