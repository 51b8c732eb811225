"""Submitting an `embed_text` job: the sketch of a text, by an image-text model on a probe set."""

from __future__ import annotations

import hashlib
import json

import sqlalchemy as sa
from celery import Celery

from rosetta.results import Job
from service import jobs
from service.engine_version import ENGINE_VERSION
from service.queries.text_search import TextQuery


def submit_embed_text(engine: sa.Engine, celery: Celery, query: TextQuery) -> Job:
    """The job that stores the sketch of the query's text; the unfinished one of the same text, if any.

    Args:
        engine: of the store.
        celery: to ring with.
        query: what to search by.
    """
    parameters = {"probe": query.probe_set.name, "models": [query.model.name], "text": query.text}
    payload = {"model": query.model.id, "images": query.probe_set._mapping["count"]}
    text = json.dumps([query.probe_set.id, query.model.id, query.text, ENGINE_VERSION])
    key = f"embed_text {hashlib.sha256(text.encode()).hexdigest()}"
    job_id = jobs.create(engine, "embed_text", key, parameters, [payload])
    jobs.ring(engine, celery, job_id)
    with engine.connect() as connection:
        return jobs.get(connection, job_id)
