"record: everything on real pipelines with random weights; watching changes nothing."
import numpy as np
import pytest
import torch
from conftest import KINDS, picture, run
from test_stats import hand_made

from anyms.attention.selection import layer_grids, select_layers, select_steps
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.maps.record import capture, estimate
from anyms.attention.install import installed

LAYOUT = Layout([Subject("fox", image=picture(1), box=(0, .25, .5, 1), priority=1), Subject("hat", image=picture(2), box=(.5, 0, 1, .5)),
                 Subject("cat", image=picture(3), box=(.25, .5, 1, 1), scale=.5)])
APART = Layout([Subject("fox", image=picture(1), box=(0, .25, .5, 1)), Subject("hat", image=picture(2), box=(.5, 0, 1, .5))])
VARIANTS = ["full", "masked", "crop_merge", "fused"]
ALL = dict(stats=("mass", "energy", "norm"))


def watch(pipe, layout=LAYOUT, variant="crop_merge", options=None, kw=None, **call):
    "AttentionMaps of a run and its latents."
    with installed(pipe.unet, layout, variant, **(options or {})), capture(pipe.unet, **(kw or {})) as maps:
        latents = run(pipe, layout.images, **call)
    return maps, latents


@pytest.fixture(scope="module")
def sdxl(pipes): return pipes("sdxl-plus")


# --- which layers, which steps ---------------------------------------------------------------------------------------------------
def test_layers_by_name_level_and_pattern():
    names = ["down_blocks.1.attn2", "mid_block.attn2", "up_blocks.0.attn2", "up_blocks.1.a.attn2"]
    assert select_layers(names) == names and select_layers(names, "up") == names[2:]
    assert select_layers(names, ["up", "down"]) == [names[0], *names[2:]]
    assert select_layers(names, "up_blocks.0.attn2") == [names[2]] and select_layers(names, r"blocks\.1") == [names[0], names[3]]


@pytest.mark.parametrize("steps, want", [
    (None, range(8)), (3, [3]), (range(2, 4), [2, 3]), (slice(0, None, 4), [0, 4]), (slice(5, None), [5, 6, 7]), ((2, 5), [2, 3, 4]),
    ([2, 5], [2, 3, 4]), ({0, 5, 7}, [0, 5, 7]), (np.int64(2), [2]), (slice(None), range(8))])
def test_steps(steps, want): assert [t for t in range(8) if t in select_steps(steps)] == list(want)


# --- watching changes nothing ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("variant", VARIANTS)
def test_watching_changes_nothing(pipe, variant):
    "Bit for bit, for every kind of pipeline, with overlapping boxes, priorities and scales."
    latent = (16, 24)
    with installed(pipe.unet, LAYOUT, variant):
        alone = run(pipe, LAYOUT.images, latent=latent, steps=2)
        with capture(pipe.unet, **ALL) as maps: watched = run(pipe, LAYOUT.images, latent=latent, steps=2)
    assert torch.equal(alone, watched) and alone.isfinite().all()
    assert not hasattr(pipe.unet, "attn_recorder")
    assert maps.names == LAYOUT.names and maps.steps == [0, 1] and set(maps.stats) == set(ALL["stats"])
    known = [k.removesuffix(".processor") for k in pipe.unet.attn_processors if k.endswith("attn2.processor")]
    assert sorted(maps.layers) == sorted(known)
    assert all(np.isfinite(c).all() for c in maps.maps.values())
    np.testing.assert_allclose(maps.stat("mass").mean("layer", "step").array.sum(0), 1, atol=2e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("latent", [(16, 16), (20, 12), (12, 28)])
def test_grids_and_estimate_are_exact_also_when_not_square(pipes, kind, latent):
    pipe = pipes(kind)
    maps, _ = watch(pipe, latent=latent, steps=2, kw=ALL)
    grids = layer_grids(pipe.unet, latent)
    assert {layer: c.shape for (s, layer, t), c in maps.maps.items()} == {layer: (3, *g) for layer, g in grids.items()}
    assert maps.layers == list(grids)                                             # and in the network's own order
    assert maps.nbytes == estimate(pipe.unet, latent, 3, 2, ALL["stats"])
    assert {c.dtype for c in maps.maps.values()} == {np.dtype(np.float16)}


def test_choosing_layers_and_steps_keeps_only_those(sdxl):
    everything, _ = watch(sdxl, steps=4)
    some, _ = watch(sdxl, steps=4, kw=dict(layers=["up", "mid"], active_steps=(1, 3), stats="mass"))
    assert some.steps == [1, 2] and all(layer.startswith(("up", "mid")) for layer in some.layers) and some.stats == ("mass",)
    for k, c in some.maps.items(): np.testing.assert_array_equal(c, everything.maps[k])
    assert some.nbytes == estimate(sdxl.unet, (16, 16), 3, range(1, 3), "mass", ["up", "mid"])
    assert list(everything.timesteps) == [0, 1, 2, 3] and np.diff(list(everything.timesteps.values())).max() < 0


def test_capture_works_outside_and_inside_of_installed(sdxl):
    with capture(sdxl.unet) as outside:
        with installed(sdxl.unet, APART, "crop_merge"): run(sdxl, APART.images)
    inside, _ = watch(sdxl, APART)
    assert list(outside.maps) == list(inside.maps)
    for k in inside.maps: np.testing.assert_array_equal(outside.maps[k], inside.maps[k])


# --- rows of the batch -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("guidance", [4., 0.])
def test_with_and_without_guidance_only_conditional_rows_count(pipes, guidance):
    for kind in ("sd15-plain", "sdxl-plain"):
        maps, _ = watch(pipes(kind), APART, guidance=guidance, steps=1)
        assert maps.nbytes == estimate(pipes(kind).unet, (16, 16), 2, 1)


def test_rows_of_a_batch_and_their_mean(pipes):
    pipe, kw = pipes("sdxl-plain"), dict(steps=1, num_images_per_prompt=2)
    mean, one, two = (watch(pipe, APART, kw=dict(batch_index=i), **kw)[0].stat("mass").mean().array for i in (None, 0, 1))
    np.testing.assert_allclose(mean, (one + two)/2, atol=1e-3)
    assert abs(one - two).max() > 1e-3


def test_only_conditional_rows_are_reduced():
    class Net(torch.nn.Module): pass
    net = Net()
    net.down_blocks, net.mid_block, net.up_blocks = [], torch.nn.Module(), []
    net.mid_block.attn2 = torch.nn.Module()
    look, spoiled = hand_made(), hand_made()
    spoiled.q[0] = float("nan")                                                   # row 0 is not among cond
    found = []
    for one in (look, spoiled):
        with capture(net) as maps: net.attn_recorder(one)
        found.append(maps.stat("mass").mean().array)
    np.testing.assert_array_equal(*found)
    with capture(net) as maps: net.attn_recorder(hand_made(cond=torch.tensor([], dtype=torch.long)))
    assert not maps.maps                                                         # the unconditional half, run apart


# --- words -----------------------------------------------------------------------------------------------------------------------
def test_text_needs_words(sdxl):
    with pytest.raises(ValueError, match=r"words=\{name: \[positions\]\}"): watch(sdxl, APART, kw=dict(stats="text"))
    assert not hasattr(sdxl.unet, "attn_recorder")
    maps, _ = watch(sdxl, APART, kw=dict(stats="text"), options=dict(words={"fox": [1], "hat": [2]}))
    text = maps.stat("text").mean().array
    assert (text > 0).all() and (text.sum(0) < 1).all()


# --- in every case the U-Net comes back ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_interrupted_run_leaves_the_unet_alone_and_keeps_what_arrived(sdxl, error, at):
    def stop(pipe, step, timestep, tensors):
        if step == at: raise error("stop")
        return tensors
    before = dict(sdxl.unet.attn_processors)
    with pytest.raises(error), capture(sdxl.unet) as maps, installed(sdxl.unet, APART):
        run(sdxl, APART.images, callback_on_step_end=stop)
    assert "attn_recorder" not in vars(sdxl.unet)
    assert all(sdxl.unet.attn_processors[k] is p for k, p in before.items())
    assert maps.steps == list(range(at + 1)) and maps.stat("mass").mean().array.shape == (2, *maps.stat("mass").grid)


def test_an_attribute_that_was_there_comes_back_and_nesting_is_refused(sdxl):
    sdxl.unet.attn_recorder = None
    try:
        with capture(sdxl.unet) as maps:
            with pytest.raises(RuntimeError, match="already being captured"):
                with capture(sdxl.unet): pass
            with installed(sdxl.unet, APART): run(sdxl, APART.images, steps=1)
        assert maps.maps and vars(sdxl.unet)["attn_recorder"] is None
    finally: del sdxl.unet.attn_recorder


def test_a_second_run_replaces_the_first(sdxl):
    with installed(sdxl.unet, APART, "crop_merge"), capture(sdxl.unet) as maps:
        run(sdxl, APART.images, steps=4)
        run(sdxl, APART.images, steps=2, seed=1, latent=(20, 12))
    alone, _ = watch(sdxl, APART, steps=2, seed=1, latent=(20, 12))
    assert maps.steps == [0, 1]
    for k in alone.maps: np.testing.assert_array_equal(maps.maps[k], alone.maps[k])


def test_the_limit_holds_while_running(sdxl):
    limit = estimate(sdxl.unet, (16, 16), 2, 2)/1e6
    exact, _ = watch(sdxl, APART, steps=2, kw=dict(limit_mb=limit))
    assert exact.nbytes == limit*1e6
    with pytest.raises(ValueError, match="layers= or active_steps="): watch(sdxl, APART, steps=3, kw=dict(limit_mb=limit))
    with pytest.raises(ValueError, match="these maps take .* MB and limit_mb="), capture(sdxl.unet, limit_mb=limit/2) as maps:
        with installed(sdxl.unet, APART): run(sdxl, APART.images, steps=2)
    assert 0 < maps.nbytes <= limit/2*1e6 and not hasattr(sdxl.unet, "attn_recorder")


def test_a_run_without_installed_processors_records_nothing_and_the_maps_say_so(sdxl):
    with capture(sdxl.unet) as maps: run(sdxl, APART.images, steps=1)
    assert "nothing recorded" in repr(maps) and maps._repr_png_() is None
    with pytest.raises(ValueError, match="with installed processors inside the with block"): maps.stat("mass")
