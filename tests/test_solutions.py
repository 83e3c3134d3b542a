"Solutions that fold on the page (`<details>`, code in a fence) do run: after all cells of their notebook, in order."
import re
from pathlib import Path

import nbformat
import pytest

from anyms.attention.variants import VARIANTS

NOTEBOOKS = Path(__file__).resolve().parents[1]/"nbs"
FOLDED = sorted(f"attention/{p.stem}" for p in (NOTEBOOKS/"attention").glob("*.ipynb"))      # those whose cells run in seconds


def solutions(path):
    "Code of the folded solutions, one text for each."
    cells = [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown"]
    folded = [body for source in cells for body in re.findall(r"<details><summary>Solution.*?</summary>(.*?)</details>", source, re.S)]
    return [code for body in folded for code in re.findall(r"^```python\n(.*?)^```", body, re.S | re.M)]


@pytest.mark.parametrize("name", FOLDED)
def test_folded_solutions_run(name):
    path, known = NOTEBOOKS/f"{name}.ipynb", dict(VARIANTS)
    found = solutions(path)
    assert found
    world = {"__name__": f"solutions_of_{name}"}
    cells = [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
    try:
        for code in [*cells, *found]: exec(compile(code, str(path), "exec"), world)
    finally:
        VARIANTS.clear()
        VARIANTS.update(known)


@pytest.mark.parametrize("name", FOLDED)
def test_a_folded_solution_is_one_block_of_html(name):
    "Blank lines around the inside, or JupyterLab shows the markdown as it is written."
    for cell in nbformat.read(NOTEBOOKS/f"{name}.ipynb", 4).cells:
        if "<details>" not in cell.source: continue
        assert cell.cell_type == "markdown" and re.fullmatch(r"<details><summary>Solution( \d)?</summary>\n\n.*\n\n</details>", cell.source, re.S)
