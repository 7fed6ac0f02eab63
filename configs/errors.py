"""The root of every error tree of the project.

LimError
├── ConfigError            configs: a setting that is unknown, of the wrong type or impossible
├── ArtifactError          pipeline.artifact: the bucket and what lies in it
├── SourceError            pipeline.sources: descriptors that cannot be read
├── BuildError             pipeline: a build that cannot be planned or fails
├── MatchError             matcher: a request that cannot be answered
└── StackError             manager: a process of the embedded stack that does not start
"""

from __future__ import annotations


class LimError(Exception):
    """Something a person can act on; the command line prints its message as one line, without a traceback."""


class ConfigError(LimError):
    """A setting that is unknown, of the wrong type or impossible; the message names key, expected, got."""
