"As a new user: one command, `anyms explore`, and a slider in the browser moves the pictures."
# ruff: noqa: F811  (fixtures are imported by their names)
import os, signal, subprocess, sys

import pytest

from chrome import chrome, free_port, page, settle, wait_for  # noqa: F401
from conftest import embedded_weights


@pytest.mark.skipif(not embedded_weights(), reason="anyms/stickers/weights is not there")
def test_one_command_to_the_first_moved_slider(page, tmp_path):
    (tmp_path/"jupyter").mkdir()
    port, log = free_port(), tmp_path/"log"
    with open(log, "w") as out:
        command = [sys.executable, "-c", "from anyms.cli import app; app()", "explore", "mine", "--no-browser", f"--port={port}"]
        server = subprocess.Popen(command, cwd=tmp_path, env=settle(tmp_path/"jupyter"), stdin=subprocess.DEVNULL,
                                  stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        wait_for(port, server, log)
        page.goto(f"http://127.0.0.1:{port}/", timeout=280_000)
        page.locator(".anyms-editor .tray .tile").first.wait_for(timeout=60_000)
        slider = page.locator(".anyms-explorer input[type=range]").first
        slider.wait_for(timeout=60_000)
        panel = page.locator(".anyms-explorer").first
        slider.focus()
        value, before = slider.input_value(), panel.screenshot()
        page.keyboard.press("Home")
        page.wait_for_timeout(500)
        assert slider.input_value() != value and panel.screenshot() != before
        if os.environ.get("ANYMS_SHOTS"): page.screenshot(path=f"{os.environ['ANYMS_SHOTS']}/explore.png", full_page=True)
    finally:
        server.send_signal(signal.SIGINT)
        try: server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
    assert not page.outside, page.outside
    assert (tmp_path/"mine"/"anyms-explorer.ipynb").exists()
    assert not [e for e in page.errors if "anyms" in e.lower()], page.errors
