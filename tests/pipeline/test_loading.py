"load: a folder, what training writes, the embedded model, the Hub."
import json
import shutil

import diffusers
import pytest
import torch
from conftest import adapter, tiny
from safetensors.torch import save_file

from anyms.pipeline.generation import generate
from anyms.pipeline.loading import HUB, load
from pictures import PROMPT, same


@pytest.fixture(scope="module")
def folder(pipe, pipes, tmp_path_factory):
    "The tiny pipeline as diffusers writes it, its adapter beside it as published adapters are."
    home, bare = tmp_path_factory.mktemp("weights"), tiny(with_adapter=False)
    bare.save_pretrained(home)
    save_file({f"{part}.{k}": v for part, state in adapter(bare.unet, True).items() for k, v in state.items()},
        home/"ip-adapter-plus_tiny.safetensors")
    return home


def test_load_a_folder(folder, layout):
    result = generate(load(folder, device="cpu"), PROMPT, layout, num_inference_steps=2, progress=False)
    fresh = generate(tiny(plus=True), PROMPT, layout, num_inference_steps=2, progress=False)
    assert same(result, fresh)
    assert str(folder.parent) not in json.dumps(result.settings) and result.settings["model"] == folder.name


def test_load_what_training_writes(folder, tmp_path):
    "base/ with the adapter beside it."
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
    asked = []
    class Fake:
        image_encoder = None
        def load_ip_adapter(self, *a, **k): asked.append((a, k))
        def to(self, device): return self
    monkeypatch.setattr(diffusers.AutoPipelineForText2Image, "from_pretrained", lambda *a, **k: asked.append((a, k)) or Fake())
    monkeypatch.setattr("anyms.pipeline.memory.free_memory", lambda device: None)   # however little memory this machine has
    for name in HUB: load(name, device="cpu")
    assert all(k["use_safetensors"] for a, k in asked[::2])
    assert all(a[0] == "h94/IP-Adapter" and a[2].endswith(".safetensors") for a, k in asked[1::2])
    def offline(*a, **k): raise OSError("no connection")
    monkeypatch.setattr(diffusers.AutoPipelineForText2Image, "from_pretrained", offline)
    with pytest.raises(OSError, match="needs stabilityai/.* could not read them .no connection.; load.'stickers'. needs neither"):
        load("sdxl", device="cpu")
