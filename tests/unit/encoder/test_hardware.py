"""Decoding on a device: the frames of the processor, where there is a device and where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from encoder.damage import DecodeWarning
from encoder.hardware import OFF, accelerator, hardware_first
from encoder.policies import CodecKeyFrames, Every, Policy, Scenes
from encoder.reader import VideoReader
from encoder.scaling import frame_to_rgb
from encoder.video import KeyFrame, iter_key_frames
from hashreel.errors import BadInputError, DecodeError

POLICIES = [Every(0.5), CodecKeyFrames(), Scenes()]
BLACK = np.zeros((2, 2, 3), np.uint8)


def same(ours: list[KeyFrame], others: list[KeyFrame]) -> bool:
    times = [frame.time_ms for frame in ours] == [frame.time_ms for frame in others]
    return times and all(np.array_equal(a.image, b.image) for a, b in zip(ours, others, strict=True))


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.kind)
@pytest.mark.parametrize("hardware", ["cuda", "vaapi", "qsv", "videotoolbox"])
def test_frames_are_those_of_the_processor(clip: Path, policy: Policy, hardware: str) -> None:
    """Wherever this runs, most of these devices are not there."""
    warnings: list[DecodeWarning] = []
    found = list(iter_key_frames(clip, policy, short_side=64, hardware=hardware, warnings=warnings))
    assert found
    assert same(found, list(iter_key_frames(clip, policy, short_side=64)))
    assert warnings == []


def test_what_is_no_device_is_refused(clip: Path) -> None:
    with pytest.raises(BadInputError, match=r"'gpu'; accepted: off, .*cuda"):
        iter_key_frames(clip, Every(), hardware="gpu")
    assert accelerator(OFF) is None


@pytest.mark.parametrize(("ours", "theirs"), [("yuv420p", "nv12"), ("yuv420p10le", "p010le")])
def test_the_layout_in_which_devices_give_frames_makes_no_difference(clip: Path, ours: str, theirs: str) -> None:
    with VideoReader(clip) as reader:
        frame = next(reader.frames()).frame.reformat(format=ours)
        assert np.array_equal(
            frame_to_rgb(frame, short_side=64), frame_to_rgb(frame.reformat(format=theirs), short_side=64)
        )


class Device:
    """A decoder that gives so many of ten frames before something happens."""

    def __init__(self, frames: int, *, error: Exception | None = None, warns: bool = False) -> None:
        self.frames, self.error, self.warns = frames, error, warns
        self.used: list[str] = []

    def decode(self, hardware: str, warnings: list[DecodeWarning]) -> Iterator[KeyFrame]:
        self.used.append(hardware)
        for number in range(10):
            if hardware != OFF and number == self.frames:
                if self.error is not None:
                    raise self.error
                warnings.append(DecodeWarning("decode", "a frame is marked as damaged"))
            if hardware == OFF and number == 5 and self.warns:
                warnings.append(DecodeWarning("read", "a packet is damaged"))
            yield KeyFrame(1000 * number, BLACK)


@pytest.mark.parametrize(
    "device",
    [Device(0), Device(4), Device(0, error=DecodeError("not a single frame")), Device(4, error=DecodeError("x"))],
)
def test_from_the_first_problem_on_the_processor_decodes(device: Device) -> None:
    device.warns = True
    warnings: list[DecodeWarning] = []
    frames = list(hardware_first(device.decode, "cuda", warnings))
    assert [frame.time_ms for frame in frames] == list(range(0, 10_000, 1000))
    assert device.used == ["cuda", OFF]
    # What the device thought of the file is not told; what the processor thinks is.
    assert [warning.reason for warning in warnings] == ["a packet is damaged"]


def test_without_a_problem_the_device_decodes_all() -> None:
    device = Device(10)
    assert len(list(hardware_first(device.decode, "cuda", []))) == 10
    assert device.used == ["cuda"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.kind)
def test_nvdec_gives_the_very_frames(clip: Path, policy: Policy) -> None:
    with VideoReader(clip, hardware="cuda") as reader:
        next(reader.frames())
        context = reader.stream.codec_context
        assert isinstance(context, av.VideoCodecContext)
        assert context.is_hwaccel
    assert same(list(iter_key_frames(clip, policy, hardware="cuda")), list(iter_key_frames(clip, policy)))
