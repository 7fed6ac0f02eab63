"""The whole build, readable as a table of contents."""

from __future__ import annotations

from pipeline import evaluate
from pipeline.assemble import assemble, files
from pipeline.census import census
from pipeline.encode import encode, encoded
from pipeline.extract import extract, numbers, partition, parts
from pipeline.measuring import measure, measured
from pipeline.publishing import publish_index
from pipeline.sample import plan, planned, sample
from pipeline.stage import Stage
from pipeline.train import train, trained

BUILD = (
    Stage("partition", partition),  # pure ranges of the source
    Stage("extract", extract, parts),  # rows as unit-norm float16, ids, people, rejects
    Stage("census", census),  # how many are left; ids that occur twice
    Stage("sample", sample, numbers),  # uniform, without replacement
    Stage("plan", plan, planned),  # which recipes are worth a try
    Stage("train", train, trained),  # projection, cells, codebooks
    Stage("encode", encode, encoded),  # codes, cells, re-ranking rows
    Stage("assemble", assemble, files),  # the files of every shard
    Stage("probes", evaluate.probes),  # whom to look for
    Stage("truth", evaluate.truth, numbers),  # exact search, a partition at a time
    Stage("measure", measure, measured),  # each candidate at each operating point, a shard at a time
    Stage("evaluate", evaluate.evaluate),  # the cheapest that meets the target, or a refusal
    Stage("publish", publish_index),  # manifest, then head
)
