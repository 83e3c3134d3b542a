"The vote in a real Chromium: by keyboard alone in voila, in JupyterLab and in the offline twin; and no name anywhere a voter can look."
# ruff: noqa: F811  (fixtures are imported by their names)
import json
import os

import numpy as np
import pytest

from anyms.paper.study.ballot import ALPHABET, ballot_for, mix_hash
from anyms.paper.study.page import STATIC, study_notebook
from anyms.paper.study.simulation import choose_uniformly, simulated_voters, store_voters
from anyms.paper.study.still import read_download, still_facts, still_study
from anyms.paper.study.votes import read_voters
from chrome import chrome, open_page, run_all, serve  # noqa: F401 (chrome is a fixture)
from studies import flat_study, names_of

pytestmark = pytest.mark.slow
ROOT = ".anyms-study"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    study = flat_study(tmp_path_factory.mktemp("study")/"study", 3)
    study_notebook(study.folder)
    return study

@pytest.fixture(scope="module")
def voila(study):
    with serve(study.folder, "voila", "vote.ipynb") as url: yield url

def listening(chrome):
    "A page, and all that travels to it: addresses, and what the kernel sends."
    page = open_page(chrome)
    page.heard = []
    page.on("request", lambda r: page.heard.append(r.url))
    page.on("websocket", lambda s: s.on("framereceived", lambda f: page.heard.append(f if isinstance(f, str) else f.decode("latin-1"))))
    return page

def blind(page, study):
    "No name in the page, in its addresses, or in what the kernel has sent."
    everything = page.content() + "\n".join(page.heard)
    return not [name for name in [*names_of(study), *study.by_token] if name in everything]

def tab_to(page, name):
    "Press Tab until the control has the focus."
    for _ in range(40):
        if page.evaluate("document.activeElement?.dataset?.name") == name: return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {name!r}")

def wait_screen(page, number): page.wait_for_selector(f"{ROOT}[data-stage=vote][data-screen='{number}']")

def said(page): return page.locator(f"{ROOT} .say").inner_text()

def begin(page):
    page.wait_for_selector(f"{ROOT}[data-stage=consent]", timeout=120_000)
    tab_to(page, "agree")
    page.keyboard.press("Space")
    tab_to(page, "begin")
    page.keyboard.press("Enter")
    wait_screen(page, 1)
    return page.locator("[data-name=own-code]").inner_text()

def vote(page, digits="1324"):
    "Answer a case: a number key for each question, Enter after it."
    for digit in digits:
        page.keyboard.press(digit)
        page.keyboard.press("Enter")

def shot(page, name):
    if os.environ.get("ANYMS_SHOTS"): page.screenshot(path=f"{os.environ['ANYMS_SHOTS']}/{name}.png", full_page=True)

def answers(study, code): return next(v for v in read_voters(study) if v.code == code).answers


def test_a_vote_by_keyboard_in_voila(chrome, voila, study):
    page = listening(chrome)
    page.goto(voila, timeout=120_000)
    code = begin(page)
    shot(page, "study-voila")
    for number in range(1, 6):
        wait_screen(page, number)
        assert blind(page, study)
        vote(page)
    page.wait_for_selector(f"{ROOT}[data-stage=thanks]")
    assert blind(page, study) and any("comm_msg" in part for part in page.heard), "the kernel was listened to"
    shot(page, "study-thanks")
    assert list(answers(study, code).values()) == [dict(concept=[0], text=[2], layout=[1], quality=[3])]*5
    assert not [a for a in page.outside if "fontawesome" not in a] and not [e for e in page.errors if "ERR_FAILED" not in e], (page.outside, page.errors)
    page.context.close()

def test_two_picks_yes_three_no_and_nothing_incomplete(chrome, voila, study):
    page = listening(chrome)
    page.goto(voila, timeout=120_000)
    code = begin(page)
    page.keyboard.press("1")
    page.keyboard.press("5")
    page.keyboard.press("3")
    assert "Two is the most" in said(page) and "A and E" in said(page)
    checked = page.locator("input[data-name=concept]:checked")
    assert [c.get_attribute("data-place") for c in checked.all()] == ["0", "4"]
    tab_to(page, "next")
    page.keyboard.press("Enter")
    assert "Still open: text, layout, quality" in said(page) and page.locator(ROOT).get_attribute("data-screen") == "1"
    page.locator("input[data-name=concept]").first.focus()
    page.keyboard.press("1")    # taken back
    page.keyboard.press("3")    # and another one instead
    page.keyboard.press("Enter")
    vote(page, "234")
    wait_screen(page, 2)
    assert next(iter(answers(study, code).values())) == dict(concept=[2, 4], text=[1], layout=[2], quality=[3])
    tab_to(page, "back")
    page.keyboard.press("Enter")
    wait_screen(page, 1)
    assert [c.get_attribute("data-place") for c in page.locator("input[data-name=concept]:checked").all()] == ["2", "4"], "Back shows what was picked"
    page.context.close()

def test_a_fast_typist_answers_each_case_once(chrome, voila, study):
    "Keys pressed while the kernel turns the page belong to no case."
    page = listening(chrome)
    page.goto(voila, timeout=120_000)
    code = begin(page)
    vote(page, "1234")
    page.keyboard.press("Enter")
    page.keyboard.press("5")
    page.keyboard.press("Enter")
    wait_screen(page, 2)
    file = study.folder/"votes"/f"{code}.jsonl"
    assert len(file.read_text().splitlines()) == 2, "the header, and one answer"
    assert next(iter(answers(study, code).values())) == dict(concept=[0], text=[1], layout=[2], quality=[3])
    page.context.close()

def test_without_consent_nothing_begins(chrome, voila, study):
    page = listening(chrome)
    page.goto(voila, timeout=120_000)
    page.wait_for_selector(f"{ROOT}[data-stage=consent]", timeout=120_000)
    before = len(read_voters(study))
    page.locator("[data-name=begin]").click()
    assert "Tick the box" in said(page) and len(read_voters(study)) == before
    page.context.close()

def test_two_at_once_and_resume_by_code(chrome, voila, study):
    one, two = listening(chrome), listening(chrome)
    for page in (one, two): page.goto(voila, timeout=120_000)
    codes = [begin(page) for page in (one, two)]
    for digits, page in (("1111", one), ("2222", two), ("1111", one), ("2222", two)):
        vote(page, digits)
        page.wait_for_timeout(300)
    for page in (one, two): wait_screen(page, 3)
    assert codes[0] != codes[1]
    for k, code in enumerate(codes): assert [a["text"] for a in answers(study, code).values()] == [[k], [k]]
    one.reload(timeout=120_000)
    one.wait_for_selector(f"{ROOT}[data-stage=consent]", timeout=120_000)
    tab_to(one, "agree")
    one.keyboard.press("Space")
    tab_to(one, "code")
    one.keyboard.type("zzzzzz")
    one.keyboard.press("Enter")
    one.wait_for_function("document.querySelector('.anyms-study .say').textContent.includes('nobody has voted as ZZZZZZ')")
    one.locator("[data-name=code]").fill(codes[0].lower())
    one.keyboard.press("Enter")
    wait_screen(one, 3)
    assert one.locator("[data-name=own-code]").inner_text() == codes[0] and blind(one, study)
    for page in (one, two): page.context.close()

def test_screen_readers_and_enlarging(chrome, voila):
    page = listening(chrome)
    page.goto(voila, timeout=120_000)
    begin(page)
    assert page.evaluate("""() => [...document.querySelectorAll('.anyms-study input')].every(e => e.getAttribute('aria-label'))
        && [...document.querySelectorAll('.anyms-study img')].every(e => e.alt && e.src.startsWith('blob:') && e.complete && e.naturalWidth)""")
    assert page.locator("input[data-name=text]").nth(1).get_attribute("aria-label") == "picture B: Which follows the sentence best?"
    tab_to(page, "enlarge")
    page.keyboard.press("Enter")
    assert page.locator("dialog[open] img").bounding_box()["width"] > 400
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    page.context.close()

def test_keys_are_the_pages_own_in_jupyterlab(chrome, study):
    "1 would make a heading of the cell, Enter would edit it."
    with serve(study.folder, "lab") as url:
        page = open_page(chrome)
        run_all(page, url, "vote.ipynb")
        code = begin(page)
        vote(page)
        wait_screen(page, 2)
        cells = page.evaluate("window.jupyterapp.shell.currentWidget.content.widgets.map(c => c.model.type)")
        shot(page, "study-lab")
        page.context.close()
    assert cells == ["code"] and len(answers(study, code)) == 1


# the offline twin

def test_the_browser_deals_what_python_deals(chrome, tmp_path):
    study = flat_study(tmp_path/"study", 5, seeds=(0, 3, 11), fixed_seed=None, seed=4)
    random = np.random.default_rng(1)
    codes = ["".join(random.choice(list(ALPHABET), 6)) for _ in range(100)]
    page = open_page(chrome)
    page.add_script_tag(content=(STATIC/"study.js").read_text("utf8"))
    dealt = page.evaluate("([facts, codes]) => codes.map(code => anymsBallot(facts, code))", [still_facts(study), codes])
    assert dealt == [[dict(name=s.name, case=s.case, kind=s.kind, tiles=list(s.tiles)) for s in ballot_for(study, code)] for code in codes]
    assert page.evaluate("anymsHash('\u00e9', 3)") == mix_hash("\u00e9", 3)
    page.context.close()

def test_the_still_twin_by_keyboard(chrome, tmp_path):
    study = flat_study(tmp_path/"study", 3)
    address = still_study(study.folder, tmp_path/"vote.html").as_uri()
    page = listening(chrome)
    page.goto(address)
    code = begin(page)
    page.keyboard.press("1")
    page.keyboard.press("2")
    page.keyboard.press("3")
    assert "Two is the most" in said(page)
    shot(page, "study-still")
    page.keyboard.press("Enter")
    vote(page, "334")
    wait_screen(page, 2)
    assert not [name for name in names_of(study) if name in page.content()]
    page.goto(address)    # closed and opened again: the code brings them back
    page.locator("[data-name=agree]").check()
    page.locator("[data-name=code]").fill(code)
    page.keyboard.press("Enter")
    for number in range(2, 6):
        wait_screen(page, number)
        vote(page)
    page.wait_for_selector(f"{ROOT}[data-stage=thanks]")
    with page.expect_download() as waiting: page.locator("[data-name=download]").press("Enter")
    file = tmp_path/waiting.value.suggested_filename
    waiting.value.save_as(file)
    assert file.name == f"votes-{code}.json" and not [name for name in names_of(study) if name in file.read_text()]
    voter = read_download(study.folder, file)
    assert voter.position == 5 and voter.answers[voter.screens[0].name] == dict(concept=[0, 1], text=[2], layout=[2], quality=[3])
    assert json.loads(file.read_text())["screens"] == [dict(name=s.name, case=s.case, kind=s.kind, tiles=list(s.tiles)) for s in ballot_for(study, code)]
    assert not page.outside and not page.errors, (page.outside, page.errors)
    page.context.close()


# in front of the class

def test_the_table_fills_while_they_vote(chrome, tmp_path):
    study = flat_study(tmp_path/"study", 3)
    study_notebook(study.folder, "results")
    with serve(study.folder, "voila", "results.ipynb") as url:
        page = listening(chrome)
        page.goto(url, timeout=120_000)
        page.wait_for_selector("text=nobody has voted yet", timeout=120_000)
        store_voters(simulated_voters(study, choose_uniformly, 3, "uniform"))
        page.wait_for_selector("text=3 have begun, 3 are done", timeout=60_000)
        page.wait_for_function("document.querySelector('.anyms-classroom img').naturalWidth > 500")
        shot(page, "study-results")
        page.context.close()
