"""A real browser for the tests: Debian's Chromium driven by Playwright, and JupyterLab or voila on the loopback address.

    from chrome import chrome, page, run_all, serve      # chrome and page are pytest fixtures, to be imported where they are used

    def test_it(page, tmp_path):
        with serve(tmp_path, "lab") as url:
            run_all(page, url, "explorer.ipynb")
        assert not page.outside and not page.broken

A notebook that is opened needs the kernelspec python3 in its metadata, or JupyterLab asks which kernel. Voila's own page asks a CDN for
a stylesheet of icons; it is refused here, shows up in `page.outside` and is not missed.

Without a Chromium these tests are skipped with a sentence; in CI (CI=true) its absence is a failure.
"""
import contextlib, json, os, re, shutil, signal, socket, subprocess, sys, tempfile, time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update",
         "--disable-sync", "--disable-dev-shm-usage", "--force-color-profile=srgb"]
NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
HERE = {"127.0.0.1", "localhost", "::1", ""}


# the browser

def missing(sentence):
    "Skip, but never in CI: there a browser test that does not run is a broken promise."
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(sentence)

def find_chromium():
    "Path of a Chromium; ANYMS_CHROMIUM names another one."
    found = os.environ.get("ANYMS_CHROMIUM") or next((p for p in map(shutil.which, NAMES) if p), None)
    return found or missing("no Chromium on this machine (apt-get install chromium, or set ANYMS_CHROMIUM to one)")

@pytest.fixture(scope="module")
def chrome():
    "One running browser for a test module."
    path = find_chromium()
    try: from playwright.sync_api import sync_playwright
    except ImportError: missing("playwright is not installed (pip install -e '.[dev]')")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()

def open_page(chrome, **options):
    """A page in a context of its own (options as for Playwright's `new_context`) that keeps notes about itself:
    `outside`: addresses asked for that are not on this machine (they are refused); `broken`: (status, address) of answers from 400 on;
    `errors`: what scripts threw or wrote to the console as an error."""
    page = chrome.new_context(**{"viewport": dict(width=1280, height=900), **options}).new_page()
    page.outside, page.broken, page.errors = [], [], []
    def leaves(address): return urlsplit(address).scheme in {"http", "https", "ws", "wss"} and urlsplit(address).hostname not in HERE
    def gate(route):
        if not leaves(route.request.url): return route.continue_()
        page.outside.append(route.request.url)
        route.abort()
    page.route("**/*", gate)
    page.on("websocket", lambda s: page.outside.append(s.url) if leaves(s.url) else None)
    page.on("response", lambda r: page.broken.append((r.status, r.url)) if r.status >= 400 else None)
    page.on("pageerror", lambda e: page.errors.append(str(e)))
    page.on("console", lambda m: page.errors.append(m.text) if m.type == "error" else None)
    page.set_default_timeout(30_000)
    return page

@pytest.fixture
def page(chrome):
    "A fresh page for a test; see `open_page`."
    page = open_page(chrome)
    yield page
    page.context.close()


# servers

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]

def settle(folder):
    "Environment of a server that neither reads nor writes anybody's own Jupyter settings."
    overrides = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
    (folder/"config"/"labconfig").mkdir(parents=True)
    (folder/"config"/"labconfig"/"default_setting_overrides.json").write_text(json.dumps(overrides))
    own = {f"JUPYTER_{k.upper()}_DIR": str(folder/k) for k in ("config", "data", "runtime")}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, **own, "IPYTHONDIR": str(folder/"ipython"), "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
            "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ.get("PATH", "")}

def command(kind, root, port, notebook):
    if kind == "lab":
        return ["-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0",
                "--IdentityProvider.token=", f"--ServerApp.root_dir={root}", "--LabApp.expose_app_in_browser=True"]
    if kind == "voila": return ["-m", "voila", str(notebook), "--no-browser", "--Voila.ip=127.0.0.1", f"--port={port}"]
    if kind == "files": return ["-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(root)]
    raise ValueError(f"kind {kind!r}: lab, voila or files")

def wait_for(port, server, log, patience=180):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1): return
        if server.poll() is not None: break
        time.sleep(.1)
    raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')[-2000:]}")

@contextlib.contextmanager
def serve(
    root,           # folder that is served
    kind="lab",     # lab, voila (one notebook as an app) or files (a built site)
    notebook=None,  # for voila: the notebook, relative to root
):                  # its address, without a closing slash
    "A server on the loopback address, gone at the end, with its kernels."
    with tempfile.TemporaryDirectory() as scratch:
        port, scratch = free_port(), Path(scratch)
        log = scratch/"log"
        with open(log, "w") as out:
            server = subprocess.Popen([sys.executable, *command(kind, root, port, notebook)], cwd=root, env=settle(scratch),
                                      stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            wait_for(port, server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGTERM)
            try: server.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


# JupyterLab

IDLE = "() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
DONE = """() => { const cells = window.jupyterapp.shell.currentWidget.content.widgets
                      .filter(c => c.model.type === 'code' && c.model.sharedModel.source.trim());
                  return cells.every(c => c.model.executionCount !== null && c.model.executionState !== 'running'); }"""

def open_notebook(page, url, notebook, patience=60):
    "Open a notebook in JupyterLab's one-document mode and wait until its kernel is idle."
    page.goto(f"{url}/doc/tree/{notebook}?reset")
    page.wait_for_function(IDLE, timeout=patience*1000)

def run_all(page, url, notebook, patience=120):
    "Open a notebook in JupyterLab, run all of its cells and wait until the last one is done [seconds of patience]."
    open_notebook(page, url, notebook)
    page.evaluate("async () => { await window.jupyterapp.commands.execute('notebook:run-all-cells') }")
    page.wait_for_function(DONE, timeout=patience*1000)
    page.wait_for_function(IDLE, timeout=patience*1000)

def run_python(page, code):
    "Run a line of Python in the open notebook's kernel and return what it printed."
    return page.evaluate("""async code => {
        const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
        const future = kernel.requestExecute({code}), said = [];
        future.onIOPub = m => { if (m.header.msg_type === 'stream') said.push(m.content.text);
                                if (m.header.msg_type === 'error') said.push(m.content.evalue) };
        await future.done; return said.join('') }""", code)

def python(page, expression):
    "The value of an expression in the open notebook's kernel; what JSON does not know comes as its text."
    for _ in range(20):   # on a busy machine the answer may come too late, or among what another thread says
        said = run_python(page, f"import json; print('answer:' + json.dumps({expression}, default=repr))")
        if found := re.search(r"(?m)^answer:(.*)$", said): return json.loads(found[1])
        page.wait_for_timeout(200)
    raise AssertionError(f"the kernel did not say what {expression} is, but {said[:200]!r}")

def follows(page, expression, wanted, seconds=30):
    "Wait until the kernel agrees; messages from the page take a moment."
    for _ in range(seconds*5):
        if (said := python(page, expression)) == wanted: return
        page.wait_for_timeout(200)
    assert said == wanted

def box_of(locator):
    "Where something is on the page; what is just being drawn anew is nowhere for a moment."
    for _ in range(100):
        if place := locator.bounding_box(): return place
        locator.page.wait_for_timeout(100)
    raise AssertionError(f"{locator} is not to be seen")

def drag(page, start, stop):
    "From one point of the board to another, both in 0..1."
    r = box_of(page.locator("svg.board"))
    def at(p): return r["x"] + p[0]*r["width"], r["y"] + p[1]*r["height"]
    page.mouse.move(*at(start))
    page.mouse.down()
    page.mouse.move(*at([(a + b)/2 for a, b in zip(start, stop)]))
    page.mouse.move(*at(stop))
    page.mouse.up()
