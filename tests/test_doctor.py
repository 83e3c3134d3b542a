# ruff: noqa: F811  # a fixture that is imported
"What a machine has and lacks, as `anyms doctor` says it."
import pytest

from anyms import doctor
from test_cli import run, tiny  # noqa: F401 (tiny is a fixture)


def test_doctor_says_what_is_there(monkeypatch):
    monkeypatch.setattr(doctor, "weights", lambda: [doctor.Finding("weights", "5 files, checksums agree", True)])
    done = run("doctor", "--no-timing")
    assert done.exit_code == 0, done.output
    packages, machine = ("python", "torch", "diffusers", "transformers", "jupyterlab", "voila"), ("CPU cores", "memory", "GPU", "disk")
    for what in (*packages, *machine, "chromium", "sliders", "own address", "checksums agree", "Ready"): assert what in done.output
    assert "LACKS" not in done.output


@pytest.mark.parametrize("spoil, said", [("missing", "base/unet is missing"), ("damaged", "base/unet is damaged")])
def test_doctor_says_what_is_lacking(monkeypatch, spoil, said):
    monkeypatch.setattr("anyms.pipeline.loading.check_weights", lambda folder: {"base/unet": spoil, "base/vae": "ok"})
    done = run("doctor")  # no timing without weights
    assert done.exit_code == 1 and "LACKS  weights" in done.output and said in done.output and "base/vae" not in done.output


def test_doctor_names_each_remedy(monkeypatch):
    "A wrong version and a missing package: what to type stands on the line, the closing sentence names both."
    monkeypatch.setattr("importlib.metadata.requires", lambda _: ["torch>=99", "nosuchpackage>=1", "numpy", "pytest>=99; extra == 'dev'"])
    done = run("doctor")
    assert done.exit_code == 1 and "pip install 'torch>=99'" in done.output and "pip install 'nosuchpackage>=1'" in done.output
    assert "pytest" not in done.output and "Lacking: torch, nosuchpackage" in done.output


def test_doctor_of_a_source_folder(monkeypatch):
    from importlib.metadata import PackageNotFoundError
    def missing(_): raise PackageNotFoundError("anyms")
    monkeypatch.setattr("importlib.metadata.requires", missing)
    done = run("doctor")
    assert done.exit_code == 1 and "pip install -c constraints.txt ." in done.output


@pytest.mark.parametrize("gib, said", [(2., "are needed, close other programs"), (None, "unknown")])
def test_doctor_of_memory(monkeypatch, gib, said):
    monkeypatch.setattr(doctor, "memory_gib", lambda: gib)
    monkeypatch.setattr(doctor, "weights", lambda: [])
    done = run("doctor", "--no-timing")
    assert said in done.output and done.exit_code == (1 if gib else 0)


def test_doctor_without_the_sliders_part(monkeypatch, tmp_path):
    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda *_: [str(tmp_path)])
    assert [fine for what, _, fine in doctor.notebooks() if what == "sliders"] == [False]


def test_doctor_without_chromium_is_no_failure(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(doctor, "weights", lambda: [])
    done = run("doctor", "--no-timing")
    assert done.exit_code == 0 and "maybe  chromium" in done.output


def test_doctor_without_torch(monkeypatch):
    monkeypatch.setattr(doctor, "packages", lambda: [doctor.Finding("python", "3.11", True),
                                                     doctor.Finding("torch", "not installed", False)])
    done = run("doctor")
    assert done.exit_code == 1 and "LACKS  torch" in done.output


def test_doctor_times_a_picture(tiny, monkeypatch):
    monkeypatch.setattr(doctor, "weights", lambda: [])
    assert "one picture" in run("doctor").output
