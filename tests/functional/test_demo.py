# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/demo ends in order when it is interrupted."""

import os
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from guest import image
from vm import REPO
from wait import HANGS

pytestmark = [pytest.mark.guest, pytest.mark.once]

DEMO = os.path.join(REPO, 'scripts/lib/demo.py')


def machine(demo, folder):
    """The folder of the demo's machine, once its QEMU accepts commands."""
    while demo.poll() is None:
        for name in os.listdir(folder):
            if os.path.exists(f'{folder}/{name}/qmp'):
                return f'{folder}/{name}'
        time.sleep(0.05)
    raise AssertionError(demo.stderr.read())


@pytest.fixture
def short():
    """A temporary folder whose path leaves room for the name of a socket."""
    with tempfile.TemporaryDirectory(prefix='demo-') as folder:
        yield folder


@pytest.mark.parametrize('number, code', [
    (signal.SIGINT, 1), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_interrupted(tmp_path, short, number, code):
    """QEMU ends, and its files are removed; no traceback."""
    image()
    cache = os.environ.get('XDG_CACHE_HOME') or \
        os.path.expanduser('~/.cache')
    home = tmp_path / 'cache'
    home.mkdir()
    (home / 'qemu-guest-memory-dump').mkdir()
    (home / 'qemu-guest-memory-dump/guest').symlink_to(
        os.path.join(cache, 'qemu-guest-memory-dump/guest'))
    demo = subprocess.Popen(
        [sys.executable, DEMO], stderr=subprocess.PIPE, text=True,
        env={**os.environ, 'XDG_CACHE_HOME': str(home), 'TMPDIR': short},
        # A background job of a shell ignores it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    folder = machine(demo, short)
    demo.send_signal(number)
    _, said = demo.communicate(timeout=HANGS)
    assert demo.returncode == code, said
    assert 'Traceback' not in said
    assert not os.path.exists(folder)
    assert subprocess.run(['pgrep', '-f', folder],
                          capture_output=True).returncode == 1
