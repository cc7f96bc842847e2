//! Small words from outside, one on each line: identifiers, entries of an environment, addresses,
//! memory sizes, kernel parameters and the like.
//!
//! * Accepted identifiers and addresses are safe as the name of a file, and in their normal form.
//! * Patterns for paths permit what a slow matcher says, and a `..` only if they have it themselves.
#![no_main]

use kata_libs_fuzz::{glob, lines};
use kata_sys_util::pcilibs::normalize_bdf;
use kata_sys_util::validate::{valid_env, verify_id};
use kata_types::config::hypervisor::{BootInfo, parse_kernel_verity_params};
use kata_types::config::validate_path_pattern;
use libfuzzer_sys::fuzz_target;

fn is_safe_name(name: &str) -> bool {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "_.-:".contains(c);
    !matches!(name, "" | "." | "..") && name.chars().all(is_safe)
}

fn check_boot(text: &str, more: &str) {
    let mut boot = BootInfo {
        kernel_params: text.to_owned(),
        ..BootInfo::default()
    };
    boot.replace_kernel_params(more);
    let once = boot.kernel_params.clone();
    boot.replace_kernel_params(more);
    // A quote that is not closed swallows what is put behind it.
    if [text, more]
        .iter()
        .all(|text| text.matches('"').count() % 2 == 0)
    {
        assert_eq!(
            boot.kernel_params, once,
            "replacing again changes something"
        );
    }
    if let Ok(Some(params)) = parse_kernel_verity_params(text) {
        assert!(!params.root_hash.is_empty());
    }
}

fuzz_target!(|data: &[u8]| {
    let input = String::from_utf8_lossy(data);
    let words = lines(&input);
    for word in &words {
        if verify_id(word).is_ok() {
            assert!(is_safe_name(word) && word.len() >= 2);
        }
        if let Some((key, value)) = valid_env(word) {
            let again = format!("{key}={value}");
            assert_eq!(valid_env(&again), Some((key, value)));
            assert!(!key.is_empty() && !again.contains('\0') && !key.contains('='));
        }
        if let Some(address) = normalize_bdf(word) {
            assert!(is_safe_name(&address));
            assert_eq!(normalize_bdf(&address).as_ref(), Some(&address));
        }
    }
    if let [pattern, rest @ ..] = &*words {
        let patterns = [pattern.clone()];
        for path in rest.iter().take(4) {
            let is_permitted = validate_path_pattern(&patterns, path).is_ok();
            let is_match = match path.split('/').any(|name| name == "..") {
                true => glob::matches(pattern, path).map(|_| path == pattern),
                false => glob::matches(pattern, path),
            };
            assert_eq!(is_permitted, is_match == Some(true));
            check_boot(pattern, path);
        }
    }
});
