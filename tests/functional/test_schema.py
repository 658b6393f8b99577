# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands and types of dumps in query-qmp-schema."""

import pytest

from qmp import QMPError
from vm import VM

# Members that clients have used before this version.
STABLE_ARGUMENTS = {'paging', 'protocol', 'detach', 'begin', 'length',
                    'format'}
STABLE_RESULTS = {'status', 'completed', 'total'}


@pytest.fixture(scope='module')
def schema(running_vm):
    return {e['name']: e for e in running_vm.qmp.cmd('query-qmp-schema')}


def unstable(entity):
    return 'unstable' in entity.get('features', [])


def stable_members(schema, name):
    return {m['name'] for m in schema[name]['members'] if not unstable(m)}


def test_arguments(schema):
    command = schema['dump-guest-memory']
    assert not unstable(command)
    assert stable_members(schema, command['arg-type']) == STABLE_ARGUMENTS


def test_results(schema):
    command = schema['query-dump']
    assert not unstable(command)
    assert stable_members(schema, command['ret-type']) == STABLE_RESULTS


def test_commands(schema):
    # dump-skeys, which 10.2 has for all targets, is about storage keys.
    ours = {n for n, e in schema.items() if e['meta-type'] == 'command' and
            ('dump' in n.split('-') or n == 'query-vmcoreinfo')} - \
           {'dump-skeys'}
    assert {n for n in ours if not unstable(schema[n])} == {
        'dump-guest-memory', 'query-dump',
        'query-dump-guest-memory-capability'}
    assert 'dump-cancel' in ours


def test_formats(schema, running_vm):
    """The formats of this build, and no others."""
    arguments = schema[schema['dump-guest-memory']['arg-type']]['members']
    kind = next(m['type'] for m in arguments if m['name'] == 'format')
    formats = set(schema[kind]['values'])
    can = running_vm.qmp.cmd('query-dump-guest-memory-capability')['formats']
    # Listed only for guests that identify as Windows.
    assert formats - set(can) == {'win-dmp'}


def test_stable_only(out):
    """For a client that disables unstable interfaces, as a test of itself."""
    with VM('-m', '16M', '-compat', 'unstable-input=reject') as vm:
        with pytest.raises(QMPError) as e:
            vm.qmp.cmd('dump-guest-memory', paging=False, threads=1,
                       protocol=f'file:{out}')
        assert 'threads' in str(e.value)
        vm.qmp.cmd('dump-guest-memory', paging=False, protocol=f'file:{out}')
