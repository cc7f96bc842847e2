//! Cgroups as a container may name them, and when it may remove them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use mem_agent::memcg::SingleConfig;
use test_utils::skip_if_not_guest;

use crate::common::wait;
use crate::guest::{Cgroup, FastLru, agent_for, agings, enable_memory, kernel_id, tireless, until};

/// 1 MiB.
const PAGES: u64 = 256;

/// A cgroup with others in it, which are managed as it is.
fn parent(name: &str) -> Cgroup {
    let parent = Cgroup::new(name);
    enable_memory(parent.dir());
    parent
}

fn below(parent: &str, name: impl AsRef<OsStr>) -> OsString {
    Path::new(parent).join(name.as_ref()).into()
}

/// L2, L7, D12.
#[test]
fn cgroups_of_any_name_are_evicted_from() {
    skip_if_not_guest!();
    let names = [
        "one space",
        "two  spaces",
        " before",
        "after ",
        "tab\tand\x0bmore",
        "carriage\rreturn",
        "control\x01\x1b[2J\x7f",
        "memcg    1 ",
        " node     0",
        "          3      99999         10         20 ",
        "- 1 0 0 0 64;+ 1 0 3 0 1",
        "back\\slash\\012",
        "%s%n%5hu",
        "$(poweroff -f)'\"`",
        "\u{fc}n\u{ed}c\u{f6}d\u{e9} \u{2028}\u{feff}",
        "...",
    ];
    let parent = parent("names");
    let long = "n".repeat(255);
    let names = names.into_iter().chain([long.as_str()]);
    let cgroups: Vec<Cgroup> = names
        .map(|name| Cgroup::with_cold_file(below("names", name), PAGES))
        .collect();
    let not_text = OsStr::from_bytes(b"not \xff text");
    let not_text = Cgroup::with_cold_file(below("names", not_text), PAGES);
    let line = fs::create_dir(parent.dir().join("two\nlines")).unwrap_err();
    assert_eq!(line.kind(), ErrorKind::InvalidInput, "{line}");

    let lru = FastLru::instant();
    let (agent, guard) = agent_for(&lru, &[(&parent, tireless())]);
    for cgroup in &cgroups {
        until(&format!("half of {:?} is evicted", cgroup.path()), || {
            cgroup.pages() <= PAGES / 2
        });
    }
    let status = wait(agent.memcg_status_async()).unwrap();
    drop(guard);
    for cgroup in &cgroups {
        assert!(status.contains_key(cgroup.path()), "{:?}", cgroup.path());
    }
    // Its path cannot be in the status: it is not managed.
    assert!(not_text.pages() >= PAGES);
    assert!(!status.contains_key(not_text.path()));
}

/// E4d, M1.
#[test]
fn cgroups_may_vanish_at_any_time() {
    skip_if_not_guest!();
    let parent = parent("vanish");
    let [gone, again, stays] =
        ["gone", "again", "stays"].map(|name| Cgroup::with_cold_file(below("vanish", name), PAGES));
    let lru = FastLru::instant();
    let off = SingleConfig {
        disabled: true,
        ..tireless()
    };
    let other = Cgroup::new("beside-vanish");
    // Their numbers, before there is any command.
    let (agent, guard) = agent_for(&lru, &[(&parent, off), (&other, tireless())]);
    until("they are known", || kernel_id(&agent, &stays).is_some());
    let first_id = kernel_id(&agent, &again).unwrap();
    let eviction = format!("- {} ", kernel_id(&agent, &gone).unwrap());
    let aging = format!("+ {first_id} ");
    drop(guard);

    // One is removed just before it is evicted from, one before it is aged, and made again.
    let first_ino = inode(&again);
    let hook = {
        let (gone, again) = (gone.dir().to_owned(), again.dir().to_owned());
        let mut is_left = (true, true);
        move |command: &str| {
            if command.starts_with(&eviction) && std::mem::take(&mut is_left.0) {
                fs::remove_dir(&gone).unwrap();
            }
            if command.starts_with(&aging) && std::mem::take(&mut is_left.1) {
                fs::remove_dir(&again).unwrap();
                fs::create_dir(&again).unwrap();
            }
        }
    };
    lru.set_hook(hook);
    let is_over = Arc::new(AtomicBool::new(false));
    let churn = {
        let (parent, is_over) = (parent.dir().to_owned(), is_over.clone());
        thread::spawn(move || {
            for number in 0.. {
                if is_over.load(Ordering::Relaxed) {
                    return number;
                }
                let dir = parent.join(format!("brief {number}"));
                fs::create_dir(&dir).unwrap();
                thread::yield_now();
                fs::remove_dir(&dir).unwrap();
            }
            0
        })
    };
    let (agent, guard) = agent_for(&lru, &[(&parent, tireless())]);
    until("the one that stays is evicted from", || {
        stays.pages() <= PAGES / 2
    });
    until("the one that came again is another one", || {
        kernel_id(&agent, &gone).is_none()
            && wait(agent.memcg_status_async())
                .unwrap()
                .get(again.path())
                .is_some_and(|cgroup| cgroup.ino as u64 != first_ino)
    });
    until("it is managed", || agings(&agent, &again) > 0);
    is_over.store(true, Ordering::Relaxed);
    let brief = churn.join().unwrap();
    assert!(brief > 0);
    until("all that were brief are forgotten", || {
        let status = wait(agent.memcg_status_async()).unwrap();
        let paths = status.keys();
        paths.filter(|path| path.contains("brief")).count() == 0
    });
    println!("{brief} cgroups came and went");
    drop(guard);
}

fn inode(cgroup: &Cgroup) -> u64 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(cgroup.dir()).unwrap().ino()
}
