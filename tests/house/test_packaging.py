"The house around the modules: metadata, pinned packages, what is shipped, README, site, CI script."
import json, os, re, subprocess, sys, types
from configparser import ConfigParser
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
import pytest, yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT/"README.md").read_text("utf8")
SETS = ["fluent-emoji", "fluent-emoji-flat", "noto", "fxemoji", "twemoji", "emojione"]


@pytest.fixture(scope="module")
def settings():
    config = ConfigParser(delimiters=["="], interpolation=None)
    config.read(ROOT/"settings.ini", encoding="utf8")
    return config["DEFAULT"]

@pytest.fixture(scope="module")
def metadata():
    "What setup.py hands to setuptools."
    given, fake = {}, types.ModuleType("setuptools")
    fake.setup = given.update
    fake.find_packages = lambda include: [".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT/"anyms").rglob("__init__.py")]
    before = sys.modules.get("setuptools")
    sys.modules["setuptools"] = fake
    try: exec(compile((ROOT/"setup.py").read_text("utf8"), "setup.py", "exec"), {"__file__": str(ROOT/"setup.py"), "__name__": "__main__"})
    finally:
        if before is None: del sys.modules["setuptools"]
        else: sys.modules["setuptools"] = before
    return given

@pytest.fixture(scope="module")
def pins():
    lines = [line for line in (ROOT/"constraints.txt").read_text("utf8").splitlines() if line and line[0] != "#"]
    return {canonicalize_name(r.name): r for r in map(Requirement, lines)}

def needed(texts):
    "Names of everything that requirements bring here, directly and through others."
    found, stack = {}, [Requirement(t) for t in texts]
    while stack:
        r = stack.pop()
        key = canonicalize_name(r.name), frozenset(r.extras)
        if key in found: continue
        try: dist = distribution(r.name)
        except PackageNotFoundError: pytest.skip(f"{r.name} is not installed; pip install -c constraints.txt -e '.[dev]'")
        found[key] = dist.version
        for q in map(Requirement, dist.requires or []):
            if q.marker is None or any(q.marker.evaluate({"extra": e}) for e in ["", *r.extras]): stack.append(q)
    return {name: version for (name, _), version in found.items()}


def test_one_version(settings, metadata):
    import anyms
    assert anyms.__version__ == settings["version"] == metadata["version"]

def test_entry_points(metadata):
    scripts = metadata["entry_points"]
    assert scripts["console_scripts"] == ["anyms=anyms.cli:app"] and scripts["nbdev"] == ["anyms=anyms._modidx:d"]

def test_pyproject_holds_no_metadata():
    import tomllib
    tool = tomllib.loads((ROOT/"pyproject.toml").read_text("utf8"))
    assert "project" not in tool and tool["tool"]["nbdev"]["lib_path"] == "anyms"

def test_everything_in_the_package_is_shipped(metadata):
    "Every file that is no module matches a pattern of package_data, and all of it stays below 60 MB."
    homes = {ROOT/"/".join(name.split(".")): patterns for name, patterns in metadata["package_data"].items()}
    others = [p for p in (ROOT/"anyms").rglob("*") if p.is_file() and p.suffix not in {".py", ".pyc"}]
    assert others, "the sheets of stickers are missing"
    for p in others:
        shipped = any(home in p.parents and fnmatch(p.relative_to(home).as_posix(), q)
            for home, patterns in homes.items() for q in patterns)
        assert shipped, f"{p.relative_to(ROOT)} is not shipped"
    assert sum(p.stat().st_size for p in others) <= 60e6

def test_no_pickle_is_shipped():
    assert not [p.name for p in (ROOT/"anyms").rglob("*") if p.suffix in {".pt", ".pth", ".bin", ".pkl", ".ckpt", ".pickle"}]

def test_constraints_pin_exactly(pins):
    assert all(re.fullmatch(r"==[\w.]+", str(r.specifier)) for r in pins.values())
    assert str(pins["torch"].specifier) == "==2.13.0"

def test_constraints_hold_every_package(settings, pins):
    "Whatever `pip install '.[dev]'` brings is pinned: a release made tomorrow cannot break today's commit."
    brought = needed(settings["requirements"].split() + settings["dev_requirements"].split())
    loose = sorted(brought.keys() - pins.keys() - {"pip", "setuptools", "wheel"})
    assert not [n for n in loose if not re.match(r"nvidia|cuda|triton", n)], f"add to constraints.txt: {loose}"

def test_nothing_of_torchvision_or_cuda(settings, pins):
    asked = {canonicalize_name(Requirement(t).name) for t in settings["requirements"].split() + settings["dev_requirements"].split()}
    assert not [n for n in asked | pins.keys() if re.match(r"nvidia|cuda|triton|torchvision|torchaudio", n)]

def test_constraints_allow_what_settings_ask(settings, pins):
    for t in settings["requirements"].split() + settings["dev_requirements"].split():
        r = Requirement(t)
        version = next(iter(pins[canonicalize_name(r.name)].specifier)).version
        assert r.specifier.contains(version, prereleases=True), f"{t} against {version}"

def test_licence_is_whole():
    text = (ROOT/"LICENSE").read_text("utf8")
    assert "Apache License" in text and "Version 2.0, January 2004" in text and "END OF TERMS AND CONDITIONS" in text

def test_artwork_is_attributed():
    "Every set that the atlas uses is in NOTICE with its maker, its licence and the version it was taken from."
    notice, atlas = (ROOT/"NOTICE").read_text("utf8"), ROOT/"anyms"/"stickers"/"data"/"sprites.json"
    versions = json.loads(atlas.read_text("utf8"))["versions"]
    assert set(versions) == set(SETS)
    for name, version in versions.items(): assert f"@iconify-json/{name} {version}" in notice
    for word in ["Microsoft", "Google", "Mozilla", "Twitter", "Emoji One", "CC BY 4.0", "Permission is hereby granted"]:
        assert word in notice

def test_readme_has_the_two_commands():
    assert "\npip install -c constraints.txt . && anyms demo\n" in README
    assert '\npip install -c constraints.txt -e ".[dev]" && pytest\n' in README

def test_the_cpu_build_of_torch_comes_first():
    "README and home page name the very build that is pinned, before the line that would fetch another one."
    pinned = re.search(r"(?m)^torch==([\w.]+)", (ROOT/"constraints.txt").read_text("utf8"))[1]
    home = "\n".join("".join(c["source"]) for c in json.loads((ROOT/"nbs"/"index.ipynb").read_text("utf8"))["cells"])
    for text in (README, home):
        line = f"pip install torch=={pinned} --index-url https://download.pytorch.org/whl/cpu\n"
        assert line in text and text.index(line) < text.index("pip install -c constraints.txt .")

def test_what_only_tests_use_keeps_its_licence():
    vendor, notice = ROOT/"tests"/"vendor", (ROOT/"NOTICE").read_text("utf8")
    version = re.search(r"/\*! axe v([\d.]+)", (vendor/"axe.min.js").read_text("utf8")[:200])[1]
    assert f"axe-core {version}" in notice and "Mozilla Public License, version 2.0" in (vendor/"LICENSE").read_text("utf8")
    assert "recursive-include tests/vendor *" in (ROOT/"MANIFEST.in").read_text("utf8")

def test_readme_names_what_exists():
    "Paths in the README are there, and every floor that has notebooks has its line or is named by CONTRIBUTING.md."
    for path in set(re.findall(r"`((?:nbs|anyms)/[\w/.]+)`", README)) | set(re.findall(r"\]\((?!http)([^)]+)\)", README)):
        assert (ROOT/path).exists(), path
    told = README + (ROOT/"CONTRIBUTING.md").read_text("utf8")
    for folder in sorted(p.name for p in (ROOT/"nbs").iterdir() if p.is_dir() and p.name[0] not in "._" and list(p.rglob("[0-9]*.ipynb"))):
        assert folder in told, f"neither README nor CONTRIBUTING.md says what nbs/{folder} is"

def test_readme_is_short():
    "What a stranger reads in three minutes, code left out."
    assert len(re.sub(r"(?ms)^```.*?^```", "", README).split()) <= 720

def test_readme_counts_right():
    from anyms.stickers.world.backgrounds import PLACES
    from anyms.stickers.world.sprites import nouns, all_sprites
    assert f"{len(all_sprites())} drawings of {len(nouns())} nouns" in README and f"on {len(PLACES)} kinds of background" in README

def test_readme_example_runs():
    "The call site in the README, as it stands there."
    if not (ROOT/"anyms"/"stickers"/"weights").exists(): pytest.skip("the embedded weights are not there yet")
    space = {}
    for block in re.findall(r"```python\n(.*?)```", README, re.S):
        exec(compile(block.replace("seeds=range(2)", "seeds=range(1), num_inference_steps=2"), "README.md", "exec"), space)
    assert space["image"].size == space["result"].image.size and len(space["comparison"].table()) >= 3

def test_site_lists_every_notebook():
    site = yaml.safe_load((ROOT/"_quarto.yml").read_text("utf8"))
    assert site["project"]["type"] == "website" and site["project"]["output-dir"] == "_docs" and site["execute"]["enabled"] is False
    listed = set(re.findall(r"nbs/[\w/.]+\.(?:ipynb|md)", yaml.safe_dump(site["website"])))
    there = {p.relative_to(ROOT).as_posix() for p in (ROOT/"nbs").rglob("*.ipynb")
        if not any(q[0] in "._" for q in p.relative_to(ROOT/"nbs").parts)}
    assert there <= listed, f"not in the sidebar of _quarto.yml: {sorted(there-listed)}"
    made = {f"nbs/reference{which}.md" for which in ("", "_pipeline", "_workshop", "_stickers", "_training", "_paper", "_votes", "_methods", "_classroom")}  # by `anyms docs`
    assert not [p for p in listed - made if not (ROOT/p).exists()], "the sidebar names pages that do not exist"

def test_ci_script():
    script = ROOT/".ci"/"run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
    lines = script.read_text("utf8").splitlines()
    assert any("chromium" in line for line in lines), "the browser tests need a browser"
    last = re.search(r"set -- (.*)", script.read_text("utf8"))[1].split()[-1]
    assert last == "tests" and "    pytest\n}" in script.read_text("utf8"), "the closing line of pytest is the last thing that CI prints"
