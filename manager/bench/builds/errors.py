"""What a bench of builds cannot do."""

from __future__ import annotations

from configs.errors import LimError


class BenchError(LimError):
    """Options that do not go together, or a build that did not do what was to be measured."""
