"What the tests of the pipeline share: a tiny SDXL with a Plus adapter, a fox and a hat, and a way to draw them."
import pytest
from pictures import PROMPT, picture

from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.pipeline.generation import generate


@pytest.fixture(scope="module")
def pipe(pipes): return pipes("sdxl-plus")


@pytest.fixture(scope="module")
def layout():
    return Layout([Subject("fox", image=picture(230, 120, 20), box=(.0, .5, .5, 1.)),
                   Subject("hat", image=picture(250, 210, 40), box=(.25, .0, .75, .6), priority=1)])


@pytest.fixture(scope="module")
def draw(pipe, layout):
    def draw(variant="crop_merge", **kw):
        return generate(pipe, PROMPT, layout, variant, **{**dict(num_inference_steps=2, progress=False), **kw})
    return draw
