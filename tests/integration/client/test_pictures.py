"""Pictures from the client, on a service without a worker."""

import pytest

from rosetta import NotFound, Unavailable
from tests.integration.api.zoo import DEAD, GAN


def test_a_unit_without_exemplars_has_none(client):
    assert len(client.unit(GAN, DEAD).exemplars(probe="faces", by="mean")) == 0


def test_a_heat_map_waits_for_nobody(client):
    with pytest.raises(Unavailable, match="no worker is at work: start one with `rosetta worker`"):
        client.unit(GAN, 8).heatmap(image=3)


def test_an_image_that_is_not_there(client):
    with pytest.raises(NotFound, match="its 100 images are 0 to 99"):
        client.unit(GAN, 8).heatmap(image=100)
