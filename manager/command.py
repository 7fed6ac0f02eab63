"""`lim manager`: runs the service that plans, queues, leads, shows."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from dataclasses import replace

import click

from configs.cli import Context
from configs.errors import ConfigError
from configs.settings import Settings, Storage
from manager.application import application
from manager.service import Service
from pipeline.artifact import Store, open_store
from pipeline.patience import patiently
from pipeline.web.serving import listening, on_signals, serving

logger = logging.getLogger(__name__)


@click.command()
@click.option("--port", type=int, help="Overrides http.manager_port.")
@click.option("--origin", help="Overrides manager.origin, where others reach it.")
@click.pass_obj
def manager(context: Context, port: int | None, origin: str | None) -> None:
    """Plan, queue and run builds, serve API and pages, until SIGTERM.

    Any number of managers may run: all answer, one of them leads, another takes over when it is gone.
    The first signal ends it in order, its builds go on under another leader.  A second one ends it at once.
    """
    settings = context.settings
    if port is not None:
        settings = replace(settings, http=replace(settings.http, manager_port=port))
    if origin is not None:
        settings = replace(settings, manager=replace(settings.manager, origin=origin))
    run(settings)


def run(settings: Settings) -> None:
    """Until a signal, with which the process ends.

    Raises LimError when the port is taken, or for a bucket in which two leaders could overwrite each other's work.
    """
    with listening(settings.http.host, settings.http.manager_port, "http.manager_port") as at:
        store = bucket(settings.storage)  # before the loop: a signal ends the wait for a bucket that does not answer
        asyncio.run(serve(settings, store, at))


async def serve(settings: Settings, store: Store, at: socket.socket) -> None:
    """Run service and HTTP on one loop until a signal, with which the process ends."""
    origin = settings.manager.origin or f"http://{socket.gethostname()}:{at.getsockname()[1]}"
    service = Service(settings, origin, store)
    on_signals(service.parts.stopping)
    async with serving(application(service.parts), at):
        logger.info("Manager %s listens on port %d.", origin, at.getsockname()[1])
        await service.run()
    logging.shutdown()
    os._exit(0)  # all has ended in order; threads that wait for a bucket that does not answer are no reason to stay


def bucket(storage: Storage) -> Store:
    """The bucket, tried for conditional writes unless it is trusted.

    Raises ConfigError for one that other processes do not see, ConditionsIgnored, StoreUnavailable.
    """
    if storage.bucket.startswith("memory://"):
        raise ConfigError(
            f"storage.bucket: expected a folder or s3://…, which builds in other processes see, got {storage.bucket}"
        )
    store = open_store(storage.bucket, storage)
    if storage.conditional_writes == "probe":
        patiently(store.check_conditions, storage.patience_s)
    return store
