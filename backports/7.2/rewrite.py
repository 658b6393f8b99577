# SPDX-License-Identifier: GPL-2.0-or-later
#
# Replacements for QEMU 7.2 that macros cannot make: file -> (pattern,
# replacement) pairs for re.sub(), applied by scripts/qemu-tree to its copies
# of our files. Each pattern must match.

import re


def _argument(match):
    """Align continuation lines with the first line's text."""
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
        # 7.2 maps files of guest memory from their start. (Only the x-remote
        # machine does not, and it has no CPU to dump.)
        ('rb->fd_offset', '0'),
    ],
    'dump/dump.c': [
        # In 7.2, optional structures and strings have a has_ member, too.
        (r'(?m)^( +)result->live = job->live \?',
         r'\1result->has_live = job->live || job->live_info;\n\g<0>'),
    ],
    'dump/dump-live.c': [
        (r'(?m)^( +)info->stopped_reason =',
         r'\1info->has_stopped_reason = true;\n\g<0>'),
    ],
    'dump/vmcoreinfo-query.c': [
        (r'note->has_address = ', 'note->has_text = note->has_address = '),
    ],
    'qapi/dump.json': [
        (r'(?m)^# \.\. qmp-example::\n((?:#\n|#     .*\n)+)', _example),
        (r'(?m)^(# @[\w-]+: )(\S.*\n)((?:#    +\S.*\n)+)', _argument),
    ],
}
