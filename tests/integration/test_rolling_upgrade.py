"""Workers and services of two versions over the same data: messages of either are done, or wait for who knows them."""

from __future__ import annotations

import pytest
from farm import Farm, make_clips
from gallery_mirror import wait_until

from workers import reconciler
from workers.messages import PROTOCOL, RUN_UNIT, Unit, payload, queue_name
from workers.reconciler import Reconciler


def send(farm: Farm, unit: Unit, message: dict[str, str | int], **headers: str) -> None:
    """Send what another version would."""
    farm.app.send_task(
        RUN_UNIT,
        kwargs=message,
        headers=headers,
        task_id=str(unit),
        queue=queue_name(farm.model.fingerprint),
        ignore_result=True,
    )


def test_an_older_worker_leaves_what_it_does_not_know_to_a_newer_one(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_clips(farm.folder / "clips", 3, seconds=1.0)
    job = farm.enqueue("clips")
    units = [unit for _ in range(3) if (unit := farm.take()) is not None]
    assert len(units) == 3
    send(farm, units[0], payload(units[0]))  # of an older service: without any of our headers
    send(farm, units[1], payload(units[1]), hashreel_future="unknown", hashreel_job=job.id)
    send(farm, units[2], payload(units[2]) | {"protocol": PROTOCOL + 1})
    farm.start()
    wait_until(lambda: farm.queue.job(job.id).counts.indexed == 2, "the two that it knows are done", seconds=240)
    wait_until(lambda: "upgrade the workers first" in farm.log(), "the third is refused with the reason", seconds=240)
    counts = farm.queue.job(job.id).counts
    assert (counts.queued, counts.failed) == (1, 0)
    assert farm.units.tries(units[2]) == 0

    # Nobody has to send it again by hand: the reconciler does, in the protocol of its own version.
    monkeypatch.setattr(reconciler, "QUEUE_AGE_S", 0.0)
    Reconciler(farm.store, farm.units, farm.send, farm.server.client(1), farm.settings).check()
    assert farm.wait(job.id).counts.indexed == 3
