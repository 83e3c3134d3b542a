"""How the code reads, in figures: python tests/house/measure.py [-v] [anyms/attention nbs/attention ...]

Nodes are those of Python's syntax tree (ast.walk); a function is measured by its body, a line of code is neither blank nor a comment.
The bars are those of the architecture test and of CONTRIBUTING.md.
"""
import ast
import json
import re
import statistics
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE, NOTEBOOKS, TESTS = ROOT/"anyms", ROOT/"nbs", ROOT/"tests"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def parsed(path):
    return ast.parse(path.read_text("utf8"), str(path))


def modules():
    "Every module that comes from a notebook."
    return sorted(p for p in PACKAGE.rglob("*.py") if p.name not in ("_modidx.py", "__init__.py"))


def name_of(path):
    "anyms/attention/variants.py -> attention.variants"
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def functions(tree):
    return [n for n in ast.walk(tree) if isinstance(n, FUNCTIONS)]


def body_nodes(function):
    return sum(1 for statement in function.body for _ in ast.walk(statement))


def nested_conditionals(tree):
    "Lines with a conditional expression inside a conditional expression."
    outer = [n for n in ast.walk(tree) if isinstance(n, ast.IfExp)]
    return [n.lineno for n in outer if any(isinstance(m, ast.IfExp) for m in ast.walk(n) if m is not n)]


def named_lambdas(tree):
    "Lines where a lambda gets a name of its own; one that is hung on an object is no function with a name."
    assigned = [n for n in ast.walk(tree) if isinstance(n, (ast.Assign, ast.AnnAssign)) and isinstance(n.value, ast.Lambda)]
    return [n.lineno for n in assigned if all(isinstance(t, ast.Name) for t in getattr(n, "targets", [getattr(n, "target", None)]))]


def semicolons(text):
    "Lines where `;` parts two statements: where one statement begins on the line on which another ends."
    body_lists = [v for n in ast.walk(ast.parse(text)) for v in ast.iter_fields(n) if isinstance(v[1], list)]
    pairs = [(a, b) for _, items in body_lists for a, b in zip(items, items[1:]) if isinstance(a, ast.stmt) and isinstance(b, ast.stmt)]
    return [b.lineno for a, b in pairs if b.lineno == a.end_lineno]


def code_lines(text):
    return [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def public_functions(tree):
    "Public functions and methods of public classes, not what is defined inside a function."
    for node in tree.body:
        if isinstance(node, FUNCTIONS) and not node.name.startswith("_"): yield node
        if not isinstance(node, ast.ClassDef) or node.name.startswith("_"): continue
        yield from (m for m in node.body if isinstance(m, FUNCTIONS) and not m.name.startswith("_"))


def public_parameters(path):
    "(function, parameter, is it typed, is it described behind it) of a module."
    lines = path.read_text("utf8").splitlines()
    for f in public_functions(parsed(path)):
        a, command = f.args, any(getattr(d, "id", "") == "_command" for d in f.decorator_list)  # typer's help describes what a command takes
        for x in [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, [a.vararg, a.kwarg])]:
            if x.arg in ("self", "cls"): continue
            yield f.name, x.arg, x.annotation is not None, "#" in lines[x.lineno - 1][x.col_offset:] or command


@cache
def cells(path):
    return json.loads(path.read_text("utf8"))["cells"]


def notebooks():
    found = sorted(NOTEBOOKS.rglob("*.ipynb"))
    return [p for p in found if not any(part[0] in "._" for part in p.relative_to(NOTEBOOKS).parts)]


def exported_lines(cell):
    "Lines of code that a cell exports."
    source = "".join(cell["source"])
    if cell["cell_type"] != "code" or not re.search(r"^#\|\s*export", source, re.M): return 0
    return sum(1 for line in source.splitlines() if line.strip() and not line.startswith("#|"))


def longest_stretch(path):
    "Most lines of exported code without a sentence between."
    longest = current = 0
    for cell in cells(path):
        current = 0 if cell["cell_type"] == "markdown" else current + exported_lines(cell)
        longest = max(longest, current)
    return longest


def repeated(least=6):
    "Pairs of places in modules with the same `least` lines of code, longest runs first, each counted once."
    windows, pairs = {}, {}
    for path in modules():
        lines = [re.sub(r"\s*#.*", "", line).strip() for line in code_lines(path.read_text("utf8"))]
        lines = [line for line in lines if line and not line.startswith(("import ", "from ", "@", '"', ")", "]"))]
        lines = [line for line in lines if not re.fullmatch(r"[\w*]+:.*,|def (draw|prepare|attention)\(self,", line)]  # one interface, many classes
        for i in range(len(lines) - least + 1):
            key = tuple(lines[i:i + least])
            for other, j in windows.setdefault(key, []):
                if (other, path) not in pairs or pairs[other, path][1] + 1 < i: pairs[other, path] = (j, i)
                else: pairs[other, path] = (pairs[other, path][0], i)
            windows[key].append((path, i))
    return [(name_of(a), name_of(b)) for a, b in pairs]


def percentile(values, share):
    return sorted(values)[int(share*len(values))] if values else 0


@dataclass
class Figures:
    "The figures of some modules."
    paths: list
    nodes: list = field(default_factory=list)  # of every function

    def __post_init__(self):
        self.nodes = [body_nodes(f) for p in self.paths for f in functions(parsed(p))]

    def report(self):
        texts = [p.read_text("utf8") for p in self.paths]
        code = [line for t in texts for line in code_lines(t)]
        per_line = sum(1 for p in self.paths for _ in ast.walk(parsed(p)))/max(1, len(code))
        sizes = {name_of(p): t.count("\n") for p, t in zip(self.paths, texts)}
        wide = sum(len(line) > 120 for line in code)/max(1, len(code))
        parameters = [x for p in self.paths for x in public_parameters(p)]
        typed, described = (sum(x[k] for x in parameters)/max(1, len(parameters)) for k in (2, 3))
        yield f"{len(sizes)} modules, median {statistics.median(sizes.values()):.0f} lines, over 300: {[n for n in sizes if sizes[n] > 300]}"
        yield f"nodes a line {per_line:.1f}; a function: median {statistics.median(self.nodes):.0f}, p90 {percentile(self.nodes, .9)}, most {max(self.nodes)}"
        yield f"lines over 120 columns {wide:.1%}; `;` {sum(len(semicolons(t)) for t in texts)}"
        yield (f"conditionals in conditionals {sum(len(nested_conditionals(parsed(p))) for p in self.paths)}; "
               f"named lambdas {sum(len(named_lambdas(parsed(p))) for p in self.paths)}")
        yield f"{len(parameters)} public parameters: typed {typed:.0%}, described {described:.0%}"

    def details(self):
        for p in self.paths:
            dense = sorted(((body_nodes(f), f.name) for f in functions(parsed(p))), reverse=True)[:5]
            rows = list(public_parameters(p))
            yield f"{name_of(p):36} {', '.join(f'{name} {n}' for n, name in dense)}"
            yield f"    untyped {sorted({f'{f}.{x}' for f, x, t, _ in rows if not t})}; undescribed {sorted({f'{f}.{x}' for f, x, _, d in rows if not d})}"


def main(arguments):
    verbose, prefixes = "-v" in arguments, [a for a in arguments if a != "-v"]
    wanted = [p for p in modules() if not prefixes or p.relative_to(ROOT).as_posix().startswith(tuple(prefixes))]
    upstairs = {p for p in wanted if name_of(p).split(".")[0] in ("stickers", "bench", "paper")}
    for title, paths in (("core", [p for p in wanted if p not in upstairs]), ("stickers, bench and paper", sorted(upstairs))):
        if not paths: continue
        print(f"{title}:", *Figures(paths).report(), sep="\n    ")
        if verbose: print("   ", *Figures(paths).details(), sep="\n    ")
    books = [p for p in notebooks() if not prefixes or p.relative_to(ROOT).as_posix().startswith(tuple(prefixes))]
    exported = [n for p in books for c in cells(p) if (n := exported_lines(c))]
    if exported:
        print(f"exported cells: median {statistics.median(exported):.0f} lines, p90 {percentile(exported, .9)}, most {max(exported)}")
        print("longest stretches without a sentence:", sorted(((longest_stretch(p), p.stem) for p in books), reverse=True)[:5])
    if not prefixes: print("repeated (six lines or more):", repeated())


if __name__ == "__main__": main(sys.argv[1:])
