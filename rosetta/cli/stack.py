"""`rosetta up`, `down`, and the single processes of a deployment: `api`, `worker`, `migrate`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rosetta.cli.output import examples, say
from rosetta.errors import Unavailable

if TYPE_CHECKING:
    from service.stack.state import State

_data_option = click.option(
    "--data",
    "data_dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The data directory [ROSETTA_DATA_DIR, else the nearest .rosetta upward, else the user's data folder].",
)
_host_option = click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")


def needs_server(command: Callable[..., Any]) -> Callable[..., Any]:
    """Says in one line how to install the server, where a command finds it missing."""

    @functools.wraps(command)
    def with_server(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except ModuleNotFoundError as error:
            raise Unavailable(
                f"this command needs the server, and '{error.name}' is not installed: "
                "pip install 'rosetta-neurons[server]' (with [workers] to mine here)"
            ) from error

    return with_server


@click.command(
    epilog=examples(
        "rosetta up                      in this terminal, until Ctrl-C",
        "rosetta up --detach             in the background, until `rosetta down`",
        "rosetta up --data ~/zoo --port 8100",
    )
)
@_data_option
@_host_option
@click.option("--port", type=click.IntRange(1, 65535), help="The port [8000, or a free one when that is taken].")
@click.option("--detach", is_flag=True, help="Run in the background; return when everything answers.")
@needs_server
def up(data_dir: Path | None, *, host: str, port: int | None, detach: bool) -> None:
    """Start the whole service here: Postgres with pgvector, Redis, one worker, the API.

    With ROSETTA_DATABASE_URL or ROSETTA_BROKER_URL set, your own server is used in place of the embedded one.
    """
    from service import local
    from service.stack import configuration

    settings = configuration.load(data_dir)

    def on_ready(state: State, already: bool) -> None:
        _introduce(state, settings.data_dir, already=already, here=not detach and not already)

    local.up(settings, host=host, port=port, detach=detach, tell=say, on_ready=on_ready)


@click.command(epilog=examples("rosetta down"))
@_data_option
@needs_server
def down(data_dir: Path | None) -> None:
    """Stop what `rosetta up` started on this data directory. The data stay."""
    from service import local
    from service.stack import configuration

    folder = configuration.load(data_dir).data_dir
    if local.down(folder, tell=say):
        click.echo(f"stopped; the data stay in {folder}")
    else:
        click.echo(f"nothing runs on {folder}")


@click.command(epilog=examples("ROSETTA_API_KEYS=$(openssl rand -hex 24) rosetta api --host 0.0.0.0 --port 80"))
@_host_option
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="The port to listen on.")
@needs_server
def api(*, host: str, port: int) -> None:
    """Serve the API, on ROSETTA_DATABASE_URL and ROSETTA_BROKER_URL, or on those of the local stack."""
    from service.stack import configuration, listening

    settings = configuration.complete(configuration.load())
    listening.check_allowed(host, settings)
    listener = listening.listen(host, port)
    from service.stack.api import serve

    serve(settings, listener)


@click.command(epilog=examples("rosetta worker", "CUDA_VISIBLE_DEVICES=1 rosetta worker"))
@needs_server
def worker() -> None:
    """Work on jobs, on ROSETTA_DATABASE_URL and ROSETTA_BROKER_URL, or on those of the local stack.

    One process owns the models of one device: run one worker for each GPU. What dies is started again.
    """
    import logging

    from service.stack import configuration
    from service.stack.worker import run

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    run(configuration.complete(configuration.load()))


@click.command(epilog=examples("ROSETTA_DATABASE_URL=postgresql://user:secret@host/rosetta rosetta migrate"))
@needs_server
def migrate() -> None:
    """Bring the database to the schema of this version. Running it twice does no harm."""
    from service.database import migrate as migrations
    from service.stack import configuration

    url = configuration.complete(configuration.load(), broker=False).database_url
    assert url is not None
    before, head = migrations.current(url)
    migrations.upgrade(url)
    click.echo(f"the database is up to date ({head})" + ("" if before == head else f"; it was {before or 'empty'}"))


def _introduce(state: State, data_dir: Path, *, already: bool, here: bool) -> None:
    """Where the stack is, and what to do next."""
    lines = {
        "data": str(data_dir),
        "logs": str(data_dir / "logs"),
        "next": 'rosetta models list, or rosetta ask "..."; `rosetta doctor` says how things are',
        "stop": "Ctrl-C" if here else "rosetta down",
    }
    click.echo(f"Rosetta {'already runs' if already else 'is up'}: {click.style(state.url, bold=True)}")
    for name, value in lines.items():
        click.echo(f"  {name}  {value}")
