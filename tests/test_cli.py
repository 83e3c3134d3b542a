"The command line, on the tiny random pipeline in place of the embedded model (and on the real one where its weights are there)."
import json, os, signal, subprocess, sys

import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

import anyms
from anyms import cli
from anyms.layout import Layout
from anyms.pipeline import Result, Runs

COMMANDS = ["demo", "generate", "compare", "stickers", "train", "explore", "docs", "bench", "check"]
FOX, CROWN = ["--subject", "fox@.0,.5,.5,1"], ["--subject", "crown@.25,0,.75,.6"]


def run(*words): return CliRunner().invoke(cli.app, [str(w) for w in words])


@pytest.fixture
def tiny(pipes, monkeypatch):
    "Whatever model is asked for, the tiny one comes; what was asked is kept."
    asked, pipe = [], pipes("sdxl-plus")
    monkeypatch.setattr("anyms.pipeline.load", lambda *a, **k: asked.append(a) or pipe)
    return asked


# help

def test_help_imports_nothing_heavy():
    "Why help comes at once."
    code = "import sys; from anyms.cli import app\ntry: app(['--help'])\nexcept SystemExit: pass\nprint([m for m in ('torch', 'numpy', 'diffusers', 'PIL', 'pandas') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip().endswith("[]") and all(c in out for c in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command):
    "Every option says what it is for."
    done = run(command, "--help")
    assert done.exit_code == 0 and "--help" in done.output
    for p in next(c for c in cli.app.registered_commands if c.name == command or c.callback.__name__ == command).callback.__annotations__.values():
        assert p is None or p.__metadata__[0].help


def test_no_command_shows_help(): assert all(c in run().output for c in COMMANDS)
def test_version(): assert run("--version").output.strip() == f"anyms {anyms.__version__}"


# demo

def test_demo(tiny, tmp_path):
    done = run("demo", "--quick", "--seed", 3, "--out", tmp_path/"d")
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in (tmp_path/"d").iterdir()) == ["runs", "sheet.png", "table.csv", "table.json"] and tiny == [("stickers",)]
    table = pd.read_csv(tmp_path/"d"/"table.csv")
    assert list(table.variant) == list(cli.VARIANTS_SHOWN) and set(table.seed) == {3} and {"norm_in_box", "mass_in_box", "seconds"} <= set(table)
    assert [row["variant"] for row in json.loads((tmp_path/"d"/"table.json").read_text())] == list(table.variant)
    assert min(Image.open(tmp_path/"d"/"sheet.png").size) > 400
    assert Runs.load(tmp_path/"d"/"runs")["full", 3].settings["steps"] == 8
    assert "crop_merge" in done.stdout and "sheet.png" in done.stdout


def test_demo_again_replaces_its_own_files(tiny, tmp_path):
    for seed in (0, 1): assert run("demo", "--quick", "--seed", seed, "--out", tmp_path).exit_code == 0
    assert Runs.load(tmp_path/"runs").seeds == [1]


# explore, docs, bench

@pytest.fixture
def opened(monkeypatch):
    "What a server would have been started with."
    calls = []
    class Server:
        def __init__(self, command, env):
            home = env["JUPYTER_CONFIG_PATH"].split(os.pathsep)[0]
            settings = json.loads(open(f"{home}/voila.json").read())
            news = json.loads(open(f"{home}/labconfig/default_setting_overrides.json").read())
            assert news["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"
            assert env.get("GOMP_SPINCOUNT") or env.get("OMP_WAIT_POLICY")
            calls.append((command, settings["Voila"]["tornado_settings"]["headers"]["Content-Security-Policy"]))
        def wait(self): return 0
        def poll(self): return 0
    monkeypatch.setattr(cli.subprocess, "Popen", Server)
    return calls


def test_explore_writes_a_notebook_and_opens_it(opened, tmp_path):
    import nbformat
    done = run("explore", tmp_path/"new", "--no-browser", "--port", 9999)
    notebook = nbformat.read(tmp_path/"new"/"anyms-explorer.ipynb", 4)
    nbformat.validate(notebook)
    assert done.exit_code == 0 and any("runs.explore()" in c.source for c in notebook.cells) and any("play(" in c.source for c in notebook.cells)
    (command, policy), = opened
    assert command[1:3] == ["-m", "voila"] and "--port=9999" in command and "--no-browser" in command and "https:" not in policy


def test_explore_opens_jupyterlab(opened, tmp_path):
    assert run("explore", tmp_path, "--lab").exit_code == 0 and opened[0][0][1:3] == ["-m", "jupyterlab"]


def test_explore_keeps_your_own_notebook(opened, tmp_path):
    (tmp_path/"anyms-explorer.ipynb").write_text("mine")
    run("explore", tmp_path)
    assert (tmp_path/"anyms-explorer.ipynb").read_text() == "mine"


def test_explore_without_voila(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    done = run("explore", tmp_path)
    assert done.exit_code == 2 and "pip install voila, or use anyms explore --lab" in done.stderr and not opened


def test_explore_hands_on_the_servers_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "_opener", lambda *a: [sys.executable, "-c", "raise SystemExit(3)"])
    assert run("explore", tmp_path).exit_code == 3


def test_explore_ends_its_server_when_it_is_told_to_end(tmp_path):
    "TERM, as a service manager or a closed terminal sends it, and not only Ctrl-C."
    server = f"import os, pathlib, time; pathlib.Path({str(tmp_path/'pid')!r}).write_text(str(os.getpid())); time.sleep(600)"
    code = f"import sys; from anyms import cli; cli._opener = lambda *a: [sys.executable, '-c', {server!r}]; cli.app(['explore', {str(tmp_path)!r}])"
    ours = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    try:
        while not (tmp_path/"pid").exists() or not (tmp_path/"pid").read_text(): assert ours.poll() is None
        pid = int((tmp_path/"pid").read_text())
        ours.send_signal(signal.SIGTERM)
        assert ours.wait(60) == 0
        with pytest.raises(ProcessLookupError): os.kill(pid, 0)
    finally: ours.kill()


def test_kernels_of_closed_pages_end(opened, tmp_path):
    run("explore", tmp_path)
    run("explore", tmp_path, "--lab")
    (app, _), (lab, _) = opened
    assert "--MappingKernelManager.cull_idle_timeout=60" in app and not [w for w in lab if "cull" in w]


def test_explorer_cells_run(pipes, monkeypatch):
    "The notebook's code, on the tiny pipeline."
    monkeypatch.setattr("anyms.pipeline.load", lambda *a, **k: pipes("sdxl-plus"))
    code = "\n".join(c["source"] for c in cli.explorer()["cells"] if c["cell_type"] == "code")
    space = {}
    exec(code.replace("seeds=[0]", "seeds=[0], steps=2").replace("play(pipe, prompt, layout)", "player = play(pipe, prompt, layout, steps=2)"), space)
    space["player"].wait()
    assert space["runs"].variants == ["full", "masked", "crop_merge"] and not space["player"].error


def test_docs_passes_on(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr("anyms.site.build", lambda *a: asked.append(a) or tmp_path)
    monkeypatch.setattr("anyms.site.serve", lambda out: asked.append(out))
    done = run("docs", "--root", tmp_path, "--out", tmp_path/"x", "--renderer", "smalldocs", "--serve")
    assert done.exit_code == 0 and asked == [(tmp_path, tmp_path/"x", "smalldocs"), tmp_path] and str(tmp_path) in done.output


def test_docs_says_why_not(tmp_path):
    done = run("docs", "--root", tmp_path)
    assert done.exit_code == 2 and "clone of the repository" in done.stderr


@pytest.mark.parametrize("words, said", [(["quality"], "there is: speed"), (["speed", "--rounds", "0"], "at least 1"), (["speed", "--size", "500", "--net", "tiny", "--net", "sd15"], "multiple of 64")])
def test_bench_refuses(words, said, tmp_path):
    done = run("bench", *words, "--out", tmp_path)
    assert done.exit_code == 2 and said in done.stderr


def test_bench_passes_on(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr("anyms.bench.speed.bench", lambda *a, **k: asked.append((a, k)) or a[0])
    assert run("bench", "speed", "--quick", "--out", tmp_path).exit_code == 0
    assert asked[0][0] == (tmp_path, True, "sdxl", "plain", None) and asked[0][1]["rounds"] == 3


def test_showcase_is_hard_enough():
    "Three subjects, one on top of another, names in the prompt."
    layout, prompt = cli.showcase()
    assert len(layout) == 3 and all(n in prompt for n in layout.names) and len(set(layout.priorities)) == 2


# generate and compare

def test_generate(tiny, tmp_path):
    done = run("generate", "a fox", *FOX, *CROWN, "--variant", "masked", "--seed", 5, "--steps", 2, "--guidance", 2, "--scale", .8, "--stats", "mass,norm", "--size", "16x32",
               "--negative-prompt", "a hat", "--out", tmp_path/"g")
    assert done.exit_code == 0, done.output
    result = Result.load(tmp_path/"g")
    s = result.settings
    assert (s["variant"], s["seed"], s["steps"], s["guidance"], s["scale"], s["negative_prompt"]) == ("masked", 5, 2, 2, .8, "a hat")
    assert result.image.size == (32, 16) and result.layout.names == ["fox", "crown"] and list(result.maps.stats) == ["mass", "norm"]


def test_generate_from_a_layout_file(tiny, tmp_path):
    layout, _ = cli.showcase()
    layout.save(tmp_path/"layout.json")
    assert run("generate", "a fox", "--layout", tmp_path/"layout.json", "--steps", 1, "--out", tmp_path/"g").exit_code == 0
    assert Result.load(tmp_path/"g").layout.names == layout.names


def test_subject_with_a_picture(tiny, tmp_path):
    Image.new("RGB", (32, 32), "red").save(tmp_path/"a b@home=1.png")
    subject = cli.parse_subject(f"red fox={tmp_path}/a b@home=1.png@0,0,.5,.5")
    assert subject.name == "red fox" and subject.image.getpixel((0, 0)) == (255, 0, 0) and tuple(subject.box) == (0, 0, .5, .5)


def test_model_options_are_passed_on(tiny, tmp_path):
    run("generate", "a fox", *FOX, "--model", "here", "--adapter", "a.safetensors", "--device", "cpu", "--steps", 1, "--out", tmp_path/"g")
    assert [str(x) for x in tiny[0]] == ["here", "a.safetensors", "cpu", "None"]


def test_compare(tiny, tmp_path):
    done = run("compare", "a fox", *FOX, *CROWN, "--variants", "full,crop_merge", "--seeds", "0-1", "--steps", 1, "--stats", "mass", "--out", tmp_path/"c")
    assert done.exit_code == 0, done.output
    runs = Runs.load(tmp_path/"c"/"runs")
    assert runs.variants == ["full", "crop_merge"] and runs.seeds == [0, 1]
    assert len(pd.read_csv(tmp_path/"c"/"table.csv")) == 4 and (tmp_path/"c"/"sheet.png").exists()


@pytest.mark.parametrize("text, numbers", [("0", [0]), ("0,2,5", [0, 2, 5]), ("0-3", [0, 1, 2, 3]), (" 4 ", [4]), ("2-2", [2])])
def test_seeds(text, numbers): assert cli._numbers(text) == numbers


@pytest.mark.parametrize("text, size", [(None, {}), ("64", dict(height=64, width=64)), ("64x96", dict(height=64, width=96)), ("64X96", dict(height=64, width=96))])
def test_size(text, size): assert cli._size(text) == size


# errors

def test_an_interruption_says_so(monkeypatch):
    def stop(*a, **k): raise KeyboardInterrupt
    monkeypatch.setattr("anyms.pipeline.load", stop)
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
    done = run("generate", "a fox", *FOX, "--steps", 1, "--out", tmp_path)
    assert done.exit_code == 2 and "is not a saved bundle" in done.stderr and (tmp_path/"thesis.txt").exists()


# train and check

def test_train_is_a_thin_wrapper(monkeypatch):
    train = pytest.importorskip("anyms.stickers.train")
    calls = []
    monkeypatch.setattr(train, "train", lambda *a, **k: calls.append(a))
    assert run("train", "joint", "--minutes", 2.5, "--out", "x", "--device", "cpu", "--no-resume").exit_code == 0
    stage, minutes, out, device, resume, stages = calls[0]
    assert (stage, minutes, str(out), device, resume) == ("joint", 2.5, "x", "cpu", False)
    assert set(stages) == {"decoder", "joint", "detector", "embedder"}


def test_check_says_what_is_there(monkeypatch):
    monkeypatch.setattr(cli, "_weights", lambda: [("weights", "5 files, checksums agree", True)])
    done = run("check", "--no-timing")
    assert done.exit_code == 0, done.output
    for what in ("python", "torch", "diffusers", "transformers", "CPU cores", "memory", "GPU", "chromium", "jupyterlab", "voila", "sliders", "disk", "own address", "checksums agree", "Ready"): assert what in done.output
    assert "LACKS" not in done.output


@pytest.mark.parametrize("spoil, said", [("missing", "base/unet is missing"), ("damaged", "base/unet is damaged")])
def test_check_says_what_is_lacking(monkeypatch, spoil, said):
    monkeypatch.setattr("anyms.stickers.model.check_weights", lambda: {"base/unet": spoil, "base/vae": "ok"})
    done = run("check")  # no timing without weights
    assert done.exit_code == 1 and "LACKS  weights" in done.output and said in done.output and "base/vae" not in done.output


def test_check_names_each_remedy(monkeypatch):
    "A wrong version and a missing package: what to type stands on the line, the closing sentence names both."
    monkeypatch.setattr("importlib.metadata.requires", lambda _: ["torch>=99", "nosuchpackage>=1", "numpy", "pytest>=99; extra == 'dev'"])
    done = run("check")
    assert done.exit_code == 1 and "pip install 'torch>=99'" in done.output and "pip install 'nosuchpackage>=1'" in done.output
    assert "pytest" not in done.output and "Lacking: torch, nosuchpackage" in done.output


def test_check_of_a_source_folder(monkeypatch):
    from importlib.metadata import PackageNotFoundError
    def missing(_): raise PackageNotFoundError("anyms")
    monkeypatch.setattr("importlib.metadata.requires", missing)
    done = run("check")
    assert done.exit_code == 1 and "pip install -c constraints.txt ." in done.output


@pytest.mark.parametrize("gib, said", [(2., "are needed, close other programs"), (None, "unknown")])
def test_check_of_memory(monkeypatch, gib, said):
    monkeypatch.setattr(cli, "_memory", lambda: gib)
    monkeypatch.setattr(cli, "_weights", lambda: [])
    done = run("check", "--no-timing")
    assert said in done.output and done.exit_code == (1 if gib else 0)


def test_check_without_the_sliders_part(monkeypatch, tmp_path):
    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda *_: [str(tmp_path)])
    assert [fine for what, _, fine in cli._notebooks() if what == "sliders"] == [False]


def test_check_without_chromium_is_no_failure(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(cli, "_weights", lambda: [])
    done = run("check", "--no-timing")
    assert done.exit_code == 0 and "maybe  chromium" in done.output


def test_check_without_torch(monkeypatch):
    monkeypatch.setattr(cli, "_packages", lambda: [("python", "3.11", True), ("torch", "not installed", False)])
    done = run("check")
    assert done.exit_code == 1 and "LACKS  torch" in done.output


def test_check_times_a_picture(tiny, monkeypatch):
    monkeypatch.setattr(cli, "_weights", lambda: [])
    assert "one picture" in run("check").output


@pytest.mark.slow
def test_demo_on_the_embedded_model(embedded, tmp_path):
    "The main job, as a newcomer runs it."
    done = run("demo", "--out", tmp_path/"d")
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path/"d"/"table.csv").set_index("variant")
    assert table.norm_in_box["crop_merge"] > table.norm_in_box["full"]
