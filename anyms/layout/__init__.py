"""Which subject goes where, and which attention tokens that means at every resolution of the network.

`grids` the grids of a network and how an edge is rounded to them, `boxes` a rectangle, `masks` a place of any shape,
`subject` a name, a picture and a place, `drawing` to look at both, `owners` who covers a token and who owns it,
`files` subjects as JSON, `layout` all subjects of one picture.
"""
from anyms import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, dict(
    Grid="grids", levels="grids", grid_for="grids", token_span="grids",
    Box="boxes", read_mask="boxes", mask_tokens="masks", crop_mask="masks",
    Subject="subject", PRIORITIES="subject", BACKGROUND="subject",
    draw_subjects="drawing", draw_references="drawing",
    Coverage="owners", coverage="owners", Layout="layout",
))
