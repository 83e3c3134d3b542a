"""The paper's experiments: what is asked (cases), who draws (methods), how it is judged (metrics), and one command for all (run).

cases: the eleven combinations, your photographs, MS-Bench's boxes. methods: AnyMS, its ablations and every baseline, one class each.
metrics: the judge on stickers, detectors and embedders on photographs. run: store, draw, judge, `anyms paper`. study: the class votes.
tables: Tables 1 to 3, Figures 4, 6 and 7.
"""
