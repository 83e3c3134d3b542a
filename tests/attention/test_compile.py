"torch.compile: one graph, no break, nothing compiled anew for another step, scale, seed or layout (counted by dynamo itself)."
import shutil

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from anyms.attention.install import installed
from anyms.attention.adapter import AdapterError
from anyms.bench import Stage, random_unet
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.pipeline.generation import generate
from anyms.pipeline.loading import load
from anyms.stickers.world.sprites import sprite

A = Layout([Subject("fox", box=(0, .25, .75, 1)), Subject("hat", box=(.5, 0, 1, .5), priority=1)])
B = Layout([Subject("cat", box=(0, 0, .5, .5), priority=2, scale=.3), Subject("sea", box=(.25, .25, 1, 1), scale=1.7)])


@pytest.fixture(scope="module")
def unet(): return random_unet()


class Graphs(list):
    "A compiler that compiles nothing and keeps every graph it is given."
    def __call__(self, module, example):
        self.append(module)
        return module.forward


@pytest.fixture
def graphs():
    torch._dynamo.reset()
    counters.clear()
    yield Graphs()
    torch._dynamo.reset()


@torch.no_grad()
def denoise(net, unet, layout, *, seed=0, times=(900., 500., 100.), **options):
    "Three steps of a bare loop through `net`, which is the U-Net or its compiled form."
    stage = Stage(unet, len(layout), (16, 16), seed)
    with installed(net, layout, **options):
        for t in times:
            stage.t = torch.tensor(t)
            stage.x = stage.x - .3*stage.call(net)
    return stage.x


def test_one_graph_for_all_steps_scales_seeds_and_layouts(unet, graphs):
    net = torch.compile(unet, backend=graphs, fullgraph=True)                      # fullgraph: a graph break would raise
    runs = [(A, {}), (A, dict(seed=3)), (A, dict(scale=.4)), (B, {}), (A, dict(times=(999., 1.))), (B, dict(seed=1, scale=2.))]
    for layout, options in runs:
        assert torch.equal(denoise(net, unet, layout, **options), denoise(unet, unet, layout, **options))
        assert len(graphs) == 1 and not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] == 1


def test_a_window_has_two_graphs(unet, graphs):
    net = torch.compile(unet, backend=graphs, fullgraph=True)
    for options in (dict(active_steps=(1, 2)), dict(active_steps=(0, 1)), dict(active_steps=(2, 3), seed=4)):
        assert torch.equal(denoise(net, unet, A, **options), denoise(unet, unet, A, **options))
        assert len(graphs) == 2                                                    # with and without the image branch


def test_compiled_before_and_after(unet, graphs):
    "The plain U-Net, then a layout, then the plain one again: each draws what it draws uncompiled."
    net = torch.compile(unet, backend=graphs)
    stage = Stage(unet, 2, (16, 16))
    with torch.no_grad():
        plain = stage.call()
        assert torch.equal(stage.call(net), plain)
        assert torch.equal(denoise(net, unet, A), denoise(unet, unet, A)) and not torch.equal(denoise(net, unet, A), denoise(net, unet, B))
        assert torch.equal(stage.call(net), plain)


def test_blocks_compiled_one_by_one(graphs):
    "diffusers' regional compilation: all blocks of a shape share one graph, so no layer may be told from another."
    unet = random_unet()
    want = denoise(unet, unet, A)
    unet.compile_repeated_blocks(backend=graphs, fullgraph=True)
    assert torch.allclose(denoise(unet, unet, A), want, atol=1e-6)
    first = len(graphs)
    assert first <= 2                                                              # as many as there are shapes, far fewer than layers
    for layout, options in ((A, dict(seed=3)), (B, dict(scale=.4))): denoise(unet, unet, layout, **options)
    assert len(graphs) == first and not counters["graph_break"]


def test_a_compiled_unet_installed_twice(unet):
    net, before = torch.compile(unet, backend="eager"), dict(unet.attn_processors)
    with pytest.raises(AdapterError, match="already installed on this U-Net; leave that"), installed(net, A), installed(net, B): pass
    with pytest.raises(AdapterError, match="already installed"), installed(unet, A), installed(net, B): pass
    assert all(unet.attn_processors[k] is p for k, p in before.items()) and not unet._forward_pre_hooks


def test_watching_a_compiled_unet(unet, graphs):
    "The recorder is Python and breaks the graph; the picture stays."
    net, shapes = torch.compile(unet, backend=graphs), []
    want = denoise(unet, unet, A)
    unet.attn_recorder = lambda record: shapes.append(record.parts().shape)
    try: assert torch.allclose(denoise(net, unet, A), want, atol=1e-6)
    finally: del unet.attn_recorder
    assert len(shapes) == 3*4


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++"))), reason="torch.compile needs a C++ compiler")
def test_a_real_compiler_draws_the_same_picture(graphs):                                        # for its resets before and after
    pipe = load("stickers", device="cpu")
    layout = Layout([Subject("fox", sprite("fox"), (.05, .4, .55, .95)), Subject("crown", sprite("crown"), (.15, .1, .45, .4), priority=1)])
    def draw():
        return np.asarray(generate(pipe, "a fox and a crown on the beach", layout, num_inference_steps=4, progress=False).image, int)
    plain = draw()
    pipe.unet = torch.compile(pipe.unet)
    assert abs(draw() - plain).max() <= 1
