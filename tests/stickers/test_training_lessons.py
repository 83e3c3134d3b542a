"What training asks, by hand: regions, where to read, masks and places, cells, probes."
import pytest, torch
from anyms.layout.boxes import Box
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.layout.grids import levels
from anyms.stickers.model.networks import REFERENCE_SIZE
from anyms.stickers.model.adapter import REFERENCE_TOKENS
from anyms.stickers.world.sprites import all_sprites, sprite
from anyms.stickers.world.scenes import Scenes
from anyms.stickers.training.cells import cell_loss, least_squares
from anyms.stickers.training.geometry import mask_and_place, opacity, visible_opacity
from anyms.stickers.training.regions import region_mask
from anyms.stickers.training.supervision import attention_targets, bilinear_weights

def one_sticker(box, place=0):
    "A scene of one square sticker in a given box."
    square = next(i for i, s in enumerate(all_sprites()) if s.split == "train" and s.cell[2] == s.cell[3])
    return Scenes(torch.tensor([[square]]), torch.tensor([[box]]), torch.zeros(1, 1), torch.tensor([place]), torch.rand(1, 8))

def test_regions_by_hand():
    "On 4 x 4 tokens: the left half; two rectangles together; at least one token; everywhere."
    box = torch.tensor([[[0, 0, .5, 1.], [.75, .75, 1, 1]]])
    yes, no = torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, dtype=torch.bool)
    left = region_mask(box, torch.tensor([[True, False]]), no, (4, 4)).view(4, 4)
    assert torch.equal(left, torch.tensor([[1., 1, 0, 0]]*4))
    both = region_mask(box, yes, no, (4, 4)).view(4, 4)
    assert both.sum() == 9 and both[3, 3] == 1
    thin = torch.tensor([[[.51, .51, .52, .52]]])
    assert region_mask(thin, yes[:, :1], no, (4, 4)).sum() == 1
    assert region_mask(thin, yes[:, :1], ~no, (4, 4)).sum() == 16
    edge = torch.tensor([[[1., 1, 1, 1]]])
    assert region_mask(edge, yes[:, :1], no, (4, 4)).view(4, 4)[3, 3] == 1

@pytest.mark.parametrize("side", [64, 48, 40, 32])
def test_regions_round_as_layouts_do(side):
    rng = torch.Generator().manual_seed(side)
    yes, no = torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, dtype=torch.bool)
    for _ in range(20):
        a, b = torch.rand(2, 2, generator=rng).sort(0).values
        if ((b-a) < .1).any(): continue
        box = Box(*map(float, [*a, *b]))
        layout = Layout([Subject("fox", sprite("fox"), box)])
        for grid in levels((side//4,)*2, 3):
            mine = region_mask(torch.tensor([[list(map(float, [*a, *b]))]]), yes, no, grid)[0, 0, :, 0].bool()
            assert torch.equal(mine, layout.cover(grid)[0])

def test_reading_by_hand():
    "A square sticker over the whole picture, as large as its reference: 6 x 6 positions read the 6 x 6 cells, one each."
    scene = one_sticker([0., 0, 1, 1])
    target, weight = attention_targets(scene, torch.zeros(1, dtype=torch.long), torch.ones(1), (24, 24))[36]
    inside = weight[0] > .2
    assert inside.any() and torch.allclose(target[0][inside], torch.eye(36)[inside], atol=1e-5)

def test_reading_in_a_smaller_reference():
    "In a reference where the sticker takes half of each side, its corner positions read the four middle cells' surroundings."
    weights = bilinear_weights(torch.tensor([.5, .5]).view(1, 2, 1, 1))
    assert weights.view(6, 6)[2:4, 2:4].sum() == 1 and (weights.view(6, 6)[2:4, 2:4] == .25).all()
    scene = one_sticker([0., 0, 1, 1])
    target, weight = attention_targets(scene, torch.zeros(1, dtype=torch.long), torch.tensor([.5]), (64, 64))[256]
    read = target[0][weight[0] > .2].sum(0).view(6, 6)
    assert read[0].sum() == read[:, 5].sum() == 0 and read[1:5, 1:5].sum() > 0

def test_reading_on_the_coarser_grid_is_the_mean():
    scene = one_sticker([.25, .25, .75, .75])
    targets = attention_targets(scene, torch.zeros(1, dtype=torch.long), torch.ones(1), (64, 64))
    for share, weight in targets.values():
        rows = weight[0] > .05
        assert torch.allclose(share[0][rows].sum(-1), torch.ones(int(rows.sum())), atol=1e-4)
        assert (share[0][weight[0] == 0] == 0).all()
    fine, coarse = (targets[n][1][0] for n in (256, 64))
    assert torch.allclose(coarse.view(8, 8), fine.view(8, 2, 8, 2).mean((1, 3)))

def test_geometry_by_hand():
    "Mask in the box alone; u grows to the right and v downwards, both from -1 to 1."
    mask, place = mask_and_place(one_sticker([.25, .25, .75, .75]), (64, 64))
    outside = torch.ones(16, 16, dtype=torch.bool)
    outside[4:12, 4:12] = False
    assert mask[0, 0][outside].abs().max() == 0 < mask[0, 0, 7, 7]
    u, v = place[0]
    assert torch.allclose(u[8, 4:12], torch.linspace(-7/8, 7/8, 8), atol=1e-5) or (mask[0, 0, 8, 4:12] <= .35).any()
    assert torch.allclose(u[8, 8], torch.tensor(1/8), atol=1e-5) and torch.allclose(v[6, 8], torch.tensor(-3/8), atol=1e-5)

def test_what_lies_on_top_hides_and_names_the_place():
    scene = one_sticker([0., 0, 1, 1])
    two = Scenes(scene.sprite.repeat(1, 2), scene.box.repeat(1, 2, 1), scene.hue.repeat(1, 2), scene.place, scene.style)
    under, top = (visible_opacity(two, torch.tensor([k]), (64, 64)) for k in (0, 1))
    there = opacity(two, 0, (64, 64))
    assert torch.equal(top, there) and torch.allclose(under, there*(1-there))

def test_every_token_is_asked_for_its_own_cell():
    "Right answers cost nothing, and a wrong answer of one token costs as much as of any other."
    pixels = torch.rand(2, 3, REFERENCE_SIZE, REFERENCE_SIZE)*2-1
    right = torch.stack([pixels[:, :, 8*i:8*i+8, 8*j:8*j+8].flatten(1) for i in range(6) for j in range(6)], 1)
    assert right.shape[1] == REFERENCE_TOKENS and cell_loss(torch.nn.Identity(), right, pixels) < 1e-12
    costs = []
    for token in range(REFERENCE_TOKENS):
        wrong = right.clone()
        wrong[:, token] += 1
        costs.append(float(cell_loss(torch.nn.Identity(), wrong, pixels)))
    assert max(costs)-min(costs) < 1e-6 < min(costs)

def test_probes_are_the_best_linear_ones():
    rng = torch.Generator().manual_seed(0)
    x, true = torch.randn(400, 5, generator=rng), torch.randn(3, 5, generator=rng)
    y, weight = x @ true.T+2, torch.rand(400, 3, generator=rng)
    y[:200, 1], weight[:200, 1] = 77, 0                                 # wrong answers that nobody asks for
    for probe in (torch.nn.Linear(5, 3), torch.nn.Conv2d(5, 3, 1)):
        least_squares(probe, x, y, weight, 1e-6)
        assert torch.allclose(probe.weight.view(3, 5), true, atol=1e-2) and torch.allclose(probe.bias, torch.full((3,), 2.), atol=1e-2)
