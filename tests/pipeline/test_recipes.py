"The page of recipes: what is not run there is true all the same: every name and argument exists."
import ast, importlib, inspect, json, re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CELLS = json.loads((ROOT/"nbs"/"recipes.ipynb").read_text("utf8"))["cells"]
PROSE = "\n".join("".join(c["source"]) for c in CELLS if c["cell_type"] == "markdown")
BLOCKS = re.findall(r"(?s)```python\n(.*?)```", PROSE)


def ours():
    "Every name that a block may call of ours."
    import anyms
    return {name: getattr(anyms, name) for name in anyms.__all__}

def wrong_arguments(code, known):
    "Keywords of calls of known functions that these do not take."
    said = []
    for call in ast.walk(ast.parse(code)):
        if not isinstance(call, ast.Call) or getattr(call.func, "id", None) not in known: continue
        taken = inspect.signature(known[call.func.id]).parameters
        open_ended = any(p.kind is p.VAR_KEYWORD for p in taken.values())
        said += [f"{call.func.id}({k.arg}=)" for k in call.keywords if k.arg and k.arg not in taken and not open_ended]
    return said


def test_there_are_recipes(): assert len(BLOCKS) >= 5

@pytest.mark.parametrize("code", BLOCKS, ids=range(len(BLOCKS)))
def test_what_is_not_run_takes_what_it_is_given(code):
    assert not wrong_arguments(code, ours())
    assert all(len(line) <= 88 for line in code.splitlines())

def test_a_wrong_argument_would_be_seen():
    assert wrong_arguments("load('x', adaptor=1)", ours()) == ["load(adaptor=)"]

@pytest.mark.parametrize("code", BLOCKS, ids=range(len(BLOCKS)))
def test_imports_exist(code):
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.ImportFrom): continue
        module = importlib.import_module(node.module)
        for alias in node.names: assert hasattr(module, alias.name), f"{node.module}.{alias.name}"

def test_what_is_not_run_says_so():
    "A block of Python in prose stands below the words that say it was not run."
    for cell in CELLS:
        text = "".join(cell["source"])
        if "```python" in text: assert "*Not run here" in text.split("```python")[0], text[:80]

@pytest.mark.parametrize("wanted",
    ["My own photograph", "A mask instead of a box", "SDXL", "My own checkpoint", "A LoRA", "A ControlNet",
        "Many layouts", "What it costs"])
def test_every_question_has_its_recipe(wanted): assert re.search(rf"(?m)^## {wanted}", PROSE)

def test_every_recipe_says_what_it_needs_and_costs():
    for part in re.split(r"(?m)^## ", PROSE)[1:]:
        if part.startswith("What it costs"): continue
        assert "**Needs**" in part and "**Costs**" in part, part[:40]

def test_the_frame_of_a_layout_is_said(): assert "A layout spans whatever the U-Net is called on" in PROSE

def test_the_checkpoint_recipe_on_a_tiny_model(tmp_path):
    "A pipeline and an adapter opened by diffusers take a layout as they are; so does a second pipeline around their parts."
    import diffusers
    from conftest import picture, tiny
    from anyms import Layout, Subject, generate, installed
    pipe = tiny("sdxl")
    layout = Layout([Subject("fox", picture(0), (0, 0, .5, 1)), Subject("hat", picture(1), (.5, 0, 1, 1))])
    assert generate(pipe, "fox hat", layout, num_inference_steps=1, progress=False).image.size == (32, 32)
    around = diffusers.StableDiffusionXLImg2ImgPipeline(**pipe.components, add_watermarker=False)
    around.set_progress_bar_config(disable=True)
    with installed(around.unet, layout):
        made = around("fox", image=picture(2).resize((32, 32)), ip_adapter_image=[layout.images], num_inference_steps=2, strength=1.)
    assert made.images[0].size == (32, 32)
