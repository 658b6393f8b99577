/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * State of an x86 CPU for dumps. This is the only part that is compiled per
 * target. On targets other than i386 and x86_64, x86_cpu_get_paging returns
 * false and x86_cpu_get_winregs must not be called.
 *
 * BQL held; the CPU's state is synchronized.
 */

#ifndef DUMP_X86_CPU_H
#define DUMP_X86_CPU_H

#include "hw/core/cpu.h"
#include "vmcore/windmp-format.h"
#include "vmcore/x86-paging.h"

/* Returns false, with *@paging undefined, if paging is disabled. */
bool x86_cpu_get_paging(CPUState *cpu, X86Paging *paging);

/* Registers for a Windows crash dump. */
void x86_cpu_get_winregs(CPUState *cpu, WinDmpCpu *regs);

#endif
