//! Older kernels and seccomp filters, made with a seccomp filter
//! ([`seccomp(2)`](https://man7.org/linux/man-pages/man2/seccomp.2.html)) on one thread.

use std::panic;
use std::thread;

/// A system call that fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    call: libc::c_long,
    errno: libc::c_int,
    /// Only if argument number `.0` has the bits `.2` of the mask `.1`.
    argument: Option<(u32, u32, u32)>,
}

impl Rule {
    pub(crate) const fn deny(call: libc::c_long, errno: libc::c_int) -> Self {
        Self {
            call,
            errno,
            argument: None,
        }
    }

    /// Only calls whose argument number `index` has `value` in the bits of `mask`.
    pub(crate) const fn if_argument(mut self, index: u32, mask: u32, value: u32) -> Self {
        self.argument = Some((index, mask, value));
        self
    }
}

pub(crate) const OPEN_TREE: libc::c_long = 428;
pub(crate) const MOVE_MOUNT: libc::c_long = 429;
pub(crate) const FSOPEN: libc::c_long = 430;
pub(crate) const FSCONFIG: libc::c_long = 431;
pub(crate) const FSMOUNT: libc::c_long = 432;
pub(crate) const MOUNT_SETATTR: libc::c_long = 442;
pub(crate) const STATMOUNT: libc::c_long = 457;

/// What a kernel, or the seccomp filter of a container, lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// The one that runs.
    Current,
    /// `open_tree` is filtered.
    WithoutOpenTree,
    /// Linux 5.2 to 5.11.
    WithoutMountSetattr,
    /// `move_mount` is filtered.
    WithoutMoveMount,
    /// Linux 4.10, before all of it.
    Old,
}

impl Kernel {
    pub(crate) const ALL: [Self; 5] = [
        Self::Current,
        Self::WithoutOpenTree,
        Self::WithoutMountSetattr,
        Self::WithoutMoveMount,
        Self::Old,
    ];

    pub(crate) fn rules(self) -> Vec<Rule> {
        match self {
            Self::Current => vec![],
            Self::WithoutOpenTree => vec![Rule::deny(OPEN_TREE, libc::EPERM)],
            Self::WithoutMountSetattr => vec![Rule::deny(MOUNT_SETATTR, libc::ENOSYS)],
            Self::WithoutMoveMount => vec![Rule::deny(MOVE_MOUNT, libc::EPERM)],
            Self::Old => [
                OPEN_TREE,
                MOVE_MOUNT,
                FSOPEN,
                FSCONFIG,
                FSMOUNT,
                MOUNT_SETATTR,
                STATMOUNT,
                libc::SYS_statx,
            ]
            .map(|call| Rule::deny(call, libc::ENOSYS))
            .to_vec(),
        }
    }
}

/// Runs `test` on every kernel.
pub(crate) fn on_kernels(test: impl Fn(Kernel) + Sync) {
    for kernel in Kernel::ALL {
        println!("on kernel: {kernel:?}");
        on_kernel_without(&kernel.rules(), || test(kernel));
    }
}

/// Runs `test` in a thread whose system calls, and those of its threads, follow `rules`.
pub(crate) fn on_kernel_without<T: Send>(rules: &[Rule], test: impl FnOnce() -> T + Send) -> T {
    let result = thread::scope(|scope| {
        let thread = scope.spawn(|| {
            install(rules);
            test()
        });
        thread.join()
    });
    result.unwrap_or_else(|failure| panic::resume_unwind(failure))
}

fn install(rules: &[Rule]) {
    if rules.is_empty() {
        return;
    }
    let mut filter = Vec::new();
    for rule in rules {
        let (load, return_errno) = (BPF_LD_W_ABS, SECCOMP_RET_ERRNO | rule.errno as u32);
        let argument = rule.argument.map_or(vec![], |(index, mask, value)| {
            let lower_half = if cfg!(target_endian = "big") { 4 } else { 0 };
            let offset = 16 + 8 * index + lower_half;
            vec![
                statement(load, offset),
                statement(BPF_ALU_AND, mask),
                jump(value, 0, 1),
            ]
        });
        let skipped = u8::try_from(argument.len() + 1).unwrap();
        filter.push(statement(load, 0));
        filter.push(jump(u32::try_from(rule.call).unwrap(), 0, skipped));
        filter.extend(argument);
        filter.push(statement(BPF_RET, return_errno));
    }
    filter.push(statement(BPF_RET, SECCOMP_RET_ALLOW));

    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap(),
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the arguments are numbers.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(result, 0);
    // SAFETY: the kernel copies the program, which outlives the call.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

const BPF_LD_W_ABS: u16 = 0x20;
const BPF_ALU_AND: u16 = 0x54;
const BPF_JMP_JEQ: u16 = 0x15;
const BPF_RET: u16 = 0x06;
const SECCOMP_RET_ERRNO: u32 = 0x0005_0000;
const SECCOMP_RET_ALLOW: u32 = 0x7fff_0000;

fn statement(code: u16, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

fn jump(k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter {
        code: BPF_JMP_JEQ,
        jt,
        jf,
        k,
    }
}
