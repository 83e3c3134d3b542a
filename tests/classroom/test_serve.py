"The wall's server on the loopback address: who is let in, what nonsense gets, and forty phones of which none loses its picture."
import json
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from threading import Event

import pytest
from PIL import Image

from anyms.classroom import serve
from anyms.classroom.crowd import send_crowd, some_drawing
from anyms.classroom.opening import open_wall, picture_folder, wall_addresses
from anyms.classroom.pages import HEADERS, sticker_tray
from anyms.classroom.painter import Painter, sticker_painter
from anyms.classroom.room import Room
from anyms.classroom.serve import ADDRESSES, WallServer, is_private
from anyms.classroom.terminal import WOULD
from chrome import free_port

def dots(orders): return [Image.new("RGB", (16, 16), (order.number, 0, 0)) for order in orders]

@pytest.fixture
def room(): return Room()

@pytest.fixture
def server(room):
    with WallServer(room) as server: yield server

def ask(server, path, message=None, token="", method=None, body=None, **headers):
    "Status, headers and JSON (or bytes) of an answer."
    head = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
    link = HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        body = json.dumps(message).encode() if message is not None else body
        link.request(method or ("GET" if body is None else "POST"), path, body, head)
        reply = link.getresponse()
        content = reply.read()
        return reply.status, reply.headers, json.loads(content) if content and "json" in reply.headers.get("Content-Type", "") else content
    finally: link.close()

def enter(server): return ask(server, "/join", dict(code=server.room.code))[2]["token"]

def sentence(answer, status):
    "The one sentence of a refusal, which has the same head as every answer."
    got, head, said = answer
    assert got == status and set(said) == {"sentence"} and said["sentence"].endswith(".") and "Traceback" not in said["sentence"]
    assert all(head[name] == value for name, value in HEADERS.items()) and "Server" not in head
    assert "Access-Control-Allow-Origin" not in head and "Set-Cookie" not in head
    return said["sentence"]

# who

def test_pages_hold_no_secret(server, room):
    for path in ("/", "/wall", "/wall.js", "/page.js", "/wall.css"):
        status, head, content = ask(server, path)
        assert status == 200 and room.code.encode() not in content and room.teacher.encode() not in content
        assert all(head[name] == value for name, value in HEADERS.items())

def test_everything_else_needs_a_secret(server, room):
    for path in ("/state", "/wall/state"): sentence(ask(server, path), 401)
    for path, message in (("/draw", some_drawing(1)), ("/vote", dict(question=0, option=1)), ("/wall/command", dict(action="clear"))):
        sentence(ask(server, path, message), 401)
    token = enter(server)
    sentence(ask(server, "/wall/state", token=token), 401)
    sentence(ask(server, "/wall/command", dict(action="renew"), token), 401)
    assert ask(server, "/wall/state", token=room.teacher)[2]["code"] == room.code

@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "", "localhost:99999"])
def test_another_host_is_refused_everywhere(server, host):
    for path in ("/", "/wall", "/state", "/stickers", "/nowhere"): sentence(ask(server, path, Host=host), 421)

def test_our_own_names_are_welcome(server):
    for host in server.hosts: assert ask(server, "/", Host=host)[0] == 200

def test_another_origin_is_refused(server):
    token = enter(server)
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{server.port + 1}"): sentence(ask(server, "/draw", some_drawing(1), token, Origin=origin), 403)
    assert ask(server, "/draw", some_drawing(1), token, Origin=f"http://127.0.0.1:{server.port}")[0] == 200

def test_a_preflight_gets_nothing(server): assert ask(server, "/draw", method="OPTIONS", Origin="http://evil.example")[0] in (403, 405)

def test_an_address_beyond_the_room(server, monkeypatch):
    monkeypatch.setattr(serve, "is_private", lambda address: False)
    sentence(ask(server, "/"), 403)

@pytest.mark.parametrize("address, private", [("10.1.2.3", True), ("172.16.0.9", True), ("192.168.0.1", True), ("127.0.0.1", True), ("::1", True), ("fe80::1%eth0", True),
    ("::ffff:192.168.1.2", True), ("::ffff:8.8.8.8", False), ("8.8.8.8", False), ("0.0.0.0", False), ("2001:4860::8888", False), ("", False), ("wall.example", False)])
def test_which_addresses_are_private(address, private): assert is_private(address) is private

def test_a_public_address_is_refused_before_anything_opens(room):
    with pytest.raises(ValueError, match=r"address '8\.8\.8\.8' is no address of a room"): WallServer(room, ["8.8.8.8"])

# nonsense

BAD = [b"", b"{", b"nonsense", b"null", b"[1]", b"\xff\xfe", b"[" * 4000, b'{"a":' * 700, b'{"stickers": NaN}', b"{}", b" " * 5000, b"x" * 60000,
       b'{"place": "on the beach", "stickers": [{"noun": "fox", "box": [0, 0, 1e999, 1]}]}', b'{"code": "\\ud800"}', b'{"code": 7}', b'{"action": ["clear"]}']

def test_nonsense_gets_a_sentence_and_harms_nobody(server, room):
    token = enter(server)
    ask(server, "/draw", some_drawing(1), token)
    before = json.dumps(room.wall_state(room.teacher))
    for body in BAD:
        for path in ("/draw", "/vote", "/wall/command", "/join"):
            if path == "/join" and body == BAD[-3]: continue          # a code, if a wrong one: below
            status, _, said = answer = ask(server, path, body=body, token=room.teacher if path == "/wall/command" else token)
            while status == 429:                                      # we are too fast for one phone: that, too, is a sentence
                time.sleep(.25)
                status, _, said = answer = ask(server, path, body=body, token=room.teacher if path == "/wall/command" else token)
            assert 400 <= status < 500 and sentence(answer, status), (path, body[:20], said)
    assert json.dumps(room.wall_state(room.teacher)) == before
    assert sentence(ask(server, "/join", body=BAD[-3]), 403)

def test_other_content_types_are_refused(server):
    token = enter(server)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "text/json", ""): sentence(ask(server, "/draw", some_drawing(1), token, Content_Type=kind), 415)
    sentence(ask(server, "/draw", some_drawing(1), token, Content_Type="multipart/form-data"), 400)      # tornado reads forms by itself

def test_too_large_a_body_is_cut_off(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as link:
        link.sendall(f"POST /join HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: 99999999\r\n\r\n".encode())
        assert link.recv(100).startswith(b"HTTP/1.1 400")
    assert ask(server, "/")[0] == 200

@pytest.mark.parametrize("raw", [b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x00"*200 + b"\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"X: y\r\n"*5000 + b"\r\n", b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_garbage_on_the_wire(server, raw):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as link:
        link.sendall(raw)
        link.settimeout(5)
        answer = link.recv(200)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert ask(server, "/")[0] == 200

def test_what_is_not_there(server):
    for path in ("/nowhere", "/../anyms/cli.py", "/picture/short", "/wall.py", "/static/page.js", "/picture/" + "A"*16): sentence(ask(server, path), 404)
    for method in ("PUT", "DELETE", "HEAD", "PATCH"):
        status, head, _ = ask(server, "/", method=method)
        assert status == 405 and head["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]

def test_too_fast_says_when_to_come_again(server):
    token = enter(server)
    answers = [ask(server, "/state", token=token) for _ in range(60)]
    slow = next(answer for answer in answers if answer[0] == 429)
    assert sentence(slow, 429) and int(slow[1]["Retry-After"]) >= 1
    time.sleep(.5)
    assert ask(server, "/state", token=token)[0] == 200

def test_a_flood_of_connections_is_bounded_and_passes(server, monkeypatch):
    monkeypatch.setattr(serve, "MOST_OF_ONE", 20)
    links = [socket.create_connection(("127.0.0.1", server.port), timeout=5) for _ in range(60)]
    closed = 0
    for link in links[20:]:
        link.settimeout(5)
        closed += link.recv(1) == b""
    assert closed == 40
    for link in links: link.close()
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            if ask(server, "/")[0] == 200: break
        except OSError: time.sleep(.1)
    assert ask(server, "/")[0] == 200

def test_a_server_leaves_nothing_behind(room):
    with WallServer(room) as server: port = server.port
    assert not server.thread.is_alive()
    with socket.socket() as s: s.bind(("127.0.0.1", port))

def test_a_port_in_use_is_an_error_at_once(server, room):
    with pytest.raises(OSError), WallServer(room, port=server.port): pass

# a lesson

def test_one_phone_from_code_to_picture(server, room):
    token = enter(server)
    assert ask(server, "/stickers")[2] == sticker_tray()
    number = ask(server, "/draw", some_drawing(2), token)[2]["number"]
    version = ask(server, "/state?since=-1", token=token)[2]["version"]
    assert ask(server, f"/state?since={version}", token=token)[2] == dict(version=version)
    Painter(room, dots).work()
    order = ask(server, f"/state?since={version}", token=token)[2]["order"]
    status, head, picture = ask(server, f"/picture/{order['picture']}")
    assert (order["number"], order["state"], status, head["Content-Type"]) == (number, "done", 200, "image/webp") and picture[8:12] == b"WEBP"
    for action in ("next", "reveal"): assert ask(server, "/wall/command", dict(action=action), room.teacher)[0] == 200
    assert ask(server, "/wall/state", token=room.teacher)[2]["question"]["answer"] == 1

def test_forty_phones_lose_nothing(room):
    with WallServer(room) as server, Painter(room, dots) as painter:
        seen = send_crowd(server.url, room.code, room.teacher, 40, pause=.3)
    assert sorted(seen.pictures) == list(range(1, 41)) and seen.refused == [] and room.drawn == 40 and len(room.wall) == 25
    assert not painter.thread.is_alive() and not server.thread.is_alive()
    print(seen.table())

@pytest.mark.slow
def test_forty_phones_and_the_real_model(room):
    from anyms.pipeline.loading import load
    with WallServer(room) as server, Painter(room, sticker_painter(load("stickers"), 2)):
        seen = send_crowd(server.url, room.code, room.teacher, 40)
    assert sorted(seen.pictures) == list(range(1, 41)) and seen.refused == []
    print(seen.table())

# the command

def run(*arguments, **options): return subprocess.Popen([sys.executable, "-c", "from anyms.cli import app; app()", *arguments], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

def test_without_the_flag_nothing_opens():
    from typer.testing import CliRunner
    from anyms.cli import app
    result = CliRunner().invoke(app, ["class"])
    assert result.exit_code == 0 and result.output.strip() == WOULD and WOULD.startswith("anyms class --serve")

@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly(kind):
    port = free_port()
    command = run("class", "--serve", "--port", str(port), "--address", "127.0.0.1")
    try:
        said = [command.stdout.readline() for _ in range(3)]
        assert f"http://127.0.0.1:{port}/wall#" in said[0] and "Ctrl-C" in said[2]
        command.send_signal(kind)
        out, err = command.communicate(timeout=60)
    finally: command.kill()
    assert (command.returncode, out.strip(), err) == (0, "The wall is closed.", "")

def test_a_wall_in_a_thread():
    "Python hands signals to its main thread only; elsewhere, such as in a notebook's worker, the event ends the wall."
    end, said = Event(), []
    with ThreadPoolExecutor(1) as pool:
        room = pool.submit(open_wall, dots, ["127.0.0.1"], 0, echo=lambda text: (said.append(text), end.set()), end=end).result(60)
    assert len(said) == 1 and room.drawn == 0

def test_wrong_arguments_get_a_sentence(tmp_path):
    (tmp_path/"picture-0001.png").touch()
    with pytest.raises(ValueError, match="earlier wall"): picture_folder(tmp_path)
    with pytest.raises(ValueError, match="--minutes"): open_wall(dots, ["127.0.0.1"], 0, minutes=0)

def test_where_it_listens():
    assert wall_addresses("127.0.0.1") == ["127.0.0.1"] and wall_addresses("10.0.0.5") == ["10.0.0.5", "127.0.0.1"]
    assert is_private(wall_addresses()[-1])

def test_every_address_is_known(): assert len({path for path, *_ in ADDRESSES}) == len(ADDRESSES) == 13
