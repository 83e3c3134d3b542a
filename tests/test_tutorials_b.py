"Tutorials 4 to 6 and the lesson plan: they run, their exercises take right answers and object to wrong ones, and they keep the form of a lesson."
import os, re
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
import nbformat, pytest
from conftest import embedded_weights, picture, tiny

ROOT = Path(__file__).resolve().parents[1]
TUTORIALS = [ROOT/"nbs"/"tutorials"/f"{name}.ipynb" for name in ("4_honest_heatmaps", "5_your_own_variant", "6_stickers_to_sdxl")]
LESSON = ROOT/"nbs"/"teach.ipynb"
trained = pytest.mark.skipif(not embedded_weights(), reason="anyms/stickers/weights is not there")
every = pytest.mark.parametrize("path", [*TUTORIALS, LESSON], ids=lambda p: p.stem)
tutorial = pytest.mark.parametrize("path", TUTORIALS, ids=lambda p: p.stem)

# For every exercise, in order: answers that a student might well give, and that are wrong; the last is of a wrong type.
WRONG = {
    "4_honest_heatmaps": [
        ['answer = ("mass", 1.)', 'answer = ("energy", 1/r)', 'answer = ("mass", r)', "answer = 'mass'"],
        ["def gain(heat, inside): return heat[inside].sum() / heat.sum()", "def gain(heat, inside): return heat[inside].mean()",
         "def gain(heat, inside): return heat[inside].mean() - heat[~inside].mean()", "gain = 1.5"],
        ["claims = dict(zip('abc', ['mass', 'mass', 'text']))", "claims = dict(zip('abc', ['norm', 'energy', 'text']))", "claims = 'norm'"],
    ],
    "5_your_own_variant": [
        ["def tame(w): return w", "def tame(w): return w / w.sum(0)", "def tame(w): return w.clamp(max=.5)",
        "def tame(w): return w / 2", "tame = loud"],
        ["def small_in_front(cover): return cover.float()", "def small_in_front(cover): return topmost(cover)",
         "def small_in_front(cover): return topmost(cover[cover.sum(1).argsort(descending=True)])", "small_in_front = 'brooch'"],
        ["honest = dict(later=False, confident=True, strongest=False)", "honest = dict(later=True, confident=True, strongest=True)",
         "honest = dict(later=True, confident=False, strongest=False)", "honest = dict(later='yes', confident='yes', strongest='no')"],
    ],
    "6_stickers_to_sdxl": [
        ["answer = sum(gigabytes.values())", "answer = gigabytes['text encoders']", "answer = 5.13", "answer = '6 GB'"],
        ["answer = 20", "answer = 1", "answer = next(s for s in range(1, 1000) if cost(s) > .05 * whole) - 1", "answer = gigabytes"],
        ["choice = dict(layers='.*', steps=range(50))", "choice = dict(layers='up', steps=range(0, 50, 10))",
         r"choice = dict(layers=[r'down_blocks.2.*transformer_blocks\.0\.', r'up_blocks.0.*transformer_blocks\.0\.'], steps=range(0, 50, 25))", "choice = 'up'"],
    ],
}
SOLUTION = "<details>\n<summary>Solution</summary>\n\n"


def cells(path): return nbformat.read(path, 4).cells
def flag(cell, name): return re.search(rf"^#\|\s*{name}\b", cell.source, re.M)
def body(cell): return [line for line in cell.source.splitlines() if line.strip() and not line.lstrip().startswith("#|")]
def shows(cell): return any(o.get("data", {}).get("image/png") for o in cell.outputs)
def code(path, gpu=False): return [c for c in cells(path) if c.cell_type == "code" and body(c) and bool(flag(c, "gpu")) == gpu]

def exercises(path):
    "(number of the exercise's cell, of its check, source of the solution) in order."
    found, nb = [], cells(path)
    for i, c in enumerate(nb):
        if c.cell_type != "code" or not flag(c, "exercise"): continue
        check = next(j for j in range(i + 1, len(nb)) if nb[j].cell_type == "code")
        text = next(nb[j].source for j in range(check + 1, len(nb)) if nb[j].cell_type == "markdown")
        assert text.startswith(SOLUTION) and text.rstrip().endswith("\n\n</details>"), "a folded solution follows the check"
        found.append((i, check, re.search(r"```python\n(.*?)```", text, re.S)[1]))
    return found

def anchors(path):
    "What the sections of a notebook are called in links."
    heads = re.findall(r"^#+ (.+)$", "\n".join(c.source for c in cells(path) if c.cell_type == "markdown"), re.M)
    return {re.sub(r"[^\w\s-]", "", h.replace("`", "").lower()).strip().replace(" ", "-") for h in heads}

@contextmanager
def at(folder):
    "Cells run where their notebook lies."
    before = os.getcwd()
    os.chdir(folder)
    try: yield
    finally: os.chdir(before)

def run(source, space):
    "What the cell prints."
    with redirect_stdout(StringIO()) as said: exec(compile(source, "<cell>", "exec"), space)
    return said.getvalue()

def objects(answer, check, space):
    "Does the check object to this answer, by a sentence of its own and never by an error?"
    run(answer, space)
    said = run(check, space)
    return said.startswith("Not yet. ") and "Traceback" not in said


@trained
@tutorial
def test_runs_with_all_exercises_solved(path):
    "The whole notebook in one process: unanswered it gives a hint, a wrong answer gets an objection, the solution is accepted."
    from anyms import VARIANTS
    registry, nb = dict(VARIANTS), cells(path)
    solved = {i: (check, solution) for i, check, solution in exercises(path)}
    wrong = iter(WRONG[path.stem])
    assert 2 <= len(solved) <= 4 and len(WRONG[path.stem]) == len(solved)
    space = {"__name__": "__main__", "display": lambda *a: None}
    with at(path.parent):
        for i, c in enumerate(nb):
            if c.cell_type != "code" or flag(c, "gpu"): continue
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

@trained
def test_lesson_plan_runs(tmp_path):
    "The teacher's evening; and the pictures from home open in class, in another process, from the folder that the plan names."
    from anyms import Comparison
    space = {"__name__": "__main__"}
    with at(tmp_path):
        for c in code(LESSON): run(c.source, space)
    assert Comparison.load(tmp_path/"lesson").variants == ["text_only", "full", "crop_merge"]
    assert space["plan"].minutes.sum() == 60

def test_gpu_cells_are_sound(tmp_path, monkeypatch):
    "They never run here on real weights; but on a tiny random SDXL, said to be such, all that needs no CUDA device does run."
    cell = code(TUTORIALS[2], gpu=True)
    assert len(cell) >= 4 and not any(c.outputs for c in cell)
    import anyms
    for i, name in enumerate(("my_dog.jpg", "my_hat.jpg")): picture(i).save(tmp_path/name)
    loaded = []
    def load(name, device=None, dtype=None):
        assert name == "sdxl" and device in ("cuda", "cpu")
        loaded.append(tiny("sdxl"))
        return loaded[-1]
    def generate(*args, **kw): return anyms.generate(*args, progress=False, **{**kw, "num_inference_steps": 2})
    def compare(*args, **kw): return anyms.compare(*args, progress=False, **{**kw, "num_inference_steps": 2})
    space = dict(load=load, generate=generate, compare=compare, Layout=anyms.Layout, Subject=anyms.Subject)
    with at(tmp_path):
        for c in cell:
            if "torch.cuda" not in c.source: run(c.source.replace("small.enable_model_cpu_offload()",
                "callable(small.enable_model_cpu_offload)"), space)
    assert len(loaded) == 2 and space["runs"].variants == ["full", "masked", "crop_merge"] and space["shot"].maps.names == ["dog", "hat"]

def test_without_a_gpu_the_first_gpu_cell_says_so_at_once():
    "On a laptop 'run all' stops there with one sentence, before anything is fetched."
    import torch
    if torch.cuda.is_available(): pytest.skip("there is a GPU here")
    from anyms import Layout, Subject, load
    with pytest.raises(ValueError, match="no CUDA device; use device='cpu'"):
        run(code(TUTORIALS[2], gpu=True)[0].source, dict(load=load, Layout=Layout, Subject=Subject))

def test_gpu_cells_come_last():
    "So that nothing a laptop can do is behind them."
    flags = [bool(flag(c, "gpu")) for c in cells(TUTORIALS[2]) if c.cell_type == "code"]
    assert flags == sorted(flags)

@every
def test_cells_are_short(path):
    lengths = sorted(len(body(c)) for c in cells(path) if c.cell_type == "code")
    assert lengths[int(.9*len(lengths))] <= 12, lengths

@every
def test_there_is_always_something_to_look_at(path):
    "A figure at least every five code cells; an exercise and its check are the student's own turn and are not counted."
    turns = {j for i, check, _ in exercises(path) for j in (i, check)}
    gap = 0
    for i, c in enumerate(cells(path)):
        if c.cell_type != "code" or not body(c) or flag(c, "gpu") or flag(c, "hide") or i in turns: continue
        gap = 0 if shows(c) else gap + 1
        assert gap <= 4, f"cell {i} is the fifth without a figure"

@every
def test_every_figure_has_a_text_for_those_who_do_not_see_it(path):
    silent = [body(c)[-1] for c in cells(path) if c.cell_type == "code" and shows(c) and "fig-alt:" not in c.source]
    assert not silent, silent

def folded(cell): return cell.metadata.get("jupyter", {}).get("outputs_hidden", False)

def predictions(path):
    "Per Predict: the cells from there to the next one."
    nb = cells(path)
    asks = [i for i, c in enumerate(nb) if c.cell_type == "markdown" and re.search(r"\*\*Predict\b", c.source)]
    return [nb[a:b] for a, b in zip(asks, [*asks[1:], len(nb)])]

@tutorial
def test_predict_then_reveal(path):
    "A lesson asks before it shows: the next output is folded, and the answer lies in a fold too."
    found = predictions(path)
    assert len(found) >= 4
    for ask, *rest in found:
        reveal = next(c for c in rest if c.cell_type == "code" and (folded(c) or shows(c)))
        assert folded(reveal), f"this output gives the answer away: {body(reveal)[-1]}"
        answers = [c.source for c in rest if c.cell_type == "markdown" and "<summary>Answer</summary>" in c.source]
        assert answers, f"no folded answer to: {ask.source[:80]}"

@tutorial
def test_a_lesson_proves_something(path):
    "Several cells hold an assertion."
    assert sum(bool(re.search(r"\b(assert|test_eq|test_close|test_fail)\b", c.source)) for c in code(path)) >= 4

@every
def test_links_lead_somewhere(path):
    "To a page that is there, and to a section that it has."
    for c in cells(path):
        if c.cell_type != "markdown": continue
        for target, section in re.findall(r"(?<!!)\[[^\]]+\]\(([^)\s#]*)(?:#([^)\s]+))?\)", c.source):
            if target.startswith("http"): continue
            there = path.parent/target if target else path
            assert there.exists(), f"{target} does not exist"
            if section: assert section in anchors(there), f"{target}#{section}: no such section"

@tutorial
def test_equations_functions_and_figures_are_linked(path):
    text = "\n".join(c.source for c in cells(path) if c.cell_type == "markdown")
    assert len(set(re.findall(r"\]\((\.\./[^)]+)\)", text))) >= 3 and re.search(r"Eq\. \d", text)

def test_the_hour_is_an_hour():
    text = "\n".join(c.source for c in cells(LESSON) if c.cell_type == "markdown")
    spans = [(int(a), int(b)) for a, b in re.findall(r"^### (\d+) to (\d+):", text, re.M)]
    assert spans[0][0] == 0 and spans[-1][1] == 60 and all(b == c for (_, b), (c, _) in zip(spans, spans[1:]))
    assert len(re.findall(r"^<summary>\"", text, re.M)) >= 8, "questions that students ask, with answers"
    assert "anyms doctor" in text

def test_the_plan_names_what_its_pages_have():
    "Subjects, sections and exhibits that the plan sends the class to exist there; the explorer has its minute; no formula before minute 35."
    text = "\n".join(c.source for c in cells(LESSON) if c.cell_type == "markdown")
    hour = text[text.index("### 0 to 5"):text.index("## Moving things live")]
    for number, page in re.findall(r"\[tutorial (\d)\]\(tutorials/(\w+)\.ipynb\)", hour): assert page.startswith(number)
    nouns = {noun for _, noun in re.findall(r"(the|a) \*?(\w+)\*?'s", hour)} - {"paper", "teacher", "class", "box", "it", "middle"}
    played = "\n".join(c.source for p in TUTORIALS[:1] + [LESSON] for c in cells(p))
    assert nouns and all(f'Subject("{noun}"' in played for noun in nouns), nouns
    before = hour[:hour.index("### 35 to 45")]
    assert "explore(" in before and "einsum" not in before and "$" not in before
    for number, section in re.findall(r"\[tutorial (\d)\]\([^)]*\)[^*]*?\*([A-Z][^*]+)\*", hour):
        page = next((ROOT/"nbs"/"tutorials").glob(f"{number}_*.ipynb"))
        assert section.strip(".").lower().replace(" ", "-") in anchors(page), f"tutorial {number} has no section {section!r}"

# --- what all six tutorials and the lesson plan share ---------------------------------------------------------------------------
ALL = sorted((ROOT/"nbs"/"tutorials").glob("*.ipynb"))
page = pytest.mark.parametrize("path", [*ALL, LESSON], ids=lambda p: p.stem)

@page
def test_nothing_folds_by_quarto_alone(path):
    "JupyterLab shows `:::` as it stands: what should fold is <details>, with a blank line after the summary so that its markdown is read."
    text = "\n".join(c.source for c in cells(path) if c.cell_type == "markdown")
    assert ":::" not in text
    assert text.count("<details>") == text.count("</details>") == len(re.findall(r"<details>\n<summary>[^<\n]+</summary>\n\n", text))

@page
def test_code_fits_beside_the_picture(path):
    "At most 88 columns, so that nothing is cut on the site; one statement a line."
    found = "\n".join(re.sub(r"(?m)^#\|.*$", "", c.source) for c in cells(path) if c.cell_type == "code")
    found += "\n" + "\n".join(re.findall(r"(?s)```python\n(.*?)```", "\n".join(c.source for c in cells(path) if c.cell_type == "markdown")))
    assert not [line for line in found.splitlines() if len(line) > 88]
    assert not [line for line in found.splitlines() if ";" in line]

@page
def test_the_cast_plays(path):
    "Every sticker that a page names is of the cast, under its own noun: never a drawing held out of training without saying so."
    from anyms.stickers.world.colors import CAST
    text = "\n".join(c.source for c in cells(path))
    for name, trio, member in re.findall(r'Subject\("(\w+)",\s*image=sprite\(\*CAST\[(\d)\]\[(\d)\]\)', text):
        assert CAST[int(trio)][int(member)][0] == name
    assert not re.findall(r'Subject\([^()]*sprite\("', text), "a subject's picture comes from CAST"
    assert "CAST[0]" in text and "fox" not in re.sub(r"`[^`]*`", "", text).lower()

@page
def test_letters_can_be_read(path):
    "No letter below 9 points, no figure below 72 dots an inch."
    text = "\n".join(c.source for c in cells(path) if c.cell_type == "code")
    assert not [n for n in re.findall(r"fontsize=(\d+)", text) if int(n) < 9]
    assert not [n for n in re.findall(r"dpi=(\d+)", text) if int(n) < 72]

@page
def test_helpers_are_imported(path):
    "What several lessons need is defined once, in `anyms.lessons`."
    text = "\n".join(c.source for c in cells(path) if c.cell_type == "code")
    assert not re.findall(r"(?m)^def (strip|small|light|check|distance|subplots)\b", text)

def test_claims_about_pictures_are_still_there():
    "nbs/claims.md lists sentences to look at again when the weights change; each must stand on its page, or the list is stale."
    rows = [line.strip("|").split(" | ") for line in (ROOT/"nbs"/"claims.md").read_text("utf8").splitlines() if line.startswith("| [")]
    assert len(rows) >= 20
    for where, sentence, look in rows:
        path = ROOT/"nbs"/re.search(r"\]\(([^)#]+)", where)[1]
        text = " ".join("".join(c.source) for c in cells(path)) if path.suffix == ".ipynb" else path.read_text("utf8")
        assert " ".join(sentence.strip().strip("“”").split()) in " ".join(text.split()), f"{path.name} no longer says: {sentence}"
        assert len(look.strip()) > 10
