"load, generate, compare, Result, Runs: on a tiny random SDXL with a Plus adapter (`pipes` comes from conftest)."
import json, subprocess, sys

import numpy as np
import pytest
import torch
from PIL import Image

import anyms
from anyms.capture import capture
from anyms.layout import Layout, Subject
from anyms.pipeline import Result, Runs, compare, figures, find_words, generate, load, picture_size

PROMPT = "a fox, a hat"


def picture(*rgb): return Image.new("RGB", (40, 40), rgb)


@pytest.fixture(scope="module")
def pipe(pipes): return pipes("sdxl-plus")


@pytest.fixture(scope="module")
def layout():
    return Layout([Subject("fox", image=picture(230, 120, 20), box=(.0, .5, .5, 1.)), Subject("hat", image=picture(250, 210, 40), box=(.25, .0, .75, .6), priority=1)])


@pytest.fixture(scope="module")
def draw(pipe, layout):
    def draw(variant="crop_merge", **kw): return generate(pipe, PROMPT, layout, variant, **{**dict(steps=2, progress=False), **kw})
    return draw


@pytest.fixture(scope="module")
def runs(pipe, layout): return compare(pipe, PROMPT, layout, ("full", "crop_merge"), (0, 3), steps=2, progress=False)


def same(a, b): return np.array_equal(np.asarray(a.image), np.asarray(b.image))


# the package

def python(code): return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_import_is_light():
    "`import anyms` is quick because it brings nothing: no heavy package, hardly any module at all."
    code = "import sys; before = set(sys.modules); import anyms; new = set(sys.modules) - before; print(any(m in new for m in ('torch', 'numpy', 'diffusers', 'PIL')), len(new))"
    heavy, count = python(code).split()
    assert heavy == "False" and int(count) < 60


def test_public_names():
    for name in anyms.__all__: assert getattr(anyms, name) is not None
    assert set(anyms.__all__) <= set(dir(anyms))
    with pytest.raises(AttributeError, match="no public name 'generat'.*generate"): anyms.generat


def test_capture_stays_the_function():
    "The submodule of the same name must not take its place."
    code = "import anyms.capture, anyms.pipeline; from anyms import capture; from anyms.capture import Maps; import anyms; print(callable(capture), anyms.capture is capture)"
    assert python(code).split() == ["True", "True"]


# words

@pytest.mark.parametrize("prompt, names, found", [
    ("a fox", ["fox"], {"fox": [2]}), ("a fox", ["cat"], {}), ("a fox, a hat", ["hat", "fox"], {"hat": [5], "fox": [2]}), ("fox fox", ["fox"], {"fox": [1, 2]}),
    ("foxglove", ["fox"], {}), ("a fox", ["fox 2"], {"fox 2": [2]}), ("a fox", ["fox", "fox 2"], {"fox": [2], "fox 2": [2]}), ("", ["fox"], {}), ("a", ["2"], {}),
    ("a "*30 + "fox", ["fox"], {}), ("fox hat", ["fox-hat"], {"fox-hat": [1, 2]}), ("a fox-hat", ["fox-hat"], {"fox-hat": [2, 3, 4]}), ("fox hat", ["fox_hat"], {"fox_hat": [1, 2]})])
def test_words_are_found(pipe, prompt, names, found):
    "Positions count the start token; what the tokenizer cuts off is not there; the tiny tokenizer knows fox and hat whole."
    assert find_words(pipe.tokenizer, prompt, names) == found


def test_words_reach_the_text_maps(pipe, draw):
    maps = draw(stats="text").maps
    assert maps.stat("text").mean().array.shape[0] == 2


# sizes

def test_size_is_the_models_own(pipe):
    side = pipe.unet.config.sample_size*pipe.vae_scale_factor
    assert picture_size(pipe) == (side, side)
    assert picture_size(pipe, width=2*side) == (side, 2*side)


def test_nearest_size_is_valid(pipe):
    step = pipe.vae_scale_factor*2**(len(pipe.unet.config.block_out_channels) - 1)
    for x in (1, step - 1, step + 1, 5*step + step//2 + 1):
        with pytest.raises(ValueError, match=rf"height={x} must be a multiple of {step} .*nearest is (\d+)") as e: picture_size(pipe, x)
        near = int(str(e.value).rsplit(" ", 1)[1].rstrip("."))
        assert picture_size(pipe, near)[0] == near and (abs(near - x) <= step/2 or near == step)


# generate

def test_same_seed_same_picture(draw):
    assert same(draw(), draw())
    assert not same(draw(seed=0), draw(seed=1))


def test_noise_is_the_same_for_every_variant(draw):
    "With the image branch at zero nothing of a variant is left, so only the noise could differ."
    plain = draw("text_only")
    for variant in ("full", "masked", "crop_merge", "fused"): assert same(draw(variant, scale=0), plain)


def test_variants_differ(draw):
    assert not same(draw("full"), draw("crop_merge"))


def test_equals_a_bare_call(pipe, layout, draw):
    "generate is a convenience: `installed` and a bare diffusers call give the very same picture."
    from anyms import installed
    with installed(pipe.unet, layout, "masked"):
        bare = pipe(PROMPT, ip_adapter_image=[layout.images], num_inference_steps=2, guidance_scale=3., generator=torch.Generator().manual_seed(5)).images[0]
    assert np.array_equal(np.asarray(bare), np.asarray(draw("masked", seed=5).image))


def test_not_square(draw, pipe):
    step = pipe.vae_scale_factor*2**(len(pipe.unet.config.block_out_channels) - 1)
    assert draw(height=2*step, width=5*step).image.size == (5*step, 2*step)


@pytest.mark.parametrize("kw", [dict(guidance=1), dict(guidance=0), dict(negative="none"), dict(background="query"), dict(variant="masked", overlap="mean"), dict(layers="up"),
                                dict(window=(0, 1)), dict(window=range(1, 2)), dict(scale=.5), dict(negative_prompt="a crown"), dict(guidance_rescale=.3)])
def test_options_run_and_are_kept(draw, kw):
    result = draw(**kw)
    assert result.image.size[0] > 0
    json.dumps(result.settings)
    for k, v in kw.items(): assert (result.settings["extra"] if k == "guidance_rescale" else result.settings)[k] == (list(v) if isinstance(v, tuple) else [1, 2, 1] if isinstance(v, range) else v)


def test_watching_changes_nothing(draw):
    plain, watched = draw(), draw(stats=("mass", "norm"))
    assert same(plain, watched)
    assert plain.maps is None and set(watched.maps.stats) == {"mass", "norm"}


def test_an_active_capture_is_used(pipe, draw):
    with capture(pipe.unet, stats=("mass",)) as maps: result = draw()
    assert result.maps is None
    assert np.array_equal(maps.stat("mass").mean().array, draw(stats="mass").maps.stat("mass").mean().array)


class Stop(Exception): pass


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt])
@pytest.mark.parametrize("at", [0, 1])
def test_pipeline_is_left_as_it_was(pipe, draw, error, at):
    before, bar, bars = dict(pipe.unet.attn_processors), pipe.progress_bar, dict(pipe.__dict__)
    def stop(pipe, i, t, kw):
        if i == at: raise error
        return kw
    with pytest.raises(error): draw(callback_on_step_end=stop, stats="mass")
    after = pipe.unet.attn_processors
    assert list(after) == list(before) and all(after[k] is before[k] for k in before)
    assert getattr(pipe.unet, "anyms_tap", None) is None and pipe.progress_bar == bar
    assert set(pipe.__dict__) - set(bars) <= {"_guidance_scale", "_guidance_rescale", "_clip_skip", "_cross_attention_kwargs", "_denoising_end", "_interrupt", "_num_timesteps"}


def test_progress_bar_is_text_on_stderr(draw, capsys):
    draw(progress=True)
    out = capsys.readouterr()
    assert out.out == "" and "crop_merge seed 0" in out.err and "/2 [" in out.err


# bundles

def test_bundle_round_trip(draw, tmp_path):
    result = draw(stats=("mass", "norm"), window=(0, 1))
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
    assert same(first, generate(pipe, s["prompt"], first.layout, s["variant"], seed=s["seed"], steps=s["steps"], guidance=s["guidance"], progress=False))


def test_bundle_stands_alone(pipe, tmp_path):
    "References that came from files travel with the bundle."
    picture(200, 100, 0).save(tmp_path/"fox.png")
    result = generate(pipe, PROMPT, Layout([Subject("fox", image=tmp_path/"fox.png", box=(0, 0, .5, .5))]), steps=1, progress=False)
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


# compare

def test_runs_are_ordered_and_indexed(runs):
    assert len(runs) == 4 and runs.variants == ["full", "crop_merge"] and runs.seeds == [0, 3]
    assert [(r.settings["variant"], r.settings["seed"]) for r in runs] == [("full", 0), ("full", 3), ("crop_merge", 0), ("crop_merge", 3)]
    assert runs["full", 3].settings["seed"] == 3 and runs["full"].seeds == [0, 3]


def test_compare_equals_generate(runs, draw): assert same(runs["full", 3], draw("full", seed=3))


def test_table(runs, layout):
    table = runs.table()
    assert list(table.columns) == ["variant", "seed", "seconds", "mass_in_box", "mass_leakage", "norm_in_box", "norm_leakage"] and len(table) == 4
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
    assert list(figures(draw(stats=("energy", "mass"))).columns) == ["subject", "mass_in_box", "mass_leakage"]


def test_nothing_watched(pipe, layout):
    runs = compare(pipe, PROMPT, layout, "full", 0, None, steps=1, progress=False)
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
    again = Runs.load(runs.save(tmp_path/"runs"))
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
        compare(pipe, PROMPT, layout, ("full", "masked", "crop_merge"), 0, folder=tmp_path/"r", steps=1, progress=False, callback_on_step_end=stop)
    assert Runs.load(tmp_path/"r").variants == ["full", "masked"]


# load

@pytest.fixture(scope="module")
def folder(pipe, pipes, tmp_path_factory):
    "The tiny pipeline as diffusers writes it, its adapter beside it as published adapters are."
    from conftest import adapter, tiny
    from safetensors.torch import save_file
    home, bare = tmp_path_factory.mktemp("weights"), tiny(with_adapter=False)
    bare.save_pretrained(home)
    save_file({f"{part}.{k}": v for part, state in adapter(bare.unet, True).items() for k, v in state.items()}, home/"ip-adapter-plus_tiny.safetensors")
    return home


def test_load_a_folder(folder, draw, layout):
    result = generate(load(folder, device="cpu"), PROMPT, layout, steps=2, progress=False)
    assert same(result, draw())
    assert str(folder.parent) not in json.dumps(result.settings) and result.settings["model"] == folder.name


def test_load_what_training_writes(folder, tmp_path):
    "base/ with the adapter beside it."
    import shutil
    shutil.copytree(folder, tmp_path/"base", ignore=shutil.ignore_patterns("ip-adapter*"))
    shutil.copy(folder/"ip-adapter-plus_tiny.safetensors", tmp_path)
    assert load(tmp_path, device="cpu").unet.encoder_hid_proj is not None


def test_load_with_a_named_adapter(folder):
    pipe = load(folder, adapter=folder/"ip-adapter-plus_tiny.safetensors", device="cpu", dtype="bfloat16")
    assert pipe.unet.encoder_hid_proj is not None and pipe.unet.dtype == torch.bfloat16


def test_load_the_embedded_model(pipes, embedded):
    assert load("stickers", device="cpu").unet.config.sample_size == embedded.unet.config.sample_size


def test_hub_names_are_complete(monkeypatch, pipe):
    "No network in tests: what would be asked of the Hub, and what is said when it does not answer."
    import diffusers
    from anyms.pipeline import HUB
    asked = []
    class Fake:
        image_encoder = None
        def load_ip_adapter(self, *a, **k): asked.append((a, k))
        def to(self, device): return self
    monkeypatch.setattr(diffusers.AutoPipelineForText2Image, "from_pretrained", lambda *a, **k: asked.append((a, k)) or Fake())
    monkeypatch.setattr("anyms.pipeline._free", lambda device: None)   # however little memory this machine has
    for name in HUB: load(name, device="cpu")
    assert all(k["use_safetensors"] for a, k in asked[::2]) and all(a[0] == "h94/IP-Adapter" and a[2].endswith(".safetensors") for a, k in asked[1::2])
    def offline(*a, **k): raise OSError("no connection")
    monkeypatch.setattr(diffusers.AutoPipelineForText2Image, "from_pretrained", offline)
    with pytest.raises(OSError, match="needs stabilityai/.* could not read them .no connection.; load.'stickers'. needs neither"): load("sdxl", device="cpu")


# every kind of pipeline

@pytest.mark.parametrize("kind", ["sd15-plain", "sd15-plus", "sdxl-plain"])
def test_other_pipelines(pipes, layout, kind):
    result = generate(pipes(kind), PROMPT, layout, "masked", steps=2, stats="mass", negative="none", progress=False)
    assert result.image.size == (32, 32) and result.maps.names == ["fox", "hat"]


def test_image_to_image(pipe, layout):
    "The size comes from the image; everything else is the same call."
    from diffusers import StableDiffusionXLImg2ImgPipeline
    other = StableDiffusionXLImg2ImgPipeline(**{k: v for k, v in pipe.components.items()}, add_watermarker=False)
    result = generate(other, PROMPT, layout, image=Image.new("RGB", (48, 32), "white"), strength=.5, steps=4, progress=False)
    assert result.image.size == (48, 32) and (result.settings["height"], result.settings["width"]) == (32, 48)
