"""The documentation site: notebooks in, pages out; nothing is run and nothing is fetched.

text: a formula, a name and a folded answer. names: what is explained where, and the reference. pages: a notebook as a page.
lean: without what no page uses. audit: a finished site, read again. publish: all of it, `anyms docs`.
"""
from anyms import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, dict(
    mathml="text", prose="text", plain="text", Folds="text",
    Name="names", catalogue="names", linker="names", names_in="names", notebooks="names", reference="names",
    source="names", REFERENCES="names",
    page="pages", blocks="lean", used="lean", lighten="lean", Reader="audit", outside="audit", problems="audit",
    build="publish", finish="publish", repair="publish", serve="publish", server="publish", stage="publish",
    weigh="publish", find_root="publish", renderer="publish",
    origin="publish", repository="publish",
))
