HXCOMM SPDX-License-Identifier: GPL-2.0-or-later
    {
        .name       = "dump-guest-memory",
        .args_type  = "paging:-p,detach:-d,live:-L,windmp:-w,zlib:-z,lzo:-l,snappy:-s,zstd:-Z,raw:-R,node:-n,direct:-D,threads:-ts,exclude:-xs,bandwidth:-bs,filename:F,begin:l?,length:l?",
        .params     = "[-p] [-d] [-L] [-z|-l|-s|-w|-Z] [-R] [-n] [-D] [-t threads] [-x level] [-b bandwidth] filename [begin length]",
        .help       = "dump guest memory into file 'filename'.\n\t\t\t"
                      "-p: do paging to get guest's memory mapping.\n\t\t\t"
                      "-d: return immediately (do not wait for completion).\n\t\t\t"
                      "-L: do not stop the guest while its memory is written.\n\t\t\t"
                      "-z: dump in kdump-compressed format, with zlib compression.\n\t\t\t"
                      "-l: dump in kdump-compressed format, with lzo compression.\n\t\t\t"
                      "-s: dump in kdump-compressed format, with snappy compression.\n\t\t\t"
                      "-Z: dump in kdump-compressed format, with zstd compression.\n\t\t\t"
                      "-R: when using kdump (-z, -l, -s, -Z), use raw rather than makedumpfile-flattened\n\t\t\t"
                      "    format\n\t\t\t"
                      "-n: 'filename' is the name of a block node.\n\t\t\t"
                      "-D: leave nothing of the file in the host's page cache.\n\t\t\t"
                      "-t: number of threads that compress pages.\n\t\t\t"
                      "-x: exclude classes of pages of a Linux guest; makedumpfile's dump level, 0 to 31.\n\t\t\t"
                      "-b: maximum number of bytes written per second (MiB without a suffix).\n\t\t\t"
                      "-w: dump in Windows crashdump format (can be used instead of ELF-dump converting),\n\t\t\t"
                      "    for Windows x86 and x64 guests with vmcoreinfo driver only.\n\t\t\t"
                      "begin: the starting physical address.\n\t\t\t"
                      "length: the memory size, in bytes.",
        .cmd        = hmp_dump_guest_memory,
    },

SRST
``dump-guest-memory [-p] [-d] [-L] [-n] [-D] [-b bandwidth]`` *filename* [*begin* *length*]
  \ 
``dump-guest-memory [-d] [-L] [-z|-l|-s|-w|-Z] [-R] [-n] [-D] [-t threads] [-x level] [-b bandwidth]`` *filename*
  Write the guest's memory and the registers of its CPUs to *filename*. The
  guest is stopped during the dump. The monitor waits for the end and prints only
  errors and warnings. If it is on a terminal (standard output, a pty or a virtual
  console, but not a socket or pipe), it also displays the progress.
  ``dump-cancel`` in another monitor cancels the dump. Without ``-z``, ``-l``,
  ``-s``, ``-w`` or ``-Z`` the file has the default format, which is ELF unless
  ``dump_set_parameter`` has changed it.

  ``-p``
    describe memory by the guest's virtual addresses, as gdb requires.
  ``-d``
    return immediately; ``info dump`` displays the progress.
  ``-L``
    do not stop the guest, except for a short moment; the dump contains its
    memory at that moment. It is an error if this is not possible, as without
    ``-d`` through ``human-monitor-command``.
  ``-z``
    kdump-compressed format with zlib pages.
  ``-l``
    kdump-compressed format with LZO pages.
  ``-s``
    kdump-compressed format with snappy pages.
  ``-R``
    with ``-z``, ``-l``, ``-s`` or ``-Z``, do not use makedumpfile's flattened
    format. The output must be seekable. It is an error without one of these
    options.
  ``-w``
    Windows crash dump, for Windows guests with the vmcoreinfo driver.
  ``-Z``
    kdump-compressed format with zstd pages.
  ``-t`` *threads*
    number of threads that compress pages, from 1 to 64. The default is the
    number of processors that QEMU may run on, with ``-L`` minus the number of
    guest CPUs, but at least 1 and at most 16.
  ``-n``
    *filename* is the name of a block node, which must not be in use.
  ``-D``
    leave nothing of the file in the host's page cache.
  ``-x`` *level*
    exclude classes of pages of a Linux guest: the sum of 1 (zero pages), 2 (page
    cache without private data), 4 (all of the page cache), 8 (memory of user
    processes) and 16 (free pages), as for ``makedumpfile -d``. Not supported with
    ``-p`` or ``-w``.
  ``-b`` *bandwidth*
    maximum number of bytes written per second, for example ``50M``; in MiB if it
    has no suffix. 0 means no limit.
  *filename*
    the file to write.
  *begin*
    guest-physical address of the first byte to dump; requires *length*.
  *length*
    number of bytes to dump from *begin* on.
ERST

    {
        .name       = "dump-cancel",
        .args_type  = "",
        .params     = "",
        .help       = "cancel the running guest memory dump",
    },

SRST
``dump-cancel``
  Cancel the running guest memory dump. The guest is resumed.
ERST

    {
        .name       = "dump_set_parameter",
        .args_type  = "parameter:s,value:s?",
        .params     = "parameter [value]",
        .help       = "set a default for guest memory dumps, or remove it if there is no value",
    },

SRST
``dump_set_parameter`` *parameter* [*value*]
  Set the default of an argument that is absent from commands that start guest
  memory dumps; without *value*, remove the default. *parameter* is one of
  ``format``, ``threads``, ``vmcoreinfo``, ``exclude``, ``live``,
  ``live-buffer``, ``live-fd``, ``max-bandwidth`` (in bytes) and ``direct``. The
  value is the same as for the argument of the QMP command
  ``dump-guest-memory``; for ``exclude`` it is a dump level, as for ``-x`` of
  ``dump-guest-memory``, or a list of names of classes, separated by commas.
  The defaults also apply to ``dump-guest-memory`` of the human monitor if the
  corresponding option is not given. ``-L`` takes precedence over the default of
  ``live``, but there is no option to stop the guest if the default is a live
  dump.
ERST
