"""Where the builds of a bench read from, write to."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from configs.load import export_credentials
from configs.settings import Settings, Storage
from manager.bench.builds.errors import BenchError
from manager.embedded.seaweed import start_seaweed
from pipeline.generate.faces import Generator
from pipeline.generate.making import gallery
from pipeline.generate.writers import write
from pipeline.sources.places import Place, look

STORES = ("folder", "s3")


@dataclass(frozen=True, slots=True)
class Site:
    """A bucket, with galleries beside it in the same store."""

    settings: Settings
    beside: str
    """URL below which galleries lie."""
    folder: Path
    """For what is local: logs, Dask's own files."""

    def gallery(self, regime: str, rows: int) -> str:
        """URL of so many made rows in `.npy`, ids beside them; made unless they lie there from an earlier run."""
        place = Place.of(f"{self.beside}/{regime}-{rows}.npy", self.settings.storage)
        if look(place) is None:
            generator = Generator(regime, 1)
            for _ in write(place, gallery(generator, rows), rows=rows, dim=generator.dim, version=generator.version):
                pass
        return place.url


@contextmanager
def site(settings: Settings, store: str, work: Path | None) -> Iterator[Site]:
    """A folder, or an S3 server in one; in `work`, which stays with the galleries, or in a folder that vanishes."""
    with tempfile.TemporaryDirectory(prefix="lim-bench-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary if work is None else work).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        if store == "folder":
            storage = replace(settings.storage, bucket=str(folder / "bucket"))
            yield Site(replace(settings, storage=storage), str(folder / "galleries"), folder)
            return
        if work is not None:
            raise BenchError("--work: expected a bench in a folder, got --store s3, whose server is new every time")
        server = start_seaweed(folder / "s3", folder / "s3.log")
        try:
            storage = Storage(
                bucket=f"{server.url}/bucket", endpoint_url=server.endpoint, access_key=server.access_key,
                secret_key=server.secret_key,
            )  # fmt: skip
            export_credentials(storage)
            yield Site(replace(settings, storage=storage), f"{server.url}/galleries", folder)
        finally:
            server.stop()


def cores() -> int:
    """Cores of this machine."""
    return os.cpu_count() or 1
