HXCOMM SPDX-License-Identifier: GPL-2.0-or-later
    {
        .name       = "dump",
        .args_type  = "",
        .params     = "",
        .help       = "show the state of the latest guest memory dump",
        .cmd        = hmp_info_dump,
    },

SRST
  ``info dump``
    Show the state of the latest guest memory dump.
ERST
