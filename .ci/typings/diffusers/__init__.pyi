# diffusers types its configurations as plain dictionaries and its processors as modules: to a checker, everything of diffusers is Any.
from typing import Any

def __getattr__(name: str) -> Any: ...
