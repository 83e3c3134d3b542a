"The package: light to import, its names where they are said to be."
import subprocess
import sys

import pytest

import anyms


def python(code): return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_import_is_light():
    "`import anyms` is quick because it brings nothing: no heavy package, hardly any module at all."
    code = """
import sys
before = set(sys.modules)
import anyms
new = set(sys.modules) - before
print(any(m in new for m in ("torch", "numpy", "diffusers", "PIL")), len(new))
"""
    heavy, count = python(code).split()
    assert heavy == "False" and int(count) < 60


def test_public_names():
    for name in anyms.__all__: assert getattr(anyms, name) is not None
    assert set(anyms.__all__) <= set(dir(anyms))
    with pytest.raises(AttributeError, match="no public name 'generat'.*generate"): _ = anyms.generat


def test_functions_stay_functions():
    "No module has a function's name and takes its place."
    code = """
import anyms.maps.record, anyms.pipeline.comparison, anyms.pipeline.generation, anyms.pipeline.loading
import anyms
from anyms import capture, compare, generate, load
print(callable(capture), callable(compare), callable(generate), callable(load), anyms.capture is capture)
"""
    assert python(code).split() == ["True"]*5
