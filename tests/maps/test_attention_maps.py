"attention_maps and named_axes: what the maps of real pipelines say, their axes, their files."
import numpy as np
import pytest
from conftest import picture
from PIL import Image
from test_record import ALL, APART, LAYOUT, watch

from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.maps.attention_maps import AttentionMaps
from anyms.maps.heatmap import resize
from anyms.maps.named_axes import HeatMaps


@pytest.fixture(scope="module")
def sdxl(pipes): return pipes("sdxl-plus")


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
    np.testing.assert_allclose(half["fox"].stat("norm").sel(layer=first, step=0).array,
        maps["fox"].stat("norm").sel(layer=first, step=0).array/2, rtol=2e-3)


def test_norm_is_zero_where_the_image_branch_is_off(sdxl):
    maps, _ = watch(sdxl, steps=3, options=dict(active_steps=(0, 1)))
    norm = maps.stat("norm")
    assert norm.sel(step=0).mean().array.max() > 0 and norm.sel(step=(1, 3)).mean().array.max() == 0


# --- named axes ------------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def maps(sdxl): return watch(sdxl, LAYOUT, steps=4, latent=(20, 12), kw=ALL)[0]


def test_array_has_the_axes_that_are_left(maps):
    heat, layer = maps.stat("mass"), "mid_block.attentions.0.transformer_blocks.0.attn2"
    gh, gw = layer_grids_of(maps)[layer]
    assert heat.sel(layer=layer).array.shape == (3, 4, gh, gw) and heat.sel(layer=layer, step=2).array.shape == (3, gh, gw)
    assert heat.sel(subject="hat", layer=layer, step=2).array.shape == maps["hat"].stat("mass").sel(layer=layer,
        step=2).array.shape == (gh, gw)
    assert heat.sel(layer="mid", step=(1, 3)).array.shape == (3, 2, 2, gh, gw)                 # a pattern keeps its axis
    assert heat.mean("layer").array.shape == (3, 4, *heat.grid) and heat.mean("subject", "layer", "step").array.shape == heat.grid
    np.testing.assert_array_equal(heat.sel(layer=layer, step=2).array, maps.maps["mass", layer, 2].astype(np.float32))
    np.testing.assert_array_equal(heat.sel(subject=["cat", "fox"], layer=layer, step=0).array, heat.sel(layer=layer, step=0).array[[2, 0]])


def layer_grids_of(maps): return {layer: c.shape[1:] for (s, layer, t), c in maps.maps.items()}


def test_mean_weighs_every_map_equally_on_the_finest_grid(maps):
    heat = maps.stat("energy")
    by_hand = np.mean([resize(c, heat.grid) for c in heat.maps.values()], 0)
    np.testing.assert_allclose(heat.mean("layer", "step").array, by_hand, rtol=1e-5)
    np.testing.assert_allclose(heat.mean("step", "layer").array, by_hand, rtol=1e-5)
    np.testing.assert_allclose(heat.mean().array, by_hand, rtol=1e-5)


def test_pictures_of_heat(maps):
    image = Image.new("RGB", (48, 80))
    assert maps["fox"].stat("mass").mean("layer", "step").overlay(image, size=0).size == image.size
    assert maps.stat("mass").mean().overlay(image, layout=LAYOUT, color_range="shared", size=0).size == (3*48 + 12, 80)
    assert maps.stat("mass")._repr_png_()[:4] == maps._repr_png_()[:4] == b"\x89PNG"
    def tiles(fig): return [ax.get_title() for ax in fig.axes if ax.get_label() != "<colorbar>"]
    assert tiles(maps["fox"].stat("mass").show()) == [f"step {t} / fox" for t in range(4)]
    assert len(tiles(maps.stat("mass").sel(step=0).show(most=2))) == 6 and len(tiles(maps.stat("mass").mean().show())) == 3


def test_reprs_say_what_is_there(maps):
    assert "mass, energy, norm of fox, hat, cat in" in repr(maps) and "x 4 steps" in repr(maps)
    assert repr(maps.stat("mass").mean().sel(subject="fox")).startswith("HeatMaps mass: fox / mean of ")
    assert maps["fox"].stat("mass").sel(step=3).title().endswith("layers / step 3")


# --- files -----------------------------------------------------------------------------------------------------------------------
def test_save_and_load(maps, tmp_path):
    path = maps.save(tmp_path/"maps.safetensors")
    back = AttentionMaps.load(path)
    assert back.names == maps.names and back.stats == maps.stats and back.layers == maps.layers
    assert back.steps == maps.steps and back.timesteps == maps.timesteps
    assert list(back.maps) == list(maps.maps) and back.nbytes == maps.nbytes
    for k in maps.maps:
        np.testing.assert_array_equal(back.maps[k], maps.maps[k])
        assert back.maps[k].dtype == np.float16
    assert back.leakage(LAYOUT, "norm").equals(maps.leakage(LAYOUT, "norm"))
    assert [p.name for p in tmp_path.iterdir()] == ["maps.safetensors"]                        # no part left behind
    one = AttentionMaps.load(maps["hat"].save(str(tmp_path/"hat.safetensors")))
    assert one.names == ["hat"] and isinstance(one.stat("mass"), HeatMaps) and one.stat("mass").dims == ("layer", "step")


def test_a_failed_save_keeps_the_old_file(maps, tmp_path, monkeypatch):
    path = maps.save(tmp_path/"maps.safetensors")
    before = path.read_bytes()
    def full(*args, **kw): raise OSError("disk full")
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="disk full"): maps["fox"].save(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["maps.safetensors"]
