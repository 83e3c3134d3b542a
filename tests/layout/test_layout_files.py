"Layouts on disk: every bit comes back, folders can be moved, and a failed write changes nothing."
import json
import os

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from test_boxes import boxes

settings.register_profile("quick", max_examples=60, deadline=None)
settings.load_profile("quick")


@pytest.fixture
def scene(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (9, 7, 3), dtype=np.uint8)).save(tmp_path/"fox.png")
    return Layout([Subject("fox", tmp_path/"fox.png", (.1, .2, 1/3, .9), scale=.7),
                   Subject("Hüte & 帽子", rng.random((6, 6, 3)), mask=rng.random((11, 13)) > .6, priority=1),
                   Subject("sky", priority="background")])


@given(st.lists(boxes(), min_size=1, max_size=4), st.floats(0, 9, allow_subnormal=False))
def test_json_keeps_every_bit(found, scale):
    layout = Layout([Subject(f"s{i}", box=box, scale=scale, priority=i/3) for i, box in enumerate(found)])
    assert Layout.from_dict(json.loads(json.dumps(layout.to_dict()))) == layout


def test_save_and_load(scene, tmp_path):
    path = scene.save(tmp_path/"scene.json")
    data = json.loads(path.read_text("utf-8"))
    first, second, _ = data["subjects"]
    assert data["anyms_layout"] == 1 and first["image"] == {"file": "fox.png"} and set(second["image"]) == {"png"}
    again = Layout.load(path)
    assert again == scene and again.save(tmp_path/"again.json").read_text("utf-8") == path.read_text("utf-8")


def test_a_saved_folder_can_be_moved(scene, tmp_path):
    scene.save(tmp_path/"scene.json")
    (tmp_path/"elsewhere").mkdir()
    for name in ("scene.json", "fox.png"): os.rename(tmp_path/name, tmp_path/"elsewhere"/name)
    assert Layout.load(tmp_path/"elsewhere"/"scene.json") == scene


def test_an_embedded_layout_needs_nobody(scene, tmp_path):
    path = scene.save(tmp_path/"whole.json", embed=True)
    (tmp_path/"fox.png").unlink()
    assert Layout.load(path) == scene
    assert scene.replace("fox", scale=2).scales[0] == 2               # and a copy does not read the file again


def test_a_failed_write_leaves_the_old_file_and_no_rest(scene, tmp_path, monkeypatch):
    path = scene.save(tmp_path/"scene.json")
    before, files = path.read_bytes(), sorted(os.listdir(tmp_path))
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt): scene.replace("fox", scale=3).save(path)
    assert path.read_bytes() == before and sorted(os.listdir(tmp_path)) == files
