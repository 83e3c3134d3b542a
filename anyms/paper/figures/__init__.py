"""The section's figures: what the tables cannot show.

by_subjects: Figure 4, with intervals and as the paper draws it. pictures: Figure 6, from a noise that was named beforehand.
token_maps: Figure 7, as described and done right. findings: what a run shows, read from its tables.
"""
from anyms import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, dict(
    scatter_figure="by_subjects", subjects_figure="by_subjects", subjects_panel="by_subjects",
    picture_sheet="pictures", stored_pictures="pictures",
    note_results="findings", stored_results="findings",
    figure_7="token_maps", own_token_mean="token_maps", watched_maps="token_maps",
))
