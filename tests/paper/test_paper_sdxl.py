"SDXL without weights: `anyms paper` from its first command to its last, on tiny random files laid out as the published ones."
import json
import shutil

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from anyms.paper.methods.ms_weights import DUMMIES, FILE, Sizes, expected_shapes
from anyms.paper.run.store import Store
from anyms.paper.run.units import all_methods
from conftest import WIDTH, adapter, picture, tiny
from judging_nets import save_all
from paper_commands import ok, refused

UNTUNED = [name for name, method in all_methods().items() if method.trained is None and "sdxl" in method.settings]
SMALL = Sizes(queries=5, dim=64, depth=2, heads=2, patches=WIDTH, phrase=WIDTH, out=2*WIDTH)


def ms_adapter(unet):
    "A random file of MS-Diffusion's layout, its dummies with it."
    g, shapes = torch.Generator().manual_seed(0), expected_shapes(unet, SMALL) | {DUMMIES: (1, 4, 2*WIDTH)}
    return {name: torch.randn(shape, generator=g)/max(1, shape[-1])**.5 for name, shape in shapes.items()}

def entry(name, box, priority=0): return dict(name=name, box=box, priority=priority, reference=dict(folder=name))

CASES = [
    dict(id="2a", prompt="a fox, a hat", scene="sea", subjects=[entry("fox", [0, .2, .5, 1]), entry("hat", [.5, 0, 1, .6])]),
    dict(id="2b", prompt="a fox, a hat", scene="sea", aspect=1.5, subjects=[entry("fox", [0, .2, .7, 1]), entry("hat", [.4, 0, 1, .6], 1)])]

def save_photos(folder):
    "A folder of photographs, two of each subject with their masks, and the cases."
    for j, name in enumerate(("fox", "hat")):
        (folder/name/"masks").mkdir(parents=True)
        for k in range(2):
            picture(2*j + k).save(folder/name/f"{k}.png")
            picture(9).convert("L").point(lambda v: 255).save(folder/name/"masks"/f"{k}.png")
    (folder/"cases.json").write_text(json.dumps(dict(anyms_cases=1, cases=CASES)))

@pytest.fixture(scope="module")
def files(tmp_path_factory):
    "What a researcher has fetched: a base, an adapter, MS-Diffusion's file, judging nets, and photographs."
    home, bare = tmp_path_factory.mktemp("fetched"), tiny(with_adapter=False)
    bare.save_pretrained(home/"base")
    save_file({f"{part}.{k}": v for part, state in adapter(bare.unet, True).items() for k, v in state.items()}, home/"ip-adapter-plus.safetensors")
    save_file(ms_adapter(tiny().unet), home/FILE)
    save_all(home/"nets")
    save_photos(home/"photos")
    return home

@pytest.fixture
def asked(files): return ["--cases", files/"photos", "--methods", ",".join(UNTUNED), "--seeds", "0", "--num-inference-steps", 2]

@pytest.fixture
def model(files): return ["--model", files/"base", "--adapter", files/"ip-adapter-plus.safetensors", "--device", "cpu"]


def test_from_the_first_command_to_the_last(files, asked, model, tmp_path):
    "Every method that trains nothing, two cases, one noise: the same five commands as for stickers."
    ours, fetched = ["--out", tmp_path/"paper", *asked], [*model, "--ms-weights", files/FILE]
    assert "ms_weights" in UNTUNED and len(UNTUNED) >= 16
    assert "Prepared 0 times" in ok("prepare", *ours, *fetched)
    n = 2*len(UNTUNED)
    assert f"Drew {n} pictures" in ok("draw", *ours, *fetched) and "Drew 0" in ok("draw", *ours, *model)   # the store has the file now
    assert f"Judged {n} pictures" in ok("judge", *ours, "--nets", files/"nets", "--device", "cpu")
    told = ok("tables", *ours, "--drawings", 20)
    assert "CLIP-I (B/32)" in told and "DINO (v2, B/14)" in told and "MS-Diffusion (their weights)" in told
    assert [line.split()[1:] for line in ok("status", *ours).splitlines()[1:]] == [["2", "2", "2", "0"]]*len(UNTUNED)
    rows = pd.concat([pd.read_parquet(file) for file in Store(tmp_path/"paper").files("pictures")])
    drawn = rows[~rows.method.isin(["paste", "freecustom"])]
    assert set(rows.base) == {"sdxl"} and drawn.evaluations.eq(4).all() and rows.evaluations[rows.method == "freecustom"].gt(4).all()
    assert "Timed 1 methods" in ok("time", "--out", tmp_path/"paper", *asked[:2], *asked[-2:], *model, "--methods", "anyms")

def test_questions_go_out_and_answers_come_in(files, asked, model, tmp_path):
    ok("draw", "--out", tmp_path/"paper", *asked, *model, "--methods", "paste")
    ok("export-cases", tmp_path/"questions", "--cases", files/"photos", "--size", 64)
    (tmp_path/"answers").mkdir()
    for case in CASES: picture(5).resize((round(64*case.get("aspect", 1)), 64)).save(tmp_path/"answers"/f"{case['id']}-0.png")
    assert "2 pictures of 2 cases" in ok("adopt", tmp_path/"answers", "--method", "uno", "--out", tmp_path/"paper", "--cases", files/"photos")
    assert "Judged 4" in ok("judge", "--out", tmp_path/"paper", *asked, "--methods", "paste,uno", "--nets", files/"nets", "--device", "cpu")


# what is missing is told in one sentence

def test_a_base_is_missing(asked, model, tmp_path):
    line = refused("draw", "--out", tmp_path/"paper", *asked, "--model", "sdxl")
    assert "stable-diffusion-xl-base-1.0" in line and "h94/IP-Adapter" in line

def test_an_adapter_is_missing(files, asked, tmp_path):
    assert "ip-adapter.safetensors" in refused("draw", "--out", tmp_path/"paper", *asked, "--model", files/"base", "--adapter", tmp_path/"ip-adapter.safetensors")
    assert "0 adapter files" in refused("draw", "--out", tmp_path/"paper", *asked, "--model", files/"base")

def test_ms_diffusions_file_is_missing(files, asked, model, tmp_path):
    "It is said, and everything else is drawn."
    ours = ["--out", tmp_path/"paper", *asked, "--methods", "paste,ms_weights", *model]
    line = refused("draw", *ours)
    assert "doge1516/MS-Diffusion" in line and "--ms-weights" in line and "everything else is done" in line
    assert "does not exist; fetch ms_adapter.bin" in refused("draw", *ours, "--ms-weights", tmp_path/"none.safetensors")
    assert "Drew 2 pictures" in ok("draw", *ours, "--ms-weights", files/FILE)

def test_another_file_in_the_same_store(files, asked, model, tmp_path):
    ours = ["--out", tmp_path/"paper", *asked, "--methods", "ms_weights", *model]
    ok("draw", *ours, "--ms-weights", files/FILE)
    shutil.copy(files/"ip-adapter-plus.safetensors", tmp_path/FILE)
    assert "is not what this store's pictures were drawn with" in refused("draw", *ours, "--ms-weights", tmp_path/FILE)
    assert "leave it out" in refused("draw", "--out", tmp_path/"other", *asked, "--methods", "paste", *model, "--ms-weights", files/FILE)

def test_an_encoder_that_fits_is_missing(files, asked, model, tmp_path):
    "The file reads another width than the base's own encoder gives, and the one it was made for is not there."
    other = SMALL._replace(patches=48)
    save_file({name: torch.zeros(shape) for name, shape in expected_shapes(tiny().unet, other).items()}, tmp_path/FILE)
    line = refused("draw", "--out", tmp_path/"paper", *asked, "--methods", "ms_weights", *model, "--ms-weights", tmp_path/FILE)
    assert "`hf download h94/IP-Adapter sdxl_models/image_encoder/config.json" in line

def test_judging_nets_are_missing(files, asked, model, tmp_path):
    ours = ["--out", tmp_path/"paper", *asked, "--methods", "paste"]
    ok("draw", *ours, *model)
    line = refused("judge", *ours, "--nets", tmp_path/"nets")
    assert "hf download IDEA-Research/grounding-dino-base" in line and "facebook/sam-vit-huge" in line and "openai/clip-vit-large-patch14" in line
