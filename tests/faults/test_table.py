"""The ledger finds what was lost and what was doubled; results travel between processes; lines are judged."""

from __future__ import annotations

from tests.faults import table
from tests.faults.engine_runs import outcome
from tests.faults.ledger import Ledger, Mark
from tests.faults.table import Result


def a_ledger() -> Ledger:
    ledger = Ledger()
    ledger.note(("note", "mark-1"), acknowledged=True)
    ledger.note(("note", "mark-2"), acknowledged=False)
    return ledger


def problems(stored: dict[Mark, int]) -> list[str]:
    ledger = a_ledger()
    return ledger.problems(stored, ledger.promised())


def test_what_was_acknowledged_must_be_stored_once_and_what_was_doubtful_at_most_once():
    assert problems({("note", "mark-1"): 1}) == []
    assert problems({("note", "mark-1"): 1, ("note", "mark-2"): 1}) == []


def test_lost_doubled_and_foreign_rows_are_found():
    assert problems({}) == ["1 lost: note mark-1"]
    stored = {("note", "mark-1"): 2, ("note", "mark-2"): 2, ("note", "mark-3"): 1}
    assert problems(stored) == ["2 doubled: note mark-1", "1 never written: note mark-3"]


def test_a_write_whose_answer_comes_while_it_is_compared_is_neither_lost_nor_foreign():
    ledger, on_its_way = a_ledger(), ("item", "mark-4")
    promised = ledger.promised()
    ledger.note(on_its_way, acknowledged=False)
    assert ledger.problems({("note", "mark-1"): 1, on_its_way: 1}, promised) == []
    ledger.note(on_its_way, acknowledged=True)
    assert ledger.problems({("note", "mark-1"): 1}, promised) == []


def test_results_are_written_and_read_line_by_line(tmp_path):
    results = [Result("kill web", "-", 3.5, 60.0, 7), Result("disk full", "20", None, 90.0, 0, ["1 lost"])]
    for one in results:
        table.write(tmp_path / "results", [one])
    assert table.read(tmp_path / "results") == results
    assert [one.passes for one in results] == [True, False]


def test_no_result_is_no_pass(capsys):
    assert not table.show([])
    assert table.show([Result("kill web", "-", 3.5, 60.0, 7)])
    assert "kill web" in capsys.readouterr().out


def test_the_line_of_the_engine_is_read_from_what_outages_prints():
    line = "engine  60  services unknown  INC-1  18.4  yes  ok"
    printed = f"gone    s   shown meanwhile\n{line}\n\nEvery line is ok.\n"
    assert outcome(printed, 0).took == 18.4
    assert outcome(printed, 0).passes
    assert not outcome("engine  60  -  -  -  no  MISS: nothing\n\nNot every line is ok.\n", 1).passes
    assert not outcome("", 1).passes
