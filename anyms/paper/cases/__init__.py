"""What a method is asked to draw.

case: subjects, sentence, boxes and references. photographs: your own pictures as references.
files: cases as JSON, written by hand or by us, and what is wrong with them. combinations: the eleven cases of the tables.
ms_bench: your subjects in the boxes of MS-Bench. exchange: cases for other repositories, and their pictures back.
"""
from anyms import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, dict(
    Case="case", CaseSubject="case", Reference="case", StickerReference="case", case_truth="case",
    PhotoReference="photographs", photo_reference="photographs", read_subjects="photographs",
    save_cases="files", load_cases="files", case_from_json="files", check_case="files", cases_from_folder="files",
    true_scene="combinations", asked_claims="combinations", plan_combinations="combinations", case_size="combinations",
    ms_bench_boxes="ms_bench", ms_bench_cases="ms_bench",
    export_cases="exchange", read_adopted="exchange", Adopted="exchange",
))
