"""WHAT THE TUTORIALS SHARE: pictures for the last row, attention you can see, and exercises that check themselves.

- `figures`: a strip of pictures, plots, few colors, how far two pictures are apart.
- `toy_attention`: one layer of attention whose output is a picture.
- `live`: the same, alive in a page: boxes to drag, knobs, the difference of two variants.
- `decided`: from which step on a subject is found in its box, in what the model believes.
- `reading`: does attention read a reference where it should?
- `guess`: untitled pictures to guess, the guesser's interval beside the judge's.
- `hour`: the whole lesson as one HTML file.
- `exercises`: what an exercise is, and what there is to say to an answer.
- `answers_method`: what makes an answer right in tutorials 1 to 3.
- `answers_practice`: the same in tutorials 4 to 6.
- `checks`: `check("1.2", answer)`, one call for all of them.
"""
from anyms import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, dict(
    strip="figures", subplots="figures", quantize="figures", distance="figures",
    toy="toy_attention", patch_colors="toy_attention",
    live_toy="live", KNOBS="live",
    decided_steps="decided", decision_curve="decided", decision_figure="decided", measure_decided="decided",
    correspondence="reading", measure_correspondence="reading", draw_and_read="reading",
    guess_page="guess", draw_rounds="guess", wilson="guess",
    lesson_page="hour", lesson_cast="hour", Chapter="hour", hour_document="hour",
    Exercise="exercises", exercise="exercises", is_number="exercises", is_pair_of_numbers="exercises", is_form="exercises",
    IDEAS="answers_practice",
    EXERCISES="checks", check="checks", feedback="checks",
))
