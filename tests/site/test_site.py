"The site: what a notebook becomes, the reference, the check of a finished site, and the whole of ours built once."
import html, json, re, subprocess, sys, threading, urllib.request
from pathlib import Path

import pytest, yaml

pytest.importorskip("latex2mathml")
pytest.importorskip("smalldocs")
from anyms import site  # noqa: E402
from anyms.site import lean, pages, publish  # noqa: E402
from anyms.site import build, catalogue, linker, mathml, names_in, notebooks, page, plain, problems, prose, reference  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def code(source, *outputs):
    return dict(cell_type="code", metadata={"execution": {"x": 1}}, source=source, outputs=list(outputs), execution_count=3)
def text(source): return dict(cell_type="markdown", metadata={}, source=source)
def shown(**data): return dict(output_type="display_data", metadata={"a": 1}, data={k.replace("_", "/"): v for k, v in data.items()})
def notebook(*cells, title="# Toy\n> You will see it."):
    return dict(cells=[text(title), *cells], metadata={"widgets": {"state": 1}}, nbformat=4, nbformat_minor=5)
def made(*cells, path="nbs/00_toy.ipynb", names=()): return page(notebook(*cells), path, names)["cells"]

def project(folder, **files):
    "A tiny repository with a front page and these further pages."
    (folder/"nbs").mkdir(parents=True)
    (folder/"_quarto.yml").write_text("project: {type: website, output-dir: _docs, render: ['nbs/*.ipynb', 'nbs/*.md']}\n"
                                      "execute: {enabled: false}\nwebsite: {title: toy, search: true}\n")
    for name, content in {"index.ipynb": notebook(text("Hello.")), **files}.items():
        (folder/"nbs"/name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


# maths

@pytest.mark.parametrize("tex",
    [r"Z_\text{out} = Z_\text{text} + \lambda Z_\text{image}",
    r"\mathrm{softmax}\!\left(\frac{QK^\top}{\sqrt d}\right)V", r"\lVert Z_j\rVert",
                                 r"\log\sum_r \exp(q k_r/\sqrt d)", r"a<b", r"\lfloor x \rfloor", r"Z_j \odot M_j", r"W'_k"])
def test_mathml_is_well_formed(tex):
    import xml.etree.ElementTree as ET
    tree = ET.fromstring(mathml(tex))
    assert tree.tag.endswith("math") and tree.get("display") == "inline" and "\\" not in "".join(tree.itertext())

def test_mathml_on_a_line_of_its_own_keeps_its_number():
    out = mathml(r"a = b \tag{5}", display=True)
    assert 'display="block"' in out and '<span class="anyms-number">(5)</span>' in out and "tag" not in re.sub("<[^>]+>", "", out)

def test_words_in_formulas_stay_words(): assert "<mtext>softmax</mtext>" in mathml(r"\mathrm{softmax}(x)")

@pytest.mark.parametrize("tex", [r"\nosuch", r"a + \nosuch{b}"])
def test_unknown_maths_is_refused(tex):
    with pytest.raises(ValueError, match="nosuch.*another way"): mathml(tex)

def test_every_formula_in_the_notebooks_can_be_shown():
    "The build would say so too; here it names the notebook."
    for path in notebooks(ROOT):
        for c in json.loads((ROOT/path).read_text("utf8"))["cells"]:
            if c["cell_type"] != "markdown": continue
            try: prose(site.source(c))
            except ValueError as e: pytest.fail(f"{path}: {e}")


# prose

@pytest.mark.parametrize("plain_text",
    ["`$a$`", "``x ` $a$``", "```python\ncost = '$a$'\n```", "~~~\n$a$ `Layout`\n~~~", "costs $5 and $6", "a \\$x\\$ b",
    "[$a$](x.md)", "US$a and b$"])
def test_prose_leaves_alone(plain_text): assert prose(plain_text, {"Layout": "there"}.get) == plain_text

def test_prose_turns_formulas():
    out = prose("Half is $n/2$, so\n$$\nh = \\frac n2\n$$\nand `$n$`.")
    assert out.count("<math") == 2 and out.endswith("and `$n$`.") and 'display="block"' in out

def test_prose_links_names_but_not_in_headings():
    find = {"Layout": "00_layout.ipynb#a"}.get
    assert prose("A `Layout`, [`Layout`](x.md), `layout`.", find) == "A [`Layout`](00_layout.ipynb#a), [`Layout`](x.md), `layout`."
    assert prose("## The `Layout`\n\n### `Layout`", find) == "## The `Layout`\n\n### `Layout`"

@pytest.mark.parametrize("given, wanted", [("# A\n*b* [c](d) `e`", "b c e"), ("$x$ <b>y</b>", "x y"), ("", ""), ("> quoted", "quoted")])
def test_plain(given, wanted): assert plain(given) == wanted
def test_plain_cuts_at_a_word(): assert plain("one two three", 9) == "one two ..."


# names and reference

SOURCE = '''
class Box:
    "A box."
    x0: float  # left
    y0: float = 0.  # top
    def area(self): "Its area."; return 1
    def _hidden(self): "No."
    def silent(self): return 2

@patch
def grow(self: Box,
    by=2,  # factor | times
    *more, size: int = 3, **kw):  # the rest
    "Larger."

def overlay(
    image,          # picture [h w]
    alpha=.5,       # strength, 0..1
)->"Image":         # picture [h w]
    """A picture under a heatmap. `alpha` <b> $x$

    Second paragraph."""

def _private(): "no"
'''

@pytest.fixture(scope="module")
def found(): return {n.name: n for n in names_in(SOURCE, "maps.heatmap", "nbs/maps/00_heatmap.ipynb")}

def test_names(found):
    assert list(found) == ["Box", "Box.area", "Box.grow", "overlay"] and found["Box.grow"].kind == "method"
    assert found["Box"].params == (("x0", "", "left"), ("y0", "0.0", "top")) and found["overlay"].returns == "picture [h w]"
    assert found["overlay"].params == (("image", "", "picture [h w]"), ("alpha", ".5", "strength, 0..1"))
    assert [p[0] for p in found["Box.grow"].params] == ["by", "*more", "size", "**kw"]
    assert found["overlay"].anchor == "anyms.maps.heatmap.overlay"

def test_reference_escapes(found):
    "What stands in a docstring is text, not markup."
    out = reference(list(found.values()))
    assert "\\<b\\>" in out and "`alpha`" in out and "\\$x\\$" in out and "Second paragraph." in out and "factor \\| times" in out
    assert "- `by=2`: factor" in out and "- `image`: picture \\[h w\\]" in out

def test_linker_chooses_the_right_place():
    a, b = (names_in("def load(): 'x'", m, p)[0]
        for m, p in [("pipeline.loading", "nbs/pipeline/02_loading.ipynb"), ("stickers.model.weights", "nbs/stickers/model/04_weights.ipynb")])
    lone = names_in("def lone(): 'x'", "attention.variants", "nbs/attention/00_variants.ipynb")[0]
    assert linker([a, b, lone], "nbs/stickers/model/04_weights.ipynb")("load") == "04_weights.ipynb#anyms.stickers.model.weights.load"
    assert linker([a, b, lone], "nbs/tutorials/1.ipynb")("anyms.load") == "../pipeline/02_loading.ipynb#anyms.pipeline.loading.load"
    find = linker([a, b, lone, lone._replace(module="maps.record")], "nbs/index.ipynb")
    assert find("load()") == "pipeline/02_loading.ipynb#anyms.pipeline.loading.load" and find("nothing") is None and find("lone") is None

def test_catalogue_has_the_public_names():
    import anyms
    have = {(n.module, n.name) for n in catalogue(ROOT)}
    missing = [n for n, home in anyms.HOMES.items() if (home, n) not in have and n != "VARIANTS"]
    assert not missing
    assert all(n.doc for n in catalogue(ROOT)), "a public name says nothing"


# pages

def test_page_head():
    front = made()[0]
    assert front["cell_type"] == "raw" and yaml.safe_load(front["source"].strip("-\n")) == dict(title="Toy", subtitle="You will see it.")

@pytest.mark.parametrize("title", ["Not a title", "## Too deep"])
def test_page_without_a_title_is_refused(title):
    with pytest.raises(ValueError, match="begin a page with"): page(notebook(title=title), "nbs/x.ipynb")

def test_page_without_prose_is_refused():
    with pytest.raises(ValueError, match="no cell of prose"): page(dict(cells=[code("1")], metadata={}), "nbs/x.ipynb")

def test_title_with_quotes_and_a_colon():
    nb = notebook(title='# A "quoted": title\n> One\n> two.\n\nThe text.')
    cells = page(nb, "nbs/x.ipynb")["cells"]
    assert yaml.safe_load(cells[0]["source"].strip("-\n")) == dict(title='A "quoted": title', subtitle="One two.")
    assert cells[1]["source"] == "The text."

def test_machinery_disappears():
    sources = [c["source"]
        for c in made(code("#| default_exp toy"), code("#| hide\nsecret()"), code("#| eval: false\nslow()"),
        code("#| gpu\nsdxl()"), code(""), code("#| exercise\nanswer = None"))]
    assert sources[1:] == ["slow()", "sdxl()", "answer = None"]

def test_library_code_is_marked_and_folds():
    cells = made(code("#| default_exp toy"), code("#| export\ndef half(n): 'Half.'"), code("half(3)"))
    assert 'id="anyms.toy.half"' in cells[1]["source"] and cells[2]["source"].endswith("def half(n): 'Half.'")
    assert options(cells[2]) == {"code-fold": "show", "code-summary": "The code, in anyms.toy: half"}
    assert cells[3]["source"] == "half(3)" and "#| export" not in json.dumps(cells)

def options(cell): return yaml.safe_load("\n".join(line.removeprefix("#| ") for line in cell["source"].splitlines()
    if line.startswith("#| ")))

LONG = "#| export\ndef long():\n    'Long.'\n" + "    x = 1\n"*20

@pytest.mark.parametrize("source, fold, summary", [
    (LONG, True, "The code, in anyms.toy: long"), ("#| export\ndef _private(): pass", True, "The code, in anyms.toy: _private"),
    ("#| export\nimport os", True, "The code, in anyms.toy: imports"), ("#| export\nSIZE = 3", True, "The code, in anyms.toy: SIZE"),
    ("#| export\nclass A: pass\ndef _b(): pass", "show", "The code, in anyms.toy: A"),
    ("#| export\n%load_ext x\ndef half(n): 'Half.'", "show", "The code, in anyms.toy: half")])
def test_long_code_and_machinery_begin_closed(source, fold, summary):
    assert options(made(code("#| default_exp toy"), code(source))[2]) == {"code-fold": fold, "code-summary": summary}

def test_a_cell_decides_for_itself_whether_it_folds():
    cell = made(code("#| default_exp toy"), code(LONG.replace("#| export", "#| export\n#| code-fold: show")))[2]
    assert options(cell) == {"code-fold": "show"}

def test_what_is_no_library_does_not_fold(): assert "code-fold" not in json.dumps(made(code("#| default_exp toy"), code("x = 1\n"*30)))

def test_quarto_options_stay():
    cell = made(code("#| echo: false\n#| slow\nplot()"))[1]
    assert cell["source"] == "#| echo: false\nplot()"

def test_pictures_get_a_text():
    cells = made(text("## Boxes\nLook at the *fox*."), code("draw(fox)\nshow()", shown(image_png=PIXEL)))
    alt = yaml.safe_load(cells[-1]["source"].splitlines()[0].removeprefix("#| "))["fig-alt"]
    assert "'Boxes'" in alt and "Look at the fox." in alt and alt.endswith("Drawn by: show()")

def test_own_picture_text_wins():
    cell = made(code('#| fig-alt: "A fox: red"\nshow()', shown(image_png=PIXEL)))[1]
    assert yaml.safe_load(cell["source"].splitlines()[0].removeprefix("#| "))["fig-alt"] == "A fox: red"
    assert cell["source"].count("fig-alt") == 1

def test_picture_text_is_escaped_in_html():
    cell = made(text("## A <i>\"b\"</i>"), code("show()", shown(text_html="<img src='x.png'> <img alt='mine' src='y.png'>")))[-1]
    out = cell["outputs"][0]["data"]["text/html"]
    assert out.count("alt=") == 2 and '"b"' not in out and "&quot;b&quot;" in out

def test_a_path_in_a_table_may_break():
    table = "<table><tr><th>a_b</th></tr><tr><td>pictures/anyms/2a.png</td><td><a href='x/y'>x/y</a></td><td></td></tr></table>"
    shown_ = "".join(made(code("t", shown(text_html=table)))[-1]["outputs"][0]["data"]["text/html"])
    assert "pictures/<wbr>anyms/<wbr>2a.png" in shown_ and "a_<wbr>b" in shown_ and "<a href='x/y'>x/y</a>" in shown_

def test_static_form_wins_over_the_live_widget():
    both, live = shown(text_html="<p>static</p>"), dict(output_type="display_data", metadata={}, data={pages.VIEW: {"model_id": "1"}})
    both["data"][pages.VIEW] = {"model_id": "1"}
    assert made(code("w", both, live))[-1]["outputs"] == [dict(output_type="display_data", metadata={},
        data={"text/html": "<p>static</p>"})]

def test_pages_hold_no_widget_state():
    "Quarto would fetch a widget manager from elsewhere for it."
    assert set(page(notebook(), "nbs/x.ipynb")["metadata"]) == {"kernelspec"}


# folds

@pytest.mark.parametrize("box, wanted", [
    ('::: {.callout-tip collapse="true"}\n## Solution\nHalf.\n:::',
    ["<details><summary>Solution</summary>", "", "Half.", "", "</details>", ""]),
    ("::: {.callout-note collapse=true}\n\n### `x` and *y* < z\nHalf.\n:::",
    ["", "<details><summary><code>x</code> and <em>y</em> &lt; z</summary>", "", "Half.", "", "</details>", ""]),
    ('::: {.callout-tip collapse="true"}\nNo title.\n:::', ["<details><summary>More</summary>", "", "No title.", "", "</details>", ""]),
    ('::: {.callout-tip collapse="true"}\n## S\n```\n:::\n```\n:::',
    ["<details><summary>S</summary>", "", "```", ":::", "```", "", "</details>", ""]),
    ("::: {.callout-tip}\n## Open\n:::", ["::: {.callout-tip}", "## Open", ":::"]),
    ('::: {.callout-tip collapse="false"}\n## Open\n:::', ['::: {.callout-tip collapse="false"}', "## Open", ":::"]),
    ("<details><summary>S</summary>\n\nx\n\n</details>", ["<details><summary>S</summary>", "", "x", "", "</details>"])])
def test_collapsed_boxes_become_details(box, wanted):
    assert site.Folds()(box).strip("\n").split("\n") == "\n".join(wanted).strip("\n").split("\n")

def test_a_box_may_hold_cells_of_code_and_another_box():
    folds = site.Folds()
    first, second = folds('::: {.callout-tip collapse="true"}\n## S\n::: {.callout-note}\nn\n:::'), folds("the end\n:::\n")
    assert "<details><summary>S</summary>" in first and first.endswith(":::") and "</details>" not in first
    assert second.startswith("the end") and "</details>" in second

@pytest.mark.parametrize("source", ["<details><summary>Answer</summary>\n\nIt is **so**: $x^2$.\n\n```python\nx = 1\n```\n\n</details>",
                                    "Predict.\n\n<details>\n<summary>Answer</summary>\n\nIt is **so**: $x^2$.\n\n```python\nx = 1\n```\n\n</details>\n\nAfterwards.",
                                    '::: {.callout-tip collapse="true"}\n## Answer\nIt is **so**: $x^2$.\n\n```python\nx = 1\n```\n:::'])
def test_folds_on_the_finished_page(tmp_path, source):
    "Whatever way it is written: `<details>` with its Markdown, maths and code rendered, and closed."
    out = build(project(tmp_path, **{"index.ipynb": notebook(text(source))}), program="smalldocs")
    body = (out/"nbs"/"index.html").read_text()
    inside = re.search(r"(?s)<details>\s*<summary>Answer</summary>(.*?)</details>", body)[1]
    assert "<strong>so</strong>" in inside and "<math" in inside and "<pre" in inside
    assert "data-bs-toggle" not in re.search(r"(?s)<main.*</main>", body)[0]

def test_an_answer_is_no_alternative_text():
    cells = made(text("Which one?\n\n<details><summary>Answer</summary>\n\nThe secret one.\n\n</details>"),
        code("show()", shown(image_png=PIXEL)))
    assert "Which one?" in cells[-1]["source"] and "secret" not in cells[-1]["source"]


def waiting(cell): return {**cell, "metadata": dict(jupyter=dict(outputs_hidden=True))}

def test_an_output_waits_until_it_is_asked_for(tmp_path):
    "What JupyterLab folds, the page folds: the code is seen, the picture and the number are not."
    cells = [text("**Predict.** How much?"), waiting(code("half(3)", shown(image_png=PIXEL), shown(text_plain="1.5"))), text("Afterwards.")]
    out = build(project(tmp_path, **{"index.ipynb": notebook(*cells)}), program="smalldocs")
    body = re.search(r"(?s)<main.*</main>", (out/"nbs"/"index.html").read_text())[0]
    before, fold, after = re.split(r'<details class="anyms-output">|</details>', body)
    assert "half(3)" in before and "<img" not in before and "1.5" not in before
    assert "<img" in fold and "1.5" in fold and "half(3)" not in re.sub(r'alt="[^"]*"', "", fold)
    assert "Afterwards" in after

def test_nothing_folds_where_nothing_comes_out():
    assert "details" not in json.dumps(made(waiting(code("x = 1")))) and "details" not in json.dumps(made(code("x", shown(text_plain="1"))))

# light

@pytest.mark.parametrize("css, wanted", [
    (".a{x:1}.b{x:2}", ".a{x:1}"), (".a .b,.a p{x:1}", ".a p{x:1}"), ("@media print{.b{x:1}}", ""),
    ("@media print{.b{x:1}.a{y:2}}", "@media print{.a{y:2}}"),
    (".a:not(.b){x:1}", ".a:not(.b){x:1}"), (":is(.a,.b) i{x:1}", ":is(.a,.b) i{x:1}"),
    ("/* it's .b{ */.a{x:1}", ".a{x:1}"), ('@charset "utf-8";.b{x:1}', '@charset "utf-8";'),
    ("@keyframes k{0%{x:1}}", "@keyframes k{0%{x:1}}"),
    ('.a{b:url("data:image/svg+xml,{}")}', '.a{b:url("data:image/svg+xml,{}")}'), ("#c,#a{x:1}", "#a{x:1}"),
    ("/*! MIT */.b{x:1}", "/*! MIT */"), ("p{x:.5;y:1.b}", "p{x:.5;y:1.b}")])
def test_only_used_rules_stay(css, wanted): assert site.used(css, {"a"}) == wanted

def test_code_keeps_its_text_without_marks():
    page = '<code><span class="st">&quot;</span><span class="st">a</span><span class="op">.</span><span class="fu">b</span>\n<span class="va">self</span></code><span class="menu-text">x</span>'
    assert lean._lean(page) == '<code>&quot;a.b\nself</code><span class="menu-text">x</span>'

def test_a_style_that_every_picture_brings_stays_once():
    page = "<style>.anyms{x:1}</style><p>a</p><style>.anyms{x:1}</style><style>.b{x:2}</style>"
    assert lean._lean(page) == "<style>.anyms{x:1}</style><p>a</p><style>.b{x:2}</style>"

@pytest.mark.parametrize("script, terse",
    [("// a\n  f(1); // b\n\n  g();\n", "f(1); // b\ng();\n"), ("x = `a\n  b`;\n", "x = `a\n  b`;\n"),
    ('u = "http://x";\n', 'u = "http://x";\n')])
def test_scripts_lose_what_only_people_read(script, terse): assert lean._terse(script) == terse

def test_pages_of_quarto_are_left_alone(tmp_path):
    (tmp_path/"site_libs").mkdir()
    (tmp_path/"site_libs"/"bootstrap.css").write_text(".never{x:1}")
    (tmp_path/"a.html").write_text('<html lang="en"><span class="op">.</span></html>')
    site.finish(tmp_path)
    assert (tmp_path/"site_libs"/"bootstrap.css").read_text() == ".never{x:1}" and 'class="op"' in (tmp_path/"a.html").read_text()


# search and origin

def test_what_explains_comes_before_what_computes():
    def at(href, section=""): return dict(href=href, title="t", section=section, text="x")
    order = [at("nbs/glossary.html#leakage", "Leakage"), at("nbs/tutorials/2.html"),
        at("nbs/maps/00_heatmap.html", "Leakage"), at("nbs/reference.html", "AttentionMaps.leakage"), at("nbs/reference.html", "_rows")]
    weights = [e["weight"] for e in site.weigh(order)]
    assert weights == sorted(weights, reverse=True) and len(set(weights)) == len(weights)
    assert site.weigh([at("nbs/reference.html",
        "Embedder.forward")])[0]["weight"] < site.weigh([at("nbs/reference.html", "Embedder")])[0]["weight"]

def test_pages_name_their_notebook(tmp_path):
    out = build(project(tmp_path,
        **{"deep.ipynb": notebook(text("x"), title="# Deep\n> S."), "plain.md": "---\ntitle: Plain\n---\n\ntext\n"}), program="smalldocs")
    body = (out/"nbs"/"deep.html").read_text()
    assert '<a href="deep.ipynb" download>' in body and json.loads((out/"nbs"/"deep.ipynb").read_text())["cells"] and not problems(out)
    assert "download" not in re.search(r"(?s)<main.*</main>", (out/"nbs"/"plain.html").read_text())[0]

def test_pages_link_to_the_repository_where_one_is_named(tmp_path):
    root = project(tmp_path)
    (root/"settings.ini").write_text("[DEFAULT]\ngit_url = https://git.example.org/toy/\n")
    assert 'href="https://git.example.org/toy/blob/main/nbs/index.ipynb"' in (build(root,
        program="smalldocs")/"nbs"/"index.html").read_text()


# the check

def finished(folder, **pages):
    for name, body in pages.items(): (folder/f"{name}.html").write_text(f'<html lang="en">{body}</html>')
    return problems(folder)

@pytest.mark.parametrize("body, said", [
    ('<script src="https://cdn.example.org/x.js"></script>', "fetches https://cdn"),
    ('<link rel="stylesheet" href="//fonts.example.org/a.css">', "fetches //fonts"),
    ('<img alt="" src="gone.png">', "gone.png, which is not there"), ('<a href="gone.html">', "links to gone.html"),
    ('<a href="#gone">', "links to #gone"),
    ('<img src="data:image/png;base64,AA">', "without a text"),
    ('<span class="math inline">\\(x\\)</span>', "needs a script"), ('<a href="../outside.html">', "outside.html")])
def test_problems_are_named(tmp_path, body, said): assert any(said in p for p in finished(tmp_path, a=body))

def test_no_problem_where_there_is_none(tmp_path):
    assert not finished(tmp_path,
        a='<h2 id="x">x</h2><a href="b.html#y">b</a><a href="#x">x</a><a href="https://arxiv.org">out</a><a href="mailto:a@b">m</a><img alt="" src="data:,">', b='<p id="y">')

def test_style_sheets_are_read_too(tmp_path):
    (tmp_path/"a.css").write_text("@font-face{src:url(https://fonts.example.org/a.woff2)}")
    assert "fetches https://fonts.example.org/a.woff2" in problems(tmp_path)[0]

@pytest.mark.parametrize("rule",
    ["@import url(https://f.example.org/css2?family=Lato:wght@400;700&display=swap);",
    '@import "https://f.example.org/a.css";', "@import url('//f.example.org/a.css') screen;"])
def test_web_fonts_are_taken_out(tmp_path, rule):
    (tmp_path/"a.css").write_text(rule + ":root{--x:1}")
    site.finish(tmp_path)
    assert (tmp_path/"a.css").read_text() == ":root{--x:1}" and "nbs/index.html" in (tmp_path/"index.html").read_text()


# building

def test_what_a_reader_sees_is_escaped(tmp_path):
    "Names and outputs are text, whatever they hold."
    evil = "<script>alert(1)</script>"
    out = build(project(tmp_path,
        **{"index.ipynb": notebook(text(f"## Names\n`{evil}`"), code("name", shown(text_plain=repr(evil))),
        code("print(name)", dict(output_type="stream", name="stdout", text=evil)))}), program="smalldocs")
    body = (out/"nbs"/"index.html").read_text()
    assert evil not in body and body.count(html.escape(evil)) >= 3

def test_a_broken_page_leaves_the_old_site(tmp_path):
    root = project(tmp_path)
    out = build(root, program="smalldocs")
    (root/"nbs"/"bad.md").write_text("# Bad\n\n[gone](gone.md)\n")
    with pytest.raises(RuntimeError, match="not whole(.|\n)*gone"): build(root, program="smalldocs")
    assert (out/"nbs"/"index.html").exists() and not (out/"nbs"/"bad.html").exists()

def test_build_again_replaces(tmp_path):
    root = project(tmp_path, **{"more.md": "# More\n\ntext\n"})
    build(root, program="smalldocs")
    (root/"nbs"/"more.md").unlink()
    assert not (build(root, program="smalldocs")/"nbs"/"more.html").exists()

def test_somebody_elses_folder_is_not_replaced(tmp_path):
    (tmp_path/"mine").mkdir()
    (tmp_path/"mine"/"letter.txt").write_text("dear")
    with pytest.raises(ValueError, match="is no site"): build(project(tmp_path/"repo"), tmp_path/"mine", "smalldocs")
    assert (tmp_path/"mine"/"letter.txt").exists()

def test_outside_a_repository(tmp_path):
    with pytest.raises(ValueError, match="clone of the repository"): build(tmp_path)

@pytest.mark.parametrize("name, said", [("hugo", "choose auto"), ("quarto", "there is no quarto")])
def test_renderer_is_named(name, said, monkeypatch):
    monkeypatch.setattr(publish.shutil, "which", lambda _: None)
    with pytest.raises(ValueError, match=said): site.renderer(name)

def test_quarto_is_taken_where_there_is_one(monkeypatch):
    monkeypatch.setattr(publish.shutil, "which", lambda _: "/opt/quarto")
    assert site.renderer() == ["/opt/quarto", "render"] and site.renderer("smalldocs")[0] == sys.executable

def test_neither_renderer(monkeypatch):
    monkeypatch.setattr(publish.shutil, "which", lambda _: None)
    monkeypatch.setitem(sys.modules, "smalldocs", None)
    with pytest.raises(ValueError, match="neither is here"): site.renderer()

def test_a_failing_renderer_speaks_for_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "renderer", lambda name: [sys.executable, "-c", "import sys; sys.exit('no such theme')"])
    with pytest.raises(RuntimeError, match="no such theme"): build(project(tmp_path))

def test_server_serves(tmp_path):
    (tmp_path/"index.html").write_text("hello")
    with site.server(tmp_path) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        assert urllib.request.urlopen(f"http://127.0.0.1:{running.server_port}/").read() == b"hello"
        running.shutdown()


# ours

@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    "Our own site, built in a Python that could not import torch: (folder, seconds of processor time)."
    out = tmp_path_factory.mktemp("ours")/"site"
    script = ("import sys\nfor m in ('torch', 'diffusers', 'numpy'): sys.modules[m] = None\n"
              "from anyms.cli import app\napp(['docs', '--root', sys.argv[1], '--out', sys.argv[2], '--renderer', 'smalldocs'])")
    import resource
    def used():
        return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    before = used()
    done = subprocess.run([sys.executable, "-c", script, ROOT, out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out, used() - before

def test_ours_builds_in_30_seconds(ours): assert ours[1] <= 30

def test_ours_has_no_problem(ours): assert problems(ours[0]) == []

def test_every_page_of_the_sidebar_is_there(ours):
    config = yaml.safe_load((ROOT/"_quarto.yml").read_text("utf8"))
    listed = set(re.findall(r"nbs/[\w/.]+\.(?:ipynb|md)", yaml.safe_dump(config["website"])))
    assert listed and all((ours[0]/p).with_suffix(".html").exists() for p in listed)

def test_every_predict_waits_on_the_site(ours):
    "As many outputs are folded on a page as in its notebook; after a Predict nothing that comes out stands open before a fold."
    asked = 0
    for path in notebooks(ROOT):
        nb = json.loads((ROOT/path).read_text("utf8"))["cells"]
        hidden = [c for c in nb if c["metadata"].get("jupyter", {}).get("outputs_hidden") and c.get("outputs")]
        body = (ours[0]/path).with_suffix(".html").read_text("utf8")
        assert body.count('<details class="anyms-output">') == len(hidden), path
        asked += len(hidden)
    assert asked >= 50

def test_every_page_lists_every_page(ours):
    "From anywhere a reader gets anywhere: the sidebar stands on every page."
    pages = sorted((ours[0]/"nbs").rglob("*.html"))
    for p in pages:
        links = {(p.parent/line.split("#")[0]).resolve() for line in site.Reader(p.read_text("utf8")).links
            if not site.outside(line) and line.split("#")[0]}
        assert set(x.resolve() for x in pages) - links <= {p.resolve()}, p.name

def test_no_page_names_a_foreign_source(ours):
    "Links may lead outside; nothing else may name an outside address that a browser would ask."
    for p in (ours[0]/"nbs").rglob("*.html"):
        text = re.sub(r"(?s)<(pre|code)\b.*?</\1>", "", p.read_text("utf8"))
        assert not re.findall(r"(?:cdn\.|unpkg|jsdelivr|googleapis|gstatic|require\.js|mathjax)", text, re.I), p.name

def test_pictures_of_our_pages_have_a_text(ours):
    for p in (ours[0]/"nbs").rglob("*.html"):
        for alt in re.findall(r'<img\b[^>]*?\balt="([^"]*)"', p.read_text("utf8")): assert len(alt) > 10 or alt == "", (p.name, alt)

def test_home_page_has_the_comparison_and_the_stepper(ours):
    body = (ours[0]/"nbs"/"index.html").read_text("utf8")
    assert "demo.png" in body and 'id="anyms-explorer-' in body and "anymsStaticExplorer" in body

def test_every_page_is_light(ours):
    "At most 300 KB without its pictures, with all that it fetches."
    for p in sorted((ours[0]/"nbs").rglob("*.html")):
        text = re.sub(r"data:image/[^\"')]*", "", p.read_text("utf8"))
        files = {f for f in site.Reader(text).fetched if not re.search(r"\.(?:png|jpe?g|gif|webp|svg)$|^data:", f)}
        weight = len(text.encode()) + sum((p.parent/f).stat().st_size for f in files)
        assert weight <= 300_000, f"{p.name}: {weight/1000:.0f} KB"

def test_home_page_begins_with_the_installation(ours):
    body = (ours[0]/"nbs"/"index.html").read_text("utf8")
    text = re.sub(r"<[^>]+>", "", re.search(r"(?s)<main.*</main>", body)[0])
    assert text.index("download.pytorch.org/whl/cpu") < text.index("pip install -c constraints.txt .") < text.index("anyms demo") < text.index("The call site")

def test_every_page_of_a_notebook_offers_it(ours):
    for path in notebooks(ROOT):
        assert f'<a href="{Path(path).name}" download>' in (ours[0]/path).with_suffix(".html").read_text("utf8"), path
        assert (ours[0]/path).read_bytes() == (ROOT/path).read_bytes()

def test_search_knows_every_page(ours):
    found = {entry["href"].split("#")[0] for entry in json.loads((ours[0]/"search.json").read_text("utf8"))}
    assert {p.relative_to(ours[0]).as_posix() for p in (ours[0]/"nbs").rglob("*.html")} <= found

def test_workflow_builds_with_quarto():
    flow = yaml.safe_load((ROOT/".github"/"workflows"/"docs.yml").read_text("utf8"))
    steps = flow["jobs"]["build"]["steps"]
    assert any("anyms docs --renderer quarto" in s.get("run", "") for s in steps) and any("quarto" in s.get("uses", "") for s in steps)
    assert "untested" in (ROOT/".github"/"workflows"/"docs.yml").read_text("utf8")
