//! This machine as the agent would see it. Nothing is written anywhere.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use mem_agent::testing::{
    Dump, Wanted, parse_meminfo, parse_memory_stat, parse_pagetypeinfo, parse_pressure,
};

/// Cgroups that are shown.
const MOST_CGROUPS: usize = 10;
/// Below this order, free blocks are fragments.
const ORDER: u8 = 9;
const PAGES_OF_A_MIB: u64 = 256;

/// What is there, or why it is not.
type Found = Result<String, String>;

/// A part of the kernel that the agent needs or can use.
struct Part {
    name: &'static str,
    found: Found,
    /// Who cannot do without.
    needed_by: &'static [Half],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Memcg,
    Compact,
}

/// Looks around and tells.
///
/// # Errors
///
/// Nobody listens.
pub(crate) fn report(out: &mut impl Write, root: &Path) -> io::Result<()> {
    writeln!(
        out,
        "What the agent would find here ({}):\n",
        root.display()
    )?;
    let parts = look(root);
    for part in &parts {
        let (mark, text) = match &part.found {
            Ok(text) => ("yes", text),
            Err(text) => ("NO", text),
        };
        writeln!(out, "  {mark:<4}{:<18}{text}", part.name)?;
    }
    writeln!(out)?;
    cgroups(out, root)?;
    for (half, name) in [(Half::Memcg, "memcg"), (Half::Compact, "compact")] {
        let missing: Vec<&str> = parts
            .iter()
            .filter(|part| part.found.is_err() && part.needed_by.contains(&half))
            .map(|part| part.name)
            .collect();
        if missing.is_empty() {
            writeln!(out, "The {name} half can run here.")?;
        } else {
            writeln!(
                out,
                "The {name} half cannot run here: missing {}.",
                missing.join(", ")
            )?;
        }
    }
    Ok(())
}

fn look(root: &Path) -> Vec<Part> {
    use Half::{Compact, Memcg};
    let (proc, sys) = (root.join("proc"), root.join("sys"));
    let cgroups = sys.join("fs/cgroup");
    vec![
        Part {
            name: "memory cgroups",
            found: cgroup_version(&cgroups),
            needed_by: &[Memcg],
        },
        Part {
            name: "PSI",
            found: pressure(&cgroups),
            needed_by: &[Memcg, Compact],
        },
        Part {
            name: "MGLRU",
            found: switch(&sys.join("kernel/mm/lru_gen/enabled")),
            needed_by: &[Memcg],
        },
        Part {
            name: "lru_gen",
            found: lru_gen(&sys.join("kernel/debug/lru_gen")),
            needed_by: &[Memcg],
        },
        Part {
            name: "memory.reclaim",
            found: reclaim(&cgroups),
            needed_by: &[],
        },
        Part {
            name: "swap space",
            found: swap(&proc.join("meminfo")),
            needed_by: &[],
        },
        Part {
            name: "free memory",
            found: free(&proc),
            needed_by: &[Compact],
        },
        Part {
            name: "compaction",
            found: exists(&proc.join("sys/vm/compact_memory"), "CONFIG_COMPACTION"),
            needed_by: &[Compact],
        },
        Part {
            name: "page reporting",
            found: reporting(&sys),
            needed_by: &[],
        },
    ]
}

fn cgroup_version(cgroups: &Path) -> Found {
    if cgroups.join("cgroup.controllers").exists() || cgroups.join("memory.pressure").exists() {
        return Ok("version 2".to_owned());
    }
    if cgroups.join("memory").is_dir() {
        return Ok("version 1".to_owned());
    }
    Err(format!("{} has none", cgroups.display()))
}

/// As the agent searches: in the root on version 2, in a directory below it on version 1.
fn pressure(cgroups: &Path) -> Found {
    let has_both =
        |dir: &PathBuf| dir.join("memory.pressure").is_file() && dir.join("io.pressure").is_file();
    let mut dirs = vec![cgroups.to_owned()];
    dirs.extend(children(cgroups));
    let Some(dir) = dirs.into_iter().find(has_both) else {
        return Err(format!(
            "no pressure files in {}: needs CONFIG_PSI, and psi=1 on the kernel command line",
            cgroups.display()
        ));
    };
    let total = |name: &str| -> Result<u64, String> {
        let file = dir.join(name);
        let text = read(&file)?;
        parse_pressure(&text).map_err(|error| format!("{}: {error:#}", file.display()))
    };
    Ok(format!(
        "stalled since boot: memory {:.1} s, io {:.1} s",
        total("memory.pressure")? as f64 / 1e6,
        total("io.pressure")? as f64 / 1e6
    ))
}

fn switch(file: &Path) -> Found {
    let text = read(file).map_err(|error| format!("{error}: needs CONFIG_LRU_GEN"))?;
    let value = String::from_utf8_lossy(&text).trim().to_owned();
    let is_full = matches!(value.as_str(), "0x0007" | "7");
    Ok(if is_full {
        format!("enabled ({value})")
    } else {
        format!("{value}: the agent would write 7")
    })
}

fn lru_gen(file: &Path) -> Found {
    let text = read(file).map_err(|error| {
        format!("{error}: needs CONFIG_DEBUG_FS and root; where debugfs is not mounted, the agent reaches it without")
    })?;
    let dump = Dump::parse(&text, Wanted::All);
    let count = dump.memcgs().count();
    Ok(format!("{count} memory cgroups in {} bytes", text.len()))
}

fn reclaim(cgroups: &Path) -> Found {
    let found = children(cgroups)
        .into_iter()
        .find(|dir| dir.join("memory.reclaim").exists());
    match found {
        Some(dir) => Ok(format!("in {}", dir.display())),
        None => Err("needs cgroup version 2 and Linux 5.19".to_owned()),
    }
}

fn swap(meminfo: &Path) -> Found {
    let text = read(meminfo)?;
    let kb = parse_meminfo(&text, "SwapFree:").map_err(|error| format!("{error:#}"))?;
    if kb == 0 {
        return Err("none: anonymous pages stay in memory".to_owned());
    }
    Ok(format!("{} MiB free", kb / 1_024))
}

fn free(proc: &Path) -> Found {
    let text = read(&proc.join("meminfo"))?;
    let kb = parse_meminfo(&text, "MemFree:").map_err(|error| format!("{error:#}"))?;
    let file = proc.join("pagetypeinfo");
    let types = read(&file).map_err(|error| format!("{error}: only root may read it"))?;
    let pages = parse_pagetypeinfo(&String::from_utf8_lossy(&types), ORDER);
    Ok(format!(
        "{} MiB, of which {} MiB in movable fragments",
        kb / 1_024,
        pages / PAGES_OF_A_MIB
    ))
}

fn exists(file: &Path, option: &str) -> Found {
    match fs::metadata(file) {
        Ok(_) => Ok(file.display().to_string()),
        Err(error) => Err(format!("{}: {error}: needs {option}", file.display())),
    }
}

fn reporting(sys: &Path) -> Found {
    let file = sys.join("module/page_reporting/parameters/page_reporting_order");
    let text = read(&file).map_err(|_| {
        "no balloon reports free pages to a host: what is freed stays in the machine".to_owned()
    })?;
    Ok(format!("order {}", String::from_utf8_lossy(&text).trim()))
}

/// The cgroups with the most memory that the agent might take.
fn cgroups(out: &mut impl Write, root: &Path) -> io::Result<()> {
    let mut rows = generations(&root.join("sys/kernel/debug/lru_gen"));
    let mut title = "in the oldest generation";
    if rows.is_empty() {
        let cgroups = root.join("sys/fs/cgroup");
        let v1 = cgroups.join("memory");
        rows = inactive(if v1.is_dir() { &v1 } else { &cgroups });
        title = "inactive, by memory.stat";
    }
    if rows.is_empty() {
        return Ok(());
    }
    rows.sort_by_key(|(path, anon, file)| (std::cmp::Reverse(anon + file), path.clone()));
    writeln!(out, "  file MiB  anon MiB  {title}")?;
    for (path, anon, file) in rows.iter().take(MOST_CGROUPS) {
        let mib = |pages: &u64| pages / PAGES_OF_A_MIB;
        writeln!(out, "  {:>8}  {:>8}  {path}", mib(file), mib(anon))?;
    }
    if rows.len() > MOST_CGROUPS {
        writeln!(out, "  and {} more", rows.len() - MOST_CGROUPS)?;
    }
    writeln!(out)
}

/// Path, and anonymous and file pages.
fn generations(file: &Path) -> Vec<(String, u64, u64)> {
    let Ok(text) = fs::read(file) else {
        return Vec::new();
    };
    let dump = Dump::parse(&text, Wanted::All);
    let live = dump.memcgs().filter(|memcg| memcg.id() != 0);
    live.map(|memcg| {
        let oldest = memcg.nodes().map(|node| node.oldest());
        let (anon, file) = oldest.fold((0, 0), |sum, g| (sum.0 + g.anon, sum.1 + g.file));
        (memcg.path().escape_debug().to_string(), anon, file)
    })
    .collect()
}

/// The same without MGLRU.
fn inactive(cgroups: &Path) -> Vec<(String, u64, u64)> {
    let mut rows = Vec::new();
    let mut pending = vec![cgroups.to_owned()];
    while let Some(dir) = pending.pop() {
        let children = children(&dir);
        if let (true, Ok(text)) = (children.is_empty(), fs::read(dir.join("memory.stat"))) {
            let stat = parse_memory_stat(&text);
            let path = dir.strip_prefix(cgroups).unwrap_or(&dir);
            let path = format!("/{}", path.to_string_lossy().escape_debug());
            rows.push((path, stat.inactive_anon / 4_096, stat.inactive_file / 4_096));
        }
        pending.extend(children);
    }
    rows
}

/// Sub-directories by name.
fn children(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut dirs: Vec<PathBuf> = dirs.map(|entry| entry.path()).collect();
    dirs.sort();
    dirs
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}
