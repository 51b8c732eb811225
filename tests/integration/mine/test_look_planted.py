"""Search by image on a network whose units see one colour each: what is in the box is what answers."""

import hashlib
import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import nn

from service.pictures.cache import Cache
from service.queries.probes import add_image_probe
from service.submit import submit_mine
from service.submit_look import answer_of, look_at, looked_key, submit_look
from service.submit_register import submit_register
from service.uploads import image_path, query_path
from workers.zoo import registry
from workers.zoo.base import Network, Preprocessing

SIZE = 32
RED, GREEN, BLUE, DEAD, LIGHT = range(5)
SEES = torch.tensor([[2.0, -1, -1], [-1, 2, -1], [-1, -1, 2], [0, 0, 0], [10, 10, 10]])
SQUARES = {RED: (40, 10, 20, 20), GREEN: (70, 60, 16, 24)}  # x, y, width, height in the picture of 120 x 100


class Eyes(nn.Module):
    """Units that see a colour, each with a scale of its own; and their means, maps of one position."""

    def __init__(self) -> None:
        super().__init__()
        self.colours = nn.Conv2d(3, len(SEES), 1, bias=False)
        self.colours.weight.data = (SEES * torch.tensor([1, 50, 0.1, 1, 3])[:, None])[:, :, None, None]
        self.means = nn.AdaptiveAvgPool2d(1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.means(self.colours(images))


def load(reference, locations):
    taken = Preprocessing(SIZE, SIZE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    return Network(Eyes(), ("colours", "means"), "0" * 64, "eyes", preprocessing=taken)


def png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def mined(engine, settings, worker, celery):
    rng = np.random.default_rng(0)
    named = []
    for number in range(12):
        content = png(Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)))
        digest = hashlib.sha256(content).hexdigest()
        image_path(settings, digest).parent.mkdir(parents=True, exist_ok=True)
        image_path(settings, digest).write_bytes(content)
        named.append((f"{number}.png", digest))
    with engine.begin() as connection:
        add_image_probe(connection, settings, "noise", named, size=SIZE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.SOURCES, "eyes", __name__)
        worker(submit_register(engine, celery, settings, name="eyes", source="eyes:of-colours"))
        worker(submit_mine(engine, celery, settings, probe="noise", models=["eyes"], sketch_only=True))
        yield


@pytest.fixture
def ask(engine, settings, celery, worker, mined):
    def run(content, **options):
        digest = hashlib.sha256(content).hexdigest()
        query_path(settings, digest).parent.mkdir(exist_ok=True)
        query_path(settings, digest).write_bytes(content)
        with engine.connect() as connection:
            look = look_at(connection, settings, digest, **options)
        return look, answer_of(look, worker(submit_look(engine, celery, look), settings), 10)

    return run


@pytest.fixture(scope="module")
def picture():
    image = Image.new("RGB", (120, 100), (90, 90, 90))
    draw = ImageDraw.Draw(image)
    for colour, (x, y, w, h) in SQUARES.items():
        draw.rectangle((x, y, x + w - 1, y + h - 1), fill=tuple(255 * (channel == colour) for channel in range(3)))
    return png(image)


@pytest.mark.parametrize("colour", SQUARES)
def test_the_unit_that_sees_what_is_in_the_box_is_first(ask, picture, colour):
    _, answer = ask(picture, box=SQUARES[colour])
    assert answer.items[0].unit == colour
    assert answer.items[0].score > 2 * answer.items[1].score
    assert answer.items[0].peak >= answer.items[0].inside > 1 > answer.items[0].outside
    assert DEAD not in {match.unit for match in answer.items}
    assert (answer.models, answer.probe_set) == (("eyes",), "noise")


def test_maps_of_one_position_have_no_inside_and_the_answer_says_so(ask, picture):
    _, answer = ask(picture, box=SQUARES[RED])
    assert {match.layer for match in answer.items} == {"colours"}
    assert answer.left_out == len(SEES) - 1  # the dead one is none in any case
    assert answer.note == "4 units were left out: their maps have one position, which has no inside"
    _, answer = ask(picture)
    assert {match.layer for match in answer.items} == {"colours", "means"}
    assert (answer.left_out, answer.note) == (0, None)
    assert len(answer.items) == 2 * (len(SEES) - 1)


def test_a_box_that_reaches_out_of_the_square_counts_as_far_as_it_is_seen(ask, picture):
    _, seen = ask(picture, box=(10, 0, 20, 100))  # networks see x from 10 to 110
    _, wider = ask(picture, box=(0, 0, 30, 100))
    assert wider.items == seen.items
    assert seen.note is not None
    assert "inside the central square" not in seen.note
    assert wider.note is not None
    assert wider.note.startswith("only the part of the box inside the central square counts")


def test_another_box_needs_no_network_and_finds_the_same(ask, picture, settings, monkeypatch):
    whole, _ = ask(picture)
    monkeypatch.setattr(Eyes, "forward", None)
    _, kept = ask(picture, box=(45, 12, 30, 40))
    monkeypatch.undo()
    cache, row = Cache(settings), whole.models[0]
    for layer in ("colours", "means"):
        cache.maps_path(looked_key(whole.digest, SIZE, row.source, row.weights_digest, layer), 0).unlink()
    _, close = ask(picture, box=(45, 12, 30, 40.0001))
    for one, other in zip(kept.items, close.items, strict=True):
        assert (one.unit, one.peak) == (other.unit, other.peak)
        assert one.score == pytest.approx(other.score, abs=1e-4)


def test_the_maps_are_kept_to_be_shown(ask, picture, settings):
    look, _ = ask(picture, box=SQUARES[RED])
    cache, row = Cache(settings), look.models[0]
    key = looked_key(look.digest, SIZE, row.source, row.weights_digest, "colours")
    values = cache.read_map(cache.maps_path(key, 0), RED)
    x, y, w, h = SQUARES[RED]
    middle = round((y + h / 2) / 100 * SIZE), round((x - 10 + w / 2) / 100 * SIZE)
    assert values[middle] == pytest.approx(2, abs=0.01)
    assert (values > 1).mean() == pytest.approx(w * h / 100**2, abs=0.01)
