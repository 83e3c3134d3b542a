"generate, on a tiny random SDXL with a Plus adapter (`pipes` comes from conftest) and its relatives."
import json

import numpy as np
import pytest
import torch
from PIL import Image

from anyms.maps.record import capture
from anyms.pipeline.generation import generate
from anyms.pipeline.result import plain
from pictures import PROMPT, same


def test_words_reach_the_text_maps(pipe, draw):
    maps = draw(stats="text").maps
    assert maps.stat("text").mean().array.shape[0] == 2


def test_same_seed_same_picture(draw):
    assert same(draw(), draw())
    assert not same(draw(seed=0), draw(seed=1))


def test_a_fresh_generator_is_a_seed(draw):
    result = draw(generator=torch.Generator().manual_seed(1))
    assert same(result, draw(seed=1)) and result.settings["seed"] == 1


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
        bare = pipe(PROMPT, ip_adapter_image=[layout.images], num_inference_steps=2, guidance_scale=3.,
            generator=torch.Generator().manual_seed(5)).images[0]
    assert np.array_equal(np.asarray(bare), np.asarray(draw("masked", seed=5).image))


def test_not_square(draw, pipe):
    step = pipe.vae_scale_factor*2**(len(pipe.unet.config.block_out_channels) - 1)
    assert draw(height=2*step, width=5*step).image.size == (5*step, 2*step)


OPTIONS = [
    dict(guidance_scale=1), dict(guidance_scale=0), dict(uncond_image="none"), dict(background="query"),
    dict(variant="masked", overlap="mean"),
    dict(layers="up"), dict(active_steps=(0, 1)), dict(active_steps=range(1, 2)), dict(scale=.5), dict(negative_prompt="a crown"),
    dict(guidance_rescale=.3)]


@pytest.mark.parametrize("kw", OPTIONS)
def test_options_run_and_are_kept(draw, kw):
    result = draw(**kw)
    assert result.image.size[0] > 0
    json.dumps(result.settings)
    for k, v in kw.items(): assert (result.settings["extra"] if k == "guidance_rescale" else result.settings)[k] == plain(v)


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
    assert getattr(pipe.unet, "attn_recorder", None) is None and pipe.progress_bar == bar
    assert set(pipe.__dict__) - set(bars) <= {"_guidance_scale", "_guidance_rescale", "_clip_skip",
        "_cross_attention_kwargs", "_denoising_end", "_interrupt", "_num_timesteps"}


def test_progress_bar_is_text_on_stderr(draw, capsys):
    draw(progress=True)
    out = capsys.readouterr()
    assert out.out == "" and "crop_merge seed 0" in out.err and "/2 [" in out.err


@pytest.mark.parametrize("kind", ["sd15-plain", "sd15-plus", "sdxl-plain"])
def test_other_pipelines(pipes, layout, kind):
    result = generate(pipes(kind), PROMPT, layout, "masked", num_inference_steps=2, stats="mass", uncond_image="none", progress=False)
    assert result.image.size == (32, 32) and result.maps.names == ["fox", "hat"]


def test_image_to_image(pipe, layout):
    "The size comes from the image; everything else is the same call."
    from diffusers import StableDiffusionXLImg2ImgPipeline
    other = StableDiffusionXLImg2ImgPipeline(**{k: v for k, v in pipe.components.items()}, add_watermarker=False)
    result = generate(other, PROMPT, layout, image=Image.new("RGB", (48, 32), "white"), strength=.5, num_inference_steps=4, progress=False)
    assert result.image.size == (48, 32) and (result.settings["height"], result.settings["width"]) == (32, 48)
