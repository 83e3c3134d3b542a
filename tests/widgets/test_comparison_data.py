"Every moment of a comparison: choices, pictures, maps, numbers, and what may be missing."
import numpy as np
import pytest

from anyms.maps import AttentionMaps
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.widgets import ComparisonData
from anyms.widgets.explorer import explore
from comparisons import a_layout, a_result, slowly, some_runs
from conftest import picture


@pytest.fixture(scope="module")
def runs(): return some_runs()

# moments

def test_choices(runs):
    m = ComparisonData(runs)
    assert (m.variants, m.seeds, m.names) == (["full", "masked", "crop_merge"], [0, 7], ["fox", "crown"])
    assert (m.stats, m.steps) == (["mass", "norm"], [0, 1, 2, 3])
    assert list(m.layers)[:3] == ["all layers", "8 x 8 tokens", "4 x 4 tokens"]
    assert "up" in m.layers and "mid_block.attentions.0" in m.layers
    assert "down" not in m.layers or m.layers["down"] != m.layers["all layers"]
    assert not m.notes

@pytest.mark.parametrize("wrong, words", [(dict(subject="ox"), "'fox'"), (dict(stat="own"), "'mass'"),
                                          (dict(layer="attic"), "'all layers'"), (dict(step=4), "choose one of 0"),
                                          (dict(seed=1), "choose one of 0, 7"), (dict(color_range="log"), "'shared'"),
                                          (dict(variants=("fused",)), "full, masked"),
                                          (dict(variants=()), "at least one"),
                                          (dict(alpha=2), "from 0")])
def test_a_moment_that_is_not_there(runs, wrong, words):
    with pytest.raises(ValueError, match=words): ComparisonData(runs).select(**wrong)

def test_maps_are_those_of_the_runs(runs):
    m = ComparisonData(runs)
    heats = m.heats(7, "norm", "4 x 4 tokens")
    assert heats.shape == (3, 4, 2, 4, 4)
    expected = runs["masked", 7].maps["crown"].stat("norm").sel(layer=m.layers["4 x 4 tokens"], step=2).mean("layer").array
    np.testing.assert_allclose(heats[1, 2, 1], expected, rtol=1e-6)
    one = m.heats(0, "mass", "mid_block.attentions.0")
    layer, = m.layers["mid_block.attentions.0"]
    np.testing.assert_array_equal(one[0, 3], runs["full", 0].maps.maps["mass", layer, 3].astype(np.float32))

def test_numbers_are_those_of_the_runs(runs):
    m = ComparisonData(runs)
    for stat in m.stats:
        table = m.table(m.select(stat=stat, step=1, seed=7))
        for variant in m.variants:
            maps, mine = runs[variant, 7].maps, table[table.variant == variant]
            np.testing.assert_allclose(mine["in box"], maps.share(m.layout, stat, by="step").loc[1], rtol=1e-6)
            np.testing.assert_allclose(mine[["in fox", "in crown", "in background"]].sum(1), 1, rtol=1e-6)
    short = some_runs(steps=1)  # one step: the leakage of the moment is that of the run
    m = ComparisonData(short)
    np.testing.assert_allclose(m.numbers(0, "norm", "all layers")[1][0, 0], short["full", 0].maps.leakage(m.layout, "norm"), rtol=1e-6)

@pytest.mark.parametrize("color_range", ["map", "subject", "shared"])
def test_range_is_what_it_says(runs, color_range):
    m = ComparisonData(runs)
    heats, (unit, lo, hi) = m.heats(0, "norm", "up"), m.colors(0, "norm", "up", color_range)
    assert unit.min() == 0 and unit.max() == 1
    np.testing.assert_allclose(unit*(hi - lo)[..., None, None] + lo[..., None, None], heats, atol=1e-5)
    assert len(np.unique(lo)) == dict(map=24, subject=2, shared=1)[color_range]

def test_what_is_asked_twice_is_computed_once(runs):
    m = ComparisonData(runs)
    assert m.heats(0, "norm", "up") is m.heats(0, "norm", "up") and m.numbers(0, "norm", "up")[0] is m.numbers(0, "norm", "up")[0]

def test_without_contrast_or_maps_the_last_step_is_shown():
    r = a_result(a_layout())
    for cell in r.maps.maps.values(): cell[:] = .5
    assert explore(r).step == 3
    assert explore(some_runs(stats=None)).step == 3

def test_the_first_view_is_the_step_at_which_the_maps_begin_to_draw():
    e = explore([slowly(a_layout(), v) for v in ("full", "masked")])
    assert e.step == 4 and e.alpha == 1 and e.facts["steps"][-1] == 9
    assert explore([slowly(a_layout())], step=9).step == 9, "who names a step gets it"
    assert ComparisonData(slowly(a_layout())).select().step == 9

def test_a_run_cut_short():
    long, short = a_result(a_layout(), "full"), a_result(a_layout(), "masked", steps=2)
    e = explore([long, short])
    assert e.facts["steps"] == [0, 1] and any("Only 2 of 4 steps" in n for n in e.facts["notes"])

def test_maps_in_which_nothing_was_recorded():
    r = a_result(a_layout())
    r.maps = AttentionMaps(stats=("mass",))
    assert "No heatmaps" in explore(r).facts["notes"][0]

# 100 % and the boxes that layers see (newcomer, A10)

def test_the_page_knows_the_box_that_each_layer_counts_on():
    layout = Layout([Subject("fox", picture(0), (.05, .1, .55, .9)), Subject("hat", picture(1), (.5, 0, 1, .5))])
    e = explore(a_result(layout))
    rounded = e.facts["rounded"]
    assert rounded["8 x 8 tokens"][1] == [.5, 0, 1, .5]
    for layer, ((x0, y0, x1, y1), *_) in rounded.items():
        inside = np.zeros((8, 8), bool)
        inside[int(y0*8):int(np.ceil(y1*8)), int(x0*8):int(np.ceil(x1*8))] = True
        for name in e.data.layers[layer]:
            gh, gw = e.data.grids[name]
            covered = layout[0].cover((gh, gw)).numpy().repeat(8//gh, 0).repeat(8//gw, 1)
            assert not (covered & ~inside).any(), layer
    assert "100% may show colour outside" in e.facts["counted"]

# names of subjects that are words of ours (findings, 34)

@pytest.mark.parametrize("name", ["background", "box", "(box)", "its own box", "no box", "subject", "variant"])
def test_no_column_of_the_table_has_two_meanings(name):
    layout = Layout([Subject(name, picture(0), (.05, .1, .5, .95)), Subject("hat", picture(1), (.3, .1, .7, .5))])
    moments = ComparisonData(a_result(layout))
    share, leak = moments.numbers(0, "mass", "all layers")
    table = moments.table()
    assert table.columns.is_unique and len(table.columns) == 2 + 1 + 2 + 1
    hat = table.iloc[1]
    assert (hat["variant"], hat["subject"]) == ("full", "hat")
    np.testing.assert_allclose(hat.iloc[2:].astype(float), [share[0, -1, 1], *leak[0, -1, 1]])
    np.testing.assert_allclose([hat[f"in {name}"], hat["in hat"]], leak[0, -1, 1, :2])

def test_ordinary_names_keep_the_ordinary_columns():
    assert list(ComparisonData(some_runs()).table().columns) == ["variant", "subject", "in box", "in fox", "in crown", "in background"]
