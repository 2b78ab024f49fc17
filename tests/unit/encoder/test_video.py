"""Key-frames against a slow, plain decode of the whole file, for many containers and codecs."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from av.stream import Disposition

import encoder.video
from encoder.video import CodecKeyFrames, Every, Scenes, grab_frame, iter_key_frames, probe
from hashreel.errors import BadInputError, DecodeError, NotFoundError

UNEVEN = np.cumsum(np.random.default_rng(0).integers(5, 180, 100)).tolist()

# Names to what is handed to write_video. One or two of everything that has its own way to seek or to stamp.
KINDS = {
    "b_frames.mp4": {"g": "25", "bf": "3"},
    "b_pyramid.mkv": {"g": "30", "bf": "5", "x264-params": "b-pyramid=strict"},
    "open_gop.mp4": {"g": "30", "bf": "3", "x264-params": "open-gop=1"},
    "open_gop.ts": {"g": "30", "bf": "3", "x264-params": "open-gop=1"},
    "open_gop.avi": {"g": "30", "bf": "3", "x264-params": "open-gop=1"},
    "intra_refresh.ts": {"g": "30", "bf": "0", "x264-params": "intra-refresh=1"},
    "all_keys.mov": {"g": "1"},
    "one_key.mp4": {"g": "999", "sc_threshold": "0"},
    "uneven.mp4": {"g": "20", "bf": "2", "times_ms": [t - UNEVEN[0] for t in UNEVEN]},
    "late.mkv": {"g": "20", "bf": "2", "times_ms": [t + 5000 for t in UNEVEN]},
    "late.ts": {"g": "20", "bf": "2", "times_ms": UNEVEN},
    "flash.flv": {"g": "25", "bf": "2"},
    "raw.h264": {"g": "25", "bf": "2"},
    "ten_bits.mp4": {"g": "25", "pixels": "yuv420p10le"},
    # Pictures so fine that each fills a pack of the program stream, as in real ones: only packs are stamped.
    "mpeg2.mpg": {"codec": "mpeg2video", "g": "15", "bf": "2", "qmax": "2", "b": "9000000"},
    "mpeg4.avi": {"codec": "mpeg4", "g": "15", "bf": "2"},
    "motion.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "vp8.webm": {"codec": "libvpx", "g": "20", "deadline": "realtime", "cpu-used": "8"},
    "film.gif": {"codec": "gif", "pixels": "rgb8"},
}
STAMPLESS = {"raw.h264", "open_gop.avi"}


def slow_decode(path, name):
    """Return [(time in ms, is key, RGB)] of every frame, by decoding the file from end to end."""
    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for index, frame in enumerate(container.decode(stream)):
            if name in STAMPLESS:
                time = Fraction(index * 1000, 25)
            else:
                time = (frame.pts - stream.start_time) * stream.time_base * 1000
            frames.append((int(time + Fraction(1, 2)), frame.key_frame, frame.to_ndarray(format="rgb24")))
    return frames


def first_of_each_cell(frames, step_ms):
    cells = {}
    latest = 0
    for time, _, image in frames:
        latest = max(latest, time)
        cells.setdefault(latest // step_ms, (latest, image))
    return list(cells.values())


def collect(path, policy, borders=(0, None), **options):
    """Return [(time, RGB)] of all ranges between the borders, one after another."""
    return [
        (frame.time_ms, frame.image)
        for start, end in pairwise(borders)
        for frame in iter_key_frames(path, policy, start_ms=start, end_ms=end, **options)
    ]


def is_alike(image, reference):
    """Whether two RGB pictures have the same brightness throughout; FFmpeg's default lets pixels share colours."""
    return np.abs((image.astype(int) - reference) @ (0.299, 0.587, 0.114)).mean() < 2


def assert_same(frames, others):
    assert [time for time, _ in frames] == [time for time, _ in others]
    for (time, image), (_, other) in zip(frames, others, strict=True):
        assert np.array_equal(image, other), f"another picture at {time} ms"


@pytest.fixture(params=list(KINDS))
def video(request, write_video, cache_of_videos):
    name = request.param
    if name not in cache_of_videos:
        path = write_video(name, **KINDS[name])
        cache_of_videos[name] = (path, slow_decode(path, name))
    return cache_of_videos[name]


@pytest.fixture(scope="module")
def cache_of_videos():
    return {}


@pytest.mark.parametrize("step_s", [0.2, 1.0])
def test_every_gives_the_first_frame_of_each_cell(video, step_s):
    path, frames = video
    expected = first_of_each_cell(frames, round(1000 * step_s))
    found = collect(path, Every(step_s))
    assert [time for time, _ in found] == [time for time, _ in expected]
    for (_, image), (_, reference) in zip(found, expected, strict=True):
        assert is_alike(image, reference)


@pytest.mark.parametrize("policy", [Every(0.2), Every(1.0), CodecKeyFrames()], ids=["0.2", "1.0", "codec"])
def test_pieces_give_together_what_the_whole_gives(video, policy):
    path, frames = video
    whole = collect(path, policy)
    end = frames[-1][0] + 1
    for length in (200, 1000, 1370):
        borders = [*range(0, end, length), None]
        assert_same(collect(path, policy, borders), whole)


def test_codec_key_frames_are_the_frames_that_the_codec_stored_whole(video):
    path, frames = video
    keys = [(time, image) for time, is_key, image in frames if is_key]
    found = collect(path, CodecKeyFrames())
    if "intra_refresh" in path.name:
        # Pictures that are refreshed column by column are called key-frames but cannot be decoded alone.
        keys = keys[:1]
    assert [time for time, _ in found] == [time for time, _ in keys]
    for (_, image), (_, reference) in zip(found, keys, strict=True):
        assert is_alike(image, reference)


def test_the_grabbed_frame_is_the_last_one_at_or_before_the_time(video):
    path, frames = video
    times = np.maximum.accumulate([time for time, _, _ in frames])
    for time in (0, 1, int(times[40]), int(times[41]) - 1, 2345, int(times[-1]) + 9999):
        shown = max(0, int(np.searchsorted(times, time, side="right")) - 1)
        frame = grab_frame(path, time)
        assert frame.time_ms == times[shown]
        # Levelled stamps give several frames one time; the last of them is shown.
        assert is_alike(frame.image, frames[shown][2])


@pytest.mark.parametrize("policy", [Every(0.3), CodecKeyFrames(), Scenes()], ids=["every", "codec", "scenes"])
def test_two_runs_give_the_same_bytes_whatever_the_threads(clip, policy):
    first = collect(clip, policy, short_side=64)
    assert_same(collect(clip, policy, short_side=64), first)
    assert_same(collect(clip, policy, short_side=64, threads=3), first)


def test_a_long_step_over_short_gops_seeks_and_finds_the_same_frames(write_video, monkeypatch):
    path = write_video("short_gops.mp4", g="5", bf="2")
    decoded_through = []
    with monkeypatch.context() as patch:
        patch.setattr(encoder.video, "SHORT_GOPS", 10**9)
        decoded_through = collect(path, Every(1.0))
    seeks = []
    real = encoder.video.VideoReader.frames_by_seeking
    monkeypatch.setattr(
        encoder.video.VideoReader,
        "frames_by_seeking",
        lambda self, start, **kw: seeks.append(start) or real(self, start, **kw),
    )
    assert_same(collect(path, Every(1.0)), decoded_through)
    assert seeks == [1000, 2000, 3000, 4000]


def test_dense_steps_never_seek(clip, monkeypatch):
    monkeypatch.setattr(encoder.video.VideoReader, "frames_by_seeking", None)
    assert len(collect(clip, Every(0.5))) == 12


def test_a_border_inside_a_cell_gives_no_frame_twice(clip):
    assert_same(collect(clip, Every(1.0), [0, 500, 501, 1999, 2300, None]), collect(clip, Every(1.0)))


def test_an_empty_range_and_one_past_the_end_give_nothing(clip):
    assert collect(clip, Every(1.0), [1000, 1000]) == []
    assert collect(clip, Every(1.0), [60_000, 90_000]) == []
    assert collect(clip, CodecKeyFrames(), [60_000, None]) == []


def test_frames_come_with_the_wanted_short_side(clip):
    assert {image.shape for _, image in collect(clip, Every(1.0), short_side=48)} == {(48, 80, 3)}
    assert {image.shape for _, image in collect(clip, Every(1.0), short_side=200)} == {(200, 333, 3)}
    assert grab_frame(clip, 0, short_side=48).image.shape == (48, 80, 3)


def test_probe_tells_what_the_clip_is(clip):
    info = probe(clip)
    assert (info.duration_ms, info.width, info.height, info.codec) == (6000, 160, 96, "h264")
    assert (info.frame_rate, info.rotation, info.is_still) == (12.0, 0, False)


def test_probe_estimates_a_duration_that_no_header_states(write_video):
    assert probe(write_video("no_header.h264", g="25", bf="2")).duration_ms == 4000
    assert probe(write_video("starts_late.mkv", times_ms=[t + 5000 for t in UNEVEN])).duration_ms == pytest.approx(
        UNEVEN[-1] - UNEVEN[0], abs=100
    )


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_frames_are_turned_and_mirrored_as_the_file_says(write_video, degrees, is_mirrored):
    image = np.full((64, 96, 3), 128, np.uint8)
    image[:32, :48] = (255, 0, 0)
    image[32:, :48] = (0, 255, 0)
    path = write_video(
        f"turned_{degrees}_{is_mirrored}.mp4",
        [image] * 3,
        pixels="yuv444p",
        prepare=lambda stream: stream.set_display_rotation(degrees, hflip=is_mirrored),
    )
    expected = np.rot90(image, degrees // 90)
    if is_mirrored:
        expected = np.fliplr(expected)
    frame = grab_frame(path, 0)
    assert np.abs(frame.image.astype(int) - expected).mean() < 6
    info = probe(path)
    assert (info.height, info.width) == expected.shape[:2]
    if not is_mirrored:
        assert info.rotation == (360 - degrees) % 360


def test_oblong_pixels_become_square(write_video):
    path = write_video("oblong.mp4", aspect=Fraction(3, 2))
    assert (probe(path).width, probe(path).height) == (144, 64)
    assert grab_frame(path, 0).image.shape == (64, 144, 3)
    assert grab_frame(path, 0, short_side=32).image.shape == (32, 72, 3)


def test_a_size_that_changes_on_the_way_changes_the_frames(tmp_path, write_video):
    small = write_video("small.ts", g="10")
    large = write_video("large.ts", [np.full((128, 64, 3), 90, np.uint8)] * 50, g="10")
    joined = tmp_path / "joined.ts"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    warnings = []
    shapes = [frame.image.shape for frame in iter_key_frames(joined, Every(0.5), short_side=32, warnings=warnings)]
    assert shapes == [(32, 48, 3)] * 8 + [(64, 32, 3)] * 4
    assert len(collect(joined, Scenes(), short_side=32)) == 3
    assert "time stamps jump; time goes on from before the jump" in [warning.reason for warning in warnings]


def test_one_pixel_and_one_frame_are_enough(write_video):
    path = write_video("pixel.mp4", [np.full((1, 1, 3), 200, np.uint8)], pixels="yuv444p")
    for policy in (Every(1.0), CodecKeyFrames(), Scenes()):
        ((time, image),) = collect(path, policy, short_side=16)
        assert (time, image.shape) == (0, (16, 16, 3))
    assert probe(path).is_still


def test_odd_sizes_and_odd_names_are_taken(tmp_path, write_video):
    odd = write_video("odd.mkv", [np.full((35, 53, 3), 77, np.uint8)] * 5, codec="ffv1", pixels="yuv444p")
    for name in (
        "Ünï cödé – 映画.mkv",
        "http:clip.mkv",
        "12:30.mkv",
        "%d-%03d.mkv",
        "-.mkv",
        "#?&.mkv",
        "concat:a|b.mkv",
    ):
        path = tmp_path / name
        path.write_bytes(odd.read_bytes())
        assert probe(path).width == 53
        assert [image.shape for _, image in collect(path, Every(1.0))] == [(35, 53, 3)]


@pytest.mark.parametrize("policy", [Every(0.5), CodecKeyFrames(), Scenes()], ids=["every", "codec", "scenes"])
def test_iteration_can_be_left_early_and_closes_the_file(clip, policy):
    frames = iter_key_frames(clip, policy)
    assert next(frames).time_ms >= 0
    frames.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"start_ms": -1}, r"\[-1, None\)"),
        ({"start_ms": 5, "end_ms": 4}, r"\[5, 4\)"),
        ({"short_side": 0}, "short_side is 0"),
        ({"threads": 0}, "threads is 0"),
    ],
)
def test_arguments_out_of_range_are_refused_at_once(clip, options, said):
    with pytest.raises(BadInputError, match=said):
        iter_key_frames(clip, Every(), **options)


def test_a_file_that_is_no_video_says_so(tmp_path):
    cases = {
        "empty.mp4": (b"", "empty.mp4: the file is empty"),
        "text.mp4": (b"This is only text.\n" * 50, "not a video file"),
        "subtitles.srt": (b"1\n00:00:01,000 --> 00:00:02,000\nHello\n", "no video stream in it (found: subtitle)"),
        "noise.mp4": (np.random.default_rng(1).bytes(5000), "noise.mp4: "),
    }
    for name, (content, said) in cases.items():
        (tmp_path / name).write_bytes(content)
        for call in (probe, lambda path: grab_frame(path, 0), lambda path: list(iter_key_frames(path, Every()))):
            with pytest.raises(DecodeError) as caught:
                call(tmp_path / name)
            assert said in str(caught.value)
            assert "Errno" not in str(caught.value)
    with pytest.raises(DecodeError, match="a folder or a device"):
        probe(tmp_path)
    with pytest.raises(NotFoundError, match=r"gone\.mp4: there is no such file"):
        probe(tmp_path / "gone.mp4")


def test_play_lists_open_no_other_file(tmp_path, clip):
    (tmp_path / "inner.mp4").write_bytes(clip.read_bytes())
    lists = {
        "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\ninner.mp4\n#EXT-X-ENDLIST\n",
        "list.ffconcat": "ffconcat version 1.0\nfile inner.mp4\n",
        "list.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    }
    for name, content in lists.items():
        for suffix in ("", ".mp4"):
            path = tmp_path / (name + suffix)
            path.write_text(content)
            with pytest.raises(DecodeError, match="not a video file"):
                probe(path)


def write_with_cover(path, main):
    """Write a film or a sound, and a cover picture of 400 × 400 pixels."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264" if main == "film" else "aac", rate=25 if main == "film" else 8000)
        cover = container.add_stream("png", rate=1)
        cover.width = cover.height = 400
        cover.pix_fmt, cover.disposition = "rgb24", Disposition.attached_pic
        if main == "film":
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
            frames = [av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8)) for _ in range(10)]
        else:
            frames = [av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")]
            frames[0].sample_rate = 8000
        pictures = cover.encode(av.VideoFrame.from_ndarray(np.full((400, 400, 3), 99, np.uint8))) + cover.encode()
        for index, frame in enumerate(frames):
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        container.mux(pictures)


def test_the_cover_of_a_film_is_not_its_video(tmp_path):
    write_with_cover(tmp_path / "film.mp4", "film")
    assert (probe(tmp_path / "film.mp4").width, len(collect(tmp_path / "film.mp4", Every(0.04)))) == (96, 10)


def test_a_sound_file_with_a_cover_is_no_video(tmp_path):
    write_with_cover(tmp_path / "song.mp4", "sound")
    with pytest.raises(DecodeError, match="no video stream in it, only a cover picture"):
        probe(tmp_path / "song.mp4")


def test_frames_too_large_for_memory_are_refused(clip, monkeypatch):
    monkeypatch.setattr("encoder.reader.MAX_FRAME_PIXELS", 1000)
    with pytest.raises(DecodeError, match="not a single frame could be decoded"):
        probe(clip)
