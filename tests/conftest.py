# SPDX-License-Identifier: GPL-2.0-or-later
"""What passed leaves no files behind."""

import os
import shutil

import pytest

claimed = set()


@pytest.hookimpl(hookwrapper=True)
def pytest_fixture_setup(fixturedef, request):
    """Temporary folders that a fixture makes, tmp_path's too, are emptied
    with it, unless a test failed meanwhile. (pytest does so from 7.3 on, at
    the end of the run.) Their names are not used again, so the folders
    stay."""
    session = request.session
    failed = session.testsfailed
    top = request.config._tmp_path_factory.getbasetemp()
    made = set()

    def remove():
        if session.testsfailed == failed:
            for path in made:
                if not os.path.islink(path):    # to the newest of a name
                    shutil.rmtree(path, ignore_errors=True)
                    os.makedirs(path, exist_ok=True)

    # Added before those of the fixture itself, so that it is run last.
    fixturedef.addfinalizer(remove)
    before = set(top.iterdir())
    yield
    # A fixture that was set up on the way has its own.
    made |= set(top.iterdir()) - before - claimed
    claimed.update(made)


def pytest_sessionfinish(session):
    if not session.testsfailed and hasattr(session.config,
                                           '_tmp_path_factory'):
        shutil.rmtree(session.config._tmp_path_factory.getbasetemp(),
                      ignore_errors=True)
