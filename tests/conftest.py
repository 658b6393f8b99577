# SPDX-License-Identifier: GPL-2.0-or-later
"""Temporary files of passed tests are removed."""

import os
import shutil

import pytest

claimed = set()


@pytest.hookimpl(hookwrapper=True)
def pytest_fixture_setup(fixturedef, request):
    """Empty the temporary folders that a fixture made, including tmp_path's,
    when the fixture is torn down, unless a test failed meanwhile. (pytest 7.3
    and later can do so at the end of the run.) The empty folders are kept, so
    that their names are not used again."""
    session = request.session
    failed = session.testsfailed
    top = request.config._tmp_path_factory.getbasetemp()
    made = set()

    def remove():
        if session.testsfailed == failed:
            for path in made:
                if not os.path.islink(path):    # link to the newest folder
                    shutil.rmtree(path, ignore_errors=True)
                    os.makedirs(path, exist_ok=True)

    # Finalizers run in reverse order: this one after those of the fixture.
    fixturedef.addfinalizer(remove)
    before = set(top.iterdir())
    yield
    # Folders of fixtures that were set up meanwhile are not ours.
    made |= set(top.iterdir()) - before - claimed
    claimed.update(made)


def pytest_sessionfinish(session):
    if not session.testsfailed and hasattr(session.config,
                                           '_tmp_path_factory'):
        shutil.rmtree(session.config._tmp_path_factory.getbasetemp(),
                      ignore_errors=True)
