"What a place reads: the softmax over each reference's own tokens, neutral, bounded, beside a capture; a picture only where cells are known."
import numpy as np
import pytest
import torch

from anyms.attention.install import installed
from anyms.attention.toy import denoise, toy_inputs, toy_unet
from anyms.attention.variants import KV
from anyms.images import square
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.maps.reads import capture_reads, estimate_reads, read_map, read_picture, read_places, read_weights
from anyms.maps.record import capture
from anyms.stickers.world.sprites import sprite


@pytest.fixture(scope="module")
def layout():
    return Layout([Subject("fox", sprite("fox"), (0, 0, .5, 1)), Subject("crown", sprite("crown"), (.4, 0, 1, .5), priority=1)])

@pytest.fixture(scope="module")
def unet(): return toy_unet()

def draw(unet, layout, variant="crop_merge"):
    with installed(unet, layout, variant): return denoise(unet, toy_inputs(len(layout)))

@pytest.fixture(scope="module")
def reads(unet, layout):
    with capture_reads(unet) as reads: draw(unet, layout)
    return reads


def test_weights_are_the_softmax_of_each_reference_alone():
    g = torch.Generator().manual_seed(1)
    q, k = torch.randn(2, 3, 5, 8, generator=g), torch.randn(2, 4, 3, 6, 8, generator=g)
    weights = read_weights(q, KV(k, k))
    for b, s, h, n in [(0, 0, 0, 0), (1, 3, 2, 4), (0, 2, 1, 3)]:
        assert torch.allclose(weights[b, s, h, n], (k[b, s, h] @ q[b, h, n]/8**.5).softmax(0), atol=1e-6)

@pytest.mark.parametrize("variant", ["full", "masked", "crop_merge", "fused", "joint"])
def test_watching_is_neutral(unet, layout, variant):
    plain = draw(unet, layout, variant)
    with capture_reads(unet): watched = draw(unet, layout, variant)
    assert torch.equal(plain, watched) and not hasattr(unet, "attn_recorder")

def test_its_size_is_known_before(unet, layout, reads):
    assert reads.nbytes == estimate_reads(unet, (16, 24), 2, 4, 4)
    assert reads.names == layout.names and reads.steps == [0, 1, 2, 3] and len(reads.layers) == len(reads.grids)

@pytest.mark.parametrize("reads_first", [True, False])
def test_it_watches_beside_a_capture(unet, layout, reads, reads_first):
    contexts = [capture_reads(unet), capture(unet, "mass")]
    if not reads_first: contexts.reverse()
    with capture(unet, "mass") as alone: draw(unet, layout)
    with contexts[0] as one, contexts[1] as other: draw(unet, layout)
    found, maps = (one, other) if reads_first else (other, one)
    assert all(np.array_equal(found.maps[key], reads.maps[key]) for key in reads.maps)
    assert all(np.array_equal(maps.maps[key], alone.maps[key]) for key in alone.maps)
    assert not hasattr(unet, "attn_recorder")

def test_two_of_a_kind_are_refused(unet):
    with capture_reads(unet), pytest.raises(RuntimeError, match="already being captured"):
        with capture_reads(unet): pass

def test_too_much_is_refused_and_nobody_stays_behind(unet, layout):
    with pytest.raises(ValueError, match="limit_mb"), capture_reads(unet, limit_mb=.001): draw(unet, layout)
    assert not hasattr(unet, "attn_recorder")

def test_layers_heads_and_steps(reads):
    fine = read_map(reads, "fox", step=1)
    assert fine.shape == (16, 24, 4) and np.allclose(fine.sum(-1), 1, atol=5e-3)
    assert np.allclose(read_map(reads, "fox"), np.mean([read_map(reads, "fox", step) for step in reads.steps], 0), atol=1e-5)
    coarse = [layer for layer, grid in reads.grids.items() if grid == (8, 12)]
    heads = [read_map(reads, "fox", 1, coarse[0], head) for head in (0, 1)]
    assert np.allclose(np.mean(heads, 0), read_map(reads, "fox", 1, coarse[0]), atol=1e-5) and not np.allclose(*heads)

@pytest.mark.parametrize("given, said", [
    (dict(subject="owl"), "subject='owl'"), (dict(subject="fox", step=9), "step=9"), (dict(subject="fox", layers="blocks"), "different grids"),
    (dict(subject="fox", head=7, layers="up_blocks.1.attentions.0"), "head=7")])
def test_what_was_not_captured_is_named(reads, given, said):
    with pytest.raises(ValueError, match=said): read_map(reads, **given)

def test_nothing_drawn_is_said(unet):
    with capture_reads(unet) as empty: pass
    with pytest.raises(ValueError, match="reads is empty"): read_map(empty, "fox")

def test_a_picture_needs_cells():
    weights, image = np.full((2, 3, 4), .25, np.float32), square(sprite("fox"))
    with pytest.raises(ValueError, match="learned queries"): read_picture(weights, image, None)
    with pytest.raises(ValueError, match="9 cells, and this adapter makes 4 tokens"): read_picture(weights, image, (3, 3))
    assert read_picture(weights, image, (2, 2)).size == (3, 2)
    assert np.allclose(read_places(weights, (2, 2)), .5)

def test_generate_watches_beside_it(pipes):
    "stats= of one call and reads around it; the picture is the same, and maps of generate are whole."
    from anyms.pipeline.generation import generate
    pipe = pipes("sdxl-plus")
    layout = Layout([Subject("fox", sprite("fox"), (0, 0, .5, 1)), Subject("hat", sprite("hat"), (.5, 0, 1, 1))])
    options = dict(num_inference_steps=2, progress=False)
    plain = generate(pipe, "a fox and a hat", layout, "full", **options)
    with capture_reads(pipe.unet) as reads: watched = generate(pipe, "a fox and a hat", layout, "full", stats="norm", **options)
    assert np.array_equal(np.asarray(plain.image), np.asarray(watched.image)) and watched.maps.stats and reads.steps == [0, 1]
