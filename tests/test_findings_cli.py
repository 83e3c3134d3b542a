# ruff: noqa: F811  # a fixture that is imported
"What newcomers met at the command line: each of these was silent, late, or advice that no shell understands."
import pandas as pd
import pytest
from PIL import Image

from anyms import cli
from anyms.pipeline.result import Result
from anyms.pipeline.comparison import Comparison
from anyms.pipeline.loading import check_network, errors_only
from anyms.stickers.world.sprites import DRAWINGS, nouns
from test_cli import run, tiny  # noqa: F401 (tiny is a fixture)

FOX, HAT = ["--subject", "fox@.0,.5,.5,1"], ["--subject", "hat@.5,0,1,.6"]


def test_stickers(tmp_path):
    done = run("stickers", "fox", "owl", "--out", tmp_path/"new"/"s.png")
    names = [n for n in nouns() if "fox" in n or "owl" in n]
    assert done.exit_code == 0 and done.stdout.startswith(", ".join(names)) and f"{len(names)} nouns" in done.stdout
    sheet = Image.open(tmp_path/"new"/"s.png")
    assert sheet.width > 96*len(DRAWINGS) and sheet.height > 96*len(names)
    assert run("stickers", "--out", tmp_path/"all.png").stdout.count(",") >= len(nouns()) - 1


@pytest.mark.parametrize("words, said", [
    (["zebra"], "no sticker's name contains 'zebra'"), (["fox", "--out", "x.txt"], "must be a .png file"),
    (["fox", "--out", "/proc/no/x.png"], "nothing can be written there")])
def test_stickers_says_why_not(words, said):
    done = run("stickers", *words)
    assert done.exit_code == 2 and said in done.stderr


# before the model is opened

@pytest.mark.parametrize("words, said", [
    (["demo", "--stat", "foo"], "foo"), (["generate", "a fox", *FOX, "--variant", "ful"], "full"),
    (["generate", "a fox", *FOX, "--stats", "mass,foo"], "foo"),
    (["generate", "a fox", *FOX, "--num-inference-steps", "0"], "--num-inference-steps 0 must be"),
    (["compare", "a fox", *FOX, "--scale", "99"], "--scale 99.0 must be"),
    (["compare", "a fox", *FOX, "--variants", "full,maskd"], "masked"),
    (["compare", "a fox", *FOX, "--stats", "mass,,norm"], "names with commas between them"),
    (["generate", "a fox", *FOX, "--out", "/proc/no/x"], "--out '/proc/no': nothing can be written there"),
    (["compare", "a fox", *FOX, "--out", "/proc/no/x"], "--out '/proc/no/x': nothing can be written there"),
    (["generate", "a fox", "--subject", "fox@5,40,50,95"],
     "fractions of the picture from 0 to 1 (pixels divided by its width and height)")])
def test_said_before_the_model_is_opened(tiny, words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*words)
    assert done.exit_code == 2 and said in done.stderr and not tiny and not any(tmp_path.iterdir())
    assert "Errno" not in done.stderr and "from_pixels" not in done.stderr


def test_your_own_files_are_never_overwritten(tiny, tmp_path):
    (tmp_path/"table.csv").write_text("years of work")
    for words in (["demo", "--quick"], ["compare", "a fox", *FOX]):
        done = run(*words, "--out", tmp_path)
        assert done.exit_code == 2 and "holds a table.csv that anyms has not written" in done.stderr
    (tmp_path/"steps.csv").write_text("mine")
    assert "holds a steps.csv" in run("bench", "speed", "--quick", "--out", tmp_path).stderr
    (tmp_path/"notes").mkdir()
    (tmp_path/"notes"/"thesis.txt").write_text("mine")
    assert run("generate", "a fox", *FOX, "--out", tmp_path/"notes").exit_code == 2
    assert not tiny and (tmp_path/"table.csv").read_text() == "years of work" and (tmp_path/"notes"/"thesis.txt").exists()


def test_explore_of_a_file_speaks_of_its_folder(tmp_path):
    (tmp_path/"some.png").write_bytes(b"")
    done = run("explore", tmp_path/"some.png")
    assert done.exit_code == 2 and "--out" not in done.stderr and "folder for the notebook" in done.stderr


# one line of remarks

@pytest.mark.parametrize("prompt, said", [("", "the prompt is empty"), ("a hat", "the prompt does not name 'fox'"),
                                          ("a fox and a hat", "")])
def test_remarks(tiny, tmp_path, prompt, said):
    done = run("generate", prompt, *FOX, *HAT, "--num-inference-steps", 1, "--model", "mine", "--out", tmp_path/"a")
    lines = [line for line in done.stderr.splitlines() if line.startswith("anyms: ")]
    assert done.exit_code == 0 and len(lines) == bool(said) and all(said in line for line in lines)


# the rest

def test_blanks_between_names(tiny, tmp_path):
    done = run("compare", "a fox", *FOX, "--variants", "full, masked", "--stats", " mass , norm", "--seeds", "0-1",
               "--num-inference-steps", 1, "--out", tmp_path)
    assert done.exit_code == 0 and Comparison.load(tmp_path/"runs").variants == ["full", "masked"]
    assert len(pd.read_csv(tmp_path/"table.csv")) == 4


def test_a_row_per_seed_on_the_sheet(tiny, tmp_path):
    sizes = []
    for seeds in ("0", "0-2"):
        assert run("compare", "a fox", *FOX, "--variants", "full", "--seeds", seeds, "--num-inference-steps", 1,
                   "--out", tmp_path/seeds).exit_code == 0
        sizes.append(Image.open(tmp_path/seeds/"sheet.png").size)
    assert sizes[1][1] > 1.8*sizes[0][1] and sizes[0][0] >= 2*256


def test_the_answer_has_the_order_of_the_question(tiny, tmp_path):
    done = run("generate", "a fox", *FOX, "--size", "16x32", "--num-inference-steps", 1, "--out", tmp_path/"a")
    assert "16x32 px (height x width)" in done.stdout and Result.load(tmp_path/"a").image.size == (32, 16)
    assert "HEIGHTxWIDTH" in run("generate", "--help").output


@pytest.mark.parametrize("words, said", [
    (["--num-inference-steps", 0], "--num-inference-steps 0 must be a whole number from 1 to 1000"),
    (["--size", 18], "--size: height 18 must be a multiple of"), (["--scale", "nan"], "--scale nan must be")])
def test_advice_that_can_be_typed(tiny, tmp_path, words, said):
    done = run("generate", "a fox", *FOX, *words, "--out", tmp_path/"a")
    assert done.exit_code == 2 and said in done.stderr


@pytest.mark.parametrize("python, shell", [
    ("load('sdxl') needs 8 GiB; dtype='bfloat16' halves that; load('stickers') needs next to nothing.",
     "--model sdxl needs 8 GiB; --dtype 'bfloat16' halves that; --model stickers needs next to nothing."),
    ("give Subject('fox', image=...).", "give --subject 'fox=IMAGE@X0,Y0,X1,Y1'."), ("--model sdxl", "--model sdxl"),
    ("num_inference_steps=3", "--num-inference-steps 3"), ("my_seed=3", "my_seed=3")])
def test_sentences_in_the_words_of_a_shell(python, shell): assert cli.in_shell(python) == shell


def test_a_full_memory_is_a_sentence(monkeypatch):
    def full(*a, **k): raise MemoryError("load('sdxl') needs about 17 GiB on cpu; dtype='bfloat16' halves that.")
    monkeypatch.setattr("anyms.pipeline.loading.load", full)
    done = run("generate", "a fox", *FOX, "--model", "sdxl")
    assert done.exit_code == 2 and "--dtype 'bfloat16'" in done.stderr


def test_without_a_network_nobody_waits(monkeypatch):
    "The Hub is not asked, and its client prints no attempts."
    import logging, socket
    def nowhere(*a): raise socket.gaierror(-2, "Name or service not known")
    monkeypatch.setattr("socket.getaddrinfo", nowhere)
    for name in ("HF_HUB_OFFLINE", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(OSError, match="no way to huggingface.co"): check_network()
    log = logging.getLogger("huggingface_hub")
    before = log.level
    with errors_only("huggingface_hub"): assert log.level == logging.ERROR
    assert log.level == before
