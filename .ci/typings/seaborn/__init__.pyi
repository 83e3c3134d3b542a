# The stubs of seaborn that checkers bring refuse a dictionary of options: to a checker, everything of seaborn is Any.
from typing import Any

def __getattr__(name: str) -> Any: ...
