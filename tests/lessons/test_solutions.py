"Solutions that fold on the page (`<details>`, code in a fence) do run: after all cells of their notebook, in order."
import re
import sys
from codeop import Compile
from pathlib import Path
from types import ModuleType

import nbformat
import pytest

from anyms.attention.variants import VARIANTS

ROOT = Path(__file__).resolve().parents[2]/"nbs"
FOLDERS = ["attention", "maps", "lessons", "paper/metrics", "paper/study"]  # of notebooks whose cells run in seconds
FOLDED = [p for folder in FOLDERS for p in sorted((ROOT/folder).glob("*.ipynb")) if "</summary>" in p.read_text("utf8")]


def cells(path, kind): return [c.source for c in nbformat.read(path, 4).cells if c.cell_type == kind]


def solutions(path):
    "Code of the folded solutions, one text for each."
    text = "\n".join(cells(path, "markdown"))
    folded = "\n".join(re.findall(r"<details>\s*<summary>.*?</summary>(.*?)</details>", text, re.S))
    return re.findall(r"^```python\n(.*?)^```", folded, re.S | re.M)


@pytest.mark.parametrize("path", FOLDED, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_folded_solutions_run(path, monkeypatch):
    known, module = dict(VARIANTS), ModuleType(f"solutions_of_{path.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look their module up
    monkeypatch.chdir(path.parent)   # as a notebook: stored tables lie beside the page
    compiled = Compile()  # remembers `from __future__` from cell to cell, as a notebook does
    try:
        for code in [*cells(path, "code"), *solutions(path)]: exec(compiled(code, str(path), "exec"), module.__dict__)
    finally:
        VARIANTS.clear()
        VARIANTS.update(known)


@pytest.mark.parametrize("path", FOLDED, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_a_folded_solution_is_one_block_of_html(path):
    "Blank lines around the inside, or JupyterLab shows the markdown as it is written."
    for source in cells(path, "markdown"):
        if "<details>" not in source: continue
        blocks = re.findall(r"<details>(.*?)</details>", source, re.S)
        assert blocks and all(re.fullmatch(r"\n?<summary>[^<]+</summary>\n\n.*\n\n", block, re.S) for block in blocks)


def test_every_page_of_maps_and_lessons_has_a_solution():
    for folder in ("maps", "lessons"):
        for path in (ROOT/folder).glob("*.ipynb"): assert solutions(path), f"{path.name} has no solution that runs"
