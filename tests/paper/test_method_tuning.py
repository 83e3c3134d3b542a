"Choosing: a layout becomes a case and comes back, nothing is changed by choosing, and the noises are everybody's."
import pytest
from method_cases import QUICK, two

from anyms.paper.cases.case import case_truth
from anyms.paper.methods.method import Method
from anyms.paper.methods.tuning import FIGURES, case_of_layout, choose, tuning_cases, with_settings
from anyms.paper.methods.variants import AnyMS
from anyms.stickers.judge.testset import held_out_layouts
from anyms.stickers.protocol.jobs import tuning_layouts


@pytest.mark.parametrize("options", [{}, dict(hue=.5), dict(subjects=(5, 5))])
def test_a_layout_comes_back_whole(options):
    for one in held_out_layouts(8, **options): assert case_truth(case_of_layout(one)) == one


def test_cases_are_the_tuning_layouts():
    assert [case.id for case in tuning_cases(5)] == [one["id"] for one in tuning_layouts(5)]
    assert not {case.id for case in tuning_cases(30)} & {one["id"] for one in held_out_layouts(200)}


def test_the_method_stays_as_it_is():
    method = AnyMS()
    other = with_settings(method, "stickers", dict(scale=9.))
    assert other.settings["stickers"]["scale"] == 9. and AnyMS.settings == method.settings and AnyMS.settings["stickers"].get("scale") != 9.


def test_options_share_noises_and_prepare(pipes):
    drawn, prepared = [], []

    class Listening(AnyMS):
        settings = dict(stickers=dict(scale=1.), sdxl={})

        def prepare(self, pipe, case, folder):
            prepared.append(folder.name)
            return {}

        def draw(self, pipe, case, seeds, kept, sampling):
            drawn.append((self.options(pipe)["scale"], case.id, list(seeds)))
            return super().draw(pipe, case, seeds, kept, sampling)

    table = choose(pipes("embedded"), Listening(), [dict(scale=1.), dict(scale=0.)], n=2, noises=2, sampling=QUICK)
    assert [row[1:] for row in drawn[:2]] == [row[1:] for row in drawn[2:]] and drawn[0][2] == [0, 1000] and drawn[1][2] == [1, 1001]
    assert set(prepared) == {"anyms"} and table.scale.tolist() == [1., 0.] and table.pictures.tolist() == [4, 4]
    assert set(FIGURES) < set(table.columns) and table.plus_minus.notna().all()


def test_too_many_options_are_refused(pipes):
    with pytest.raises(ValueError, match="5 settings given; give one to four"): choose(pipes("embedded"), AnyMS(), [{}]*5)
    with pytest.raises(ValueError, match="0 settings given"): choose(pipes("embedded"), AnyMS(), [])


def test_a_method_that_cannot_draw_says_so(pipes):
    with pytest.raises(NotImplementedError): Method().draw(pipes("embedded"), two(), [0], {}, QUICK)
