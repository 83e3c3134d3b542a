"`anyms paper`: every command, every sentence, and one true run on the embedded model."
import pandas as pd
import pytest
from PIL import Image

from anyms import cli
from anyms.paper.cases.combinations import combinations
from anyms.paper.run import commands
from anyms.paper.run.commands import Machine, Request, judge_for, run_draw, run_judge, run_status, run_tables
from anyms.paper.run.store import Store
from anyms.paper.run.units import all_methods
from paper_commands import ok, refused, run
from paper_fakes import Dots, Eye, Trains, case_of, fake_pipe

NAMES = ["prepare", "draw", "time", "judge", "tables", "status", "export-cases", "adopt", "study"]


@pytest.fixture
def fake(monkeypatch):
    "Made-up methods, cases, model and judge behind the real commands; what was loaded is kept."
    loaded, methods = [], dict(dots=Dots(), anyms=Dots("anyms"), trains=Trains())
    def load(*words):
        loaded.append(words)
        return fake_pipe(float(words[0]) if words[0][0].isdigit() else 0.)
    monkeypatch.setattr("anyms.paper.run.units.METHODS", methods)
    monkeypatch.setattr(commands, "load", load)
    monkeypatch.setattr(commands, "combinations", lambda: [case_of("2a"), case_of("3a", 3)])
    monkeypatch.setattr(commands, "judge_for", lambda *a: Eye())
    monkeypatch.setattr("anyms.paper.run.units.pkgutil.iter_modules", lambda path: [])
    return loaded

@pytest.fixture
def out(tmp_path): return ["--out", tmp_path/"paper", "--quick"]


# help

def test_help_names_all(): assert all(name in ok("--help") for name in NAMES)

@pytest.mark.parametrize("command", NAMES)
def test_every_option_says_what_it_is_for(command):
    assert "--help" in ok(command, "--help")
    info = next(c for c in cli.paper.registered_commands if c.callback.__name__.replace("_", "-") == command)
    assert info.callback.__doc__ and all(p.__metadata__[0].help for p in info.callback.__annotations__.values())


# the way through

def test_draw_judge_tables_status(fake, out, tmp_path):
    assert "Drew 24 pictures" in ok("draw", *out) and "Drew 0 pictures" in ok("draw", *out)
    assert "Judged 24 pictures" in ok("judge", *out)
    told = ok("tables", *out, "--drawings", 20)
    assert "anyms (ours)" in told and "training s" in told and (tmp_path/"paper"/"tables"/"table_1.html").exists()
    status = ok("status", *out)
    assert [line.split() for line in status.splitlines()[1:4]] == [[m, "8", "8", "8", "0"] for m in ("anyms", "dots", "trains")]
    assert len(fake) == 2   # judge, tables and status open no model

def test_shares_of_a_terminal(fake, out):
    assert [ok("draw", *out, "--shard", f"{i}/2").split()[1] for i in (0, 1)] == ["12", "12"]
    assert "Drew 0" in ok("draw", *out)

def test_options_mean_what_they_say(fake, tmp_path):
    ok("draw", "--out", tmp_path/"s", "--methods", "dots, anyms", "--seeds", "3-5", "--num-inference-steps", 2, "--model", "sdxl", "--device", "cpu")
    assert fake == [("sdxl", None, "cpu")]
    rows = pd.concat([pd.read_parquet(file) for file in Store(tmp_path/"s").files("pictures")])
    assert set(rows.method) == {"dots", "anyms"} and set(rows.seed) == {3, 4, 5} and set(rows.steps) == {2}

def test_prepare(fake, out, tmp_path):
    assert "Prepared 2 times" in ok("prepare", *out) and "Prepared 0 times" in ok("prepare", *out)
    assert list((tmp_path/"paper"/"kept").rglob("2a0.safetensors"))

def test_a_picture_alone(fake, out):
    "What the clock said of a batch is marked in the table, until each method has drawn one picture by itself."
    ok("draw", *out)
    ok("judge", *out)
    assert "~" in ok("tables", *out, "--drawings", 20).splitlines()[1]
    assert "Timed 3 methods on case 3a" in ok("time", *out) and "~" not in ok("tables", *out, "--drawings", 20).splitlines()[1]

def test_quick_is_told_apart(fake, out, tmp_path):
    "What trains was drawn after a fortieth of its training: it is not in the full table."
    ok("draw", *out)
    told = ok("status", *out[:2])
    assert "Stale" in told and "trains 2" in told and "--quick" in told

def test_export_and_adopt(fake, out, tmp_path, monkeypatch):
    monkeypatch.setattr(commands, "combinations", combinations)
    assert "11 cases" in ok("export-cases", tmp_path/"q", "--size", 64) and (tmp_path/"q"/"README.txt").exists()
    (tmp_path/"answers").mkdir()
    for seed in range(2): Image.new("RGB", (64, 64), "red").save(tmp_path/"answers"/f"2a-{seed}.png")
    told = ok("adopt", tmp_path/"answers", "--method", "uno", *out[:2])
    assert "2 pictures" in told
    assert "Judged 2 pictures" in ok("judge", *out[:2], "--methods", "uno")
    assert "uno (theirs)" in ok("tables", *out[:2], "--drawings", 20)

def test_study(fake, out, tmp_path):
    ok("draw", *out)
    told = ok("study", tmp_path/"vote", *out, "--methods", "dots,anyms")
    assert "voila" in told and {file.name for file in (tmp_path/"vote").iterdir()} >= {"study.json", "vote.ipynb", "results.ipynb", "vote.html"}


# sentences

@pytest.mark.parametrize("words, said", [
    (["draw", "--methods", "anymss"], "did you mean 'anyms'"),
    (["draw", "--shard", "2/2"], "write i/k"),
    (["draw", "--seeds", "a"], "--seeds 'a'"),
    (["draw", "--cases", "none.json"], "none.json"),
    (["tables", "--methods", "x"], "is no folder of anyms paper"),
    (["judge"], "begin with anyms paper draw"),
    (["status"], "begin with anyms paper draw"),
    (["adopt", "nowhere", "--method", "uno"], "nowhere"),
    (["adopt", "nowhere", "--method", "dots"], "a method of ours"),
])
def test_one_sentence(fake, tmp_path, words, said, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in refused(*words) and not fake   # before any model is opened

def test_other_weights(fake, out):
    ok("draw", *out)
    assert "by other weights" in refused("draw", *out, "--model", "1.5") and "Drew 24" in ok("draw", *out, "--model", "1.5", "--again")
    assert "anyms 2" in ok("status", *out)

def test_tables_before_judge(fake, out):
    ok("draw", *out)
    assert "no judge's words" in refused("tables", *out)

def test_other_options_than_when_it_was_drawn(fake, out):
    ok("draw", *out)
    assert "none of what these options ask for" in ok("judge", *out, "--num-inference-steps", 3) and "Judged 24 pictures" in ok("judge", *out)

def test_a_method_that_fails(fake, out, monkeypatch):
    class Broken(Dots):
        def draw(self, *a): raise ValueError("no such layer")
    monkeypatch.setitem(all_methods(), "broken", Broken("broken"))
    monkeypatch.setattr("anyms.paper.run.units.METHODS", dict(broken=Broken("broken"), dots=Dots()))
    assert "broken: ValueError: no such layer" in refused("draw", *out) and "Judged 8" in ok("judge", *out)

def test_ctrl_c(fake, out, monkeypatch):
    class Pressed(Dots):
        def draw(self, *a): raise KeyboardInterrupt
    monkeypatch.setattr("anyms.paper.run.units.METHODS", dict(dots=Pressed()))
    done = run("draw", *out)
    assert done.exit_code == 130 and "interrupted" in done.stderr

def test_a_vote_needs_two(fake, out, tmp_path):
    ok("draw", *out)
    assert "needs two methods" in refused("study", tmp_path/"vote", *out, "--methods", "dots")

def test_photographs_want_other_nets(tmp_path):
    "One sentence that says what to fetch."
    with pytest.raises((FileNotFoundError, OSError), match="(?i)fetch|download"): judge_for([case_of("2a")], tmp_path)


# the true thing

UNTUNED = [name for name, method in all_methods().items() if method.trained is None and "stickers" in method.settings]

@pytest.mark.slow
def test_eleven_cases_one_noise(tmp_path):
    "CI's run: the embedded model, its judge, one noise of every case, by every method that trains nothing; five steps place as twenty do."
    request, machine = Request(tmp_path/"paper", UNTUNED, seeds=[0], num_inference_steps=5), Machine(progress=False)
    n = 11*len(UNTUNED)
    assert len(UNTUNED) >= 16 and f"Drew {n} pictures" in run_draw(request, machine) and f"Judged {n} pictures" in run_judge(request, machine)
    tables, _ = run_tables(request, n=100)
    value = tables.table1.pivot(index="method", columns="metric", values="value")
    assert value.mIoU["anyms"] > value.mIoU["text_only"] + .1 and tables.equal > .8
    assert {name for name in UNTUNED if all_methods()[name].layout and value.mIoU[name] <= value.mIoU["text_only"]} == set()
    assert run_status(request).table.missing.eq(0).all() and sorted(tables.figure4.n.unique()) == [2, 3, 4, 5]
    assert tables.disagreeing.metric.eq("obeys").any() and {"low", "high", "difference_low"} <= set(tables.disagreeing)
