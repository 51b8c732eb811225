"""Labels and search by text, in the client and on the command line."""

import asyncio
import json

import pytest

from rosetta import AsyncClient, Client, InvalidRequest, NotFound
from tests.integration.api.zoo import CLIP, GAN

HOSTILE = "<b>hair</b><script>alert(1)</script>"


@pytest.fixture(autouse=True)
def nothing_stays(client: Client):
    yield
    for label in client.labels():
        client.remove_label(label.id)


def test_given_found_and_removed(client: Client):
    concept = client.concepts()[0].id
    unit = client.label(f"{GAN}/8", "glasses", author="ada")
    of_concept = client.label(concept, "eyes")
    assert client.label(f"{GAN}/main.8:0", "glasses", author="ada") == unit
    assert list(client.labels()) == [of_concept, unit]
    assert list(client.labels(f"{GAN}/8")) == list(client.labels(model=GAN)) == [unit]
    assert list(client.unit(GAN, 8).labels()) == list(client.unit(GAN, "main.8:0").labels("person")) == [unit]
    assert list(client.unit(GAN, 9).labels()) == list(client.unit(GAN, 8).labels("text")) == []
    assert list(client.labels(concept)) == [of_concept]
    assert list(client.labels(concept, members=True)) == [unit]
    assert list(client.labels(text="glass")) == [unit]
    assert list(client.labels(kind="mask")) == list(client.labels(model=CLIP)) == []
    (found,) = client.search(text="glass")
    assert (found.by, found.text, found.author, found.model, found.unit) == ("label", "glasses", "ada", GAN, 8)
    assert client.search(text="eyes")[0].concept == concept
    assert client.remove_label(unit.id) == unit
    assert not client.search(text="glass")


def test_refused(client: Client):
    with pytest.raises(NotFound, match="did you mean dcgan-faces"):
        client.label("dcgan-face/8", "glasses")
    with pytest.raises(InvalidRequest, match="is not an address"):
        client.label("glasses", "dcgan-faces/8")
    with pytest.raises(InvalidRequest, match="name what to search for"):
        client.search()  # type: ignore[call-overload]


def test_a_notebook_shows_text_as_text(client: Client):
    client.label(f"{GAN}/8", HOSTILE)
    for rows in (client.labels(), client.search(text="hair")):
        shown = rows._repr_html_()
        assert "<script" not in shown
        assert "<b>hair" not in shown
        assert "&lt;script&gt;" in shown


def test_without_blocking(service_url: str, client: Client):
    async def use() -> None:
        async with AsyncClient(service_url) as asynchronous:
            label = await asynchronous.label(f"{GAN}/8", "glasses")
            assert list(await asynchronous.labels()) == [label]
            assert list(await (await asynchronous.unit(GAN, 8)).labels()) == [label]
            assert (await asynchronous.search(text="glasses"))[0].unit == 8
            assert (await asynchronous.search(unit=f"{GAN}/8", top=2))[0].rank == 1
            await asynchronous.remove_label(label.id)

    asyncio.run(use())
    assert not client.labels()


def test_on_the_command_line(rosetta):
    made = rosetta("labels", "add", f"{GAN}/8", "reading glasses", "--author", "ada")
    assert (made.code, made.err) == (0, "")
    assert "reading glasses" in made.out
    listed = rosetta("labels", "list")
    for text in (f"{GAN} 8 (main.8:0)", "reading glasses", "person", "ada"):
        assert text in listed.out
    found = json.loads(rosetta("search", "--text", "glass", "--json").out)
    assert [(one["by"], one["model"], one["unit"]) for one in found] == [("label", GAN, 8)]
    assert "by     score" in rosetta("search", "--text", "glass").out
    nothing = rosetta("search", "--text", "hat")
    assert (nothing.code, nothing.out.strip()) == (0, "no label says 'hat': `rosetta labels add UNIT TEXT` gives one")
    number = json.loads(rosetta("labels", "list", f"{GAN}/8", "--json").out)[0]["id"]
    assert f"removed label {number}: reading glasses" in rosetta("labels", "remove", str(number)).out
    assert rosetta("labels", "list").out.startswith("no labels")


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("search", 2, "name what to search for"),
        (f"search --unit {GAN}/8 --text hair", 2, "name what to search for"),
        ("search --text ?!", 1, "no word"),
        ("labels remove 9999", 1, "no label 9999"),
        ("labels add 9999 hair", 1, "no concept 9999"),
    ],
)
def test_refused_on_the_command_line(rosetta, command, code, message):
    ran = rosetta(*command.split(" "))
    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err
