"""The client against the service itself."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from pathlib import Path

import pandas
import pyarrow.parquet
import pytest
from PIL import Image

from rosetta import (
    AsyncClient,
    BrokenImages,
    Client,
    Conflict,
    InvalidRequest,
    JobFailed,
    NotFound,
    Unauthorized,
    Unavailable,
)
from tests.integration.api.zoo import AGE, CLIP, DEAD, GAN, NET, VIT
from tests.integration.client.conftest import serving


def png(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    (tmp_path / "more").mkdir()
    (tmp_path / "red.png").write_bytes(png("red"))
    (tmp_path / "more" / "blue.png").write_bytes(png("blue"))
    return tmp_path


def test_models_and_probe_sets(client: Client):
    assert [model.name for model in client.models(family="clip")] == [CLIP, VIT]
    assert [layer.name for layer in client.model(GAN).layers] == ["main.2", "main.8"]
    assert client.probe("faces").generator == GAN
    assert GAN in client.probe("faces").mined_models
    with pytest.raises(NotFound) as caught:
        client.model("dcgan-face")
    assert caught.value.suggestions == (GAN,)


def test_units_and_their_matches(client: Client):
    unit = client.unit(GAN, "main.8:0")
    assert (unit.number, unit.statistics[0].probe_set) == (8, "faces")
    matches = unit.matches(model="EfficientNet", top=2, probe="faces")
    assert [match.rank for match in matches] == [1, 2]
    assert {match.neighbour_model for match in matches} == {NET}
    assert list(matches.to_pandas().neighbour_unit) == [match.neighbour_unit for match in matches]
    assert len({match.neighbour_model for match in unit.matches()}) > 1
    with pytest.raises(InvalidRequest, match="dead"):
        client.unit(GAN, DEAD).matches(model=NET)


def test_questions(client: Client):
    answer = client.ask(f"which neurons in EfficientNet match {GAN} unit 8?")
    assert answer.kind == "matches"
    assert answer.matches[0].neighbour_model == NET
    assert [pair.neighbour_model for pair in client.pairs(GAN, NET, probe="faces")] == [NET]
    assert client.search(unit=f"{GAN}/8", model=NET, top=2)[0].neighbour_model == NET
    with pytest.raises(InvalidRequest, match="not a question"):
        client.ask("how are you?")


def test_sql(client: Client):
    rows = client.sql("SELECT model, units, created_at, aliases, 0.5::numeric AS half FROM analytics.models ORDER BY 1")
    frame = rows.to_pandas()
    assert list(frame.model) == sorted(frame.model)
    assert [str(kind) for kind in frame.dtypes] == ["str", "int64", "datetime64[us, UTC]", "object", "float64"]
    assert client.sql("SELECT * FROM analytics.models WHERE false").columns[:2] == ("model", "family")
    with pytest.raises(InvalidRequest, match="refused by Postgres"):
        client.sql("DELETE FROM analytics.models")


def test_images_are_sent_once_and_make_one_probe_set(client: Client, photographs: Path):
    probe = client.add_probe("photographs", images=photographs, size=32, progress=False)
    assert (probe.kind, probe.count, probe.height) == ("images", 2, 32)
    assert client.add_probe("photographs", images=photographs, size=32, progress=False) == probe
    with pytest.raises(Conflict, match="photographs"):
        client.add_probe("again", images=photographs, size=32, progress=False)
    client.remove_probe("photographs")
    with pytest.raises(NotFound):
        client.probe("photographs")


def test_broken_images_are_named(client: Client, photographs: Path):
    (photographs / "cut.png").write_bytes(png("green")[:-40])
    (photographs / "notes.txt").write_text("not an image")
    with pytest.raises(InvalidRequest) as caught:
        client.add_probe("broken", images=photographs, progress=False)
    assert caught.value.details["broken"] == ["cut.png", "notes.txt"]
    assert "cut.png is broken" in caught.value.message
    assert "notes.txt is in no format that Pillow reads" in caught.value.message
    assert "broken" not in [probe.name for probe in client.probes()]
    with pytest.warns(BrokenImages, match=r"left out 2 of the 4 files"):
        assert client.add_probe("broken", images=photographs, skip_broken=True, progress=False).count == 2
    client.remove_probe("broken")


def test_weights_are_sent_and_named_by_what_they_are(client: Client, tmp_path: Path, settings):
    weights = tmp_path / "my net.onnx"
    weights.write_bytes(b"not really onnx")
    job = client.add_model("sent", f"onnx:{weights}", wait=False, progress=False)
    source = job.last_seen.parameters["source"]
    assert source.endswith("/my net.onnx")
    assert (settings.uploads_dir / source.removeprefix("onnx:")).read_bytes() == b"not really onnx"
    assert job.cancel().status == "cancelled"
    assert job.retry().status == "queued"
    job.cancel()
    assert client.jobs(state="cancelled", limit=1)[0].id == job.id


def test_waiting_follows_a_job(client: Client, working):
    seen = []
    first, second = threading.Event(), threading.Event()
    working.begin().say(10)

    def watch(job):
        seen.append((job.state, job.progress_done))
        (second if job.progress_done == 60 else first).set()

    def work():
        first.wait(10)
        working.say(60)
        second.wait(10)
        working.finish()

    worker = threading.Thread(target=work)
    worker.start()
    job = client.job(working.job).wait(progress=watch, timeout=30)
    worker.join()
    assert (job.status, job.result["pairs"]) == ("done", 1)
    assert list(dict.fromkeys(seen)) == [("running", 10), ("running", 60), ("done", 100)]


def test_a_failure_says_why(client: Client, working):
    working.begin().fail("model a gives NaN in layer b for image 3")
    with pytest.raises(JobFailed, match="gives NaN in layer b for image 3"):
        client.job(working.job).wait(progress=False)


def test_the_asynchronous_client(service_url: str, working):
    async def ask() -> None:
        async with AsyncClient(service_url) as client:
            unit, models = await asyncio.gather(client.unit(GAN, 8), client.models())
            matches = await unit.matches(model=NET, top=1)
            assert (len(matches), len(models)) == (1, 6)
            job = await client.job(working.job)
            waiting = asyncio.create_task(job.wait(progress=False, timeout=30))
            await asyncio.to_thread(lambda: working.begin().finish())
            assert (await waiting).status == "done"

    asyncio.run(ask())


@pytest.mark.parametrize("table", ["matches", "analytics.models", "probe_sets", "sharing_by_layer"])
def test_tables_are_exported_whole_in_any_format(client: Client, tmp_path: Path, table: str):
    name = table.removeprefix("analytics.")
    rows = client.sql(f"SELECT * FROM analytics.{name}")
    files = {form: tmp_path / f"rows.{form}" for form in ("parquet", "csv", "jsonl")}
    for path in files.values():
        assert client.export(table, path, progress=False) == path
    parquet = pyarrow.parquet.read_table(files["parquet"])
    assert parquet.schema == rows.to_arrow().schema
    keys = [column for column in rows.columns if column not in {"details", "aliases", "mined_models"}]
    order = dict.fromkeys(keys[:7], "ascending").items()
    assert parquet.select(keys).sort_by(order).equals(rows.to_arrow().select(keys).sort_by(order))
    assert len(pandas.read_csv(files["csv"])) == len(rows)
    lines = [json.loads(line) for line in files["jsonl"].read_text().splitlines()]
    assert len(lines) == len(rows)
    assert set(lines[0]) == set(rows.columns)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.csv", "rows.jsonl", "rows.parquet"]


def test_a_failed_export_leaves_nothing(client: Client, tmp_path: Path):
    with pytest.raises(NotFound) as caught:
        client.export("match", tmp_path / "x.csv", progress=False)
    assert "matches" in caught.value.suggestions
    with pytest.raises(InvalidRequest, match="no format"):
        client.export("matches", tmp_path / "x.xlsx", progress=False)
    with pytest.raises(InvalidRequest, match="cannot be written"):
        client.export("matches", tmp_path / "no" / "x.csv", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_the_service_is_well(client: Client):
    checks = client.health()
    assert {"database", "broker"} <= {check.name for check in checks}
    assert all(check.ok for check in checks), checks


def test_a_key_opens_a_service_that_has_keys(settings, service_url: str):
    with serving(settings.model_copy(update={"api_keys": ("secret",)})) as url:
        with Client(url, api_key="secret") as client:
            assert client.models()
        with Client(url, api_key="guess") as client, pytest.raises(Unauthorized, match="not one of the service's"):
            client.models()
        with Client(url) as client, pytest.raises(Unauthorized, match="set ROSETTA_API_KEY"):
            client.models()


def test_nobody_there():
    began = time.monotonic()
    with Client("http://127.0.0.1:9") as client, pytest.raises(Unavailable, match="no service answers at http://127"):
        client.models()
    assert time.monotonic() - began < 2


def test_concepts(service_url: str):
    def check(listed, whole):
        assert [one.models for one in listed] == [(CLIP, GAN, NET), (GAN, NET)]
        assert listed.to_pandas()["units"].tolist() == [3, 2]
        assert [(member.model, member.unit) for member in whole.members] == [(CLIP, 5), (GAN, 8), (NET, 3)]

    with Client(service_url) as client:
        listed = client.concepts("faces")
        check(listed, client.concept(listed[0].id))
        assert len(client.concepts(probe="faces", min_models=3)) == 1
        assert len(client.concepts(model="clip")) == 1
        job = client.find_concepts("faces", resolution=0.3)
        assert (job.last_seen.kind, job.last_seen.parameters["resolution"]) == ("cluster", 0.3)
        job.cancel()

    async def again():
        async with AsyncClient(service_url) as client:
            listed = await client.concepts("faces", order="cohesion")
            check(listed, await client.concept(listed[0].id))
            job = await client.find_concepts("faces", seed=5)
            await job.cancel()

    asyncio.run(again())


def test_a_dictionary(service_url: str):
    def check(found, one, nothing):
        assert (found.generator, found.models, found.probe_set) == (GAN, (NET, CLIP), "faces")
        assert found.total == len(found) > 1
        frame = found.to_pandas()
        assert list(frame) == [
            GAN,
            NET,
            f"{NET} r",
            CLIP,
            f"{CLIP} r",
            "mean_correlation",
            "min_correlation",
            "q_value",
        ]
        assert frame[GAN].tolist() == [row.units[0].unit for row in found]
        assert frame[f"{CLIP} r"].tolist() == [row.units[2].correlation for row in found]
        assert frame.dtypes.astype(str)[:3].tolist() == ["int64", "int64", "float64"]
        assert frame["mean_correlation"].is_monotonic_decreasing
        assert found.to_arrow().num_rows == found.total
        assert f"{found.total} tuples of {GAN} with {NET}, {CLIP} on probe set faces" in str(found)
        assert all(f"{unit.unit} ({unit.layer}:{unit.channel})" in repr(found) for unit in found[0].units)
        assert f">{NET}</th>" in found._repr_html_()
        assert (len(one), one.total, one[0]) == (1, found.total, found[0])
        assert "1 of them here" in repr(one)
        assert (nothing.total, list(nothing), nothing.largest) == (0, [], (NET,))
        assert repr(nothing).endswith(f"the largest set with some is {NET}, with {nothing.largest_total} tuples>")
        assert nothing.to_pandas().empty

    with Client(service_url) as client:
        check(
            client.dictionary(GAN, [NET, CLIP], k=2),
            client.dictionary("dcgan", f"{NET},{CLIP}", k=2, probe="faces", limit=1),
            client.dictionary(GAN, [AGE, NET]),
        )
        strict = client.dictionary(GAN, [NET, CLIP], k=2, strict=True)
        assert set(strict.as_result().tuples) != set(client.dictionary(GAN, [NET, CLIP], k=2).as_result().tuples)
        assert client.dictionary(GAN, [AGE], q_value=None).total > 0
        with pytest.raises(NotFound, match="rosetta mine --probe faces"):
            client.dictionary(GAN, [NET, VIT], strict=True)

    async def again():
        async with AsyncClient(service_url) as client:
            check(
                await client.dictionary(GAN, [NET, CLIP], k=2),
                await client.dictionary(GAN, "efficientnet,clip-rn50", k=2, limit=1),
                await client.dictionary(GAN, [AGE, NET]),
            )

    asyncio.run(again())
