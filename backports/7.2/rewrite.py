# SPDX-License-Identifier: GPL-2.0-or-later
#
# What QEMU 7.2 writes differently in files that no macro can reach: of these
# texts that scripts/qemu-tree puts into a 7.2 tree, what is replaced (in the
# way of re.sub) and by what. Each has to be found.

import re


def _argument(match):
    """Continuation lines stand under the first line's text."""
    indent = ' ' * (len(match[1]) - 1)
    rest = re.sub(r'(?m)^#    +(?=\S)', '#' + indent, match[3])
    return match[1] + match[2] + rest


def _example(match):
    body = re.sub(r'(?m)^#     ', '# ', match[1])
    return '# Example:\n' + body


REWRITE = {
    'dump/meson.build': [
        ('system_ss', 'softmmu_ss'),
        ('CONFIG_SYSTEM_ONLY', 'CONFIG_SOFTMMU'),
    ],
    'dump/guest-memory.c': [
        # Files of guest memory are mapped from their start there. (Only the
        # x-remote machine does otherwise, which has no CPU to dump.)
        ('rb->fd_offset', '0'),
    ],
    'dump/dump.c': [
        # So has an optional structure.
        (r'(?m)^( +)result->live = job->live \?',
         r'\1result->has_live = job->live || job->live_info;\n\g<0>'),
    ],
    'dump/dump-live.c': [
        (r'(?m)^( +)info->stopped_reason =',
         r'\1info->has_stopped_reason = true;\n\g<0>'),
    ],
    'dump/vmcoreinfo-query.c': [
        # And so has one that is returned.
        (r'note->has_address = ', 'note->has_text = note->has_address = '),
    ],
    'qapi/dump.json': [
        (r'(?m)^# \.\. qmp-example::\n((?:#\n|#     .*\n)+)', _example),
        (r'(?m)^(# @[\w-]+: )(\S.*\n)((?:#    +\S.*\n)+)', _argument),
    ],
}
