"""`rosetta models layers`, from the command line through the service and a worker's pipeline and back."""

from __future__ import annotations

import asyncio
import json
import re
import threading

import pytest
import sqlalchemy as sa
import torch

from rosetta import AsyncClient, JobFailed
from service.database import schema
from tests.integration.jobs import tiny
from workers import tasks
from workers.pipelines import networks
from workers.zoo import registry


@pytest.fixture(autouse=True)
def worker(engine, settings, service_url, monkeypatch):
    """Does the jobs `inspect` as a worker process does, in a thread of this one; knows the source `tiny:` too."""
    monkeypatch.setitem(registry.SOURCES, "tiny", tiny.__name__)
    monkeypatch.setattr(tasks, "get_settings", lambda: settings)
    monkeypatch.setattr(tasks, "_engine", lambda: engine)
    networks.forget_all()
    over = threading.Event()
    waits = sa.select(schema.jobs.c.id).where(schema.jobs.c.kind == "inspect", schema.jobs.c.state == "queued")

    def work():
        while not over.wait(0.02):
            with engine.connect() as connection:
                waiting = list(connection.scalars(waits))
            for job in waiting:
                tasks.run_part(job, 0)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    over.set()
    thread.join()


def models(engine):
    with engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(schema.models))


def test_the_client_gives_the_modules_and_registers_nothing(client, engine):
    before = models(engine)
    modules = client.layers("tiny:nested", progress=False)
    assert {module.path: module.channels for module in modules} == {
        "last": 7, "first": 4, "first.0": 4, "first.1": 4, "second": 5, "never": None
    }  # fmt: skip
    assert [module.path for module in modules.where(lambda module: module.chosen)] == ["last", "first", "second"]
    assert list(modules.to_pandas().why_not) == ["", "", "", "", "", "does not run"]
    chosen = client.layers("tiny:nested", layers="first.?", progress=False).where(lambda module: module.chosen)
    assert [module.path for module in chosen] == ["first.0", "first.1"]
    assert models(engine) == before
    assert "first.0  Conv2d      4 x 8 x 12" in repr(modules)


def test_a_list_of_jobs_leaves_the_modules_out(client):
    job = client.layers("tiny:odd", wait=False).wait(progress=False)
    assert job.result["units"] == 2
    assert [module["path"] for module in job.result["modules"]] == ["sound", "pair", "broken"]
    listed = client.jobs(limit=1)[0]
    assert (listed.id, listed.result) == (job.id, {"layers": 1, "units": 2})
    assert client.job(job.id).result == job.result


def test_local_weights_are_sent(client, tmp_path, settings):
    (tmp_path / "net.pt").write_bytes(b"weights")
    job = client.layers("tiny:nested", tmp_path / "net.pt", wait=False, progress=False).wait(progress=False)
    assert (settings.uploads_dir / job.last_seen.parameters["weights"]).read_bytes() == b"weights"
    assert job.result["layers"] == 3


def test_the_asynchronous_client(service_url):
    async def look():
        async with AsyncClient(service_url) as client:
            return await client.layers("tiny:generator", progress=False)

    assert [module.channels for module in asyncio.run(look())] == [4, 4, 3, 3]


def test_what_people_see(rosetta):
    ran = rosetta("models", "layers", "tiny:nested")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "module  class       maps          units  layer",
        "last    Linear      7 x 1 x 1         7  yes",
        "first   Sequential  4 x 8 x 12        4  yes",
        "  0     Conv2d      4 x 8 x 12        4",
        "  1     ReLU        4 x 8 x 12        4",
        "second  Conv2d      5 x 4 x 6         5  yes",
        "never   Conv2d      does not run",
        "",
        "3 layers by default, 16 units; to register them:",
        "  rosetta models add NAME --source tiny:nested",
    ]
    assert re.match(r"inspect \(job \d+\): \w+", ran.err)
    ran = rosetta("models", "layers", "tiny:nested", "--layers", "first", "--layers", "never*", "--depth", "1")
    assert "2 modules lie deeper: --depth 2" in ran.out
    assert ran.out.endswith("--source tiny:nested --layers first --layers 'never*'\n")
    ran = rosetta("models", "layers", "tiny:odd", "--layers", "sound", "--layers", "p*")
    assert "1 of these 2 layers cannot be recorded (pair: 2 outputs)" in ran.out


def test_json_has_every_module(rosetta):
    ran = rosetta("models", "layers", "tiny:nested", "--depth", "1", "--json")
    assert ran.code == 0
    modules = json.loads(ran.out)
    assert [module["path"] for module in modules] == ["last", "first", "first.0", "first.1", "second", "never"]
    assert modules[4] == {
        "path": "second",
        "class_name": "Conv2d",
        "channels": 5,
        "height": 4,
        "width": 6,
        "calls": 1,
        "chosen": True,
        "why_not": "",
    }


def test_the_job_as_it_is_shown(rosetta, client):
    job = client.layers("tiny:nested", wait=False).wait(progress=False)
    shown = {
        line.split("  ")[0]: line.split("  ")[-1].strip()
        for line in rosetta("jobs", "show", str(job.id)).out.splitlines()
    }
    assert (shown["about"], shown["layers"], shown["units"], shown["modules"]) == ("tiny:nested", "3", "16", "6")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["tiny:none"], 1, r"job \d+ \(inspect\) failed: there is no tiny network 'none'"),
        (["huge:net"], 1, r"'huge:net' names no source of models: begin it with one of .*timm:"),
        (["tiny"], 1, r"'tiny' is not a source: write SCHEME:REFERENCE"),
        (["onnx:/no/such.onnx"], 1, "ROSETTA_WEIGHTS_DIRS"),
        (["tiny:nested", "--weights", "nowhere.pt"], 1, r"'nowhere\.pt'"),
        (
            ["tiny:nested", "--layers", "frist"],
            1,
            r"no layer fits 'frist'; the nearest of the 6 module paths are .*first.*; "
            r"`rosetta models layers tiny:nested` shows the tree",
        ),
        ([], 2, "missing argument 'SOURCE'"),
        (["tiny:nested", "--depth", "0"], 2, "--depth"),
        (["tiny:nested", "--url", "http://127.0.0.1:9"], 3, "no service answers"),
    ],
)
def test_errors_are_one_line(rosetta, arguments, code, message):
    ran = rosetta("models", "layers", *arguments, "--json")
    assert (ran.code, ran.out) == (code, "")
    errors = [line for line in ran.err.splitlines() if line.startswith("rosetta: ")]
    assert len(errors) == 1
    assert re.search(message, errors[0])


def test_a_network_that_fails_in_its_pass_fails_the_job(client, monkeypatch):
    def broken(_network):
        return (torch.zeros(1, 4, 8, 8),)

    monkeypatch.setattr("workers.pipelines.inspect.trial_inputs", broken)
    with pytest.raises(JobFailed, match="RuntimeError"):
        client.layers("tiny:nested", progress=False)
