"""Every setting, with its manual under it.

Sections are frozen; only entry points load them, everything else is handed the section it needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from configs.hiding import SECRET, visible
from configs.kinds import (
    Confidence,
    Count,
    CountOrAuto,
    HttpUrl,
    Limit,
    Number,
    OneOrTwo,
    Port,
    Rate,
    RedisUrl,
    RedisUrlOrNone,
    SchedulerUrl,
    Seconds,
    Seed,
    Share,
    Token,
    Word,
)  # fmt: skip


class Section:
    """Shows itself without secrets, so that none gets into a log or a traceback."""

    __slots__ = ()

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in visible(self).items())
        return f"{type(self).__name__}({values})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Redis(Section):
    """The Redis-protocol server between clients and matchers."""

    url: RedisUrl = "redis://127.0.0.1:6379/0"
    """redis:// or rediss:// address with the database number; a password in it is never shown."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Storage(Section):
    """The bucket."""

    bucket: str = "lim-bucket"
    """A folder, file:///…, s3://bucket/prefix or memory://name."""
    endpoint_url: HttpUrl = ""
    """Address of an S3-compatible server; empty = the cloud's own."""
    region: str = "us-east-1"
    """Region of the bucket."""
    access_key: str = field(default="", metadata=SECRET)
    """S3 key; empty = AWS_ACCESS_KEY_ID or whatever the cloud's own chain finds."""
    secret_key: str = field(default="", metadata=SECRET)
    """S3 secret; empty = AWS_SECRET_ACCESS_KEY or whatever the cloud's own chain finds."""
    conditional_writes: Literal["probe", "trust"] = "probe"
    """`probe`: try at start whether the store honours conditional writes, and refuse one that does not."""
    patience_s: Limit = 120.0
    """Seconds that each step of a build is tried again while the bucket says that it is busy or does not answer; 0 = the
    first such answer ends the build, which the same command continues."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Cache(Section):
    """The local cache of a matcher."""

    folder: str = ""
    """Where indexes are kept; empty = $XDG_CACHE_HOME/lim."""
    quota_bytes: Count = 20 << 30
    """Bytes the cache may take; the least recently used indexes go first."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Dask(Section):
    """Where a build's tasks run."""

    scheduler: SchedulerUrl = ""
    """tcp://… of a scheduler; empty = workers of the command's own; `serial` = in the command's process."""
    dashboard: HttpUrl = ""
    """Where people, and the manager's pages, reach the dashboard of that scheduler; empty = http://, its host and
    scheduler.dashboard_port."""
    workers: CountOrAuto = 0
    """Workers to start when there is no scheduler; 0 = one per core."""
    threads_per_worker: Count = 1
    """Tasks that each such worker does at a time; build.threads_per_task is the native threads of one of them."""
    memory_limit: str = "auto"
    """Memory of each such worker, as Dask writes it: auto, 4GiB, 0.5."""
    connect_timeout_s: Seconds = 30.0
    """Seconds to wait for the scheduler and for a first worker that is like the build's own machine."""
    return_timeout_s: Seconds = 300.0
    """Seconds that a build waits for a scheduler that went away while it was running, and for the first worker after
    it: a supervisor starts it again at the same address, the indexers rejoin, the build goes on."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Scheduler(Section):
    """The Dask scheduler that `lim scheduler` runs."""

    host: Word = "127.0.0.1"
    """Address to listen on, for tasks and for the dashboard; whoever reaches it can run code on the workers."""
    port: Port = 8786
    """Port that indexers and builds connect to; 0 = a free one, which no indexer finds again after a restart."""
    dashboard_port: Port = 8787
    """Port of the Dask dashboard with the page *LIM builds*; 0 = a free one."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Indexer(Section):
    """The service `lim indexer`: a worker of the cluster of dask.scheduler, and builds ordered over HTTP."""

    origin: HttpUrl = ""
    """Where others reach its HTTP, which is also its name on the Dask dashboard; empty = http://, this host's name and
    http.indexer_port."""
    slots: CountOrAuto = 0
    """Items it does at a time, each with build.threads_per_task native threads; 0 = one per core, or one per GPU where
    there are any."""
    memory_limit: str = "auto"
    """Memory of its worker, as Dask writes it: auto (all of the machine's, or the slots' share of it), 4GiB, 0.5.  A
    worker above 95 % of it is started again and its item given to another."""
    build_memory_bytes: CountOrAuto = 0
    """Bytes that a build ordered over HTTP may take, all its processes together; above it the build is killed and ends
    as 26109.  0 = whatever the machine gives."""
    rejoin_s: Seconds = 1.0
    """Seconds between attempts to join a scheduler that is gone."""
    shutdown_s: Seconds = 25.0
    """Longest orderly shutdown: running items may end within two thirds of it, what is not done then is handed back."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Build(Section):
    """How an index is built."""

    partition_rows: Count = 25_000
    """Rows of one task."""
    sample_rows: CountOrAuto = 0
    """Rows of the uniform sample that models are trained on; 0 = 65,536, or 40 for each cell where that is more."""
    threads_per_task: Count = 1
    """Native threads of one task; sums depend on it, so it is part of a build's identity."""
    seed: Seed = 1
    """Seed of sampling and training."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where training, encoding and exact search run."""
    recipe: Literal["auto", "exact", "scan", "cells", "ivfpq"] = "auto"
    """The recipe, or `auto` for the cheapest that meets the target by measurement."""
    assignments: OneOrTwo = 1
    """Cells that each row is put into, where there are cells.  Two find more mates in as many probed cells, but read
    twice the codes: on face-like lists the single one, with more cells probed, was as good and faster."""
    rerank: Literal["int8", "float16", "float32"] = "float16"
    """Stored form of the vectors that re-rank candidates, mapped from a file.  int8 halves the file, but its rounding
    of similarities (about 0.0005) moves some mates across the threshold, which counts as loss; float32 doubles it and
    implies source.precision float32."""
    memory_limit_bytes: CountOrAuto = 0
    """Bytes that the loaded index may take; 0 = no limit."""
    shard_bytes: Count = 8 << 30
    """Bytes of memory that one loaded shard may take; an index that needs more gets several, which several matchers
    can hold."""
    shards: CountOrAuto = 0
    """Shards of the index; 0 = as few as shard_bytes allows."""
    calibration: str = ""
    """Labelled descriptors of the same model, in any form a source may have, that the model of made mates is fitted
    to; empty = the shipped one, fitted to Labeled Faces in the Wild."""
    descriptor_version: str = ""
    """Name of the model that made the descriptors; empty = what the source says."""
    force: bool = False
    """Publish an index that misses its target; recorded in the manifest."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Quality(Section):
    """What an index must reach."""

    added_fnir: Rate = 0.001
    """Most added FNIR: share of mated probes that exact search accepts and the index loses."""
    recall: Share = 0.9
    """Least recall@10; 0 = whatever.  Impostors among the candidates are noise to an identification, which looks for
    the mate, yet people who look at lists of candidates expect the same ones as from exact search."""
    latency_ms: Limit = 0.0
    """Most milliseconds that the search of one request alone may take, as predicted by the cost model; 0 = no limit."""
    fpir: Rate = 0.003
    """FPIR at which the threshold is set."""
    k: Count = 10
    """Candidates among which the mate must be."""
    mated_probes: Count = 10_000
    """Mated probes in each half, choosing and gating."""
    non_mates: Count = 5_000
    """Non-mated probes in each half."""
    confidence: Confidence = 0.95
    """One-sided confidence of the bound that is compared with the target."""
    group_by: Literal["", "person"] = ""
    """`person`: candidates are people, each with its best row, as requests with group_by=person are answered."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Source(Section):
    """Where descriptors are, and how files of them are read."""

    template: str = ""
    """Where the descriptors of a list are, {label} standing for its name: s3://lists/{label}/*.parquet.  For builds that
    name only a list; `lim build` names the source itself."""
    id_column: str = "id"
    """Column of ids; without it the row number is the id."""
    vector_column: str = "descriptor"
    """Column of vectors."""
    person_column: str = "person"
    """Column that names the person of a row, if there is one."""
    scale: Number = 0.0
    """uint8 values mean (value - zero) * scale; 0 = only float vectors are accepted."""
    zero: Number = 0.0
    """The uint8 value that means 0; see scale."""
    precision: Literal["float16", "float32"] = "float16"
    """What rows are kept as during a build, and compared by exact search; float16 moves a similarity by 1e-4 or so."""
    max_reject_share: Share = 0.05
    """A build stops when a larger share of the rows is rejected."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Images(Section):
    """How photos become descriptors."""

    models: str = ""
    """Folder with detect.onnx and embed*.onnx, or the two paths with a comma between."""
    min_score: Share = 0.8
    """Least confidence of the detector."""
    on_several: Literal["reject", "largest"] = "reject"
    """What a photo with several faces is worth."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Matcher(Section):
    """The service that answers."""

    consumer_group: Word = "lim_matcher"
    """Consumer group on the original's streams (LIM_MATCHER_CONSUMER)."""
    batch: Count = 256
    """Most requests of one read."""
    block_ms: Count = 50
    """Longest blocking read of an idle matcher, milliseconds."""
    default_ttl_ms: Count = 5_000
    """Life of a request that names none."""
    max_ttl_ms: Count = 60_000
    """Longest life; larger ones are cut to it."""
    max_limit: Count = 1_000
    """Most candidates a request may ask for."""
    poll_s: Seconds = 2.0
    """Seconds between looks at the bucket."""
    announce_ttl_s: Seconds = 2.0
    """Life of an announcement; work of a matcher whose announcement lapsed is taken over."""
    announce_every_s: Seconds = 0.5
    """Seconds between announcements."""
    memory_limit_bytes: CountOrAuto = 0
    """Bytes that loaded indexes may take; 0 = 80 % of the host's memory."""
    search_threads: CountOrAuto = 0
    """Threads that search; 0 = one per core."""
    max_deliveries: Count = 5
    """Deliveries after which a request goes to the dead letters."""
    shutdown_s: Seconds = 10.0
    """Longest orderly shutdown."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where loaded indexes are searched; `auto` takes a GPU where one answers and the index fits."""
    labels: str = ""
    """Labels to serve, with commas between; empty = all."""
    shards: str = ""
    """Shards to hold of an index that has several, numbers with commas between; empty = first those that nobody holds,
    while memory lasts."""
    live_share: Share = 0.001
    """Share of live requests that are compared with exact search while the matcher is idle; 0 = none."""
    live_per_minute: Count = 60
    """Most of them a minute, of each index."""
    live_margin: Share = 0.05
    """How far the live recall may surely lie below what the build measured before it is called drift."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Manager(Section):
    """The service that plans, queues and runs builds."""

    origin: HttpUrl = ""
    """Where people and other services reach it; empty = http://, this host's name and http.manager_port."""
    redis_url: RedisUrlOrNone = ""
    """The Redis of tasks and leases, where it is another than that of the matchers; empty = redis.url."""
    replicas: CountOrAuto = 0
    """Replicas of that Redis that must have a submission before it is acknowledged; 0 = one, where there are any."""
    lock: Word = "lim_manager"
    """Name of the leader's lease in Redis (LIM_MANAGER_MASTER_LOCK); managers of one name share the work.
    All managers over a bucket have the same: those of two names would take the lead from each other for ever."""
    lease_s: Seconds = 10.0
    """Life of the lease: a leader that cannot renew it stops its work within this time, and another takes over."""
    lookup_period_s: Seconds = 1.0
    """Seconds between looks of the leader at tasks that wait and at builds that run."""
    builds_at_once: Count = 2
    """Builds that run at the same time; the oldest has the cluster first."""
    whole_rows: CountOrAuto = 5_000
    """Lists of vectors of at most so many rows are built as one item of the cluster, in the memory of one worker: quicker
    by far where there are many of them.  0 = none."""
    build_timeout_s: Limit = 0.0
    """Longest build; one that takes longer is ended and tried again.  0 = no limit."""
    attempts: Count = 3
    """Builds of a task that may fail before the task does, where another attempt may help."""
    retry_s: Seconds = 10.0
    """Wait before the second attempt; doubled before each further one."""
    history_s: Seconds = 30 * 86_400.0
    """How long tasks that have ended are remembered."""
    planning_period_s: Limit = 0.0
    """Seconds between looks at lists whose content may have changed; 0 = none, unless there is a schedule."""
    planning_schedule: str = ""
    """When to look instead, as minute, hour, day, month and day of the week (Sunday = 0): 0 3 * * 1-5.  It goes before
    the period."""
    planning_zone: str = ""
    """Time zone of the schedule: Europe/Berlin, UTC; empty = this machine's own."""
    lists: str = ""
    """What is indexed by itself: labels with commas between, or `dynamic` for every list of source.template of more than
    min_list_rows rows; empty = nothing."""
    min_list_rows: CountOrAuto = 50_000
    """Rows that a dynamic list must exceed."""
    keep: Count = 3
    """Versions of each label that are kept; what serves, and what came before it, always is."""
    keep_s: Limit = 7 * 86_400.0
    """Younger versions are kept whatever their number."""
    orphan_s: Seconds = 86_400.0
    """Age of the newest object from which a work folder, or an index that was never finished, counts as left by a build
    that died, unless a task that waits or runs is its build.  Longer than any item of a build takes."""
    retention_period_s: Limit = 3_600.0
    """Seconds between removals of older versions and of what dead builds left; 0 = only `lim gc` removes."""
    poll_s: Seconds = 2.0
    """Seconds between looks at the bucket, for the pages and the API."""
    shutdown_s: Seconds = 10.0
    """Longest orderly shutdown."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Client(Section):
    """The client."""

    timeout_ms: Count = 5_000
    """Life of a request."""
    in_flight: Count = 512
    """Most requests on their way at once."""
    refresh_s: Seconds = 1.0
    """Seconds between looks at who serves what."""
    max_backlog: Count = 10_000
    """Requests waiting for a label from which a request fails at once as busy."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Http(Section):
    """HTTP for health and metrics."""

    host: Word = "127.0.0.1"
    """Address to listen on."""
    matcher_port: Port = 5200
    """Port of a matcher; 0 = a free one."""
    indexer_port: Port = 5180
    """Port of an indexer; 0 = a free one."""
    manager_port: Port = 5190
    """Port of a manager; 0 = a free one."""
    token: Token = field(default="", metadata=SECRET)
    """What the pages that start work ask for, as `Authorization: Bearer …` or once in a form; empty = they start work for
    this machine alone.  The Dask dashboard beside them has no login of its own: leave it on loopback."""
    read_token: Token = field(default="", metadata=SECRET)
    """A second token that reads and starts nothing; empty = none.  It needs http.token."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Pages(Section):
    """The page *LIM builds* on the web server of a Dask scheduler."""

    at_once: Count = 1
    """Builds submitted there that run at the same time; more wait for their turn."""
    waiting: Count = 20
    """Builds that may wait."""
    kept: Count = 100
    """Builds that are shown; the oldest finished ones go first."""
    folder: str = ""
    """Where the list of builds lies with the logs of those submitted there; empty = a temporary folder, gone with the
    scheduler.  One scheduler a folder."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Plan(Section):
    """What `lim plan` predicts with; no decision of a build depends on it."""

    rates: str = ""
    """File of the machine's speeds, which `lim plan --calibrate` measures; empty = rates.json in $XDG_CONFIG_HOME/lim,
    and where there is none those of the machine that this was made on."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Log(Section):
    """Logs on standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least level that is written."""
    format: Literal["default", "json"] = "default"
    """Lines for people, or JSON for machines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All sections."""

    redis: Redis = Redis()
    storage: Storage = Storage()
    cache: Cache = Cache()
    dask: Dask = Dask()
    scheduler: Scheduler = Scheduler()
    indexer: Indexer = Indexer()
    build: Build = Build()
    quality: Quality = Quality()
    source: Source = Source()
    images: Images = Images()
    matcher: Matcher = Matcher()
    manager: Manager = Manager()
    client: Client = Client()
    http: Http = Http()
    pages: Pages = Pages()
    plan: Plan = Plan()
    log: Log = Log()
