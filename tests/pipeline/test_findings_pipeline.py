"Other people's troubles with pipelines, folders and two programs at once: each of these was wrong once, most of them in silence."
import os
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
import torch
from conftest import adapter, load_adapters, picture, tiny
from PIL import Image, ImageDraw

import diffusers
from anyms.attention.install import installed
from anyms.attention.adapter import AdapterError
from anyms.attention.variants import VARIANTS, variant
from anyms.images import enlarge
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.maps.record import capture
from anyms.pipeline.comparison import Comparison, compare
from anyms.pipeline.generation import generate
from anyms.pipeline.result import MIN_SIDE, Result
from anyms.pipeline.words import find_token_positions
from anyms.storage import check_folder, check_writable

PAIR = Layout([Subject("fox", picture(0), (0, 0, .5, 1)), Subject("hat", picture(1), (.5, 0, 1, 1))])
EMBEDS = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")


@pytest.fixture(scope="module")
def pipe(): return tiny("sdxl")


def draw(pipe, layout=PAIR, **kw):
    return generate(pipe, kw.pop("prompt", "fox hat"), layout, **{**dict(num_inference_steps=2, progress=False), **kw})
def pixels(result): return np.asarray(result.image).astype(int)
def same(a, b): return np.array_equal(pixels(a), pixels(b))


def bare(pipe, **kw):
    with installed(pipe.unet, PAIR):
        call = dict(prompt="fox hat", ip_adapter_image=[PAIR.images], num_inference_steps=2, guidance_scale=3.,
            generator=torch.Generator().manual_seed(0))
        return np.asarray(pipe(**{**call, **kw}).images[0]).astype(int)


# an argument is taken and not used, or changed on the way

def test_no_negative_prompt_is_not_an_empty_one(pipe):
    "SDXL makes zeros of none (`force_zeros_for_empty_prompt`), and a sentence of an empty one."
    assert pipe.config.force_zeros_for_empty_prompt
    assert np.array_equal(pixels(draw(pipe)), bare(pipe))
    assert np.array_equal(pixels(draw(pipe, negative_prompt="")), bare(pipe, negative_prompt=""))
    assert not same(draw(pipe), draw(pipe, negative_prompt="")) and draw(pipe).settings["negative_prompt"] is None


def test_a_negative_prompt_without_guidance_is_remarked(pipe):
    with pytest.warns(UserWarning, match="negative_prompt='hat' has no effect without guidance"):
        draw(pipe, negative_prompt="hat", guidance_scale=1)


@pytest.mark.parametrize("prompt", [None, ""])
def test_a_prompt_as_embeddings(pipe, prompt):
    embeds = dict(zip(EMBEDS, pipe.encode_prompt("fox hat", negative_prompt="")))
    result = draw(pipe, prompt=prompt, stats="norm", **embeds)
    assert same(result, draw(pipe, negative_prompt="")) and result.settings["prompt"] is None
    assert "embeddings" in repr(result) and "embeddings" in result.figure().get_suptitle()


def test_a_prompt_as_embeddings_survives_saving(pipe, tmp_path):
    embeds = dict(zip(EMBEDS, pipe.encode_prompt("fox hat", negative_prompt="")))
    result = draw(pipe, prompt=None, **embeds)
    assert Result.load(result.save(tmp_path/"a")).settings["prompt"] is None


@pytest.mark.parametrize("kw, said", [
    (dict(prompt="fox", prompt_embeds=torch.zeros(1, 12, 64)), "prompt='fox' and prompt_embeds= are both given; leave one of them out"),
    (dict(negative_prompt="hat", negative_prompt_embeds=torch.zeros(1, 12, 64)),
     "negative_prompt='hat' and negative_prompt_embeds= are both given"),
    (dict(prompt=None, prompt_embeds=torch.zeros(2, 12, 64)), "holds 2 prompts and generate draws one picture")])
def test_embeddings_that_do_not_fit(pipe, kw, said):
    with pytest.raises(ValueError, match=said) as e: draw(pipe, **kw)
    assert len(str(e.value)) < 300 and "tensor(" not in str(e.value)


def test_a_size_is_used_or_refused(pipe):
    "Inpainting takes one beside its picture; image to image has the picture's, and says so."
    paint = diffusers.StableDiffusionXLInpaintPipeline.from_pipe(pipe)
    image, mask = Image.new("RGB", (32, 32), "teal"), Image.new("L", (32, 32), 255)
    assert draw(paint, image=image, mask_image=mask, strength=1., height=24, width=48).image.size == (48, 24)
    assert draw(paint, image=image, mask_image=mask, strength=1.).image.size == (32, 32)
    other = diffusers.StableDiffusionXLImg2ImgPipeline.from_pipe(pipe)
    with pytest.raises(ValueError,
            match="width=48: a StableDiffusionXLImg2ImgPipeline takes its size from image=; leave height and width out"):
        draw(other, image=image, width=48)


def test_timesteps_of_ones_own_are_written_down(pipe):
    old, pipe.scheduler = pipe.scheduler, diffusers.EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    try: result = draw(pipe, timesteps=[900, 500, 100], step_images=True)
    finally: pipe.scheduler = old
    assert result.settings["num_inference_steps"] == 3 and len(result.step_images) == 3


def test_diffusers_own_scale_has_a_say(pipe):
    usual = draw(pipe)
    pipe.set_ip_adapter_scale(0.)
    try: assert same(draw(pipe), draw(pipe, scale=0)) and not same(draw(pipe), usual)
    finally: pipe.set_ip_adapter_scale(1.)


@pytest.mark.parametrize("step_images", [False, True])
def test_the_cutoff_callback_works_and_leaves_nothing_behind(pipe, step_images):
    cut = diffusers.callbacks.IPAdapterScaleCutoffCallback(cutoff_step_ratio=None, cutoff_step_index=0)
    usual = draw(pipe, num_inference_steps=3)
    assert same(draw(pipe, num_inference_steps=3, callback_on_step_end=cut, step_images=step_images),
        draw(pipe, num_inference_steps=3, active_steps=(0, 1)))
    assert same(draw(pipe, num_inference_steps=3), usual)


# words

def test_a_word_that_is_not_there_is_named_before_drawing(pipe):
    with pytest.warns(UserWarning, match="'hat' .the prompt does not name it.*words={'hat': .2.}"):
        draw(pipe, prompt="fox hats", stats="text")
    with pytest.warns(UserWarning, match="'hat'"), capture(pipe.unet, stats=("text",)): draw(pipe, prompt="fox")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(pipe, prompt="fox", stats="norm")


def test_a_word_behind_the_end_is_named(pipe):
    with pytest.warns(UserWarning, match="'hat' .it stands behind the 12 tokens that the model reads"):
        draw(pipe, prompt="fox " + "a "*20 + "hat", stats="text")


def test_no_word_at_all_is_refused_before_drawing(pipe):
    calls = []
    hook = pipe.unet.register_forward_pre_hook(lambda *a: calls.append(1))
    try:
        with pytest.raises(ValueError, match="no words to look for: 'fox' .*, 'hat'") as e: draw(pipe, prompt="a", stats="text")
    finally: hook.remove()
    assert not calls and "use generate" not in str(e.value)


def test_words_by_hand(pipe):
    found = find_token_positions(pipe.tokenizer, "fox hat", ["fox", "hat"])
    asked = draw(pipe, stats="text", words={"fox": found["hat"], "hat": found["fox"]}).maps.stat("text").mean().array
    usual = draw(pipe, stats="text").maps.stat("text").mean().array
    assert np.array_equal(asked, usual[::-1])


@pytest.mark.parametrize("words, error, said", [
    ({"owl": [1]}, ValueError, "words names 'owl', which is no subject of the layout; it has fox, hat"),
    ({"fox": [99]}, ValueError, "positions from 0 to 11"),
    ({"fox": []}, ValueError, "at least one"),
    ({"fox": "2"}, TypeError, "a list of whole numbers"), (["fox"], TypeError, "must map a subject's name to positions")])
def test_words_that_cannot_be(pipe, words, error, said):
    with pytest.raises(error, match=said): draw(pipe, words=words)


# the layout's frame

HOLE = Image.new("L", (32, 32), 0)
ImageDraw.Draw(HOLE).rectangle((16, 16, 31, 31), fill=255)


@pytest.fixture(scope="module")
def paint(pipe): return diffusers.StableDiffusionXLInpaintPipeline.from_pipe(pipe)


def masked(paint, layout, hole=HOLE, **kw):
    return draw(paint, layout, image=Image.new("RGB", (32, 32), "teal"), mask_image=hole, strength=1., padding_mask_crop=0, **kw)


def test_only_masked_paints_with_the_subjects_that_are_there(paint):
    with capture(paint.unet, stats=("norm",)) as maps: result = masked(paint, PAIR)
    heat = {name: maps[name].stat("norm").mean().array for name in ("fox", "hat")}
    assert heat["fox"].max() == 0 and heat["hat"].min() > 0 and result.layout is PAIR
    lone = Layout([Subject("hat", picture(1), (0, 0, 1, 1))])
    assert same(result, masked(paint, lone))


def test_only_masked_with_nobody_there(paint):
    corner = Layout([Subject("fox", picture(0), (0, 0, .5, .5))])
    with pytest.raises(ValueError,
            match="padding_mask_crop=0: the cut-out around the mask has no part of a subject .*paint it with scale=0"):
        masked(paint, corner)
    assert masked(paint, corner, scale=0).image.size == (32, 32)


def test_only_masked_says_what_it_cannot(paint):
    for kw in (dict(stats="norm"), dict(step_images=True)):
        with pytest.raises(ValueError, match="use step_images=False and stats=None"): masked(paint, PAIR, **kw)
    with pytest.raises(ValueError, match="black everywhere"): masked(paint, PAIR, hole=Image.new("L", (32, 32), 0))


def test_inpainting_the_embedded_model_says_what_works(embedded):
    other = diffusers.AutoPipelineForInpainting.from_pipe(embedded)
    with pytest.raises(AdapterError, match="U-Nets of 4 or 9 channels; this one has 12.*AutoPipelineForImage2Image"):
        draw(other, image=Image.new("RGB", (64, 64)), mask_image=Image.new("L", (64, 64), 255))
    other = diffusers.AutoPipelineForImage2Image.from_pipe(embedded)
    assert draw(other, image=Image.new("RGB", (64, 64), "teal"), strength=1.).image.size == (64, 64)


# adapters without an image encoder

@pytest.fixture(scope="module")
def faces():
    pipe = tiny("sdxl", plus=False, with_adapter=False)
    state, c = adapter(pipe.unet, plus=False), pipe.unet.config.cross_attention_dim
    state["image_proj"] = {"proj.0.weight": torch.randn(1024, 512)/20, "proj.0.bias": torch.zeros(1024),
        "proj.2.weight": torch.randn(4*c, 1024)/30,
                           "proj.2.bias": torch.zeros(4*c), "norm.weight": torch.ones(c), "norm.bias": torch.zeros(c)}
    load_adapters(pipe, state)
    pipe.image_encoder = pipe.feature_extractor = None
    return pipe


def test_faceid_needs_embeddings_and_takes_them(faces):
    two = torch.cat([torch.zeros(1, 2, 1, 512), torch.randn(1, 2, 1, 512, generator=torch.Generator().manual_seed(0))])
    people = Layout([Subject("fox", box=(0, 0, .5, 1)), Subject("hat", box=(.5, 0, 1, 1))])
    with pytest.raises(AdapterError, match="ip_adapter_image_embeds="): draw(faces, people)
    with installed(faces.unet, people):
        own = faces("fox hat", ip_adapter_image_embeds=[two], num_inference_steps=2, guidance_scale=3.,
            generator=torch.Generator().manual_seed(0)).images[0]
    assert np.array_equal(pixels(draw(faces, people, ip_adapter_image_embeds=[two])), np.asarray(own))
    assert draw(faces, people, ip_adapter_image_embeds=[two[1:]], guidance_scale=1).image.size == (32, 32)
    for wrong in ([two[1:]], two, [two[:, :1]], [two, two]):
        with pytest.raises(ValueError, match=r"must be a list of one tensor \[2 2 ...\]"):
            draw(faces, people, ip_adapter_image_embeds=wrong)


# time

SCHEDULERS = [
    ("DDIMScheduler", {}), ("PNDMScheduler", dict(skip_prk_steps=True)), ("PNDMScheduler", dict(skip_prk_steps=False)),
    ("HeunDiscreteScheduler", {}), ("KDPM2DiscreteScheduler", {}), ("KDPM2AncestralDiscreteScheduler", {}),
    ("EulerDiscreteScheduler", {}), ("DPMSolverMultistepScheduler", {}), ("UniPCMultistepScheduler", {})]


@pytest.mark.parametrize("name, options", SCHEDULERS)
def test_step_images_maps_and_active_steps_count_the_same_steps(pipe, name, options):
    "Second order, PNDM's extra calls, timesteps that rise by rounding: six steps are six frames and six maps, and half of them is half."
    old, seen = pipe.scheduler, []
    config = {k: v for k, v in old.config.items() if k not in ("clip_sample", "steps_offset")}
    pipe.scheduler = getattr(diffusers, name).from_config(config, **options)
    try:
        method = vars(pipe.scheduler).get("step")
        result = draw(pipe, num_inference_steps=6, step_images=True, stats="norm", active_steps=(0, 3),
            callback_on_step_end=lambda p, i, t, kw: seen.append(i) or kw)
        assert vars(pipe.scheduler).get("step") is method
    finally: pipe.scheduler = old
    assert result.maps.steps == list(range(6)) and len(result.step_images) == 6
    assert np.array_equal(np.asarray(result.step_images[-1]), np.asarray(result.image)) and len(seen) >= 6
    maps = result.maps.stat("norm").mean("layer").maps
    by_step = [maps[key].max() for key in sorted(maps, key=lambda key: key[1])]
    assert [bool(v > 0) for v in by_step] == [True]*3 + [False]*3


# many hands on one U-Net

def test_threads_wait_for_their_turn_and_the_bar_comes_back(pipe):
    "Two layouts, one pipeline, six pictures at once: each is right, and the pipeline's own bar is in its place."
    other = Layout([Subject("hat", picture(2), (0, 0, 1, .5))])
    right, found, bar = {0: draw(pipe), 1: draw(pipe, other)}, {}, pipe.progress_bar
    def work(i): found[i] = draw(pipe, (PAIR, other)[i % 2])
    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert sorted(found) == list(range(6)) and all(same(found[i], right[i % 2]) for i in found)
    assert pipe.progress_bar == bar and "progress_bar" not in vars(pipe)


# folders

def test_a_folder_is_checked_before_the_first_picture(pipe, tmp_path):
    (tmp_path/"notes.txt").write_text("mine")
    calls = []
    hook = pipe.unet.register_forward_pre_hook(lambda *a: calls.append(1))
    try:
        with pytest.raises(FileExistsError, match="is not a saved bundle"):
            compare(pipe, "fox hat", PAIR, folder=tmp_path, num_inference_steps=1, progress=False)
    finally: hook.remove()
    assert not calls and [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path/"file").write_text("mine")
    for folder in (tmp_path/"file"/"deep"/"er", "/proc/anyms/here"):
        with pytest.raises(OSError, match="nothing can be written there .*; choose another folder") as e:
            check_folder(folder, "settings.json")
        assert "Errno" not in str(e.value)
    assert check_writable(tmp_path/"a"/"b") == tmp_path/"a"/"b" and [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_variant_with_any_name_is_a_plain_folder(pipe, tmp_path):
    @variant("soft/../edges?")
    def mine(q, refs, cover): return torch.zeros_like(q)
    try:
        runs = compare(pipe, "fox hat", PAIR, ["soft/../edges?"], folder=tmp_path/"live", num_inference_steps=1,
            stats=None, step_images=False, progress=False)
    finally: del VARIANTS["soft/../edges?"]
    for folder in (tmp_path/"live", runs.save(tmp_path/"saved")):
        assert sorted(p.is_dir() for p in folder.iterdir()) == [False, True] and Comparison.load(folder).variants == ["soft/../edges?"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["live", "saved"]


# pictures that can be seen

def test_saved_pictures_are_large_and_come_back_as_they_were(pipe, tmp_path):
    result = draw(pipe, step_images=True)
    folder = result.save(tmp_path/"a")
    assert max(Image.open(folder/"picture.png").size) >= MIN_SIDE and Image.open(folder/"step_images.png").width >= MIN_SIDE
    again = Result.load(folder)
    assert same(again, result) and len(again.step_images) == len(result.step_images)
    assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(again.step_images, result.step_images))


def test_a_bundle_of_an_older_anyms_opens(pipe, tmp_path):
    folder = draw(pipe).save(tmp_path/"a")
    picture(5).save(folder/"picture.png")
    assert Result.load(folder).image.size == picture(5).size


@pytest.mark.parametrize("size", [(64, 64), (100, 30), (300, 20), (256, 256)])
def test_enlarge(size):
    image = enlarge(Image.new("RGB", size), MIN_SIDE)
    assert max(image.size) >= 256 and image.width*size[1] == image.height*size[0] and (max(size) < 256 or image.size == size)


# the sheet

@pytest.fixture(scope="module")
def runs(pipe):
    return compare(pipe, "fox hat", PAIR, ("text_only", "full", "crop_merge"), (0, 3), ("norm",),
        num_inference_steps=2, step_images=False, progress=False)


def titles(figure): return [a.get_title() for a in figure.axes]


def test_a_row_per_seed(runs):
    assert titles(runs.figure())[:8] == ["boxes", "text_only, seed 0", "full, seed 0", "crop_merge, seed 0", "",
        "text_only, seed 3", "full, seed 3", "crop_merge, seed 3"]
    assert "seeds 0, 3; heatmaps of seed 0" in runs.figure().get_suptitle() and titles(runs.figure(seed=3))[1] == "text_only"


def test_covered_titles_tell_nothing(runs):
    shown = " ".join(titles(runs.figure(titles=False, seed=0)))
    assert "A B C" in shown and "%" not in shown and not any(v in shown for v in runs.variants)


def test_no_black_panels_and_the_rounded_box_is_drawn(runs):
    figure = runs.figure(seed=0)
    assert "text_only / fox" not in " ".join(titles(figure))
    assert "no norm anywhere" in "".join(t.get_text() for a in figure.axes for t in a.texts)
    panel = next(a for a in figure.axes if a.get_title().startswith("crop_merge / fox"))
    assert [p.get_linestyle() for p in panel.patches] == ["-", ":"] and "boxes as each layer rounds them" in figure.get_supxlabel()


# two programs at once

@pytest.mark.parametrize("code, before, after", [
    ("import anyms", None, "1000"),
    ("import anyms", "77", "77"),
    ("import sys, types; sys.modules['torch'] = types.ModuleType('torch'); import anyms", None, "None"),
])
def test_idle_threads_give_way(code, before, after):
    "Set before torch is loaded, and only where nobody has decided."
    env = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    if before is not None: env["GOMP_SPINCOUNT"] = before
    done = subprocess.run([sys.executable, "-c", f"{code}; import os; print(os.environ.get('GOMP_SPINCOUNT'))"],
        env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == after


def test_a_policy_of_ones_own_stays():
    from anyms import calm_threads
    assert "GOMP_SPINCOUNT" not in calm_threads({"OMP_WAIT_POLICY": "PASSIVE"}) and calm_threads({})["GOMP_SPINCOUNT"] == "1000"


def test_any_watcher_may_stand_around_a_picture(pipe):
    "A tap need not be a capture: tutorials put a plain function there."
    seen = []
    pipe.unet.attn_recorder = seen.append
    try: draw(pipe)
    finally: del pipe.unet.attn_recorder
    assert seen
