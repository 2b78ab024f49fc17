"""Options as form fields: everything is text, and the schema has the last word."""

from __future__ import annotations

import doctest

import pytest

from hashreel.errors import BadInputError
from hashreel.schemas import SearchOptions
from search.http import form_options, upload_store
from search.http.form_options import FORM_FIELDS, options_from_form


def test_examples_in_the_docstrings_hold():
    for module in (form_options, upload_store):
        result = doctest.testmod(module)
        assert result.attempted > 0
        assert result.failed == 0


def test_lists_are_collected_and_blanks_left_out():
    fields = [
        ("video", "1"),
        ("videos", "2,3"),
        ("tag", "a=1"),
        ("tag", "b=x=y"),
        ("tag", "a=2"),
        ("concept", "road"),
        ("radius", ""),
        ("between", "0,10"),
    ]
    options = options_from_form(fields)
    assert options == {
        "videos": ["1", "2", "3"],
        "tags": {"a": ["1", "2"], "b": ["x=y"]},
        "concepts": ["road"],
        "between": [0.0, 10.0],
    }
    read = SearchOptions.model_validate(options)
    assert read.videos == [1, 2, 3]
    assert read.between == (0, 10)


@pytest.mark.parametrize(
    "fields", [[("top", "1"), ("top", "2")], [("tag", "x")], [("tag", "=x")], [("box", "1,2")], [("between", "a,b")]]
)
def test_what_cannot_be_read_is_refused(fields):
    with pytest.raises(BadInputError):
        options_from_form(fields)


def test_the_documented_form_has_every_option_and_no_null():
    names = set(SearchOptions.model_fields) - {"tags", "videos", "concepts"} | {
        "tag",
        "video",
        "concept",
        "box",
        "image",
    }
    assert set(FORM_FIELDS["properties"]) == names
    assert "null" not in str(FORM_FIELDS)
