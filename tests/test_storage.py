"Files and folders that are there whole or not at all, JSON that says what it is, and checksums."
import json
import os
import threading
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anyms.storage import (atomic_file, atomic_folder, check_folder, check_writable, checksums, claim_folder, first_line, read_json, sha256,
                           verify, write_json)


def names(folder): return sorted(p.name for p in folder.iterdir())


# files

def test_a_file_appears_at_the_end(tmp_path):
    with atomic_file(tmp_path/"a.txt") as draft:
        draft.write_text("new")
        assert not (tmp_path/"a.txt").exists() and draft.parent == tmp_path and draft.suffix == ".txt"
    assert (tmp_path/"a.txt").read_text() == "new" and names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_file_leaves_the_old_one(tmp_path, error):
    (tmp_path/"a.txt").write_text("old")
    with pytest.raises(error), atomic_file(tmp_path/"a.txt") as draft:
        draft.write_text("half")
        raise error
    assert (tmp_path/"a.txt").read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_a_failed_move_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path/"a.txt").write_text("old")
    def fails(*_): raise OSError("the disk is full")
    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="disk is full"), atomic_file(tmp_path/"a.txt") as draft: draft.write_text("new")
    assert (tmp_path/"a.txt").read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_the_content_is_on_the_disk_before_the_move(tmp_path, monkeypatch):
    done, real = [], (os.fsync, os.replace)
    monkeypatch.setattr(os, "fsync", lambda fd: done.append("fsync") or real[0](fd))
    monkeypatch.setattr(os, "replace", lambda *a: done.append("replace") or real[1](*a))
    with atomic_file(tmp_path/"a.txt") as draft: draft.write_text("new")
    assert done == ["fsync", "replace"]


def test_writers_that_know_a_format_by_its_ending(tmp_path):
    with atomic_file(tmp_path/"a.png") as draft: Image.new("RGB", (4, 4)).save(draft)
    with atomic_file(tmp_path/"a.npy") as draft: np.save(draft, np.eye(2))
    with atomic_file(tmp_path/"a.json") as draft, open(draft, "w") as file: json.dump([1], file)
    assert Image.open(tmp_path/"a.png").format == "PNG" and np.load(tmp_path/"a.npy").sum() == 2
    assert names(tmp_path) == ["a.json", "a.npy", "a.png"]


def test_several_writers_of_one_file(tmp_path):
    "Each has a draft of its own; the file is always one of theirs."
    def write(n):
        for _ in range(10):
            with atomic_file(tmp_path/"a.txt") as draft: draft.write_text(str(n)*1000)
    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for t in threads: t.start()
    for t in threads: t.join()
    text = (tmp_path/"a.txt").read_text()
    assert len(text) == 1000 and len(set(text)) == 1 and names(tmp_path) == ["a.txt"]


def test_a_file_has_the_usual_permissions(tmp_path):
    (tmp_path/"plain").write_text("")
    with atomic_file(tmp_path/"a.txt") as draft: draft.write_text("")
    assert (tmp_path/"a.txt").stat().st_mode == (tmp_path/"plain").stat().st_mode


# folders

def bundle(folder, text="new"):
    with atomic_folder(folder, "mark.json") as draft:
        (draft/"mark.json").write_text("{}")
        (draft/"text").write_text(text)


def test_a_folder_appears_at_the_end_and_replaces_its_like(tmp_path):
    bundle(tmp_path/"a"/"b", "old")
    bundle(tmp_path/"a"/"b")
    assert (tmp_path/"a"/"b"/"text").read_text() == "new" and names(tmp_path/"a") == ["b"]


def test_an_interrupted_folder_leaves_the_old_one(tmp_path):
    bundle(tmp_path/"b", "old")
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path/"b", "mark.json") as draft:
        (draft/"text").write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path/"b"/"text").read_text() == "old" and names(tmp_path) == ["b"]


def test_a_folder_whose_move_fails_comes_back(tmp_path, monkeypatch):
    bundle(tmp_path/"b", "old")
    real, calls = os.replace, []
    def second_fails(*a):
        calls.append(a)
        if len(calls) == 2: raise OSError("no")
        real(*a)
    monkeypatch.setattr(os, "replace", second_fails)
    with pytest.raises(OSError, match="no"): bundle(tmp_path/"b")
    assert (tmp_path/"b"/"text").read_text() == "old" and names(tmp_path) == ["b"]


def test_somebody_elses_folder_is_refused(tmp_path):
    (tmp_path/"notes").mkdir()
    (tmp_path/"notes"/"thesis.txt").write_text("years of work")
    for act in (lambda: bundle(tmp_path/"notes"), lambda: check_folder(tmp_path/"notes", "mark.json")):
        with pytest.raises(FileExistsError, match=r"exists and is not a saved bundle \(mark\.json is missing\); choose another name"): act()
    with pytest.raises(FileExistsError): check_folder(tmp_path/"notes"/"thesis.txt", "mark.json")
    assert names(tmp_path/"notes") == ["thesis.txt"]


def test_a_check_leaves_nothing_behind(tmp_path):
    assert check_folder(tmp_path/"new"/"deep", "mark.json") == tmp_path/"new"/"deep"
    assert check_writable(tmp_path/"x"/"y") == tmp_path/"x"/"y" and not names(tmp_path)
    says = r"out='/proc/no/x': nothing can be written there \(.*\); choose another folder"
    with pytest.raises(OSError, match=says): check_writable("/proc/no/x", "out")

def test_two_processes_claim_one_folder(tmp_path, monkeypatch):
    "A check never takes away what another process put there meanwhile, and what is claimed stays."
    def moved_in(dir, **kw):
        (Path(dir)/"theirs").touch()
        return nullcontext()
    monkeypatch.setattr("anyms.storage.NamedTemporaryFile", moved_in)
    check_writable(tmp_path/"new"/"deep")
    assert names(tmp_path/"new"/"deep") == ["theirs"]
    monkeypatch.setattr(Path, "rmdir", lambda self: pytest.fail(f"{self} was taken away for a moment"))
    claim_folder(tmp_path/"store", "--out", ["store.json"], "store.json")
    assert names(tmp_path/"store") == ["theirs"]


def test_a_claimed_folder_is_made_and_nothing_overwritten(tmp_path):
    made = claim_folder(tmp_path/"a"/"b", "--out", ["table.csv"], "runs.json")
    assert made.is_dir()
    (made/"table.csv").write_text("mine")
    with pytest.raises(ValueError, match=r"--out .* holds a table\.csv that anyms has not written \(runs\.json is missing\)"):
        claim_folder(made, "--out", ["table.csv"], "runs.json")
    (made/"runs.json").write_text("{}")
    assert claim_folder(made, "--out", ["table.csv"], "runs.json") == made
    with pytest.raises(ValueError, match="is a file; name a folder"): claim_folder(made/"table.csv", "--out")


# JSON

def test_json_of_ours(tmp_path):
    path = write_json(tmp_path/"a.json", dict(anyms_result=1, name="Hüte & 帽子"))
    assert read_json(path, "anyms_result") == dict(anyms_result=1, name="Hüte & 帽子")
    assert path.read_text("utf8").endswith("}\n") and "帽子" in path.read_text("utf8")


@pytest.mark.parametrize("content, says", [
    ('{"anyms_result": 1, "pro', r"is not whole JSON \(.*\); the file was cut off or edited"), ("[]", "has no 'anyms_result' entry"),
    ("{}", "has no 'anyms_result' entry"), ('{"anyms_result": 2}', "has anyms_result version 2, and this anyms reads version 1"),
    ("", "is not whole JSON")])
def test_json_of_others(tmp_path, content, says):
    (tmp_path/"a.json").write_text(content)
    with pytest.raises(ValueError, match=says): read_json(tmp_path/"a.json", "anyms_result")
    with pytest.raises(FileNotFoundError, match=r"b\.json is missing in .*; give the folder that \.save\(folder\) wrote"):
        read_json(tmp_path/"b.json", "anyms_result")


def test_a_value_that_is_no_json_leaves_the_old_file(tmp_path):
    write_json(tmp_path/"a.json", 1)
    with pytest.raises(TypeError): write_json(tmp_path/"a.json", object())
    assert (tmp_path/"a.json").read_text() == "1\n" and names(tmp_path) == ["a.json"]


def test_another_librarys_sentence_is_cut():
    assert first_line(ValueError("first.\nsecond")) == "first" and first_line(ValueError()) == "ValueError"
    assert len(first_line(OSError("x"*999))) == 200


# checksums

def test_checksums_tell_missing_from_damaged(tmp_path):
    (tmp_path/"unet").mkdir()
    for path in ("unet/a.safetensors", "b.safetensors", "notes.txt"): (tmp_path/path).write_bytes(path.encode()*99)
    sums = checksums(tmp_path)
    assert list(sums) == ["b.safetensors", "unet/a.safetensors"] and set(verify(tmp_path, sums).values()) == {"ok"}
    (tmp_path/"b.safetensors").write_bytes(b"b")
    (tmp_path/"unet"/"a.safetensors").unlink()
    assert verify(tmp_path, sums) == {"b.safetensors": "damaged", "unet/a.safetensors": "missing"}


def test_sha256_of_nothing(tmp_path):
    (tmp_path/"a").write_bytes(b"")
    assert sha256(tmp_path/"a") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
