"A file that exists is done, and nothing that is only half there counts."
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from anyms.paper.run import store as rooms
from anyms.paper.run.drawing import draw
from anyms.paper.run.judging import judge_all
from anyms.paper.run.store import JUDGED, Store, Unit, digest, read_many, read_rows, write_rows
from paper_fakes import QUIET, Eye, fake_pipe, plan_of, run

UNIT = Unit("dots", "2a", tuple(range(4)), digest("key"))
ROWS = pd.DataFrame(dict(name=["a", "b, c", "#d"], value=[.1, .2, None]))


def images(n=4): return [Image.fromarray(np.full((4, 6, 3), 10*i, np.uint8)) for i in range(n)]


@pytest.fixture
def store(tmp_path): return Store(tmp_path/"paper")

@pytest.fixture(params=["parquet", "csv"])
def either(request, monkeypatch):
    "With pyarrow, and as if there were none."
    if request.param == "csv": monkeypatch.setattr(rooms, "find_spec", lambda name: None)
    return request.param


def test_rows_come_back(tmp_path, either):
    file = write_rows(tmp_path/"deep"/"t", ROWS)
    assert file.suffix == f".{either}"
    pd.testing.assert_frame_equal(read_rows(tmp_path/"deep"/"t"), ROWS)

@pytest.mark.parametrize("keep", [0, 1, 10, -1, -4, -12])
def test_a_file_that_was_cut_is_no_table(tmp_path, either, keep):
    "Anywhere: at the beginning, in the middle, within the last line."
    file = write_rows(tmp_path/"t", ROWS)
    file.write_bytes(file.read_bytes()[:keep])
    assert read_rows(tmp_path/"t") is None
    rows, bad = read_many([file])
    assert rows.empty and bad == [file]

def test_an_empty_table_is_a_table(tmp_path, either):
    write_rows(tmp_path/"t", ROWS[:0])
    assert len(read_rows(tmp_path/"t")) == 0

def test_words_that_look_like_numbers_stay_words(tmp_path, either):
    rows = pd.DataFrame(dict(method=["1"], case=["02"], key=["12e456789012"], pixels=["00000001"], seed=[3]))
    write_rows(tmp_path/"t", rows)
    pd.testing.assert_frame_equal(read_rows(tmp_path/"t"), rows)

def test_both_kinds_in_one_folder(tmp_path, monkeypatch):
    "A worker with pyarrow and one without share a store."
    files = [write_rows(tmp_path/"a", ROWS)]
    with monkeypatch.context() as m:
        m.setattr(rooms, "find_spec", lambda name: None)
        files.append(write_rows(tmp_path/"b", ROWS))
    rows, bad = read_many(files)
    assert len(rows) == 6 and not bad and read_rows(tmp_path/"b") is not None

def test_nothing_is_left_of_a_write_that_failed(store, monkeypatch):
    def full(rows, file): raise OSError(28, "No space left on device")
    monkeypatch.setitem(rooms._WRITERS, ".parquet", full)
    with pytest.raises(OSError): store.put_pictures(UNIT, images())
    assert not store.is_drawn(UNIT) and not store.files("pictures") and not list(store.folder.rglob("*.part*"))

def test_a_unit_is_done_when_its_table_is_there(store, either):
    assert not store.is_drawn(UNIT)
    rows = store.put_pictures(UNIT, images(), seconds=.5)
    assert store.is_drawn(UNIT) and [image.getpixel((0, 0))[0] for image in store.images(UNIT)] == [0, 10, 20, 30]
    assert set(rows.columns) >= {"method", "case", "seed", "file", "key", "bytes", "pixels", "seconds"} and rows.pixels.nunique() == 4

@pytest.mark.parametrize("harm", ["lost", "cut", "longer"])
def test_a_harmed_picture_makes_its_unit_undone(store, harm):
    store.put_pictures(UNIT, images())
    file = store.folder/UNIT.picture(2)
    content = file.read_bytes()
    if harm == "lost": file.unlink()
    else: file.write_bytes(content[:-5] if harm == "cut" else content + b"x")
    assert not store.is_drawn(UNIT)

def test_no_picture_too_few(store):
    with pytest.raises(ValueError): store.put_pictures(UNIT, images(3))
    assert not store.is_drawn(UNIT)

def test_other_key_other_unit(store):
    store.put_pictures(UNIT, images())
    assert not store.is_drawn(Unit("dots", "2a", UNIT.seeds, digest("other")))

@pytest.mark.parametrize("seeds, stem", [((0, 1, 2), "0000-0002"), ((7,), "0007-0007"), ((0, 2), "0000-0002-"), ((3, 1, 2), "0003-0002-")])
def test_seeds_in_a_name(seeds, stem): assert stem in Unit("dots", "2a", seeds, "key").stem

def test_names_tell_gaps_apart():
    stems = {Unit("dots", "2a", seeds, "key").stem for seeds in ((0, 1, 2, 3), (0, 1, 3), (0, 2, 3))}
    assert len(stems) == 3

def test_judged_when_the_last_table_is_there(store):
    tables = {name: pd.DataFrame(dict(seed=[0])) for name in JUDGED}
    store.put_judged(UNIT, "eye", tables)
    assert store.is_judged(UNIT, "eye") and not store.is_judged(UNIT, "other")
    for name in JUDGED:
        file = next(iter(store.files(name)))
        kept = file.read_bytes()
        file.write_bytes(kept[:-3])
        assert not store.is_judged(UNIT, "eye")
        file.write_bytes(kept)

def test_drafts_are_not_read(store):
    "What another worker is just writing, or left when it was killed."
    store.put_pictures(UNIT, images())
    file, = store.files("pictures")
    file.with_name(".x.1.part.parquet").write_bytes(b"half")
    assert store.files("pictures") == [file]

def test_not_into_somebody_elses_folder(tmp_path):
    (tmp_path/"pictures").mkdir()
    with pytest.raises(ValueError, match="store.json"): Store(tmp_path)

def test_not_into_a_file(tmp_path):
    (tmp_path/"f").write_text("")
    with pytest.raises(ValueError, match="is a file"): Store(tmp_path/"f")

def test_notes_add_up(store):
    store.note(base="stickers")
    store.note(judge="eye")
    assert Store(store.folder).about == dict(anyms_paper=1, base="stickers", judge="eye")

def test_digest_tells_apart():
    values = [1, "1", [1], [1, 2], [2, 1], dict(a=1), dict(a=1, b=None), 1.5, None]
    assert len({digest(value) for value in values}) == len(values)
    assert digest(dict(a=1, b=2)) == digest(dict(b=2, a=1))

def test_a_broken_note_loses_no_picture(tmp_path):
    "What to write into it is said; pictures are known by their names."
    plan = plan_of(seeds=range(2))
    store = run(tmp_path/"s", plan)
    (tmp_path/"s"/"store.json").write_text('{"anyms_pa')
    with pytest.raises(ValueError, match='is not whole JSON; write {"anyms_paper": 1} into it'): print(Store(tmp_path/"s").about)
    (tmp_path/"s"/"store.json").write_text('{"anyms_paper": 1}')
    assert draw(store, fake_pipe(), plan, **QUIET) == [] and judge_all(store, plan, Eye(), **QUIET) == []
