"""Names that others chose do nothing to a terminal, a log or a spreadsheet."""

from __future__ import annotations

import csv
import io
import logging

import pytest

from hashreel.cli.logs import _Formatter, _JsonFormatter
from hashreel.cli.options import print_table
from hashreel.cli.texts import print_csv, visible
from hashreel.spreadsheets import harmless_cell

EVIL = "clip\x1b]0;owned\x07\r\nfake line\t\x9b2J\u202egpj.mp4"


def test_control_characters_are_written_out_and_letters_of_all_scripts_are_not() -> None:
    assert visible(EVIL) == r"clip\x1b]0;owned\x07\r\nfake line\t\x9b2J\u202egpj.mp4"
    assert visible("видео 映画 é\u0301 👩\u200d👧.mp4") == "видео 映画 é\u0301 👩\u200d👧.mp4"
    assert visible("a\nb\x1b", keep="\n") == "a\nb\\x1b"


def test_a_table_has_one_line_a_row_whatever_stands_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("id", "source"), [(1, EVIL), (2, "b.mp4")])
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == 3
    assert "\x1b" not in printed


def test_a_log_has_one_line_a_record() -> None:
    record = logging.makeLogRecord({"msg": "cannot read %s", "args": (EVIL,), "source": EVIL})
    for formatter in (_Formatter(), _JsonFormatter()):
        line = formatter.format(record)
        assert len(line.splitlines()) == 1
        assert "\x1b" not in line
    error = (ValueError, ValueError(EVIL), None)
    assert "\x1b" not in _Formatter().format(logging.makeLogRecord({"msg": "failed", "exc_info": error}))


def test_cells_are_no_formulas_and_are_read_back_as_they_were_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    formulas = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]
    others = ["archive/=1.mp4", 'a "quoted",\nname', ""]
    print_csv(("name",), [(text,) for text in [*formulas, *others, -5, None]])
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out, newline="")))
    assert [row[0] for row in rows[1:]] == [*(f"'{text}" for text in formulas), *others, "-5", ""]
    assert harmless_cell(-1.5) == -1.5
