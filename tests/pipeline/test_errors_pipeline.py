"Bad input to load, generate, compare, bundles and the command line: one sentence, before a model runs, nothing changed."
import json
import re

import pytest
import torch
from PIL import Image
from conftest import adapter, load_adapters, tiny
from typer.testing import CliRunner

from anyms.cli import app
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.pipeline.comparison import Comparison, compare
from anyms.pipeline.generation import generate
from anyms.pipeline.loading import load
from anyms.pipeline.result import Result
from anyms.shell import parse_layout, parse_seeds, parse_size, parse_subject

BOX = (0, 0, .5, .5)


@pytest.fixture(scope="module")
def pipe(pipes): return pipes("sdxl-plus")


RED = Image.new("RGB", (32, 32), "red")


def layout(n=1): return Layout([Subject(f"fox {i}", image=RED, box=BOX) for i in range(n)])


def draw(p, **kw): return generate(p, **{**dict(prompt="a fox", layout=layout(), num_inference_steps=1, progress=False), **kw})


def adapters(count):
    "A tiny pipeline with that many adapters."
    pipe = tiny(with_adapter=False)
    return load_adapters(pipe, *(adapter(pipe.unet, True, seed) for seed in range(count))) if count else pipe


def used():
    "A generator that somebody has drawn from."
    generator = torch.Generator().manual_seed(0)
    torch.randn(1, generator=generator)
    return generator


# what is called with the tiny pipeline, the exception, the message
GENERATE = [
    (lambda p: draw(None), TypeError, "pipe must be a diffusers pipeline with a U-Net, not NoneType; load one"),
    (lambda p: draw(p.unet), TypeError, "pipe must be a diffusers pipeline with a U-Net, not UNet2DConditionModel"),
    (lambda p: draw(adapters(0)), ValueError, "no IP-Adapter loaded; call pipe.load_ip_adapter"),
    (lambda p: draw(adapters(2)), ValueError, "has 2 IP-Adapters loaded, and one serves all subjects; unload them"),
    (lambda p: draw(p, prompt=None), TypeError, "prompt must be one string, not NoneType"),
    (lambda p: draw(p, prompt=["a", "b"]), TypeError, "prompt must be one string, not list; draw several prompts with several calls"),
    (lambda p: draw(p, negative_prompt=3), TypeError, "negative_prompt must be one string, not int"),
    (lambda p: draw(p, layout=[Subject("fox", image=RED, box=BOX)]), TypeError, "layout must be an anyms.Layout, not list; make one with"),
    (lambda p: draw(p, layout=Layout([Subject("fox", box=BOX)])), ValueError, "subject 'fox' has no reference image; give"),
    (lambda p: draw(p, layout="layout.json"), TypeError, "layout must be an anyms.Layout, not str"),
    (lambda p: draw(p, layout=layout(80), height=8, width=8), ValueError,
     r"80 subjects on grid=\(.*\) are more than its .* tokens: use fewer subjects or a larger picture"),
    (lambda p: draw(p, variant="cropmerge"), ValueError, "cropmerge.*crop_merge"),
    (lambda p: draw(p, variant=3), TypeError, "variant=3 must be a name; known are full"),
    (lambda p: draw(p, variant=lambda q, refs, cover: q), TypeError, "a function of your own becomes one by @variant"),
    (lambda p: draw(p, variant="full", overlap="mean"), ValueError, "variant 'full' takes no option overlap='mean'"),
    (lambda p: draw(p, stats=3), TypeError, "stats=3 must be a list, not int"),
    (lambda p: draw(p, seed=-1), ValueError, "seed=-1 must be a whole number from 0 to"),
    (lambda p: draw(p, seed=1.5), TypeError, "seed=1.5 must be a whole number .*, not float"),
    (lambda p: draw(p, seed=True), TypeError, "seed=True must be a whole number .*, not bool"),
    (lambda p: draw(p, seed=2**63), ValueError, "seed=9223372036854775808 must be"),
    (lambda p: draw(p, num_inference_steps=0), ValueError, "num_inference_steps=0 must be a whole number from 1 to 1000"),
    (lambda p: draw(p, num_inference_steps=1001), ValueError, "num_inference_steps=1001 must be a whole number from 1 to 1000"),
    (lambda p: draw(p, num_inference_steps="20"), TypeError, "num_inference_steps='20' must be a whole number .*, not str"),
    (lambda p: draw(p, guidance_scale=float("nan")), ValueError, "guidance_scale=nan must be a finite number from 0 to 100"),
    (lambda p: draw(p, guidance_scale=-1), ValueError, "guidance_scale=-1 must be a finite number"),
    (lambda p: draw(p, guidance_scale=None), TypeError, "guidance_scale=None must be a finite number .*, not NoneType"),
    (lambda p: draw(p, scale=float("inf")), ValueError, "scale=inf must be a finite number from 0 to 10"),
    (lambda p: draw(p, scale=-.5), ValueError, "scale=-0.5 must be a finite number from 0 to 10"),
    (lambda p: draw(p, background="blue"), ValueError, "background='blue'.*zero.*query"),
    (lambda p: draw(p, variant="masked", overlap="max"), ValueError, "overlap='max'.*priority.*sum.*mean"),
    (lambda p: draw(p, uncond_image="some"), ValueError, "uncond_image='some'.*zeros.*none"),
    (lambda p: draw(p, layers="sideways"), ValueError, "layers.*sideways"),
    (lambda p: draw(p, active_steps=(5, 2)), ValueError, "active_steps=.5, 2. contains no step"),
    (lambda p: draw(p, active_steps="early"), TypeError, "active_steps='early' should be a range"),
    (lambda p: draw(p, width=6), ValueError, "width=6 must be a multiple of .*; the nearest is"),
    (lambda p: draw(p, height=0), ValueError, "height=0 must be a whole number from 1"),
    (lambda p: draw(p, height=64.), TypeError, "height=64.0 must be a whole number .*, not float"),
    (lambda p: draw(p, step=20), TypeError, r"no argument 'step'.*did you mean 'num_inference_steps'\?"),
    (lambda p: draw(p, qwertz=20), TypeError, "no argument 'qwertz', and neither has"),
    (lambda p: draw(p, steps=9), TypeError, r"no argument 'steps'.*did you mean 'num_inference_steps'\?"),
    (lambda p: draw(p, guidance=9), TypeError, r"no argument 'guidance'.*did you mean 'guidance_scale'\?"),
    (lambda p: draw(p, generator=1), TypeError, "generator=1 must be a torch.Generator of the CPU.*give seed= instead"),
    (lambda p: draw(p, generator=used()), ValueError, "generator= has been drawn from already.*give a fresh one"),
    (lambda p: draw(p, seed=1, generator=torch.Generator()), ValueError, "seed=1 and generator= are both given"),
    (lambda p: draw(p, output_type="latent"), TypeError, "sets 'output_type' itself; use result.image instead"),
    (lambda p: draw(p, ip_adapter_image=RED), TypeError, "sets 'ip_adapter_image' itself; use layout instead"),
    (lambda p: draw(p, num_images_per_prompt=2), TypeError, r"sets 'num_images_per_prompt' itself; use compare\(seeds=...\) instead"),
    (lambda p: draw(p, stats="own"), ValueError, "own.*1/r"),
    (lambda p: draw(p, stats=("mass", "sums")), ValueError, "sums.*mass"),
]
COMPARE = [
    (lambda p: compare(p, "a fox", layout(), []), ValueError, "variants is empty; give at least one"),
    (lambda p: compare(p, "a fox", layout(), ["full", "full"]), ValueError, "variants: 'full' is in the list twice"),
    (lambda p: compare(p, "a fox", layout(), ["full", "ful"]), ValueError, "ful.*full"),
    (lambda p: compare(p, "a fox", layout(), 3), TypeError, "variants=3 must be a list, not int"),
    (lambda p: compare(p, "a fox", layout(), [3]), TypeError, "variants: 3 is not a name"),
    (lambda p: compare(p, "a fox", layout(), seeds=()), ValueError, "seeds is empty"),
    (lambda p: compare(p, "a fox", layout(), seeds=(1, 1)), ValueError, "seeds: 1 is in the list twice"),
    (lambda p: compare(p, "a fox", layout(), seeds=(1, .5)), TypeError, "seeds: 0.5 is not a whole number"),
    (lambda p: compare(p, "a fox", layout(), generator=torch.Generator()), TypeError, "use seeds=... instead of generator="),
    (lambda p: compare(p, "a fox", layout(), seed=1), TypeError, "use seeds=... instead of seed="),
    (lambda p: compare(p, "a fox", layout(), variant="full"), TypeError, "use variants=... instead of variant="),
    (lambda p: compare(p, "a fox", layout(), ("masked", "full"), overlap="mean"), ValueError, "overlap"),
]
LOAD = [
    (lambda p: load("sticker"), FileNotFoundError, "no such folder, and no known name .did you mean 'stickers'.*sdxl"),
    (lambda p: load(3), TypeError, "a name is a string or a path; known names are 'stickers'"),
    (lambda p: load("stickers", adapter="x.safetensors"), ValueError, "carries its own adapter; leave adapter out"),
    (lambda p: load("stickers", device="tpu9"), ValueError, "device='tpu9' is not a device torch knows"),
    (lambda p: load("stickers", dtype="int8"), ValueError, "dtype='int8' is not a floating type"),
    (lambda p: load("stickers", dtype="half-ish"), ValueError, "dtype='half-ish' is not a floating type; use 'float32'"),
]


def refused(pipe, call, error, message):
    "It raises that sentence, the U-Net never ran, and every processor is the same object."
    before, calls = dict(pipe.unet.attn_processors), []
    hook = pipe.unet.register_forward_pre_hook(lambda *a: calls.append(1))
    try:
        with pytest.raises(error, match=f"(?s){message}") as e: call(pipe)
    finally: hook.remove()
    after = pipe.unet.attn_processors
    assert not calls and list(after) == list(before) and all(after[k] is before[k] for k in after)
    assert getattr(pipe.unet, "attn_recorder", None) is None and "progress_bar" not in pipe.__dict__ and len(str(e.value)) < 700


@pytest.mark.parametrize("call, error, message", GENERATE)
def test_generate(pipe, call, error, message): refused(pipe, call, error, message)


@pytest.mark.parametrize("call, error, message", COMPARE)
def test_compare(pipe, call, error, message): refused(pipe, call, error, message)


@pytest.mark.parametrize("call, error, message", LOAD)
def test_load(pipe, call, error, message): refused(pipe, call, error, message)


# folders and bundles: what is done to a good one, the exception, the message

def write(name, text): return lambda f: (f/name).write_text(text)
def drop(name): return lambda f: (f/name).unlink()
def edit(**kw): return lambda f: (f/"settings.json").write_text(json.dumps({**json.loads((f/"settings.json").read_text()), **kw}))


BUNDLES = [
    (drop("settings.json"), FileNotFoundError, r"settings.json is missing in .*; give the folder that .save"),
    (drop("picture.png"), FileNotFoundError, "picture.png is missing in"),
    (drop("layout.json"), (FileNotFoundError, ValueError), "layout.json"),
    (write("settings.json", '{"anyms_result": 2, "pro'), ValueError, "is not whole JSON .*; the file was cut off"),
    (write("settings.json", "[]"), ValueError, "has no 'anyms_result' entry"),
    (write("settings.json", "{}"), ValueError, "has no 'anyms_result' entry"),
    (write("settings.json", '{"anyms_result": 2}'), ValueError, "lacks prompt, seconds, seed, variant"),
    (edit(anyms_result=1), ValueError, "has anyms_result version 1, and this anyms reads version 2"),
    (write("picture.png", "not a picture"), ValueError, "picture.png in .* cannot be read"),
    (write("layout.json", '{"anyms_layout": 9}'), ValueError, "9"),
    (write("maps.safetensors", "cut"), ValueError, "maps.safetensors|safetensors"),
]


@pytest.fixture(scope="module")
def result(pipe): return draw(pipe, variant="crop_merge")


@pytest.mark.parametrize("spoil, error, message", BUNDLES)
def test_bundle(result, tmp_path, spoil, error, message):
    folder = result.save(tmp_path/"b")
    spoil(folder)
    with pytest.raises(error, match=message): Result.load(folder)


def test_bundle_is_nowhere(tmp_path):
    with pytest.raises(FileNotFoundError, match="settings.json is missing"): Result.load(tmp_path/"nowhere")
    with pytest.raises(FileNotFoundError, match="comparison.json is missing"): Comparison.load(tmp_path/"nowhere")


def test_bundle_never_overwrites_something_else(result, tmp_path):
    (tmp_path/"thesis").mkdir()
    (tmp_path/"thesis"/"chapter.txt").write_text("years of work")
    for save in (result.save, Comparison([result]).save):
        with pytest.raises(FileExistsError, match="exists and is not a saved bundle .*; choose another name"): save(tmp_path/"thesis")
        with pytest.raises(FileExistsError): save(tmp_path/"thesis"/"chapter.txt")
    assert (tmp_path/"thesis"/"chapter.txt").read_text() == "years of work"


RUNS = [
    (lambda r: r["ful", 0], KeyError, r"in this comparison; variants are \['crop_merge'\], seeds \[0\]: use comparison\['crop_merge', 0\]"),
    (lambda r: r["crop_merge", 9], KeyError, "9.*is not in this comparison"),
    (lambda r: r[0], KeyError, "0 is not in this comparison"),
    (lambda r: r.table(each="row"), ValueError, "each='row' is not known; use 'run', 'variant' or 'subject'"),
    (lambda r: r.table(judge=3), TypeError, "judge=3 must be a callable"),
    (lambda r: r.table(judge=lambda x: 3), TypeError, "judge must return a dict of numbers, not int"),
    (lambda r: r.table(judge=lambda x: dict(a="b")), TypeError, "judge: 'a' is str, not a number"),
    (lambda r: r.figure(stat="mass"), ValueError,
     r"stat='mass': these pictures were drawn without heatmaps; draw them with generate\(..., stats="),
    (lambda r: r.figure(seed=4), KeyError, "4.*is not in this comparison"),
    (lambda r: Comparison([]), ValueError, "at least one Result"),
    (lambda r: Comparison([*r, *r]), ValueError, "two results have the same variant and seed"),
]


@pytest.mark.parametrize("call, error, message", RUNS)
def test_runs(result, call, error, message):
    with pytest.raises(error, match=message): call(Comparison([result]))


FOLDERS = [
    (lambda f: load(f), ValueError, "no model_index.json in there; give the folder that pipe.save_pretrained"),
    (lambda f: load(f/"model"), ValueError, r"0 adapter files \(\*adapter\*.safetensors\) in this folder; name the one file with adapter="),
    (lambda f: load(f/"model", adapter=f/"none.safetensors"), FileNotFoundError,
     "no such file or folder; give the adapter's .safetensors file"),
    (lambda f: load(f/"model", adapter=f/"ip-adapter.bin"), ValueError, "'ip-adapter.bin' is a pickle .*; convert it to .safetensors"),
    (lambda f: load(f/"model", adapter=f/"two"), ValueError, "2 adapter files"),
    (lambda f: load(f/"model", adapter=f/"two"/"adapter_a.safetensors"), OSError,
     "diffusers cannot open this folder .*pickles are refused"),
]


@pytest.mark.parametrize("call, error, message", FOLDERS)
def test_folder(tmp_path, call, error, message):
    (tmp_path/"model").mkdir()
    (tmp_path/"model"/"model_index.json").write_text('{"_class_name": "NoSuchPipeline"}')
    (tmp_path/"ip-adapter.bin").write_bytes(b"pickle")
    (tmp_path/"two").mkdir()
    for x in "ab": (tmp_path/"two"/f"adapter_{x}.safetensors").write_bytes(b"")
    with pytest.raises(error, match=message): call(tmp_path)


# the command line: texts

TEXTS = [
    (lambda: parse_subject("fox"), ValueError, "write NAME=IMAGE@X0,Y0,X1,Y1, for example"),
    (lambda: parse_subject("fox=a.png"), ValueError, "write NAME=IMAGE@X0,Y0,X1,Y1"),
    (lambda: parse_subject("=a.png@0,0,1,1"), ValueError, "write NAME=IMAGE@"),
    (lambda: parse_subject("fox=@0,0,1,1"), ValueError, "write NAME=IMAGE@"),
    (lambda: parse_subject("fox@0,0,1"), ValueError, "has 3 numbers, not four"),
    (lambda: parse_subject("fox@a,b,c,d"), ValueError, "'a,b,c,d' is not four numbers"),
    (lambda: parse_subject("dragon@0,0,1,1"), ValueError,
     "'dragon' has no image, and .*not in the sticker world.*give --subject dragon=IMAGE@"),
    (lambda: parse_subject("fox=nowhere.png@0,0,1,1"), (FileNotFoundError, ValueError), "nowhere.png"),
    (lambda: parse_subject("fox@10,20,30,40"), ValueError,
     "fractions of the picture from 0 to 1 .pixels divided by its width and height.*10,20,30,40"),
    (lambda: parse_seeds("one"), ValueError, "--seeds 'one': write whole numbers as 0,1,2 or a range as 0-3"),
    (lambda: parse_seeds("3-1"), ValueError, "--seeds '3-1'"),
    (lambda: parse_seeds(""), ValueError, "--seeds ''"),
    (lambda: parse_size("64x"), ValueError, "--size '64x': write HEIGHTxWIDTH"),
    (lambda: parse_size("1x2x3"), ValueError, "--size '1x2x3': write HEIGHTxWIDTH"),
    (lambda: parse_layout(None, None), ValueError, "which subjects. Give --layout"),
    (lambda: parse_layout("a.json", ["fox@0,0,1,1"]), ValueError, "give --layout or --subject, not both"),
]


@pytest.mark.parametrize("call, error, message", TEXTS)
def test_texts(call, error, message):
    with pytest.raises(error, match=message): call()


# ... and whole commands: exit code 2, one line on stderr, no traceback

COMMANDS = [
    (["generate", "a fox"], "anyms: which subjects"),
    (["generate", "a fox", "--subject", "fox@0,0,2,2"], "anyms: .*2"),
    (["generate", "a fox", "--layout", "nowhere.json"], "anyms: .*nowhere.json"),
    (["generate", "a fox", "--subject", "fox@0,0,1,1", "--model", "sdxxl"], "anyms: .*did you mean 'sdxl'"),
    (["compare", "a fox", "--subject", "fox@0,0,1,1", "--seeds", "x"], "anyms: --seeds 'x'"),
    (["compare", "a fox", "--subject", "fox@0,0,1,1", "--size", "big"], "anyms: --size 'big'"),
    (["train", "adapter", "--minutes", "0"], "anyms: --minutes 0.0: give a positive number"),
    (["generate", "a fox", "--num-inference-steps", "many"], "--num-inference-steps.*integer"),
    (["generate"], "(?i)prompt"),
    (["paint"], "paint"),
]


@pytest.mark.parametrize("command, message", COMMANDS)
def test_command(command, message):
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2 and "Traceback" not in done.output
    assert re.search(message, done.stderr)
    if done.stderr.startswith("anyms:"): assert done.stderr.strip().count("\n") == 0
