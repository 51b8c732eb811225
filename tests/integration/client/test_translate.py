"""Translation between models from the client, blocking and awaited, and from the command line."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from rosetta import AsyncClient, InvalidRequest
from tests.integration.api.translating import INDEX, UNITS, add_equivalents, finish
from tests.integration.api.zoo import GAN, NET


@pytest.fixture(scope="module")
def number(engine, settings, client):
    """A translation that a job fitted."""
    with engine.begin() as conn:
        number = add_equivalents(conn, settings)
    job = client._transport._http.post("/v1/equivalents", json={"source": NET, "target": GAN, "k": 1}).json()
    finish(engine, job["id"], number)
    return number


@pytest.fixture
def means():
    return np.random.default_rng(0).standard_normal((4, 12)).astype(np.float32)


def told(means):
    """As the coefficients on paper say: mean 1, std 2; twice that plus 1; mean 10, std 3."""
    expected = np.full((len(means), 14), np.nan, np.float32)
    expected[:, list(UNITS)] = 10 + 3 * (1 + 2 * (means[:, list(INDEX)] - 1) / 2)
    return expected


def test_means_become_means(client, number, means):
    found = client.translate(means, from_="lite0", to="dcgan", top=1, progress=False)
    np.testing.assert_allclose(found.values, told(means), rtol=1e-6)
    assert (found.about.id, found.explained, found.shares.chance) == (number, 0.375, -0.125)
    assert "means of 3 units of dcgan-faces, told from efficientnet-lite0: 38% of their variance" in repr(found)
    best = client.translate(means, NET, GAN, top=1, method="best", progress=False)
    assert best.explained == 0.25
    np.testing.assert_allclose(best.values[:, 0], 10 + 3 * 0.5 * (means[:, INDEX[0]] - 1) / 2, rtol=1e-5)
    assert [one.id for one in client.equivalents(NET, GAN)] == [number]
    assert "0.375" in repr(client.equivalents())


def test_maps_become_maps(client, number):
    maps = np.random.default_rng(1).standard_normal((2, 12, 8, 8)).astype(np.float32)
    layers = {"blocks.1": maps[:, :5], "blocks.2": maps[:, 5:]}
    found = client.translate(layers, NET, GAN, top=1, progress=False)
    assert {layer: values.shape for layer, values in found.values.items()} == {
        "main.2": (2, 8, 8, 8),
        "main.8": (2, 6, 8, 8),
    }
    expected = 10 + 3 * (1 + 2 * (maps[:, INDEX[2]] - 1) / 2)
    np.testing.assert_allclose(found.values["main.8"][:, UNITS[2] - 8], expected, rtol=1e-5)
    assert np.isnan(found.values["main.2"][:, 1]).all()
    assert found.explained == 0.3


@pytest.mark.parametrize(
    ("activations", "text"),
    [
        (np.zeros((3, 11)), "has 12 units"),
        (np.zeros((3, 12, 8, 8)), "by layer"),
        (np.full((3, 12), np.nan), "finite"),
        (np.zeros((0, 12)), "one or more"),
        ({}, "nothing came"),
        ({"blocks.2": np.zeros((3, 7))}, "takes layer 'blocks.1'"),
        ({"blocks.1": np.zeros((3, 5)), "blocks.9": np.zeros((3, 7))}, "no layer 'blocks.9'"),
        ({"blocks.1": np.zeros((3, 5)), "blocks.2": np.zeros((3, 6))}, "has 7 channels, and 6 came"),
        ({"blocks.1": np.zeros((3, 5)), "blocks.2": np.zeros((2, 7))}, "same images"),
        ({"blocks.1": np.zeros((3, 5)), "blocks.2": np.zeros((3, 7, 8, 8))}, "all"),
    ],
)
def test_what_is_no_activations_of_the_model(client, number, activations, text):
    with pytest.raises(InvalidRequest, match=text):
        client.translate(activations, NET, GAN, top=1, progress=False)


def test_awaited(service_url, number, means):
    async def run():
        async with AsyncClient(service_url) as client:
            found = await client.translate(means, NET, GAN, top=1, progress=False)
            return found.values, len(await client.equivalents())

    values, count = asyncio.run(run())
    np.testing.assert_allclose(values, told(means), rtol=1e-6)
    assert count == 1


def test_on_the_command_line(rosetta, number, means, tmp_path):
    seen, out = tmp_path / "seen.npy", tmp_path / "told.npy"
    np.save(seen, means)
    ran = rosetta("translate", str(seen), "--from", NET, "--to", GAN, "--out", str(out), "--top", "1")
    assert ran.code == 0, ran.err
    assert "38% of their variance" in ran.out
    assert "tested on 50 images that no match was found on; by chance -12%" in ran.out
    np.testing.assert_allclose(np.load(out), told(means), rtol=1e-6)
    arrays, many = tmp_path / "seen.npz", tmp_path / "told.npz"
    np.savez(arrays, **{"blocks.1": means[:, :5], "blocks.2": means[:, 5:]})
    ran = rosetta("translate", str(arrays), "--from", NET, "--to", GAN, "--out", str(many), "--top", "1", "--json")
    assert json.loads(ran.out)["id"] == number
    assert np.load(many)["main.2"].shape == (4, 8)


@pytest.mark.parametrize(
    ("name", "content", "out", "code", "text"),
    [
        ("a.npy", b"nothing", "b.npy", 1, "no .npy or .npz"),
        ("a.npz", b"PK nothing", "b.npz", 1, "no .npy or .npz"),
        ("a.npy", b"", "b.npz", 2, "another ending"),
    ],
)
def test_files_that_are_none(rosetta, number, tmp_path, name, content, out, code, text):
    (tmp_path / name).write_bytes(content)
    ran = rosetta("translate", str(tmp_path / name), "--from", NET, "--to", GAN, "--out", str(tmp_path / out))
    assert (ran.code, text in ran.err) == (code, True), ran.err
    assert not (tmp_path / out).exists()


def test_texts_are_no_activations(rosetta, number, tmp_path):
    np.save(tmp_path / "a.npy", np.array([["a"]]))
    ran = rosetta("translate", str(tmp_path / "a.npy"), "--from", NET, "--to", GAN, "--out", str(tmp_path / "b.npy"))
    assert (ran.code, "real numbers" in ran.err) == (1, True)
