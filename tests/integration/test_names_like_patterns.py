"""A stored name that looks like a pattern never stands for another file than its own."""

from __future__ import annotations

from farm import Farm, make_clips

from hashreel.schemas import RelocateRequest


def test_a_retry_and_a_relocation_take_no_other_file_whose_name_fits(farm: Farm) -> None:
    clips = farm.folder / "clips"
    good = make_clips(clips, 1)[0]
    (clips / "clip[1].mp4").write_bytes(b"no video")
    job = farm.enqueue("clips/clip[1].mp4")
    farm.run_all()
    assert farm.queue.job(job.id).counts.failed == 1
    (clips / "clip[1].mp4").unlink()
    good.rename(clips / "clip1.mp4")
    farm.queue.retry(job.id)
    farm.run_all()
    assert farm.queue.job(job.id).counts.failed == 1
    (failure,) = farm.queue.failures().failures
    assert (failure.source, failure.reason) == ("clips/clip[1].mp4", "cannot be read: No such file or directory")
    farm.enqueue("clips/clip1.mp4")
    farm.run_all()
    moved = farm.queue.relocate(RelocateRequest(old="clips/clip1.mp4", new="clips/clip[1].mp4")).relocations
    assert [(one.moved, one.reason) for one in moved] == [(False, "cannot be read: No such file or directory")]
