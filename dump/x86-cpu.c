/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Registers and paging state of an x86 CPU; see the header.
 */

#include "qemu/osdep.h"
#include "cpu.h"
#include "qemu/bswap.h"
#include "system/tcg.h"
#include "x86-cpu.h"

#ifdef TARGET_I386              /* and x86_64 */

QEMU_BUILD_BUG_ON(CPU_NB_REGS > ARRAY_SIZE(((WinDmpCpu *)NULL)->gpr));

/*
 * Fill the 512 bytes of fxsave, in which the x87 registers are in stack order.
 * In CPUX86State they are in stack order with KVM, but in physical order with
 * TCG.
 */
static void get_fxsave(const CPUX86State *env, uint8_t *buf)
{
    unsigned top = env->fpstt & 7;
    uint8_t used = 0;

    for (unsigned i = 0; i < 8; i++) {
        const floatx80 *st = &env->fpregs[tcg_enabled() ? (i + top) & 7 :
                                                          i].d;

        stq_le_p(buf + 32 + 16 * i, st->low);
        stw_le_p(buf + 32 + 16 * i + 8, st->high);
        used |= !env->fptags[i] << i;
    }
    stw_le_p(buf, env->fpuc);
    stw_le_p(buf + 2, (env->fpus & ~(7 << 11)) | top << 11);
    buf[4] = used;
    stw_le_p(buf + 6, env->fpop);
    stq_le_p(buf + 8, env->fpip);
    stq_le_p(buf + 16, env->fpdp);
    stl_le_p(buf + 24, env->mxcsr);
    stl_le_p(buf + 28, 0xffff);
    for (unsigned i = 0; i < CPU_NB_REGS; i++) {
        stq_le_p(buf + 160 + 16 * i, env->xmm_regs[i].ZMM_Q(0));
        stq_le_p(buf + 168 + 16 * i, env->xmm_regs[i].ZMM_Q(1));
    }
}

void x86_cpu_get_winregs(CPUState *cpu, WinDmpCpu *regs)
{
    const CPUX86State *env = &X86_CPU(cpu)->env;

    *regs = (WinDmpCpu) {
        .rip = env->eip,
        .rflags = env->eflags,
        .cs = env->segs[R_CS].selector,
        .ds = env->segs[R_DS].selector,
        .es = env->segs[R_ES].selector,
        .fs = env->segs[R_FS].selector,
        .gs = env->segs[R_GS].selector,
        .ss = env->segs[R_SS].selector,
        .fs_base = env->segs[R_FS].base,
        .gs_base = env->segs[R_GS].base,
#ifdef TARGET_X86_64
        .kernel_gs_base = env->kernelgsbase,
#endif
        .crashed = cpu->crash_occurred,
    };
    for (unsigned i = 0; i < CPU_NB_REGS; i++) {
        regs->gpr[i] = env->regs[i];
    }
    for (unsigned i = 0; i < ARRAY_SIZE(regs->dr); i++) {
        regs->dr[i] = env->dr[i];
    }
    get_fxsave(env, regs->fxsave);
}

static X86PagingMode get_mode(const CPUX86State *env)
{
    if (!(env->cr[4] & CR4_PAE_MASK)) {
        return env->cr[4] & CR4_PSE_MASK ? X86_PAGING_PSE : X86_PAGING_32BIT;
    }
    if (!(env->efer & MSR_EFER_LMA)) {
        return X86_PAGING_PAE;
    }
    return env->cr[4] & CR4_LA57_MASK ? X86_PAGING_5LEVEL : X86_PAGING_4LEVEL;
}

bool x86_cpu_get_paging(CPUState *cpu, X86Paging *paging)
{
    const CPUX86State *env = &X86_CPU(cpu)->env;

    *paging = (X86Paging) { .mode = get_mode(env), .root = env->cr[3] };
    return env->cr[0] & CR0_PG_MASK;
}

#else

void x86_cpu_get_winregs(CPUState *cpu, WinDmpCpu *regs)
{
    g_assert_not_reached();
}

bool x86_cpu_get_paging(CPUState *cpu, X86Paging *paging)
{
    return false;
}

#endif
