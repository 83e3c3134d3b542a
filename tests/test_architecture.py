"The house rules that code can check: who imports whom, how long a function is, what is never used (design, section 3)."
import ast, importlib, re
from functools import cache
from pathlib import Path
import nbformat, pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, NOTEBOOKS = ROOT/"anyms", ROOT/"nbs"
FILES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "_modidx.py")
MODULES = [p for p in FILES if p.name != "__init__.py"]
CEILING = 40  # lines of a function: what fits a projector screen

# The import rule. What a core module may import of ours; what is not named here may not be imported.
CORE = {
    "layout":     set(),
    "attend":     {"layout"},
    "processors": {"layout", "attend"},
    "heatmap":    {"layout"},
    "capture":    {"layout", "attend", "heatmap"},
    "pipeline":   {"layout", "attend", "processors", "heatmap", "capture", "stickers.model", "widgets"},  # widgets: only inside Runs.explore
    "widgets":    {"layout", "attend", "heatmap", "capture", "pipeline", "stickers.world"},  # stickers.world: pictures for new boxes
    "lessons":    {"layout", "attend", "capture", "pipeline"},  # what the tutorials share: strips of pictures, checks of exercises
    "site":       set(),  # notebooks in, pages out: it reads what is stored and runs nothing
    "cli":        {"site", "layout", "attend", "processors", "heatmap", "capture", "pipeline", "widgets", "stickers.*", "bench.*"},
}
LIBRARY = {"layout", "attend", "processors", "heatmap", "capture", "pipeline"}
FOLDERS = {  # folder -> what its modules may import, besides one another
    "stickers": LIBRARY,
    "bench":    LIBRARY | {"stickers.*"},
}
DIFFUSERS = {"processors", "pipeline", "stickers.model"}  # and everything in bench, which measures us against its own processors
BANNED = {"torchvision", "torchaudio", "pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


def name_of(path): return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)

@cache
def parsed(path): return ast.parse(path.read_text("utf8"), str(path))

def resolve(node, package):
    "Every module that an import statement may load, with absolute names; `package` is the importing module's own package."
    if isinstance(node, ast.Import): return [a.name for a in node.names]
    above = package.split(".")[:len(package.split("."))-node.level+1] if node.level else []
    base = ".".join(above + ([node.module] if node.module else []))
    return [base, *(f"{base}.{a.name}" for a in node.names)]

def imports(path, inside=True):
    "Absolute names of what a file imports; `inside=False` leaves out imports within functions."
    package = ".".join(["anyms", *path.relative_to(PACKAGE).parent.parts])
    found, stack = set(), [parsed(path)]
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)): found.update(resolve(node, package))
        if inside or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)): stack.extend(ast.iter_child_nodes(node))
    return found

@cache
def names(): return {name_of(p) for p in MODULES}

@cache
def homes():
    "Public name -> module, as `anyms/__init__.py` says (what `from anyms import Layout` loads)."
    import anyms
    return {n: anyms._HOME[n] for n in anyms.__all__ if n in anyms._HOME}

def ours(found):
    "Which modules of ours a set of absolute names means."
    tails = {n.removeprefix("anyms.") for n in found if n.startswith("anyms.")}
    return {t for t in tails if t in names()} | {homes()[t] for t in tails if t in homes()}

def allowed(name, wanted):
    rules = CORE[name] if name in CORE else FOLDERS[name.split(".")[0]] | {name.split(".")[0] + ".*"}
    return wanted in rules or wanted.split(".")[0] + ".*" in rules

def number(path):
    "The number in front of a notebook's name, or None."
    found = re.match(r"(\d\d)_", path.name)
    return int(found[1]) if found else None

@cache
def notebooks():
    "Module -> its notebook, by `#| default_exp`."
    found = {}
    for path in sorted(NOTEBOOKS.rglob("*.ipynb")):
        if any(part[0] in "._" for part in path.relative_to(NOTEBOOKS).parts): continue
        for cell in nbformat.read(path, 4).cells:
            said = re.search(r"^#\|\s*default_exp\s+(\S+)", cell.source, re.M)
            if said: found[said[1]] = path
    return found

def definitions(path):
    "Functions and classes of a module with their qualified names; what is defined inside a function is its own business."
    stack = [(n, n.name) for n in ast.iter_child_nodes(parsed(path)) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))]
    while stack:
        node, name = stack.pop()
        yield node, name
        if isinstance(node, ast.ClassDef):
            stack += [(n, f"{name}.{n.name}") for n in node.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))]

def called(node):
    "The dotted name of what a call calls; `?` stands for what has no name."
    f, parts = node.func, []
    while isinstance(f, ast.Attribute): parts.append(f.attr); f = f.value
    parts.append(f.id if isinstance(f, ast.Name) else "?")
    return ".".join(reversed(parts))


each = pytest.mark.parametrize("path", MODULES, ids=name_of)

def test_there_is_something_to_check(): assert MODULES

@each
def test_module_has_a_place_in_the_rule(path):
    name = name_of(path)
    assert name in CORE or name.split(".")[0] in FOLDERS, f"{name} has no line in the import rule; design section 3 decides where it belongs"

@each
def test_imports_only_what_the_rule_allows(path):
    name = name_of(path)
    wrong = sorted(w for w in ours(imports(path)) - {name} if not allowed(name, w))
    assert not wrong, f"{name} may not import {wrong}"

def test_no_import_circles():
    "Import statements at the top of modules never go round in a circle."
    graph = {name_of(p): ours(imports(p, inside=False)) - {name_of(p)} for p in MODULES}
    while free := [n for n, needs in graph.items() if not needs & graph.keys()]:
        for n in free: del graph[n]
    assert not graph, f"these modules import one another: {sorted(graph)}"

@each
def test_only_three_places_know_diffusers(path):
    if name_of(path) in DIFFUSERS or name_of(path).startswith("bench."): return
    assert not {n for n in imports(path) if n.split(".")[0] == "diffusers"}

def test_importing_anyms_is_light():
    "`import anyms` loads none of our modules and nothing heavy."
    loaded = {n.split(".")[0] for n in imports(PACKAGE/"__init__.py", inside=False)}
    assert not loaded & {"torch", "numpy", "diffusers", "transformers", "matplotlib", "PIL", "pandas"} and not ours(imports(PACKAGE/"__init__.py", inside=False))

def test_public_names_exist():
    import anyms
    for name, home in homes().items():
        if home not in names(): pytest.fail(f"anyms.{name} should be in anyms/{home}.py, which does not exist")
        assert getattr(getattr(anyms, name), "__module__", f"anyms.{home}") == f"anyms.{home}"

@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_banned(path):
    "No torchvision (no CPU build), and nothing that can run code out of a file: weights are safetensors."
    assert not {n for n in imports(path) if n.split(".")[0] in BANNED}
    calls = [n for n in ast.walk(parsed(path)) if isinstance(n, ast.Call)]
    assert not [n.lineno for n in calls if called(n) in {"torch.load", "torch.save", "pd.read_pickle", "pandas.read_pickle", "eval", "exec"}]
    assert not [n.lineno for n in calls for k in n.keywords if k.arg == "allow_pickle" and getattr(k.value, "value", True) is not False]

def is_root(node):
    "sqrt(n), math.isqrt(n), n**.5"
    if isinstance(node, ast.Call): return called(node).split(".")[-1] in {"sqrt", "isqrt"}
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and isinstance(node.right, ast.Constant) and node.right.value == .5

@each
def test_no_grid_from_a_square_root(path):
    "A grid is carried as (gh, gw); a whole number made out of a square root is a guess that pictures are square."
    whole = {"int", "round", "floor", "ceil", "isqrt"}
    wrong = [n.lineno for n in ast.walk(parsed(path)) if isinstance(n, ast.Call) and called(n).split(".")[-1] in whole
             and (called(n).endswith("isqrt") or any(is_root(inner) for a in n.args for inner in ast.walk(a)))]
    assert not wrong, f"{name_of(path)}: lines {wrong}"

@each
def test_functions_fit_a_projector_screen(path):
    long = {f"{name}: {n.end_lineno-n.lineno+1}" for n, name in definitions(path)
            if not isinstance(n, ast.ClassDef) and n.end_lineno-n.lineno+1 > CEILING}
    assert not long, f"over {CEILING} lines: {sorted(long)}"

@each
def test_public_things_have_a_docstring(path):
    "A member that fits on one line says what it is by itself."
    public = [(n, name) for n, name in definitions(path) if not any(p.startswith("_") for p in name.split("."))]
    silent = [name for n, name in public if not ast.get_docstring(n) and not ("." in name and n.lineno == n.end_lineno)]
    assert not silent, f"{name_of(path)}: no docstring on {silent}"

@each
def test_module_comes_from_its_notebook(path):
    name = name_of(path)
    assert name in notebooks(), f"no notebook says `#| default_exp {name}`"
    source = notebooks()[name]
    head = path.read_text("utf8")[:600]
    assert "AUTOGENERATED! DO NOT EDIT!" in head and f"nbs/{source.relative_to(NOTEBOOKS).as_posix()}" in head
    assert re.sub(r"^\d\d_", "", source.stem) == name.split(".")[-1] and source.parent.relative_to(NOTEBOOKS).parts == tuple(name.split(".")[:-1])

@each
def test_module_matches_its_notebook(path):
    "Every exported line is in the module: a cheap form of `nbdev-export` leaving no difference."
    source = notebooks().get(name_of(path)) or pytest.fail("it has no notebook")
    lines = {l.strip() for l in path.read_text("utf8").splitlines()}
    cells = [c.source for c in nbformat.read(source, 4).cells if c.cell_type == "code" and re.search(r"^#\|\s*export[is]?\b", c.source, re.M)]
    exported = [l.strip() for c in cells for l in c.splitlines() if l.strip() and not re.match(r"\s*(#\||from\s+anyms|import\s)", l)]
    stale = [l for l in exported if l not in lines]
    assert not stale, f"run nbdev-export; these lines are in the notebook only: {stale[:3]}"

def test_every_notebook_with_a_module_has_been_exported():
    missing = sorted(n for n in notebooks() if n not in names())
    assert not missing, f"run nbdev-export: {missing}"

@each
def test_imports_only_lower_numbered_modules(path):
    "Whoever reads the notebooks in order meets nothing that comes later."
    place = notebooks().get(name_of(path)) or pytest.fail("it has no notebook")
    for other in ours(imports(path, inside=False)) - {name_of(path)}:
        there = notebooks().get(other)
        if there and there.parent == place.parent: assert number(there) < number(place), f"{place.name} imports {there.name}"

@pytest.mark.parametrize("name", sorted(notebooks()))
def test_notebook_cells_import_only_lower_numbered_modules(name):
    "The same for cells that are not exported (a sticker as an example picture is welcome anywhere)."
    place, found = notebooks()[name], set()
    for cell in nbformat.read(notebooks()[name], 4).cells:
        if cell.cell_type != "code": continue
        code = re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", cell.source)
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, (ast.Import, ast.ImportFrom)): found.update(resolve(node, "anyms"))
    for other in ours(found) - {name}:
        there = notebooks().get(other)
        if (name, other) in {("pipeline", "widgets"), ("cli", "site")}: continue  # what Runs.explore() and `anyms docs` import when they are called
        if there and there.parent == place.parent: assert number(there) < number(place), f"{place.name} imports {there.name}"

def test_numbers_are_unique():
    for folder in {p.parent for p in notebooks().values()}:
        taken = [number(p) for p in notebooks().values() if p.parent == folder]
        assert None not in taken and len(set(taken)) == len(taken), f"{folder.name}: {sorted(map(str, taken))}"
