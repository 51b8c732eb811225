"""`rosetta demo` as people run it, the picture that it ends with, and the tour through what it leaves."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from PIL import Image

from rosetta import Client

ROOT = Path(__file__).parents[2]
ROSETTA = [sys.executable, "-c", "from rosetta.cli import main; main()"]
TOUR = ROOT / "docs" / "tour.ipynb"
# The cells of the tour whose output has units in it.
PICTURED = {
    "answer", "unit-figure", "matches", "heat-map", "concept-list", "concept", "members", "tuples", "like", "text"
}  # fmt: skip


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The folder, output and address of a demo on a few images."""
    folder = tmp_path_factory.mktemp("demo")
    environment = {**os.environ, "ROSETTA_DATA_DIR": str(folder), "ROSETTA_DEVICE": "cpu"}

    def rosetta(*arguments):
        return subprocess.run(
            [*ROSETTA, *arguments], capture_output=True, text=True, env=environment, timeout=240, check=False
        )

    try:
        done = rosetta("demo", "--images", "48")
        assert done.returncode == 0, done.stderr
        yield folder, done.stdout, json.loads((folder / "stack.json").read_text())["url"]
    finally:
        rosetta("down")


def outputs(notebook, cell):
    (found,) = [each for each in notebook.cells if each.id == cell]
    return "".join(str(dict(output.get("data", output))) for output in found.outputs)


def test_the_demo_ends_with_the_figure_of_the_concept_of_the_unit_it_asked_about(demo):
    folder, said, url = demo
    file = folder / "demo-concept.png"
    with Client(url) as client:
        units = {concept.id: client.concept(concept.id) for concept in client.concepts("faces", model="dcgan-faces")}
        (best,) = [
            concept
            for concept in units.values()
            if ("dcgan-faces", 813) in {(member.model, member.unit) for member in concept.members}
        ]
        assert f"(concept {best.id}): {file}" in said
        assert file.read_bytes() == client.concept(best.id).grid()
        assert not client.jobs("failed")
    with Image.open(file) as picture:
        assert picture.format == "PNG"
        assert picture.width > 8 * 192
        assert picture.height > (1 + len(best.models)) * 192


def test_every_cell_of_the_tour_runs_and_shows_its_pictures(demo, monkeypatch):
    monkeypatch.setenv("ROSETTA_URL", demo[2])
    notebook = runpy.run_path(str(ROOT / "docs" / "tour.py"))["run"](TOUR)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        assert not [output for output in cell.outputs if output.output_type in ("error", "stream")], cell.id
        assert "Without pictures" not in outputs(notebook, cell.id), cell.id
    assert {cell.id for cell in code if "data:image/webp;base64," in outputs(notebook, cell.id)} == PICTURED
    assert "by chance" in outputs(notebook, "pairs")
    with Client(demo[2]) as client:
        assert not client.labels()


def test_the_tour_is_kept_with_its_outputs():
    kept = nbformat.read(TOUR, as_version=4)
    nbformat.validate(kept)
    code = [cell for cell in kept.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert {cell.id for cell in code if "data:image/webp;base64," in outputs(kept, cell.id)} == PICTURED
    assert TOUR.stat().st_size < 1.5e6
