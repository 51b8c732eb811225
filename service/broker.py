"""The Celery application both sides share: the service rings with it, the workers listen with it.

A message is only a doorbell, `(job_id, part)`: Postgres knows what is to be done. So messages are
acknowledged early, and may be lost or doubled without harm (service.jobs).
"""

from __future__ import annotations

from celery import Celery

RUN_PART = "rosetta.run_part"
QUEUE = "rosetta"


def make_celery(broker_url: str) -> Celery:
    """A Celery application on this broker; it connects when it is first used.

    Args:
        broker_url: such as `redis://host:6379/0` or `redis+socket:///path/redis.sock`.
    """
    app = Celery("rosetta", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        task_acks_late=False,
        task_ignore_result=True,
        # A worker that is busy must not sit on the doorbells that another could answer.
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        # With it, Celery 5.7 dies of an AttributeError when the broker goes away during a task.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_soft_shutdown_timeout=5,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={"visibility_timeout": 86400, "socket_connect_timeout": 5},
        # A request must not wait for a broker that is down: the sweeper rings later.
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0.1, "interval_max": 0.1},
        task_serializer="json",
        accept_content=["json"],
    )
    return app
