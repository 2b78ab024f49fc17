"""Which key-frames are recognised as of little use; what is found does not depend on what is dropped."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.hygiene import Sieve
from encoder.policies import FLAWS
from encoder.video import KeyFrame

HEIGHT, WIDTH = 90, 160


def scene(seed: int) -> np.ndarray:
    """A picture of coarse coloured blocks: any two seeds differ everywhere."""
    blocks = np.random.default_rng(seed).integers(40, 230, (6, 8, 3), np.uint8)
    return np.kron(blocks, np.ones((15, 20, 1), np.uint8))


def noisy(image: np.ndarray, levels: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(-levels, levels + 1, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def with_object(image: np.ndarray, side: int) -> np.ndarray:
    """The same shot after something white has moved into it."""
    changed = image.copy()
    changed[20 : 20 + side, 30 : 30 + side] = 255
    return changed


def card(*rgb: int) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), rgb, np.uint8)


def judged(*images: np.ndarray, **options) -> list[str | None]:
    sieve = Sieve(**options)
    return [sieve.judge(image) for image in images]


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (card(0, 0, 0), "black"),
        (noisy(card(16, 16, 16), 8), "black"),
        (card(0, 0, 255), "black"),  # luma 29: what FFmpeg, too, calls black
        (card(0, 90, 200), "blank"),
        (noisy(card(255, 255, 255), 10), "blank"),
        (scene(1), None),
        (scene(1) // 4, None),  # a night scene is dark, not black
    ],
)
def test_single_frames(image, kind):
    assert judged(image) == [kind]


def test_a_title_on_black_is_kept():
    title = card(0, 0, 0)
    title[40:50, 30:130] = 235
    assert judged(title) == [None]


def test_a_still_is_frozen_and_small_motion_a_duplicate():
    still = scene(1)
    assert judged(still, still, noisy(still, 3, 1)) == [None, "frozen", "frozen"]
    assert judged(still, noisy(still, 40, 2)) == [None, "duplicate"]
    assert judged(still, with_object(still, 30)) == [None, None]
    assert judged(still, scene(2)) == [None, None]


def test_slow_change_is_measured_from_the_last_distinct_frame():
    """A slow fade differs little from frame to frame; in sum it is another picture."""
    fade = [(scene(1) * share).astype(np.uint8) for share in np.linspace(1, 0.5, 41)]
    kinds = judged(*fade)
    assert kinds.count("duplicate") > 20
    assert kinds.count(None) >= 5


def test_what_follows_black_is_a_new_shot():
    assert judged(scene(1), card(0, 0, 0), scene(1)) == [None, "black", None]


def test_pictures_of_a_folder_are_judged_one_by_one():
    assert judged(scene(1), scene(1), card(0, 0, 0), is_sequence=False) == [None, None, "black"]


@given(
    order=st.lists(st.sampled_from(["a", "b", "a+noise", "black", "blue"]), max_size=25),
    drop=st.sets(st.sampled_from(FLAWS)),
)
def test_what_is_found_does_not_depend_on_what_is_dropped(order, drop):
    pictures = {
        "a": scene(1),
        "b": scene(2),
        "a+noise": noisy(scene(1), 40),
        "black": card(0, 0, 0),
        "blue": card(0, 90, 200),
    }
    frames = [KeyFrame(1000 * index, pictures[name]) for index, name in enumerate(order)]
    kinds = judged(*(frame.image for frame in frames))
    sieve = Sieve(drop=drop)
    kept = list(sieve.keep(iter(frames)))
    assert kept == [frame for frame, kind in zip(frames, kinds, strict=True) if kind not in drop]
    assert sieve.found == Counter(kind for kind in kinds if kind)
