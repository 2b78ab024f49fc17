"""Somebody who waits for one video is not stuck behind an archive, and the archive goes on meanwhile."""

from __future__ import annotations

from farm import Farm, make_clips
from gallery_mirror import wait_until

from hashreel.schemas import JobModel
from workers.lanes import PATIENCE, LaneCycle
from workers.messages import queue_name

BULK, WAITED_FOR = 60, 12


def test_worker_looks_for_interactive_work_first_and_for_bulk_work_in_time() -> None:
    bulk, quick, evaluations = queue_name("a" * 64), queue_name("a" * 64, "interactive"), "hashreel.evaluate"
    cycle = LaneCycle([bulk, quick, evaluations])
    taken = []
    for _ in range(3 * (PATIENCE + 1)):
        first = cycle.consume(3)[0]
        cycle.rotate(first)
        taken.append(first)
    assert [taken.count(queue) for queue in (bulk, quick, evaluations)] == [3, 6, 6]
    assert taken.index(bulk) == PATIENCE
    assert sorted(cycle.consume(3)) == sorted([bulk, quick, evaluations])
    # Where there is no bulk work when its turn comes, nobody waits for it.
    for _ in range(PATIENCE):
        cycle.rotate(quick)
    assert cycle.consume(3)[0] == bulk
    assert len(cycle.consume(3)) == 3


def order_of_commits(farm: Farm) -> list[int]:
    """Return the numbers of the videos in the order in which they were committed."""
    return [int(fields[b"v"]) for _, fields in farm.store.redis.xrange("hr:g:1:log")]


def test_videos_that_are_waited_for_are_done_before_an_archive_which_is_not_starved(farm: Farm) -> None:
    (clip,) = make_clips(farm.folder / "made", 1, seconds=1.0)
    names = [f"archive/{n:03}.mp4" for n in range(BULK)] + [f"new/{n:03}.mp4" for n in range(WAITED_FOR)]
    for number, name in enumerate(names):
        path = farm.folder / "clips" / name
        path.parent.mkdir(exist_ok=True)
        # Bytes at the end make another content of it: copies would not be encoded.
        path.write_bytes(clip.read_bytes() + bytes(number))
    archive = farm.enqueue("clips/archive")
    # The last one is asked for when the worker is in the midst of the archive; the others wait already.
    first: list[JobModel] = [farm.enqueue(f"clips/{name}") for name in names[BULK:-1]]
    assert (archive.lane, {job.lane for job in first}) == ("bulk", {"interactive"})
    farm.settings.decoders = 1  # one unit at a time, so that the order of commits is that of the queues
    farm.start()
    wanted = {job.videos[0] for job in first}
    wait_until(lambda: wanted <= set(order_of_commits(farm)), "the first that are waited for are there", seconds=240)
    done = order_of_commits(farm)
    last = max(done.index(video) for video in wanted)
    # Turn by turn: PATIENCE of those, one of the archive (and one that may have been taken before they came).
    others = [video for video in done[: last + 1] if video not in wanted]
    assert len(wanted) // PATIENCE - 1 <= len(others) <= len(wanted) // PATIENCE + 1
    late = farm.enqueue(f"clips/{names[-1]}")
    before = len(order_of_commits(farm))
    assert farm.wait(late.id).counts.indexed == 1
    done = order_of_commits(farm)
    # What was in hand, and what was taken while this test looked, came before it: not the rest of the archive.
    assert done.index(late.videos[0]) < BULK + WAITED_FOR - 1 or before > BULK
