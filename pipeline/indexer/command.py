"""`lim indexer`: runs the service that builds."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from dataclasses import replace

import click
import uvicorn

from configs.cli import Context
from configs.errors import LimError
from configs.settings import Settings
from pipeline.device.gpu_found import asked, count
from pipeline.indexer.routes import application
from pipeline.indexer.service import Service
from pipeline.nodes.member import Member, Offer
from pipeline.nodes.offers import offered

logger = logging.getLogger(__name__)


@click.command()
@click.option("--port", type=int, help="Overrides http.indexer_port.")
@click.option("--origin", help="Overrides indexer.origin, its name in the cluster.")
@click.option("--slots", type=int, help="Overrides indexer.slots.")
@click.option("--scheduler", help="Overrides dask.scheduler; '' = only builds that are ordered over HTTP.")
@click.pass_obj
def indexer(context: Context, port: int | None, origin: str | None, slots: int | None, scheduler: str | None) -> None:
    """Do items of builds for the cluster of dask.scheduler, and whole builds ordered over HTTP, until SIGTERM.

    The first signal ends it in order: running items end or are handed back.  A second one ends it at once.
    """
    settings = context.settings
    if port is not None:
        settings = replace(settings, http=replace(settings.http, indexer_port=port))
    if scheduler is not None:
        settings = replace(settings, dask=replace(settings.dask, scheduler=scheduler))
    wanted = settings.indexer
    wanted = replace(
        wanted, origin=wanted.origin if origin is None else origin, slots=wanted.slots if slots is None else slots
    )
    asyncio.run(serve(replace(settings, indexer=wanted)))


async def serve(settings: Settings) -> None:
    """Run service and HTTP on one loop until a signal.  Raises LimError when the port is taken."""
    listening = _listening(settings)
    port = listening.getsockname()[1]
    origin = settings.indexer.origin or f"http://{socket.gethostname()}:{port}"
    service = Service(settings, origin, _member(settings, origin))
    _on_signals(service.stopping)
    config = uvicorn.Config(
        application(service), log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=2
    )
    http = uvicorn.Server(config)
    http.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    pages = asyncio.create_task(http._serve([listening]), name="http")
    logger.info("Indexer %s listens on port %d.", origin, port)
    try:
        await service.run()
    finally:
        http.should_exit = True
        await pages


def _member(settings: Settings, origin: str) -> Member | None:
    scheduler = settings.dask.scheduler
    if scheduler in ("", "serial"):
        logger.info("dask.scheduler is not set: only builds that are ordered over HTTP are done here.")
        return None
    slots = settings.indexer.slots or (os.cpu_count() or 1 if asked() else count())
    offer = Offer(scheduler, origin, slots, settings.indexer.memory_limit, offered(slots))
    return Member(offer, settings.indexer.rejoin_s)


def _listening(settings: Settings) -> socket.socket:
    host, port = settings.http.host, settings.http.indexer_port
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise LimError(f"http.indexer_port: expected to listen on {host}:{port}, got: {error}; set another") from error


def _on_signals(stopping: asyncio.Event) -> None:
    """The first signal asks for an orderly stop, the second ends the process."""

    def stop(number: int) -> None:
        if stopping.is_set():
            os._exit(128 + number)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
