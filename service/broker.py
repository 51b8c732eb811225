"""The Celery application both sides share: the service rings with it, the workers listen with it.

A message is only a doorbell, `(job_id, part)`: Postgres knows what is to be done. So messages are acknowledged
by being read, and may be lost or doubled without harm (service.jobs).
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
        # Read is acknowledged. With acknowledgements of its own (Celery 5.7, kombu 5.7), a worker whose broker
        # dies during a task keeps that message as unacknowledged for ever, and its prefetch limit makes it deaf.
        task_queues={QUEUE: {"exchange": QUEUE, "routing_key": QUEUE, "no_ack": True}},
        task_acks_late=False,
        task_ignore_result=True,
        # A worker that is busy must not sit on the doorbells that another could answer.
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        # With it, Celery 5.7 dies of an AttributeError when the broker goes away during a task.
        worker_enable_remote_control=False,
        # Cancels late-acknowledged tasks, of which there are none; unset, each lost connection logs a warning.
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_soft_shutdown_timeout=5,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": 86400,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
        },
        # A request must not wait for a broker that is down: the sweeper rings later.
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0.1, "interval_max": 0.1},
        task_serializer="json",
        accept_content=["json"],
    )
    return app
