"""`lim indexer`: runs the service that builds."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from dataclasses import replace

import click

from configs.cli import Context
from configs.settings import Settings
from pipeline.device.gpu_found import asked, count
from pipeline.indexer.routes import application
from pipeline.indexer.service import Service
from pipeline.nodes.member import Member, Offer
from pipeline.nodes.offers import offered
from pipeline.web.serving import listening, on_signals, serving

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
    with listening(settings.http.host, settings.http.indexer_port, "http.indexer_port") as at:
        port = at.getsockname()[1]
        origin = settings.indexer.origin or f"http://{socket.gethostname()}:{port}"
        service = Service(settings, origin, _member(settings, origin))
        on_signals(service.stopping)
        async with serving(application(service), at):
            logger.info("Indexer %s listens on port %d.", origin, port)
            await service.run()


def _member(settings: Settings, origin: str) -> Member | None:
    scheduler = settings.dask.scheduler
    if scheduler in ("", "serial"):
        logger.info("dask.scheduler is not set: only builds that are ordered over HTTP are done here.")
        return None
    slots = settings.indexer.slots or (os.cpu_count() or 1 if asked() else count())
    offer = Offer(scheduler, origin, slots, settings.indexer.memory_limit, offered(slots))
    return Member(offer, settings.indexer.rejoin_s)
