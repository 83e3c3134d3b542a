"HeatMaps in other people's situations: rows that nobody can tell apart, words that the prompt lacks, names that tables use, letters and boxes one can see."
import json

import numpy as np
import pytest
import torch
from conftest import picture, run, tiny
from PIL import Image

from anyms.images import color
from anyms.layout.boxes import Box
from anyms.layout.layout import Layout
from anyms.layout.subject import BACKGROUND, Subject
from anyms.maps.attention_maps import AttentionMaps
from anyms.maps.figures import draw, film_strip, panel
from anyms.maps.heatmap import as_maps, colorize, overlay, rounded_box
from anyms.maps.metric_figures import leakage_figure, share_figure
from anyms.maps.metrics import leakage, share_in_box
from anyms.maps.record import capture
from anyms.attention.install import installed
from anyms.attention.inputs import null_embedding

FOX = Subject("fox", picture(1), (0, .25, .5, 1))
PAIR = Layout([FOX, Subject("hat", picture(2), (.5, 0, 1, .5))])
ONE = Layout([FOX])
TWINS = Layout([FOX, Subject("twin", picture(1), (.5, 0, 1, .5))])
ODD = Layout([Subject("fox", picture(1), (.06, .30, .45, .95)), Subject("hat", picture(2), (.55, .04, .97, .42))])


@pytest.fixture(scope="module")
def sdxl(pipes): return pipes("sdxl-plus")


def norm(pipe, layout, batch_index=None, null=None, **call):
    with capture(pipe.unet, stats="norm", batch_index=batch_index) as maps, installed(pipe.unet, layout, null=null):
        run(pipe, layout.images, steps=1, **call)
    return maps.stat("norm").mean("layer", "step").array


# --- rows without pictures -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("layout", [ONE, TWINS], ids=["one", "twins"])
@pytest.mark.parametrize("row", [None, 0])
def test_rows_that_cannot_be_told_apart_are_not_guessed(sdxl, layout, row):
    "A Plus adapter encodes an empty picture for the row without one; with one subject, or twins, nothing marks that row."
    before = dict(sdxl.unet.attn_processors)
    with pytest.raises(ValueError, match=r"cannot be told apart.*null=null_embedding\(pipe\)"): norm(sdxl, layout, row)
    assert not hasattr(sdxl.unet, "attn_recorder") and all(sdxl.unet.attn_processors[k] is p for k, p in before.items())


def test_with_null_the_row_with_the_picture_is_watched(sdxl):
    guided = norm(sdxl, ONE, null=null_embedding(sdxl))
    alone = norm(sdxl, ONE, guidance=1.)                     # no guidance, no row to confuse it with: the first step is the same
    np.testing.assert_allclose(guided, alone, rtol=.01, atol=1e-4)
    np.testing.assert_allclose(norm(sdxl, ONE, batch_index=0, null=null_embedding(sdxl)), guided, rtol=.01, atol=1e-4)


def test_what_can_be_told_is_not_refused(pipes, sdxl):
    assert norm(sdxl, PAIR).max() > 0, "different subjects: the row in which all look the same"
    assert norm(sdxl, TWINS, guidance=1., num_images_per_prompt=2).max() > 0, "no guidance: all rows alike"
    plain = pipes("sdxl-plain")
    np.testing.assert_allclose(norm(plain, ONE), norm(plain, ONE, guidance=1.), rtol=.01, atol=1e-4)    # zeros mark the row


def test_halves_run_apart_without_null_are_noticed(sdxl):
    "A guider that calls the U-Net once with and once without pictures, in the same step."
    embeds, = sdxl.prepare_ip_adapter_image_embeds([ONE.images], None, "cpu", 1, True)
    with installed(sdxl.unet, ONE), capture(sdxl.unet) as maps:
        def call(source):
            return sdxl.unet(torch.zeros(1, 4, 16, 16), 500, torch.zeros(1, 12, 64), return_dict=False,
                                                added_cond_kwargs=dict(image_embeds=[source],
                                                text_embeds=torch.zeros(1, 32), time_ids=torch.zeros(1, 6)))
        with torch.no_grad():
            call(embeds[1:])
            with pytest.raises(ValueError, match="cannot be told apart"): call(embeds[:1])
    assert maps.steps == [0]


@pytest.mark.parametrize("guidance", [3., 0.])
def test_a_perturbed_row_is_no_picture(sdxl, guidance):
    "PAG runs the conditional rows once more with its self-attention cut; at the first step the others are as without it."
    import diffusers
    own = tiny("sdxl")                                                # a run that fails leaves PAG's processors behind
    pag = diffusers.StableDiffusionXLPAGPipeline(**own.components, add_watermarker=False, pag_applied_layers=["mid", "up", "down"])
    pag.set_progress_bar_config(disable=True)
    np.testing.assert_allclose(norm(pag, PAIR, guidance=guidance, pag_scale=3.), norm(sdxl, PAIR, guidance=guidance), rtol=.01, atol=1e-4)
    with pytest.raises(ValueError, match="a batch with 1 conditional rows"): norm(pag, PAIR, batch_index=1, guidance=guidance, pag_scale=3.)


# --- words -----------------------------------------------------------------------------------------------------------------------
def test_a_word_that_is_not_there_is_named(sdxl):
    with capture(sdxl.unet, stats="text") as maps, installed(sdxl.unet, PAIR, words={"fox": [1]}): run(sdxl, PAIR.images, steps=1)
    with pytest.warns(UserWarning, match=r"text map of 'hat' is zero everywhere.*words=\{name: \[positions\]\}"):
        share = maps.share(PAIR, "text")
    assert np.isnan(share["hat"]) and share["fox"] > 0
    with pytest.warns(UserWarning, match="'hat'"): maps.leakage(PAIR, "text")
    titles = [ax.get_title().replace("\n", " / ") for ax in maps.stat("text").mean("layer").show().axes]
    assert "step 0 / hat (empty)" in titles and "step 0 / fox" in titles


def test_no_word_at_all_names_the_subjects_and_what_to_do(sdxl):
    with pytest.raises(ValueError, match=r"'text' knows no words of fox, hat: name them in the prompt.*words=\{name: \[positions\]\}"):
        with capture(sdxl.unet, stats="text"), installed(sdxl.unet, PAIR): run(sdxl, PAIR.images, steps=1)


# --- names -----------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["background", "box", "in box", "subject", "layer", "step", "0"])
def test_no_name_of_a_subject_is_a_column_of_ours(name):
    layout = Layout([Subject(name, box=(0, 0, 1, 1), priority="background"), Subject("hat", box=(.25, .25, .75, .75))])
    cells = {("mass", "mid_block.attn2", t): np.random.default_rng(t).random((2, 4, 4)).astype(np.float16) for t in range(2)}
    maps = AttentionMaps(layout.names, ["mass"], cells)
    table = maps.leakage(layout)
    assert list(table.columns) == [name, "hat", BACKGROUND] and table.columns.is_unique
    assert set(json.loads(table.to_json())) == {name, "hat", BACKGROUND}
    np.testing.assert_allclose(table.sum(axis=1), 1)
    assert table[BACKGROUND].max() == 0, "the first subject is everywhere"
    ticks = [t.get_text() for t in leakage_figure(table).axes[0].get_xticklabels()]
    assert ticks == [name, "hat", BACKGROUND]
    for by in ("layer", "step"): assert list(maps.share(layout, by=by).columns) == [name, "hat"]


# --- boxes as the layers round them ----------------------------------------------------------------------------------------------
def test_the_rounded_box_is_the_union_over_the_grids():
    fox = ODD["fox"]
    for grid in ((16, 16), (8, 8), (5, 7)):
        y0, y1, x0, x1 = fox.box.tokens(grid)
        np.testing.assert_allclose([*rounded_box(fox, [grid])], [x0/grid[1], y0/grid[0], x1/grid[1], y1/grid[0]])
    both = rounded_box(fox, [(8, 8), (3, 3)])
    assert tuple(both) == (0, .25, .5, 1)
    disc = np.hypot(*(np.mgrid[:64, :64] - 31.5)) < 20
    np.testing.assert_allclose([*rounded_box(Subject("disc", mask=disc), [(64, 64)])], [*Box.from_mask(disc)])


def lines(ax): return [(patch.get_linestyle(),
    tuple(np.round([patch.get_x(), patch.get_y(), patch.get_x() + patch.get_width(), patch.get_y()
    + patch.get_height()], 6))) for patch in ax.patches]


def test_heat_never_leaves_what_is_drawn(sdxl):
    "All of `norm` lies in the box under crop-and-merge; whatever is bright after a mean over layers lies within the dotted line."
    with capture(sdxl.unet, stats="norm") as maps, installed(sdxl.unet, ODD): run(sdxl, ODD.images, steps=1)
    np.testing.assert_allclose(maps.share(ODD, "norm"), 1)
    heat = maps.stat("norm").mean("layer", "step")
    gh, gw = heat.grid
    figure = heat.show()
    tiles = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    for j, (subject, ax) in enumerate(zip(ODD, tiles)):
        drawn = lines(ax)
        assert ("-", tuple(np.round([*subject.box], 6))) in drawn
        x0, y0, x1, y1 = next(edge for style, edge in drawn if style != "-")
        ys, xs = np.nonzero(heat.array[j])
        assert x0 <= xs.min()/gw and (xs.max() + 1)/gw <= x1 + 1e-6 and y0 <= ys.min()/gh and (ys.max() + 1)/gh <= y1 + 1e-6
    words = " ".join([figure.get_suptitle(), *(ax.get_ylabel() for ax in figure.axes)])
    assert "dotted: the box as the layers round it" in words


def test_no_dots_where_the_box_lies_on_the_grid():
    maps = np.random.default_rng(0).random((2, 8, 8))
    assert all(style == "-" for ax in panel({"a": maps}, PAIR.names, layout=PAIR).axes for style, _ in lines(ax))
    assert any(style != "-" for style, _ in lines(draw(maps[0], layout=PAIR, grids=[(3, 3)]).axes[0]))
    assert any(style != "-" for ax in film_strip(maps[None], PAIR.names, layout=PAIR, grids=[(3, 3)]).axes for style, _ in lines(ax))


def test_a_tile_gets_the_part_of_the_layout_that_lies_there(sdxl):
    "A picture twice as wide as high, drawn whole and as its right half with the layout cropped to it: the same tokens are moved."
    wide = Layout([Subject("fox", picture(1), (.02, .3, .3, .95)), Subject("hat", picture(2), (.41, .04, .83, .55)),
        Subject("cat", picture(3), (.7, .6, .97, 1))])
    def moved(layout, latent):
        with capture(sdxl.unet, stats="norm") as maps, installed(sdxl.unet, layout): run(sdxl, layout.images, steps=1, latent=latent)
        return maps
    whole, tile = moved(wide, (16, 32)), moved(wide.crop((.5, 0, 1, 1)), (16, 16))
    assert tile.names == ["hat", "cat"] and whole.layers == tile.layers
    for key, cell in tile.maps.items():
        right = whole.maps[key][1:, :, cell.shape[-1]:]
        np.testing.assert_array_equal(cell > 0, right > 0)


# --- overlays one can see --------------------------------------------------------------------------------------------------------
def rgb(i): return tuple(int(color(i)[k:k + 2], 16) for k in (1, 3, 5))


def inks(image): return set(map(tuple, np.asarray(image).reshape(-1, 3)))


def test_an_overlay_is_large_and_has_its_box(sdxl):
    with capture(sdxl.unet, stats="norm") as maps, installed(sdxl.unet, ODD): run(sdxl, ODD.images, steps=1)
    heat = maps["hat"].stat("norm").mean("layer", "step")
    large = heat.overlay(Image.new("RGB", (32, 32)))
    assert large.size == (256, 256) and rgb(1) in inks(large) and rgb(0) not in inks(large)
    assert rgb(1) not in inks(heat.overlay(Image.new("RGB", (32, 32)), layout=False))
    assert heat.overlay(Image.new("RGB", (300, 300))).size == (300, 300)
    assert heat.overlay(Image.new("RGB", (32, 32)), size=0).size == (32, 32)
    assert maps.stat("norm").mean().overlay(Image.new("RGB", (32, 32))).size == (2*256 + 6, 256)


@pytest.mark.parametrize("size, want",
    [((64, 64), (256, 256)), ((64, 80), (256, 320)), ((100, 100), (300, 300)), ((90, 120), (270, 360)),
    ((1024, 1024), (1024, 1024)), ((40, 44), (280, 308))])
def test_overlays_grow_by_whole_pixels(size, want):
    heat = np.random.default_rng(0).random((4, 4))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), np.uint8))
    out = overlay(image, heat, alpha=0., size=256)
    assert out.size == want
    np.testing.assert_array_equal(np.asarray(out)[::want[1]//size[1], ::want[0]//size[0]], np.asarray(image.convert("L").convert("RGB")))


def test_maps_keep_the_layout_on_disk(sdxl, tmp_path):
    with capture(sdxl.unet, stats="norm") as maps, installed(sdxl.unet, ODD): run(sdxl, ODD.images, steps=1)
    back = AttentionMaps.load(maps.save(tmp_path/"maps.safetensors"))
    assert back.layout.boxes == ODD.boxes and back.layout.names == ODD.names and back["fox"].layout is back.layout
    assert all(subject.image is None for subject in back.layout), "names and places, no pictures"
    a, b = (m.stat("norm").mean("layer", "step").overlay(Image.new("RGB", (32, 32))) for m in (maps, back))
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


# --- letters ---------------------------------------------------------------------------------------------------------------------
PAGE = 640


def figures():
    maps = np.random.default_rng(0).random((2, 8, 8))
    yield draw(maps[0], "full / fox", label="mass")
    yield panel({"full": maps, "masked": 2*maps}, PAIR.names, layout=PAIR, label="mass")
    yield panel({name: maps for name in "abcdefgh"}, PAIR.names, color_range="map", label="mass")
    yield film_strip(np.stack([maps]*20), PAIR.names, label="mass")
    yield leakage_figure(leakage(maps, PAIR.owner((8, 8))), PAIR.names, "full / mass")
    yield share_figure({"full": [.2, .4]}, PAIR.names, [.1, .2], "mass")


def test_every_letter_is_nine_pixels_on_the_page():
    from matplotlib.text import Text
    for figure in figures():
        figure.canvas.draw()
        shrunk = min(1, PAGE/(figure.get_size_inches()[0]*figure.dpi))
        small = {t.get_text(): t.get_fontsize()/72*figure.dpi*shrunk for t in figure.findobj(Text)
            if t.get_text().strip() and t.get_visible()}
        assert min(small.values()) >= 9, {text: size for text, size in small.items() if size < 9}


def test_titles_stay_within_their_tiles():
    figure = film_strip(np.stack([np.random.default_rng(0).random((1, 8, 8))]*20), ["strawberry jam"], label="mass")
    figure.canvas.draw()
    tiles = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    boxes = [ax.title.get_window_extent() for ax in tiles]
    assert all(a.x1 <= b.x0 + 1 for a, b in zip(boxes, boxes[1:]))


# --- maps without structure ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("value, bar", [(1/16, (0, 1/8)), (-3, (-6, 0)), (0, (0, 1))])
def test_a_flat_map_stands_in_the_middle_of_its_bar(value, bar):
    figure = draw(np.full((4, 4), value), "x")
    np.testing.assert_allclose(figure.axes[0].images[0].get_clim(), bar, rtol=1e-6)
    assert figure.axes[0].get_title() == ("x (flat)" if value else "x (empty)")


# --- tensors of all kinds --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_tensors_of_any_number_type(dtype):
    maps = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    as_maps(maps), colorize(maps[0]), share_in_box(maps, PAIR.cover((8, 8)))
    leakage_figure(torch.from_numpy(leakage(maps, PAIR.owner((8, 8)))).to(dtype), PAIR.names)
    share_figure({"full": maps[0, 0, :2]}, PAIR.names, maps[0, 1, :2])
    overlay(Image.new("RGB", (32, 32)), maps[0].clone().requires_grad_())


def test_captured_whatever_the_default_device():
    "'meta' stands for any device that numpy cannot read; the network itself stays where it is."
    from test_stats import hand_made
    net = torch.nn.Module()
    net.down_blocks, net.mid_block, net.up_blocks = [], torch.nn.Module(), []
    net.mid_block.attn2 = torch.nn.Module()
    look = hand_made()
    torch.set_default_device("meta")
    try:
        with capture(net, stats=("mass", "norm", "text", "energy")) as maps: net.attn_recorder(look)
    finally: torch.set_default_device("cpu")
    assert len(maps.maps) == 4 and np.isfinite(maps.stat("mass").array).all()
