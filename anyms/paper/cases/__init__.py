"""What a method is asked to draw.

case: subjects, sentence, boxes and references, as JSON.
"""
from anyms import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, dict(
    Case="case", CaseSubject="case", Reference="case", StickerReference="case", case_truth="case",
))
