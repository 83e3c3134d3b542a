"The embedded model: what is written is what is read, files open with plain diffusers, damage is named."
import shutil

import numpy as np
import pytest
import torch

from anyms.pipeline.loading import check_weights
from anyms.stickers import model, world

EMBEDDED = pytest.mark.skipif(not (model.WEIGHTS/"checksums.json").exists(), reason="no embedded weights in this tree")


def test_every_caption_fits_the_tokenizer():
    tokenizer = model.make_tokenizer()
    scenes = world.sample_scenes(300, seed=4, stickers=(5, 5), words=len(world.nouns()))
    assert max(len(tokenizer(world.caption(scenes, i)).input_ids) for i in range(300)) <= tokenizer.model_max_length
    assert all(len(tokenizer.tokenize(noun)) == 1 for noun in world.nouns())

def test_the_encoder_is_exactly_the_principal_projection():
    "A linear map of 8x8 patches (2x2 averages, then principal components) that loses only the components it leaves out."
    vae = model.make_autoencoder()
    share = model.principal_encoder(vae, n=200)
    assert share.sum() > .97 and (share[:-1] >= share[1:]).all()
    scenes = world.sample_scenes(200, seed=1, stickers=(0, 5), words=len(world.nouns()), hue=.3)
    seen = vae.encode(world.render(scenes, (128, 128))*2 - 1).latents.detach()
    assert (seen*vae.config.scaling_factor).var((0, 2, 3)).mean() == pytest.approx(1, abs=.1)   # scenes the U-Net sees has mean square 1
    one, two = torch.rand(2, 1, 3, 32, 32)
    def encode(x): return vae.encode(x*2 - 1).latents
    assert torch.allclose(encode((one+two)/2), (encode(one)+encode(two))/2, atol=1e-5)
    moved = torch.roll(one, (8, 16), (2, 3))
    assert torch.allclose(encode(moved), torch.roll(encode(one), (1, 2), (2, 3)), atol=1e-5)

def test_adapter_file_round_trip(tmp_path):
    "What `save` writes, diffusers' own loader reads back to the very same numbers (in half precision)."
    pipe = model.make_pipeline()
    model.attach_new_adapter(pipe)
    first = {k: v.half().float() for k, v in model.adapter_modules(pipe.unet)[0].state_dict().items()}
    keys = {i: p.to_k_ip[0].weight.half().float() for i, p in model.adapter_modules(pipe.unet)[1].items()}
    model.save_weights(pipe, tmp_path)
    again = model.load(tmp_path)
    second, processors = model.adapter_modules(again.unet)
    assert all(torch.equal(v, second.state_dict()[k]) for k, v in first.items())
    assert all(torch.equal(v, processors[i].to_k_ip[0].weight) for i, v in keys.items())

@EMBEDDED
def test_embedded_weights_open_with_plain_diffusers():
    from diffusers import StableDiffusionXLPipeline
    pipe = StableDiffusionXLPipeline.from_pretrained(model.WEIGHTS/"base", local_files_only=True)
    pipe.load_ip_adapter(str(model.WEIGHTS), subfolder="", weight_name=model.ADAPTER_FILE, image_encoder_folder=None, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    picture = pipe("on the beach", ip_adapter_image=world.sprite("fox").convert("RGB"), num_inference_steps=4, guidance_scale=3.).images[0]
    assert picture.size == (128, 128) and np.asarray(picture).std() > 10

@EMBEDDED
def test_embedded_weights_are_small_and_whole():
    files = [f for f in model.WEIGHTS.rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in files) <= 60e6 and max(f.stat().st_size for f in files) < 16e6
    assert set(check_weights().values()) == {"ok"}

@EMBEDDED
def test_damaged_or_missing_weights_are_named(tmp_path):
    copy = tmp_path/"weights"
    shutil.copytree(model.WEIGHTS, copy)
    file = copy/"base"/"vae"/"diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-8]+b"damaged!")
    with pytest.raises(OSError, match=r"vae.*is damaged; reinstall"): model.load(copy)
    (copy/model.ADAPTER_FILE).unlink()
    with pytest.raises(OSError, match=r"ip-adapter.*is missing"): model.load(copy)
    with pytest.raises(FileNotFoundError, match=r"no checksums.json.*anyms train"): model.load(tmp_path)
