"""Tiny pipelines with RANDOM weights: they draw nothing and exist to test plumbing and arithmetic only.

`tiny('sd15' | 'sdxl', plus=False | True)` builds, in memory and without a network, a diffusers pipeline of that shape with one
IP-Adapter loaded through diffusers' own loader. Pictures are 32 px, latents 16x16, a run of four steps takes a fraction of a second.
"""
import os
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "agg")

import logging
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

KINDS = ["sd15-plain", "sd15-plus", "sdxl-plain", "sdxl-plus"]
TOKENS = 12     # longest prompt
WIDTH = 32      # width of the text encoders and of the image encoder
FACTOR = 2      # picture pixels per latent pixel


# --- parts of a pipeline ---------------------------------------------------------------------------------------------------------
def tokenizer():
    "A CLIP tokenizer of single bytes and two merged words."
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode
    letters = list(bytes_to_unicode().values())
    merges = [("f", "o"), ("fo", "x</w>"), ("h", "a"), ("ha", "t</w>")]
    pieces = dict.fromkeys([*letters, *(c + "</w>" for c in letters), *(a + b for a, b in merges), "<|startoftext|>", "<|endoftext|>"])
    return CLIPTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=merges, model_max_length=TOKENS)


def text_encoder(words, pooled=False):
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection
    end = words.eos_token_id
    config = CLIPTextConfig(vocab_size=len(words), hidden_size=WIDTH, intermediate_size=2*WIDTH, num_hidden_layers=2, num_attention_heads=2,
                            max_position_embeddings=TOKENS, projection_dim=WIDTH, bos_token_id=end - 1, eos_token_id=end, pad_token_id=end)
    return (CLIPTextModelWithProjection if pooled else CLIPTextModel)(config)


def image_encoder():
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
    return CLIPVisionModelWithProjection(CLIPVisionConfig(hidden_size=WIDTH, intermediate_size=2*WIDTH, num_hidden_layers=2,
                                                          num_attention_heads=2, image_size=32, patch_size=8, projection_dim=24))


def image_processor():
    from transformers import CLIPImageProcessorPil
    return CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})


def autoencoder():
    from diffusers import AutoencoderKL
    return AutoencoderKL(down_block_types=("DownEncoderBlock2D",)*2, up_block_types=("UpDecoderBlock2D",)*2, block_out_channels=(8, 16),
                         layers_per_block=1, latent_channels=4, norm_num_groups=4, sample_size=32, mid_block_add_attention=False,
                         scaling_factor=1., force_upcast=False)


def unet(family):
    "Both families in small: SD 1.5 attends at three sizes, SDXL at the two coarser ones and twice per block in the middle."
    from diffusers import UNet2DConditionModel
    shared = dict(sample_size=16, in_channels=4, out_channels=4, block_out_channels=(16, 32, 32), layers_per_block=1, norm_num_groups=8,
                  attention_head_dim=(1, 2, 2))   # diffusers: the NUMBER of heads
    if family == "sd15":
        return UNet2DConditionModel(**shared, down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
                                    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"), cross_attention_dim=WIDTH)
    return UNet2DConditionModel(**shared, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                                up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                                transformer_layers_per_block=(1, 1, 2),
                                cross_attention_dim=2*WIDTH, addition_embed_type="text_time", addition_time_embed_dim=8,
                                projection_class_embeddings_input_dim=WIDTH + 6*8, use_linear_projection=True)


# --- adapters, in the layout of the published files ------------------------------------------------------------------------------
def adapter(net, plus, seed=0, tokens=6):
    "State dict of a random IP-Adapter, `{'image_proj': ..., 'ip_adapter': ...}`, ready for `pipe.load_ip_adapter`."
    g = torch.Generator().manual_seed(seed)
    def randn(*shape):
        return torch.randn(shape, generator=g) / shape[-1]**.5
    c = net.config.cross_attention_dim
    keys = {}
    for i, name in enumerate(k for k in net.attn_processors if not k.startswith("encoder_hid_proj")):
        if name.endswith("attn2.processor"):
            wide = net.get_submodule(name.removesuffix(".processor")).to_q.out_features
            keys |= {f"{i}.to_k_ip.weight": 2*randn(wide, c), f"{i}.to_v_ip.weight": 2*randn(wide, c)}
    if not plus:
        return dict(image_proj={"proj.weight": 3*randn(4*c, 24), "proj.bias": randn(4*c), "norm.weight": torch.ones(c),
            "norm.bias": torch.zeros(c)},
                    ip_adapter=keys)
    d = 64   # one head of 64
    def norm(name, n):
        return {f"{name}.weight": torch.ones(n), f"{name}.bias": torch.zeros(n)}
    def linear(name, i, o):
        return {f"{name}.weight": randn(o, i), f"{name}.bias": randn(o)}
    proj = {"latents": randn(1, tokens, d), **linear("proj_in", WIDTH, d), **linear("proj_out", d, c), **norm("norm_out", c)}
    for i in range(4):
        attend, feed = f"layers.{i}.0", f"layers.{i}.1"
        proj |= {**norm(f"{attend}.norm1", d), **norm(f"{attend}.norm2", d), f"{attend}.to_q.weight": randn(d, d),
            f"{attend}.to_kv.weight": randn(2*d, d),
                 f"{attend}.to_out.weight": randn(d, d), **norm(f"{feed}.0", d), f"{feed}.1.weight": randn(4*d, d),
                 f"{feed}.3.weight": randn(d, 4*d)}
    return dict(image_proj=proj, ip_adapter=keys)


def load_adapters(pipe, *states):
    "Give the pipeline these adapters by diffusers' own loader, which speaks up about an image encoder it need not load."
    logging.getLogger("diffusers.loaders.ip_adapter").setLevel(logging.ERROR)
    pipe.load_ip_adapter(list(states), subfolder=[""]*len(states), weight_name=[""]*len(states), image_encoder_folder=None)
    return pipe


def tiny(family="sdxl", plus=True, seed=0, with_adapter=True):
    "A whole pipeline with random weights, in memory."
    from diffusers import DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        words = tokenizer()
        parts = dict(vae=autoencoder(), text_encoder=text_encoder(words), tokenizer=words, unet=unet(family), image_encoder=image_encoder(),
                     feature_extractor=image_processor(),
                     scheduler=DDIMScheduler(clip_sample=False, steps_offset=1, beta_schedule="scaled_linear"))
        if family == "sd15": pipe = StableDiffusionPipeline(**parts, safety_checker=None, requires_safety_checker=False)
        else:
            pipe = StableDiffusionXLPipeline(**parts, text_encoder_2=text_encoder(words, pooled=True),
                tokenizer_2=words, add_watermarker=False)
    pipe.unet.conv_out.weight.data.mul_(.2)     # or guidance would blow the latents up, and rounding with them
    for net in (pipe.vae, pipe.unet, pipe.text_encoder, pipe.image_encoder): net.eval().requires_grad_(False)
    if family == "sdxl": pipe.text_encoder_2.eval().requires_grad_(False)
    pipe.set_progress_bar_config(disable=True)
    return load_adapters(pipe, adapter(pipe.unet, plus)) if with_adapter else pipe


# --- pictures and runs -----------------------------------------------------------------------------------------------------------
def picture(seed):
    "A reference image of smooth colours, different for every seed."
    low = np.random.default_rng(seed).integers(0, 255, (3, 3, 3), dtype=np.uint8)
    return Image.fromarray(low).resize((40, 40), Image.Resampling.BICUBIC)


def run(pipe, images, *, steps=3, guidance=3., latent=(16, 16), seed=0, prompt="fox hat", **options):
    "Latents [b c h w] of one run as the pipeline leaves them."
    h, w = (side*pipe.vae_scale_factor for side in latent)
    return pipe(prompt, ip_adapter_image=[images], num_inference_steps=steps, guidance_scale=guidance, height=h, width=w,
                generator=torch.Generator().manual_seed(seed), output_type="latent", **options).images


@pytest.fixture(autouse=True)
def own_random_numbers():
    "Whatever a test leaves to chance is the same whichever tests ran before it, in whichever process."
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)


class Pipes:
    "Pipelines by kind ('sd15-plus', ...), each built once."
    def __init__(self): self.built = {}

    def __call__(self, kind):
        if kind not in self.built: self.built[kind] = self.build(kind)
        return self.built[kind]

    def build(self, kind):
        if kind == "embedded": return pytest.importorskip("anyms.stickers.model").load()
        family, form = kind.split("-")
        return tiny(family, plus=form == "plus")

    def state(self):
        "What a test could leave behind: other processors, other adapter scales, hooks."
        def of(unet):
            processors = unet.attn_processors
            scales = {name: list(p.scale) for name, p in processors.items() if hasattr(p, "scale")}
            return dict(processors=processors, scales=scales, hooks=len(unet._forward_pre_hooks))
        return {kind: of(pipe.unet) for kind, pipe in self.built.items()}


@pytest.fixture(scope="session")
def pipes():
    "Shared by all tests of a process, which must leave them as they were."
    return Pipes()


@pytest.fixture(autouse=True)
def pipes_as_found(request):
    "A test that leaves a shared pipeline changed fails itself, not whoever comes later."
    if "pipes" not in request.fixturenames: return (yield)
    pipes = request.getfixturevalue("pipes")
    before = pipes.state()
    yield
    after = pipes.state()
    for kind in before: assert after[kind] == before[kind], f"a test left the shared pipeline {kind!r} changed"


def embedded_weights():
    "Is the trained model of the package there?"
    folder = Path(__file__).parent.parent/"anyms"/"stickers"/"weights"
    return (folder/"checksums.json").is_file()


@pytest.fixture(params=[*KINDS,
    pytest.param("embedded", marks=pytest.mark.skipif(not embedded_weights(), reason="anyms/stickers/weights is not there"))])
def pipe(request, pipes):
    "Every pipeline in turn, the embedded trained model among them."
    return pipes(request.param)


@pytest.fixture(params=["sd15-plain", "sdxl-plus"])
def either(request, pipes):
    "Two pipelines that differ in family and adapter, for what need not be shown on all."
    return pipes(request.param)


@pytest.fixture
def embedded(pipes):
    "The trained model of the package; skips only where its weights are not there."
    if not embedded_weights(): pytest.skip("anyms/stickers/weights is not there")
    return pipes("embedded")
