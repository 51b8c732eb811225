"""Where weight files are looked for, in order, and what is said when there are none."""

import pytest
import torch
from huggingface_hub import constants

from rosetta.errors import InvalidRequest
from workers.zoo import hub
from workers.zoo.locations import Locations


@pytest.fixture(autouse=True)
def _offline(tmp_path, monkeypatch):
    def unreachable(*arguments, **options):
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    monkeypatch.setattr(hub, "get_hf_file_metadata", unreachable)
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)


def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def test_the_given_file_wins_over_the_folders_and_these_over_the_hub(tmp_path):
    cached = put(tmp_path / "torch" / "checkpoints" / "w.pth")
    find = {"of": "w", "url": "https://host/w.pth"}
    assert Locations().file(("w.pth",), **find) == cached
    second = put(tmp_path / "b" / "w.pth")
    folders = (tmp_path / "a", tmp_path / "b")
    assert Locations(folders=folders).file(("w.pth",), **find) == second
    first = put(tmp_path / "a" / "w.pth")
    assert Locations(folders=folders).file(("w.pth",), **find) == first
    given = put(tmp_path / "given.pth")
    assert Locations(given, folders).file(("w.pth",), **find) == given


def test_a_folder_has_the_hubs_layout_and_the_best_name_first(tmp_path):
    second = put(tmp_path / "timm" / "x" / "pytorch_model.bin")
    names = ("model.safetensors", "pytorch_model.bin")
    assert Locations(folders=(tmp_path,)).file(names, of="x", repository="timm/x") == second
    first = put(tmp_path / "timm" / "x" / "model.safetensors")
    assert Locations(folders=(tmp_path,)).file(names, of="x", repository="timm/x") == first


@pytest.mark.parametrize("where", [{"repository": "timm/x"}, {"url": "https://host/w.pth"}, {}])
def test_offline_one_line_says_which_file_to_put_where(tmp_path, where):
    names = ("w.pth",)
    with pytest.raises(InvalidRequest) as caught:
        Locations(folders=(tmp_path / "a",)).file(names, of="x", **where)
    place = tmp_path / "a" / where.get("repository", "") / "w.pth"
    assert f"put the file at {place}, or pass --weights FILE with the weights of x" in caught.value.message
    assert "\n" not in caught.value.message
    with pytest.raises(InvalidRequest, match="name a folder in ROSETTA_WEIGHTS_DIRS and put the file there as"):
        Locations().file(names, of="x", **where)
