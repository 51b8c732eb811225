"""`rosetta doctor`: what works, and the mend for what does not."""

from __future__ import annotations

import time
from pathlib import Path

import click

from rosetta.cli.output import examples, print_json
from rosetta.results import Check

_TIMEOUT_S = 10.0


@click.command(epilog=examples("rosetta doctor", "rosetta doctor --json"))
@click.option("--url", metavar="URL", help="The service [ROSETTA_URL, else the local one].")
@click.option(
    "--data",
    "data_dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The data directory [ROSETTA_DATA_DIR, else the nearest .rosetta upward, else the user's data folder].",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else there.")
def doctor(*, url: str | None, data_dir: Path | None, as_json: bool) -> int:
    """Say what works, and the mend for what does not. Exit code 0: all well; 1: not; 3: no service."""
    from rosetta.transport import Endpoint

    service = _service(Endpoint.find(url, None, _TIMEOUT_S).url)
    checks = [*service, *_machine(data_dir, remote=service[0].ok)]
    if as_json:
        print_json({"ok": all(check.ok for check in checks), "checks": checks})
    else:
        _print(checks)
    if not service[0].ok:
        return 3
    return 0 if all(check.ok for check in checks) else 1


def _service(url: str) -> list[Check]:
    """Whether the service answers, and what it says of itself when it is not ready."""
    import httpx

    begun = time.monotonic()
    try:
        # A proxy for the outside world cannot reach this machine's own loopback.
        proxied = httpx.URL(url).host not in {"127.0.0.1", "localhost", "::1"}
        with httpx.Client(base_url=url, timeout=_TIMEOUT_S, trust_env=proxied) as client:
            health, ready = client.get("/healthz"), client.get("/readyz")
            health.raise_for_status()
            version = health.json()["version"]
            answer = ready.json()
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        mend = "start it with `rosetta up`, or name another with ROSETTA_URL"
        return [Check("service", False, f"{url} does not answer as Rosetta does: {error}", mend)]
    milliseconds = (time.monotonic() - begun) * 1000
    found = Check("service", True, f"{url}, version {version}, answers in {milliseconds:.0f} ms")
    if ready.is_success:
        return [found]
    message = answer.get("error", {}).get("message", f"status {ready.status_code}")
    return [found, Check("ready", False, message, "see the lines below")]


def _machine(data_dir: Path | None, *, remote: bool) -> list[Check]:
    """What the server's own doctor finds; a machine with the client alone has nothing of that."""
    try:
        from service.doctor import diagnose
        from service.stack import configuration
    except ModuleNotFoundError as error:
        value = f"not installed ({error.name} is missing): this is a client"
        return [Check("server", True, value, "pip install 'rosetta-neurons[server]' to run it here")]
    return diagnose(configuration.load(data_dir), remote=remote)


def _print(checks: list[Check]) -> None:
    width = max(len(check.name) for check in checks)
    for check in checks:
        word = click.style("ok  ", fg="green") if check.ok else click.style("FAIL", fg="red", bold=True)
        click.echo(f"{word}  {check.name.ljust(width)}  {check.value}")
        if check.mend and not check.ok:
            click.echo(f"      {' ' * width}  mend: {check.mend}")
    failed = sum(not check.ok for check in checks)
    click.echo("all is well" if not failed else f"{failed} of {len(checks)} checks failed")
