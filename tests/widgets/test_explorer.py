"The explorer without a browser: traits in, pictures, numbers and files out."
import io
import json
import zipfile

import pytest
import traitlets

from anyms.pipeline import Comparison
from anyms.widgets.explorer import explore
from comparisons import a_layout, a_result, decoded, some_runs, talk


@pytest.fixture(scope="module")
def runs(): return some_runs()

# the explorer

def test_traits_are_the_state(runs):
    e = explore(runs, stat="norm", step=2)
    before = e.image().tobytes()
    changes = dict(step=0, subject="crown", stat="mass", layer="mid", color_range="map", seed=7, alpha=.2, boxes=False, variants=["masked"])
    for name, value in changes.items():
        setattr(e, name, value)
        assert getattr(e.selection, name) == (tuple(value) if name == "variants" else value)
        now = e.image().tobytes()
        assert now != before, f"{name} changes nothing"
        before = now

@pytest.mark.parametrize("name, value", [("step", 99), ("subject", "ox"), ("seed", 3), ("layer", "attic"),
                                         ("variants", []), ("alpha", -1.)])
def test_a_wrong_trait_is_refused_and_the_old_one_stays(runs, name, value):
    e = explore(runs)
    before = e.selection
    with pytest.raises(traitlets.TraitError, match="choose one of|at least one|from 0"): setattr(e, name, value)
    assert e.selection == before

def test_no_model_is_called(runs, monkeypatch):
    monkeypatch.setattr("anyms.widgets.wish.generate", lambda *a, **k: pytest.fail("a model call"))
    e = explore(runs)
    for t in range(4):
        e.step = t
        e.image()
        e.table()
    talk(e, {"want": [["film", "0", "noisy"], ["heat", "0", "mass", "all layers", "shared", "fox"]]})

def test_page_gets_what_it_asks_for_and_the_neighbours(runs):
    e = explore(runs)
    said, = talk(e, {"want": [["heat", "0", "mass", "all layers", "map", "fox"]]})
    keys = [tuple(k) for k, _ in said["sheets"]]
    assert keys[0] == ("heat", "0", "mass", "all layers", "map", "fox") and ("heat", "0", "norm", "all layers", "map", "crown") in keys
    assert len(set(keys)) == len(keys)
    json.dumps(said)
    assert e.error == ""

def test_trouble_shows_in_the_panel(runs):
    e = explore(runs)
    talk(e, {"want": [["heat", "0", "mass", "attic", "map", "fox"]]})
    assert "attic" in e.error
    talk(e, {"export": "exe"})
    assert "'exe' is not known" in e.error
    talk(e, {"want": [["film", "0", "noisy"]]})
    assert e.error == ""

def test_large_seeds_survive_javascript():
    runs = some_runs(seeds=(2**62 + 1,))
    e = explore(runs)
    assert e.get_state()["seed"] == str(2**62 + 1)
    e.set_state({"seed": str(2**62 + 1)})
    assert e.seed == 2**62 + 1 and talk(e, {"want": [["film", str(2**62 + 1), "noisy"]]})[0]["sheets"]

def test_any_registered_variant_may_join():
    assert explore(some_runs(variants=("full", "soft edges/2"))).variants == ["full", "soft edges/2"]

def test_opens_and_steps_without_a_model(runs, monkeypatch):
    "Everything that a slider shows comes from what was recorded: no pipeline is called."
    def model(*a, **k): raise AssertionError("a slider has called the model")
    monkeypatch.setattr("anyms.pipeline.generation.generate", model)
    e = explore(runs)
    assert e._repr_mimebundle_()
    for t in range(4):
        e.step = t
        assert min(e.image().size) > 0 and len(e.table())

def test_wrong_things_to_explore():
    for wrong in (None, 3, "runs", [1, 2]):
        with pytest.raises(TypeError, match="comparison must be"): explore(wrong)
    with pytest.raises(ValueError, match="at least one"): explore([])
    with pytest.raises(TypeError, match="has no choice 'stop'"): explore(some_runs(seeds=(0,)), stop=3)
    cats = a_result(a_layout(("cat", "dog")), "masked")
    with pytest.raises(ValueError, match="different subjects"): explore([a_result(a_layout()), cats])

def test_one_result_is_enough(): assert explore(a_result(a_layout())).variants == ["full"]

# what may be missing

def test_unfinished_runs(runs):
    part = Comparison(r for r in runs if (r.settings["variant"], r.settings["seed"]) != ("masked", 7))
    e = explore(part, seed=7)
    assert "not finished: masked seed 7" in e.facts["notes"][0] and e.facts["there"]["7"] == [True, False, True]
    assert e.image().size and "masked" not in set(e.table().variant)
    wanted = [["film", "7", "noisy"], ["heat", "7", "mass", "all layers", "shared", "fox"], ["numbers", "7", "mass", "all layers"]]
    assert talk(e, {"want": wanted})[0] is not None and e.error == ""
    e.figure()
    e.strip()
    e.gif()
    e.report()
    e.html()

def test_maps_that_were_not_captured():
    e = explore(some_runs(stats=None))
    assert "No heatmaps were captured" in e.facts["notes"][0] and "stats=" in e.facts["notes"][0]
    assert e.facts["steps"] == [0, 1, 2, 3] and e.stat == "" and e.table().empty
    e.image()
    e.figure()
    e.strip()
    e.gif()
    e.html()
    assert "maps/" not in "".join(zipfile.ZipFile(io.BytesIO(e.report())).namelist())

def test_no_film():
    e = explore(some_runs(film=False))
    assert any("step_images=True" in n for n in e.facts["notes"])
    e.image()
    e.html()

def test_a_map_that_is_zero_everywhere():
    r = a_result(a_layout())
    for k in r.maps.maps: r.maps.maps[k][1] = 0
    e = explore(r, subject="crown")
    said, = talk(e, {"want": [["numbers", "0", "mass", "all layers"], ["heat", "0", "mass", "all layers", "map", "crown"]]})
    assert said["sheets"][0][1]["share"][0][0][1] is None and said["sheets"][1][1]["flat"][0][0] is True and "NaN" not in json.dumps(said)

def test_energy_has_no_shares():
    e = explore(some_runs(stats=("energy", "mass")))
    said, = talk(e, {"want": [["numbers", "0", "energy", "all layers"]]})
    assert "logarithm" in said["sheets"][0][1]["say"] and e.table()["in box"].isna().all()

def test_fifty_subjects():
    names = [f"subject number {i}" for i in range(50)]
    runs = Comparison(a_result(a_layout(names), v, steps=2, layers={"up_blocks.0.attn2": (64, 64)}) for v in ("full", "masked"))
    e = explore(runs)
    wanted = [["film", "0", "noisy"], ["heat", "0", "mass", "all layers", "shared", names[49]], ["numbers", "0", "mass", "all layers"]]
    said, = talk(e, {"want": wanted})
    assert len(said["sheets"]) == 3 and said["sheets"][2][1]["leak"] is None and "50 subjects" in said["sheets"][2][1]["say"]
    assert len(e.html()) < 300_000 and len(e.table()) == 100

def test_downloads_go_to_the_page(runs):
    e = explore(runs)
    for kind, magic in dict(gif=b"GIF89a", strip=b"\x89PNG", zip=b"PK").items():
        said, = talk(e, {"export": kind})
        assert decoded(said["file"]).startswith(magic) and said["name"].startswith("anyms-")
