"The command line, on the tiny random pipeline in place of the embedded model (and on the real one where its weights are there)."
import json, subprocess, sys

import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

import anyms
from anyms import cli, demo
from anyms.pipeline.result import Result
from anyms.pipeline.comparison import Comparison

COMMANDS = ["demo", "generate", "compare", "stickers", "train", "explore", "docs", "bench", "doctor", "lesson"]
FOX, CROWN = ["--subject", "fox@.0,.5,.5,1"], ["--subject", "crown@.25,0,.75,.6"]


def run(*words): return CliRunner().invoke(cli.app, [str(w) for w in words])


@pytest.fixture
def tiny(pipes, monkeypatch):
    "Whatever model is asked for, the tiny one comes; what was asked is kept."
    asked, pipe = [], pipes("sdxl-plus")
    monkeypatch.setattr("anyms.pipeline.loading.load", lambda *a, **k: asked.append(a) or pipe)
    return asked


# help

def test_help_imports_nothing_heavy():
    "Why help comes at once."
    heavy = ("torch", "numpy", "diffusers", "PIL", "pandas")
    code = ("import sys; from anyms.cli import app\ntry: app(['--help'])\nexcept SystemExit: pass\n"
            f"print([m for m in {heavy} if m in sys.modules])")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip().endswith("[]") and all(c in out for c in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command):
    "Every option says what it is for."
    done = run(command, "--help")
    assert done.exit_code == 0 and "--help" in done.output
    callback = next(c.callback for c in cli.app.registered_commands if command in (c.name, c.callback.__name__))
    for p in callback.__annotations__.values():
        assert p is None or p.__metadata__[0].help


def test_no_command_shows_help(): assert all(c in run().output for c in COMMANDS)
def test_version(): assert run("--version").output.strip() == f"anyms {anyms.__version__}"


# demo

def test_demo(tiny, tmp_path):
    done = run("demo", "--quick", "--seed", 3, "--out", tmp_path/"d")
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in (tmp_path/"d").iterdir()) == ["runs", "sheet.png", "table.csv", "table.json"] and tiny == [("stickers",)]
    table = pd.read_csv(tmp_path/"d"/"table.csv")
    assert list(table.variant) == list(demo.VARIANTS_SHOWN) and set(table.seed) == {3}
    assert {"norm_in_box", "mass_in_box", "seconds"} <= set(table)
    assert [row["variant"] for row in json.loads((tmp_path/"d"/"table.json").read_text())] == list(table.variant)
    assert min(Image.open(tmp_path/"d"/"sheet.png").size) > 400
    assert Comparison.load(tmp_path/"d"/"runs")["full", 3].settings["num_inference_steps"] == 8
    assert "crop_merge" in done.stdout and "sheet.png" in done.stdout


def test_demo_again_replaces_its_own_files(tiny, tmp_path):
    for seed in (0, 1): assert run("demo", "--quick", "--seed", seed, "--out", tmp_path).exit_code == 0
    assert Comparison.load(tmp_path/"runs").seeds == [1]


# docs, bench

def test_docs_passes_on(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr("anyms.site.build", lambda *a: asked.append(a) or tmp_path)
    monkeypatch.setattr("anyms.site.serve", lambda out: asked.append(out))
    done = run("docs", "--root", tmp_path, "--out", tmp_path/"x", "--renderer", "smalldocs", "--serve")
    assert done.exit_code == 0 and asked == [(tmp_path, tmp_path/"x", "smalldocs"), tmp_path] and str(tmp_path) in done.output


def test_docs_says_why_not(tmp_path):
    done = run("docs", "--root", tmp_path)
    assert done.exit_code == 2 and "clone of the repository" in done.stderr


@pytest.mark.parametrize("name, content, said", [("a.txt", None, "must be a .html file"), ("a.html", "my own page", "has not written it")])
def test_lesson_overwrites_nothing_of_yours(tiny, tmp_path, name, content, said):
    if content: (tmp_path/name).write_text(content)
    done = run("lesson", "--html", tmp_path/name)
    assert done.exit_code == 2 and said in done.stderr and not tiny


def test_lesson_refuses_what_no_hour_has(tiny, tmp_path):
    done = run("lesson", "--html", tmp_path/"a.html", "--cases", "0")
    assert done.exit_code == 2 and "cases" in done.stderr and not (tmp_path/"a.html").exists()


@pytest.mark.parametrize("words, said", [(["quality"], "there is: speed"), (["speed", "--rounds", "0"], "at least 1"),
                                         (["speed", "--size", "500", "--net", "tiny", "--net", "sd15"], "multiple of 64")])
def test_bench_refuses(words, said, tmp_path):
    done = run("bench", *words, "--out", tmp_path)
    assert done.exit_code == 2 and said in done.stderr


def test_bench_passes_on(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr("anyms.bench.report.run_benchmarks", lambda *a, **k: asked.append((a, k)) or a[0])
    assert run("bench", "speed", "--quick", "--out", tmp_path).exit_code == 0
    assert asked[0][0] == (tmp_path, True, "sdxl", "plain", None) and asked[0][1]["rounds"] == 3


def test_showcase_is_hard_enough():
    "Three subjects, one on top of another, names in the prompt."
    layout, prompt = demo.showcase()
    assert len(layout) == 3 and all(n in prompt for n in layout.names) and len(set(layout.priorities)) == 2


# generate and compare

def test_generate(tiny, tmp_path):
    done = run("generate", "a fox", *FOX, *CROWN, "--variant", "masked", "--seed", 5, "--num-inference-steps", 2, "--guidance-scale", 2,
               "--scale", .8, "--stats", "mass,norm", "--size", "16x32", "--negative-prompt", "a hat", "--out", tmp_path/"g")
    assert done.exit_code == 0, done.output
    result = Result.load(tmp_path/"g")
    s = result.settings
    assert (s["variant"], s["seed"], s["num_inference_steps"], s["guidance_scale"], s["scale"],
        s["negative_prompt"]) == ("masked", 5, 2, 2, .8, "a hat")
    assert result.image.size == (32, 16) and result.layout.names == ["fox", "crown"] and list(result.maps.stats) == ["mass", "norm"]


def test_generate_from_a_layout_file(tiny, tmp_path):
    layout, _ = demo.showcase()
    layout.save(tmp_path/"layout.json")
    assert run("generate", "a fox", "--layout", tmp_path/"layout.json", "--num-inference-steps", 1, "--out", tmp_path/"g").exit_code == 0
    assert Result.load(tmp_path/"g").layout.names == layout.names


def test_model_options_are_passed_on(tiny, tmp_path):
    run("generate", "a fox", *FOX, "--model", "here", "--adapter", "a.safetensors", "--device", "cpu", "--num-inference-steps", 1,
        "--out", tmp_path/"g")
    assert [str(x) for x in tiny[0]] == ["here", "a.safetensors", "cpu", "None"]


def test_compare(tiny, tmp_path):
    done = run("compare", "a fox", *FOX, *CROWN, "--variants", "full,crop_merge", "--seeds", "0-1", "--num-inference-steps", 1,
               "--stats", "mass", "--out", tmp_path/"c")
    assert done.exit_code == 0, done.output
    runs = Comparison.load(tmp_path/"c"/"runs")
    assert runs.variants == ["full", "crop_merge"] and runs.seeds == [0, 1]
    assert len(pd.read_csv(tmp_path/"c"/"table.csv")) == 4 and (tmp_path/"c"/"sheet.png").exists()


# errors

def test_an_interruption_says_so(monkeypatch):
    def stop(*a, **k): raise KeyboardInterrupt
    monkeypatch.setattr("anyms.pipeline.loading.load", stop)
    done = run("generate", "a fox", *FOX)
    assert done.exit_code == 130 and done.stderr.startswith("anyms: interrupted")


def test_debug_shows_the_traceback(monkeypatch):
    monkeypatch.setenv("ANYMS_DEBUG", "1")
    assert isinstance(run("generate", "a fox").exception, ValueError)


def test_out_may_not_be_a_file(tmp_path):
    (tmp_path/"x").write_text("mine")
    done = run("demo", "--out", tmp_path/"x")
    assert done.exit_code == 2 and "is a file; name a folder" in done.stderr and (tmp_path/"x").read_text() == "mine"


def test_generate_never_overwrites_something_else(tiny, tmp_path):
    (tmp_path/"thesis.txt").write_text("years of work")
    done = run("generate", "a fox", *FOX, "--num-inference-steps", 1, "--out", tmp_path)
    assert done.exit_code == 2 and "is not a saved bundle" in done.stderr and (tmp_path/"thesis.txt").exists()


# train

def test_train_is_a_thin_wrapper(monkeypatch):
    train = pytest.importorskip("anyms.stickers.training")
    calls = []
    monkeypatch.setattr(train, "train", lambda *a, **k: calls.append(a))
    assert run("train", "joint", "--minutes", 2.5, "--out", "x", "--device", "cpu", "--no-resume").exit_code == 0
    stage, minutes, out, device, resume, stages = calls[0]
    assert (stage, minutes, str(out), device, resume) == ("joint", 2.5, "x", "cpu", False)
    assert set(stages) == {"decoder", "joint", "detector", "embedder"}


@pytest.mark.slow
def test_demo_on_the_embedded_model(embedded, tmp_path):
    "The main job, as a newcomer runs it."
    done = run("demo", "--out", tmp_path/"d")
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path/"d"/"table.csv").set_index("variant")
    assert table.norm_in_box["crop_merge"] > table.norm_in_box["full"]
