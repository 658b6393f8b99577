# SPDX-License-Identifier: GPL-2.0-or-later
"""The code contains the messages that docs/system explains."""

import os
import re

from conftest import REPO, tree_apply

# Parts of messages that come from QEMU, the system or a device's name.
OTHERS = ['No such file or directory', 'No space left on device',
          'dump-guest-memory: unsupported option -',
          "the guest has a 'vhost-user-"]


def code():
    """All strings in dump/, adjacent ones joined, with conversions cut out."""
    texts = []
    for path in tree_apply.walk(os.path.join(REPO, 'dump')):
        if path.endswith('.c'):
            text = tree_apply.read(os.path.join(REPO, 'dump', path))
            text = re.sub(r'"\s*(?:PRI\w+\s*)?"', '', text)
            texts.append(re.sub(r'%[-#0-9.*]*(?:ll|z|l)?[a-zA-Z]', '\0', text))
    return '\n'.join(texts)


def explained():
    """The messages explained in the section on refusals."""
    text = tree_apply.read(os.path.join(REPO,
                                        'docs/system/guest-memory-dump.rst'))
    section = re.search(r'(?ms)^When QEMU refuses\n-+\n(.*?)'
                        r'^Errors about arguments', text)[1]
    entries = re.findall(r'(?m)^(?:  )?(``.+``)$', section)
    assert len(entries) > 30
    return [message for entry in entries
            for message in re.findall(r'``(.+?)``', entry)]


def unknown(messages):
    """Parts between '...' that are neither in the code nor in OTHERS."""
    known = code() + '\n'.join(OTHERS)
    parts = [part.strip(" ':") for message in messages
             for part in message.removeprefix('dump: ').split('...')]
    return [part for part in parts if part and part not in known]


def test_explained_messages_exist():
    assert unknown(explained()) == []


def test_planted():
    assert unknown(["Parameter 'format': '...' is no default"]) == [
        'is no default']


def sentences(text):
    """Error messages that end with a period."""
    return re.findall(r'\berror_setg\w*\([^";]*"([^"]*\.)"', text)


def test_no_period():
    """As QEMU's coding style demands; these are QEMU's own messages."""
    assert set(sentences(code())) == {
        'Dump not allowed during incoming migration.',
        'There is a dump in process, please wait.'}


def test_planted_period():
    assert sentences('error_setg(errp, "dump: \0 failed.", 1);') == [
        'dump: \0 failed.']
