"""Source URIs."""

import pytest

from rosetta.errors import InvalidRequest
from workers.zoo import registry


@pytest.mark.parametrize("source", ["", "resnet50", "pickle:x", ":x", "TIMM:resnet50"])
def test_an_unknown_scheme_gets_the_known_ones(source):
    with pytest.raises(InvalidRequest, match=f"'{source}' names no source of models: begin it with one of .*onnx:"):
        registry.load(source)


def test_every_scheme_has_its_module():
    from importlib import import_module

    for module in registry.SOURCES.values():
        assert callable(import_module(module).load)
