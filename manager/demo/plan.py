"""What a person wants of a demo."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from configs.errors import ConfigError
from configs.settings import Settings

LABEL = "demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The options of `lim demo`."""

    rows: int = 200_000
    probes: int = 20_000
    """Probes streamed through Redis; as many others measure the index."""
    checked: int = 2_000
    """Streamed probes that are compared with exact search."""
    source: str = ""
    images: str = ""
    models: str = ""
    s3: bool = False
    workers: int = 0
    out: Path = Path("lim-demo")
    """Folder that stays: report, logs."""
    recipe: str = "auto"
    regime: str = "mixture"
    """How generated people resemble each other."""
    settings: Settings = field(default_factory=Settings)
    """Those in force: how a source is read."""

    @property
    def given(self) -> str:
        """The person's own vectors or photos; empty when they are generated."""
        return self.images or self.source

    def check(self) -> None:
        """Raises ConfigError for options that cannot work, before anything is started; makes the folder that stays."""
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"--out {self.out}: expected a folder that can be written, got {error.strerror}"
            ) from error
        if self.source and self.images:
            raise ConfigError("--source, --images: expected one of them, got both")
        if bool(self.images) != bool(self.models):
            raise ConfigError(
                "--images, --models: expected both or none, got one: models are a folder with detect.onnx and embed*.onnx"
            )
        if self.s3 and self.given.startswith("s3://"):
            raise ConfigError(
                f"--s3: its server has keys of its own, so {self.given} could not be read: leave --s3 out, "
                "or copy the source to this machine"
            )
