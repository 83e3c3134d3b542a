"Bad input to `installed` and its friends: one sentence each, naming the argument, the value and the remedy; the U-Net as before."
import math
import re

import pytest
import torch
from conftest import picture, run

from anyms.attention.install import installed
from anyms.attention.adapter import AdapterError, adapter_tokens, find_processors
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject

PAIR = Layout([Subject("fox", picture(0), (0, 0, .5, 1)), Subject("hat", picture(1), (.5, 0, 1, 1))])

# arguments of `installed` -> the error, and what its message must say
OPTIONS = {
    "layout: a list": (dict(layout=[1, 2]), TypeError, r"layout is a list; make one with Layout"),
    "layout: None": (dict(layout=None), TypeError, r"layout is a NoneType; make one with Layout"),
    "layout: a dict": (dict(layout={"fox": (0, 0, 1, 1)}), TypeError, r"layout is a dict"),
    "variant: a typo": (dict(variant="crop_merg"), ValueError, r"crop_merg.*crop_merge"),
    "variant: empty": (dict(variant=""), ValueError, r"variant=''.*full"),
    "variant: a number": (dict(variant=3), ValueError, r"variant=3.*masked"),
    "scale: negative": (dict(scale=-1), ValueError, r"scale=-1 should be a finite number from 0 up"),
    "scale: nan": (dict(scale=math.nan), ValueError, r"scale=nan"),
    "scale: infinite": (dict(scale=math.inf), ValueError, r"scale=inf"),
    "scale: text": (dict(scale="1"), ValueError, r"scale='1'"),
    "scale: a list": (dict(scale=[1, 1]), ValueError, r"scale=\[1, 1\]"),
    "scale: a bool": (dict(scale=True), ValueError, r"scale=True"),
    "background: unknown": (dict(background="black"), ValueError, r"black.*zero"),
    "background: fused takes zero only": (dict(variant="fused", background="query"), ValueError, r"background='query'.*zero"),
    "background: full takes none": (dict(variant="full", background="query"), ValueError, r"takes no option background"),
    "overlap: unknown": (dict(overlap="max"), ValueError, r"overlap='max'.*priority"),
    "overlap: fused takes priority only": (dict(variant="fused", overlap="sum"), ValueError, r"overlap='sum'.*priority"),
    "overlap: full takes none": (dict(variant="full", overlap="sum"), ValueError, r"takes no option overlap"),
    "uncond_image: unknown": (dict(uncond_image="zero"), ValueError, r"uncond_image='zero' is unknown; use 'zeros'.*'none'"),
    "uncond_image: None": (dict(uncond_image=None), ValueError, r"uncond_image=None is unknown"),
    "uncond_image: none, Plus, no null":
        (dict(uncond_image="none"), AdapterError, r"uncond_image='none' cannot tell.*null=null_embedding\(pipe\)"),
    "layers: a typo": (dict(layers="middle"), ValueError, r"layers='middle' finds none of the U-Net's \d+ layers; use 'down', 'mid', 'up'"),
    "layers: one of two finds nothing": (dict(layers=["up", "nowhere"]), ValueError, r"layers='nowhere' finds none"),
    "layers: no expression": (dict(layers="up["), ValueError, r"layers='up\[' is no regular expression"),
    "layers: a number": (dict(layers=3), TypeError, r"layers=3 should be"),
    "layers: empty list": (dict(layers=[]), TypeError, r"layers=\[\] should be"),
    "layers: empty text": (dict(layers=""), TypeError, r"layers='' should be"),
    "layers: numbers": (dict(layers=[1, 2]), TypeError, r"layers=\[1, 2\] should be"),
    "active_steps: a fraction": (dict(active_steps=.5), TypeError, r"active_steps=0.5 should be a range, a slice or a pair"),
    "active_steps: fractions": (dict(active_steps=(0., .5)), TypeError, r"active_steps=\(0.0, 0.5\) should be"),
    "active_steps: three numbers": (dict(active_steps=(0, 1, 2)), TypeError, r"active_steps=\(0, 1, 2\) should be"),
    "active_steps: reversed": (dict(active_steps=(5, 2)), ValueError, r"active_steps=\(5, 2\) contains no step.*start < stop"),
    "active_steps: empty range": (dict(active_steps=range(0)), ValueError, r"contains no step"),
    "active_steps: empty set": (dict(active_steps=set()), ValueError, r"active_steps=set\(\) contains no step"),
    "active_steps: from the end": (dict(active_steps=(-3, 2)), ValueError, r"active_steps=\(-3, 2\) counts from the end"),
    "active_steps: one from the end": (dict(active_steps=-1), ValueError, r"active_steps=-1 counts from the end"),
    "active_steps: slice from the end": (dict(active_steps=slice(-2, None)), ValueError, r"counts from the end"),
    "active_steps: slice of step 0": (dict(active_steps=slice(0, 3, 0)), ValueError, r"contains no step"),
    "active_steps: text": (dict(active_steps="early"), TypeError, r"active_steps='early' should be"),
    "active_steps: a truth value": (dict(active_steps=True), TypeError, r"active_steps=True should be"),
    "active_steps: slice of text": (dict(active_steps=slice("a", "b")), TypeError, r"active_steps=slice"),
    "words: a list": (dict(words=["fox"]), TypeError, r"words=\['fox'\] should map"),
    "words: a stranger": (dict(words={"wolf": [1]}), ValueError, r"words names 'wolf', which is no subject.*fox, hat"),
    "null: a number": (dict(null=0), TypeError, r"null is a int; give a tensor"),
}


def same(unet, before): return all(unet.attn_processors[k] is p for k, p in before.items()) and not unet._forward_pre_hooks


LATE = {"uncond_image: none, Plus, no null"}         # `null` may be set between making and entering


@pytest.mark.parametrize("name", sorted(OPTIONS.keys() - LATE))
def test_refused_when_it_is_made(pipes, name):
    given, error, says = OPTIONS[name]
    given = dict(given)
    with pytest.raises(error, match=says): installed(pipes("sdxl-plus").unet, given.pop("layout", PAIR), **given)


@pytest.mark.parametrize("given, error, says", OPTIONS.values(), ids=OPTIONS.keys())
def test_options(pipes, given, error, says):
    unet = pipes("sdxl-plus").unet
    before = dict(unet.attn_processors)
    given = dict(given)
    with pytest.raises(error) as caught:
        with installed(unet, given.pop("layout", PAIR), **given): raise AssertionError("it went in")
    assert re.search(says, str(caught.value)), caught.value
    assert "\n" not in str(caught.value) and same(unet, before)


class Flux(torch.nn.Module):
    "A net whose attention has other names."
    attn_processors = {"blocks.0.attn.processor": object()}


NETS = {
    "a pipeline": (lambda pipe: pipe, r"StableDiffusionXLPipeline, a whole pipeline; pass its U-Net, pipe\.unet"),
    "a VAE": (lambda pipe: pipe.text_encoder, r"which has no attention processors; pass the U-Net"),
    "a number": (lambda pipe: 3, r"unet is a int, which has no attention processors"),
    "None": (lambda pipe: None, r"unet is a NoneType"),
    "a transformer": (lambda pipe: Flux(), r"Flux without cross-attention layers named attn2; use an SD 1.5 or SDXL"),
}


@pytest.mark.parametrize("use", [find_processors, adapter_tokens, lambda net: installed(net, PAIR)], ids=["find", "tokens", "installed"])
@pytest.mark.parametrize("net, says", NETS.values(), ids=NETS.keys())
def test_nets(pipes, use, net, says):
    with pytest.raises(AdapterError, match=says): use(net(pipes("sdxl-plus")))


def embeds(*shape): return dict(ip_adapter_image=None, ip_adapter_image_embeds=[torch.randn(shape)])


# a run inside `installed` -> what its message must say; `run` options on the left
RUNS = {
    "one picture too few":
        (PAIR.images[:1], {}, {},
         r"1 reference picture\(s\) came for a layout of 2 subject\(s\); pass ip_adapter_image=\[layout\.images\]"),
    "one picture too many": (PAIR.images*2, {}, {}, r"4 reference picture\(s\) came for a layout of 2"),
    "diffusers' masks": (PAIR.images, dict(cross_attention_kwargs=dict(ip_adapter_masks=[torch.ones(1, 2, 16, 16)])), {},
                         r"ip_adapter_masks has no effect while a layout is installed"),
    "null of another width": (PAIR.images, {}, dict(null=torch.zeros(1, 2, 5)), r"null has the shape \[1, 2, 5\].*null_embedding\(pipe\)"),
    "null for three": (PAIR.images, {}, dict(null=torch.zeros(1, 3, 17, 32)), r"null has the shape \[1, 3, 17, 32\]"),
}


@pytest.mark.parametrize("images, extra, options, says", RUNS.values(), ids=RUNS.keys())
def test_runs(pipes, images, extra, options, says):
    pipe = pipes("sdxl-plus")
    before = dict(pipe.unet.attn_processors)
    with pytest.raises(AdapterError, match=says), installed(pipe.unet, PAIR, **options): run(pipe, images, **extra)
    assert same(pipe.unet, before)


def test_a_call_without_pictures(pipes):
    pipe = pipes("sdxl-plus")
    says = r"called without reference pictures; pass ip_adapter_image=\[layout\.images\]"
    with pytest.raises(AdapterError, match=says), installed(pipe.unet, PAIR):
        pipe("fox", num_inference_steps=1, height=32, width=32, output_type="latent")


def test_more_subjects_than_tokens(pipes):
    pipe = pipes("sdxl-plain")
    crowd = Layout([Subject(f"s{i}", picture(i), (0, 0, 1, 1)) for i in range(17)])          # the middle has 4x4 tokens
    before = dict(pipe.unet.attn_processors)
    says = r"17 subjects on grid=\(4, 4\) are more than its 16 tokens"
    with pytest.raises(ValueError, match=says), installed(pipe.unet, crowd): run(pipe, crowd.images)
    assert same(pipe.unet, before)
