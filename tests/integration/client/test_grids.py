"""Figures from the client and the command line, on a service whose zoo was mined on paper, without a worker."""

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from rosetta import NotFound, Unavailable
from service.database import schema
from service.pictures.cache import Cache, maps_key
from tests.integration.api.zoo import GAN

UNIT = 8


@pytest.fixture
def no_exemplars(engine, service_url):
    with engine.begin() as conn:
        conn.execute(sa.delete(schema.exemplars))


@pytest.fixture
def exemplars(engine, no_exemplars):
    with engine.begin() as conn:
        probe_set = conn.scalar(sa.select(schema.probe_sets.c.id).where(schema.probe_sets.c.name == "faces"))
        model = conn.scalar(sa.select(schema.models.c.id).where(schema.models.c.name == GAN))
        lists = {"images_by_maximum": [1, 0], "maxima": [2, 1], "images_by_mean": [1, 0], "means": [2, 1]}
        conn.execute(schema.exemplars.insert().values(probe_set_id=probe_set, model_id=model, unit=UNIT, **lists))


@pytest.fixture
def maps(engine, settings, exemplars):
    """What a worker would have left."""
    cache = Cache(settings)
    with engine.connect() as conn:
        digest = conn.scalar(sa.select(schema.probe_sets.c.digest).where(schema.probe_sets.c.name == "faces"))
        columns = schema.models, schema.layers.c.name.label("layer"), schema.layers.c.channels
        layers = conn.execute(sa.select(*columns).join(schema.layers)).all()
    for position in range(2):
        cache.write_image(cache.image_path(digest, position), np.full((64, 64, 3), 90, np.uint8))
        for row in layers:
            key = maps_key(digest, row.source, row.weights_digest, row.layer)
            cache.write_maps(cache.maps_path(key, position), np.ones((row.channels, 8, 8), np.float32))


@pytest.mark.parametrize("command", ["concepts show 1", f"match {GAN} {UNIT}", f"match {GAN} {UNIT} --in clip --top 2"])
def test_the_command_line_writes_the_figure(rosetta, maps, tmp_path, command):
    file = tmp_path / "figure.png"
    plain = rosetta(*command.split())
    ran = rosetta(*command.split(), "--png", str(file))
    assert (ran.code, ran.err) == (0, f"wrote {file}\n")
    assert ran.out == plain.out
    with Image.open(file) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 600
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]


def test_json_stays_one_document(rosetta, maps, tmp_path):
    ran = rosetta("concepts", "show", "1", "--json", "--png", str(tmp_path / "figure.png"))
    assert ran.out == rosetta("concepts", "show", "1", "--json").out
    assert (tmp_path / "figure.png").exists()


def test_the_matches_in_the_figure_are_those_asked_for(client, maps):
    unit = client.unit(GAN, UNIT)
    tall, short = unit.grid(top=3, size=64), unit.grid("clip-rn50", size=64)
    assert (tall.media_type, short.media_type) == ("image/png", "image/png")
    assert 10 < (height(tall) - height(short)) / (64 + 3) < 14  # 12 matches against 1; a label may be taller than a map


def height(picture):
    return int.from_bytes(picture[20:24], "big")  # IHDR


@pytest.mark.usefixtures("no_exemplars")
def test_what_cannot_be_drawn_leaves_no_file(rosetta, client, tmp_path):
    ran = rosetta("concepts", "show", "1", "--png", str(tmp_path / "figure.png"))
    assert (ran.code, ran.out) == (1, "")
    assert "no exemplars are stored of the members of concept 1" in ran.err
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotFound, match="no exemplars"):
        client.concept(1).grid()


@pytest.mark.usefixtures("exemplars")
def test_without_a_worker_the_mend_is_said(rosetta, client, tmp_path, settings):
    for path in sorted(settings.pictures_dir.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    ran = rosetta("match", GAN, str(UNIT), "--png", str(tmp_path / "figure.png"))
    assert (ran.code, ran.out) == (3, "")
    assert "no worker is at work: start one with `rosetta worker`" in ran.err
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Unavailable, match="no worker"):
        client.unit(GAN, UNIT).grid()
    assert "Without pictures: " in client.unit(GAN, UNIT).matches()._repr_html_()


def test_estimates_are_not_drawn(rosetta, tmp_path):
    ran = rosetta("match", GAN, str(UNIT), "--approximate", "--png", str(tmp_path / "figure.png"))
    assert ran.code == 2
    assert "--png draws exact matches: leave out --approximate" in ran.err
