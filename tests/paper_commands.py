"`anyms paper ...` as somebody types it: what it prints, or its one sentence of refusal."
from typer.testing import CliRunner

from anyms import cli


def run(*words): return CliRunner().invoke(cli.app, ["paper", *map(str, words)])

def ok(*words):
    done = run(*words)
    assert done.exit_code == 0, done.output + done.stderr
    return done.stdout

def refused(*words):
    done = run(*words)
    assert done.exit_code == 2, done.output
    line, = done.stderr.strip().splitlines()[-1:]
    assert line.startswith("anyms: ")
    return line
