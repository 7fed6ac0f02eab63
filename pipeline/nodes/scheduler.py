"""`lim scheduler`: the Dask scheduler, in the foreground."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path

import click
from distributed import Scheduler

from configs.cli import Context
from configs.errors import LimError
from configs.settings import Settings
from pipeline.nodes.address_file import write_addresses
from pipeline.pages.install import install

logger = logging.getLogger(__name__)


@click.command()
@click.option("--port", type=int, help="Overrides scheduler.port.")
@click.option("--dashboard-port", type=int, help="Overrides scheduler.dashboard_port.")
@click.option(
    "--address-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the addresses of scheduler and dashboard here, as JSON.",
)
@click.pass_obj
def scheduler(context: Context, port: int | None, dashboard_port: int | None, address_file: Path | None) -> None:
    """Run the Dask scheduler until SIGTERM or Ctrl-C.

    Killed and started again at the same address, it knows nothing of what it did: indexers rejoin it, and builds that
    were running go on from the bucket.
    """
    settings = context.settings
    port = settings.scheduler.port if port is None else port
    dashboard_port = settings.scheduler.dashboard_port if dashboard_port is None else dashboard_port
    asyncio.run(serve(settings, port, dashboard_port, address_file))


async def serve(settings: Settings, port: int, dashboard_port: int, address_file: Path | None) -> None:
    """Run a scheduler until a signal.  Raises LimError when it cannot listen."""
    host, stopping = settings.scheduler.host, asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, stopping, number)
    try:
        running = await Scheduler(host=host, port=port, dashboard_address=f"{host}:{dashboard_port}")
    except OSError as error:
        raise LimError(
            f"scheduler.port: expected to listen on {host}:{port}, got: {error}; end what listens there, or set another port"
        ) from error
    async with running:
        install(running, settings)
        services = {name: server.port for name, server in running.services.items()}
        addresses = {"scheduler": running.address, "dashboard": f"http://{host}:{services['dashboard']}/status"}
        write_addresses(address_file, addresses)
        click.echo(f"scheduler {addresses['scheduler']}, dashboard {addresses['dashboard']}")
        await stopping.wait()
        logger.info("Closing the scheduler.")


def _stop(stopping: asyncio.Event, number: int) -> None:
    """The first signal asks for an orderly stop, the second ends the process."""
    if stopping.is_set():
        os._exit(128 + number)
    stopping.set()
