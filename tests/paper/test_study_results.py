"Simulated voters: chance is chance, the truth comes back, always A is caught, and nobody is dropped in silence."
import numpy as np
import pandas as pd
import pytest

from anyms.paper.study import checks
from anyms.paper.study.checks import agreement, check_voters, position_p, position_test
from anyms.paper.study.results import PAPER_TABLE3, format_table3, paper_share, read_votes, table3, table3_figure, votes_table, whose
from anyms.paper.study.simulation import choose_by_strength, choose_first, choose_uniformly, simulated_voters, store_voters
from studies import METHODS, flat_study

TRUTH = dict(zip(METHODS, (.4, .25, .2, .1, .05)))


@pytest.fixture(scope="module")
def study(tmp_path_factory): return flat_study(tmp_path_factory.mktemp("s")/"study")

@pytest.fixture(scope="module")
def votes(study):
    choosers = dict(uniform=choose_uniformly, first=choose_first, knowing=choose_by_strength(TRUTH))
    return {name: votes_table(simulated_voters(study, choose, 30, name)) for name, choose in choosers.items()}


# Table 3

def test_uniform_voters_land_on_chance(study, votes):
    table = table3(votes["uniform"], study.methods)
    assert (table.chance == .2).all() and (table.share - .2).abs().max() < .05
    assert ((table.low <= .2) & (.2 <= table.high)).all()

def test_the_shuffle_makes_always_a_harmless(study, votes):
    table = table3(votes["first"], study.methods)
    assert ((table.low <= .2) & (.2 <= table.high)).all()

def test_a_voter_who_knows_gives_the_truth_back(study, votes):
    table = table3(votes["knowing"], study.methods)
    truth = table.method.map(TRUTH)
    assert (table.share - truth).abs().max() < .06 and ((table.low <= truth) & (truth <= table.high)).mean() >= .95
    best = table[table.method == "qalpha"]
    assert (best.low > .2).all(), "clear of chance"

def test_shares_are_picks_over_picks(study, votes):
    table = table3(votes["knowing"], study.methods)
    rows = votes["knowing"]
    by_hand = rows[(rows.kind == "case") & rows.picked & (rows.criterion == "text")].method.value_counts(normalize=True)
    assert np.allclose(table[table.criterion == "text"].set_index("method").share, by_hand[list(METHODS)])
    assert np.allclose(table.groupby("criterion").share.sum(), 1) and (table.picks.groupby(table.criterion).sum() == 30*9).all()

def test_two_picks_count_two(study):
    pair = votes_table(simulated_voters(study, lambda methods, criterion, random: sorted([methods.index("qalpha"), methods.index("qbeta")])
                                        if "qalpha" in methods else [0], 5, "pair"))
    table = table3(pair, study.methods).set_index(["method", "criterion"])
    assert table.share["qalpha", "text"] == table.share["qbeta", "text"] == .5 and table.share["qgamma", "text"] == 0
    assert table.voters["qalpha", "text"] == 1

def test_checks_do_not_count_in_the_table(study, votes):
    rows = votes["knowing"]
    assert table3(rows, study.methods).equals(table3(rows[rows.kind == "case"], study.methods))

def test_intervals_are_over_voters_and_cases(study, votes):
    "One case on which all agree, or one voter copied: the interval feels it."
    rows = votes["knowing"]
    narrow, same = table3(rows, study.methods), rows.assign(picked=np.where(rows.case == "h0", rows.method == "qalpha", rows.picked))
    one = rows[rows.voter == rows.voter.iloc[0]]
    copies = pd.concat([one.assign(voter=f"copy {i}") for i in range(30)])
    def width(table): return (table.high - table.low)[table.method == "qalpha"].mean()
    assert width(table3(same, study.methods)) > width(narrow)
    assert width(table3(copies, study.methods)) > 2*width(narrow), "thirty copies of one voter are no thirty voters, as their cases tell"

def test_the_interval_covers_the_truth(study):
    "Fifteen studies of twelve voters: at least nine intervals in ten hold what is true."
    held = []
    for seed in range(15):
        table = table3(votes_table(simulated_voters(study, choose_by_strength(TRUTH), 12, "knowing", seed)), study.methods, n=300)
        held += list((table.low <= table.method.map(TRUTH)) & (table.method.map(TRUTH) <= table.high))
    assert np.mean(held) > .9

def test_the_same_seed_gives_the_same_table(study, votes):
    assert table3(votes["uniform"], seed=3).equals(table3(votes["uniform"], seed=3))

def test_leaving_out_is_said(study, votes):
    rows = votes["knowing"]
    gone = list(rows.voter.unique()[:7])
    table = table3(rows, study.methods, without=gone)
    assert (table.n_voters == 23).all() and whose(table) == "23 SIMULATED voters, 9 cases, chance 0.20"

def test_no_vote_no_table(study, votes):
    with pytest.raises(ValueError, match="no vote yet"): table3(votes["uniform"].iloc[:0], study.methods)

def test_an_unfinished_voter_counts_with_what_is_there(study, votes):
    rows = votes["knowing"]
    lazy = rows[(rows.voter != rows.voter.iloc[0]) | (rows.case == "h1")]
    table = table3(lazy, study.methods)
    assert np.isfinite(table.low).all() and (table.picks.groupby(table.criterion).sum() == 29*9 + 1).all()


# simulated is said everywhere

def test_simulated_voters_say_so_in_tables_titles_and_files(tmp_path, votes, study):
    table = table3(votes["uniform"], study.methods)
    assert table.simulated.all() and "SIMULATED" in format_table3(table).index.name
    assert "SIMULATED" in table3_figure(table).get_suptitle()
    small = flat_study(tmp_path/"s", 2)
    store_voters(simulated_voters(small, choose_uniformly, 2, "uniform"))
    rows = read_votes(small.folder)
    assert rows.simulated.all() and rows.equals(votes_table(simulated_voters(small, choose_uniformly, 2, "uniform")).pipe(sorted_like, rows))
    assert all('"simulated":"uniform"' in f.read_text() for f in (small.folder/"votes").iterdir())

def sorted_like(rows, other): return pd.concat([rows[rows.voter == code] for code in other.voter.unique()], ignore_index=True)

def test_people_are_not_called_simulated(study, votes):
    people = table3(votes["uniform"].assign(simulated=False), study.methods)
    assert "SIMULATED" not in whose(people) + table3_figure(people).get_suptitle()


# the paper's own

def test_the_papers_table():
    assert PAPER_TABLE3.loc["anyms"].tolist() == [.57, .65, .58, .72] and np.allclose(PAPER_TABLE3.sum(), 1, atol=.011)
    assert paper_share("mudi", "layout") == .14 and paper_share("ms_weights", "text") == paper_share("ms_diffusion", "text") == .22
    assert np.isnan(paper_share("masked", "text")) and np.isnan(paper_share("mudi_untrained", "text")), "a miniature without its LoRA is not theirs"

def test_the_papers_numbers_are_named_so(tmp_path):
    names = dict(anyms="AnyMS", mudi="MuDI (ours)")
    study = flat_study(tmp_path/"s", 2, obvious=False)
    rows = votes_table(simulated_voters(study, choose_uniformly, 3, "u"))
    rows["method"] = rows.method.replace(dict(qalpha="anyms", qbeta="mudi"))
    table = table3(rows[rows.method.isin(names)], names)
    assert "the paper: 0.57" in format_table3(table).loc["AnyMS", "concept"] and "the paper" not in table.columns
    assert table3_figure(table).axes[-1].get_legend().get_texts()[0].get_text() == "the paper's own"


# the checks

def test_always_a_raises_the_position_flag(votes):
    flag = position_test(votes["first"])
    assert flag.flag.item() == "position" and flag.A.item() == 1 and flag.p.item() < .001
    checked = check_voters(votes["first"])
    assert checked.flag.str.contains("position").all()

def test_honest_voters_do_not_raise_it(votes):
    for name in ("uniform", "knowing"): assert position_test(votes[name]).flag.item() == "", name
    assert check_voters(votes["knowing"]).flag.str.contains("position").mean() <= .05

def test_the_position_test_keeps_its_level(study):
    "p of honest voters is uniform: some one in ten below .1."
    p = check_voters(votes_table(simulated_voters(study, choose_by_strength(TRUTH), 100, "knowing", 9))).position
    assert .04 < (p < .1).mean() < .18 and .35 < p.mean() < .65

def test_a_favourite_method_is_no_favourite_place(study):
    loyal = votes_table(simulated_voters(study, choose_by_strength(dict(TRUTH, qalpha=1e9)), 40, "loyal"))
    assert position_test(loyal).p.item() > .01

def test_a_slight_lean_is_found_in_a_crowd(study):
    def leans(methods, criterion, random): return [0] if random.random() < .25 else choose_uniformly(methods, criterion, random)
    assert position_test(votes_table(simulated_voters(study, leans, 40, "leans"))).flag.item() == "position"

def test_position_p_of_nothing(): assert np.isnan(position_p(np.zeros((0, 5))))

def test_attention(votes):
    assert (check_voters(votes["knowing"]).attention == 1).all()
    uniform = check_voters(votes["uniform"])
    assert uniform.attention.mean() < .4 and uniform.flag.str.contains("attention").mean() > .8

def test_consistency(study, votes):
    loyal = check_voters(votes_table(simulated_voters(study, choose_by_strength(dict(TRUTH, qalpha=1e9)), 10, "loyal")))
    assert (loyal.consistency == 1).all() and not loyal.flag.str.contains("att|cons").any()
    assert abs(check_voters(votes["uniform"]).consistency.mean() - .2) < .1, "at random: about chance"

def test_a_voter_without_checks_is_not_flagged_for_them(study, votes):
    "Somebody who has seen neither the obvious case nor a case twice."
    rows = votes["uniform"]
    checked = check_voters(rows[rows.kind == "case"])
    assert checked.attention.isna().all() and checked.consistency.isna().all() and not checked.flag.str.contains("att|cons").any()
    assert (checked.screens == 9).all() and (checked.seconds == 10).all()

def test_nobody_is_dropped(study, votes):
    assert len(check_voters(votes["first"])) == 30 and (table3(votes["first"], study.methods).n_voters == 30).all()

def test_agreement(votes, study):
    pytest.importorskip("krippendorff")
    loyal = votes_table(simulated_voters(study, choose_by_strength(dict(TRUTH, qalpha=1e9)), 8, "loyal"))
    assert (agreement(loyal) > .99).all() and agreement(votes["uniform"]).abs().max() < .05
    assert (agreement(votes["knowing"]) > agreement(votes["uniform"])).all()
    assert agreement(loyal[loyal.voter == loyal.voter.iloc[0]]).isna().all(), "one voter agrees with nobody"

def test_agreement_without_the_package(votes, monkeypatch):
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install 'anyms"): agreement(votes["uniform"])

def test_simulated_voters_are_the_same_for_the_same_seed(study):
    a, b, c = (simulated_voters(study, choose_uniformly, 3, "u", seed) for seed in (1, 1, 2))
    assert [v.answers for v in a] == [v.answers for v in b] != [v.answers for v in c]
    with pytest.raises(ValueError, match="n=0"): simulated_voters(study, choose_uniformly, 0, "u")
