"The store: append-only, a file per voter, and what is broken costs only itself."
import json
import multiprocessing
import os
import warnings

import pytest

from anyms.paper.study import votes as store
from anyms.paper.study.results import read_votes
from anyms.paper.study.votes import append_line, check_picks, check_seconds, create_voter, new_voter, open_voter, read_voter, read_voters, vote_rows
from studies import METHODS, PICKS, flat_study


@pytest.fixture
def study(tmp_path): return flat_study(tmp_path/"study", 3)

@pytest.fixture
def voter(study):
    voter = new_voter(study)
    for i in range(2): voter.answer(i, PICKS, 10 + i)
    return voter


def test_rows_are_tidy(study, voter):
    rows = read_votes(study.folder)
    assert list(rows) == ["voter", "case", "kind", "criterion", "method", "place", "picked", "seconds", "simulated"]
    assert len(rows) == 2*4*5 and rows.picked.sum() == 2*5 and not rows.simulated.any()
    first = rows[rows.case == voter.screens[0].case]
    assert list(first[(first.criterion == "text") & first.picked].place) == ["A", "B"] and set(first.seconds) == {10.}
    place = {study.by_token[t].method: "ABCDE"[i] for i, t in enumerate(voter.screens[0].tiles)}
    assert dict(zip(first.method, first.place)) == place

def test_no_votes_give_an_empty_table(study):
    assert read_votes(study.folder).empty and list(read_votes(study.folder))[0] == "voter"

def test_a_voter_goes_on_where_they_stopped(study, voter):
    again = open_voter(study, f" {voter.code.lower()[:3]}-{voter.code[3:]} ")
    assert again.position == 2 and again.answers == voter.answers and again.screens == voter.screens
    for i in range(2, 5): again.answer(i, PICKS, 1)
    assert open_voter(study, voter.code).position == 5
    with pytest.raises(ValueError, match="nobody has voted as ZZZZZZ"): open_voter(study, "ZZZZZZ")

def test_a_later_answer_counts_and_times_add_up(study, voter):
    voter.answer(0, PICKS | dict(text=[4]), 5)
    again = open_voter(study, voter.code)
    assert again.answers[voter.screens[0].name]["text"] == [4] and again.seconds[voter.screens[0].name] == 15.
    assert len(voter.file.read_text().splitlines()) == 4, "nothing is ever taken away"

def test_nothing_personal_is_kept(voter):
    assert set(json.loads(voter.file.read_text().splitlines()[0])) == {"anyms_votes", "study", "voter", "simulated", "screens"}
    assert all(set(json.loads(line)) == {"screen", "picks", "seconds"} for line in voter.file.read_text().splitlines()[1:])
    assert not any(name in voter.file.read_text() for name in METHODS), "not even the store's files name a method"

def test_a_broken_last_line_costs_itself_only(study, voter):
    whole = voter.file.read_bytes()
    last = whole.rstrip().rfind(b"\n") + 1
    for length in range(last + 1, len(whole) - 1, 7):
        voter.file.write_bytes(whole[:length])
        told = []
        assert len(read_voter(study, voter.file, told.append).answers) == 1 and "line 3 is not whole" in told[0]
    with pytest.warns(UserWarning, match="line 3 is not whole"): read_votes(study.folder)
    again = open_voter(study, voter.code)   # and the voter goes on: the half line stays, and hurts nobody
    again.answer(1, PICKS, 3)
    told = []
    assert len(read_voter(study, voter.file, told.append).answers) == 2 and len(told) == 1

def test_a_lost_newline_loses_nothing(study, voter):
    voter.file.write_bytes(voter.file.read_bytes()[:-1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read_voter(study, voter.file).answers) == 2
        open_voter(study, voter.code).answer(2, PICKS, 1)
        assert len(read_voter(study, voter.file).answers) == 3

@pytest.mark.parametrize("line, words", [
    (b"[1]", "is no answer"), (b"\xff\xfe", "not whole"), (b'{"screen":"nowhere"}', "there is no such case"),
    (b'{"screen":"h0","picks":{"concept":[9]},"seconds":1}', "still open"),
    (b'{"screen":"h0","picks":{"concept":[9],"text":[0],"layout":[0],"quality":[0]},"seconds":1}', "no pictures of this case"),
    (b'{"screen":"h0","picks":{"concept":[0,1,2],"text":[0],"layout":[0],"quality":[0]},"seconds":1}', "two is the most"),
    (b'{"screen":"h0","picks":{"concept":[0],"text":[0],"layout":[0],"quality":[0]},"seconds":-1}', "no time"),
    (b"[" * 200_000, "not whole"),
])
def test_a_line_that_is_no_answer_is_left_out_and_said(study, voter, line, words):
    with open(voter.file, "ab") as out: out.write(line + b"\n")
    told = []
    assert len(read_voter(study, voter.file, told.append).answers) == 2 and words in told[0]

def test_files_of_others_are_left_out_and_said(study, voter, tmp_path):
    folder = study.folder/"votes"
    (folder/"EMPTY.jsonl").write_text("")
    other = new_voter(flat_study(tmp_path/"other", 2))
    (folder/other.file.name).write_bytes(other.file.read_bytes())
    damaged = json.loads(voter.file.read_text().splitlines()[0])
    damaged["screens"][0]["tiles"][0] = "000000000000"
    (folder/"DAMAGED.jsonl").write_text(json.dumps(damaged) + "\n")
    told = []
    assert [v.code for v in read_voters(study, told.append)] == [voter.code] and len(told) == 3
    assert sorted(word for t in told for word in ("does not begin", "another study", "damaged first line") if word in t) == \
        ["another study", "damaged first line", "does not begin"]

def test_a_full_disk_says_so_and_loses_nothing(study, voter, monkeypatch):
    before = voter.file.read_bytes()
    def full(number): raise OSError(28, "No space left on device")
    monkeypatch.setattr(store.os, "fsync", full)
    with pytest.raises(OSError): voter.answer(2, PICKS, 1)
    assert voter.screens[2].name not in voter.answers, "what is not on the disk is not taken as answered"
    monkeypatch.undo()
    assert voter.file.read_bytes().startswith(before)
    voter.answer(2, PICKS, 1)
    assert open_voter(study, voter.code).position == 3

def test_two_voters_never_share_a_code(study, monkeypatch):
    codes = iter(["BCDFGH", "BCDFGH", "BCDFGJ"])
    monkeypatch.setattr(store, "new_code", lambda: next(codes))
    assert [new_voter(study).code for _ in range(2)] == ["BCDFGH", "BCDFGJ"]
    with pytest.raises(FileExistsError): create_voter(study, "BCDFGH")

def write_many(file, who):
    for i in range(60): append_line(file, dict(who=who, i=i, filler="x"*200))

def test_two_processes_add_to_one_file(tmp_path):
    file = tmp_path/"lines.jsonl"
    context = multiprocessing.get_context("fork" if os.name == "posix" else "spawn")
    both = [context.Process(target=write_many, args=(file, who)) for who in (0, 1)]
    for p in both: p.start()
    for p in both: p.join()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted((x["who"], x["i"]) for x in lines) == [(w, i) for w in (0, 1) for i in range(60)]

def test_picks():
    assert check_picks(PICKS | dict(text=[1, 0]), 5) == PICKS
    for wrong, words in [
        (None, "picks is NoneType"), ({}, "still open: concept, text, layout, quality"), (PICKS | dict(text=[]), "still open: text"),
        (PICKS | dict(text=[0, 1, 2]), "two is the most"), (PICKS | dict(text=[5]), "from 0 to 4"), (PICKS | dict(text=[True]), "from 0 to 4"),
        (PICKS | dict(text="01"), "from 0 to 4"), (PICKS | dict(text=[1, 1]), "names a picture twice"), (PICKS | dict(name=[0]), "unknown keys name"),
        (PICKS | dict(text=[-1]), "from 0 to 4"), (PICKS | dict(text=[.5]), "from 0 to 4")]:
        with pytest.raises(ValueError, match=words): check_picks(wrong, 5)

def test_seconds():
    assert check_seconds(3.14159) == 3.1
    for wrong in (None, "3", float("nan"), float("inf"), -1, 1e6, True):
        with pytest.raises(ValueError, match="is no time"): check_seconds(wrong)

def test_rows_leave_out_what_is_not_answered(study, voter): assert len(vote_rows([voter])) == 40 and vote_rows([]) == []
