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
    Display the status of the latest guest memory dump and, while it is active,
    the percentage that is finished. Further lines display its size, phase, time
    and rate, and the error if it failed.
ERST

    {
        .name       = "vmcoreinfo",
        .args_type  = "",
        .params     = "",
        .help       = "Display the guest kernel's VMCOREINFO",
    },

SRST
  ``info vmcoreinfo``
    Display the location and the text of the VMCOREINFO note of the guest kernel,
    which was published by the guest's driver through the vmcoreinfo device, or
    found by a search of guest memory. The guest is not stopped.
ERST

    {
        .name       = "dump_parameters",
        .args_type  = "",
        .params     = "",
        .help       = "Display the defaults for guest memory dumps",
    },

SRST
  ``info dump_parameters``
    Display the defaults for guest memory dumps set by ``dump_set_parameter``.
ERST
