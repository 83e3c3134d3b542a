"What goes out can be drawn from by files alone, and of what comes back nothing good is lost."
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from anyms.layout.boxes import Box
from anyms.paper.cases.case import Case, CaseSubject
from anyms.paper.cases.combinations import combinations
from anyms.paper.cases.exchange import export_cases, read_adopted
from anyms.paper.cases.photographs import PhotoReference

CASES = {case.id: case for case in combinations()}


@pytest.fixture
def some(): return [CASES["2d"], CASES["3a"]]


def put(folder, **pictures):
    "Pictures (w, h) by their file's stem."
    folder.mkdir(exist_ok=True)
    for stem, size in pictures.items(): Image.new("RGB", size, (90, 120, 20)).save(folder/f"{stem.replace('_', '-')}.png")
    return folder


# out

def test_an_export_says_everything(some, tmp_path):
    out = export_cases(tmp_path/"out", some, size=64)
    told = json.loads((out/"3a"/"boxes.json").read_text())
    assert (told["width"], told["height"], told["id"]) == (96, 64, "3a")
    assert (out/"3a"/"prompt.txt").read_text() == some[1].prompt + "\n" == told["prompt"] + "\n"
    for one, subject in zip(told["subjects"], some[1].subjects):
        assert one["name"] == subject.name and one["box"] == list(subject.box)
        reference, cutout, mask = (Image.open(out/"3a"/one[kind]) for kind in ("reference", "cutout", "mask"))
        assert np.array_equal(reference, subject.reference.picture()) and np.array_equal(cutout, subject.reference.cutout())
        assert mask.size == (96, 64) and mask.getbbox() == tuple(one["pixels"]) and set(mask.tobytes()) == {0, 255}
    assert [one["priority"] for one in json.loads((out/"2d"/"boxes.json").read_text())["subjects"]] == [0, 1]
    readme = (out/"README.txt").read_text()
    assert "2d-0.png" in readme and "anyms paper adopt" in readme


def test_an_older_export_is_replaced_and_nothing_else(some, tmp_path):
    out = export_cases(tmp_path/"out", some, size=64)
    export_cases(out, some[:1], size=64)
    assert not (out/"3a").exists()
    (out/"2d"/"2d-0.png").write_bytes(b"drawn all night")
    with pytest.raises(FileExistsError, match="holds 2d/2d-0.png"): export_cases(out, some, size=64)
    assert (out/"2d"/"2d-0.png").exists() and not (out/"3a").exists()
    other = put(tmp_path/"mine", a=(9, 9))
    with pytest.raises(FileExistsError, match="not a saved bundle"): export_cases(other, some, size=64)
    assert [file.name for file in other.iterdir()] == ["a.png"]


def test_bad_cases_leave_nothing_behind(some, tmp_path):
    with pytest.raises(ValueError, match="empty"): export_cases(tmp_path/"out", [])
    with pytest.raises(ValueError, match="twice"): export_cases(tmp_path/"out", some[:1]*2)
    with pytest.raises(ValueError, match="size=0"): export_cases(tmp_path/"out", some, size=0)
    with pytest.raises(ValueError, match="no subjects"): export_cases(tmp_path/"out", [replace(some[0], subjects=())])
    crown = some[0].subjects[1]
    same = [replace(crown, name="a crown"), replace(crown, name="a/crown", box=Box(0, 0, .1, .1))]
    with pytest.raises(ValueError, match="share the file a_crown.png"):
        export_cases(tmp_path/"out", [replace(some[0], prompt="a crown, a/crown", subjects=tuple(same))])
    assert not list(tmp_path.iterdir())


def test_a_failure_in_the_middle_leaves_nothing_behind(some, tmp_path, monkeypatch):
    monkeypatch.setattr(type(some[1].subjects[0].reference), "cutout", lambda self: 1/0)
    with pytest.raises(ZeroDivisionError): export_cases(tmp_path/"out", some, size=64)
    assert not list(tmp_path.iterdir())


def test_photographs_without_masks_have_no_cutout(tmp_path):
    put(tmp_path/"dog", a=(40, 30))
    dog = PhotoReference("dog", (tmp_path/"dog"/"a.png",))
    case = Case("dog", "a dog", (CaseSubject("dog", dog, Box(0, 0, 1, .5)),), scene="")
    out = export_cases(tmp_path/"out", [case], size=64)
    one, = json.loads((out/"dog"/"boxes.json").read_text())["subjects"]
    assert one["cutout"] is None and not (out/"dog"/"cutouts").exists() and Image.open(out/"dog"/one["reference"]).size == (40, 30)


# in

def test_pictures_come_back_by_case_and_seed(some, tmp_path):
    adopted = read_adopted(put(tmp_path/"r", **{"2d_0": (64, 64), "2d_11": (64, 64), "3a_0": (96, 64)}), some, size=64)
    assert set(adopted) == {("2d", 0), ("2d", 11), ("3a", 0)} and not adopted.problems
    assert adopted["3a", 0].size == (96, 64) and adopted["2d", 0].mode == "RGB"
    assert adopted.missing(some, (0, 1)) == ["2d-1.png", "3a-1.png"]


def test_all_problems_are_told_and_the_rest_is_usable(some, tmp_path):
    folder = put(tmp_path/"r", **{"2d_0": (64, 64), "2dd_0": (64, 64), "2d_1": (32, 32), "3a_0": (64, 64), "3a_1": (64, 96), "picture": (64, 64)})
    (folder/"2d-2.png").write_bytes((folder/"2d-0.png").read_bytes()[:60])
    (folder/"2d-3.png").write_text("not a picture")
    Image.new("RGB", (64, 64)).save(folder/"2d-4.jpg")
    Image.new("RGB", (64, 64)).save(folder/"2d-00.png")
    (folder/".hidden").write_text("")
    (folder/"2d-5").mkdir()
    adopted = read_adopted(folder, some, size=64)
    assert list(adopted) == [("2d", 0)]
    told = {problem.partition(": ")[0]: problem for problem in adopted.problems}
    assert set(told) == {"2dd-0.png", "2d-1.png", "3a-0.png", "3a-1.png", "picture.png", "2d-2.png", "2d-3.png", "2d-4.jpg",
                         "2d-00.png", "2d-5"}
    for file, words in {"2dd-0.png": "did you mean '2d'", "2d-1.png": "32x32 pixels and the case asks for 64x64", "2d-4.jpg": "no PNG",
                        "3a-0.png": "asks for 96x64", "3a-1.png": "64x96", "2d-2.png": "damaged", "2d-3.png": "no picture",
                        "2d-00.png": "2d-0.png has the same case and seed", "picture.png": "rename it"}.items():
        assert words in told[file]
    assert all(problem in repr(adopted) for problem in adopted.problems) and str(tmp_path) not in repr(adopted)


def test_any_size_but_not_any_aspect(some, tmp_path):
    folder = put(tmp_path/"r", **{"2d_0": (512, 512), "2d_1": (64, 64), "3a_0": (300, 200), "3a_1": (200, 200), "2d_2": (512, 640)})
    assert set(read_adopted(folder, some)) == {("2d", 0), ("2d", 1), ("3a", 0)}


def test_a_models_own_grid_is_forgiven(some, tmp_path):
    wide = replace(some[1], aspect=4/3)   # 1024 x 1365.3, which SDXL's grid makes 1376
    folder = put(tmp_path/"r", **{"3a_0": (1376, 1024), "3a_1": (1365, 1024), "3a_2": (1408, 1024), "3a_3": (1365, 1000)})
    assert set(read_adopted(folder, [wide], size=1024)) == {("3a", 0), ("3a", 1)}


def test_nothing_to_take_is_told(some, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"): read_adopted(tmp_path/"none", some)
    with pytest.raises(ValueError, match="no picture that can be taken"): read_adopted(put(tmp_path/"r"), some)
    with pytest.raises(ValueError, match="(?s)no picture.*x.png: its name"): read_adopted(put(tmp_path/"r", x=(9, 9)), some)


def test_ids_may_hold_dashes(some, tmp_path):
    dashed = replace(some[0], id="my-own-2")
    assert list(read_adopted(put(tmp_path/"r", **{"my_own_2_7": (8, 8)}), [dashed])) == [("my-own-2", 7)]
