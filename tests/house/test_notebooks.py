"The notebooks' house style, as far as code can see it (style.md sections 1, 2 and 8). That they run is nbdev-test's business."
import ast, functools, json, re, tomllib
from pathlib import Path
import nbformat, pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted(p for p in (ROOT/"nbs").rglob("*.ipynb") if not any(part[0] in "._" for part in p.relative_to(ROOT/"nbs").parts))
LESSONS = [p for p in NOTEBOOKS if re.match(r"\d\d_", p.name) and p.parent.name != "tutorials"]
BUDGET = 500_000  # bytes of stored outputs: room for figures that the last row of a classroom can read
OWN_PATHS = re.compile(r"(?<![\w.~}/:])/(?:root|home|Users|work|tmp|private|var|mnt|opt|content)/[\w.-]+")
UGLY_MAPS = re.compile(r"""cmap\s*=\s*['"](?:jet|turbo|rainbow|hsv|nipy_spectral|gist_rainbow)|\bcm\.(?:jet|turbo|rainbow|hsv)|colormaps\[['"](?:jet|turbo|rainbow|hsv)|get_cmap\(['"](?:jet|turbo|rainbow|hsv)""")


def read(path): return nbformat.read(path, 4)
def code(nb): return [c for c in nb.cells if c.cell_type == "code"]
def outputs(nb): return [o for c in code(nb) for o in c.outputs]
def label(path): return str(path.relative_to(ROOT/"nbs").with_suffix(""))
def body(cell): return [line for line in cell.source.splitlines() if line.strip() and not line.lstrip().startswith("#|")]

def headings(cells):
    "(cell number, line) of the sections; a heading inside a `:::` box is that box's own title."
    found, depth = [], 0
    for i, c in enumerate(cells):
        for line in c.source.splitlines() if c.cell_type == "markdown" else ():
            if line.startswith(":::"): depth += 1 if line.strip(": ") else -1
            elif not depth and re.match(r"##? \S", line): found.append((i, line))
    return found

def percentile(values, share):
    "The value that `share` of all values do not exceed."
    ranked = sorted(values)
    return ranked[min(len(ranked)-1, int(share*len(ranked)))]

every = pytest.mark.parametrize("path", NOTEBOOKS, ids=label)
lesson = pytest.mark.parametrize("path", LESSONS, ids=label)

def test_there_are_notebooks(): assert LESSONS

@every
def test_valid(path): nbformat.validate(read(path))

@lesson
def test_begins_by_naming_its_module(path):
    first = read(path).cells[0]
    assert first.cell_type == "code" and re.fullmatch(r"#\|\s*default_exp [a-z_.]+",
        first.source.strip()), "the first cell says `#| default_exp name` and nothing else"

@every
def test_title_and_subtitle(path):
    first = next(c for c in read(path).cells if c.cell_type == "markdown")
    lines = [line for line in first.source.splitlines() if line.strip()]
    assert re.match(r"# \S", lines[0]), "the first markdown cell is `# Title`"
    assert len(lines) > 1 and re.match(r"> \S", lines[1]), "under the title stands `> what the reader will be able to do`"

@every
def test_one_title(path):
    titles = [line for c in read(path).cells if c.cell_type == "markdown"
        for line in re.sub(r"(?s)```.*?```", "", c.source).splitlines() if re.match(r"# \S", line)]
    assert len(titles) == 1, titles

def folds(nb):
    "The text of every `<details>` of a notebook; one may go over several cells."
    whole = "\n".join(c.source for c in nb.cells if c.cell_type == "markdown")
    return re.findall(r"(?ms)^<details\b.*?</details>", whole)

@lesson
def test_ends_with_try_it(path):
    "Exercises come last, with a solution that a reader opens and the tests run."
    cells = read(path).cells
    heads = headings(cells)
    assert heads[-1][1].strip().lower().startswith("## try it"), f"the last section is {heads[-1][1]!r}"
    rest = cells[heads[-1][0]:]
    prose = [c.source for c in rest if c.cell_type == "markdown"]
    assert any(re.search(r"<summary>Solution|collapse=\"true\"", text)
        for text in prose), "a solution sits under `<details><summary>Solution</summary>`"
    assert any(body(c) for c in rest if c.cell_type == "code") or any("```python" in text
        for text in prose), "the solution is code, so that it can be run"

@every
def test_folds_open_everywhere(path):
    "JupyterLab, GitHub and the site fold alike if a summary follows, then an empty line, and if everything is closed."
    nb = read(path)
    whole = "\n".join(c.source for c in nb.cells if c.cell_type == "markdown")
    whole = re.sub(r"(?s)```.*?```|`[^`\n]*`", "", whole)
    assert len(re.findall(r"(?m)^<details",
        whole)) == whole.count("</details>") == len(folds(nb)), "a `<details>` is never closed, or lies in another one"
    for fold in folds(nb):
        assert re.match(r"<details>\s*<summary>[^\n]+</summary>\n\n",
            fold), f"{fold[:60]!r}: `<details><summary>Solution</summary>`, an empty line, then the text"

@every
def test_code_in_folds_is_python(path):
    for fold in folds(read(path)):
        for block in re.findall(r"(?s)```python\n(.*?)```", fold): ast.parse(block)

@every
def test_callouts_are_closed(path):
    fences = [line.strip() for c in read(path).cells if c.cell_type == "markdown" for line in c.source.splitlines()
        if line.lstrip().startswith(":::")]
    depth = 0
    for fence in fences:
        depth += 1 if fence.strip(":").strip() else -1
        assert depth >= 0, "a `:::` closes nothing"
    assert depth == 0, "a `::: {...}` is never closed"

@lesson
def test_cells_are_short(path):
    lengths = [len(body(c)) for c in code(read(path)) if not re.search(r"^#\|\s*export", c.source, re.M)]
    assert percentile(lengths, .9) <= 12, f"nine cells in ten have at most 12 lines; here {sorted(lengths)[-len(lengths)//10:]}"

@lesson
def test_exported_cells_hold_one_idea(path):
    "At most 60 lines, or one class of at most 100; a larger class goes on in later cells with fastcore's @patch."
    long = []
    for c in code(read(path)):
        if not re.search(r"^#\|\s*export", c.source, re.M): continue
        one_class = len(tops := ast.parse(c.source).body) == 1 and isinstance(tops[0], ast.ClassDef)
        if len(body(c)) > (100 if one_class else 60): long.append((len(body(c)), body(c)[0]))
    assert not long, long

@lesson
def test_prose_goes_with_code(path):
    nb = read(path)
    prose = [c for c in nb.cells if c.cell_type == "markdown"]
    assert len(prose) >= len(code(nb))/3, f"{len(prose)} cells of prose for {len(code(nb))} of code"

@lesson
def test_shows_something(path):
    "A reader sees a result after most steps."
    cells = [c for c in code(read(path)) if not re.search(r"^#\|\s*(export|default_exp|hide)", c.source, re.M)]
    assert sum(bool(c.outputs) for c in cells) >= len(cells)/4

@every
def test_outputs_are_stored(path):
    "The site and whoever reads on the web see the outputs that are in git."
    nb = read(path)
    if any(body(c) for c in code(nb)): assert outputs(nb), "execute the notebook before committing"

@every
def test_outputs_stay_small(path):
    size = sum(len(json.dumps(o)) for o in outputs(read(path)))
    assert size <= BUDGET, f"{size/1000:.0f} KB of stored outputs, at most {BUDGET/1000:.0f}"

@every
def test_outputs_hold_no_accident(path):
    nb = read(path)
    assert not [o.ename for o in outputs(nb) if o.output_type == "error"], "an error is stored; show it with expect_fail"
    noise = [o.text[:300] for o in outputs(nb) if o.output_type == "stream" and o.name == "stderr"]
    assert not noise, f"a warning or a progress bar is stored: {noise}"

@every
def test_no_live_widget_is_stored(path):
    "A live widget's id changes at each run; cells that show one store a static fallback or nothing."
    live = [o for o in outputs(read(path)) if "application/vnd.jupyter.widget-view+json" in o.get("data", {})
        and "text/html" not in o["data"]]
    assert not live

@every
def test_colour_maps_are_honest(path):
    found = [m[0] for c in code(read(path)) for m in UGLY_MAPS.finditer(c.source)]
    assert not found, f"{found}: use magma or viridis"

@every
def test_no_path_of_somebodys_machine(path):
    nb = read(path)
    texts = [c.source for c in nb.cells]
    for o in outputs(nb):
        texts += [o.get("text", "")] + [v for k, v in o.get("data", {}).items() if isinstance(v, str) and k.startswith("text/")]
    found = {m[0] for t in texts for m in OWN_PATHS.finditer(re.sub(r"data:[\w/+-]+;base64,[\w+/=\s]+", "", t))}
    assert not found, found

@every
def test_pictures_have_a_title_or_a_text(path):
    "Every picture in prose has an alternative text and lies in the repository."
    for c in read(path).cells:
        if c.cell_type != "markdown": continue
        for alt, target in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)", c.source):
            assert alt.strip(), f"{target} has no alternative text"
            assert re.match(r"https?:|data:|attachment:", target) or (path.parent/target).exists(), f"{target} does not exist"

@every
def test_star_imports_only_in_tutorials(path):
    "test_eq and its kin may come as a crowd, as in every nbdev notebook; all other names come one by one."
    if path.parent.name == "tutorials": return
    stars = [c.source for c in code(read(path)) for n in ast.walk(ast.parse(re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", c.source)))
             if isinstance(n, ast.ImportFrom) and n.module not in {"fastcore.test", "nbdev.showdoc"}
             and any(a.name == "*" for a in n.names)]
    assert not stars

@every
def test_is_clean(path, tmp_path):
    "What `nbdev-clean` would write is what lies there, byte for byte."
    clean = pytest.importorskip("nbdev.clean")
    keys = tomllib.loads((ROOT/"pyproject.toml").read_text("utf8"))["tool"]["nbdev"]["allowed_cell_metadata_keys"]
    with_keys = functools.partial(clean.clean_nb, allowed_cell_metadata_keys=keys)
    clean.process_write("nbdev-clean failed", with_keys, path, tmp_path/path.name)
    assert (tmp_path/path.name).read_text("utf8") == path.read_text("utf8"), "run nbdev-clean"
