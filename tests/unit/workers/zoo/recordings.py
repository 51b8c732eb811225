"""Files of recordings, and how they are loaded or refused."""

import numpy as np
import pytest
import torch
import zarr

from rosetta.errors import InvalidRequest
from workers.zoo import registry

N = 11
ORDER = torch.tensor([7, 0, 10, 3, 3])
RANDOM = np.random.default_rng(0)
VECTORS = RANDOM.normal(size=(N, 5)).astype("f4")
MAPS = RANDOM.normal(size=(N, 3, 4, 6)).astype("f4")


def load(path, options="?probe=faces"):
    return registry.load(f"recording:{path}{options}")


def refused(path, options="?probe=faces"):
    with pytest.raises(InvalidRequest) as caught:
        load(path, options)
    assert "\n" not in caught.value.message
    return caught.value.message


def npy(path, array):
    np.save(path, array)
    return path


def written(path, zarr_format=3, **options):
    group = zarr.create_group(path, zarr_format=zarr_format, attributes={"probe_set_digest": "ab" * 32})
    group.create_array("v1", data=VECTORS.astype("f2"), chunks=(4, 5), **options)
    group.create_array("conv/2/act", data=MAPS.astype(">f8"), chunks=(1, 3, 4, 6), **options)
