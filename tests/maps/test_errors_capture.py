"Bad input to heatmap and capture: one sentence that names the argument, the value and the remedy."
import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

from anyms.attention.selection import layer_grids
from anyms.images import beside
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.maps.attention_maps import AttentionMaps
from anyms.maps.figures import draw, film_strip, panel
from anyms.maps.heatmap import as_maps, colorize, limits, normalize, overlay, resize
from anyms.maps.metric_figures import leakage_figure, share_figure
from anyms.maps.metrics import leakage, share_in_box
from anyms.maps.named_axes import HeatMaps
from anyms.maps.record import capture, estimate

LAYOUT = Layout([Subject("fox", box=(0, .2, .5, 1)), Subject("crown", box=(.5, 0, 1, .6))])
OTHER = Layout([Subject("owl", box=(0, 0, 1, 1))])
MAPS, IMAGE, COVER = np.ones((2, 4, 6)), Image.new("RGB", (60, 40)), LAYOUT.cover((4, 6))


def net(attn=True):
    "The bones of a U-Net with one downsampling."
    def block(**kw):
        b = torch.nn.Module()
        if attn: b.attn2 = torch.nn.Module()
        for k, v in kw.items(): setattr(b, k, v)
        return b
    unet = torch.nn.Module()
    unet.down_blocks, unet.mid_block, unet.up_blocks = torch.nn.ModuleList([block(downsamplers=[1]),
        block()]), block(), torch.nn.ModuleList([block(upsamplers=[1]), block()])
    return unet


def maps():
    "Two layers of different grids, two steps, one map missing."
    keys = [("down_blocks.0.attn2", 0, (4, 6)), ("mid_block.attn2", 0, (2, 3)), ("down_blocks.0.attn2", 1, (4, 6))]
    return AttentionMaps(["fox", "crown"], ("mass", "energy"),
        {(s, layer, t): np.full((2, *g), -1. if s == "energy" else 1., np.float16) for s in ("mass", "energy") for layer, t, g in keys})


class Pipeline: unet = net()


def nan():
    a = MAPS.copy()
    a[1, 2, 3] = np.nan
    return a


HEATMAP = {
    "maps nan": (lambda: normalize(nan()), ValueError, r"maps holds 1 values that are nan or infinite: .*nan_to_num"),
    "heat inf": (lambda: draw(np.array([[0, np.inf]])), ValueError, r"heat holds 1 values that are nan or infinite"),
    "maps one number": (lambda: as_maps(3.), ValueError, r"maps must have at least a grid \[gh gw\], got shape \(\): reshape"),
    "maps in a row": (lambda: limits(np.ones(24)), ValueError, r"got shape \(24,\): reshape the n tokens to their grid"),
    "maps empty": (lambda: as_maps(np.ones((2, 0, 3))), ValueError, r"got shape \(2, 0, 3\)"),
    "maps ragged": (lambda: as_maps([[1, 2], [3]]), TypeError, r"of one shape, got list: pass a tensor or an array"),
    "maps words": (lambda: as_maps("fox"), TypeError, r"must be numbers .* got str"),
    "how unknown": (
        lambda: normalize(MAPS, "best"), ValueError,
        r"color_range='best' is not a known range: use one of map, subject, shared or a pair"),
    "how number": (lambda: normalize(MAPS, 3), ValueError, r"color_range=3 is not a known range"),
    "how three numbers": (lambda: normalize(MAPS, (0, 1, 2)), ValueError, r"color_range=\(0, 1, 2\) is not a known range"),
    "how reversed": (lambda: normalize(MAPS, (1, 0)), ValueError, r"color_range=\(1, 0\) must be two finite numbers, the lower one first"),
    "how nan": (lambda: limits(MAPS, (0, float("nan"))), ValueError, r"two finite numbers"),
    "grid zero": (lambda: resize(MAPS, (0, 3)), ValueError, r"grid=\(0, 3\) must be two whole numbers of at least 1 token"),
    "grid halves": (lambda: resize(MAPS, (2.5, 3)), ValueError, r"grid=\(2.5, 3\) must be two whole numbers"),
    "cmap jet": (lambda: colorize([[0.]], "jet"), ValueError, r"cmap='jet' is not one of magma, viridis: these two grow evenly"),
    "cmap in a panel": (lambda: panel({"full": MAPS}, LAYOUT.names, cmap="turbo"), ValueError, r"cmap='turbo'"),
    "overlay alpha": (lambda: overlay(IMAGE, MAPS[0], alpha=60), ValueError, r"alpha=60 must be between 0 .* and 1"),
    "overlay stack": (lambda: overlay(IMAGE, MAPS), ValueError, r"heat must be one map \[gh gw\], got shape \(2, 4, 6\): choose a subject"),
    "overlay transposed": (
        lambda: overlay(IMAGE, MAPS[0].T), ValueError,
        r"image of 60x40 pixels does not fit a map of 4x6 tokens .* rows first"),
    "overlay path": (lambda: overlay("fox.png", MAPS[0]), TypeError, r"image must be a PIL picture or a uint8 array \[h w 3\], got str"),
    "overlay floats": (lambda: overlay(np.ones((40, 60, 3)), MAPS[0]), TypeError, r"got ndarray \(40, 60, 3\) float64: convert it first"),
    "row empty": (lambda: beside(), ValueError, r"pictures is empty"),
    "draw stack": (lambda: draw(MAPS), ValueError, r"use panel or film_strip for several"),
    "panel list": (
        lambda: panel([MAPS], LAYOUT.names), TypeError,
        r"columns must be a non-empty dict of title to maps \[s gh gw\], got list"),
    "panel empty": (lambda: panel({}, LAYOUT.names), TypeError, r"non-empty dict"),
    "panel wrong s": (
        lambda: panel({"full": MAPS}, ["fox"]), ValueError,
        r"columns\['full'\] must be \[s gh gw\] with a map for each of the 1 names, got shape \(2, 4, 6\)"),
    "panel images": (
        lambda: panel({"full": MAPS, "fused": MAPS}, LAYOUT.names, images={"full": IMAGE}), ValueError,
        r"images has no picture for 'fused'"),
    "film one map": (
        lambda: film_strip(MAPS, LAYOUT.names), ValueError,
        r"maps must be \[T s gh gw\], got shape \(2, 4, 6\): average over the layers"),
    "film steps": (lambda: film_strip(MAPS[None], LAYOUT.names, steps=[1, 2]), ValueError, r"steps names 2 steps, but maps holds 1"),
    "film most": (lambda: film_strip(MAPS[None], LAYOUT.names, most=0), ValueError, r"most=0 must be a whole number of at least 1"),
    "share negative": (
        lambda: share_in_box(-MAPS, COVER), ValueError,
        r"heat has negative values \(lowest -1\).* use mass, text or norm, not energy"),
    "share cover floats": (
        lambda: share_in_box(MAPS, COVER.float()), TypeError,
        r"cover must be bool, got float32: use layout.cover\(grid\)"),
    "share cover grid": (
        lambda: share_in_box(MAPS, LAYOUT.cover((6, 6))), ValueError,
        r"cover has shape \(2, 36\), .* need \(2, 24\): use layout.cover\(grid=\(4, 6\)\)"),
    "leakage negative": (lambda: leakage(-MAPS, LAYOUT.owner((4, 6))), ValueError, r"heat has negative values"),
    "leakage other layout": (
        lambda: leakage(MAPS[:1], LAYOUT.owner((4, 6))), ValueError,
        r"owner names subject 1, but heat holds 1 maps: give a map for each of the layout's subjects"),
    "leakage_figure shape": (
        lambda: leakage_figure(np.ones((2, 2)), ["fox", "crown"]), ValueError,
        r"matrix must be \[s s\+1\] for the 2 names, got shape \(2, 2\)"),
    "share_figure": (
        lambda: share_figure({"full": [.1, .2, .3]}, ["fox", "crown"]), ValueError,
        r"shares\['full'\] must hold one number for each of the 2 names, got shape \(3,\)"),
}

CAPTURE = {
    "unet is the pipeline": (lambda: capture(Pipeline()), TypeError, r"got Pipeline: pass pipe.unet rather than the pipeline"),
    "unet is None": (lambda: capture(None), TypeError, r"unet must be a diffusers U-Net, got NoneType: pass pipe.unet\."),
    "unet without cross-attention": (lambda: capture(net(attn=False)), ValueError, r"no cross-attention layers \(attn2\)"),
    "stat unknown": (
        lambda: capture(net(), stats="entropy"), ValueError,
        r"stats='entropy' is not a known statistic: choose from text, mass, energy, norm"),
    "stat number": (lambda: capture(net(), stats=[3]), ValueError, r"stats=3 is not a known statistic"),
    "stats empty": (lambda: capture(net(), stats=()), ValueError, r"stats=\(\) is not a known statistic"),
    "stat own": (
        lambda: capture(net(), stats=("mass", "own")), ValueError,
        r"'own' is refused: .* exactly 1/r everywhere .* use mass, energy or norm"),
    "layers unknown": (lambda: capture(net(), layers="sideways"), ValueError,
                       r"layers='sideways' finds none of the U-Net's 5 layers; use 'down', 'mid', 'up'"),
    "one of two layers unknown": (lambda: capture(net(), layers=["up", "left"]), ValueError, r"layers='left' finds none"),
    "layers broken pattern": (lambda: capture(net(), layers="up("), ValueError, r"layers='up\(' is no regular expression"),
    "layers number": (lambda: capture(net(), layers=[3]), TypeError, r"layers=\[3\] should be 'down', 'mid', 'up'"),
    "layers a bare number": (lambda: capture(net(), layers=3), TypeError, r"layers=3 should be"),
    "layers empty": (lambda: capture(net(), layers=[]), TypeError, r"layers=\[\] should be .* or None for all layers"),
    "steps negative": (lambda: capture(net(), active_steps=-1), ValueError, r"active_steps=-1 counts from the end.*; count from 0"),
    "steps words": (lambda: capture(net(), active_steps="late"), TypeError, r"active_steps='late' should be a range, a slice or a pair"),
    "steps a half": (lambda: capture(net(), active_steps=.5), TypeError, r"active_steps=0.5 should be"),
    "steps reversed": (lambda: capture(net(), active_steps=(5, 2)), ValueError, r"active_steps=\(5, 2\) .* start < stop"),
    "steps list of three": (
        lambda: capture(net(), active_steps=[0, 5, 9]), TypeError,
        r"active_steps=\[0, 5, 9\] .* a set such as \{0, 5, 9\}"),
    "steps slice from the end": (lambda: capture(net(), active_steps=slice(-3, None)), ValueError, r"count from 0"),
    "steps True": (lambda: capture(net(), active_steps=True), TypeError, r"active_steps=True should be"),
    "row negative": (
        lambda: capture(net(), batch_index=-1), ValueError,
        r"batch_index=-1 must be None \(mean\) or the number of a picture"),
    "row fraction": (lambda: capture(net(), batch_index=.5), ValueError, r"batch_index=0.5 must be None"),
    "limit zero": (lambda: capture(net(), limit_mb=0), ValueError, r"limit_mb=0 must be a positive number"),
    "limit nan": (lambda: capture(net(), limit_mb=float("nan")), ValueError, r"limit_mb=nan must be"),
    "limit words": (lambda: capture(net(), limit_mb="2GB"), ValueError, r"limit_mb='2GB' must be"),
    "limit None": (lambda: capture(net(), limit_mb=None), ValueError, r"limit_mb=None must be"),
    "estimate stat": (lambda: estimate(net(), (8, 8), 2, 3, stats="heat"), ValueError, r"stats='heat' is not a known statistic"),
    "estimate latent": (lambda: estimate(net(), (0, 8), 2, 3), ValueError, r"latent=\(0, 8\)"),
    "estimate subjects": (lambda: estimate(net(), (8, 8), 0, 3), ValueError, r"subjects=0 must be a whole number of at least 1"),
    "estimate steps": (lambda: estimate(net(), (8, 8), 2, -3), ValueError, r"steps=-3 must be"),
    "layer_grids of nothing": (lambda: layer_grids(None, (8, 8)), TypeError, r"unet must be a diffusers U-Net, got NoneType"),
    "maps nobody": (lambda: maps()["owl"], KeyError, r"no subject is called 'owl': there are fox, crown"),
    "maps nobody yet": (lambda: AttentionMaps()["owl"], KeyError, r"none yet, run a pipeline inside the with block"),
    "maps stat not recorded": (
        lambda: maps().stat("norm"), ValueError,
        r"'norm' was not recorded, only mass, energy: use capture\(unet, stats=\('norm', \.\.\.\)\)"),
    "maps stat unknown": (lambda: maps().stat("heat"), ValueError, r"stats='heat' is not a known"),
    "maps stat own": (lambda: maps().stat("own"), ValueError, r"exactly 1/r"),
    "maps empty": (
        lambda: AttentionMaps(stats=("mass",)).stat("mass"), ValueError,
        r"nothing was recorded: run a pipeline with installed processors inside the with block"),
    "share of other subjects": (
        lambda: maps().share(OTHER), ValueError,
        r"the layout has no subject 'fox', only owl: use the layout of the run"),
    "share by": (lambda: maps().share(LAYOUT, by="head"), ValueError, r"by='head' must be None, 'layer' or 'step'"),
    "share of energy": (lambda: maps().share(LAYOUT, "energy"), ValueError, r"negative values .* not energy"),
    "leakage of one": (
        lambda: maps()["fox"].leakage(LAYOUT), ValueError,
        r"maps hold fox and the layout fox, crown: use the layout of the run"),
    "array of two grids": (
        lambda: maps().stat("mass").array, ValueError,
        r"these 2 layers have different grids.* use \.mean\('layer'\) or \.sel\(layer="),
    "array with a hole": (
        lambda: HeatMaps("mass", ["fox"], ["a", "b"], [0, 1],
        {("a", 0): MAPS[:1], ("a", 1): MAPS[:1], ("b", 0): MAPS[:1]}).array, ValueError,
        r"layer 'b' at step 1 was not recorded"),
    "sel subject": (lambda: maps().stat("mass").sel(subject="owl"), KeyError, r"no subject is called 'owl'"),
    "sel layer": (lambda: maps().stat("mass").sel(layer="up"), ValueError, r"layers='up' finds none of the U-Net's 2 layers"),
    "sel step": (lambda: maps().stat("mass").sel(step=9), ValueError, r"step=9 was not recorded: there are \[0, 1\]"),
    "sel step twice": (lambda: maps().stat("mass").mean("step").sel(step=0), ValueError, r"step=0 was not recorded"),
    "mean of nothing": (
        lambda: maps().stat("mass").mean("head"), ValueError,
        r"there is no axis 'head' to average over: these HeatMaps have subject, layer, step"),
    "mean twice": (lambda: maps().stat("mass").mean("layer", "layer"), ValueError, r"no axis 'layer'"),
    "overlay of many": (
        lambda: maps().stat("mass").overlay(IMAGE), ValueError,
        r"layer and step are still open: use \.mean\('layer', 'step'\)"),
    "overlay of steps": (
        lambda: maps().stat("mass").mean("layer").overlay(IMAGE), ValueError,
        r"step are still open: use \.mean\('step'\)"),
    "show no column": (lambda: maps().stat("mass").show(most=0), ValueError, r"most=0 must be a whole number of at least 1"),
}
CASES = {**{f"heatmap: {k}": v for k, v in HEATMAP.items()}, **{f"capture: {k}": v for k, v in CAPTURE.items()}}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_gets_a_sentence(case):
    call, error, words = CASES[case]
    with pytest.raises(error, match=words): call()


# --- files -----------------------------------------------------------------------------------------------------------------------
def missing(path): pass
def empty(path): path.write_bytes(b"")
def text(path): path.write_text("not safetensors, but long enough to have a header")
def pickled(path): torch.save({"a": torch.ones(2)}, path)
def cut(path):
    maps().save(path)
    path.write_bytes(path.read_bytes()[:-20])
def foreign(path): save_file({"0": np.ones((2, 4, 6))}, path)
def newer(path): save_file({"0": np.ones((2, 4, 6))}, path, metadata={"anyms_maps": json.dumps(dict(anyms_maps=2))})
def other_json(path): save_file({"0": np.ones((2, 4, 6))}, path, metadata={"anyms_maps": "[1, 2"})
def fewer(path):
    save_file({"0": np.ones((2, 4, 6))}, path,
        metadata={"anyms_maps": json.dumps(dict(anyms_maps=1, names=["fox", "crown"], stats=["mass"],
        keys=[["mass", "a", 0], ["mass", "a", 1]], timesteps=[], one=False))})
def wrong_keys(path): save_file({"x": np.ones((2, 4, 6))}, path,
    metadata={"anyms_maps": json.dumps(dict(anyms_maps=1, names=["fox", "crown"], stats=["mass"],
    keys=[["mass", "a", 0]], timesteps=[], one=False))})
def incomplete(path):
    save_file({"0": np.ones((2, 4, 6))}, path, metadata={"anyms_maps": json.dumps(dict(anyms_maps=1, names=["fox", "crown"]))})


@pytest.mark.parametrize("make, error, words",
    [(missing, FileNotFoundError, r"is not a file: pass what maps.save wrote"), (empty, ValueError, "damaged"),
    (text, ValueError, "damaged"),
                                                (pickled, ValueError, "damaged"), (cut, ValueError, "damaged"),
                                                (foreign, ValueError, "no anyms maps of version 1"),
                                                (newer, ValueError, r"version 1 \(found 2\)"),
                                                (other_json, ValueError, "damaged"), (fewer, ValueError, "damaged"),
                                                (wrong_keys, ValueError, "damaged"), (incomplete, ValueError, "damaged")])
def test_bad_files_get_a_sentence(tmp_path, make, error, words):
    path = tmp_path/"maps.safetensors"
    make(path)
    with pytest.raises(error, match=words): AttentionMaps.load(path)


def test_nothing_recorded_cannot_be_saved(tmp_path):
    with pytest.raises(ValueError, match="nothing to save"): AttentionMaps(["fox"], ("mass",)).save(tmp_path/"maps.safetensors")
    assert not list(tmp_path.iterdir())


def test_every_message_is_one_sentence():
    for case, (call, error, _) in CASES.items():
        try: call()
        except error as e: message = str(e.args[0])
        assert len(message) > 30 and "\n" not in message and len(message) < 300, f"{case}: {message}"
