"The prompt follows the boxes."
import pytest

from anyms.stickers.world.sprites import nouns
from anyms.widgets.prompt import rewrite_prompt


# the prompt

TOLD = [
    ("a penguin, a hat and a tree on the beach", "penguin hat tree", "penguin hat", "a penguin and a hat on the beach"),
    ("a penguin, a hat and a tree on the beach", "penguin hat tree", "penguin hat tree fox",
     "a penguin, a hat, a tree and a fox on the beach"),
    ("a penguin, a hat and a tree on the beach", "penguin hat tree", "", "on the beach"),
    ("on the beach", "", "owl", "an owl on the beach"),
    ("", "", "owl fox", "an owl and a fox"),
    ("a fox", "fox", "fox fox_2", "two foxes"),
    ("two foxes in the snow", "fox fox_2", "fox", "a fox in the snow"),
    ("a photo of the red fox and a very old hat, studio light", "fox hat", "fox owl", "a photo of the red fox and an owl, studio light"),
    ("a photo of the red fox and a very old hat, studio light", "fox hat", "hat fox owl",
     "a photo of a very old hat, the red fox and an owl, studio light"),
    ("a penguin on a hat on the beach", "penguin hat", "penguin", "a penguin on the beach"),
    ("a penguin on a hat", "penguin hat", "penguin hat fox", "a penguin and a fox on a hat"),
    ("sunset, oil painting", "fox", "fox hat", "a fox and a hat, sunset, oil painting"),
    ("a foxglove and a fox", "fox", "fox hat", "a foxglove and a fox and a hat"),
    ("A Fox at night", "fox", "fox hat", "A Fox and a hat at night"),
    ("a C++ (fox) here", "C++ (fox)", "C++ (fox)|hat", "a C++ (fox) and a hat here"),
]

@pytest.mark.parametrize("prompt, old, new, wanted", TOLD)
def test_the_prompt_follows(prompt, old, new, wanted):
    def names(text): return text.split("|") if "(" in text else [name.replace("_", " ") for name in text.split()]
    assert rewrite_prompt(prompt, names(old), names(new)) == wanted

def test_every_noun_can_come_and_go():
    for noun in nouns():
        told = rewrite_prompt("a penguin on the beach", ["penguin"], ["penguin", noun] if noun != "penguin" else ["penguin"])
        assert noun in told and told.endswith("on the beach")
        assert rewrite_prompt(told, ["penguin", noun], ["penguin"]) == "a penguin on the beach"
