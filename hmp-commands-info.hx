HXCOMM SPDX-License-Identifier: GPL-2.0-or-later
    {
        .name       = "dump",
        .args_type  = "",
        .params     = "",
        .help       = "Display the latest dump status",
        .cmd        = hmp_info_dump,
    },

SRST
  ``info dump``
    Display the status of the latest guest memory dump; while it is active, how
    much of it is finished. Further lines tell its size, phase, time and rate,
    and why it failed.
ERST

    {
        .name       = "vmcoreinfo",
        .args_type  = "",
        .params     = "",
        .help       = "Display the guest kernel's VMCOREINFO",
    },

SRST
  ``info vmcoreinfo``
    Display where the VMCOREINFO note of the guest's kernel is and what it says:
    as the guest's driver has told the vmcoreinfo device, or found by a search of
    the guest's memory. The guest goes on meanwhile.
ERST

    {
        .name       = "dump_parameters",
        .args_type  = "",
        .params     = "",
        .help       = "Display the defaults for guest memory dumps",
    },

SRST
  ``info dump_parameters``
    Display the defaults for guest memory dumps that ``dump_set_parameter`` has
    set.
ERST
