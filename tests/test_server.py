"The explorer's server: what it is started with, what it opens, and that it ends."
import json, os, signal, subprocess, sys

import pytest

from anyms import server
from test_cli import run


@pytest.fixture
def opened(monkeypatch):
    "What a server would have been started with."
    calls = []
    class Server:
        def __init__(self, command, env):
            home = env["JUPYTER_CONFIG_PATH"].split(os.pathsep)[0]
            settings = json.loads(open(f"{home}/voila.json").read())
            news = json.loads(open(f"{home}/labconfig/default_setting_overrides.json").read())
            assert news["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"
            assert env.get("GOMP_SPINCOUNT") or env.get("OMP_WAIT_POLICY")
            calls.append((command, settings["Voila"]["tornado_settings"]["headers"]["Content-Security-Policy"]))
        def wait(self): return 0
        def poll(self): return 0
    monkeypatch.setattr(server.subprocess, "Popen", Server)
    return calls


def test_explore_writes_a_notebook_and_opens_it(opened, tmp_path):
    import nbformat
    done = run("explore", tmp_path/"new", "--no-browser", "--port", 9999)
    notebook = nbformat.read(tmp_path/"new"/"anyms-explorer.ipynb", 4)
    nbformat.validate(notebook)
    sources = [c.source for c in notebook.cells]
    assert done.exit_code == 0 and any("Compared(player" in s for s in sources) and any("play(" in s for s in sources)
    (command, policy), = opened
    assert command[1] == "-c" and "serve_app" in command[2] and "--port=9999" in command and "--no-browser" in command and "https:" not in policy


def test_explore_opens_jupyterlab(opened, tmp_path):
    assert run("explore", tmp_path, "--lab").exit_code == 0 and opened[0][0][1:3] == ["-m", "jupyterlab"]


def test_explore_keeps_your_own_notebook(opened, tmp_path):
    (tmp_path/"anyms-explorer.ipynb").write_text("mine")
    run("explore", tmp_path)
    assert (tmp_path/"anyms-explorer.ipynb").read_text() == "mine"


def test_explore_without_voila(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    done = run("explore", tmp_path)
    assert done.exit_code == 2 and "pip install voila, or use anyms explore --lab" in done.stderr and not opened


def test_explore_hands_on_the_servers_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "server_command", lambda *a: [sys.executable, "-c", "raise SystemExit(3)"])
    assert run("explore", tmp_path).exit_code == 3


def test_explore_ends_its_server_when_it_is_told_to_end(tmp_path):
    "TERM, as a service manager or a closed terminal sends it, and not only Ctrl-C."
    sleeper = f"import os, pathlib, time; pathlib.Path({str(tmp_path/'pid')!r}).write_text(str(os.getpid())); time.sleep(600)"
    code = (f"import sys; from anyms import cli, server; server.server_command = lambda *a: [sys.executable, '-c', {sleeper!r}]; "
            f"cli.app(['explore', {str(tmp_path)!r}])")
    ours = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    try:
        while not (tmp_path/"pid").exists() or not (tmp_path/"pid").read_text(): assert ours.poll() is None
        pid = int((tmp_path/"pid").read_text())
        ours.send_signal(signal.SIGTERM)
        assert ours.wait(60) == 0
        with pytest.raises(ProcessLookupError): os.kill(pid, 0)
    finally: ours.kill()


def test_kernels_of_closed_pages_end(opened, tmp_path):
    run("explore", tmp_path)
    run("explore", tmp_path, "--lab")
    (app, _), (lab, _) = opened
    assert "--MappingKernelManager.cull_idle_timeout=60" in app and not [w for w in lab if "cull" in w]


def test_explorer_cells_run(pipes, monkeypatch):
    "The notebook's code, on the tiny pipeline."
    monkeypatch.setattr("anyms.pipeline.loading.load", lambda *a, **k: pipes("sdxl-plus"))
    code = "\n".join(c["source"] for c in server.explorer()["cells"] if c["cell_type"] == "code")
    space = {}
    code = code.replace("play(pipe, prompt, layout)", "play(pipe, prompt, layout, num_inference_steps=2)").replace("\nCompared", "\nbelow = Compared")
    exec(code, space)
    player, below = space["player"], space["below"]
    player.wait()
    below.button.click()
    assert below.worker.wait(120) and below.runs.variants == ["full", "masked", "crop_merge"] and not player.error
    player.close()


# the first page

def test_importing_the_server_is_light():
    code = "import sys; from anyms import server; server.first_page(); print(sorted({'torch', 'voila', 'tornado', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"

def test_the_first_page_is_small_and_asks_nobody():
    from comparisons import asks_nothing_outside
    page = server.first_page()
    assert len(page) < 500_000 and "penguin" in page
    asks_nothing_outside(page)

def test_one_socket_for_the_first_page_and_what_comes_after():
    from urllib.request import urlopen
    first, second = server.FirstServer(), server.FirstServer()
    assert second.server_port > first.server_port, "the next free port"
    for address in (first.address, f"{first.address}app", f"{first.address}whatever"):
        with urlopen(address) as answer: assert answer.status == 200 and answer.read().decode() == server.first_page()
    with urlopen(f"{first.address}anyms/ready") as answer: assert answer.read() == b"no"
    waiting = first.hand_over()
    import threading
    got = []
    asker = threading.Thread(target=lambda: got.append(urlopen(first.address, timeout=20).read()))
    asker.start()                                   # nobody answers at this moment, and nobody refuses
    waiting.setblocking(True)
    connection, _ = waiting.accept()
    connection.recv(1000)
    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nlive")
    connection.close()
    asker.join()
    assert got == [b"live"]
    for one in (waiting, second.hand_over()): one.close()

def test_no_port_is_free(monkeypatch):
    monkeypatch.setattr(server, "PORTS", 1)
    taken = server.FirstServer()
    with pytest.raises(OSError): server.FirstServer(taken.server_port)
    taken.hand_over().close()
