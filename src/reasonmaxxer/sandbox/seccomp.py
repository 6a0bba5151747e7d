"""The filter of system calls that bubblewrap installs: classic BPF, since no maintained package offers one.

It takes away what no other limit counts or confines: new processes, memory outside the address space (that of System
V queues and semaphores, extended attributes, watches and spliced pages is the kernel's), sockets (`AF_VSOCK` knows no
network namespace), other processes' memory, the kernel's log, and parts that a program under test has no use for.
"""

from __future__ import annotations

import errno
import platform
import struct

_LOAD, _JUMP_EQUAL, _JUMP_ABOVE, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in `struct seccomp_data`
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000  # bit of the other numbering that x86-64 kernels know

_SAME_EVERYWHERE = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsmount": 432, "pidfd_getfd": 438, "process_madvise": 440, "mount_setattr": 442,
    "memfd_secret": 447, "setxattrat": 463,
}  # fmt: skip
_DENIED = {
    "x86_64": {
        "shmget": 29, "socket": 41, "semget": 64, "msgget": 68, "ptrace": 101, "syslog": 103, "personality": 135,
        "pivot_root": 155, "chroot": 161, "mount": 165, "umount2": 166, "setxattr": 188, "lsetxattr": 189,
        "fsetxattr": 190, "io_setup": 206, "mq_open": 240, "add_key": 248, "request_key": 249, "keyctl": 250,
        "inotify_init": 253, "unshare": 272, "vmsplice": 278, "inotify_init1": 294, "perf_event_open": 298,
        "fanotify_init": 300, "name_to_handle_at": 303, "open_by_handle_at": 304, "setns": 308,
        "process_vm_readv": 310, "process_vm_writev": 311, "memfd_create": 319, "bpf": 321, "userfaultfd": 323,
    },
    "aarch64": {
        "io_setup": 0, "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "inotify_init1": 26, "umount2": 39, "mount": 40,
        "pivot_root": 41, "chroot": 51, "vmsplice": 75, "personality": 92, "unshare": 97, "syslog": 116, "ptrace": 117,
        "mq_open": 180, "msgget": 186, "semget": 190, "shmget": 194, "socket": 198, "add_key": 217, "request_key": 218,
        "keyctl": 219, "perf_event_open": 241, "fanotify_init": 262, "name_to_handle_at": 264,
        "open_by_handle_at": 265, "setns": 268, "process_vm_readv": 270, "process_vm_writev": 271, "memfd_create": 279,
        "bpf": 280, "userfaultfd": 282,
    },
}  # fmt: skip
_FORKS = {"x86_64": {"fork": 57, "vfork": 58}, "aarch64": {}}
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435  # its flags lie in memory, which a filter cannot read: libc falls back to `clone`
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

MACHINES = tuple(_AUDIT)
"""Architectures for which there is a filter."""


def seccomp_filter(processes: bool) -> bytes:
    """The filter as `struct sock_filter[]`, for this machine's architecture.

    Args:
        processes: whether new processes may be started; threads always may.
    """
    machine = platform.machine()
    denied = [*_SAME_EVERYWHERE.values(), *_DENIED[machine].values()]
    if not processes:
        denied += _FORKS[machine].values()
    rules: list[tuple[int, int, str, str]] = [  # code, value, target if true, target if false; "" is the next rule
        (_LOAD, _ARCHITECTURE, "", ""),
        (_JUMP_EQUAL, _AUDIT[machine], "", "kill"),
        (_LOAD, _NUMBER, "", ""),
        (_JUMP_ABOVE, _X32, "deny", ""),
        *((_JUMP_EQUAL, number, "deny", "") for number in denied),
    ]
    if not processes:
        rules += [
            (_JUMP_EQUAL, _CLONE3, "missing", ""),
            (_JUMP_EQUAL, _CLONE[machine], "", "allow"),
            (_LOAD, _FIRST_ARGUMENT, "", ""),
            (_JUMP_ANY_BIT, _CLONE_THREAD, "allow", "deny"),
        ]
    ends = {"allow": _ALLOW, "deny": _ERROR | errno.EPERM, "missing": _ERROR | errno.ENOSYS, "kill": _KILL}
    places = {"": 0} | {name: len(rules) + at for at, name in enumerate(ends)}
    program = b""
    for at, (code, value, *targets) in enumerate(rules):
        jumps = [places[target] - at - 1 if target else 0 for target in targets]
        program += struct.pack("HBBI", code, *jumps, value)
    return program + b"".join(struct.pack("HBBI", _RETURN, 0, 0, value) for value in ends.values())
