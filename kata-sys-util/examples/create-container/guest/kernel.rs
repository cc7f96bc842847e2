//! The files of a kernel that the memory agent looks at, as copies in the guest's directory: the
//! agent switches the multi-generational LRU on and ages pages, and neither may happen to the
//! machine that the files are of.

use std::fs;
use std::io;
use std::path::Path;

const FILES: [&str; 5] = [
    "proc/meminfo",
    "proc/pagetypeinfo",
    "sys/kernel/debug/lru_gen",
    "sys/kernel/mm/lru_gen/enabled",
    "sys/module/page_reporting/parameters/page_reporting_order",
];

const CGROUPS: &str = "sys/fs/cgroup";

/// The files of each cgroup that count.
const CGROUP_FILES: [&str; 3] = ["cgroup.controllers", "io.pressure", "memory.pressure"];

/// Most cgroups that are copied.
const MAX_CGROUPS: usize = 1000;

/// Copies from `root` to `guest` what there is and can be read.
pub(super) fn copy(root: &Path, guest: &Path) -> io::Result<()> {
    for file in FILES {
        copy_file(&root.join(file), &guest.join(file))?;
    }
    let mut cgroups = vec![Path::new(CGROUPS).to_owned()];
    let mut next = 0;
    while let Some(cgroup) = cgroups.get(next).cloned() {
        for file in CGROUP_FILES {
            copy_file(
                &root.join(&cgroup).join(file),
                &guest.join(&cgroup).join(file),
            )?;
        }
        let entries = fs::read_dir(root.join(&cgroup)).into_iter().flatten();
        let room = MAX_CGROUPS.saturating_sub(cgroups.len());
        let dirs = entries
            .flatten()
            .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
        cgroups.extend(dirs.take(room).map(|dir| cgroup.join(dir.file_name())));
        next += 1;
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    // Not `fs::copy`: files of the kernel have no length. A fake one could be a FIFO.
    if !from.is_file() {
        return Ok(());
    }
    let Ok(content) = fs::read(from) else {
        return Ok(());
    };
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(to, content)
}
