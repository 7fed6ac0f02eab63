"""`lim matcher`: runs the service that answers."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
from dataclasses import replace

# Before faiss is imported: its idle OpenMP threads would spin on the cores that Redis and the event loop need.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# And before NumPy: search threads share the cores already, so a matrix product keeps to the one that asks for it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import click
import uvicorn

from configs.cli import Context
from configs.settings import Settings
from matcher.health import application
from matcher.service import Service

logger = logging.getLogger(__name__)


@click.command()
@click.option("--port", type=int, help="Overrides http.matcher_port.")
@click.option("--id", "matcher_id", default="", help="Name of this matcher; made up when it is not given.")
@click.option("--labels", help="Overrides matcher.labels: only these, with commas between.")
@click.pass_obj
def matcher(context: Context, port: int | None, matcher_id: str, labels: str | None) -> None:
    """Serve the indexes of the bucket over Redis streams until SIGTERM; a second signal stops at once."""
    settings = context.settings
    if port is not None:
        settings = replace(settings, http=replace(settings.http, matcher_port=port))
    if labels is not None:
        settings = replace(settings, matcher=replace(settings.matcher, labels=labels))
    # each loaded index keeps files mapped; the usual soft limit of 1,024 would end at some hundred labels
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(serve(settings, matcher_id))


async def serve(settings: Settings, matcher_id: str = "") -> None:
    """Run service and HTTP on one loop until a signal."""
    service = Service(settings, os.environ, matcher_id)
    _on_signals(service.stopping)
    config = uvicorn.Config(
        application(service), host=settings.http.host, port=settings.http.matcher_port, log_level="warning",
        access_log=False, lifespan="off", timeout_graceful_shutdown=2,
    )  # fmt: skip
    http = uvicorn.Server(config)
    http.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    pages = asyncio.create_task(_pages(http), name="http")
    try:
        await service.run()
    finally:
        http.should_exit = True
        await pages
    if service.loader.busy:
        logging.shutdown()
        os._exit(0)  # everything is answered, and a load that cannot be interrupted is no reason to stay


async def _pages(http: uvicorn.Server) -> None:
    """Serve HTTP; a port that is taken costs the pages, not the answers."""
    try:
        await http._serve()
    except SystemExit:
        logger.exception(
            "HTTP does not start; is the port in http.matcher_port taken? Requests are answered all the same."
        )


def _on_signals(stopping: asyncio.Event) -> None:
    """The first signal asks for an orderly stop, the second ends the process."""

    def stop(number: int) -> None:
        if stopping.is_set():
            os._exit(128 + number)
        logger.info("Signal %d: finishing what was read.", number)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
