"""Ground truth files, what they say of key-frames, and the choice of queries."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashreel.errors import BadInputError, NotFoundError
from search.evaluation import (
    Labels,
    Truth,
    TruthRecord,
    choose_queries,
    parse_csv,
    parse_json_lines,
    parse_shots,
    read_shots,
    read_truth,
)

PICTURES = "picture,concepts,role\r\na.jpg,cat; city scape,both\r\nb.jpg,gun/rifle,\r\nc.jpg,,query\r\n"


def lines(text: str) -> list[str]:
    return list(io.StringIO(text, newline=""))


def test_csv_of_pictures(tmp_path):
    file = tmp_path / "truth.csv"
    file.write_bytes(b"\xef\xbb\xbf" + PICTURES.encode())
    truth = read_truth(file)
    assert [(r.row, r.picture, r.concepts, r.role) for r in truth.records] == [
        (2, "a.jpg", ("cat", "city scape"), "both"),
        (3, "b.jpg", ("gun/rifle",), "gallery"),
        (4, "c.jpg", (), "query"),
    ]
    assert truth.concepts == ("cat", "city scape", "gun/rifle")
    assert truth.has_listed_queries
    assert [r.picture for r in truth.gallery] == ["a.jpg", "b.jpg"]
    assert [r.picture for r in truth.queries] == ["a.jpg", "c.jpg"]
    assert truth.labels_of(truth.pictures).matrix.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0]]


def test_json_lines_say_the_same(tmp_path):
    file = tmp_path / "truth.jsonl"
    rows = [
        {"picture": "a\u2028.jpg", "concepts": ["cat"]},
        {"video": "v.mp4", "start_s": 1, "end_s": 2.5, "concepts": ["cat", "sky"], "clip": "x"},
        {"video": "v.mp4", "start_s": 9, "concepts": []},
    ]
    file.write_text("\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    truth = read_truth(file)
    assert [r.row for r in truth.records] == [1, 3, 5]
    assert truth.records[0].picture == "a\u2028.jpg"
    assert truth.records[1] == TruthRecord(3, ("cat", "sky"), video="v.mp4", start_s=1.0, end_s=2.5, clip="x")
    assert truth.records[2].end_s == float("inf")
    assert truth.videos == ("v.mp4",)
    assert not truth.has_listed_queries


name = st.text("abc/ é,\"'\n", min_size=1, max_size=8).filter(lambda text: text.strip() == text and "\n" not in text)


@given(st.dictionaries(name, st.lists(name, unique=True, max_size=3), min_size=1, max_size=5))
def test_what_a_spreadsheet_writes_is_read_back(concepts_of):
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["picture", "concepts"])
    writer.writerows([picture, ";".join(concepts)] for picture, concepts in concepts_of.items())
    if not any(concepts_of.values()):
        return
    truth = parse_csv(lines(text.getvalue()))
    assert {r.picture: list(r.concepts) for r in truth.records} == concepts_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("picture,label\na,b\n", "accepted, each once: picture, video"),
        ("picture\na\n", "needed: concepts"),
        ("", "none"),
        ("picture,concepts\n", "no rows"),
        ("picture,concepts\na,\n", "names no concept"),
        ("picture,concepts\na,cat\nb\n", "row 3: expected 2 fields"),
        ("picture,concepts\na,cat,dog\n", "row 2: expected 2 fields"),
        ("picture,concepts\n,cat\n", "row 2: names neither a picture nor a video"),
        ("picture,video,concepts\na,v,cat\n", "row 2: names both"),
        ("picture,concepts\na,cat\nb,dog\na,sky\n", "row 4: picture 'a' stands in row 2 already"),
        ("picture,concepts\na,cat;cat\n", "row 2: names a concept twice"),
        ("picture,concepts\na,cat;\n", "row 2: concept ''"),
        ("picture,concepts\na," + "x" * 101 + "\n", "row 2: concept"),
        ("picture,concepts,role\na,cat,asked\n", "row 2: role is 'asked'; accepted: gallery, query, both"),
        ("picture,concepts,start_s\na,cat,1\n", "row 2: gives a time range to a picture"),
        ("video,start_s,end_s,concepts\nv,3,2,cat\n", "row 2: end_s 2.0 is not after start_s 3.0"),
        ("video,start_s,end_s,concepts\nv,3,nan,cat\n", "row 2: end_s nan"),
        ("video,start_s,end_s,concepts\nv,-1,2,cat\n", "row 2: start_s is -1.0"),
        ("video,start_s,end_s,concepts\nv,0:03,2,cat\n", "row 2: start_s is '0:03'; expected a number"),
        ('picture,concepts\n"a,cat\n', "row 2"),
    ],
)
def test_wrong_csv_is_refused_with_the_row(text, words):
    with pytest.raises(BadInputError, match=words):
        parse_csv(lines(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"picture": "a", "concepts": ["cat"]}\n[1]\n', "row 2: is a list"),
        ('{"picture": "a", "concepts": ["cat"]}\n{"picture"\n', "row 2: is not JSON"),
        ("[" * 100_000, "row 1: is not JSON"),
        ('{"picture": "a", "concepts": 3}', "row 1: concepts are 3"),
        ('{"picture": 7, "concepts": ["cat"]}', "row 1: picture is 7"),
        ('{"video": "v", "start_s": true, "concepts": ["cat"]}', "row 1: start_s is True"),
        ('{"video": "v", "end_s": 1' + "0" * 400 + ', "concepts": ["cat"]}', "row 1: end_s"),
        ('{"picture": "a", "concept": ["cat"]}', "row 1: has the fields concept"),
    ],
)
def test_wrong_json_lines_are_refused_with_the_row(text, words):
    with pytest.raises(BadInputError, match=words):
        parse_json_lines(lines(text))


def test_many_problems_are_reported_together_with_their_rows():
    text = "video,start_s,end_s,concepts\n" + "v,2,1,cat\n" * 14
    with pytest.raises(BadInputError) as error:
        parse_csv(lines(text))
    assert "row 2:" in str(error.value)
    assert "row 11:" in str(error.value)
    assert "and 4 more" in str(error.value)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(BadInputError, match=r"accepted: \.csv, \.jsonl, \.ndjson"):
        read_truth(tmp_path / "truth.xlsx")
    with pytest.raises(NotFoundError):
        read_truth(tmp_path / "truth.csv")
    (tmp_path / "latin.csv").write_bytes("picture,concepts\ncaf\xe9,cat\n".encode("latin-1"))
    with pytest.raises(BadInputError, match="not UTF-8"):
        read_truth(tmp_path / "latin.csv")


def test_frames_take_the_concepts_of_every_stretch_that_covers_them_ends_excluded():
    truth = parse_csv(lines("video,start_s,end_s,concepts\nv,0,2,cat\nv,1,3.0005,sky\nw,5,,dog\nv,4,5,\n"))
    times = np.array([0, 999, 1000, 1999, 2000, 2999, 3000, 3500, 4500, 5000, 4999])
    videos = ["v"] * 9 + ["w", "w"]
    labels, is_covered = truth.label_frames(videos, times)
    said = [{labels.concepts[c] for c in np.flatnonzero(row)} for row in labels.matrix]
    assert said == [
        *({"cat"}, {"cat"}, {"cat", "sky"}, {"cat", "sky"}, {"sky"}, {"sky"}),
        *(set(), set(), set(), {"dog"}, set()),
    ]
    assert is_covered.tolist() == [1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0]


def test_frames_of_an_unknown_video_have_no_concepts():
    labels, is_covered = parse_csv(lines("video,concepts\nv,cat\n")).label_frames(["other", "v"], np.array([0, 9]))
    assert labels.matrix.tolist() == [[0], [1]]
    assert is_covered.tolist() == [0, 1]


SHOTS = (
    "video,first_frame,frames,clip,tags\nf.mp4,0,63,street,car road\nf.mp4,63,44,fruit,fruit\ng.mp4,0,9,fruit,fruit\n"
)


@pytest.mark.parametrize("rate", [24.0, 30000 / 1001, 7.0])
@pytest.mark.parametrize("to_ms", [np.floor, np.round, np.ceil])
def test_shots_hold_exactly_their_frames_however_times_are_rounded(rate, to_ms):
    truth = parse_shots(lines(SHOTS), rate)
    frames = np.arange(110)
    times = to_ms(frames / rate * 1000).astype(np.int64)
    labels, is_covered = truth.label_frames(["f.mp4"] * 110, times)
    assert np.array_equal(labels.matrix[:, labels.concepts.index("road")], frames < 63)
    assert np.array_equal(labels.matrix[:, labels.concepts.index("fruit")], (frames >= 63) & (frames < 107))
    assert np.array_equal(is_covered, frames < 107)
    assert [r.clip for r in truth.records] == ["street", "fruit", "fruit"]


@pytest.mark.parametrize(
    ("row", "rate", "words"),
    [
        ("f,0,0,c,t", 24, "row 2: first_frame is 0 and frames 0"),
        ("f,x,5,c,t", 24, "row 2: first_frame and frames must be whole numbers"),
        (",0,5,c,t", 24, "row 2: video is empty"),
        ("f,0,5,c,t", {"g": 24.0}, "row 2: video 'f' has the frame rate nan"),
        ("f,0,5,c,t", 0, "row 2: video 'f' has the frame rate 0"),
    ],
)
def test_wrong_shots_are_refused_with_the_row(row, rate, words):
    with pytest.raises(BadInputError, match=words):
        parse_shots(["video,first_frame,frames,clip,tags\n", row], rate)


@pytest.mark.shared
def test_the_compiled_films_shots_are_read(shared):
    truth = read_shots(shared / "videos" / "compiled" / "shots.csv", 24.0)
    assert len(truth.videos) == 5
    assert {"car", "fruit", "person"} <= set(truth.concepts)
    by_video = [[r for r in truth.records if r.video == video] for video in truth.videos]
    for shots in by_video:
        # Each film is cut without gaps: the end of a shot is the start of the next.
        assert [s.start_s for s in shots[1:]] == pytest.approx([s.end_s for s in shots[:-1]])


def _labels(num_items: int = 300) -> tuple[Labels, list[str]]:
    rng = np.random.default_rng(0)
    matrix = rng.random((num_items, 4)) < (0.5, 0.3, 0.05, 0)
    matrix[7, 3] = True
    return Labels(("a", "b", "rare", "single"), matrix), [f"picture {i:03}" for i in range(num_items)]


def test_every_concept_gets_the_same_number_of_queries_that_contain_it():
    labels, keys = _labels()
    choice = choose_queries(labels, keys, per_concept=20)
    num_rare = int(labels.matrix[:, 2].sum())
    assert np.bincount(choice.pairs[:, 1], minlength=4).tolist() == [20, 20, min(20, num_rare), 0]
    assert labels.matrix[choice.rows[choice.pairs[:, 0]], choice.pairs[:, 1]].all()
    assert len(set(map(tuple, choice.pairs.tolist()))) == len(choice.pairs)
    assert choice.warnings[-1] == "single: items in the gallery: 1; no query of it could find another"
    assert (num_rare >= 20) == (len(choice.warnings) == 1)


def test_all_takes_every_item_of_every_concept():
    labels, keys = _labels()
    choice = choose_queries(labels, keys, per_concept=None)
    assert len(choice.pairs) == labels.matrix[:, :3].sum()
    assert choice.rows.tolist() == np.flatnonzero(labels.matrix[:, :3].any(axis=1)).tolist()


def test_the_choice_depends_on_keys_and_seed_but_not_on_the_order_of_the_gallery():
    labels, keys = _labels()
    order = np.random.default_rng(1).permutation(len(keys))
    first = choose_queries(labels, keys, per_concept=10)
    second = choose_queries(labels.take(order), [keys[i] for i in order], per_concept=10)
    assert [keys[i] for i in first.rows] == [keys[order[i]] for i in second.rows]
    assert np.array_equal(first.pairs, second.pairs)
    assert not np.array_equal(first.rows, choose_queries(labels, keys, per_concept=10, seed=1).rows)


def test_what_is_drawn_for_a_concept_does_not_depend_on_the_others():
    labels, keys = _labels()
    alone = choose_queries(Labels(("b",), labels.matrix[:, 1:2]), keys, per_concept=10)
    among = choose_queries(labels, keys, per_concept=10)
    asked = among.pairs[:, 1] == 1
    assert alone.rows.tolist() == among.rows[among.pairs[asked, 0]].tolist()


def test_wrong_choices_are_refused():
    labels, keys = _labels(10)
    with pytest.raises(BadInputError, match="at least 1"):
        choose_queries(labels, keys, per_concept=0)
    with pytest.raises(BadInputError, match="distinct"):
        choose_queries(labels, ["same"] * 10)
    with pytest.raises(BadInputError, match="nothing to evaluate"):
        choose_queries(Labels.from_sets([{"a"}, {"b"}]), ["x", "y"])


def test_a_truth_without_records_is_refused():
    with pytest.raises(BadInputError, match="no rows"):
        Truth([])
