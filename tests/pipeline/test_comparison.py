"compare and Comparison: order, table, figure, folder."
import numpy as np
import pytest

from anyms.pipeline.comparison import Comparison, compare, metrics_table
from pictures import PROMPT, same


@pytest.fixture(scope="module")
def runs(pipe, layout): return compare(pipe, PROMPT, layout, ("full", "crop_merge"), (0, 3), num_inference_steps=2, progress=False)


def test_runs_are_ordered_and_indexed(runs):
    assert len(runs) == 4 and runs.variants == ["full", "crop_merge"] and runs.seeds == [0, 3]
    assert [(r.settings["variant"], r.settings["seed"]) for r in runs] == [("full", 0), ("full", 3), ("crop_merge", 0), ("crop_merge", 3)]
    assert runs["full", 3].settings["seed"] == 3 and runs["full"].seeds == [0, 3]


def test_compare_equals_generate(runs, draw): assert same(runs["full", 3], draw("full", seed=3))


def test_table(runs, layout):
    table = runs.table()
    assert list(table.columns) == ["variant", "seed", "seconds", "mass_in_box", "mass_leakage", "norm_in_box", "norm_leakage"]
    assert len(table) == 4
    maps = runs["full", 0].maps
    assert table.norm_in_box[0] == pytest.approx(maps.share(layout, "norm").mean())
    lost = maps.leakage(layout, "norm")
    assert table.norm_leakage[0] == pytest.approx((lost.loc["fox", "hat"] + lost.loc["hat", "fox"])/2)


def test_table_by_variant_and_subject(runs):
    by = runs.table(each="variant")
    assert list(by.variant) == ["full", "crop_merge"] and "seed" not in by
    assert by.norm_in_box[0] == pytest.approx(runs.table().norm_in_box[:2].mean())
    assert by.norm_in_box[1] > by.norm_in_box[0]  # crop-and-merge writes nothing outside the box
    assert len(runs.table(each="subject")) == 8


def test_judge_adds_columns(runs):
    table = runs.table(judge=lambda r: dict(light=np.asarray(r.image).mean(), seen=2))
    assert table.light[1] == pytest.approx(np.asarray(runs["full", 3].image).mean()) and set(table.seen) == {2}


def test_energy_has_no_share(draw):
    assert list(metrics_table(draw(stats=("energy", "mass"))).columns) == ["subject", "mass_in_box", "mass_leakage"]


def test_nothing_watched(pipe, layout):
    runs = compare(pipe, PROMPT, layout, "full", 0, None, num_inference_steps=1, progress=False)
    assert list(runs.table().columns) == ["variant", "seed", "seconds"] and len(runs.figure().axes) == 6


def test_sheet(runs):
    figure = runs.figure(seed=3)
    titles = [a.get_title() for a in figure.axes]
    assert titles[:3] == ["boxes", "full", "crop_merge"] and "fox: reference" in titles
    shades = [a.images[0].get_clim() for a in figure.axes if " / " in a.get_title()]
    assert len(shades) == 4 and len(set(shades)) == 1  # one range for all
    assert "one range for all" in figure.axes[-1].get_ylabel() and "seed 3" in figure.get_suptitle()
    assert runs.figure(stat="norm").axes[-1].get_ylabel().startswith("norm")
    assert runs._repr_png_()[:4] == b"\x89PNG"


def test_runs_round_trip(runs, tmp_path):
    again = Comparison.load(runs.save(tmp_path/"runs"))
    assert again.variants == runs.variants and again.seeds == runs.seeds
    assert all(same(a, b) for a, b in zip(again, runs))
    assert again.table().drop(columns="seconds").round(5).equals(runs.table().drop(columns="seconds").round(5))


def test_interrupted_compare_keeps_what_is_drawn(pipe, layout, tmp_path):
    drawn = []
    def stop(pipe, i, t, kw):
        drawn.append(t)
        if len(drawn) == 3: raise KeyboardInterrupt
        return kw
    with pytest.raises(KeyboardInterrupt):
        compare(pipe, PROMPT, layout, ("full", "masked", "crop_merge"), 0, folder=tmp_path/"r", num_inference_steps=1,
            progress=False, callback_on_step_end=stop)
    assert Comparison.load(tmp_path/"r").variants == ["full", "masked"]
