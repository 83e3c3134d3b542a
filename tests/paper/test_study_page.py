"The page without a browser: what it shows, what it refuses, and that it knows no names; the offline twin; the class's screen."
import json
import subprocess
import sys

import nbformat
import pytest

from anyms.paper.study.ballot import ballot_for
from anyms.paper.study.classroom import Classroom, hidden_titles
from anyms.paper.study.making import make_study
from anyms.paper.study.page import StudyPage, study_notebook
from anyms.paper.study.results import read_votes
from anyms.paper.study.simulation import choose_uniformly, simulated_voters, store_voters
from anyms.paper.study.still import read_download, still_study
from anyms.paper.study.votes import append_line, read_voters
from studies import METHODS, PICKS, cases, flat_pictures, flat_study, names_of


@pytest.fixture
def study(tmp_path): return flat_study(tmp_path/"study", 3)

def answer(page, **changes): page.receive(dict(answer=dict(dict(number=page.view["number"] - 1, picks=PICKS, seconds=2), **changes)))


# the page

def test_a_vote_from_consent_to_thanks(study):
    page = StudyPage(study.folder)
    assert page.stage == "consent" and not list((study.folder/"votes").iterdir()), "before the consent nothing is kept"
    page.receive(dict(begin=True))
    for i in range(5):
        assert (page.stage, page.view["number"], page.view["done"]) == ("vote", i + 1, i)
        answer(page)
    assert page.stage == "thanks" and page.view == {}
    rows = read_votes(study.folder)
    assert rows.voter.nunique() == 1 and len(rows) == 5*4*5 and set(rows.kind) == {"case", "repeat", "obvious"}

def test_pictures_come_in_the_voters_order(study):
    page = StudyPage(study.folder)
    page.begin()
    for i, screen in enumerate(ballot_for(study, page.code)):
        page.show(i)
        assert page.view["tiles"] == [study.picture(t).read_bytes() for t in screen.tiles]

def test_a_third_pick_is_refused_in_words(study):
    page = StudyPage(study.folder)
    page.begin()
    answer(page, picks=PICKS | dict(layout=[0, 1, 2]))
    assert page.view["number"] == 1 and "two is the most" in page.error and page.turn == 2
    answer(page, picks=dict(concept=[0]))
    assert page.view["number"] == 1 and page.error.startswith("still open: text, layout, quality")
    answer(page)
    assert page.view["number"] == 2 and page.error == ""

def test_back_shows_what_was_picked(study):
    page = StudyPage(study.folder)
    page.begin()
    answer(page)
    page.receive(dict(back=1))
    assert page.view["number"] == 1 and page.view["picks"] == PICKS
    page.receive(dict(back=0))
    assert page.view["number"] == 1
    answer(page, picks=PICKS | dict(text=[4]))
    assert page.voter.answers[page.voter.screens[0].name]["text"] == [4]

def test_back_from_the_thanks(study):
    page = StudyPage(study.folder)
    page.begin()
    for _ in range(5): answer(page)
    page.receive(dict(back=5))
    assert page.stage == "vote" and page.view["number"] == 5

def test_resume_by_code(study):
    one = StudyPage(study.folder)
    one.begin()
    answer(one)
    two = StudyPage(study.folder)
    two.receive(dict(resume="ZZZZZZ"))
    assert two.stage == "consent" and "nobody has voted as ZZZZZZ" in two.error
    two.receive(dict(resume=one.code.lower()))
    assert two.stage == "vote" and two.view["number"] == 2 and two.error == ""

def test_two_voters_at_once(study):
    pages = [StudyPage(study.folder) for _ in range(2)]
    for page in pages: page.begin()
    for _ in range(5):
        for i, page in enumerate(pages): answer(page, picks=PICKS | dict(text=[i]))
    assert len({page.code for page in pages}) == 2
    assert {v.code: {a["text"][0] for a in v.answers.values()} for v in read_voters(study)} == {page.code: {i} for i, page in enumerate(pages)}

def test_the_next_person(study):
    page = StudyPage(study.folder)
    page.begin()
    page.receive(dict(leave=True))
    assert (page.stage, page.code, page.view) == ("consent", "", {})
    page.receive(dict(back=1))
    assert "nobody is voting" in page.error

@pytest.mark.parametrize("message", [{}, None, 3, dict(begin=1, back=2), dict(drop=True), dict(answer=3), dict(answer={}), dict(back="x"),
                                     dict(answer=dict(number=-1, picks=PICKS, seconds=1)), dict(answer=dict(number=77, picks=PICKS, seconds=1)),
                                     dict(answer=dict(number=0, picks=[], seconds=1)), dict(answer=dict(number=0, picks=PICKS, seconds="x")),
                                     dict(back=-3), dict(back=1.5), dict(answer=dict(number=[0], picks=PICKS, seconds=1))])
def test_a_page_may_say_anything(study, message):
    page = StudyPage(study.folder)
    page.begin()
    before = page.voter.file.read_bytes()
    page.receive(message)
    assert page.error and page.stage == "vote" and page.voter.file.read_bytes() == before

def test_a_full_disk_is_said_on_the_page(study, monkeypatch):
    from anyms.paper.study import votes as store
    page = StudyPage(study.folder)
    page.begin()
    def full(number): raise OSError(28, "No space left on device")
    monkeypatch.setattr(store.os, "fsync", full)
    answer(page)
    assert "No space left" in page.error and page.view["number"] == 1

def test_no_name_in_any_state(study):
    page = StudyPage(study.folder)
    forbidden = [*names_of(study), *study.by_token, "right", "wrong"]
    def look():
        state = {k: v for k, v in page.get_state().items() if not k.startswith("_")}
        assert not [name for name in forbidden if name in str(state) + repr(page) + str(page._repr_mimebundle_())]
    look()
    page.begin()
    for _ in range(5):
        look()
        answer(page)
    look()

def test_what_the_scripts_say_is_about_nobody(study):
    assert not [name for name in names_of(study) if name in StudyPage._esm + StudyPage._css]

def test_a_voters_kernel_is_light():
    "Thirty kernels on one laptop: no torch, no pandas, no matplotlib."
    heavy = "torch numpy pandas matplotlib diffusers transformers PIL".split()
    code = f"import sys, anyms.paper.study.page; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"

def test_the_notebook(study):
    file = study_notebook(study.folder)
    nb = nbformat.read(file, 4)
    nbformat.validate(nb)
    assert file.parent == study.folder and not [n for n in names_of(study) if n in file.read_text()]
    file.write_text("mine")
    assert study_notebook(study.folder).read_text() == "mine", "one that is there stays"
    nbformat.validate(nbformat.read(study_notebook(study.folder, "results"), 4))
    with pytest.raises(ValueError, match="kind='vots'.*did you mean 'vote'"): study_notebook(study.folder, "vots")


# the offline twin

def download(place, code="BCDFGH", answers=None, **changes):
    screens = ballot_for(place, code)
    dealt = [dict(name=s.name, case=s.case, kind=s.kind, tiles=list(s.tiles)) for s in screens]
    answers = [dict(screen=s.name, picks=PICKS, seconds=2.5) for s in screens] if answers is None else answers
    file = place.folder.parent/"votes.json"
    file.write_text(json.dumps(dict(dict(anyms_votes=1, study=place.id, voter=code, screens=dealt, answers=answers), **changes)))
    return file

def test_the_still_page_asks_nobody_and_names_nobody(study, tmp_path):
    text = still_study(study.folder, tmp_path/"vote.html").read_text()
    assert not [name for name in names_of(study) if name in text]
    assert "http://" not in text and "https://" not in text and text.count("<script>") == 1
    assert text == still_study(study.folder, tmp_path/"again.html").read_text()

def test_large_pictures_travel_light(tmp_path):
    "What SDXL draws: lossless on disk and in the live page, WebP in the one file."
    pictures = {key: image.resize((512, 384)) for key, image in flat_pictures(2).items()}
    study = make_study(tmp_path/"s", cases(2), pictures, fixed_seed=0)
    assert still_study(study.folder, tmp_path/"vote.html").read_text().count("data:image/webp") == 10
    page = StudyPage(study.folder)
    page.begin()
    assert all(tile.startswith(b"\x89PNG") for tile in page.view["tiles"])

def test_words_that_look_like_code(tmp_path):
    bad = "</script><script>alert(1)</script>"
    study = flat_study(tmp_path/"s", 2, title=bad, consent=bad)
    text = still_study(study.folder, tmp_path/"vote.html").read_text()
    assert "<script>alert" not in text
    assert "<script>" not in str(StudyPage(study.folder)._repr_mimebundle_()[0]["text/html"])

def test_a_download_is_taken_in_once(study):
    voter = read_download(study.folder, download(study))
    assert voter.position == 5 and len(read_votes(study.folder)) == 100
    once = voter.file.read_bytes()
    read_download(study.folder, download(study))
    assert voter.file.read_bytes() == once

def test_a_later_download_adds_what_is_new(study):
    first = ballot_for(study, "BCDFGH")[0].name
    twice = [dict(screen=first, picks=PICKS, seconds=1), dict(screen=first, picks=PICKS | dict(text=[3]), seconds=2)]
    voter = read_download(study.folder, download(study, answers=twice))
    assert voter.answers == {first: PICKS | dict(text=[3])} and voter.seconds[first] == 3
    rest = [dict(screen=s.name, picks=PICKS, seconds=1) for s in ballot_for(study, "BCDFGH")[1:]]
    assert read_download(study.folder, download(study, answers=twice + rest)).position == 5
    with pytest.raises(ValueError, match="another answer of BCDFGH"): read_download(study.folder, download(study))

def spoiled(**changes):
    answer = dict(dict(screen="h0", picks=PICKS, seconds=1), **changes)
    return dict(answers=[answer])

@pytest.mark.parametrize("changes, words", [
    (dict(study="0"), "another study"), (dict(anyms_votes=2), "no file of votes"), (dict(voter="../../x"), "six letters"), (dict(voter=None), "six letters"),
    (dict(screens=[]), "it was changed"), (dict(answers={}), "no list of answers"), (dict(answers=[3]), "an answer is int"), (dict(more=1), "unknown keys more"),
    (spoiled(screen="h9"), "no case of this ballot"), (spoiled(screen=["h0"]), "no case of this ballot"), (spoiled(picks=PICKS | dict(text=[0, 1, 2])), "two is the most"),
    (spoiled(picks=PICKS | dict(text=[7])), "no pictures"), (spoiled(seconds=-1), "no time"), (spoiled(seconds=1e300), "no time"), (spoiled(method="qalpha"), "unknown keys method"),
])
def test_a_download_is_not_trusted(study, changes, words):
    with pytest.raises(ValueError, match=words): read_download(study.folder, download(study, **changes))
    assert not list((study.folder/"votes").iterdir())

def test_a_changed_order_is_seen(study):
    other = [dict(name=s.name, case=s.case, kind=s.kind, tiles=list(s.tiles)) for s in ballot_for(study, "BCDFGJ")]
    with pytest.raises(ValueError, match="not that of the code BCDFGH"): read_download(study.folder, download(study, screens=other))

@pytest.mark.parametrize("content, words", [(b"{", "not whole JSON"), (b"[1]", "must be an object"), (b"\xff", "not whole JSON"), (b"["*100_000, "not whole JSON"),
                                            (b" "*1_100_000, "1 MB")])
def test_a_file_that_is_no_download(study, tmp_path, content, words):
    file = tmp_path/"x.json"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=words): read_download(study.folder, file)
    with pytest.raises(FileNotFoundError, match="is not there"): read_download(study.folder, tmp_path/"y.json")


# in front of the class

def test_the_table_fills_and_keeps_its_secret(study):
    classroom = Classroom(study.folder)
    assert classroom.words == "nobody has voted yet" and classroom.picture == b"" and classroom.figure() is None
    crowd = simulated_voters(study, choose_uniformly, 4, "uniform")
    store_voters(crowd[:2])
    classroom.poll()
    before = classroom.picture
    assert classroom.words.startswith("2 have begun, 2 are done") and before.startswith(b"\x89PNG")
    def texts(): return " ".join(t.get_text() for ax in classroom.figure().axes for t in (*ax.get_xticklabels(), ax.title))
    assert "method 1" in texts() and not [name for name in METHODS.values() if name in texts()]
    store_voters(crowd[2:])
    classroom.poll()
    assert classroom.words.startswith("4 have begun") and classroom.picture != before
    classroom.names = True
    assert all(name in texts() for name in METHODS.values()) and "SIMULATED" in classroom.figure().get_suptitle()

def test_hidden_titles_say_nothing(study):
    hidden = hidden_titles(study)
    assert sorted(hidden) == sorted(METHODS) and list(hidden) != list(METHODS) and list(hidden.values()) == [f"method {i + 1}" for i in range(5)]

def test_an_unchanged_folder_costs_nothing(study, monkeypatch):
    classroom = Classroom(study.folder)
    monkeypatch.setattr("anyms.paper.study.classroom.read_votes", lambda *a: pytest.fail("nothing has changed"))
    classroom.poll()

def test_what_is_broken_is_said_in_front(study):
    store_voters(simulated_voters(study, choose_uniformly, 1, "uniform"))
    append_line(next((study.folder/"votes").iterdir()), dict(screen="nowhere"))
    assert "there is no such case" in Classroom(study.folder).notes
