"Solutions under a callout do run: after all cells of their notebook, in order."
import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[1]/"nbs"
SECONDS = ["00_validate", "01_storage", "02_images", "03_shell", "06_server",  # those whose cells run in seconds
           *(f"layout/{p.stem}" for p in sorted((NOTEBOOKS/"layout").glob("*.ipynb")))]


def solutions(cells):
    "Code of the folded solutions."
    folded = [c.source for c in cells if c.cell_type == "markdown" and c.source.startswith('::: {.callout-tip collapse="true"}')]
    return [code for source in folded for code in re.findall(r"^```python\n(.*?)^```", source, re.S | re.M)]


@pytest.mark.parametrize("name", SECONDS)
def test_solutions_under_a_callout_run(name):
    cells = nbformat.read(NOTEBOOKS/f"{name}.ipynb", 4).cells
    found, space = solutions(cells), {"__name__": f"solutions_of_{Path(name).name}"}
    assert found, "each notebook ends with exercises and their solutions"
    for code in [*(c.source for c in cells if c.cell_type == "code"), *found]: exec(compile(code, name, "exec"), space)
