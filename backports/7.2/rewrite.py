# SPDX-License-Identifier: GPL-2.0-or-later
#
# What QEMU 7.2 writes differently in files that no macro can reach.
# scripts/qemu-tree passes every text that it puts into a 7.2 tree through
# rewrite().

import re


def _argument(match):
    """Continuation lines stand under the first line's text."""
    indent = ' ' * (len(match[1]) - 1)
    rest = re.sub(r'(?m)^#    +(?=\S)', '#' + indent, match[3])
    return match[1] + match[2] + rest


def _example(match):
    body = re.sub(r'(?m)^#     ', '# ', match[1])
    return '# Example:\n' + body


def _qapi(text):
    text = re.sub(r'(?m)^# \.\. qmp-example::\n((?:#\n|#     .*\n)+)',
                  _example, text)
    return re.sub(r'(?m)^(# @[\w-]+: )(\S.*\n)((?:#    +\S.*\n)+)',
                  _argument, text)


def rewrite(path, text):
    if path == 'dump/meson.build':
        return text.replace('system_ss', 'softmmu_ss').replace(
            'CONFIG_SYSTEM_ONLY', 'CONFIG_SOFTMMU')
    if path == 'dump/guest-memory.c':
        # Files of guest memory are mapped from their start there. (Only the
        # x-remote machine does otherwise, which has no CPU to dump.)
        return text.replace('rb->fd_offset', '0')
    if path == 'dump/dump.c':
        # Nor can an optional list do without.
        return text.replace(
            '    result->warnings = dump_job_warnings(job);\n',
            '    result->warnings = dump_job_warnings(job);\n'
            '    result->has_warnings = result->warnings;\n')
    if path == 'dump/dump-qmp.c':
        # An optional string has a has_ of its own there.
        return text.replace('const char *job_id, Error',
                            'bool has_job_id, const char *job_id,\n'
                            '                           Error')
    if path == 'dump/dump-hmp-cmds.c':
        return text.replace('NULL, errp);', 'false, NULL, errp);')
    if path == 'qapi/dump.json':
        return _qapi(text)
    return text
