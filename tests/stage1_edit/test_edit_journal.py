"""What a run remembers of its edits."""

from pathlib import Path

from stage1_edit.edit_journal import JOURNAL_NAME, EditJournal, EditRecord, edit_seed


def test_records_survive_a_reopen_and_add_up(tmp_path: Path) -> None:
    journal = EditJournal(tmp_path)
    first, second = EditRecord((4, 9), 1.0, 0, (11, 12), 120), EditRecord((9,), 0.3, 2, (13,), 18)
    journal.add(first)
    journal.add(second)
    again = EditJournal(tmp_path)
    assert again.records == [first, second]
    assert again.edits == 3 and again.network_evaluations == 138
    assert again.last_numbers() == {4: 0, 9: 2}


def test_a_line_that_was_cut_off_costs_itself_alone(tmp_path: Path) -> None:
    EditJournal(tmp_path).add(EditRecord((1,), 1.0, 0, (5,)))
    with (tmp_path / JOURNAL_NAME).open("a") as file:
        file.write('{"frames": [2], "noise_le')
    journal = EditJournal(tmp_path)
    journal.add(EditRecord((3,), 1.0, 0, (6,)))
    assert [record.frames for record in EditJournal(tmp_path).records] == [(1,), (3,)]


def test_seeds_depend_on_the_phase_the_order_and_the_frame_alone() -> None:
    seeds = {edit_seed(*key) for key in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 2, 1), (0, 1, 2))}
    assert len(seeds) == 6 and all(0 <= seed < 2**63 for seed in seeds)
    assert edit_seed(3, 4, 5) == edit_seed(3, 4, 5)
