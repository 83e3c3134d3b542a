"""`load` for the big models, on tiny checkpoints laid out as the published ones; and what full-size users turn on:
PAG, offloading, tiling, several pictures at once.

ControlNet, image-to-image, inpainting, LoRA, schedulers and batches are in test_processors.py, non-square pictures in test_equivalence.py.
"""
import json
import shutil

import pytest
import torch
from conftest import adapter, picture, run, tiny
from safetensors.torch import save_file

from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.pipeline import adapters, loading, memory
from anyms.pipeline.generation import generate
from anyms.pipeline.loading import HUB, load
from anyms.attention.install import installed
from anyms.attention.processors import SubjectAttnProcessor
from anyms.attention.adapter import AdapterError, find_processors

LAY = Layout([Subject("fox", picture(0), (0, .25, .75, 1), priority=1), Subject("hat", picture(1), (.5, 0, 1, .5))])
FAMILIES = {"sdxl": "sdxl", "sd15": "sd15"}


def flat(state): return {f"{part}.{k}": v.contiguous() for part, weights in state.items() for k, v in weights.items()}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    "Folders laid out as the two base models and h94/IP-Adapter are: full and fp16 weights, adapters by family, one image encoder."
    home = tmp_path_factory.mktemp("hub")
    for family in FAMILIES:
        pipe = tiny(family, with_adapter=False)
        pipe.image_encoder.save_pretrained(home/"adapters"/"models"/"image_encoder")
        pipe.feature_extractor.save_pretrained(home/"adapters"/"models"/"image_encoder")
        pipe.image_encoder = None
        pipe.register_to_config(image_encoder=(None, None))
        pipe.save_pretrained(home/family)
        pipe.to(torch.float16).save_pretrained(home/family, variant="fp16")
        pipe.to(torch.float32)
        for form in ("plain", "plus"):
            file = home/"adapters"/HUB[family]["subfolder"]/HUB[family][form]
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file(flat(adapter(pipe.unet, form == "plus")), file)
    return home


@pytest.fixture
def big(hub, monkeypatch):
    "`load` finds the tiny folders where it would look for the big models."
    monkeypatch.setattr(loading, "ADAPTERS", str(hub/"adapters"))
    monkeypatch.setattr(loading, "HUB", {name: {**entry, "model": str(hub/name)} for name, entry in HUB.items()})
    monkeypatch.setattr(memory, "free_memory", lambda device: None)
    return hub


# --- load ------------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("form", [None, "plus", "plain"])
@pytest.mark.parametrize("family", FAMILIES)
def test_big_models_load_and_draw(big, family, form):
    pipe = load(family, form, device="cpu")
    assert type(pipe).__name__ == {"sdxl": "StableDiffusionXLPipeline", "sd15": "StableDiffusionPipeline"}[family]
    assert type(pipe.scheduler).__name__ == "DPMSolverMultistepScheduler" and pipe.scheduler.config.use_karras_sigmas
    assert pipe.image_encoder is not None and len(find_processors(pipe.unet)) > 0
    r = next(iter(find_processors(pipe.unet).values())).num_tokens[0]
    assert r == (4 if form == "plain" else 6)                                     # the tiny Plus adapter has six tokens
    result = generate(pipe, "fox hat", LAY, num_inference_steps=2, progress=False)
    assert result.image.size == (32, 32) and result.settings["variant"] == "fused" and str(big) not in json.dumps(result.settings)


@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_takes_the_fp16_files(big, family, tmp_path, monkeypatch):
    "With only fp16 files there, bfloat16 loads and float32 says what is missing."
    def full_size(folder, names): return [n for n in names if n.endswith(".safetensors") and ".fp16." not in n]
    shutil.copytree(big/family, tmp_path/"model", ignore=full_size)
    monkeypatch.setitem(loading.HUB, family, {**loading.HUB[family], "model": str(tmp_path/"model")})
    assert load(family, device="cpu", dtype="bfloat16").unet.dtype == torch.bfloat16
    with pytest.raises(OSError, match=f"load.'{family}'. needs .*could not read them.*hf download"): load(family, device="cpu")


def test_the_cache_is_tried_before_the_network(big, monkeypatch):
    from diffusers import AutoPipelineForText2Image
    asked, real = [], AutoPipelineForText2Image.from_pretrained
    monkeypatch.setattr(AutoPipelineForText2Image, "from_pretrained", lambda *a, **k: asked.append(k["local_files_only"]) or real(*a, **k))
    load("sd15", device="cpu")
    assert asked == [True]
    def empty(*a, **k):
        asked.append(k["local_files_only"])
        raise OSError("nothing there")
    monkeypatch.setattr(AutoPipelineForText2Image, "from_pretrained", empty)
    with pytest.raises(OSError, match="nothing there"): load("sd15", device="cpu")
    assert asked == [True, True, False]


def test_own_adapter_for_a_big_model(big, tmp_path):
    shutil.copy(big/"adapters"/"models"/HUB["sd15"]["plain"], tmp_path/"my-adapter.safetensors")
    with pytest.raises(ValueError, match="my-adapter"):
        load("sdxl", tmp_path/"my-adapter.safetensors", device="cpu")      # of the other family


def test_a_hub_id(monkeypatch):
    "Not a folder, not a known name, but owner/name: asked of the cache, then of the network."
    from diffusers import AutoPipelineForText2Image
    asked = []
    def nowhere(model, **k):
        asked.append(model)
        raise OSError("not found")
    monkeypatch.setattr(AutoPipelineForText2Image, "from_pretrained", nowhere)
    with pytest.raises(OSError, match="load.'somebody/some-model'. needs somebody/some-model and h94/IP-Adapter"):
        load("somebody/some-model", device="cpu")
    assert asked == ["somebody/some-model"]*2


@pytest.mark.parametrize("family", FAMILIES)
def test_an_adapter_of_another_family(hub, family, tmp_path):
    "Seen from the file's header, before diffusers touches anything."
    other = {"sdxl": "sd15", "sd15": "sdxl"}[family]
    file = tmp_path/"ip-adapter_other.safetensors"
    shutil.copy(hub/"adapters"/HUB[other]["subfolder"]/HUB[other]["plain"], file)
    pipe = tiny(family, with_adapter=False)
    before = dict(pipe.unet.attn_processors)
    shape = r"\d+ cross-attention layers of width \d+"
    with pytest.raises(ValueError, match=f"is made for a U-Net with {shape}, and this one has {shape}; give an adapter of the same family"):
        adapters.load_adapter(pipe, file)
    assert all(pipe.unet.attn_processors[k] is p for k, p in before.items()) and pipe.unet.encoder_hid_proj is None


# --- memory and number formats -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype, free, says", [
    ("float32", 12., r"load\('sdxl'\) needs about 17 GiB on cpu and 12.0 GiB are free; dtype='bfloat16' halves that; load\('stickers'\)"),
    ("bfloat16", 5., r"load\('sdxl'\) needs about 8 GiB on cpu and 5.0 GiB are free; load\('stickers'\) needs next to nothing"),
])
def test_too_little_memory(monkeypatch, dtype, free, says):
    monkeypatch.setattr(memory, "free_memory", lambda device: free)
    monkeypatch.setattr(loading, "_fetch", lambda *a: pytest.fail("it began to load"))
    with pytest.raises(MemoryError, match=says): load("sdxl", device="cpu", dtype=dtype)


def test_too_little_memory_on_a_gpu(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: 6.)
    says = r"needs about 8 GiB on cuda and 6.0 GiB are free; or load it with device='cpu' and call pipe.enable_model_cpu_offload\(\)"
    with pytest.raises(MemoryError, match=says):
        memory.check_memory("sdxl", HUB["sdxl"]["billions"], "cuda", torch.float16)
    memory.check_memory("sd15", HUB["sd15"]["billions"], "cuda", torch.float16)


def test_free_memory_is_known_on_linux():
    free = memory.free_memory("cpu")
    assert free is None or .01 < free < 1e5


@pytest.mark.skipif(torch.ops.mkldnn._is_mkldnn_fp16_supported(), reason="this CPU has float16 arithmetic")
def test_float16_on_a_cpu_without_it(big):
    with pytest.raises(ValueError,
            match=r"dtype='float16' on a CPU that has no arithmetic for it; use 'bfloat16' \(as small\) or 'float32', or device='cuda'"):
        load("sdxl", device="cpu", dtype="float16")


@pytest.mark.parametrize("error", [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    MemoryError("no room"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
])
def test_a_full_memory_in_the_middle_of_a_run(pipes, error):
    pipe = pipes("sdxl-plus")
    before, projection = dict(pipe.unet.attn_processors), pipe.unet.encoder_hid_proj
    def fail(pipe, i, t, kw): raise error
    with pytest.raises(MemoryError,
            match=r"The picture does not fit into the memory of cpu .*enable_model_cpu_offload\(\) or pipe.vae.enable_tiling\(\)"):
        generate(pipe, "fox", LAY, num_inference_steps=2, progress=False, callback_on_step_end=fail)
    assert all(pipe.unet.attn_processors[k] is p for k, p in before.items()) and pipe.unet.encoder_hid_proj is projection
    assert not pipe.unet._forward_pre_hooks


def test_other_errors_stay_what_they_are(pipes):
    def fail(pipe, i, t, kw): raise RuntimeError("something else")
    with pytest.raises(RuntimeError, match="^something else$"):
        generate(pipes("sdxl-plus"), "fox", LAY, num_inference_steps=1, progress=False, callback_on_step_end=fail)


# --- with what full-size users turn on ---------------------------------------------------------------------------------------------------
def agrees(pipe, **options):
    "`joint` is diffusers' own answer; the layout gives another."
    theirs = run(pipe, LAY.images, **options)
    def ours(*variant):
        with installed(pipe.unet, LAY, *variant): return run(pipe, LAY.images, **options)
    assert (ours("joint") - theirs).abs().max() <= 1e-5
    assert (ours("fused") - ours("crop_merge")).abs().max() <= 1e-5 and (ours() - theirs).abs().max() > 1e-3


@pytest.mark.parametrize("kind", ["sdxl-plus", "sd15-plain"])
def test_perturbed_attention_guidance(pipes, kind):
    "PAG: a batch of three, self-attention processors of its own."
    import diffusers
    found = pipes(kind)
    parts = dict(found.components)
    pipe = (diffusers.StableDiffusionXLPAGPipeline(**parts, add_watermarker=False, pag_applied_layers=["mid"]) if "text_encoder_2" in parts
            else diffusers.StableDiffusionPAGPipeline(**parts, requires_safety_checker=False, pag_applied_layers=["mid"]))
    pipe.set_progress_bar_config(disable=True)
    agrees(pipe, pag_scale=2.)
    assert not any(isinstance(p, SubjectAttnProcessor) for p in found.unet.attn_processors.values())


@pytest.mark.parametrize("kind", ["sdxl-plus", "sd15-plain"])
def test_several_pictures_and_not_square(pipes, kind): agrees(pipes(kind), num_images_per_prompt=3, latent=(12, 20))


def test_tiled_and_sliced_decoding():
    pipe = tiny("sdxl")
    plain = generate(pipe, "fox", LAY, num_inference_steps=1, progress=False).image
    pipe.vae.enable_slicing()
    pipe.vae.enable_tiling()
    assert generate(pipe, "fox", LAY, num_inference_steps=1, progress=False).image.size == plain.size


def test_offloaded_as_a_whole():
    "accelerate brings the U-Net's weights when it is called; ours are made after that."
    from accelerate import cpu_offload_with_hook
    pipe = tiny("sdxl")
    with installed(pipe.unet, LAY): want = run(pipe, LAY.images)
    cpu_offload_with_hook(pipe.unet, torch.device("cpu"))
    with installed(pipe.unet, LAY): assert torch.equal(run(pipe, LAY.images), want)


def test_offloaded_layer_by_layer():
    "The weights are nowhere (on 'meta') but for the moment in which a layer works."
    from accelerate import cpu_offload
    pipe = tiny("sd15")
    with installed(pipe.unet, LAY): want = run(pipe, LAY.images)
    cpu_offload(pipe.unet, torch.device("cpu"))
    assert next(pipe.unet.parameters()).device.type == "meta"
    with installed(pipe.unet, LAY): assert torch.equal(run(pipe, LAY.images), want)


# --- bad input while installed -----------------------------------------------------------------------------------------------------------
def test_a_projection_with_unexpected_tokens():
    from diffusers.models.embeddings import ImageProjection
    pipe = tiny("sdxl", plus=False)
    width = pipe.unet.config.cross_attention_dim
    pipe.unet.encoder_hid_proj.image_projection_layers[0] = ImageProjection(24, width, num_image_text_embeds=7)
    before = dict(pipe.unet.attn_processors)
    says = "projection made 7 tokens of a picture and its layers expect 4; load projection and layers from one adapter file"
    with pytest.raises(AdapterError, match=says), installed(pipe.unet, LAY): run(pipe, LAY.images)
    assert all(pipe.unet.attn_processors[k] is p for k, p in before.items())


def test_the_layout_changed_during_a_run(pipes):
    pipe = pipes("sdxl-plain")
    lay = Layout(LAY.subjects)
    def change(pipe, i, t, kw):
        lay.subjects = lay.subjects[::-1]
        return kw
    says = "The layout was changed while it is installed; leave the block and install the new layout"
    with pytest.raises(AdapterError, match=says), installed(pipe.unet, lay):
        run(pipe, lay.images, callback_on_step_end=change)
    assert not any(isinstance(p, SubjectAttnProcessor) for p in pipe.unet.attn_processors.values())
    with installed(pipe.unet, LAY): assert torch.isfinite(run(pipe, LAY.images)).all()
