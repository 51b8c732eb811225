"""Looking at pictures: a worker played here, and what answers hold."""

import io
import threading
from contextlib import contextmanager

import numpy as np
import sqlalchemy as sa
from PIL import Image

from service.database import schema
from service.database.engine import make_engine
from service.jobs.presence import SWEEPER


def row(engine, table, name):
    with engine.connect() as connection:
        return connection.execute(sa.select(table).where(table.c.name == name)).one()


@contextmanager
def at_work(settings, run=lambda job, part: None):
    """A worker that is there, and takes whatever part waits by and by."""
    engine = make_engine(settings.database_url, application_name=SWEEPER)
    stop = threading.Event()
    waiting = sa.select(schema.job_parts.c.job_id, schema.job_parts.c.part).where(schema.job_parts.c.state == "queued")

    def loop():
        with engine.connect() as connection:
            while not stop.wait(0.05):
                for job, part in connection.execute(waiting):
                    run(job, part)
                connection.rollback()

    with engine.connect() as connection:  # it is there before the first request is
        connection.execute(sa.text("SELECT 1"))
        thread = threading.Thread(target=loop)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
    engine.dispose()


def pixels(response):
    assert response.status_code == 200, response.text
    image = Image.open(io.BytesIO(response.content))
    assert response.headers["content-type"] == f"image/{image.format.lower()}"
    return np.asarray(image)


def refused(response, status):
    assert response.status_code == status, response.text
    return response.json()["error"]["message"]


def unfinished(engine):
    with engine.connect() as connection:
        chosen = schema.jobs.c.kind == "pictures", schema.jobs.c.state.in_(("queued", "running"))
        return connection.execute(sa.select(schema.jobs).where(*chosen)).all()
