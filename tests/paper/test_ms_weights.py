"MS-Diffusion's published file: every name and shape is checked, the arithmetic is theirs, and a random file of its layout draws end to end."
import pytest
import torch
from conftest import TOKENS, WIDTH, tiny
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import IPAdapterPlusImageProjectionBlock, MultiIPAdapterImageProjection
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

import anyms
from anyms.layout.boxes import Box
from anyms.paper.cases.case import Case, CaseSubject, StickerReference
from anyms.paper.methods.method import METHODS
from anyms.paper.methods.ms_grounding import fourier_boxes
from anyms.paper.methods.ms_weights import (
    DUMMIES, FILE, MSProjection, MSResampler, MSWeights, Sizes, check_shapes, clip_phrases, expected_shapes, ms_layers, ms_resampler,
    read_weights, sizes_of)
from anyms.paper.methods.sampling import Sampling, sample

FEW = Sampling(2, 3., 2)
SMALL = Sizes(queries=5, dim=64, depth=2, heads=2, patches=WIDTH, phrase=WIDTH, out=2*WIDTH)


@pytest.fixture(scope="module")
def pipe(): return tiny("sdxl")


@pytest.fixture(scope="module")
def weights(pipe):
    "A random file's tensors, of the published layout."
    g = torch.Generator().manual_seed(0)
    shapes = expected_shapes(pipe.unet, SMALL) | {DUMMIES: (1, 4, 2*WIDTH)}
    return {name: torch.randn(shape, generator=g)/max(1, shape[-1])**.5 for name, shape in shapes.items()}


@pytest.fixture
def folder(weights, tmp_path):
    save_file(weights, tmp_path/FILE)
    return tmp_path


def case(n=2):
    nouns, boxes = ("fox", "hat"), [(0, .3, .6, 1), (.4, 0, 1, .7)]
    subjects = [CaseSubject(noun, StickerReference(noun, "noto"), Box(*box), i) for i, (noun, box) in enumerate(zip(nouns[:n], boxes))]
    return Case("test", "fox hat", tuple(subjects), "beach")


def shapes_of(weights): return {name: tuple(x.shape) for name, x in weights.items()}


# --- names and shapes ------------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def full_unet():
    "SDXL's U-Net with an adapter's processors, without memory."
    config = dict(
        sample_size=128, block_out_channels=(320, 640, 1280), layers_per_block=2, attention_head_dim=(5, 10, 20), cross_attention_dim=2048,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), transformer_layers_per_block=(1, 2, 10),
        use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816)
    with torch.device("meta"):
        unet = UNet2DConditionModel(**config)
        for name in [name for name in unet.attn_processors if name.endswith("attn2.processor")]:
            attn = unet.get_submodule(name.removesuffix(".processor"))
            attn.set_processor(IPAdapterAttnProcessor2_0(attn.to_q.out_features, 2048, num_tokens=(16,)))
        unet.encoder_hid_proj = MultiIPAdapterImageProjection([torch.nn.Identity()])
    return unet


def test_the_published_table(full_unet):
    "All 199 tensors of ms_adapter.bin but the dummies, as its classes make them (projection.py, model.py)."
    shapes = expected_shapes(full_unet, Sizes())
    resampler = {name.removeprefix("image_proj."): shape for name, shape in shapes.items() if name.startswith("image_proj.")}
    layer = {"0.norm1.weight": (1280,), "0.norm1.bias": (1280,), "0.norm2.weight": (1280,), "0.norm2.bias": (1280,),
             "0.to_q.weight": (1280, 1280), "0.to_kv.weight": (2560, 1280), "0.to_out.weight": (1280, 1280),
             "1.0.weight": (1280,), "1.0.bias": (1280,), "1.1.weight": (5120, 1280), "1.3.weight": (1280, 5120)}
    assert resampler == {
        "grounding_latents": (1, 16, 1280), "latent_proj.0.weight": (1664, 832), "latent_proj.0.bias": (1664,),
        "latent_proj.2.weight": (20480, 1664), "latent_proj.2.bias": (20480,), "latent_norm.weight": (1280,), "latent_norm.bias": (1280,),
        "proj_in.weight": (1280, 1664), "proj_in.bias": (1280,), "attention_norm.weight": (1280,), "attention_norm.bias": (1280,),
        "proj_out.weight": (2048, 1280), "proj_out.bias": (2048,), "norm_out.weight": (2048,), "norm_out.bias": (2048,),
        **{f"layers.{i}.{name}": shape for i in range(4) for name, shape in layer.items()}}
    layers = {name: shape for name, shape in shapes.items() if name.startswith("ms_adapter.")}
    assert len(layers) == 140 and len(shapes) == 199
    numbers = [int(name.split(".")[1]) for name in layers][::2]
    assert numbers == list(range(1, 140, 2))                               # every second processor is a cross-attention
    assert [layers[f"ms_adapter.{i}.to_k_ip.weight"][0] for i in numbers] == [640]*4 + [1280]*20 + [1280]*30 + [640]*6 + [1280]*10
    assert check_shapes(shapes | {DUMMIES: (1, 4, 2048)}, full_unet) == Sizes()


def test_sizes_are_read_from_the_file(weights):
    assert sizes_of(shapes_of(weights)) == SMALL


@pytest.mark.parametrize("change, says", [
    (lambda s: s.pop("ms_adapter.1.to_k_ip.weight"), "the file lacks ms_adapter.1.to_k_ip.weight: it was made for another U-Net"),
    (lambda s: s.update({"ms_adapter.99.to_k_ip.weight": (3, 3)}), "the file has ms_adapter.99.to_k_ip.weight besides: it was made"),
    (lambda s: s.update({"ms_adapter.1.to_v_ip.weight": (3, 3)}), r"ms_adapter.1.to_v_ip.weight has shape \[3, 3\] and should have"),
    (lambda s: s.pop("image_proj.grounding_latents"), "grounding_latents is not in the file, so it is not MS-Diffusion's ms_adapter; fetch"),
    (lambda s: s.update({"image_proj.latent_proj.2.bias": (7,)}), r"latent_proj.2.bias has shape \[7\] and should have \[320\]"),
])
def test_another_file_is_refused(pipe, weights, change, says):
    shapes = shapes_of(weights)
    change(shapes)
    with pytest.raises(ValueError, match=says): check_shapes(shapes, pipe.unet)


def test_another_unet_is_refused(weights, pipes):
    with pytest.raises(ValueError, match="it was made for another U-Net"): check_shapes(shapes_of(weights), pipes("embedded").unet)


def test_a_missing_file_names_what_to_fetch(pipe, tmp_path):
    with pytest.raises(FileNotFoundError, match="ms_adapter.safetensors is not in .*; fetch ms_adapter.bin from https://huggingface.co/doge1516"):
        MSWeights().prepare(pipe, case(), tmp_path)


def test_dummies_stay_behind(pipe, folder, weights):
    kept = read_weights(folder/FILE, pipe.unet)
    assert DUMMIES not in kept and kept.keys() == weights.keys() - {DUMMIES}
    assert all(torch.equal(kept[name], weights[name]) for name in kept)


# --- arithmetic ------------------------------------------------------------------------------------------------------------------------
def test_the_resampler_is_ip_adapters_with_one_norm_more(pipe, weights):
    "Layer by layer diffusers' own block, with the weights under its names."
    resampler, own = ms_resampler(weights, pipe.unet), {k.removeprefix("image_proj."): v for k, v in weights.items()}
    g = torch.Generator().manual_seed(1)
    patches, phrases, boxes = torch.randn(3, 7, WIDTH, generator=g), torch.randn(3, WIDTH, generator=g), torch.rand(3, 4, generator=g)
    told = torch.cat([phrases, fourier_boxes(boxes)], -1)
    x = torch.nn.functional.gelu(told @ own["latent_proj.0.weight"].T + own["latent_proj.0.bias"])
    x = (x @ own["latent_proj.2.weight"].T + own["latent_proj.2.bias"]).view(3, 5, 64)
    queries = torch.nn.functional.layer_norm(x, (64,), own["latent_norm.weight"], own["latent_norm.bias"])
    assert torch.allclose(resampler.queries(phrases, boxes), queries, atol=1e-5)
    names = {"ln0": "0.norm1", "ln1": "0.norm2", "attn.to_q": "0.to_q", "attn.to_out.0": "0.to_out", "ff.0": "1.0", "ff.1.net.0.proj": "1.1",
             "ff.1.net.2": "1.3"}
    seen = patches @ own["proj_in.weight"].T + own["proj_in.bias"]
    for i in range(2):
        block = IPAdapterPlusImageProjectionBlock(64, 64, 2, 4)
        state = {f"{a}.{kind}": own[f"layers.{i}.{b}.{kind}"] for a, b in names.items() for kind in ("weight", "bias")
                 if f"layers.{i}.{b}.{kind}" in own}
        state["attn.to_k.weight"], state["attn.to_v.weight"] = own[f"layers.{i}.0.to_kv.weight"].chunk(2)
        block.load_state_dict(state)
        with torch.no_grad(): queries = block(seen, queries, queries)
    out = torch.nn.functional.layer_norm(queries, (64,), own["attention_norm.weight"], own["attention_norm.bias"])
    out = out @ own["proj_out.weight"].T + own["proj_out.bias"]
    out = torch.nn.functional.layer_norm(out, (64,), own["norm_out.weight"], own["norm_out.bias"])
    assert torch.allclose(resampler(patches, resampler.queries(phrases, boxes)), out, atol=1e-4)


def test_each_picture_is_asked_by_its_own_subject(pipe, weights):
    resampler = ms_resampler(weights, pipe.unet)
    g = torch.Generator().manual_seed(2)
    queries, patches = torch.randn(2, 5, 64, generator=g), torch.randn(3, 2, 7, WIDTH, generator=g)
    tokens, = MSProjection(resampler, queries)([patches])
    for b in range(3):
        for s in range(2): assert torch.allclose(tokens[b, s], resampler(patches[b, s][None], queries[s][None])[0], atol=1e-5)


def test_phrases_are_clip_ls(pipe):
    vectors = clip_phrases(pipe, ["fox", "hat"])
    ids = pipe.tokenizer("hat", padding="max_length", max_length=TOKENS, return_tensors="pt").input_ids
    with torch.no_grad(): want = pipe.text_encoder(ids).pooler_output
    assert torch.allclose(vectors[1:], want, atol=1e-6) and (vectors[0] - vectors[1]).abs().max() > 1e-3


# --- end to end ------------------------------------------------------------------------------------------------------------------------
def parts(pipe):
    inner = [(p.to_k_ip, p.to_v_ip, p.num_tokens) for p in pipe.unet.attn_processors.values() if hasattr(p, "to_k_ip")]
    return [*pipe.unet.attn_processors.values(), pipe.unet.encoder_hid_proj, pipe.image_encoder, *(x for one in inner for x in one)]


def test_drawn_end_to_end(pipe, folder):
    before, method = parts(pipe), MSWeights()
    kept = method.prepare(pipe, case(), folder)
    pictures = method.draw(pipe, case(), [3, 4, 5], kept, FEW)
    assert len(pictures) == 3 and pictures[0].tobytes() != pictures[1].tobytes()
    assert all(a is b for a, b in zip(before, parts(pipe)))
    plain = sample(pipe, case(), [3], FEW, variant="text_only")[0]
    assert pictures[0].tobytes() != plain.tobytes()
    moved = case()
    moved = Case(moved.id, moved.prompt, (CaseSubject("fox", moved.subjects[0].reference, Box(0, 0, .6, .7)), moved.subjects[1]), "beach")
    assert method.draw(pipe, moved, [3], kept, FEW)[0].tobytes() != pictures[0].tobytes()


def test_scale_0_is_text_only(pipe, weights):
    method = MSWeights()
    method.settings = dict(sdxl=method.settings["sdxl"] | dict(scale=0.))
    kept = {name: value for name, value in weights.items() if name != DUMMIES}
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")                                    # that the image branch is silent
        drawn = method.draw(pipe, case(), [3], kept, FEW)[0]
    assert drawn.tobytes() == sample(pipe, case(), [3], FEW, variant="text_only")[0].tobytes()


def encoder(width, folder):
    CLIPVisionModelWithProjection(CLIPVisionConfig(
        hidden_size=width, intermediate_size=width, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8,
        projection_dim=24)).save_pretrained(folder/"some_encoder")


def test_the_encoder_that_fits_is_fetched_and_put_back(pipe, tmp_path):
    sizes = SMALL._replace(patches=48)
    g = torch.Generator().manual_seed(0)
    kept = {name: torch.randn(shape, generator=g)/max(1, shape[-1])**.5 for name, shape in expected_shapes(pipe.unet, sizes).items()}
    before, method = parts(pipe), MSWeights()
    method.settings = dict(sdxl=dict(scale=.6, encoder=str(tmp_path), subfolder="some_encoder"))
    encoder(48, tmp_path)
    assert len(method.draw(pipe, case(), [3], kept, FEW)) == 1
    encoder(40, tmp_path)
    with pytest.raises(ValueError, match="gives vectors of width 40 and these weights read 48: take h94/IP-Adapter"):
        method.draw(pipe, case(), [3], kept, FEW)
    assert all(a is b for a, b in zip(before, parts(pipe)))


def test_layers_go_where_the_numbers_say(pipe, weights):
    layers = ms_layers(weights, pipe.unet)
    names = [name for name in pipe.unet.attn_processors if not name.startswith("encoder_hid_proj")]
    numbers = [i for i, name in enumerate(names) if name.endswith("attn2.processor")]
    assert all(torch.equal(k[0].weight, weights[f"ms_adapter.{i}.to_k_ip.weight"]) for i, (k, _) in zip(numbers, layers))
    assert len(layers) == len(numbers) and not any(k[0].weight.requires_grad for k, _ in layers)


def test_the_row():
    assert METHODS["ms_weights"].title == "MS-Diffusion (their weights)" and METHODS["ms_weights"].trained is None
    assert isinstance(MSResampler(SMALL), torch.nn.Module)

def test_our_model_is_refused_by_name():
    "Their weights are SDXL's: a run on stickers leaves the row out, and who asks for it by hand is told so."
    pipe = anyms.load()
    with pytest.raises(ValueError, match="method='ms_weights' has no settings for 'stickers': it draws with sdxl only"): MSWeights().options(pipe)
