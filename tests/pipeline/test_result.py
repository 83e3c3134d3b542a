"Result: what it shows, and its bundle, whole or not at all."
import numpy as np
import pytest

from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.pipeline.generation import generate
from anyms.pipeline.result import Result
from pictures import PROMPT, picture, same


class Stop(Exception): pass


def test_bundle_round_trip(draw, tmp_path):
    result = draw(stats=("mass", "norm"), active_steps=(0, 1))
    folder = result.save(tmp_path/"deep"/"fox")
    assert sorted(p.name for p in folder.iterdir()) == ["layout.json", "maps.safetensors", "picture.png", "settings.json"]
    opened = Result.load(folder)
    assert same(opened, result) and opened.settings == result.settings and opened.seconds == pytest.approx(result.seconds, abs=1e-4)
    assert opened.layout.names == result.layout.names and opened.layout.boxes == result.layout.boxes
    assert np.array_equal(opened.maps.stat("norm").mean().array, result.maps.stat("norm").mean().array)
    assert {"anyms", "torch", "diffusers", "transformers", "python"} <= set(opened.settings["versions"])


def test_bundle_draws_the_same_picture_again(pipe, draw, tmp_path):
    first = Result.load(draw(seed=7).save(tmp_path/"a"))
    s = first.settings
    assert same(first, generate(pipe, s["prompt"], first.layout, s["variant"], seed=s["seed"], num_inference_steps=s["num_inference_steps"],
                                guidance_scale=s["guidance_scale"], progress=False))


def test_bundle_stands_alone(pipe, tmp_path):
    "References that came from files travel with the bundle."
    picture(200, 100, 0).save(tmp_path/"fox.png")
    result = generate(pipe, PROMPT, Layout([Subject("fox", image=tmp_path/"fox.png", box=(0, 0, .5, .5))]),
        num_inference_steps=1, progress=False)
    folder = result.save(tmp_path/"x"/"bundle")
    (tmp_path/"fox.png").unlink()
    moved = folder.rename(tmp_path/"elsewhere")
    assert np.array_equal(np.asarray(Result.load(moved).layout.images[0]), np.asarray(result.layout.images[0]))
    assert str(tmp_path) not in (moved/"layout.json").read_text() + (moved/"settings.json").read_text()


def test_bundle_replaces_an_older_one_whole(draw, tmp_path):
    draw(stats="mass").save(tmp_path/"a")
    new = draw(seed=1)
    new.save(tmp_path/"a")
    assert not (tmp_path/"a"/"maps.safetensors").exists() and same(Result.load(tmp_path/"a"), new)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt])
def test_bundle_is_all_or_nothing(draw, tmp_path, monkeypatch, error):
    old = draw(seed=2)
    old.save(tmp_path/"a")
    def fail(*a, **k): raise error
    monkeypatch.setattr(Layout, "save", fail)
    for name in ("a", "b"):
        with pytest.raises(error): draw().save(tmp_path/name)
    assert [p.name for p in tmp_path.iterdir()] == ["a"] and same(Result.load(tmp_path/"a"), old)


def test_displays(draw):
    result = draw(stats="mass")
    assert result._repr_png_()[:4] == b"\x89PNG"
    assert "seed=0" in repr(result) and "crop_merge" in repr(result)
    assert len(result.figure().axes) == 2*3 + 1  # boxes and picture, then reference and map per subject, and the colour bar
    assert len(draw().figure().axes) == 2*3
