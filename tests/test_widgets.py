"The widgets without a browser: traits in, pictures, numbers and files out. What a page shows is in test_browser_lab.py."
import base64, html, io, json, re, zipfile
from html.parser import HTMLParser

import numpy as np, pytest, traitlets
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image

from anyms import widgets
from anyms.capture import Maps
from anyms.heatmap import paint
from anyms.layout import Box, Layout, Subject
from anyms.pipeline import Result, Runs, compare, generate
from anyms.widgets import Editor, Explorer, Moments, Newest, Player, Stale, edit, explore, play, stepper
from conftest import picture

LAYERS = {"down_blocks.0.attentions.0.transformer_blocks.0.attn2": (8, 8), "mid_block.attentions.0.transformer_blocks.0.attn2": (4, 4),
          "up_blocks.0.attentions.0.transformer_blocks.0.attn2": (4, 4), "up_blocks.1.attentions.0.transformer_blocks.0.attn2": (8, 8)}
NASTY = ['<img src=x onerror="alert(1)">', "</script><script>alert(2)</script>", "O'Neill & \"Söhne\" <b>", "a"*400, "\u2028 line", "雪"]


def a_layout(names=("fox", "crown"), **kw):
    n = len(names)
    return Layout([Subject(name, image=picture(i), box=(i/n, .1, (i + 1)/n, .9), **kw) for i, name in enumerate(names)])

def a_result(layout, variant="full", seed=0, steps=4, stats=("mass", "norm"), film=True, layers=LAYERS):
    "A result that no model drew, different for every variant, seed and step."
    rng = np.random.default_rng([seed, *variant.encode()])
    cells = {(s, l, t): rng.random((len(layout), *g)).astype(np.float16) for s in stats or () for l, g in layers.items() for t in range(steps)}
    maps = Maps(layout.names, stats, cells, {t: 1000. - t for t in range(steps)}) if stats else None
    frames = [Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)) for _ in range(steps)]
    return Result(frames[-1], layout, dict(prompt="a fox and a crown", variant=variant, seed=seed, steps=steps), 1.5, maps, frames if film else None)

def some_runs(names=("fox", "crown"), variants=("full", "masked", "crop_merge"), seeds=(0, 7), **kw):
    layout = a_layout(names)
    return Runs(a_result(layout, v, s, **kw) for v in variants for s in seeds)

@pytest.fixture(scope="module")
def runs(): return some_runs()

def talk(widget, message, buffers=()):
    "What the widget answers to a message of its page."
    said = []
    widget.send = lambda content, buffers=None: said.append(content)
    for handle in widget._msg_callbacks.callbacks: handle(widget, message, list(buffers))
    return said

def decoded(uri): return base64.b64decode(uri.split(",", 1)[1])
def image_of(uri): return Image.open(io.BytesIO(decoded(uri)))

class Elements(HTMLParser):
    "All tags with their attributes, and all text outside of scripts and styles."
    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.now = [], "", None
        self.feed(page)
    def handle_starttag(self, tag, attributes): self.tags.append((tag, dict(attributes))); self.now = tag
    def handle_endtag(self, tag): self.now = None
    def handle_data(self, data): self.text += data if self.now not in ("script", "style") else ""

def asks_nothing_outside(page):
    "No address of another machine: the one `http` is the name of the SVG format, and names are not fetched."
    outside = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", page)) - {"http://www.w3.org"}
    assert not outside and "@import" not in page
    for tag, a in Elements(page).tags:
        for k in ("src", "href", "action"): assert a.get(k, "data:").startswith("data:"), (tag, k)


# moments

def test_choices(runs):
    m = Moments(runs)
    assert (m.variants, m.seeds, m.names, m.stats, m.steps) == (["full", "masked", "crop_merge"], [0, 7], ["fox", "crown"], ["mass", "norm"], [0, 1, 2, 3])
    assert list(m.layers)[:3] == ["all layers", "8 x 8 tokens", "4 x 4 tokens"] and "up" in m.layers and "mid_block.attentions.0" in m.layers
    assert "down" not in m.layers or m.layers["down"] != m.layers["all layers"]
    assert not m.notes

@pytest.mark.parametrize("wrong, words", [(dict(subject="ox"), "'fox'"), (dict(stat="own"), "'mass'"), (dict(layer="attic"), "'all layers'"), (dict(step=4), "choose one of 0"),
                                          (dict(seed=1), "choose one of 0, 7"), (dict(how="log"), "'shared'"), (dict(variants=("fused",)), "full, masked"), (dict(variants=()), "at least one"),
                                          (dict(strength=2), "from 0")])
def test_a_moment_that_is_not_there(runs, wrong, words):
    with pytest.raises(ValueError, match=words): Moments(runs).view(**wrong)

def test_maps_are_those_of_the_runs(runs):
    m = Moments(runs)
    heats = m.heats(7, "norm", "4 x 4 tokens")
    assert heats.shape == (3, 4, 2, 4, 4)
    expected = runs["masked", 7].maps["crown"].stat("norm").sel(layer=m.layers["4 x 4 tokens"], step=2).mean("layer").array
    np.testing.assert_allclose(heats[1, 2, 1], expected, rtol=1e-6)
    one = m.heats(0, "mass", "mid_block.attentions.0")
    np.testing.assert_array_equal(one[0, 3], runs["full", 0].maps.cells["mass", m.layers["mid_block.attentions.0"][0], 3].astype(np.float32))

def test_numbers_are_those_of_the_runs(runs):
    m = Moments(runs)
    for stat in m.stats:
        table = m.table(m.view(stat=stat, step=1, seed=7))
        for variant in m.variants:
            maps, mine = runs[variant, 7].maps, table[table.variant == variant]
            np.testing.assert_allclose(mine["in box"], maps.share(m.layout, stat, by="step").loc[1], rtol=1e-6)
            np.testing.assert_allclose(mine[["in fox", "in crown", "in background"]].sum(1), 1, rtol=1e-6)
    short = some_runs(steps=1)  # one step: the leakage of the moment is that of the run
    m = Moments(short)
    np.testing.assert_allclose(m.numbers(0, "norm", "all layers")[1][0, 0], short["full", 0].maps.leakage(m.layout, "norm"), rtol=1e-6)

@pytest.mark.parametrize("how", ["map", "subject", "shared"])
def test_range_is_what_it_says(runs, how):
    m = Moments(runs)
    heats, (unit, lo, hi) = m.heats(0, "norm", "up"), m.colours(0, "norm", "up", how)
    assert unit.min() == 0 and unit.max() == 1
    np.testing.assert_allclose(unit*(hi - lo)[..., None, None] + lo[..., None, None], heats, atol=1e-5)
    assert len(np.unique(lo)) == dict(map=24, subject=2, shared=1)[how]

def test_sheets_hold_the_exact_colours(runs):
    "What the page gets is painted as `heatmap.paint` paints, tile by tile."
    m = Moments(runs)
    for subject in m.names:
        entry = widgets._entry(m, ["heat", "7", "norm", "all layers", "shared", subject])
        sheet, unit = np.asarray(image_of(entry["src"]).convert("RGB")), m.colours(7, "norm", "all layers", "shared")[0]
        for v in range(3):
            for t in range(4):
                i = v*4 + t
                x, y = i % entry["columns"]*8, i//entry["columns"]*8
                np.testing.assert_array_equal(sheet[y:y + 8, x:x + 8], paint(unit[v, t, m.names.index(subject)]))

def test_film_of_the_page_is_the_film_of_the_runs(runs):
    m = Moments(runs)
    entry = widgets._entry(m, ["film", "7"])
    sheet = np.asarray(image_of(entry["src"]).convert("RGB"))
    i = 1*4 + 2
    np.testing.assert_array_equal(sheet[:32, i*32:(i + 1)*32], np.asarray(runs["masked", 7].film[2]))

def test_large_sheets_wrap():
    tiles = [Image.new("RGB", (256, 100), (i, 0, 0)) for i in range(50)]
    entry = widgets._sheet(tiles)
    sheet = image_of(entry["src"])
    assert entry["columns"] == 16 and sheet.size == (4096, 400)
    assert sheet.getpixel((49 % 16*256, 49//16*100))[0] == 49

def test_image_figure_and_strip(runs):
    m = Moments(runs)
    a, b = (m.image(m.view(step=t)) for t in (0, 3))
    assert a.size == b.size and a.tobytes() != b.tobytes()
    assert m.image(m.view(variants=("full",))).width < a.width
    assert [ax.get_title() for ax in m.figure().axes if ax.get_title()][:3] == ["full", "masked", "crop_merge"]
    assert m.strip(most=2).width < m.strip(most=4).width
    with pytest.raises(ValueError, match="most=0"): m.strip(most=0)
    with pytest.raises(ValueError, match="seconds"): m.gif(seconds=0)

def test_what_is_asked_twice_is_computed_once(runs):
    m = Moments(runs)
    assert m.heats(0, "norm", "up") is m.heats(0, "norm", "up") and m.numbers(0, "norm", "up")[0] is m.numbers(0, "norm", "up")[0]


# the explorer

def test_traits_are_the_state(runs):
    e = explore(runs, stat="norm", step=2)
    before = e.image().tobytes()
    for name, value in dict(step=0, subject="crown", stat="mass", layer="mid", how="map", seed=7, strength=.2, boxes=False, variants=["masked"]).items():
        setattr(e, name, value)
        assert getattr(e.view, name) == (tuple(value) if name == "variants" else value)
        now = e.image().tobytes()
        assert now != before, f"{name} changes nothing"
        before = now

@pytest.mark.parametrize("name, value", [("step", 99), ("subject", "ox"), ("seed", 3), ("layer", "attic"), ("variants", []), ("strength", -1.)])
def test_a_wrong_trait_is_refused_and_the_old_one_stays(runs, name, value):
    e = explore(runs)
    before = e.view
    with pytest.raises(traitlets.TraitError, match="choose one of|at least one|from 0"): setattr(e, name, value)
    assert e.view == before

def test_no_model_is_called(runs, monkeypatch):
    monkeypatch.setattr(widgets, "generate", lambda *a, **k: pytest.fail("a model call"))
    e = runs.explore()
    for t in range(4): e.step = t; e.image(); e.table()
    talk(e, {"want": [["film", "0"], ["heat", "0", "mass", "all layers", "shared", "fox"]]})

def test_page_gets_what_it_asks_for_and_the_neighbours(runs):
    e = explore(runs)
    said, = talk(e, {"want": [["heat", "0", "mass", "all layers", "map", "fox"]]})
    keys = [tuple(k) for k, _ in said["sheets"]]
    assert keys[0] == ("heat", "0", "mass", "all layers", "map", "fox") and ("heat", "0", "norm", "all layers", "map", "crown") in keys and len(set(keys)) == len(keys)
    json.dumps(said)
    assert e.error == ""

def test_trouble_shows_in_the_panel(runs):
    e = explore(runs)
    talk(e, {"want": [["heat", "0", "mass", "attic", "map", "fox"]]})
    assert "attic" in e.error
    talk(e, {"export": "exe"})
    assert "'exe' is not known" in e.error
    talk(e, {"want": [["film", "0"]]})
    assert e.error == ""

def test_large_seeds_survive_javascript():
    runs = some_runs(seeds=(2**62 + 1,))
    e = explore(runs)
    assert e.get_state()["seed"] == str(2**62 + 1)
    e.set_state({"seed": str(2**62 + 1)})
    assert e.seed == 2**62 + 1 and talk(e, {"want": [["film", str(2**62 + 1)]]})[0]["sheets"]

def test_any_registered_variant_may_join(): assert explore(some_runs(variants=("full", "soft edges/2"))).variants == ["full", "soft edges/2"]

def test_opens_and_steps_without_a_model(runs, monkeypatch):
    "Everything that a slider shows comes from what was recorded: no pipeline is called."
    def model(*a, **k): raise AssertionError("a slider has called the model")
    monkeypatch.setattr("anyms.pipeline.generate", model)
    e = explore(runs)
    assert e._repr_mimebundle_()
    for t in range(4):
        e.step = t
        assert min(e.image().size) > 0 and len(e.table())

def test_wrong_things_to_explore():
    for wrong in (None, 3, "runs", [1, 2]):
        with pytest.raises(TypeError, match="runs must be"): explore(wrong)
    with pytest.raises(ValueError, match="at least one"): explore([])
    with pytest.raises(TypeError, match="has no choice 'stop'"): explore(some_runs(seeds=(0,)), stop=3)
    with pytest.raises(ValueError, match="different subjects"): explore([a_result(a_layout()), a_result(a_layout(("cat", "dog")), "masked")])

def test_one_result_is_enough(): assert explore(a_result(a_layout())).variants == ["full"]


# what may be missing

def test_unfinished_runs(runs):
    part = Runs(r for r in runs if (r.settings["variant"], r.settings["seed"]) != ("masked", 7))
    e = explore(part, seed=7)
    assert "not finished: masked seed 7" in e.facts["notes"][0] and e.facts["there"]["7"] == [True, False, True]
    assert e.image().size and "masked" not in set(e.table().variant)
    assert not talk(e, {"want": [["film", "7"], ["heat", "7", "mass", "all layers", "shared", "fox"], ["numbers", "7", "mass", "all layers"]]})[0] is None and e.error == ""
    e.figure(); e.strip(); e.gif(); e.report(); e.html()

def test_maps_that_were_not_captured():
    e = explore(some_runs(stats=None))
    assert "No heatmaps were captured" in e.facts["notes"][0] and "stats=" in e.facts["notes"][0]
    assert e.facts["steps"] == [0, 1, 2, 3] and e.stat == "" and e.table().empty
    e.image(); e.figure(); e.strip(); e.gif(); e.html()
    assert "maps/" not in "".join(zipfile.ZipFile(io.BytesIO(e.report())).namelist())

def test_maps_in_which_nothing_was_recorded():
    r = a_result(a_layout())
    r.maps = Maps(stats=("mass",))
    assert "No heatmaps" in explore(r).facts["notes"][0]

def test_a_run_cut_short():
    long, short = a_result(a_layout(), "full"), a_result(a_layout(), "masked", steps=2)
    e = explore([long, short])
    assert e.facts["steps"] == [0, 1] and any("Only 2 of 4 steps" in n for n in e.facts["notes"])

def test_no_film():
    e = explore(some_runs(film=False))
    assert any("film=True" in n for n in e.facts["notes"])
    e.image(); e.html()

def test_a_map_that_is_zero_everywhere():
    r = a_result(a_layout())
    for k in r.maps.cells: r.maps.cells[k][1] = 0
    e = explore(r, subject="crown")
    said, = talk(e, {"want": [["numbers", "0", "mass", "all layers"], ["heat", "0", "mass", "all layers", "map", "crown"]]})
    assert said["sheets"][0][1]["share"][0][0][1] is None and said["sheets"][1][1]["flat"][0][0] is True and "NaN" not in json.dumps(said)

def test_energy_has_no_shares():
    e = explore(some_runs(stats=("energy", "mass")))
    said, = talk(e, {"want": [["numbers", "0", "energy", "all layers"]]})
    assert "logarithm" in said["sheets"][0][1]["say"] and e.table()["in box"].isna().all()

def test_fifty_subjects():
    names = [f"subject number {i}" for i in range(50)]
    runs = Runs(a_result(a_layout(names), v, steps=2, layers={"up_blocks.0.attn2": (64, 64)}) for v in ("full", "masked"))
    e = explore(runs)
    said, = talk(e, {"want": [["film", "0"], ["heat", "0", "mass", "all layers", "shared", names[49]], ["numbers", "0", "mass", "all layers"]]})
    assert len(said["sheets"]) == 3 and said["sheets"][2][1]["leak"] is None and "50 subjects" in said["sheets"][2][1]["say"]
    assert len(e.html()) < 300_000 and len(e.table()) == 100

def test_pictures_that_are_not_square():
    layout = a_layout()
    r = a_result(layout, layers={"up_blocks.0.attn2": (4, 8)})
    r.image, r.film = Image.new("RGB", (64, 32)), [Image.new("RGB", (64, 32), (i*50, 0, 0)) for i in range(4)]
    e = explore(r)
    assert e.facts["size"] == (224, 112)
    e.image(); e.strip(); e.html()


# exports

def test_gif_is_the_film(runs):
    e = explore(runs)
    film = Image.open(io.BytesIO(e.gif(seconds=.2)))
    assert film.format == "GIF" and film.n_frames == 4 and film.info["duration"] == 200 and film.info["loop"] == 0
    film.seek(3)
    assert film.info["duration"] == 800

def test_report_holds_everything(runs):
    e = explore(runs, stat="norm", step=1)
    z = zipfile.ZipFile(io.BytesIO(e.report()))
    names = z.namelist()
    assert z.testzip() is None and len([n for n in names if n.startswith("pictures/") and n.endswith(".png")]) == 6
    assert json.loads(z.read("view.json"))["step"] == 1 and Layout.from_dict(json.loads(z.read("layout.json"))).names == ["fox", "crown"]
    first = next(n for n in names if n.endswith("full-0.png"))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(z.read(first)))), np.asarray(runs["full", 0].image))
    maps = np.load(io.BytesIO(z.read(next(n for n in names if n.endswith("full-0.npz")))))
    layer = next(iter(LAYERS))
    np.testing.assert_array_equal(maps[f"norm/{layer}"][2], runs["full", 0].maps.cells["norm", layer, 2])
    assert b"in box" in z.read("moment.csv") and b"norm_in_box" in z.read("numbers.csv")
    assert e.report() == e.report()

def test_file_names_are_plain():
    e = explore(some_runs(names=("../../evil", "<b>"), variants=("full", "../x/y z")))
    for name in zipfile.ZipFile(io.BytesIO(e.report())).namelist():
        assert re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) and ".." not in name

def test_downloads_go_to_the_page(runs):
    e = explore(runs)
    for kind, magic in dict(gif=b"GIF89a", strip=b"\x89PNG", zip=b"PK").items():
        said, = talk(e, {"export": kind})
        assert decoded(said["file"]).startswith(magic) and said["name"].startswith("anyms-")


# plain HTML

def test_every_widget_leaves_html(runs):
    for w in (explore(runs), edit(a_layout()), edit(None)):
        bundle = w._repr_mimebundle_()
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        assert "application/vnd.jupyter.widget-view+json" in data
        asks_nothing_outside(data["text/html"])

def test_stepper_is_small_and_complete(runs):
    page = stepper(runs, most=3)
    asks_nothing_outside(page)
    tags = Elements(page).tags
    assert [a["alt"] for t, a in tags if t == "img"] and "anymsStaticExplorer" in page and len(page) < 150_000
    assert page == stepper(runs, most=3), "the same page each time, or a stored notebook changes at every run"

def test_stepper_choices(runs):
    page = stepper(runs, stats=["norm"], subjects=["crown"], most=1, seed=7, layer="up")
    facts = json.loads(re.search(r"anymsStaticExplorer\(root, (\{.*?\}), \{\"subject\"", page)[1])
    assert facts["stats"] == ["norm"] and facts["choices"] == ["crown"] and facts["seeds"] == ["7"] and facts["steps"] == [0]
    for wrong in (dict(stats=["own"]), dict(subjects=["ox"]), dict(most=0), dict(seed=3), dict(stats=[]), dict(layer="attic")):
        with pytest.raises(ValueError): stepper(runs, **wrong)

def test_stepper_without_maps(): asks_nothing_outside(stepper(some_runs(stats=None)))

@pytest.mark.parametrize("name", NASTY)
def test_names_are_escaped_everywhere(name):
    runs = some_runs(names=(name, "crown"), variants=("full", name))
    pages = [explore(runs).html(), stepper(runs), edit(a_layout((name, "crown"))).html()]
    for page in pages:
        tags = Elements(page).tags
        assert not [t for t, a in tags if "onerror" in a or a.get("src") == "x"], "a name became an element"
        assert sum(t == "script" for t, _ in tags) == 1 and page.count("</script>") == 1
        assert "\u2028" not in re.search(r"(?s)<script>.*</script>", page)[0]
    explore(runs).image(); explore(runs).report()
    for source in ("explorer.js", "editor.js"): assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", widgets._source(source))

def test_scripts_need_nothing_from_outside():
    for name in ("explorer.js", "editor.js", "widgets.css"):
        source = widgets._source(name)
        assert set(re.findall(r"https?://[^\s'\"]+", source)) <= {"http://www.w3.org/2000/svg"} and "import(" not in source and "url(" not in source


# the editor

def test_layout_goes_round():
    layout = a_layout(priority=2, scale=.5)
    e = edit(layout)
    assert e.layout == layout and [b["name"] for b in e.boxes] == layout.names and len(e.thumbs) == 2 and e.message == ""

def test_a_box_from_the_page_changes_the_layout():
    e = edit(a_layout())
    e.set_state({"boxes": [dict(e.boxes[0], box=[.1, .2, .3, .4]), e.boxes[1]]})
    assert tuple(e.layout["fox"].box) == (.1, .2, .3, .4)
    assert e.layout["fox"].image is not None, "the reference stays"

def test_add_delete_rename_reorder():
    e = edit(a_layout(), library={"balloon": picture(5)})
    e.boxes = [*e.boxes, dict(id=2, name="balloon", box=[.1, .1, .3, .3], priority=0, scale=1)]
    assert e.layout.names == ["fox", "crown", "balloon"] and e.layout["balloon"].image is not None
    e.boxes = [dict(b, name="owl") if b["name"] == "fox" else b for b in e.boxes]
    assert e.layout["owl"].image is not None
    e.boxes = [dict(b, priority=5) if b["name"] == "owl" else b for b in e.boxes]
    assert e.layout.order[-1] == 0
    e.boxes = e.boxes[1:]
    assert e.layout.names == ["crown", "balloon"]
    e.boxes = []
    assert e.layout is None and "no subject yet" in e.message

def test_python_may_set_the_layout():
    e = edit(None)
    assert "no subject yet" in e.message and e.layout is None and e.table().empty and e.figure().size
    e.layout = a_layout(("a", "b", "c"))
    assert [b["name"] for b in e.boxes] == ["a", "b", "c"] and e.last == 2
    e.layout = [Subject("x", box=(0, 0, 1, 1))]
    assert e.layout.names == ["x"]
    with pytest.raises((TypeError, traitlets.TraitError), match="Layout"): e.layout = "fox"

@pytest.mark.parametrize("change, words", [(dict(box=[.5, .5, 1.4, .9]), "outside the picture"), (dict(box=[.5, .5, .5, .9]), "no area"), (dict(box=[.9, .1, .2, .5]), "reversed"),
                                           (dict(name="crown"), "occurs twice"), (dict(name="  "), "is empty"), (dict(scale=None), "not a number"), (dict(scale=-1), "not a strength"),
                                           (dict(box=[float("nan"), 0, 1, 1]), "not finite")])
@pytest.mark.parametrize("snap", [False, True])
def test_an_unsound_edit_is_refused_in_place(change, words, snap):
    e = edit(a_layout())
    e.snap = snap
    before = e.layout
    e.boxes = [dict(e.boxes[0], **change), e.boxes[1]]
    assert words in e.message and e.bad and e.layout is before
    e.boxes = [dict(e.boxes[0], box=[.25, .25, .5, .5], name="fox", scale=1), e.boxes[1]]
    assert not e.bad and tuple(e.layout["fox"].box) == (.25, .25, .5, .5)

def test_an_overlap_is_explained():
    e = edit(a_layout())
    e.level = 0
    e.boxes = [dict(b, box=[.2, .2, .8, .8]) for b in e.boxes]
    assert "lies on top" in e.message and not e.bad and e.cells["collisions"] > 0

def test_cells_are_the_layouts():
    e = edit(a_layout(), latent=(12, 20), depth=3)
    assert e.levels == [[12, 20], [6, 10], [3, 5]]
    for level in range(3):
        e.level = level
        found = e.layout.coverage(e.grid)
        assert e.cells["owners"] == found.owners.ravel().tolist() and e.cells["counts"] == found.counts.ravel().tolist()
        assert e.cells["gaps"] == int((found.counts == 0).sum())
    e.level = 9
    assert e.level == -1

def test_a_mask_stays_until_its_box_moves():
    mask = np.zeros((16, 16), bool); mask[4:8, 4:12] = True
    e = edit(Layout([Subject("fox", image=picture(0), mask=mask)]))
    e.boxes = [dict(e.boxes[0], scale=2)]
    assert e.layout["fox"].mask is not None
    e.boxes = [dict(e.boxes[0], box=[0, 0, .5, .5])]
    assert e.layout["fox"].mask is None

def png(mode="RGB", fill=(200, 30, 30), size=(12, 12)):
    file = io.BytesIO(); Image.new(mode, size, fill).save(file, "PNG"); return file.getvalue()

def test_a_picture_from_the_page():
    e = edit(a_layout())
    talk(e, dict(image=0, file="a.png"), [png()])
    assert e.layout["fox"].image.getpixel((3, 3)) == (200, 30, 30) and not e.bad
    half = Image.new("RGBA", (12, 12), (200, 30, 30, 255)); half.paste((0, 0, 0, 0), (0, 0, 6, 12))
    file = io.BytesIO(); half.save(file, "PNG")
    talk(e, dict(image=0, file="b<i>.png"), [file.getvalue()])
    assert e.layout["fox"].image.getpixel((1, 1)) == (255, 255, 255) and "transparent parts" in e.message
    for content, words in ((png("RGBA", (0, 0, 0, 0)), "transparent everywhere"), (b"no picture", "cannot be read"), (png(size=(1, 1)), "too small")):
        talk(e, dict(image=0, file="c.png"), [content])
        assert words in e.message and e.bad and e.layout["fox"].image.getpixel((1, 1)) == (255, 255, 255)

def test_fifty_boxes_and_more_than_there_are_tokens():
    e = edit(a_layout([f"s{i}" for i in range(50)]))
    assert len(e.layout) == 50
    before = e.layout
    e.boxes = [*e.boxes, *(dict(id=50 + i, name=f"t{i}", box=[0, 0, .5, .5], priority=0, scale=1) for i in range(20))]
    assert "use fewer subjects" in e.message and e.layout is before

fraction = st.floats(0, 1)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(fraction, fraction, fraction, fraction), min_size=1, max_size=5), st.booleans(), st.integers(-1, 1))
def test_whatever_is_drawn_the_layout_is_sound(corners, snap, level):
    "Any four numbers: either the layout has them, on token edges if asked, or the message says why not and the old one stays."
    e = Editor(Layout([Subject("first", box=(0, 0, 1, 1))]))
    e.snap, e.level = snap, level
    before = e.layout
    e.boxes = [dict(id=i, name=f"s{i}", box=list(c), priority=0, scale=1) for i, c in enumerate(corners)]
    if e.bad: assert e.layout is before and any(words in e.message for words in ("no area", "reversed"))
    else:
        gh, gw = e.grid
        for got, wanted in zip(e.layout.boxes, corners):
            if snap: assert all(abs(v*n - round(v*n)) < 1e-9 for v, n in zip(got, (gw, gh, gw, gh))) and got.tokens(e.grid) == Box(*wanted).tokens(e.grid)
            else: assert np.allclose(tuple(got), wanted, atol=1e-6)
        assert [b["box"] for b in e.boxes] == [[round(v, 6) for v in b] for b in e.layout.boxes]

@pytest.mark.parametrize("wrong", [dict(latent=(0, 4)), dict(depth=0)])
def test_wrong_grids(wrong):
    with pytest.raises(ValueError): edit(a_layout(), **wrong)

def test_wrong_library():
    with pytest.raises(TypeError, match="library"): edit(None, library=[1])


# newest first

def test_only_the_newest_is_worked_on():
    seen, worker = [], None
    worker = Newest(lambda request, check: seen.append(request), rest=.05)
    for i in range(200): worker.ask(i)
    assert worker.wait(10) and seen == [199] and worker.done == 1
    worker.ask("again")
    assert worker.wait(10) and seen == [199, "again"], "the thread comes back after it has rested"

def test_stale_work_is_given_up():
    import threading
    begun, go, finished = threading.Event(), threading.Event(), []
    def work(request, check):
        if request == "old":
            begun.set(); go.wait(10)
            check()
        finished.append(request)
    worker = Newest(work, rest=0)
    worker.ask("old"); begun.wait(10)
    for i in range(20): worker.ask(i)
    go.set()
    assert worker.wait(10) and finished == [19] and worker.dropped == 1


# play

@pytest.fixture
def player(pipes):
    p = play(pipes("sdxl-plus"), "fox hat", a_layout(("fox", "hat")), rest=.02, steps=2)
    assert p.wait(120)
    yield p
    p.wait(120)

def same(a, b): return np.array_equal(np.asarray(a), np.asarray(b))

def test_play_draws_what_generate_draws(player, pipes):
    assert not player.error and not player.working
    assert same(player.result.image, generate(pipes("sdxl-plus"), "fox hat", player.editor.layout, steps=2, progress=False).image)
    assert player.figure() and len(player.table()) == 2 and "data-state=\"ready\"" in player.screen.value
    asks_nothing_outside(player._repr_mimebundle_()["text/html"])

@pytest.mark.parametrize("name, value", [("scale", 2.), ("variant", "full"), ("seed", 5), ("background", "query"), ("prompt", "hat"), ("steps", 1), ("guidance", 5.)])
def test_every_control_redraws(player, name, value):
    before = player.result
    player.controls[name].value = value
    assert player.working and "drawing" in player.screen.value
    assert player.wait(120) and not player.error and player.result.settings[name] == value
    assert not same(before.image, player.result.image)

def test_a_moved_box_redraws(player):
    before = player.result
    player.editor.boxes = [dict(player.editor.boxes[0], box=[.5, .5, 1, 1]), player.editor.boxes[1]]
    assert player.wait(120) and tuple(player.result.layout["fox"].box) == (.5, .5, 1, 1) and not same(before.image, player.result.image)

def test_a_drag_draws_one_picture(player):
    done = player.worker.done
    player.worker.rest = .3
    for i in range(30): player.editor.boxes = [dict(player.editor.boxes[0], box=[i/100, .1, i/100 + .4, .6]), player.editor.boxes[1]]
    assert player.wait(120) and player.worker.done == done + 1 and player.result.layout["fox"].box.x0 == .29

def test_an_impossible_state_is_said_in_the_panel(player, capsys):
    before = player.result
    player.variant, player.background = "fused", "query"
    assert player.wait(120) and "background" in player.error and player.result is before
    assert "data-state=\"error\"" in player.screen.value and html.escape(player.error) in player.screen.value
    player.background = "zero"
    assert player.wait(120) and player.error == "" and player.result is not before
    assert capsys.readouterr().err == ""

def test_a_subject_without_a_picture_is_said_in_the_panel(player):
    player.editor.boxes = [*player.editor.boxes, dict(id=9, name="<i>new</i>", box=[0, 0, .2, .2], priority=0, scale=1)]
    assert player.wait(120) and player.error == "<i>new</i>: this box has no picture yet: choose one below." and "<i>new" not in player.screen.value
    assert "block;opacity" not in player.screen.value, "the picture fades only when something went wrong"
    player.editor.boxes = []
    assert player.wait(120) and "no subject yet" in player.error

def test_names_are_escaped_in_the_player(pipes):
    p = play(pipes("sdxl-plus"), NASTY[0], a_layout((NASTY[1], "hat")), rest=0, steps=1)
    assert p.wait(120)
    for page in (p.screen.value, p.html()): assert not [t for t, a in Elements(page).tags if "onerror" in a] and "alert(2)</script>" not in page

def test_wrong_players(pipes):
    with pytest.raises(TypeError, match="pipe must be"): play("stickers", "fox")
    with pytest.raises(TypeError, match="no choice 'stop'"): play(pipes("sdxl-plus"), "fox", stop=1)


# the film that pipeline keeps

def test_film_ends_with_the_picture_and_goes_round(pipes, tmp_path):
    runs = compare(pipes("sdxl-plus"), "fox hat", a_layout(("fox", "hat")), variants=("full",), steps=3, progress=False)
    r = runs["full", 0]
    assert len(r.film) == 3 and same(r.film[-1], r.image) and not same(r.film[0], r.image)
    opened = Runs.load(runs.save(tmp_path/"runs"))["full", 0]
    assert len(opened.film) == 3 and all(map(same, opened.film, r.film))
    assert explore(opened).facts["steps"] == [0, 1, 2]
    (tmp_path/"runs"/"full-0"/"film.png").write_bytes(b"cut")
    with pytest.raises(ValueError, match="film.png"): Runs.load(tmp_path/"runs")

def test_filming_changes_nothing_and_leaves_other_callbacks_alone(pipes):
    seen, pipe, layout = [], pipes("sd15-plain"), a_layout(("fox", "hat"))
    def own(pipe, step, timestep, inputs): seen.append(step); return inputs
    plain = generate(pipe, "fox", layout, steps=2, progress=False)
    filmed = generate(pipe, "fox", layout, steps=2, progress=False, film=True, callback_on_step_end=own)
    assert same(plain.image, filmed.image) and seen == [0, 1] and plain.film is None and len(filmed.film) == 2
