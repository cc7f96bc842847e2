//! Machine types of [QEMU](https://www.qemu.org/docs/master/system/targets.html)
//! (`qemu-system-* -machine help`).

/// x86: the Q35 chipset.
pub const MACHINE_TYPE_Q35_TYPE: &str = "q35";
/// s390x: the virtio machine on the channel subsystem.
pub const MACHINE_TYPE_S390X_TYPE: &str = "s390-ccw-virtio";
