"A player whose prompt follows its boxes."
import base64
import io

import pytest
from PIL import Image

from anyms.widgets.player import play
from anyms.widgets.board import NO_PICTURE
from comparisons import a_layout, added, renamed, same


@pytest.fixture
def player(pipes):
    p = play(pipes("sdxl-plus"), "a fox and a hat in the snow", a_layout(("fox", "hat")), "stickers", rest=.02, num_inference_steps=1)
    assert p.wait(120)
    yield p
    p.close()
    p.wait(120)

def test_a_subject_more_or_less_and_the_prompt_with_it(player):
    added(player.editor, "owl")
    assert player.wait(120) and player.result.settings["prompt"] == "a fox, a hat and an owl in the snow" and not player.error
    player.editor.boxes = player.editor.boxes[1:]
    assert player.wait(120) and player.result.settings["prompt"] == "a hat and an owl in the snow"
    player.editor.undo()
    assert player.wait(120) and player.prompt == "a fox, a hat and an owl in the snow"

def test_a_box_without_a_picture_is_not_in_the_prompt_yet(player):
    added(player.editor, "subject")
    assert player.wait(120) and NO_PICTURE in player.error and player.prompt == "a fox and a hat in the snow"
    renamed(player.editor, "subject", "crown")
    assert player.wait(120) and not player.error and player.prompt == "a fox, a hat and a crown in the snow"

def test_a_prompt_of_ones_own_stays(player):
    player.controls["follow"].value = False
    added(player.editor, "owl")
    assert player.wait(120) and player.prompt == "a fox and a hat in the snow" and "owl" in player.result.layout.names

def test_the_picture_lies_under_the_boxes(player):
    shown = Image.open(io.BytesIO(base64.b64decode(player.editor.picture.split(",")[1])))
    assert same(shown, player.result.image.convert("RGB"))
