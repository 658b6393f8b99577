/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Registers of a CPU for a Windows crash dump: the one part of it that is
 * compiled for each target.
 */

#ifndef DUMP_WINDOWS_CPU_H
#define DUMP_WINDOWS_CPU_H

#include "hw/core/cpu.h"
#include "vmcore/windmp-format.h"

/*
 * Fill @regs from @cpu, whose state is synchronized. Big lock held. Not to
 * be called on a target that Windows crash dumps are not for.
 */
void windows_cpu_get(CPUState *cpu, WinDmpCpu *regs);

#endif
