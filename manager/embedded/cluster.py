"""`lim cluster`: Dask workers on this machine, in the foreground."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path

import click
from distributed import LocalCluster

from configs.cli import Context
from pipeline.nodes.allocator import keep_freed
from pipeline.nodes.offers import offered
from pipeline.pages.install import install


@click.command()
@click.option("--workers", default=0, help="Workers; 0 = one per core.")
@click.option("--memory-limit", default="auto", show_default=True, help="Memory of a worker.")
@click.option("--port", default=0, help="Port of the scheduler; 0 = a free one.")
@click.option("--dashboard-port", default=0, help="Port of the dashboard; 0 = a free one.")
@click.option(
    "--address-file",
    type=click.Path(path_type=Path),
    help="Write the addresses of scheduler and dashboard here, as JSON.",
)
@click.pass_obj
def cluster(context: Context, /, workers: int, memory_limit: str, address_file: Path | None, **ports: int) -> None:
    """Run a scheduler and workers of one thread each until SIGTERM or Ctrl-C; all on loopback."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    keep_freed(memory_limit, 1)
    with LocalCluster(
        n_workers=workers or None, threads_per_worker=1, processes=True, memory_limit=memory_limit,
        resources=offered(1), host="127.0.0.1", scheduler_port=ports["port"],
        dashboard_address=f"127.0.0.1:{ports['dashboard_port']}",
    ) as local:  # fmt: skip
        install(local.scheduler, context.settings)
        addresses = {"scheduler": local.scheduler_address, "dashboard": local.dashboard_link}
        if address_file is not None:
            part = address_file.with_name(f".{address_file.name}.part")
            part.write_text(json.dumps(addresses))
            part.replace(address_file)
        click.echo(f"scheduler {addresses['scheduler']}, dashboard {addresses['dashboard']}")
        stop.wait()
