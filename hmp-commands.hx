HXCOMM SPDX-License-Identifier: GPL-2.0-or-later
    {
        .name       = "dump-guest-memory",
        .args_type  = "paging:-p,detach:-d,windmp:-w,zlib:-z,lzo:-l,snappy:-s,raw:-R,zstd:-Z,threads:-ts,filename:F,begin:l?,length:l?",
        .params     = "[-p] [-d] [-z|-l|-s|-w|-Z] [-R] [-t threads] filename [begin length]",
        .help       = "write guest memory and CPU registers to 'filename'.\n\t\t\t"
                      "-p: describe memory by guest-virtual addresses (for gdb)\n\t\t\t"
                      "-d: return at once; 'info dump' shows the progress\n\t\t\t"
                      "-z: kdump-compressed format, zlib pages\n\t\t\t"
                      "-l: kdump-compressed format, LZO pages\n\t\t\t"
                      "-s: kdump-compressed format, snappy pages\n\t\t\t"
                      "-R: with -z, -l, -s or -Z: not wrapped in the flattened\n\t\t\t"
                      "    form\n\t\t\t"
                      "-Z: kdump-compressed format, zstd pages\n\t\t\t"
                      "-t: number of threads that compress pages\n\t\t\t"
                      "-w: Windows crash dump, for Windows guests with the\n\t\t\t"
                      "    vmcoreinfo driver\n\t\t\t"
                      "begin: first guest-physical address, ELF only\n\t\t\t"
                      "length: number of bytes from there on",
        .cmd        = hmp_dump_guest_memory,
    },

SRST
``dump-guest-memory [-p] [-d]`` *filename* [*begin* *length*]
  \ 
``dump-guest-memory [-d] [-z|-l|-s|-w|-Z] [-R] [-t threads]`` *filename*
  Write the guest's memory and the registers of its CPUs to *filename*. The
  guest is stopped meanwhile. The monitor shows the progress and waits for the
  end; ``dump-cancel`` in another one stops it. Without ``-z``, ``-l``, ``-s``, ``-w`` or ``-Z``
  the file is an ELF core.

  ``-p``
    describe memory by the guest's virtual addresses, as gdb needs it.
  ``-d``
    return at once; ``info dump`` shows the progress.
  ``-z``
    kdump-compressed format with zlib pages.
  ``-l``
    kdump-compressed format with LZO pages.
  ``-s``
    kdump-compressed format with snappy pages.
  ``-R``
    with ``-z``, ``-l``, ``-s`` or ``-Z``: the format itself, not wrapped in
    makedumpfile's flattened form. The output must be able to seek.
  ``-w``
    Windows crash dump, for Windows guests with the vmcoreinfo driver.
  ``-Z``
    kdump-compressed format with zstd pages.
  ``-t`` *threads*
    how many threads compress pages, 1 to 64; by default one for each
    processor that QEMU may run on, at most 16.
  *filename*
    the file to write.
  *begin*
    first guest-physical address to dump; goes with *length*.
  *length*
    number of bytes to dump from *begin* on.
ERST

    {
        .name       = "dump-cancel",
        .args_type  = "",
        .params     = "",
        .help       = "stop the running guest memory dump",
    },

SRST
``dump-cancel``
  Stop the running guest memory dump. The guest is resumed.
ERST
