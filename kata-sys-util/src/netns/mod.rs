//! Network namespaces
//! ([`network_namespaces(7)`](https://man7.org/linux/man-pages/man7/network_namespaces.7.html)).
//!
//! A namespace belongs to a thread. [`run_in_netns`] and [`spawn_in_netns`] run a function on a
//! thread of its own that ends with it: there is nothing to restore, and no other thread can be
//! left in a foreign namespace. [`NetnsGuard`] switches the calling thread and back.
//!
//! Entering a namespace needs `CAP_SYS_ADMIN` in the user namespaces of both the caller and the
//! namespace.

mod guard;
mod task;

pub use guard::NetnsGuard;
pub use task::{NetnsTask, run_in_netns, spawn_in_netns};

use crate::rand::RandomBytes;

/// A name for a new network namespace: `cnitest-` and a random UUID-like number, 44 characters.
///
/// ```
/// use kata_sys_util::netns::generate_netns_name;
///
/// let name = generate_netns_name();
/// assert!(name.starts_with("cnitest-") && name.len() == 44);
/// assert_ne!(name, generate_netns_name());
/// ```
pub fn generate_netns_name() -> String {
    let random = RandomBytes::new(16);
    let mut name = "cnitest".to_owned();
    let mut rest = random.bytes.as_slice();
    for length in [4, 2, 2, 2, 6] {
        let (group, after) = rest.split_at_checked(length).unwrap_or_default();
        let group = RandomBytes {
            bytes: group.to_vec(),
        };
        name.push_str(&format!("-{group:x}"));
        rest = after;
    }
    name
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_have_five_groups_of_hexadecimal_digits_and_differ() {
        let mut seen = HashSet::new();
        for _ in 0..1000 {
            let name = generate_netns_name();
            assert_eq!(name.len(), 44);
            let groups: Vec<&str> = name.split('-').collect();
            assert_eq!(groups[0], "cnitest");
            let lengths: Vec<usize> = groups[1..].iter().map(|group| group.len()).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12]);
            let digits = groups[1..].concat();
            assert!(
                digits
                    .bytes()
                    .all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')),
                "{name}"
            );
            assert!(seen.insert(name));
        }
    }
}
