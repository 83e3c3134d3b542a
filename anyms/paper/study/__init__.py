"""A class votes: which picture is best? Blind, by a random code, on the machine in the room.

ballot: who sees what in which order. making: a study from pictures. votes: the store, a file per voter.
simulation: voters who do not exist. results: Table 3 with intervals. checks: whether to believe it.
page: the vote in a notebook or as an app. still: the same in one file without Python. classroom: the table fills while they vote.
"""
from anyms import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, dict(
    CONSENT="ballot", CRITERIA="ballot", Screen="ballot", Study="ballot", ballot_for="ballot", open_study="ballot",
    held_out_cases="making", make_study="making", pictures_in="making", scrambled="making", true_picture="making",
    Voter="votes", new_voter="votes", open_voter="votes", read_voters="votes",
    choose_by_strength="simulation", choose_first="simulation", choose_uniformly="simulation",
    simulated_voters="simulation", store_voters="simulation",
    PAPER_TABLE3="results", format_table3="results", read_votes="results", table3="results", table3_figure="results",
    votes_table="results",
    agreement="checks", check_voters="checks", position_test="checks",
    StudyPage="page", study_notebook="page",
    read_download="still", still_study="still",
    Classroom="classroom",
))
