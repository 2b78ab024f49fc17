"""What travels through the queues."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashreel.errors import BadInputError
from workers.messages import PROTOCOL, Unit, payload, queue_name, read_payload


@given(st.integers(0, 2**31), st.none() | st.integers(0, 4095))
def test_unit_comes_back_from_its_name_and_its_payload(video: int, chunk: int | None) -> None:
    unit = Unit(video, chunk)
    assert Unit.parse(str(unit)) == Unit.parse(str(unit).encode()) == unit
    assert read_payload(**json.loads(json.dumps(payload(unit)))) == unit  # type: ignore[arg-type]


def test_names_are_the_documented_ones() -> None:
    assert str(Unit(7)) == "7:plan"
    assert str(Unit(7, 0)) == "7:0"
    assert payload(Unit(7, 3)) == {"protocol": 1, "unit": "7:3"}
    assert queue_name("0123456789abcdef" * 4) == "hashreel.encode.0123456789ab"


@pytest.mark.parametrize(
    "name", ["", ":", "7", "7:", "plan:7", "7:x", "7:1:2", "x:1", "7 :\n", b"\xff:1", "1_0:2", "-1:2", "1:-2", "١:2"]
)
def test_name_that_is_no_unit_is_refused(name: str | bytes) -> None:
    with pytest.raises(BadInputError, match="VIDEO:plan or VIDEO:CHUNK"):
        Unit.parse(name)


def test_task_of_a_newer_producer_is_refused() -> None:
    with pytest.raises(BadInputError, match=f"protocol {PROTOCOL + 1}, this worker {PROTOCOL}; upgrade the workers"):
        read_payload(PROTOCOL + 1, "7:plan")
