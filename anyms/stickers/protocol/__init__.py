"""THE PROTOCOL: everything that is asked of weights, fixed before they exist, and the command that answers it.

    jobs          how much is drawn, which layouts, and one process's share of it
    report        from rows to the tables beside the weights
    processes     all of it, side by side, with one command
    requirements  asked and reached, line by line
    sampling      choosing steps, guidance and scale on layouts that nobody reports
    cast          choosing the trios that the lessons play with
"""
from anyms import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, dict(
    Size="jobs", FULL="jobs", picture_counts="jobs", tuning_layouts="jobs", sheet_layouts="jobs", run_jobs="jobs",
    table_of_kinds="report", table_of_noises="report", table_alone="report", write_tables="report",
    run_protocol="processes",
    Requirement="requirements", REQUIREMENTS="requirements", requirements_table="requirements",
    SAMPLING_GRID="sampling", measure_setting="sampling", evaluate_sampling="sampling",
    CAST_BOXES="cast", trio_truth="cast", evaluate_trios="cast", choose_cast="cast",
))
