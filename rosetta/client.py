"""The client of a Rosetta service."""

from __future__ import annotations

from collections.abc import Sequence

from rosetta import operations
from rosetta.client_directions import DirectionCalls
from rosetta.client_equivalents import EquivalentCalls
from rosetta.client_interventions import InterventionCalls
from rosetta.client_labels import LabelCalls
from rosetta.client_maps import MapCalls
from rosetta.client_questions import QuestionCalls
from rosetta.client_search import SearchCalls
from rosetta.client_translations import TranslationCalls
from rosetta.client_zoo import ZooCalls
from rosetta.handles import JobHandle
from rosetta.results import Check, Job, JobState
from rosetta.rows import Rows
from rosetta.waiting import get_job


class Client(
    ZooCalls,
    QuestionCalls,
    MapCalls,
    LabelCalls,
    SearchCalls,
    TranslationCalls,
    InterventionCalls,
    DirectionCalls,
    EquivalentCalls,
):
    """Talks to a Rosetta service; safe to use from several threads.

    Args:
        url: of the service; `ROSETTA_URL`, or else the local `rosetta up`.
        api_key: `ROSETTA_API_KEY` when left out. A local stack needs none.
        timeout: seconds that one answer may take.
        transport: of httpx, to reach a service in another way, such as inside a test.

    Every method raises `Unavailable` when no service answers, and `Unauthorized` when it wants a key.

    Example:
        >>> from rosetta import Client
        >>> client = Client()
        >>> client.unit("dcgan-faces", 813).matches(model="efficientnet-lite0", top=3)
    """

    def health(self) -> Rows[Check]:
        """What the service needs, and whether each of it works, with the mend where it does not."""
        return self._run(operations.health())

    def mine(
        self,
        probe: str,
        models: Sequence[str] | None = None,
        keep: int = 10,
        *,
        sketch_only: bool = False,
        parts: int = 1,
    ) -> JobHandle:
        """The job that compares models on a probe set; done at once when all of it is stored.

        Args:
            probe: the probe set's name.
            models: names. All that fit when left out; one alone is compared with every model mined there already.
            keep: matches kept for each unit in each other model.
            sketch_only: compare nothing; store statistics, sketches and exemplars of each model, for
                `matches(approximate=True)`.
            parts: cut the job into as many parts at least, where there is so much to do, for workers to share.

        Raises:
            NotFound: with the nearest names.
            InvalidRequest: when there is nothing to compare, or a model does not fit the probe set.

        Example:
            >>> job = client.mine(probe="faces", models=["dcgan-faces", "efficientnet-lite0"])
            >>> job.wait()
        """
        return JobHandle(
            self._transport, self._run(operations.mine(probe, models, keep, sketch_only=sketch_only, parts=parts))
        )

    def jobs(self, state: JobState | None = None, limit: int | None = None) -> Rows[Job]:
        """The jobs, newest first; in one state when it is named."""
        return self._run(operations.list_all("/v1/jobs", Job, "jobs", {"state": state}, limit))

    def job(self, job_id: int) -> JobHandle:
        """A job, to look at or to wait for again.

        Raises:
            NotFound: when there is none of that number.
        """
        return JobHandle(self._transport, self._run(get_job(job_id)))
