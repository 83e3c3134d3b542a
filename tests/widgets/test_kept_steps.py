"The pictures of single steps that `compare` keeps for the explorer."
import pytest

from anyms.pipeline import Comparison
from anyms.pipeline.comparison import compare
from anyms.pipeline.generation import generate
from anyms.widgets.explorer import explore
from comparisons import a_layout, same


def test_film_ends_with_the_picture_and_goes_round(pipes, tmp_path):
    runs = compare(pipes("sdxl-plus"), "fox hat", a_layout(("fox", "hat")), variants=("full",), num_inference_steps=3, progress=False)
    r = runs["full", 0]
    assert len(r.step_images) == 3 and same(r.step_images[-1], r.image) and not same(r.step_images[0], r.image)
    opened = Comparison.load(runs.save(tmp_path/"runs"))["full", 0]
    assert len(opened.step_images) == 3 and all(map(same, opened.step_images, r.step_images))
    assert explore(opened).facts["steps"] == [0, 1, 2]
    (tmp_path/"runs"/"full-0"/"step_images.png").write_bytes(b"cut")
    with pytest.raises(ValueError, match="step_images.png"): Comparison.load(tmp_path/"runs")

def test_filming_changes_nothing_and_leaves_other_callbacks_alone(pipes):
    seen, pipe, layout = [], pipes("sd15-plain"), a_layout(("fox", "hat"))
    def own(pipe, step, timestep, inputs):
        seen.append(step)
        return inputs
    plain = generate(pipe, "fox", layout, num_inference_steps=2, progress=False)
    filmed = generate(pipe, "fox", layout, num_inference_steps=2, progress=False, step_images=True, callback_on_step_end=own)
    assert same(plain.image, filmed.image) and seen == [0, 1] and plain.step_images is None and len(filmed.step_images) == 2
