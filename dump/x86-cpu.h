/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a dump needs of an x86 CPU: the one part that is compiled for each
 * target. On others than i386 and x86_64 no CPU has paging as here, and
 * x86_cpu_get_winregs is not to be called.
 *
 * BQL held; the CPU's state is synchronized.
 */

#ifndef DUMP_X86_CPU_H
#define DUMP_X86_CPU_H

#include "hw/core/cpu.h"
#include "vmcore/windmp-format.h"
#include "vmcore/x86-paging.h"

/* False, with *@paging undefined, if the CPU translates no addresses. */
bool x86_cpu_get_paging(CPUState *cpu, X86Paging *paging);

/* Registers for a Windows crash dump. */
void x86_cpu_get_winregs(CPUState *cpu, WinDmpCpu *regs);

#endif
