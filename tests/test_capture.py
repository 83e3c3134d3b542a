"capture: the statistics against plain loops on hand-made looks, then everything on real pipelines with random weights."
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import KINDS, picture, run

from anyms.attend import KV, Look
from anyms.capture import STATS, Heat, Maps, capture, estimate, layer_grids, pick_layers, pick_steps
from anyms.heatmap import resize
from anyms.layout import Layout, Subject
from anyms.processors import installed

LAYOUT = Layout([Subject("fox", image=picture(1), box=(0, .25, .5, 1), priority=1), Subject("hat", image=picture(2), box=(.5, 0, 1, .5)),
                 Subject("cat", image=picture(3), box=(.25, .5, 1, 1), scale=.5)])
APART = Layout([Subject("fox", image=picture(1), box=(0, .25, .5, 1)), Subject("hat", image=picture(2), box=(.5, 0, 1, .5))])
VARIANTS = ["full", "masked", "crop_merge", "fused"]
ALL = dict(stats=("mass", "energy", "norm"))


def watch(pipe, layout=LAYOUT, variant="crop_merge", options=None, kw=None, **call):
    "Maps of a run and its latents."
    with installed(pipe.unet, layout, variant, **(options or {})), capture(pipe.unet, **(kw or {})) as maps:
        latents = run(pipe, layout.images, **call)
    return maps, latents


def hand_made(b=3, s=2, h=2, grid=(3, 5), r=4, d=8, t=6, seed=0, **changes):
    g = torch.Generator().manual_seed(seed)
    randn = lambda *shape: torch.randn(shape, generator=g)
    n = math.prod(grid)
    z = randn(b, s, h, n, d)
    return replace(Look(layer="mid_block.attn2", step=0, timestep=999., grid=grid, names=["fox", "hat", "cat"][:s], q=randn(b, h, n, d), text_k=randn(b, h, t, d),
                        text_out=randn(b, h, n, d), refs=KV(randn(b, s, h, r, d), randn(b, s, h, r, d)), parts=lambda: z, cond=torch.tensor([1, 2]),
                        words={"fox": [1, 2], "hat": []}), **changes)


@pytest.fixture(scope="module")
def sdxl(pipes): return pipes("sdxl-plus")


# --- the statistics, against loops over single numbers ---------------------------------------------------------------------------
def test_statistics_equal_plain_loops():
    look = hand_made()
    got = {name: f(look) for name, f in STATS.items()}
    dot = lambda a, b: float(a.double() @ b.double())/look.q.shape[-1]**.5
    b, h, n, d = look.q.shape
    for row, at in [(0, 0), (2, 7), (1, 14)]:
        q = look.q[row, :, at]
        logits = [[[dot(q[i], k) for k in look.refs.k[row, j, i]] for j in range(2)] for i in range(h)]
        words = [[dot(q[i], k) for k in look.text_k[row, i]] for i in range(h)]
        for j in range(2):
            total = lambda rows: sum(math.exp(x) for x in rows)
            mass = np.mean([total(logits[i][j])/sum(total(l) for l in logits[i]) for i in range(h)])
            energy = np.mean([math.log(total(logits[i][j])) for i in range(h)])
            text = np.mean([sum(math.exp(words[i][p]) for p in look.words[look.names[j]])/total(words[i]) for i in range(h)])
            norm = look.parts()[row, j, :, at].norm()/look.text_out[row, :, at].norm()
            np.testing.assert_allclose([got[k][row, j, at].item() for k in ("mass", "energy", "text", "norm")], [mass, energy, text, norm], rtol=1e-5, atol=1e-7)


def test_mass_is_a_probability_and_an_unnamed_subject_reads_nothing():
    look = hand_made(s=3)
    torch.testing.assert_close(STATS["mass"](look).sum(1), torch.ones(3, 15))
    text = STATS["text"](look)
    assert text[:, 0].min() > 0 and text[:, 1:].abs().max() == 0          # 'hat' has no words here, 'cat' is not even listed


def test_the_mean_over_own_tokens_is_one_over_r_whatever_the_network_does():
    for r in (4, 16):
        look = hand_made(r=r)
        own = torch.einsum("bhnd,bshrd->bshnr", 5*look.q, look.refs.k).softmax(-1).mean(-1)
        assert (own - 1/r).abs().max() < 1e-7
        assert STATS["mass"](look).std() > .01


# --- which layers, which steps ---------------------------------------------------------------------------------------------------
def test_layers_by_name_level_and_pattern():
    names = ["down_blocks.1.attn2", "mid_block.attn2", "up_blocks.0.attn2", "up_blocks.1.a.attn2"]
    assert pick_layers(None, names) == names and pick_layers("up", names) == names[2:] and pick_layers(["up", "down"], names) == [names[0], *names[2:]]
    assert pick_layers("up_blocks.0.attn2", names) == [names[2]] and pick_layers(r"blocks\.1", names) == [names[0], names[3]]


@pytest.mark.parametrize("steps, want", [(None, range(8)), (3, [3]), (range(2, 4), [2, 3]), (slice(0, None, 4), [0, 4]), (slice(5, None), [5, 6, 7]), ((2, 5), [2, 3, 4]),
                                         ([2, 5], [2, 3, 4]), ({0, 5, 7}, [0, 5, 7]), (np.int64(2), [2]), (slice(None), range(8))])
def test_steps(steps, want): assert [t for t in range(8) if pick_steps(steps)(t)] == list(want)


# --- watching changes nothing ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("variant", VARIANTS)
def test_watching_changes_nothing(pipe, variant):
    "Bit for bit, for every kind of pipeline, with overlapping boxes, priorities and scales."
    latent = (16, 24)
    with installed(pipe.unet, LAYOUT, variant):
        alone = run(pipe, LAYOUT.images, latent=latent, steps=2)
        with capture(pipe.unet, **ALL) as maps: watched = run(pipe, LAYOUT.images, latent=latent, steps=2)
    assert torch.equal(alone, watched) and alone.isfinite().all()
    assert not hasattr(pipe.unet, "anyms_tap")
    assert maps.names == LAYOUT.names and maps.steps == [0, 1] and set(maps.stats) == set(ALL["stats"])
    known = [k.removesuffix(".processor") for k in pipe.unet.attn_processors if k.endswith("attn2.processor")]
    assert sorted(maps.layers) == sorted(known)
    assert all(np.isfinite(c).all() for c in maps.cells.values())
    np.testing.assert_allclose(maps.stat("mass").mean("layer", "step").array.sum(0), 1, atol=2e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("latent", [(16, 16), (20, 12), (12, 28)])
def test_grids_and_estimate_are_exact_also_when_not_square(pipes, kind, latent):
    pipe = pipes(kind)
    maps, _ = watch(pipe, latent=latent, steps=2, kw=ALL)
    grids = layer_grids(pipe.unet, latent)
    assert {l: c.shape for (s, l, t), c in maps.cells.items()} == {l: (3, *g) for l, g in grids.items()}
    assert maps.layers == list(grids)                                             # and in the network's own order
    assert maps.nbytes == estimate(pipe.unet, latent, 3, 2, ALL["stats"])
    assert {c.dtype for c in maps.cells.values()} == {np.dtype(np.float16)}


def test_choosing_layers_and_steps_keeps_only_those(sdxl):
    everything, _ = watch(sdxl, steps=4)
    some, _ = watch(sdxl, steps=4, kw=dict(layers=["up", "mid"], steps=(1, 3), stats="mass"))
    assert some.steps == [1, 2] and all(l.startswith(("up", "mid")) for l in some.layers) and some.stats == ("mass",)
    for k, c in some.cells.items(): np.testing.assert_array_equal(c, everything.cells[k])
    assert some.nbytes == estimate(sdxl.unet, (16, 16), 3, range(1, 3), "mass", ["up", "mid"])
    assert list(everything.timesteps) == [0, 1, 2, 3] and np.diff(list(everything.timesteps.values())).max() < 0


def test_capture_works_outside_and_inside_of_installed(sdxl):
    with capture(sdxl.unet) as outside:
        with installed(sdxl.unet, APART, "crop_merge"): run(sdxl, APART.images)
    inside, _ = watch(sdxl, APART)
    assert list(outside.cells) == list(inside.cells)
    for k in inside.cells: np.testing.assert_array_equal(outside.cells[k], inside.cells[k])


# --- what the maps say -----------------------------------------------------------------------------------------------------------
def test_shares_and_leakage(sdxl):
    maps, _ = watch(sdxl, APART)
    for stat in ("mass", "norm"):
        table = maps.leakage(APART, stat)
        assert list(table.index) == APART.names and list(table.columns) == [*APART.names, "(background)"]
        np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-6)
        np.testing.assert_allclose(np.diag(table), maps.share(APART, stat), atol=1e-9)      # no overlap: the same question
    np.testing.assert_allclose(maps.share(APART, "norm"), 1)                               # crop-and-merge acts inside the boxes only
    full, _ = watch(sdxl, APART, "full")
    assert (full.share(APART, "norm") < .8).all() and (full.leakage(APART, "norm")["(background)"] > .1).all()


def test_share_keeps_an_axis_on_request(sdxl):
    maps, _ = watch(sdxl, LAYOUT, "full", steps=3)
    by_step, by_layer = maps.share(LAYOUT, "norm", by="step"), maps.share(LAYOUT, "norm", by="layer")
    assert by_step.shape == (3, 3) and list(by_layer.index) == maps.layers and list(by_step.columns) == LAYOUT.names
    np.testing.assert_allclose(by_step.mean(), maps.share(LAYOUT, "norm"), atol=1e-9)
    np.testing.assert_allclose(by_layer.mean(), maps.share(LAYOUT, "norm"), atol=1e-9)
    np.testing.assert_allclose(maps["hat"].share(LAYOUT, "norm"), maps.share(LAYOUT, "norm")[["hat"]])


def test_priority_does_not_reorder_the_maps(sdxl):
    "Painting is by priority, naming is by the layout: the norm of each subject fills its own box and nobody else's."
    boxes = dict(fox=(0, 0, .5, .5), hat=(.5, 0, 1, .5), cat=(0, .5, 1, 1))
    layout = Layout([Subject(n, image=picture(i), box=b, priority=p) for i, ((n, b), p) in enumerate(zip(boxes.items(), (2, -1, 0)))])
    for variant in ("masked", "crop_merge", "fused"):
        maps, _ = watch(sdxl, layout, variant, steps=1)
        np.testing.assert_allclose(np.diag(maps.leakage(layout, "norm")), 1)


def test_a_subject_of_scale_zero_moves_nothing(sdxl):
    layout = APART.replace("hat", scale=0)
    maps, _ = watch(sdxl, layout, steps=1)
    assert maps["hat"].stat("norm").mean().array.max() == 0 and maps["fox"].stat("norm").mean().array.max() > 0
    assert np.isnan(maps.share(layout, "norm")["hat"]) and not np.isnan(maps.share(layout, "norm")["fox"])
    half, _ = watch(sdxl, APART.replace("fox", scale=.5), steps=1)
    first = maps.layers[0]                                                       # later layers see what earlier ones did
    np.testing.assert_allclose(half["fox"].stat("norm").sel(layer=first, step=0).array, maps["fox"].stat("norm").sel(layer=first, step=0).array/2, rtol=2e-3)


def test_norm_is_zero_where_the_image_branch_is_off(sdxl):
    maps, _ = watch(sdxl, steps=3, options=dict(steps=(0, 1)))
    norm = maps.stat("norm")
    assert norm.sel(step=0).mean().array.max() > 0 and norm.sel(step=(1, 3)).mean().array.max() == 0


# --- rows of the batch -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("guidance", [4., 0.])
def test_with_and_without_guidance_only_conditional_rows_count(pipes, guidance):
    for kind in ("sd15-plain", "sdxl-plain"):
        maps, _ = watch(pipes(kind), APART, guidance=guidance, steps=1)
        assert maps.nbytes == estimate(pipes(kind).unet, (16, 16), 2, 1)


def test_rows_of_a_batch_and_their_mean(pipes):
    pipe, kw = pipes("sdxl-plain"), dict(steps=1, num_images_per_prompt=2)
    mean, one, two = (watch(pipe, APART, kw=dict(row=row), **kw)[0].stat("mass").mean().array for row in (None, 0, 1))
    np.testing.assert_allclose(mean, (one + two)/2, atol=1e-3)
    assert abs(one - two).max() > 1e-3


def test_only_conditional_rows_are_reduced():
    class Net(torch.nn.Module): pass
    net = Net(); net.down_blocks, net.mid_block, net.up_blocks = [], torch.nn.Module(), []
    net.mid_block.attn2 = torch.nn.Module()
    look, spoiled = hand_made(), hand_made()
    spoiled.q[0] = float("nan")                                                   # row 0 is not among cond
    found = []
    for one in (look, spoiled):
        with capture(net) as maps: net.anyms_tap(one)
        found.append(maps.stat("mass").mean().array)
    np.testing.assert_array_equal(*found)
    with capture(net) as maps: net.anyms_tap(hand_made(cond=torch.tensor([], dtype=torch.long)))
    assert not maps.cells                                                         # the unconditional half, run apart


# --- words -----------------------------------------------------------------------------------------------------------------------
def test_text_needs_words(sdxl):
    with pytest.raises(ValueError, match=r"words=\{name: \[positions\]\}"): watch(sdxl, APART, kw=dict(stats="text"))
    assert not hasattr(sdxl.unet, "anyms_tap")
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
    assert "anyms_tap" not in vars(sdxl.unet)
    assert all(sdxl.unet.attn_processors[k] is p for k, p in before.items())
    assert maps.steps == list(range(at + 1)) and maps.stat("mass").mean().array.shape == (2, *maps.stat("mass").grid)


def test_an_attribute_that_was_there_comes_back_and_nesting_is_refused(sdxl):
    sdxl.unet.anyms_tap = None
    try:
        with capture(sdxl.unet) as maps:
            with pytest.raises(RuntimeError, match="already being captured"):
                with capture(sdxl.unet): pass
            with installed(sdxl.unet, APART): run(sdxl, APART.images, steps=1)
        assert maps.cells and vars(sdxl.unet)["anyms_tap"] is None
    finally: del sdxl.unet.anyms_tap


def test_a_second_run_replaces_the_first(sdxl):
    with installed(sdxl.unet, APART, "crop_merge"), capture(sdxl.unet) as maps:
        run(sdxl, APART.images, steps=4)
        run(sdxl, APART.images, steps=2, seed=1, latent=(20, 12))
    alone, _ = watch(sdxl, APART, steps=2, seed=1, latent=(20, 12))
    assert maps.steps == [0, 1]
    for k in alone.cells: np.testing.assert_array_equal(maps.cells[k], alone.cells[k])


def test_the_limit_holds_while_running_and_before(sdxl):
    limit = estimate(sdxl.unet, (16, 16), 2, 2)/1e6
    exact, _ = watch(sdxl, APART, steps=2, kw=dict(limit_mb=limit))
    assert exact.nbytes == limit*1e6
    with pytest.raises(ValueError, match="layers= or steps="): watch(sdxl, APART, steps=3, kw=dict(limit_mb=limit))
    with capture(sdxl.unet, limit_mb=limit) as maps:
        sdxl.unet.anyms_tap.expect((16, 16), 2, 2)
        with pytest.raises(ValueError, match="would take .* MB and limit_mb="): sdxl.unet.anyms_tap.expect((16, 16), 2, 3)
    with capture(sdxl.unet, limit_mb=limit, steps=(0, 2)): sdxl.unet.anyms_tap.expect((16, 16), 2, 30)
    with capture(sdxl.unet, limit_mb=limit, steps=50): sdxl.unet.anyms_tap.expect((16, 16), 2, 30)
    assert not maps.cells and not hasattr(sdxl.unet, "anyms_tap")


def test_a_run_without_installed_processors_records_nothing_and_the_maps_say_so(sdxl):
    with capture(sdxl.unet) as maps: run(sdxl, APART.images, steps=1)
    assert "nothing recorded" in repr(maps) and maps._repr_png_() is None
    with pytest.raises(ValueError, match="with installed processors inside the with block"): maps.stat("mass")


# --- named axes ------------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def maps(sdxl): return watch(sdxl, LAYOUT, steps=4, latent=(20, 12), kw=ALL)[0]


def test_array_has_the_axes_that_are_left(maps):
    heat, layer = maps.stat("mass"), "mid_block.attentions.0.transformer_blocks.0.attn2"
    gh, gw = layer_grids_of(maps)[layer]
    assert heat.sel(layer=layer).array.shape == (3, 4, gh, gw) and heat.sel(layer=layer, step=2).array.shape == (3, gh, gw)
    assert heat.sel(subject="hat", layer=layer, step=2).array.shape == maps["hat"].stat("mass").sel(layer=layer, step=2).array.shape == (gh, gw)
    assert heat.sel(layer="mid", step=(1, 3)).array.shape == (3, 2, 2, gh, gw)                 # a pattern keeps its axis
    assert heat.mean("layer").array.shape == (3, 4, *heat.grid) and heat.mean("subject", "layer", "step").array.shape == heat.grid
    np.testing.assert_array_equal(heat.sel(layer=layer, step=2).array, maps.cells["mass", layer, 2].astype(np.float32))
    np.testing.assert_array_equal(heat.sel(subject=["cat", "fox"], layer=layer, step=0).array, heat.sel(layer=layer, step=0).array[[2, 0]])


def layer_grids_of(maps): return {l: c.shape[1:] for (s, l, t), c in maps.cells.items()}


def test_mean_weighs_every_map_equally_on_the_finest_grid(maps):
    heat = maps.stat("energy")
    by_hand = np.mean([resize(c, heat.grid) for c in heat.cells.values()], 0)
    np.testing.assert_allclose(heat.mean("layer", "step").array, by_hand, rtol=1e-5)
    np.testing.assert_allclose(heat.mean("step", "layer").array, by_hand, rtol=1e-5)
    np.testing.assert_allclose(heat.mean().array, by_hand, rtol=1e-5)


def test_pictures_of_heat(maps):
    from PIL import Image
    image = Image.new("RGB", (48, 80))
    assert maps["fox"].stat("mass").mean("layer", "step").overlay(image, size=0).size == image.size
    assert maps.stat("mass").mean().overlay(image, layout=LAYOUT, how="shared", size=0).size == (3*48 + 12, 80)
    assert maps.stat("mass")._repr_png_()[:4] == maps._repr_png_()[:4] == b"\x89PNG"
    tiles = lambda fig: [ax.get_title() for ax in fig.axes if ax.get_label() != "<colorbar>"]
    assert tiles(maps["fox"].stat("mass").show()) == [f"step {t} / fox" for t in range(4)]
    assert len(tiles(maps.stat("mass").sel(step=0).show(most=2))) == 6 and len(tiles(maps.stat("mass").mean().show())) == 3


def test_reprs_say_what_is_there(maps):
    assert "mass, energy, norm of fox, hat, cat in" in repr(maps) and "x 4 steps" in repr(maps)
    assert repr(maps.stat("mass").mean().sel(subject="fox")).startswith("Heat mass: fox / mean of ")
    assert maps["fox"].stat("mass").sel(step=3).title().endswith("layers / step 3")


# --- files -----------------------------------------------------------------------------------------------------------------------
def test_save_and_load(maps, tmp_path):
    path = maps.save(tmp_path/"maps.safetensors")
    back = Maps.load(path)
    assert back.names == maps.names and back.stats == maps.stats and back.layers == maps.layers and back.steps == maps.steps and back.timesteps == maps.timesteps
    assert list(back.cells) == list(maps.cells) and back.nbytes == maps.nbytes
    for k in maps.cells:
        np.testing.assert_array_equal(back.cells[k], maps.cells[k])
        assert back.cells[k].dtype == np.float16
    assert back.leakage(LAYOUT, "norm").equals(maps.leakage(LAYOUT, "norm"))
    assert [p.name for p in tmp_path.iterdir()] == ["maps.safetensors"]                        # no part left behind
    one = Maps.load(maps["hat"].save(str(tmp_path/"hat.safetensors")))
    assert one.names == ["hat"] and isinstance(one.stat("mass"), Heat) and one.stat("mass").dims == ("layer", "step")


def test_a_failed_save_keeps_the_old_file(maps, tmp_path, monkeypatch):
    path = maps.save(tmp_path/"maps.safetensors")
    before = path.read_bytes()
    def full(*args, **kw): raise OSError("disk full")
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="disk full"): maps["fox"].save(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["maps.safetensors"]
