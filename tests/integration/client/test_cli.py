"""The command line against the service itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.integration.api.zoo import AGE, CLIP, GAN, NET

ROSETTA = [sys.executable, "-c", "from rosetta.cli import main; main()"]


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("models list", ["dcgan-faces", "efficientnet", "demo:clip-rn50"]),
        ("models list --family clip", ["clip-vit-b32"]),
        (f"models show {GAN}", ["main.8", "8x8", "8-13"]),
        ("probes list", ["faces", "dcgan-faces (seed 0)"]),
        ("probes show faces", ["100 of 64x64 pixels"]),
        (f"match {GAN} 8 --in EfficientNet --top 2", ["unit 8 of dcgan-faces (main.8:0, 8x8), on probe set faces"]),
        (f"match {GAN}/main.8:0", [CLIP, NET]),
        (f"match {AGE}/conv1/Conv:3", [GAN]),
        (f"ask which neurons in EfficientNet match {GAN} unit 8?", ["efficientnet-lite0"]),
        (f"ask how many neurons do {GAN} and {NET} share?", ["best buddies"]),
        (f"search --unit {GAN}/8 --top 3", ["similarity"]),
        ("concepts list --probe faces --min-models 3", [f"{CLIP}, {GAN}, {NET}", "0.500", "0.90"]),
        ("concepts show 1", ["faces, version 1", "8 (main.8:0)", "blocks.1:3"]),
        (
            f"dictionary {GAN} --models {NET},{CLIP} --k 2",
            [
                f"tuples of {GAN} with {NET}, {CLIP} on probe set faces (each among the other's 2 best, q < 0.05)",
                "mean r",
                "<0.001",
            ],
        ),
        (
            f"dictionary {GAN} --models {AGE},{NET}",
            ["no tuple of dcgan-faces", f"the largest set with some is {NET}, with"],
        ),
        (f"dictionary {GAN} --models {AGE} --q-value all --strict", [f"{GAN}  ", AGE, "0.500"]),
    ],
)
def test_answers_for_people(rosetta, command, shown):
    ran = rosetta(*command.split(" "))
    assert (ran.code, ran.err) == (0, "")
    for text in shown:
        assert text in ran.out


@pytest.mark.parametrize(
    "command",
    [
        "models list",
        f"models show {GAN}",
        "probes list",
        "probes show faces",
        "jobs list",
        f"match {GAN} 8",
        f"ask how many neurons do {GAN} and {NET} share?",
        f"search --unit {GAN}/8",
        "sql SELECT(1)",
        "concepts list",
        "concepts show 1",
        f"dictionary {GAN} --models {NET}",
    ],
)
def test_json_is_one_document_and_nothing_else(rosetta, command):
    ran = rosetta(*command.split(" "), "--json")
    assert (ran.code, ran.err) == (0, "")
    assert isinstance(json.loads(ran.out), list | dict)


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("models show dcgan-face", 1, "no model 'dcgan-face'; did you mean dcgan-faces?"),
        (f"match {GAN} 999", 1, "has no unit 999"),
        (f"match {GAN}", 1, "write model/layer:channel"),
        (f"match {GAN} 8 --top 0", 2, "--top"),
        ("match", 2, "missing argument 'MODEL' (see `rosetta match --help`)"),
        ("mtach", 2, "Did you mean 'match'?"),
        ("mine --probe nobody", 1, "no probe set 'nobody'"),
        ("mine --probe faces --models lonely --keep 0", 1, "keep must be between 1 and"),
        ("probes add x", 2, "give either --images DIR or --generator MODEL"),
        ("probes add x --generator dcgan-faces", 2, "--generator needs --count N"),
        ("jobs show 999", 1, "no job 999"),
        ("concepts show 999", 1, "no concept 999"),
        ("concepts list --probe photos", 1, "rosetta concepts find --probe photos"),
        ("concepts find --probe faces --resolution 7", 1, "a resolution lies between 0 and 1"),
        (f"dictionary {GAN} --models clip", 1, "'clip' stands for 2 models"),
        (f"dictionary {GAN} --models lonely", 1, f"`rosetta mine --probe PROBE --models {GAN},lonely`"),
        (f"dictionary {GAN} --models {NET} --k 9", 1, "k 9 is more than the 3 matches kept"),
        (f"dictionary {GAN} --models {NET} --q-value much", 2, "--q-value"),
        (f"dictionary {GAN}", 2, "missing option '--models'"),
        ("sql DELETE+FROM+analytics.models", 1, "refused by Postgres"),
        ("sql SELECT+1+a,2+a --json", 1, "two columns are named a"),
        ("models list --url http://127.0.0.1:9", 3, "no service answers at http://127.0.0.1:9: start it with"),
        ("models list --url nowhere", 1, "is not an address of a service"),
    ],
)
def test_errors_are_one_line_with_the_mend(rosetta, command, code, message):
    ran = rosetta(*[word.replace("+", " ") for word in command.split(" ")])
    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err
    assert ran.err.count("\n") == 1


def test_a_dictionary_is_a_line_a_tuple_and_says_what_it_leaves_out(rosetta):
    whole = rosetta("dictionary", GAN, "--models", f"{NET},{CLIP}", "--k", "3", "--limit", "10000")
    assert (whole.code, whole.err) == (0, "")
    total, *_ = whole.out.split(" ")
    headline, empty, *table = whole.out.splitlines()
    assert (empty, len(table)) == ("", int(total) + 1)
    assert table[0].split()[:3] == [GAN, NET, CLIP]
    some = rosetta("dictionary", GAN, "--models", f"{NET},{CLIP}", "--k", "3", "--limit", "2")
    assert some.out.splitlines()[0] == headline
    assert len(some.out.splitlines()) == 5
    assert some.err == f"the strongest 2 of {total}: --limit N shows more\n"


def test_sql_from_stdin_and_a_cut_answer(rosetta, monkeypatch, tmp_path):
    (tmp_path / "query").write_text("SELECT generate_series(1, 10001) AS n")
    with (tmp_path / "query").open() as query:
        monkeypatch.setattr("sys.stdin", query)
        ran = rosetta("sql", "-")
    assert ran.code == 0
    assert ran.out.splitlines()[:2] == ["    n", "    1"]
    assert ran.err == "only the first 10,000 rows: add a LIMIT and a WHERE, or use `rosetta export`\n"


def test_a_folder_with_broken_files(rosetta, tmp_path):
    from tests.integration.client.test_client import png

    (tmp_path / "red.png").write_bytes(png("red"))
    (tmp_path / "notes.txt").write_text("not an image")
    command = ["probes", "add", "folder", "--images", str(tmp_path), "--size", "16"]
    ran = rosetta(*command)
    assert ran.code == 1
    assert "notes.txt is in no format that Pillow reads" in ran.err
    ran = rosetta(*command, "--skip-broken")
    assert (ran.code, ran.out) == (0, "probe set folder: 1 image of 16x16 pixels\n")
    assert "left out 1 of the 2 files" in ran.err
    assert rosetta("probes", "remove", "folder", "--json").out == '{\n  "removed": "folder"\n}\n'


def test_exporting(rosetta, tmp_path):
    out = tmp_path / "pairs.csv"
    ran = rosetta("export", "neuron_pairs", "--out", str(out))
    assert (ran.code, ran.out) == (0, "")
    assert out.read_text().startswith("probe_set,model,layer,unit,")
    ran = rosetta("export", "neuron_pair", "--out", str(out), "--format", "jsonl")
    assert (ran.code, ran.err) == (1, "rosetta: no table 'neuron_pair'; did you mean neuron_pairs?\n")


def test_watching_a_job(rosetta, working):
    working.begin().say(30)
    worker = threading.Timer(1.0, working.finish)
    worker.start()
    ran = rosetta("jobs", "watch", str(working.job))
    worker.join()
    assert ran.code == 0
    assert "state     done\n" in ran.out
    assert ran.err.splitlines()[0].startswith(f"mine (job {working.job}): running, 30%")
    assert ran.err.splitlines()[-1].startswith(f"mine (job {working.job}): done, 100%")


def test_a_failed_job(rosetta, working):
    working.begin().fail("NaN in a/b")
    ran = rosetta("jobs", "watch", str(working.job), "--json")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines()[-1] == f"rosetta: job {working.job} (mine) failed: NaN in a/b"
    assert rosetta("jobs", "retry", str(working.job)).out.startswith(f"job {working.job} is queued")
    assert rosetta("jobs", "cancel", str(working.job)).out == f"job {working.job} is cancelled\n"


def test_control_c_leaves_the_job_at_work(rosetta, service_url, working):
    command = [*ROSETTA, "jobs", "watch", str(working.job)]
    with subprocess.Popen(
        command, env=os.environ | {"ROSETTA_URL": service_url}, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        assert b"queued" in process.stderr.readline()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, b"")
    assert f"job {working.job} goes on: `rosetta jobs watch {working.job}` re-attaches".encode() in err
    assert rosetta("jobs", "show", str(working.job)).out.count("queued") >= 1


def test_a_reader_that_has_seen_enough_is_no_error(service_url):
    command = [*ROSETTA, "sql", "SELECT repeat('x', 100) FROM generate_series(1, 9000)"]
    with subprocess.Popen(
        command, env=os.environ | {"ROSETTA_URL": service_url}, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
