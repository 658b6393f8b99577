HXCOMM SPDX-License-Identifier: GPL-2.0-or-later
    {
        .name       = "dump-guest-memory",
        .args_type  = "paging:-p,detach:-d,live:-L,windmp:-w,zlib:-z,lzo:-l,snappy:-s,zstd:-Z,raw:-R,node:-n,direct:-D,threads:-ts,exclude:-xs,bandwidth:-bs,filename:F,begin:l?,length:l?",
        .params     = "[-p] [-d] [-L] [-z|-l|-s|-w|-Z] [-R] [-n] [-D] [-t threads] [-x level] [-b bandwidth] filename [begin length]",
        .help       = "dump guest memory into file 'filename'.\n\t\t\t"
                      "-p: do paging to get guest's memory mapping.\n\t\t\t"
                      "-d: return immediately (do not wait for completion).\n\t\t\t"
                      "-L: let the guest run on while its memory is written; needs -d.\n\t\t\t"
                      "-z: dump in kdump-compressed format, with zlib compression.\n\t\t\t"
                      "-l: dump in kdump-compressed format, with lzo compression.\n\t\t\t"
                      "-s: dump in kdump-compressed format, with snappy compression.\n\t\t\t"
                      "-Z: dump in kdump-compressed format, with zstd compression.\n\t\t\t"
                      "-R: when using kdump (-z, -l, -s, -Z), use raw rather than makedumpfile-flattened\n\t\t\t"
                      "    format\n\t\t\t"
                      "-n: 'filename' is the name of a block node.\n\t\t\t"
                      "-D: leave nothing of the file in the host's page cache.\n\t\t\t"
                      "-t: number of threads that compress pages.\n\t\t\t"
                      "-x: leave pages out, by a Linux guest's word; makedumpfile's dump level, 0 to 31.\n\t\t\t"
                      "-b: write no more than so many bytes per second (MiB without a suffix).\n\t\t\t"
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
  guest is stopped meanwhile. The monitor waits for the end and prints nothing
  but an error or a warning; one on a terminal (standard output, a pty or a
  virtual console, not a socket or pipe) also shows the progress.
  ``dump-cancel`` in another monitor stops the dump. Without ``-z``, ``-l``,
  ``-s``, ``-w`` or ``-Z`` the file is an ELF core.

  ``-p``
    describe memory by the guest's virtual addresses, as gdb needs it.
  ``-d``
    return at once; ``info dump`` shows the progress.
  ``-L``
    let the guest run on: it stands still for one moment, and the dump is of
    its memory at that moment. Needs ``-d``, and is refused where it cannot be
    done.
  ``-z``
    kdump-compressed format with zlib pages.
  ``-l``
    kdump-compressed format with LZO pages.
  ``-s``
    kdump-compressed format with snappy pages.
  ``-R``
    with ``-z``, ``-l``, ``-s`` or ``-Z``: the format itself, not wrapped in
    makedumpfile's flattened form. The output must be able to seek. Without
    one of those it is refused.
  ``-w``
    Windows crash dump, for Windows guests with the vmcoreinfo driver.
  ``-Z``
    kdump-compressed format with zstd pages.
  ``-t`` *threads*
    how many threads compress pages, 1 to 64; by default one for each
    processor that QEMU may run on, at most 16; with ``-L`` less one for each
    CPU of the guest, but not less than one.
  ``-n``
    *filename* is the name of a block node, which nothing else uses.
  ``-D``
    leave nothing of the file in the host's page cache.
  ``-x`` *level*
    leave out pages of a Linux guest that few need: the sum of 1 (zero pages), 2
    (page cache without private data), 4 (all of the page cache), 8 (memory of
    user processes) and 16 (free pages), as for ``makedumpfile -d``. Not with
    ``-p`` or ``-w``.
  ``-b`` *bandwidth*
    write no more than so many bytes per second, such as ``50M``; without a
    suffix they are MiB. 0 is no limit.
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

    {
        .name       = "dump_set_parameter",
        .args_type  = "parameter:s,value:s?",
        .params     = "parameter [value]",
        .help       = "set a default for guest memory dumps; without value: none",
    },

SRST
``dump_set_parameter`` *parameter* [*value*]
  Set the default of an argument that a guest memory dump is asked for without;
  if there is no *value*, it has no default any more. *parameter* is one of
  ``format``, ``threads``, ``vmcoreinfo``, ``exclude``, ``live``,
  ``live-buffer``, ``live-fd``, ``max-bandwidth`` (bytes) and ``direct``; the value is
  that of the argument of ``dump-guest-memory`` in QMP. ``exclude`` takes a dump level as ``-x`` of
  ``dump-guest-memory``, or names of classes with commas in between.
  Where ``dump-guest-memory`` of this monitor has no flag for a format, the
  default is taken; ``-L`` wins over it, but no flag says that the guest is to be
  stopped.
ERST
