"The house rules that code can check: who imports whom, how densely it is written, what is never used (CONTRIBUTING.md)."
import ast
import importlib
import re
from functools import cache

import nbformat
import pytest

import measure
from measure import NOTEBOOKS, PACKAGE, ROOT, TESTS, name_of, parsed

FILES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "_modidx.py")
MODULES = measure.modules()
CEILING = 40     # lines of a function: what fits a projector screen
NODES = 250      # syntax nodes of a function's body: what is read once
COLUMNS = 140    # the widest line
LENGTH = 300     # lines of a module
STRETCH = 60     # exported lines without a sentence between
LONG = {"images"}  # modules over LENGTH: reading, drawing and writing pictures, told six times before

# The import rule: arrows point down only. A module's floor is its folder, or its own name; it may use what stands before it,
# and of its own folder what has a lower number.
FLOORS = [
    {"validate", "storage"}, {"images"}, {"layout"}, {"attention"}, {"maps"}, {"pipeline"},
    {"stickers.world"}, {"shell", "widgets"}, {"stickers"}, {"lessons", "bench", "demo"}, {"paper"}, {"classroom"},
    {"doctor", "server"}, {"cli"},
]
APART = {"site": set()}  # what is on no floor -> what it may import: the site reads what is stored and runs nothing
TIPTOP = {"cli": {"site"}}  # what a floor may use besides
DIFFUSERS = {f"attention.{room}" for room in ("toy", "adapter", "inputs", "state", "processors", "install")} | {"pipeline", "stickers.model", "stickers.training.decoder", "bench", "paper"}
BANNED = {"torchvision", "torchaudio", "pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


def floor(name):
    "The floor of a module: its longest known prefix and how high that lies; None for what stands apart."
    parts = name.split(".")
    for k in range(len(parts), 0, -1):
        prefix = ".".join(parts[:k])
        height = next((i for i, names in enumerate(FLOORS) if prefix in names), None)
        if height is not None: return prefix, height
    return parts[0], None

def within(name, places):
    "Does a module stand in one of these places (a folder or a module)?"
    return any(name == p or name.startswith(f"{p}.") for p in places)

def allowed(name, wanted):
    "May a module import another?"
    (home, height), (there, below) = floor(name), floor(wanted)
    if home == there: return True
    if height is None: return within(wanted, APART[home])
    if within(wanted, TIPTOP.get(home, ())): return True
    return below is not None and below < height

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
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING": continue  # a type carries no code
        if isinstance(node, (ast.Import, ast.ImportFrom)): found.update(resolve(node, package))
        if inside or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)): stack.extend(ast.iter_child_nodes(node))
    return found

@cache
def names(): return {name_of(p) for p in MODULES}

@cache
def homes():
    "Public name -> module, as `anyms/__init__.py` says (what `from anyms import Layout` loads)."
    import anyms
    return {n: anyms.HOMES[n] for n in anyms.__all__ if n in anyms.HOMES}

def ours(found):
    "Which modules of ours a set of absolute names means."
    tails = {n.removeprefix("anyms.") for n in found if n.startswith("anyms.")}
    return {t for t in tails if t in names()} | {homes()[t] for t in tails if t in homes()}

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
    stack = [(n, n.name) for n in ast.iter_child_nodes(parsed(path))
        if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))]
    while stack:
        node, name = stack.pop()
        yield node, name
        if isinstance(node, ast.ClassDef):
            stack += [(n, f"{name}.{n.name}") for n in node.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))]

def called(node):
    "The dotted name of what a call calls; `?` stands for what has no name."
    f, parts = node.func, []
    while isinstance(f, ast.Attribute):
        parts.append(f.attr)
        f = f.value
    parts.append(f.id if isinstance(f, ast.Name) else "?")
    return ".".join(reversed(parts))


each = pytest.mark.parametrize("path", MODULES, ids=name_of)


# who imports whom

def test_there_is_something_to_check(): assert MODULES

@each
def test_module_has_a_floor(path):
    home, height = floor(name_of(path))
    assert height is not None or home in APART, f"{name_of(path)} has no place in FLOORS; CONTRIBUTING.md says where it may belong"

@each
def test_arrows_point_down(path):
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
def test_imports_of_ours_stand_on_top(path):
    "A reader looks for them there; only commands load what they need when they are called."
    if name_of(path) in ("cli", "doctor", "server", "paper.run.terminal", "classroom.terminal"): return  # the doctor comes where torch is lacking
    late = ours(imports(path)) - ours(imports(path, inside=False))
    assert not late, f"{name_of(path)} imports {sorted(late)} inside a function"

@each
def test_nobody_reaches_into_another_room(path):
    "What another module needs is public."
    reached = [f"{n.module}.{a.name}" for n in ast.walk(parsed(path)) if isinstance(n, ast.ImportFrom)
        and (n.module or "").startswith("anyms")
               for a in n.names if re.match(r"_(?!_)", a.name)]
    assert not reached, f"{name_of(path)} imports {reached}"

@each
def test_few_places_know_diffusers(path):
    if within(name_of(path), DIFFUSERS): return
    assert not {n for n in imports(path) if n.split(".")[0] == "diffusers"}

def test_importing_anyms_is_light():
    "`import anyms` loads none of our modules and nothing heavy."
    loaded = {n.split(".")[0] for n in imports(PACKAGE/"__init__.py", inside=False)}
    heavy = {"torch", "numpy", "diffusers", "transformers", "matplotlib", "PIL", "pandas", "fastcore"}
    assert not loaded & heavy and not ours(imports(PACKAGE/"__init__.py", inside=False))

def test_public_names_exist():
    import anyms
    for name, home in homes().items():
        if home not in names(): pytest.fail(f"anyms.{name} should be in anyms/{home}.py, which does not exist")
        assert getattr(getattr(anyms, name), "__module__", f"anyms.{home}") == f"anyms.{home}"

@pytest.mark.parametrize("folder", sorted(p.parent for p in FILES if p.name == "__init__.py" and p.parent != PACKAGE), ids=name_of)
def test_a_floor_hands_on_its_public_names(folder):
    package = importlib.import_module(f"anyms.{name_of(folder)}")
    assert package.__doc__ and all(getattr(package, name) is not None for name in getattr(package, "__all__", ()))

GONE = {  # what was renamed stays renamed: one name for one thing
    "anyms": "Runs Maps", "anyms.attention": "topmost shares quickest Look own SubjectAttention Installed",
    "anyms.maps": "Heat Maps paint normalise film row", "anyms.pipeline": "Runs find_words figures sheet", "anyms.widgets": "Moments stepper",
    "anyms.layout": "colour", "anyms.stickers.world": "paint backdrop tell stories copied dressed wears listed",
    "anyms.stickers.training": "Run timed begin predict publish clean_error", "anyms.stickers.judge": "FIGURES wide worn best_pairs",
}

@pytest.mark.parametrize("module, name", [(module, name) for module, names in GONE.items() for name in names.split()])
def test_old_names_are_gone(module, name): assert not hasattr(importlib.import_module(module), name)

@pytest.mark.parametrize("module", "attend processors heatmap capture stickers.train stickers.decoder bench.speed".split())
def test_old_modules_are_gone(module):
    with pytest.raises(ImportError): importlib.import_module(f"anyms.{module}")

@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_and_a_public_name_never_share_a_name(path):
    "Python would put the module in the function's place after the first import."
    folder = importlib.import_module(".".join(["anyms", *name_of(path).split(".")[:-1]]))
    assert path.stem not in getattr(folder, "__all__", ())

@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_banned(path):
    "No torchvision (no CPU build), and nothing that can run code out of a file: weights are safetensors."
    assert not {n for n in imports(path) if n.split(".")[0] in BANNED}
    calls = [n for n in ast.walk(parsed(path)) if isinstance(n, ast.Call)]
    assert not [n.lineno for n in calls
        if called(n) in {"torch.load", "torch.save", "pd.read_pickle", "pandas.read_pickle", "eval", "exec"}]
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


# how it reads

@each
def test_functions_fit_a_projector_screen(path):
    long = {f"{name}: {n.end_lineno-n.lineno+1}" for n, name in definitions(path)
            if not isinstance(n, ast.ClassDef) and n.end_lineno-n.lineno+1 > CEILING}
    assert not long, f"over {CEILING} lines: {sorted(long)}"

@each
def test_functions_are_read_once(path):
    dense = {f"{f.name}: {measure.body_nodes(f)}" for f in measure.functions(parsed(path)) if measure.body_nodes(f) > NODES}
    assert not dense, f"over {NODES} syntax nodes: {sorted(dense)}; name the thing in the middle"

@each
def test_modules_are_one_idea(path):
    lines = path.read_text("utf8").count("\n")
    assert lines <= LENGTH or name_of(path) in LONG, f"{lines} lines: which two ideas are in it?"

WRITTEN = [*MODULES, *(p for p in sorted(TESTS.rglob("*.py")) if "vendor" not in p.parts)]

@pytest.mark.parametrize("path", WRITTEN, ids=lambda p: str(p.relative_to(ROOT)))
def test_one_statement_a_line(path):
    text = path.read_text("utf8")
    wide = [] if TESTS in path.parents else [i for i, line in enumerate(text.splitlines(), 1) if len(line) > COLUMNS]
    found = dict(semicolons=measure.semicolons(text), conditionals=measure.nested_conditionals(parsed(path)),
        lambdas=measure.named_lambdas(parsed(path)), wide=wide)
    assert not any(found.values()), found

@each
def test_what_is_public_is_typed_and_described(path):
    rows = list(measure.public_parameters(path))
    untyped = [f"{f}({x})" for f, x, typed, _ in rows if not typed]
    silent = [f"{f}({x})" for f, x, _, described in rows if not described]
    assert len(untyped) <= .05*len(rows) + 1 and len(silent) <= .15*len(rows) + 1, dict(untyped=untyped, silent=silent)

def test_the_whole_reads_well():
    "The bars of the house, over all modules; `python tests/house/measure.py -v` shows who pulls them up."
    upstairs = [p for p in MODULES if name_of(p).split(".")[0] in ("stickers", "bench", "paper")]
    for paths, bar, median in (([p for p in MODULES if p not in upstairs], 10, 60), (upstairs, 10.5, 80)):  # five lines of arithmetic have 80
        nodes = sorted(n for p in paths for n in map(measure.body_nodes, measure.functions(parsed(p))))
        code = [line for p in paths for line in measure.code_lines(p.read_text("utf8"))]
        assert sum(1 for p in paths for _ in ast.walk(parsed(p))) <= bar*len(code)
        assert nodes[len(nodes)//2] <= median and measure.percentile(nodes, .9) <= 180
        assert sum(len(line) > 120 for line in code) <= .03*len(code)

def test_cells_are_small():
    exported = [n for p in measure.notebooks() for c in measure.cells(p) if (n := measure.exported_lines(c))]
    assert measure.percentile(exported, .5) <= 10 and measure.percentile(exported, .9) <= 24

@pytest.mark.parametrize("path", measure.notebooks(), ids=lambda p: str(p.relative_to(NOTEBOOKS)))
def test_no_long_way_without_a_sentence(path):
    assert measure.longest_stretch(path) <= STRETCH

def test_nothing_is_told_twice():
    assert len(measure.repeated()) <= 5, measure.repeated()

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
    assert re.sub(r"^\d\d_", "", source.stem) == name.split(".")[-1]
    assert source.parent.relative_to(NOTEBOOKS).parts == tuple(name.split(".")[:-1])

@each
def test_module_matches_its_notebook(path):
    "Every exported line is in the module: a cheap form of `nbdev-export` leaving no difference."
    source = notebooks().get(name_of(path)) or pytest.fail("it has no notebook")
    lines = {line.strip() for line in path.read_text("utf8").splitlines()}
    cells = [c.source for c in nbformat.read(source, 4).cells if c.cell_type == "code"
        and re.search(r"^#\|\s*export[is]?\b", c.source, re.M)]
    exported = [line.strip() for c in cells for line in c.splitlines() if line.strip()
        and not re.match(r"\s*(#\||from\s+anyms|import\s)", line)]
    stale = [line for line in exported if line not in lines]
    assert not stale, f"run nbdev-export; these lines are in the notebook only: {stale[:3]}"

def test_every_notebook_with_a_module_has_been_exported():
    missing = sorted(n for n in notebooks() if n not in names())
    assert not missing, f"run nbdev-export: {missing}"


# notebooks in their order

@each
def test_imports_only_lower_numbered_modules(path):
    "Whoever reads the notebooks in order meets nothing that comes later."
    place = notebooks().get(name_of(path)) or pytest.fail("it has no notebook")
    for other in ours(imports(path, inside=False)) - {name_of(path)}:
        there = notebooks().get(other)
        if there and there.parent == place.parent: assert number(there) < number(place), f"{place.name} imports {there.name}"

def cell_imports(path):
    "Absolute names of what a notebook's cells import, the ones that are not exported too."
    found = set()
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type != "code": continue
        code = re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", cell.source)
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, (ast.Import, ast.ImportFrom)): found.update(resolve(node, "anyms"))
    return found

@pytest.mark.parametrize("name", sorted(notebooks()))
def test_notebook_cells_import_only_lower_numbered_modules(name):
    "The same for cells that are not exported (a sticker as an example picture is welcome anywhere)."
    place = notebooks()[name]
    for other in ours(cell_imports(place)) - {name}:
        there = notebooks().get(other)
        if there and there.parent == place.parent and place.parent != NOTEBOOKS:
            assert number(there) < number(place), f"{place.name} imports {there.name}"

def test_numbers_are_unique():
    for folder in {p.parent for p in notebooks().values()}:
        taken = [number(p) for p in notebooks().values() if p.parent == folder]
        assert None not in taken and len(set(taken)) == len(taken), f"{folder.name}: {sorted(map(str, taken))}"
