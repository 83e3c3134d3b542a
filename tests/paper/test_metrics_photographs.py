"Photographs: tiny random nets in the published layouts, end to end, and parts whose answers are known."

import math

import numpy as np
from PIL import Image
import pytest
import torch
import torch.nn.functional as F

from anyms.layout.boxes import Box
from anyms.paper.cases.case import Case, CaseSubject
from anyms.paper.metrics import dreamsim as dreamsim_module
from anyms.paper.metrics.checkpoints import CHECKPOINTS, how_to_fetch, missing_files, open_checkpoint
from anyms.paper.metrics.detector import FLOOR, THRESHOLD, GroundingDino, suppress
from anyms.paper.metrics.dreamsim import DREAMSIM_ABSENT, open_dreamsim
from anyms.paper.metrics.embedders import Clip, Dino
from anyms.paper.metrics.masks import Sam, cut_by_mask, find_cutout, on_white, pixel_place, reference_crop
from anyms.paper.metrics.photo_rows import PhotoJudge, PhotoParts
from anyms.paper.metrics.registry import IDENTITY, METRICS, available, measure
from anyms.paper.metrics.rows import TABLES, Seen, judge_pictures
from judging_nets import save_all, save_tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_all(tmp_path_factory.mktemp("checkpoints"))

def picture(size=(90, 60), seed=0):
    noise = np.random.default_rng(seed).integers(0, 255, (6, 9, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


class Photo:
    "A reference of one colour on grey; with a mask or without."
    def __init__(self, noun, shade, mask=True):
        self.noun, self.shade, self.mask = noun, shade, mask
    @property
    def key(self): return self.noun
    def picture(self):
        page = Image.new("RGB", (40, 40), "#888888")
        page.paste(self.shade, (10, 5, 30, 35))
        return page
    def cutout(self):
        if not self.mask: raise ValueError("no mask")
        page = self.picture().convert("RGBA")
        inside = Image.new("L", page.size)
        inside.paste(255, (10, 5, 30, 35))
        page.putalpha(inside)
        return page
    def photos(self, n=5): return [(self.picture(), f"a photo of a {self.noun}")]*n
    def to_json(self): return dict(noun=self.noun)

FOX, HAT = Box(.1, .3, .5, .9), Box(.5, .1, .9, .5)

def case_of(*subjects):
    return Case("p1", "a fox and a hat in a park", tuple(CaseSubject(name, reference, box) for name, reference, box in subjects), "a park")

@pytest.fixture
def case(): return case_of(("fox", Photo("fox", "#e08030"), FOX), ("hat", Photo("hat", "#3040e0"), HAT))


# -- checkpoints ---------------------------------------------------------------------------------------------------------------------
def test_what_is_missing_is_told_in_one_sentence_before_anything_is_opened(tmp_path, monkeypatch):
    monkeypatch.setattr("anyms.paper.metrics.photo_rows.open_checkpoint", lambda *_: pytest.fail("opened"))
    with pytest.raises(FileNotFoundError, match="hf download IDEA-Research/grounding-dino-base config.json") as error: PhotoJudge(tmp_path)
    assert "facebook/dino-vits16" in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match="grounding-dino-tiny.*sam-vit-base"): PhotoJudge(tmp_path, small=True)

def test_nothing_of_the_hub_is_in_this_cache_and_that_is_told_too(tmp_path, monkeypatch):
    monkeypatch.setattr("anyms.paper.metrics.checkpoints.try_to_load_from_cache", lambda *_: None)
    with pytest.raises(FileNotFoundError, match=r"`hf download facebook/sam-vit-huge config.json preprocessor_config.json model.safetensors`"):
        open_checkpoint("masks")

def test_the_hubs_cache_is_looked_into(folder, monkeypatch):
    place = folder/"dino-vits16"
    monkeypatch.setattr("anyms.paper.metrics.checkpoints.try_to_load_from_cache", lambda repository, file: str(place/file))
    assert missing_files("dino_v1") == [] and type(open_checkpoint("dino_v1").model).__name__ == "ViTModel"

def test_one_missing_file_is_named_alone(folder, tmp_path):
    save_tiny("dino_v2", tmp_path)
    (tmp_path/"dinov2-base"/"model.safetensors").unlink()
    assert missing_files("dino_v2", tmp_path) == ["model.safetensors"]
    assert how_to_fetch(["dino_v2"], tmp_path).count("json") == 0
    assert how_to_fetch(CHECKPOINTS, folder) == ""

def test_damaged_and_unknown_ones(tmp_path):
    save_tiny("dino_v2", tmp_path)
    (tmp_path/"dinov2-base"/"model.safetensors").write_bytes(b"half a file")
    with pytest.raises(OSError, match="facebook/dinov2-base: transformers cannot open it .*fetch its files again"): open_checkpoint("dino_v2", tmp_path)
    with pytest.raises(ValueError, match="did you mean 'dino_v2'"): open_checkpoint("dinov2", tmp_path)


# -- the detector --------------------------------------------------------------------------------------------------------------------
def test_suppress_is_the_plain_greedy_one():
    rng = torch.Generator().manual_seed(0)
    low = torch.rand(40, 2, generator=rng)*.6
    box, score = torch.cat([low, low + .3 + .1*torch.rand(40, 2, generator=rng)], 1), torch.rand(40, generator=rng)
    def iou(a, b):
        wide, high = (max(0., min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
        area = [(x[2] - x[0])*(x[3] - x[1]) for x in (a, b)]
        return wide*high/(sum(area) - wide*high)
    kept = []
    for k in sorted(range(40), key=lambda k: -float(score[k])):
        if all(iou(box[k].tolist(), box[j].tolist()) <= .6 for j in kept): kept.append(k)
    found = suppress(Seen(box, score))
    assert torch.equal(found.box, box[kept]) and torch.equal(found.score, score[kept]) and len(kept) < 40
    assert len(suppress(Seen(box[:0], score[:0]))) == 0

@pytest.mark.parametrize("size", [(90, 60), (50, 70)])
def test_the_detector_says_what_transformers_own_code_says(folder, size):
    from transformers import GroundingDinoProcessor
    opened, image = open_checkpoint("detector", folder), picture(size)
    theirs = GroundingDinoProcessor(opened.images, opened.tokenizer)
    inputs = theirs(images=image, text="teddy bear.", return_tensors="pt")
    with torch.no_grad(): outputs = opened.model(**inputs)
    expected = theirs.post_process_grounded_object_detection(outputs, threshold=FLOOR, target_sizes=[(1, 1)])[0]
    raw = GroundingDino(opened).raw(image, "Teddy bear").above(FLOOR)
    assert len(raw) == len(expected["scores"]) > 3
    assert torch.allclose(raw.score, expected["scores"]) and torch.allclose(raw.box, expected["boxes"].clamp(0, 1), atol=1e-6)
    found = GroundingDino(opened)(image, ["teddy bear", "fox", "fox"])
    assert list(found) == ["teddy bear", "fox"] and (found["fox"].score.diff() <= 0).all()


# -- masks ---------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [(90, 60), (50, 70)])
def test_sam_gets_boxes_in_its_own_pixels(folder, size):
    opened, image = open_checkpoint("masks", folder), picture(size)
    box, told = torch.tensor([[.1, .2, .6, .9], [0., 0., 1., 1.]]), []
    opened.model.prompt_encoder.register_forward_pre_hook(lambda module, args, kw: told.append(kw["input_boxes"]), with_kwargs=True)
    masks = Sam(opened)(image, box)
    assert masks.shape == (2, size[1], size[0]) and masks.dtype == torch.bool
    scale = 64/max(size)
    wide, high = round(size[0]*scale), round(size[1]*scale)
    assert torch.allclose(told[0][0], box*torch.tensor([wide, high, wide, high]))
    assert Sam(opened)(image, box[:0]).shape == (0, size[1], size[0])

def test_on_white_keeps_the_aspect_and_leaves_a_margin():
    cut = Image.new("RGBA", (20, 40), "#ff0000ff")
    page = np.asarray(on_white(cut))
    red = (page == [255, 0, 0]).all(2)
    assert page.shape == (44, 44, 3) and red.sum() == 800
    rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (2, 41, 12, 31)

def test_a_mask_cuts_inside_its_box_and_an_empty_one_cuts_nothing():
    image, box = picture((80, 40)), torch.tensor([.25, .25, .75, .75])
    mask = torch.zeros(40, 80, dtype=torch.bool)
    assert cut_by_mask(image, box, mask).getchannel("A").getextrema() == (255, 255)
    mask[15:25, 0:50] = True
    cut = cut_by_mask(image, box, mask)
    assert cut.size == (40, 20) and int((np.asarray(cut)[..., 3] > 0).sum()) == 10*30

@pytest.mark.parametrize("box", [(0, 0, 1, 1), (.999, .999, 1, 1), (.5, .5, .5, .5), (1, 1, 1, 1)])
def test_every_box_has_a_pixel(box):
    left, top, right, bottom = pixel_place(torch.tensor(box, dtype=torch.float), (33, 17))
    assert 0 <= left < right <= 33 and 0 <= top < bottom <= 17

def test_a_reference_without_a_mask_is_cut_out_like_a_picture():
    truth = torch.tensor([[.25, .125, .75, .875]])
    def detector(image, nouns): return {noun: Seen(truth, torch.tensor([.9])) for noun in nouns}
    def masks(image, box):
        grey = (np.asarray(image) == 0x88).all(2)
        return torch.from_numpy(~grey)[None]
    given, found = (reference_crop(Photo("fox", "#e08030", mask), "fox", detector, masks) for mask in (True, False))
    assert given.size == (44, 44) and np.asarray(found).shape[0] < 44       # its own cutout keeps its paper; ours is cut to the box
    trim = [np.asarray(x)[(np.asarray(x) != 255).any(2)] for x in (given, found)]
    assert len(trim[0]) == len(trim[1]) == 600 and (trim[0] == trim[1]).all()
    nowhere = find_cutout(Photo("fox", "red").picture(), "fox", lambda i, n: {"fox": Seen(torch.zeros(0, 4), torch.zeros(0))}, masks)
    assert nowhere.size == (40, 40)


# -- embedders -----------------------------------------------------------------------------------------------------------------------
def test_clip_is_transformers_own_cosine(folder):
    opened = open_checkpoint("clip_b32", folder)
    images, clip = [picture((40, 40), seed) for seed in (1, 2)], Clip(opened)
    words = opened.tokenizer(["ab"], return_tensors="pt")
    with torch.no_grad(): outputs = opened.model(**words, **opened.images(images=images, return_tensors="pt"))
    theirs = 100*outputs.logits_per_image[:, 0]/opened.model.logit_scale.exp()
    assert torch.allclose(torch.tensor(clip.fits(images, "ab")), theirs, atol=1e-4)
    assert torch.allclose(clip(images), outputs.image_embeds, atol=1e-6)
    assert len(clip.fits(images, "ab "*500)) == 2                                 # longer than it can read

@pytest.mark.parametrize("name", ["dino_v1", "dino_v2"])
def test_dino_is_the_cls_token(folder, name):
    opened = open_checkpoint(name, folder)
    images = [picture((40, 40), seed) for seed in (1, 2)]
    with torch.no_grad(): states = opened.model(**opened.images(images=images, return_tensors="pt")).last_hidden_state
    vectors = Dino(opened)(images)
    assert torch.allclose(vectors, F.normalize(states[:, 0], dim=-1), atol=1e-6) and float((vectors[0] @ vectors[1])) < .9999
    if name == "dino_v1": assert opened.model.pooler is None


# -- DreamSim ------------------------------------------------------------------------------------------------------------------------
def test_without_dreamsim_there_is_a_sentence(monkeypatch):
    monkeypatch.setattr(dreamsim_module, "find_spec", lambda name: None)
    assert open_dreamsim() == (None, DREAMSIM_ABSENT)

def test_one_minus_dreamsims_distance(monkeypatch, tmp_path):
    class Fake:
        "Its embedding drops the batch's axis, as the package's does."
        def embed(self, x): return F.avg_pool2d(x, 8).flatten() - .5
        def __call__(self, a, b): return 1 - F.cosine_similarity(self.embed(a), self.embed(b), dim=-1)
    def preprocess(image): return torch.tensor(np.asarray(image.resize((32, 32)))).permute(2, 0, 1)[None]/255
    class Package:
        @staticmethod
        def dreamsim(pretrained, device, cache_dir): return Fake(), preprocess
    monkeypatch.setattr(dreamsim_module, "find_spec", lambda name: True)
    monkeypatch.setattr(dreamsim_module, "import_module", lambda name: Package)
    found, why_not = open_dreamsim(tmp_path)
    a, b = picture((40, 40), 1), picture((40, 40), 2)
    vectors = found([a, b])
    assert why_not == "" and float(vectors[0] @ vectors[1]) == pytest.approx(1 - float(Fake()(preprocess(a), preprocess(b))), abs=1e-6)
    monkeypatch.setattr(dreamsim_module, "import_module", lambda name: 1/0)
    found, why_not = open_dreamsim(tmp_path)
    assert found is None and "cannot be opened (division by zero)" in why_not


# -- the whole judge, on nets ----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def judge(folder): return PhotoJudge(folder, device="cpu")

def test_end_to_end_on_tiny_nets(judge, case):
    images = [picture(seed=seed) for seed in (1, 2)]
    tables = judge_pictures(judge, case, images, [7, 9])
    subjects, detections, scores = (tables[name] for name in TABLES)
    assert subjects.shape[0] == 4 and subjects.seed.tolist() == [7, 7, 9, 9] and subjects.name.tolist() == ["fox", "hat"]*2
    assert set(scores.metric) == {"clip_t_b32", "clip_t_l14"} and len(scores) == 4 and scores.value.abs().max() <= 100
    assert len(detections) and (detections.score >= FLOOR).all() and ((detections[["x0", "y0", "x1", "y1"]] >= 0).all(axis=None))
    assert ((subjects.score >= THRESHOLD) == (subjects.found == 1)).all() and subjects.notna().all(axis=None) == bool(subjects.found.all())
    for name in set(IDENTITY) - {"dreamsim"}: assert (subjects[name].abs() <= 100.001).all() and f"{name}_margin" in subjects
    assert judge.notes == [DREAMSIM_ABSENT] and "dreamsim" not in subjects and "dreamsim" not in available(tables)
    again = judge_pictures(judge, case, images, [7, 9])
    assert all(tables[name].equals(again[name]) for name in TABLES)

def test_the_judges_name_is_its_weights(judge, folder):
    assert judge.name == PhotoJudge(folder, device="cpu").name
    other = PhotoJudge(folder, device="cpu")
    with torch.no_grad(): next(other.parts.modules[1].parameters()).add_(.1)
    assert other.name != judge.name and f"threshold {THRESHOLD}" in judge.name


# -- the whole judge, on parts whose answers are known -----------------------------------------------------------------------------------
SHADES = dict(fox=(224, 128, 48), hat=(48, 64, 224))

def by_shade(image, nouns):
    "A detector that knows colours: every patch of a noun's shade is one; score .9, what lies more to the right is less sure."
    pixels, found = np.asarray(image).astype(int), {}
    for noun in dict.fromkeys(nouns):
        near = (np.abs(pixels - SHADES[noun]).max(2) < 12)
        columns = np.flatnonzero(near.any(0))
        groups = [g for g in np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1) if len(g)]
        box = []
        for g in groups:
            rows = np.flatnonzero(near[:, g].any(1))
            box.append([g[0]/image.width, rows[0]/image.height, (g[-1] + 1)/image.width, (rows[-1] + 1)/image.height])
        found[noun] = Seen(torch.tensor(box).reshape(-1, 4).float(), torch.tensor([.9 - .1*k for k in range(len(box))]))
    return found

def whole_box(image, box): return torch.ones(len(box), image.height, image.width, dtype=torch.bool)

def mean_shade(images):
    "An embedder that knows nothing but the mean colour that is not white."
    each = [np.asarray(image).astype(float).reshape(-1, 3) for image in images]
    means = [x[(x < 250).any(1)].mean(0) if (x < 250).any() else np.ones(3) for x in each]
    return F.normalize(torch.tensor(np.stack(means)).float(), dim=-1)

@pytest.fixture
def known(): return PhotoJudge(parts=PhotoParts(by_shade, whole_box, dict(clip_i_b32=mean_shade), {}))

def paint(*things, size=(100, 100)):
    page = Image.new("RGB", size, "#d8ead8")
    for noun, box in things:
        x0, y0, x1, y1 = (round(v*s) for v, s in zip(box, (*size, *size)))
        page.paste(SHADES[noun], (x0, y0, x1, y1))
    return page

def judged(known, case, *pictures):
    tables = judge_pictures(known, case, list(pictures), range(len(pictures)))
    return tables, {name: float(measure(name, tables)[0]) for name in available(tables)}

def test_a_true_picture_has_full_marks(known, case):
    tables, values = judged(known, case, paint(("fox", FOX), ("hat", HAT)))
    assert values["mIoU"] == values["mIoU_any"] == values["AP50"] == values["coverage"] == values["hit50"] == 1
    assert values["clip_i_b32"] == pytest.approx(100, abs=.01) and values["clip_i_b32_margin"] > 30
    assert tables["scores"].empty and "clip_t_b32" not in values

def test_what_is_missing_is_nought_and_left_out_of_found_only(known, case):
    shifted = (.1, .3, .5, .6)                                                   # half of the fox: IoU one half
    tables, values = judged(known, case, paint(("fox", shifted)))
    assert values["mIoU"] == pytest.approx(.25) and values["mIoU_found"] == pytest.approx(.5) and values["coverage"] == .5
    assert values["clip_i_b32"] == pytest.approx(50, abs=.1) and values["clip_i_b32_found"] == pytest.approx(100, abs=.1)
    assert tables["subjects"].x0.isna().tolist() == [False, True]

def test_nothing_at_all(known, case):
    tables, values = judged(known, case, paint())
    assert values["mIoU"] == values["AP50"] == values["coverage"] == values["clip_i_b32"] == 0 and "mIoU_found" not in values
    assert tables["detections"].empty

def test_equal_nouns_are_dealt_out_one_to_one(known):
    left, right, third = Box(0, .2, .3, .8), Box(.35, .2, .65, .8), Box(.7, .2, 1, .8)
    foxes = case_of(("right fox", Photo("fox", SHADES["fox"]), right), ("left fox", Photo("fox", SHADES["fox"]), left))
    _, both = judged(known, foxes, paint(("fox", left), ("fox", right)))
    assert both["mIoU"] == 1 and both["AP50"] == 1
    tables, one = judged(known, foxes, paint(("fox", left)))
    assert one["mIoU"] == .5 and tables["subjects"].found.tolist() == [0, 1]      # never one box for both
    _, many = judged(known, foxes, paint(("fox", left), ("fox", right), ("fox", third)))
    assert many["mIoU"] == 1 and many["AP50"] == 1                                # the third is the least sure: it costs nothing
    assert many["hit50"] == 1

def test_a_mixture_is_like_both_and_nobody_in_particular(known, case):
    shades = {**SHADES}
    mixed = tuple((a + b)//2 for a, b in zip(shades["fox"], shades["hat"]))
    page = paint()
    for box in (FOX, HAT): page.paste(mixed, tuple(round(v*100) for v in box))
    boxes = dict(fox=Seen(torch.tensor([list(FOX)]), torch.tensor([.9])), hat=Seen(torch.tensor([list(HAT)]), torch.tensor([.9])))
    blind = PhotoJudge(parts=PhotoParts(lambda image, nouns: {n: boxes[n] for n in nouns}, whole_box, dict(clip_i_b32=mean_shade), {}))
    _, apart = judged(blind, case, paint(("fox", FOX), ("hat", HAT)))
    _, together = judged(blind, case, page)
    assert together["clip_i_b32"] > 75 and abs(together["clip_i_b32_margin"]) < 6 < 30 < apart["clip_i_b32_margin"]

def test_bad_cases_have_sentences(known, case):
    with pytest.raises(ValueError, match="1 pictures for 2 seeds"): judge_pictures(known, case, [paint()], [1, 2])
    with pytest.raises(ValueError, match="'p1' has no subjects"): known(case_of(), [paint()])
    with pytest.raises(TypeError, match="case must be an anyms.paper.cases.Case, not str"): judge_pictures(known, "2a", [], [])

def test_every_figure_has_a_column(known, case):
    assert all(math.isfinite(measure(name, judged(known, case, paint(("fox", FOX)))[0])[0]) for name in ("mIoU", "AP50", "AP50_any"))
    assert {f"{name}{end}" for name in IDENTITY for end in ("", "_found", "_margin")} <= set(METRICS)
