"Tutorials 1 to 3: they run, their exercises take right answers and object to wrong ones, and they keep the form of a lesson."
import re
from pathlib import Path

import pytest
from conftest import embedded_weights
from test_tutorials_b import at, body, cells, code, exercises, folded, objects, predictions, run, shows

ROOT = Path(__file__).resolve().parents[1]
TUTORIALS = [ROOT/"nbs"/"tutorials"/f"{name}.ipynb" for name in ("1_first_layout", "2_why_subjects_blend", "3_crop_or_mask")]
trained = pytest.mark.skipif(not embedded_weights(), reason="anyms/stickers/weights is not there")
tutorial = pytest.mark.parametrize("path", TUTORIALS, ids=lambda p: p.stem)

# For every exercise, in order: answers that a student might well give, and that are wrong; the last is of a wrong type.
WRONG = {
    "1_first_layout": [
        ["answer = 20", "answer = 15", "answer = 'fourteen'"],
        ["edge = lambda x, m: round(x*m)", "edge = lambda x, m: int(x*m)", "edge = lambda x, m: int(x*m + .999)",
        "edge = lambda x: x", "edge = 3"],
        # overlap
        ["three = Layout([Subject(n, box=b) for n, b in dict(penguin=(0, 0, .4, 1), hat=(.3, 0, .7, 1), tree=(.7, 0, 1, 1)).items()])",
         # a gap at the right
         "three = Layout([Subject(n, box=b) for n, b in dict(penguin=(0, 0, .3, 1), hat=(.3, 0, .6, 1), tree=(.6, 0, .9, 1)).items()])",
         # the wrong order
         "three = Layout([Subject(n, box=b) for n, b in dict(penguin=(.6, 0, 1, 1), hat=(.3, 0, .6, 1), tree=(0, 0, .3, 1)).items()])",
         "three = layout"],
    ],
    "2_why_subjects_blend": [
        ["answer = leak['full'].loc['penguin', 'penguin']", "answer = 1 - leak['full'].loc['penguin', 'penguin']",
        "answer = leak['full'].loc['tree', 'penguin']", "answer = 0",
         "answer = leak['full']"],
        ["def quiet(q, k, v): return (q @ k.T/q.shape[-1]**.5).softmax(-1) @ v",
         "def quiet(q, k, v): return torch.zeros(len(q), v.shape[1])",
         # a null token that speaks
         "def quiet(q, k, v): return (q @ torch.cat([k, k.new_zeros(1, 4)]).T/2).softmax(-1) @ torch.cat([v, v.new_ones(1, 4)])",
         "quiet = 0"],
        ["shares = (1/10, 1/10)", "shares = (.05, 1/10)", "shares = (1, 1)", "shares = .1"],
        ["answer = distance(low, words)/distance(loud, words)", "answer = distance(low, loud)/255", "answer = 'half'"],
    ],
    "3_crop_or_mask": [
        ["rule = 'sum'", "rule = 'mean'", "rule = 'crop'", "rule = 1"],
        ["boxes = [(0, 0, .5, 1), (.5, 0, 1, 1)]", "boxes = [(.1, .2, .6, .8), (.5, .2, .9, .8)]",
        "boxes = [(.51, .2, .54, .8), (.70, .2, .72, .8)]", "boxes = [.5, .2]"],
        ["def broken(q, k, v): return (q @ k.T/q.shape[-1]**.5).softmax(-1) @ v",
        "def broken(q, k, v): return torch.randn(len(q), v.shape[1])",
         "def broken(q, k, v): return q - q.mean(0)",      # knows its neighbours, but attends to nothing
         "broken = 'softmax(0)'"],
    ],
}


@trained
@tutorial
def test_runs_with_all_exercises_solved(path):
    "The whole notebook in one process: unanswered it gives a hint, a wrong answer gets an objection, the solution is accepted."
    from anyms import VARIANTS
    registry, nb = dict(VARIANTS), cells(path)
    solved = {i: (check, solution) for i, check, solution in exercises(path)}
    wrong = iter(WRONG[path.stem])
    assert 2 <= len(solved) <= 4 and len(WRONG[path.stem]) == len(solved)
    space = {"__name__": "__main__"}
    with at(path.parent):
        for i, c in enumerate(nb):
            if c.cell_type != "code": continue
            run(c.source, space)
            if i not in solved: continue
            check, solution = solved[i]
            assert "Your turn." in run(nb[check].source, space), "an unanswered exercise gives a hint"
            answers = next(wrong)
            for answer in answers: assert objects(answer, nb[check].source, space), f"the check takes a wrong answer: {answer}"
            assert "You gave" in run(nb[check].source,
                space), f"the last wrong answer, {answers[-1]}, is of a wrong type: the check should name what it got"
            run(solution, space)
            assert "Right." in run(nb[check].source, space), f"the check refuses its own solution: {solution}"
    assert VARIANTS == registry, "the registry of variants is left as it was found"
    assert not hasattr(space["pipe"].unet, "attn_recorder"), "nobody is left watching"

@tutorial
def test_cells_are_short(path):
    lengths = sorted(len(body(c)) for c in code(path))
    assert lengths[int(.9*len(lengths))] <= 12, lengths

@tutorial
def test_there_is_always_something_to_look_at(path):
    "A figure at least every five code cells; an exercise and its check are the student's own turn and are not counted."
    turns = {j for i, check, _ in exercises(path) for j in (i, check)}
    gap = 0
    for i, c in enumerate(cells(path)):
        if c.cell_type != "code" or not body(c) or i in turns: continue
        gap = 0 if shows(c) else gap + 1
        assert gap < 5, f"cell {i} is the fifth without a figure"

@tutorial
def test_every_figure_has_a_text_for_those_who_do_not_see_it(path):
    silent = [body(c)[-1] for c in code(path) if shows(c) and "fig-alt:" not in c.source]
    assert not silent, silent

@tutorial
def test_predict_then_reveal(path):
    "A lesson asks before it shows: the next output is folded, and the answer lies in a fold too."
    found = predictions(path)
    assert len(found) >= 5
    for ask, *rest in found:
        reveal = next(c for c in rest if c.cell_type == "code" and (folded(c) or shows(c)))
        assert folded(reveal), f"this output gives the answer away: {body(reveal)[-1]}"
        answers = [c.source for c in rest if c.cell_type == "markdown" and "<summary>Answer</summary>" in c.source]
        assert answers, f"no folded answer to: {ask.source[:80]}"

@tutorial
def test_a_lesson_proves_something(path):
    assert sum(bool(re.search(r"\b(assert|test_eq|test_close)\b", c.source)) for c in code(path)) >= 4

def slug(heading):
    "A heading's anchor, as Quarto makes it."
    text = re.sub(r"[`*]", "", heading.lower())
    return re.sub(r"^[^a-z]+", "", re.sub(r"\s+", "-", re.sub(r"[^\w\s.-]", "", text).strip()))

def headings(path):
    text = "\n".join(re.sub(r"(?s)```.*?```", "", c.source) for c in cells(path) if c.cell_type == "markdown")
    return {slug(h) for h in re.findall(r"(?m)^#+ (.+)$", text)}

@tutorial
def test_links_lead_to_a_page_and_to_a_heading_there(path):
    found = [target for c in cells(path) if c.cell_type == "markdown" for target in re.findall(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)", c.source)]
    assert len(found) >= 8
    for target in found:
        if target.startswith("http"): continue
        page, _, anchor = target.partition("#")
        there = (path.parent/page).resolve() if page else path
        assert there.exists(), f"{target}: no such page"
        if anchor: assert anchor in headings(there), f"{target}: no such heading, there are {sorted(headings(there))}"

@tutorial
def test_equations_functions_and_figures_stand_in_one_table(path):
    table = next(c.source for c in cells(path) if c.cell_type == "markdown" and c.source.startswith("## Where is what"))
    rows = [line.strip("|").split(" | ") for line in table.splitlines() if line.startswith("|")][2:]
    assert len(rows) >= 4 and all("](../" in row[1] and "](#" in row[2] for row in rows)

@trained
def test_lesson_three_proves_its_claim_without_pictures():
    "The proof's cells alone, in a fresh process's space: a hundred layouts, not one number apart."
    nb = code(TUTORIALS[2])
    start = next(i for i, c in enumerate(nb) if "def random_case" in c.source)
    space = {"__name__": "__main__"}
    for c in [nb[0], *nb[start:start + 4]]: run(c.source, space)
    assert space["different"] == 0 and space["numbers"] > 100_000
