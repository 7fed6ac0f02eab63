"""The parts of a matcher, connected with one another."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Mapping

from configs.settings import Settings
from matcher import keys
from matcher.announce import Announcer
from matcher.answering import Answerer
from matcher.comparing import Comparer
from matcher.connecting import connect
from matcher.consumer import Consumer
from matcher.deadlines import Bounds
from matcher.doubt import Doubt
from matcher.drawing import Drawer
from matcher.exchange import Exchange
from matcher.handling import Handler
from matcher.held import Held
from matcher.housekeeping import Housekeeping
from matcher.loader import Loader
from matcher.reading import Reading
from matcher.relay import PLACES, Means, Relay
from matcher.residency import Residency
from matcher.searching import Searcher
from matcher.takeover import TakeOver
from matcher.telling import Telling
from matcher.watch import Watch
from pipeline.artifact import open_store


class Parts:
    """Everything that a matcher is made of; nothing runs yet."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], matcher_id: str = "") -> None:
        self.settings = settings
        matcher = settings.matcher
        self.id = matcher_id or f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.redis = connect(settings.redis.url)
        self.residency = Residency(matcher.memory_limit_bytes)
        self.announcer = Announcer(self.redis, self.id, self.residency, matcher.announce_ttl_s)
        self.doubt = Doubt()
        self.consumer = Consumer(self.redis, self.id, matcher.block_ms, self.doubt)
        self.answerer = Answerer(self.redis, self.announcer.stands)
        self.drawer = Drawer(matcher.live_share, matcher.live_per_minute)
        self.comparer = Comparer(self.drawer, matcher.live_margin, self._serves)
        self.searcher = Searcher(matcher.search_threads or os.cpu_count() or 1, self.drawer.saw)
        passed_on = Consumer(self.redis, self.id, matcher.block_ms, self.doubt)
        self.takeover = TakeOver(self.redis, (self.consumer, passed_on), self.answerer, matcher.max_deliveries)
        self.housekeeping = Housekeeping(self.redis, matcher.consumer_group, matcher.max_ttl_ms)
        bounds = Bounds(matcher.default_ttl_ms, matcher.max_ttl_ms, matcher.max_limit, self.announcer.now_ms)
        self.handler = Handler(self.residency, self.searcher, self.answerer, self.housekeeping, bounds)
        means = Means(passed_on, self.answerer, self.housekeeping, self.doubt, bounds)
        self.relay = Relay(means, self._relayed)
        self.handler.pass_on = self.relay.take
        store = open_store(settings.storage.bucket, settings.storage)
        self.loader = Loader(store, settings.cache, environ, matcher.device)
        self.reading = Reading(self.consumer, passed_on, matcher.consumer_group)
        self.watch = Watch(self.loader, self.residency, self.reading, self.announcer, matcher)
        self.announcer.tell = Telling(self).packed

    def _relayed(self) -> Exchange:
        """The client's part, for requests that other matchers answer as well."""
        refresh_s = min(self.settings.client.refresh_s, keys.REFRESH_S)
        return Exchange(self.settings.redis.url, refresh_s, PLACES)

    def _serves(self, held: Held) -> bool:
        return self.residency.serving.get(held.label) == held.index_id
