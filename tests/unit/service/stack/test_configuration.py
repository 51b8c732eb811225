"""Settings on their way to children and single processes."""

from pathlib import Path

import pytest

from rosetta.errors import InvalidRequest, Unavailable
from service.settings import Settings
from service.stack import configuration


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.setenv("ROSETTA_DATA_DIR", "data")
    monkeypatch.setenv("ROSETTA_WEIGHTS_DIRS", "a:b")
    settings = configuration.load()
    assert settings.data_dir == tmp_path / "data"
    assert settings.weights_dirs == (tmp_path / "a", tmp_path / "b")
    assert configuration.load(Path("other")).data_dir == tmp_path / "other"


def test_a_child_reads_the_same_settings_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "rosetta.toml").write_text('memory_budget = "1GiB"\napi_keys = "one, two"\nweights_dirs = "w:v"\n')
    settings = configuration.load(tmp_path / "data").model_copy(update={"database_url": "postgresql://h/d"})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name, value in configuration.variables(settings).items():
        monkeypatch.setenv(name, value)
    assert configuration.load() == settings
    assert settings.memory_budget == 2**30
    assert settings.api_keys == ("one", "two")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ROSETTA_LEASE_S", "soon", "ROSETTA_LEASE_S cannot be 'soon'"),
        ("ROSETTA_MEMORY_BUDGET", "much", "'much' is not a size"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named(monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidRequest, match=said) as raised:
        configuration.load()
    assert "\n" not in raised.value.message


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "rosetta.toml").write_text("device =")
    with pytest.raises(InvalidRequest, match=r"rosetta\.toml cannot be read: "):
        configuration.load()


def test_only_what_is_missing_is_asked_for(tmp_path):
    settings = Settings(data_dir=tmp_path, database_url="postgresql://h/d")
    assert configuration.complete(settings, broker=False) == settings
    with pytest.raises(Unavailable, match=r"^ROSETTA_BROKER_URL not set, and no stack runs on .*`rosetta up`"):
        configuration.complete(settings)
