"The judge: its arithmetic against slow and plain versions, its layouts, its figures, its weights, and an evaluation that is interrupted."
import itertools, json
from types import SimpleNamespace
import numpy as np, pandas as pd, pytest, torch
from hypothesis import given, settings, strategies as st
from PIL import Image
from anyms.stickers import judge as J
from anyms.stickers.judge import (GALLERY, Detector, Embedder, Judge, as_layout, average_precision, best_pairs, bootstrap, ceiling, crops, detect, difference, evaluate, fit,
                                  gallery, giou, held_out_layouts, identity_batch, load_judge, pairwise_iou, save_judge, scenes_of, summary, targets,
                                  verdict_sheet, wide, worn, worst_cover)
from anyms.stickers.world import CORE, PLACES, SIZES, nouns, paint, scenes, sprites

torch.manual_seed(0)


@pytest.fixture(scope="module")
def judge(): return load_judge()

@pytest.fixture(scope="module")
def fresh():
    torch.manual_seed(0)
    return Judge(Detector(), Embedder())

@pytest.fixture(scope="module")
def truth(): return held_out_layouts(36)

@pytest.fixture(scope="module")
def rows(judge, truth): return ceiling(judge, truth)


# --- boxes ---------------------------------------------------------------------------------------------------------------------------
A, B = torch.tensor([[0., 0, 2, 2]]), torch.tensor([[1., 1, 3, 3]])

def test_iou_by_hand():
    assert pairwise_iou(A, B).item() == pytest.approx(1/7)
    assert giou(A, B).item() == pytest.approx(1/7-2/9)
    assert giou(A, A).item() == 1
    assert giou(A, A+5).item() < -.5
    assert pairwise_iou(torch.zeros(0, 4), B).shape == (0, 1)

@given(st.integers(0, 6), st.integers(1, 4), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_best_pairs_is_the_optimum(k, s, seed):
    iou = torch.rand(k, s, generator=torch.Generator().manual_seed(seed)); iou[iou < .3] = 0
    padded = torch.cat([iou, torch.zeros(s, s)])
    best = max(sum(padded[i, j].item() for j, i in enumerate(p)) for p in itertools.permutations(range(k+s), s))
    pairs = best_pairs(iou)
    assert sum(pairs) == pytest.approx(best, abs=1e-6) and len(pairs) == s

def test_targets_have_one_peak_per_sticker_and_own_its_middle():
    box = torch.tensor([[[.1, .1, .4, .4], [.5, .5, 1., 1.], [0., 0, 1, 1]]])
    heat, owner, cells_ = targets(box, torch.tensor([[True, True, False]]), (16, 16))
    assert (heat == 1).sum() == 2 and heat[0, 4, 4] == 1 and heat[0, 12, 12] == 1
    assert set(owner.unique().tolist()) == {-1, 0, 1} and owner[0, 4, 4] == 0 and owner[0, 12, 12] == 1
    assert (cells_[0, 0] == box[0, 0]*16).all()
    assert (targets(box, torch.zeros(1, 3, dtype=torch.bool), (16, 16))[1] == -1).all()

def test_targets_of_a_sticker_at_the_very_edge_stay_inside():
    heat, owner, _ = targets(torch.tensor([[[.97, .97, 1., 1.]]]), torch.ones(1, 1, dtype=torch.bool), (16, 24))
    assert heat[0, 15, 23] == 1 and owner[0, 15, 23] == 0


# --- detector ------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("h, w", [(64, 64), (64, 100), (68, 36), (4, 4), (128, 96)])
def test_detector_takes_any_multiple_of_four(fresh, h, w):
    heat, edges, features, place = fresh.detector(torch.rand(2, 3, h, w))
    assert heat.shape == (2, h//4, w//4) and edges.shape == (2, h//4, w//4, 4) and features.shape[:3] == heat.shape and place.shape == (2, 10)
    assert (edges > 0).all()

class Planted(torch.nn.Module):
    "A detector that answers what it is told."
    def __init__(self, grid, peaks):
        super().__init__()
        self.grid, self.peaks = grid, peaks
    def noun(self, features): return 20.*torch.nn.functional.one_hot(features[:, 0].long(), len(nouns())).float()
    def forward(self, x):
        gh, gw = self.grid; b = len(x)
        heat, edges, features = torch.full((b, gh, gw), -9.), torch.ones(b, gh, gw, 4), torch.zeros(b, gh, gw, 1)
        for y, x_, logit, ltrb, noun in self.peaks: heat[:, y, x_], edges[:, y, x_], features[:, y, x_] = logit, torch.tensor(ltrb), noun
        return heat, edges, features, torch.zeros(b, 10)

def test_decoding_reads_box_and_noun_and_drops_doubles():
    net = Planted((8, 16), [(4, 4, 3., (2.5, 2.5, 2.5, 1.5), 7), (4, 6, 1., (4.5, 2.5, .5, 1.5), 8), (4, 8, .5, (4.5, 2.5, .5, 1.5), 7), (1, 12, 0., (.5, .5, 9., .5), 9), (7, 15, -5., (1., 1, 1, 1), 3)])
    found, = detect(net, torch.zeros(1, 3, 32, 64))
    assert len(found) == 2                                            # the second and third repeat the first, the last is too weak
    assert torch.allclose(found.box[0], torch.tensor([2/16, 2/8, 7/16, 6/8]))
    assert found.box[1, 2] == 1                                       # cut at the picture's edge
    assert found.noun.argmax(1).tolist() == [7, 9] and found.score[0] > found.score[1]
    assert len(detect(net, torch.zeros(1, 3, 32, 64), overlap=1.)[0]) == 4 and len(detect(net, torch.zeros(1, 3, 32, 64), overlap=.9)[0]) == 3
    assert nouns()[7] in repr(found)

def test_one_training_step_lowers_the_loss_of_its_own_batch():
    torch.manual_seed(0)
    net = Detector(); what = scenes(8, seed=4, stickers=(0, 3)); x = paint(what)
    optimiser = torch.optim.Adam(net.parameters(), 1e-3); losses = []
    for _ in range(6):
        loss = J.detector_loss(net, x, what); losses.append(loss.item())
        optimiser.zero_grad(); loss.backward(); optimiser.step()
    assert losses[-1] < .8*losses[0]

def test_scenes_without_stickers_are_a_lesson_too():
    what = scenes(4, seed=4, stickers=(0, 0))
    assert J.detector_loss(Detector(), paint(what), what).isfinite()


# --- embedder ------------------------------------------------------------------------------------------------------------------------
def test_embeddings_are_unit_vectors(fresh):
    v = fresh.embedder(torch.rand(5, 3, 32, 32))
    assert v.shape == (5, 64) and torch.allclose(v.norm(dim=1), torch.ones(5), atol=1e-5)

def test_crops_are_square_and_centred():
    x = torch.zeros(1, 3, 64, 96); x[:, 0, 16:32, 24:48] = 1          # a red box, 16 high, 24 wide
    crop = crops(x, torch.tensor([0]), torch.tensor([[24/96, 16/64, 48/96, 32/64]]), margin=1.)[0]
    assert crop.shape == (3, 32, 32) and crop[0, 16, 1:-1].min() > .9   # full width
    assert crop[0, :4].max() < .1 and crop[0, -4:].max() < .1           # bands above and below: the aspect is kept
    edge = crops(torch.ones(1, 3, 64, 64), torch.tensor([0]), torch.tensor([[.8, .8, 1., 1.]]))
    assert (edge > .99).all()                                          # beyond the picture its border goes on

def test_identity_batch_holds_every_drawing_of_its_nouns():
    what = identity_batch(3, groups=6, per=1)
    names = [sprites()[i].noun for i in what.sprite[:, 0].tolist()]
    assert len(set(names)) == 6
    for n in set(names): assert names.count(n) == sum(s.noun == n for s in sprites())
    assert (what.box >= -1e-6).all() and (what.box <= 1+1e-6).all()
    side = (what.box[..., 2:]-what.box[..., :2])[:, 0]
    cell = torch.tensor([sprites()[i].cell[2:] for i in what.sprite[:, 0].tolist()]).float()
    assert torch.allclose(side[:, 0]/side[:, 1], cell[:, 0]/cell[:, 1], atol=1e-3)
    assert torch.equal(identity_batch(3, groups=6).sprite, identity_batch(3, groups=6).sprite)

def test_worn_pictures_stay_pictures():
    x = paint(scenes(6, seed=1)); y = worn(x, torch.Generator().manual_seed(0), 1.)
    assert y.shape == x.shape and y.min() >= 0 and y.max() <= 1 and .005 < (x-y).abs().mean() < .2
    assert torch.equal(worn(x, torch.Generator().manual_seed(0), 0.), x)


# --- layouts -------------------------------------------------------------------------------------------------------------------------
def test_layouts_are_reproducible_and_longer_sets_begin_alike():
    assert held_out_layouts(30)[:10] == held_out_layouts(10)
    assert held_out_layouts(4, seed=1) != held_out_layouts(4, seed=2)
    assert json.loads(json.dumps(held_out_layouts(3))) == held_out_layouts(3)
    assert len({t["id"] for t in held_out_layouts(200)}) == 200

@pytest.mark.parametrize("overlapping", [True, False, None])
def test_layouts_overlap_as_they_say(overlapping):
    some = held_out_layouts(60, overlapping=overlapping, hue=.5)
    assert {t["overlapping"] for t in some} == ({True, False} if overlapping is None else {overlapping})
    for t in some:
        worst = worst_cover(torch.tensor([t["boxes"]])).item()
        assert .149 < worst < .601 if t["overlapping"] else worst == 0
        assert len(t["nouns"]) == len(set(t["nouns"])) == len(t["boxes"]) == len(t["sprites"]) == len(t["hue"]) and 2 <= len(t["nouns"]) <= 4
        assert all(nouns().index(n) < CORE for n in t["nouns"]) and t["place"] in [p.name for p in PLACES[:4]]
        assert all(n in t["prompt"] for n in t["nouns"])
        low, high = SIZES[len(t["nouns"])]
        assert all(low-1e-3 <= max(b[2]-b[0], b[3]-b[1]) <= high+1e-3 for b in t["boxes"])
    assert {len(t["nouns"]) for t in some} == {2, 3, 4}

def test_layouts_of_held_out_parts_only():
    assert all(sprites()[k].split == "noun" for t in held_out_layouts(6, words=155, splits=("noun",)) for k in t["sprites"])
    assert all(sprites()[k].split == "drawing" for t in held_out_layouts(6, splits=("drawing",)) for k in t["sprites"])

@pytest.mark.parametrize("kw, words", [
    (dict(overlapping="yes"), "overlapping='yes': give True, False or None"),
    (dict(splits=("test",)), "splits=('test',): choose from train, drawing, noun"),
    (dict(splits=()), "choose from train"),
    (dict(overlapping=True, subjects=(1, 2)), "one subject cannot overlap"),
    (dict(subjects=(2, 9)), "subjects"),
    (dict(subjects=(3, 2)), "subjects"),
    (dict(words=1), "only 1 nouns are left"),
])
def test_layouts_refuse_bad_wishes(kw, words):
    with pytest.raises(ValueError) as e: held_out_layouts(4, **kw)
    assert words in str(e.value)

def test_true_scenes_are_those_the_layouts_describe(truth):
    what = scenes_of(truth)
    assert what.nouns(0) == truth[0]["nouns"] and (what.sprite[0, len(truth[0]["nouns"]):] == -1).all()
    assert torch.allclose(what.box[1, :len(truth[1]["boxes"])], torch.tensor(truth[1]["boxes"]))
    assert paint(what[:4]).isfinite().all()

def test_as_layout(truth):
    layout = as_layout(truth[1])
    assert list(layout.names) == truth[1]["nouns"] and list(layout.order) == list(range(len(layout)))
    assert torch.allclose(torch.tensor([list(b) for b in layout.boxes]), torch.tensor(truth[1]["boxes"]))
    assert all(i.size == (96, 96) and i.getpixel((0, 0)) == (255, 255, 255) for i in layout.images)

def test_gallery_holds_every_other_drawing_of_the_noun(truth):
    for t in truth[:6]:
        for j, noun in enumerate(t["nouns"]):
            pick = gallery(t, j).tolist()
            assert len(set(pick)) == GALLERY and pick[0] == t["sprites"][j]
            assert {i for i, s in enumerate(sprites()) if s.noun == noun} <= set(pick)
            assert pick == gallery(t, j).tolist()


# --- missing and ghosts --------------------------------------------------------------------------------------------------------------
def seen(*what):
    "Detections of (noun, box, score)."
    noun = torch.nn.functional.one_hot(torch.tensor([nouns().index(n) for n, *_ in what], dtype=torch.long), len(nouns())).float()
    return J.Detections(torch.tensor([b for _, b, _ in what]).view(-1, 4), torch.tensor([s for *_, s in what]), noun, torch.zeros(10))

HOME, AWAY = (.1, .1, .5, .5), (.6, .6, .9, .9)

@pytest.mark.parametrize("what, missing, ghost", [
    ([("fox", HOME, .9)], False, False),
    ([], True, False),
    ([("cat", HOME, .9)], True, False),                                # somebody else stands there
    ([("fox", HOME, .1)], True, False),                                # too weak to count as seen
    ([("fox", AWAY, .9)], True, True),
    ([("fox", HOME, .9), ("fox", AWAY, .8)], False, True),
    ([("fox", (.1, .1, .5, .89), .9)], False, False),                  # a little more than half of it is inside
    ([("fox", (.1, .1, .5, .91), .9)], True, True),                    # a little less
    ([("fox", (0., 0., 1., 1.), .9)], True, True),                     # as large as the picture: not in its box
    ([("cat", AWAY, .9)], True, False),                                # of a noun that nobody named
])
def test_missing_and_ghosts(what, missing, ghost):
    m, g = J.astray(seen(*what), dict(nouns=["fox"], boxes=[HOME]))
    assert (m.tolist(), g.tolist()) == ([missing], [ghost])

def test_share_inside_by_hand():
    box = torch.tensor([[0., 0, 1, 1], [0., 0, 0, 1]])                 # the second is empty
    assert J.share_inside(box, torch.tensor([[.5, 0, 2, .5]])).tolist() == [[.25], [0.]]

def test_the_judge_counts_pictures_once(judge):
    truth = held_out_layouts(8, subjects=(2, 2), overlapping=False)
    gone = [t | dict(boxes=[t["boxes"][1], t["boxes"][0]]) for t in truth]   # true pictures, asked for swapped boxes: everybody is away
    rows = judge(paint(scenes_of(truth)), gone)
    value = bootstrap(rows, n=20).set_index("figure").value
    assert value.missing > .9 and value.incomplete == 1 and value.ghost > .8 and value.stands > .7
    own = bootstrap(judge(paint(scenes_of(truth)), truth), n=20).set_index("figure").value
    assert own.missing < .1 and own.ghost < .1 and own.incomplete >= own.missing

def test_lost_is_what_the_judge_would_have_seen():
    rows = pd.concat([plain_rows([.9]*4).assign(missing=1.)], ignore_index=True); top = rows.assign(missing=[0., 0, 1, 1]*2)
    told = bootstrap(J.with_lost(rows, top), n=20).set_index("figure").value
    assert told.missing == 1 and told.lost == 1                        # of two that the judge sees, both are missing
    kept = J.with_lost(rows.assign(missing=[0., 1, 1, 1]*2), top)
    assert bootstrap(kept, n=20).set_index("figure").value.lost == .5
    assert bootstrap(J.with_lost(top, top), n=20).set_index("figure").value.lost == 0


# --- figures -------------------------------------------------------------------------------------------------------------------------
def slow_ap(score, hit, total):
    "Area under the envelope, the plain way."
    order = sorted(range(len(score)), key=lambda i: -score[i]); points, right = [], 0
    for n, i in enumerate(order, 1):
        right += hit[i]; points.append((right/total, right/n))
    area, last = 0., 0.
    for k, (recall, _) in enumerate(points): area += (recall-last)*max(p for _, p in points[k:]); last = recall
    return area

@given(st.integers(0, 20), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_average_precision_is_the_plain_one(k, seed):
    rng = np.random.default_rng(seed); score, hit = rng.permutation(k)/20, (rng.random(k) < .5).astype(float); total = hit.sum()+2
    assert average_precision(score, hit, np.ones((1, k)), np.array([total]))[0] == pytest.approx(slow_ap(score, hit, total))

def test_a_weight_of_two_is_a_detection_seen_twice():
    score, hit = np.array([.9, .8, .7]), np.array([1., 0, 1])
    twice = average_precision(score, hit, np.array([[2., 1, 1]]), np.array([3.]))
    assert twice == pytest.approx(slow_ap([.9, .9, .8, .7], [1, 1, 0, 1], 3))
    assert np.isnan(average_precision(score, hit, np.ones((1, 3)), np.zeros(1)))[0]

def plain_rows(iou):
    "One subject and one hit per layout."
    s = pd.DataFrame([dict(kind="subject", layout=f"L{i}", subjects=1, overlapping=bool(i%2), subject=0, noun="fox", iou=v, iou_any=v, text=1., scene=float(i%2),
                           identity=1., identity_anywhere=1., score=.9) for i, v in enumerate(iou)])
    d = pd.DataFrame([dict(kind="detection", layout=f"L{i}", subjects=1, overlapping=bool(i%2), noun="fox", score=.9, strength=.9, hit=float(v >= .5), hit_any=float(v >= .5)) for i, v in enumerate(iou)])
    return pd.concat([s, d], ignore_index=True)

def test_bootstrap_interval_of_a_mean():
    rng = np.random.default_rng(0); x = rng.random(400)
    table = bootstrap(plain_rows(x)).set_index("figure")
    half = 1.96*x.std()/20
    assert table.value.mIoU == pytest.approx(x.mean())
    assert table.low.mIoU == pytest.approx(x.mean()-half, abs=.006) and table.high.mIoU == pytest.approx(x.mean()+half, abs=.006)
    assert table.value.scene == .5 and table.value.text == table.low.text == 1 and (table.layouts == 400).all()
    assert bootstrap(plain_rows(x)).equals(bootstrap(plain_rows(x))) and not bootstrap(plain_rows(x), seed=1).equals(bootstrap(plain_rows(x)))

def test_ap_of_perfect_and_of_absent_detections():
    assert bootstrap(plain_rows([.9]*5)).set_index("figure").value.AP50 == 1
    none = plain_rows([.9]*5); none = none[none.kind == "subject"].assign(hit=np.nan, hit_any=np.nan, strength=np.nan)
    for rows in (none, none.drop(columns=["hit", "hit_any", "strength"])):   # a set without one detection never had these columns
        assert bootstrap(rows).set_index("figure").value[["AP50", "AP50_any"]].tolist() == [0, 0]

def test_summary_puts_the_right_ceiling_beside_each_number():
    one, top = plain_rows([.2, .4]*4).assign(variant="full"), plain_rows([.8, .6]*4).assign(variant="true scene")
    table = summary(one, top)
    assert table.columns.tolist() == ["variant", "figure", "value", "low", "high", "layouts", "ceiling"]
    assert table[table.figure == "mIoU"].iloc[0].ceiling == pytest.approx(.7)
    apart = summary(one, top, by=("variant", "overlapping")); apart = apart[apart.figure == "mIoU"].set_index("overlapping")
    assert apart.value[False] == pytest.approx(.2) and apart.ceiling[False] == pytest.approx(.8) and apart.ceiling[True] == pytest.approx(.6)
    read = wide(table)
    assert read.index.tolist() == list(J.measured(one)) and read["ceiling"]["mIoU"] == "0.70" and read["full"]["mIoU"].startswith("0.30 [")
    assert wide(summary(one, top, by="overlapping")).columns.tolist() == [False, True]
    assert wide(summary(one, by=())).columns.tolist() == ["value"]

def test_a_paired_difference_is_surer_than_its_parts():
    rng = np.random.default_rng(1); x = rng.random(200)
    rows = pd.concat([plain_rows(x).assign(variant="a"), plain_rows(x-.1).assign(variant="b")])
    table = difference(rows, "a", "b").set_index("figure")
    assert table.low.mIoU == pytest.approx(.1) and table.high.mIoU == pytest.approx(.1) and table.value.AP50 > 0
    with pytest.raises(ValueError, match="'c': they have 200 and 0 layouts"): difference(rows, "a", "c")

def test_nothing_to_summarise():
    with pytest.raises(ValueError, match="rows is empty"): bootstrap(pd.DataFrame())


# --- pictures in ---------------------------------------------------------------------------------------------------------------------
def test_fit_reads_every_kind_of_picture():
    x = paint(scenes(1, seed=2))[0]; array = (x.permute(1, 2, 0)*255).round().byte().numpy()
    assert fit(x) is not None and torch.equal(fit(x), x)
    assert torch.allclose(fit(Image.fromarray(array)), fit(array)) and (fit(array)-x).abs().max() < .003
    assert fit(Image.new("RGB", (200, 100))).shape == (3, 64, 128) and fit(Image.new("RGBA", (33, 50))).shape == (3, 96, 64)

@pytest.mark.parametrize("image, kind, words", [
    (torch.zeros(1, 64, 64), TypeError, "a picture is PIL"),
    (torch.zeros(2, 3, 64, 64), TypeError, "a picture is PIL"),
    ("fox.png", TypeError, "not str"),
    (torch.full((3, 64, 64), -1.), ValueError, "values must lie in 0..1"),
    (torch.full((3, 64, 64), float("nan")), ValueError, "values must lie in 0..1"),
])
def test_fit_refuses(image, kind, words):
    with pytest.raises(kind) as e: fit(image)
    assert words in str(e.value)

def test_as_many_pictures_as_layouts(fresh, truth):
    with pytest.raises(ValueError, match="2 pictures for 3 layouts"): fresh(torch.zeros(2, 3, 64, 64), truth[:3])

def test_an_untrained_judge_finds_nothing_and_still_answers(fresh, truth):
    rows = fresh(torch.rand(4, 3, 64, 64), truth[:4])
    assert (rows[rows.kind == "subject"].iou == 0).all() and len(rows[rows.kind == "subject"]) == sum(len(t["nouns"]) for t in truth[:4])


# --- the embedded judge ----------------------------------------------------------------------------------------------------------------
def test_ceilings_are_high(rows):
    value = bootstrap(rows, n=50).set_index("figure").value
    assert value.mIoU > .75 and value.mIoU_any > .8 and value.AP50 > .85 and value.identity > .9 and value.text > .85 and value.scene > .97

def test_wrong_pictures_get_low_figures(judge, truth, rows):
    wrong = judge(paint(scenes_of(truth)), truth[1:]+truth[:1])
    value = bootstrap(wrong, n=50).set_index("figure").value
    assert value.mIoU < .15 and value.text < .2 and value.identity < .2 and value.AP50 < .15

def test_a_flipped_layout_is_noticed_where_nouns_are_not(judge):
    truth = held_out_layouts(12, subjects=(2, 2), overlapping=False); swapped = [t | dict(boxes=t["boxes"][::-1]) for t in truth]
    rows = judge(paint(scenes_of(truth)), swapped); rows = rows[rows.kind == "subject"]
    assert rows.text.mean() > .8 and rows.iou.mean() < .1 and rows.iou_any.mean() > .7 and rows.identity.mean() < .2 and rows.identity_anywhere.mean() > .7

def test_a_picture_twice_as_large_or_wide_is_read_alike(judge, truth, rows):
    large = ceiling(judge, truth[:12], (128, 128)); small = rows[rows.layout.isin({t["id"] for t in truth[:12]})]
    assert large.iou.mean() == pytest.approx(small.iou.mean(), abs=.12)
    apart = held_out_layouts(8, overlapping=False)
    wide_ = ceiling(judge, apart, (64, 96))
    assert wide_.iou.mean() > .5 and wide_.text.mean() > .6           # stickers stretched by half

def test_the_same_picture_gets_the_same_rows_alone_or_in_company(judge, truth):
    x = paint(scenes_of(truth[:4]))
    together, alone = judge(x, truth[:4]), judge(x[2:3], truth[2:3])
    of = lambda r: r[(r.layout == truth[2]["id"]) & (r.kind == "subject")].iou.to_numpy()
    assert np.allclose(of(together), of(alone), atol=1e-3)

def test_hues_matter_to_identity(judge):
    fox = torch.tensor([i for i, s in enumerate(sprites()) if s.noun == "fox"])
    plain, turned = judge.embed(fox), judge.embed(fox, .5)
    assert ((plain*turned).sum(1) < .9).all()

def test_numbers_of_a_result(judge, truth):
    t = next(t for t in truth if not t["overlapping"])
    result = SimpleNamespace(image=Image.fromarray((paint(scenes_of([t]))[0].permute(1, 2, 0)*255).byte().numpy()), layout=as_layout(t))
    numbers = judge.numbers(result)
    assert set(numbers) == {"mIoU", "mIoU_any", "text", "likeness"} and numbers["mIoU_any"] > .6 and numbers["likeness"] > .5
    from anyms.layout import Layout, Subject
    other = SimpleNamespace(image=Image.new("RGB", (64, 64)), layout=Layout([Subject("dragon", image=result.layout.images[0], box=(0, 0, .5, .5))]))
    assert set(judge.numbers(other)) == {"mIoU_any", "likeness"}

def test_verdict_sheet(judge, truth):
    x = paint(scenes_of(truth[:5]))
    sheet = verdict_sheet(x, judge.detect(x), truth, columns=3, size=96)
    assert sheet.width == 3*(96+6) and sheet.height > 2*(96+J.LINE)

def test_labels_stand_below_the_picture_and_cover_nothing_of_it(judge, truth):
    x = paint(scenes_of(truth[:1])); found = judge.detect(x)
    bare = Image.fromarray((x[0].permute(1, 2, 0)*255).byte().numpy()).resize((192, 192), Image.NEAREST)
    sheet = np.asarray(verdict_sheet(x, found, None, columns=1))
    frames = np.zeros((192, 192), bool)
    for box in (found[0].box*191).round().int().tolist():
        for x0, y0, x1, y1 in [box]:
            frames[max(y0-2, 0):y1+3, max(x0-2, 0):x1+3] = True
            if x1-x0 > 8 and y1-y0 > 8: frames[y0+3:y1-2, x0+3:x1-2] = False
    same = (sheet[:192, :192] == np.asarray(bare)).all(-1)
    assert same[~frames].all()                                     # as a label inside a box would not leave it
    assert (sheet[192:] < 255).any()                               # the labels are there

def test_labels_wrap_and_leave_out_what_is_not_seen():
    noun = torch.nn.functional.one_hot(torch.tensor([nouns().index(n) for n in ("fox", "strawberry", "crown")]), len(nouns())).float()
    found = J.Detections(torch.rand(3, 4), torch.tensor([.9, .5, .1]), noun, torch.zeros(10))
    assert J.labels(found) == [(0, "fox .90"), (1, "strawberry .50")]
    font = J.ImageFont.load_default(11)
    places = J._flow(["fox .90", "strawberry .50", "fox .90"], 90, font)
    assert [line for _, line in places] == [0, 1, 2] and all(x == 2 for x, _ in places)
    assert J._flow(["fox .90"]*2, 200, font)[1][0] > 30

def test_weights_come_back_and_damage_is_noticed(judge, tmp_path):
    for part, net in (("detector", judge.detector), ("embedder", judge.embedder)):
        (tmp_path/"run"/part).mkdir(parents=True)
        J.save_file({f"{part}.{k}": v for k, v in net.state_dict().items()}, tmp_path/"run"/part/"average.safetensors")
        (tmp_path/"run"/part/"state.json").write_text(json.dumps(dict(seen=1, step=1, log=[])))
    (tmp_path/"w").mkdir(); (tmp_path/"w"/"checksums.json").write_text('{"a": "b"}')
    save_judge(tmp_path/"run", tmp_path/"w", dict(note=1))
    again = load_judge(tmp_path/"w")
    assert again.card["note"] == 1 and J._digest(again) == J._digest(judge)   # halves come back as halves
    assert json.loads((tmp_path/"w"/"checksums.json").read_text()) == dict(a="b") | {"judge.safetensors": again.card["sha256"]}
    file = tmp_path/"w"/"judge.safetensors"; assert file.stat().st_size < 3_000_000
    file.write_bytes(file.read_bytes()[:-1]+b"\0\0")
    with pytest.raises(OSError, match="judge.safetensors is damaged"): load_judge(tmp_path/"w")
    card = json.loads((tmp_path/"w"/"judge.json").read_text())
    file.unlink()
    with pytest.raises(FileNotFoundError, match="has no judge.safetensors"): load_judge(tmp_path/"w")
    save_judge(tmp_path/"run", tmp_path/"w"); (tmp_path/"w"/"judge.json").write_text(json.dumps(card | dict(nouns=3)))
    with pytest.raises(ValueError, match="knows 3 nouns"): load_judge(tmp_path/"w")

def test_training_goes_on_where_it_stopped(tmp_path):
    quiet = lambda *a, **k: None
    one = J.train_detector(tmp_path, .004, batch=2, report=quiet)
    two = J.train_detector(tmp_path, .004, batch=2, report=quiet)
    assert two.seen > one.seen > 0
    assert J.train_embedder(tmp_path, .004, groups=2, report=quiet).seen > 0
    save_judge(tmp_path, tmp_path/"w"); assert load_judge(tmp_path/"w").card["training"]["detector"]["seen"] == two.seen


# --- drawing -------------------------------------------------------------------------------------------------------------------------
def test_pictures_drawn_together_are_those_drawn_alone(embedded, truth):
    from anyms import generate
    one = truth[5]; layout = as_layout(one)                             # overlapping, four subjects
    assert one["overlapping"]
    wanted = [("text_only", 1), ("full", 1), ("full / n", 1), ("joint", 1), ("masked", 2), ("crop_merge", 2), ("crop_merge", 3)]
    images = J.draw_together(embedded, one["prompt"], layout, wanted, steps=3, scale=.8)
    for (name, seed), image in zip(wanted, images):
        scale = .8/len(layout) if name == "full / n" else .8
        alone = generate(embedded, one["prompt"], layout, name.split(" ")[0], seed=seed, steps=3, scale=scale, progress=False).image
        assert np.abs(np.asarray(image, int)-np.asarray(alone, int)).max() <= 3, (name, seed)
    apart = [np.asarray(i, int) for i in images]
    assert all(np.abs(a-b).max() > 8 for a, b in itertools.combinations(apart, 2))   # and each is a picture of its own

@pytest.mark.parametrize("guidance", [1., 3.])
def test_large_batches_are_cut_and_guidance_may_be_off(embedded, truth, monkeypatch, guidance):
    monkeypatch.setattr(J, "AT_ONCE", 2)
    wanted = [("crop_merge", 0), ("full", 1), ("masked", 0)]; layout = as_layout(truth[0])
    parts = J.draw_together(embedded, truth[0]["prompt"], layout, wanted, steps=2, guidance=guidance)
    monkeypatch.setattr(J, "AT_ONCE", 12)
    whole = J.draw_together(embedded, truth[0]["prompt"], layout, wanted, steps=2, guidance=guidance)
    assert len(parts) == 3
    for a, b in zip(parts, whole): assert np.abs(np.asarray(a, int)-np.asarray(b, int)).max() <= 3

def test_options_reach_the_variants_and_unknown_ones_are_refused(embedded, truth):
    layout = as_layout(truth[1]); before = dict(embedded.unet.attn_processors)
    plain, = J.draw_together(embedded, truth[1]["prompt"], layout, [("masked", 0)], steps=2)
    query, = J.draw_together(embedded, truth[1]["prompt"], layout, [("masked", 0)], steps=2, background="query")
    assert np.abs(np.asarray(plain, int)-np.asarray(query, int)).max() > 8
    with pytest.raises(ValueError, match="'full' takes no option overlap='sum'"):
        J.draw_together(embedded, truth[1]["prompt"], layout, [("full", 0)], steps=2, overlap="sum")
    with pytest.raises(ValueError, match="'blend' is not known"): J.draw_together(embedded, truth[1]["prompt"], layout, [("blend", 0)], steps=2)
    assert all(embedded.unet.attn_processors[k] is p for k, p in before.items())


# --- evaluation ------------------------------------------------------------------------------------------------------------------------
class Painter:
    "Stands in for `draw_together`: paints the true scene for every variant but text_only; can be interrupted."
    def __init__(self, truth): self.truth, self.calls, self.settings, self.stop = {t["prompt"]: t for t in truth}, [], [], None
    def __call__(self, pipe, prompt, layout, wanted, **settings):
        self.settings.append(settings)
        return [self.picture(prompt, *one) for one in wanted]
    def picture(self, prompt, variant, seed):
        if len(self.calls) == self.stop: raise KeyboardInterrupt
        self.calls.append((variant, prompt, seed))
        picture = paint(scenes_of([self.truth[prompt]]))[0] if variant != "text_only" else torch.zeros(3, 64, 64)
        return Image.fromarray((picture.permute(1, 2, 0)*255).byte().numpy())

@pytest.fixture
def painter(monkeypatch):
    truth = held_out_layouts(12); painter = Painter(truth); painter.layouts = truth
    monkeypatch.setattr(J, "draw_together", painter)
    painter.pipe = SimpleNamespace(components=dict(unet=torch.nn.Linear(2, 2)))
    return painter

def test_evaluate_resumes_and_repeats_nothing(judge, painter, tmp_path):
    kw = dict(truth=painter.layouts, judge=judge, file=tmp_path/"rows.csv"); variants = ("text_only", "masked")
    painter.stop = 21                                                    # in the eleventh of twelve layouts
    with pytest.raises(KeyboardInterrupt): evaluate(painter.pipe, variants, **kw, guidance=2.)
    painter.stop = None
    rows = evaluate(painter.pipe, variants, **kw, guidance=2.)
    assert len(painter.calls) == 21+4                                    # two layouts were not yet written
    assert set(rows[rows.kind == "subject"].groupby("variant").layout.nunique()) == {12}
    again = evaluate(painter.pipe, variants, **kw, guidance=2.)
    assert len(painter.calls) == 25 and len(again) == len(rows) and again.iou.mean() == pytest.approx(rows.iou.mean(), abs=1e-4)
    table = summary(rows, ceiling(judge, painter.layouts), n=50).set_index(["variant", "figure"]).value
    assert table["masked", "mIoU"] > .6 and table["text_only", "mIoU"] < .05
    assert {s for _, p, s in painter.calls if p == painter.layouts[3]["prompt"]} == {3}   # the same noise for every variant
    with pytest.raises(ValueError, match="holds another run"): evaluate(painter.pipe, variants, **kw, guidance=3.)
    painter.pipe.components["unet"].weight.data.add_(1)
    with pytest.raises(ValueError, match="holds another run"): evaluate(painter.pipe, variants, **kw, guidance=2.)

def test_evaluate_without_a_file_and_with_a_smaller_set(judge, painter):
    lines = []
    rows = evaluate(painter.pipe, ("full",), truth=painter.layouts[:2], judge=judge, report=lines.append, scale=.5)
    assert rows.layout.nunique() == 2 and lines[-1].startswith("2/2 layouts") and rows.run.str.contains("scale 0.5").all()
    assert painter.settings[0] == dict(steps=20, guidance=3., scale=.5)

def test_two_processes_share_the_layouts(judge, painter):
    halves = [evaluate(painter.pipe, ("full",), truth=painter.layouts, judge=judge, turn=(i, 2)) for i in (0, 1)]
    whole = evaluate(painter.pipe, ("full",), truth=painter.layouts, judge=judge)
    ids = [t["id"] for t in painter.layouts]
    assert set(halves[0].layout) == set(ids[::2]) and set(halves[1].layout) == set(ids[1::2])
    both = pd.concat(halves).sort_values(["layout", "kind", "subject", "score"]).reset_index(drop=True)
    assert both.equals(whole.sort_values(["layout", "kind", "subject", "score"]).reset_index(drop=True))   # the same noises, too

def test_kinds_of_strangers_are_kept_apart(judge, painter):
    truth = {name: held_out_layouts(4, (2, 5), **which) for name, which in J.KINDS.items()}
    painter.truth |= {t["prompt"]: t for ts in truth.values() for t in ts}
    rows = J.evaluate_kinds(painter.pipe, 4, ("full",), judge=judge)
    assert {name: set(r.layout) for name, r in rows.groupby("seen")} == {name: {t["id"] for t in ts} for name, ts in truth.items()}
    subjects = rows[rows.kind == "subject"]
    assert set(subjects[subjects.seen == "nouns never seen"].split) == {"noun"} and set(subjects[subjects.seen == "drawings seen"].split) == {"train"}

def test_many_noises_of_the_same_boxes(judge, painter):
    truth = J.noise_layouts(2); painter.truth |= {t["prompt"]: t for t in truth}
    table = J.evaluate_noises(painter.pipe, 2, 3, ("text_only", "full"), judge=judge)
    assert (table.noises == 3).all() and len(table) == 2*sum(len(t["boxes"]) for t in truth)
    assert sorted({s for v, p, s in painter.calls if p == truth[1]["prompt"]}) == [1, 3, 5]      # a noise of its own for every layout and round
    assert set(table.columns) >= {"missing", "iou_any"} and table[table.variant == "text_only"].missing.min() == 1
    assert table[table.variant == "full"].stands.mean() > .7 and table[table.variant == "text_only"].stands.max() == 0

def test_the_verdict_is_summaries_and_pairs(judge, painter):
    variants = ("full", "masked", "crop_merge")
    rows, top = evaluate(painter.pipe, variants, truth=painter.layouts, judge=judge), J.ceiling(judge, painter.layouts)
    told, rows = J.verdict(rows, top), J.with_lost(rows, top)
    of = lambda kind, variant: told[(told["set"] == kind) & (told.variant == variant)].set_index("figure")
    assert set(told[told["set"] == "all"].variant) == set(told[told["set"] == "apart"].variant) == set(variants)
    same = lambda a, b: pd.testing.assert_frame_equal(a[["value", "low", "high"]], b.set_index("figure")[["value", "low", "high"]])
    same(of("difference", "crop_merge - full"), J.difference(rows, "crop_merge", "full"))
    same(of("difference", "crop_merge - masked, overlapping"), J.difference(rows[rows.overlapping], "crop_merge", "masked"))
    assert set(told[told["set"] == "difference"].variant) == {f"crop_merge - {o}{where}" for o in ("full", "masked") for where in ("", ", disjoint", ", overlapping")}
    assert of("all", "full").ceiling.notna().all() and len(told[told["set"] == "apart"]) == 2*len(told[told["set"] == "all"])
