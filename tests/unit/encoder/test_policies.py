from __future__ import annotations

from typing import get_args

import pytest

from encoder.policies import FLAWS, CodecKeyFrames, Every, Scenes, parse_policy
from hashreel.errors import BadInputError
from hashreel.schemas import Flaw


@pytest.mark.parametrize(
    "policy",
    [
        Every(),
        Every(0.04),
        Every(3600),
        CodecKeyFrames(),
        Scenes(),
        Scenes(5.5, 20),
        CodecKeyFrames(drop=("black", "frozen")),
    ],
)
def test_a_policy_comes_back_from_its_json(policy):
    assert parse_policy(policy.to_json()) == policy


def test_fields_left_out_have_their_defaults():
    assert parse_policy({"kind": "every"}) == Every(1.0)
    assert parse_policy({"kind": "scenes", "longest_s": 10}) == Scenes(3.0, 10.0)


def test_what_is_dropped_has_one_form_and_none_where_nothing_is():
    assert Every(drop=["frozen", "black", "frozen"]) == Every(drop=("black", "frozen"))
    assert Every(drop=("frozen", "black")).to_json() == {"kind": "every", "seconds": 1.0, "drop": ["black", "frozen"]}
    assert Scenes().to_json().keys() == {"kind", "threshold", "longest_s"}


def test_the_wire_names_the_same_kinds():
    assert get_args(Flaw) == FLAWS


def test_the_step_is_kept_in_whole_milliseconds():
    assert Every(1 / 3).step_ms == 333
    assert Every(1 / 3) == Every(0.333)
    assert Every(1 / 3).to_json() == {"kind": "every", "seconds": 0.333}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "kind None"),
        ({"kind": "often"}, "'often'; accepted: every, codec, scenes"),
        ({"kind": ["every"]}, "kind"),
        ("every", "an object with a kind"),
        ({"kind": "every", "seconds": 0.039}, "0.039; accepted: 0.04 to 3600"),
        ({"kind": "every", "seconds": 3601}, "3601; accepted: 0.04 to 3600"),
        ({"kind": "every", "seconds": float("nan")}, "a number"),
        ({"kind": "every", "seconds": float("inf")}, "a number"),
        ({"kind": "every", "seconds": "1"}, "a number"),
        ({"kind": "every", "seconds": True}, "a number"),
        ({"kind": "every", "threshold": 3}, "fields ['threshold']; accepted: drop, seconds"),
        ({"kind": "codec", "seconds": 1}, "accepted: drop"),
        ({"kind": "scenes", "threshold": 0}, "accepted: 0.01 to 100"),
        ({"kind": "scenes", "longest_s": 0.5}, "accepted: 1 to 3600"),
        ({"kind": "codec", "drop": ["dark"]}, "['dark']; accepted: black, blank, frozen, duplicate"),
        ({"kind": "every", "drop": None}, "[None]; accepted: black"),
    ],
)
def test_a_policy_that_is_not_accepted_says_what_is(document, said):
    with pytest.raises(BadInputError) as caught:
        parse_policy(document)
    assert said in str(caught.value)
