use std::path::PathBuf;
use std::slice;

use oci_spec::runtime::{
    Linux, LinuxDeviceBuilder, LinuxDeviceCgroupBuilder, LinuxResourcesBuilder,
};
use proptest::prelude::*;

use super::LinuxDeviceType::{A, B, C, P, U};
use super::*;

fn device(name: &str, (major, minor): Numbers) -> InfinibandDevice {
    InfinibandDevice {
        name: name.to_owned(),
        path: PathBuf::from("/dev/infiniband").join(name),
        major,
        minor,
        mode: 0o660,
        uid: 7,
        gid: 8,
    }
}

fn entry(name: &str, typ: LinuxDeviceType, (major, minor): Numbers) -> LinuxDevice {
    let builder = LinuxDeviceBuilder::default()
        .path(PathBuf::from("/dev/infiniband").join(name))
        .typ(typ)
        .major(major)
        .minor(minor);
    builder.build().unwrap()
}

fn with_owner(mut entry: LinuxDevice, mode: u32, uid: u32, gid: u32) -> LinuxDevice {
    entry.set_file_mode(Some(mode));
    entry.set_uid(Some(uid));
    entry.set_gid(Some(gid));
    entry
}

/// From text such as `allow c 10:58 rwm`, where `-` is an unset type and `*` an unset number.
fn rule(text: &str) -> LinuxDeviceCgroup {
    let [allow, typ, numbers, access] = *text.split(' ').collect::<Vec<_>>() else {
        panic!("{text}");
    };
    let (major, minor) = numbers.split_once(':').unwrap();
    let mut rule = LinuxDeviceCgroupBuilder::default()
        .allow(allow == "allow")
        .access(access)
        .build()
        .unwrap();
    rule.set_typ((typ != "-").then(|| typ.parse().unwrap()));
    rule.set_major((major != "*").then(|| major.parse().unwrap()));
    rule.set_minor((minor != "*").then(|| minor.parse().unwrap()));
    rule
}

fn spec(entries: &[LinuxDevice], rules: &[&str]) -> Spec {
    let rules: Vec<_> = rules.iter().map(|text| rule(text)).collect();
    let resources = LinuxResourcesBuilder::default().devices(rules);
    let mut linux = Linux::default();
    linux.set_devices(Some(entries.to_vec()));
    linux.set_resources(Some(resources.build().unwrap()));
    let mut spec = Spec::default();
    spec.set_linux(Some(linux));
    spec
}

fn entries_of(spec: &Spec) -> &[LinuxDevice] {
    let devices = spec.linux().as_ref().unwrap().devices();
    devices.as_deref().unwrap()
}

fn rules_of(spec: &Spec) -> &[LinuxDeviceCgroup] {
    let resources = spec.linux().as_ref().unwrap().resources();
    resources.as_ref().unwrap().devices().as_deref().unwrap()
}

#[track_caller]
fn check(mut spec: Spec, devices: &[InfinibandDevice], entries: &[LinuxDevice], rules: &[&str]) {
    apply_infiniband_devices(devices, &mut spec).unwrap();
    assert_eq!(entries_of(&spec), entries);
    let rules: Vec<_> = rules.iter().map(|text| rule(text)).collect();
    assert_eq!(rules_of(&spec), rules);
    let once = spec.clone();
    apply_infiniband_devices(devices, &mut spec).unwrap();
    assert_eq!(spec, once, "once more");
}

#[test]
fn nothing_to_expose_leaves_any_spec_as_it_is() {
    for linux in [None, Some(Linux::default())] {
        let mut spec = Spec::default();
        spec.set_linux(linux);
        let before = spec.clone();
        apply_infiniband_devices(&[], &mut spec).unwrap();
        assert_eq!(spec, before);
    }
}

#[test]
fn spec_without_linux_is_an_error_and_stays() {
    let mut spec = Spec::default();
    spec.set_linux(None);
    let before = spec.clone();
    let error = apply_infiniband_devices(&[device("uverbs0", (231, 192))], &mut spec);
    let error = error.unwrap_err();
    assert_eq!(error.to_string(), "Spec didn't contain linux field");
    assert_eq!(spec, before);
}

#[test]
fn lists_that_are_absent_are_made() {
    let device = device("uverbs0", (231, 192));
    let mut linux = Linux::default();
    linux.set_devices(None).set_resources(None);
    let mut spec = Spec::default();
    spec.set_linux(Some(linux));
    let entry = with_owner(entry("uverbs0", C, (231, 192)), 0o660, 7, 8);
    check(
        spec.clone(),
        slice::from_ref(&device),
        &[entry],
        &["allow c 231:192 rwm"],
    );

    // Resources without rules, and nothing else in them is touched (D-1).
    let resources = LinuxResourcesBuilder::default().unified([("a".to_owned(), "b".to_owned())]);
    let linux = spec.linux_mut().as_mut().unwrap();
    linux.set_resources(Some(resources.build().unwrap()));
    apply_infiniband_devices(&[device], &mut spec).unwrap();
    assert_eq!(rules_of(&spec), [rule("allow c 231:192 rwm")]);
    let resources = spec.linux().as_ref().unwrap().resources().as_ref().unwrap();
    assert_eq!(resources.unified().as_ref().unwrap()["a"], "b");
}

#[test]
fn entries_and_rules_of_other_devices_stay_before_the_new_ones() {
    let other = entry("../null", C, (1, 3));
    check(
        spec(
            slice::from_ref(&other),
            &["deny a *:* rwm", "allow c 1:3 rwm"],
        ),
        &[device("umad0", (231, 0)), device("uverbs0", (231, 192))],
        &[
            other,
            with_owner(entry("umad0", C, (231, 0)), 0o660, 7, 8),
            with_owner(entry("uverbs0", C, (231, 192)), 0o660, 7, 8),
        ],
        &[
            "deny a *:* rwm",
            "allow c 1:3 rwm",
            "allow c 231:0 rwm",
            "allow c 231:192 rwm",
        ],
    );
}

#[test]
fn entry_of_the_host_gets_the_numbers_of_the_guest_and_keeps_mode_and_owner() {
    for typ in [C, U, B, P, A] {
        check(
            spec(
                &[with_owner(entry("rdma_cm", typ, (10, 121)), 0o600, 0, 99)],
                &[],
            ),
            &[device("rdma_cm", (10, 58))],
            &[with_owner(entry("rdma_cm", C, (10, 58)), 0o600, 0, 99)],
            &["allow c 10:58 rwm"],
        );
    }
    // What is not set is that of the guest.
    check(
        spec(&[entry("rdma_cm", C, (10, 121))], &[]),
        &[device("rdma_cm", (10, 58))],
        &[with_owner(entry("rdma_cm", C, (10, 58)), 0o660, 7, 8)],
        &["allow c 10:58 rwm"],
    );
}

#[test]
fn no_path_has_two_entries() {
    check(
        spec(
            &[
                with_owner(entry("uverbs0", C, (231, 1)), 0o600, 1, 1),
                with_owner(entry(".//uverbs0", C, (231, 2)), 0o666, 2, 2),
            ],
            &[
                "allow c 231:1 rwm",
                "allow c 231:2 rwm",
                "allow c 231:3 rwm",
            ],
        ),
        // Of two, the first counts.
        &[device("uverbs0", (231, 192)), device("uverbs0", (231, 193))],
        &[with_owner(entry("uverbs0", C, (231, 192)), 0o600, 1, 1)],
        &["allow c 231:3 rwm", "allow c 231:192 rwm"],
    );
}

#[test]
fn same_rule_is_moved_to_the_end_and_a_different_one_stays() {
    check(
        spec(
            &[],
            &[
                "allow c 231:192 rwm",
                "allow c 231:192 rw",
                "allow - 231:192 rwm",
                "allow c 231:192 rwm",
                "deny c 231:192 rwm",
                "deny a *:* rwm",
            ],
        ),
        &[device("uverbs0", (231, 192))],
        &[with_owner(entry("uverbs0", C, (231, 192)), 0o660, 7, 8)],
        &[
            "allow c 231:192 rw",
            "allow - 231:192 rwm",
            "deny c 231:192 rwm",
            "deny a *:* rwm",
            "allow c 231:192 rwm",
        ],
    );
}

#[test]
fn rules_that_allow_the_numbers_of_the_host_are_removed() {
    let kept = [
        "deny c 10:121 rwm",
        "allow b 10:121 rwm",
        "allow a 10:121 rwm",
        "allow c 10:* rwm",
        "allow c *:121 rwm",
        "allow c 10:122 rwm",
    ];
    let mut rules = kept.to_vec();
    rules.extend([
        "allow c 10:121 rwm",
        "allow c 10:121 r",
        "allow - 10:121 rw",
    ]);
    let mut expected = kept.to_vec();
    expected.push("allow c 10:58 rwm");
    check(
        spec(&[entry("rdma_cm", C, (10, 121))], &rules),
        &[device("rdma_cm", (10, 58))],
        &[with_owner(entry("rdma_cm", C, (10, 58)), 0o660, 7, 8)],
        &expected,
    );
}

#[test]
fn rules_for_numbers_that_another_entry_has_stay() {
    let new = with_owner(entry("rdma_cm", C, (10, 58)), 0o660, 7, 8);
    for (typ, stays) in [(C, true), (U, true), (B, false), (P, false)] {
        let other = entry("../fuse", typ, (10, 121));
        let old = entry("rdma_cm", C, (10, 121));
        let expected: &[_] = match stays {
            true => &["allow c 10:121 rwm", "allow c 10:58 rwm"],
            false => &["allow c 10:58 rwm"],
        };
        check(
            spec(&[old, other.clone()], &["allow c 10:121 rwm"]),
            &[device("rdma_cm", (10, 58))],
            &[new.clone(), other],
            expected,
        );
    }
}

#[test]
fn block_device_at_the_path_has_had_no_character_device_numbers() {
    check(
        spec(
            &[entry("uverbs0", B, (8, 0))],
            &["allow c 8:0 rwm", "allow b 8:0 rwm"],
        ),
        &[device("uverbs0", (231, 192))],
        &[with_owner(entry("uverbs0", C, (231, 192)), 0o660, 7, 8)],
        &["allow c 8:0 rwm", "allow b 8:0 rwm", "allow c 231:192 rwm"],
    );
}

#[test]
fn devices_may_swap_their_numbers() {
    let own = |name, minor| with_owner(entry(name, C, (231, minor)), 0o660, 7, 8);
    check(
        spec(
            &[
                entry("uverbs0", C, (231, 193)),
                entry("uverbs1", C, (231, 192)),
            ],
            &["allow c 231:193 rw", "allow c 231:192 rwm"],
        ),
        &[device("uverbs0", (231, 192)), device("uverbs1", (231, 193))],
        &[own("uverbs0", 192), own("uverbs1", 193)],
        &[
            "allow c 231:193 rw",
            "allow c 231:192 rwm",
            "allow c 231:193 rwm",
        ],
    );
}

#[test]
fn two_nodes_of_one_device_have_one_rule() {
    check(
        spec(&[], &[]),
        &[device("a", (231, 1)), device("b", (231, 1))],
        &[
            with_owner(entry("a", C, (231, 1)), 0o660, 7, 8),
            with_owner(entry("b", C, (231, 1)), 0o660, 7, 8),
        ],
        &["allow c 231:1 rwm"],
    );
}

/// Would take an hour if the work were that of each with each.
#[test]
fn hundred_thousand_devices_are_done_one_by_one() {
    const COUNT: i64 = 100_000;
    let name = |i: i64| format!("uverbs{i}");
    let of_host = |i: i64| entry(&name(i), C, (10, i));
    let entries: Vec<_> = (0..COUNT).map(of_host).collect();
    let mut spec = spec(&entries, &["deny a *:* rwm"]);
    let allow = |major: i64| (0..COUNT).map(move |minor| rule_for((major, minor)));
    let resources = spec.linux_mut().as_mut().unwrap().resources_mut();
    let rules = resources.as_mut().unwrap().devices_mut().as_mut().unwrap();
    rules.extend(allow(10).chain(allow(231)));

    // All get other numbers, and as many are new.
    let devices: Vec<_> = (0..2 * COUNT).map(|i| device(&name(i), (231, i))).collect();
    apply_infiniband_devices(&devices, &mut spec).unwrap();

    let found = entries_of(&spec).iter().map(numbers_of);
    assert!(found.eq((0..2 * COUNT).map(|minor| (231, minor))));
    let [deny, allow @ ..] = rules_of(&spec) else {
        panic!("no rules");
    };
    assert_eq!(*deny, rule("deny a *:* rwm"));
    let found = allow.iter().map(|rule| rule.major().zip(rule.minor()));
    assert!(found.eq((0..2 * COUNT).map(|minor| Some((231, minor)))));
}

fn any_type() -> impl Strategy<Value = LinuxDeviceType> {
    prop::sample::select(vec![A, B, C, U, P])
}

fn any_numbers() -> impl Strategy<Value = Numbers> {
    (0..2_i64, 0..3_i64)
}

fn any_name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c"])
}

prop_compose! {
    fn any_entry()(
        name in any_name(), typ in any_type(), numbers in any_numbers(), mode in any::<bool>(),
    ) -> LinuxDevice {
        let entry = entry(name, typ, numbers);
        if mode { with_owner(entry, 0o600, 0, 0) } else { entry }
    }
}

fn any_rule() -> impl Strategy<Value = String> {
    "(allow|deny) [-abc] ([01]|\\*):([012]|\\*) (rwm|rw|r)"
}

proptest! {
    #[test]
    fn any_spec_ends_with_one_entry_and_one_last_rule_for_each_device(
        entries in prop::collection::vec(any_entry(), 0..6),
        rules in prop::collection::vec(any_rule(), 0..8),
        devices in prop::collection::vec((any_name(), any_numbers()), 0..4),
    ) {
        let devices: Vec<_> = devices.into_iter().map(|(n, p)| device(n, p)).collect();
        let rules: Vec<_> = rules.iter().map(String::as_str).collect();
        let mut spec = spec(&entries, &rules);
        let before = spec.clone();
        apply_infiniband_devices(&devices, &mut spec).unwrap();

        for wanted in &devices {
            let same: Vec<_> = devices.iter().filter(|d| d.path == wanted.path).collect();
            let own: Vec<_> = entries_of(&spec).iter().filter(|e| *e.path() == wanted.path).collect();
            prop_assert_eq!(own.len(), 1);
            let numbers = (same[0].major, same[0].minor);
            prop_assert_eq!((own[0].typ(), numbers_of(own[0])), (C, numbers));
            prop_assert!(own[0].file_mode().is_some() && own[0].uid().is_some());
            let rule = rule_for(numbers);
            let places: Vec<_> = (0..).zip(rules_of(&spec)).filter(|(_, r)| **r == rule).collect();
            prop_assert_eq!(places.len(), 1);
            // Nothing but the rules of the devices is after it.
            let new = devices.iter().map(|d| rule_for((d.major, d.minor))).collect::<Vec<_>>();
            prop_assert!(rules_of(&spec)[places[0].0..].iter().all(|r| new.contains(r)));
        }
        // Other entries, denials and wildcards stay.
        for entry in entries_of(&before) {
            if devices.iter().all(|d| d.path != *entry.path()) {
                prop_assert!(entries_of(&spec).contains(entry));
            }
        }
        for rule in rules_of(&before) {
            if !rule.allow() || rule.major().is_none() || rule.typ() == Some(B) {
                prop_assert!(rules_of(&spec).contains(rule));
            }
        }
        let once = spec.clone();
        apply_infiniband_devices(&devices, &mut spec).unwrap();
        prop_assert_eq!(spec, once);
    }
}
