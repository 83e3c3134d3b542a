# pandas annotates itself in part, and a checker then finds that a column may be a date: to it, everything of pandas is Any.
from typing import Any

def __getattr__(name: str) -> Any: ...
