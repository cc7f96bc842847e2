//! `assert_result!`: what matches, what does not, and what a failure says.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod child;

use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use anyhow::{Context, anyhow};
use child::{Binary, run};
use test_utils::assert_result;

thread_local! {
    /// Where the last panic of this thread was.
    static LOCATION: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The message of the panic in `check`, and `file:line` of it; `None` if there is none.
fn failure(check: impl FnOnce()) -> Option<(String, String)> {
    static RECORD: Once = Once::new();
    RECORD.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let location = info.location().unwrap();
            LOCATION.set(format!("{}:{}", location.file(), location.line()));
            report(info);
        }));
    });
    let payload = panic::catch_unwind(AssertUnwindSafe(check)).err()?;
    Some((*payload.downcast::<String>().unwrap(), LOCATION.take()))
}

fn matches<T1, E1, T2, E2>(expected: &Result<T1, E1>, actual: Result<T2, E2>) -> bool
where
    T1: PartialEq<T2> + Debug,
    T2: Debug,
    E1: Debug,
    E2: Debug,
{
    failure(|| assert_result!(expected, actual, "message")).is_none()
}

#[derive(Debug)]
struct NotFound;

#[test]
fn ok_matches_an_equal_ok_only() {
    let one: Result<i32, String> = Ok(1);
    assert!(matches(&one, Ok::<_, io::Error>(1)));
    assert!(!matches(&one, Ok::<_, io::Error>(2)));
    assert!(!matches(&one, Err::<i32, _>("1")));
}

#[test]
fn ok_values_of_different_types_are_compared_with_their_own_equality() {
    let text: Result<String, ()> = Ok("a".to_owned());
    assert!(matches(&text, Ok::<&str, ()>("a")));
    assert!(!matches(&text, Ok::<&str, ()>("b")));
}

#[test]
fn err_matches_an_err_that_prints_the_same_only() {
    let missing: Result<(), NotFound> = Err(NotFound);
    assert!(matches(&missing, Err::<(), _>(io::ErrorKind::NotFound)));
    assert!(!matches(&missing, Err::<(), _>(io::ErrorKind::Other)));
    assert!(!matches(&missing, Err::<(), _>("NotFound"))); // prints with quotes
    assert!(!matches(&missing, Ok::<(), NotFound>(())));
}

#[test]
fn anyhow_errors_are_compared_with_their_causes() {
    let chain = |cause: &'static str| {
        Err::<(), _>(anyhow!(cause))
            .context("read the state")
            .context("start")
    };
    println!(
        "backtraces: {}",
        format!("{:?}", chain("gone").unwrap_err()).contains("\n\nStack backtrace:\n")
    );
    assert!(matches(&chain("gone"), chain("gone")));
    assert!(!matches(&chain("gone"), chain("broken")));
    assert!(!matches(&chain("gone"), Err::<(), _>(anyhow!("start"))));
}

#[test]
fn backtraces_are_not_compared() {
    let test = "anyhow_errors_are_compared_with_their_causes";
    for (value, captured) in [("1", true), ("full", true), ("0", false)] {
        let run = run(Binary::new()
            .command(test)
            .env("RUST_BACKTRACE", value)
            .env_remove("RUST_LIB_BACKTRACE"));
        assert!(run.passed(test), "{}", run.output);
        let line = format!("backtraces: {captured}");
        assert!(run.output.lines().any(|l| l == line), "{}", run.output);
    }
}

#[test]
fn text_around_a_backtrace_counts() {
    let error = |text: &str| Err::<(), _>(Printed(text.to_owned()));
    let traced = error("gone\n\nStack backtrace:\n   0: main");
    assert!(matches(
        &traced,
        error("gone\n\nStack backtrace:\n   1: start")
    ));
    assert!(matches(&traced, error("gone")));
    assert!(!matches(
        &traced,
        error("lost\n\nStack backtrace:\n   0: main")
    ));
    assert!(!matches(&error("gone\nStack backtrace:\n0"), error("gone")));
}

/// Prints its text as it is.
struct Printed(String);

impl Debug for Printed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[test]
fn failure_says_the_message_and_both_results() {
    type Numbers = Result<u8, Printed>;
    let error = |text: &str| Err(Printed(text.to_owned()));
    let cases: [(Numbers, Numbers, &str); 4] = [
        (
            Ok(1),
            Ok(2),
            "row 7: a\n  expected: Ok(1)\n    actual: Ok(2)",
        ),
        (
            Ok(1),
            error("no"),
            "row 7: a\n  expected: Ok(1)\n    actual: Err(no)",
        ),
        (
            error("no"),
            Ok(2),
            "row 7: a\n  expected: Err(no)\n    actual: Ok(2)",
        ),
        (
            error("no\n\nStack backtrace:\n0"),
            error("yes"),
            "row 7: a\n  expected: Err(no)\n    actual: Err(yes)",
        ),
    ];
    for (expected, actual, said) in cases {
        let message = format!("row {}: a", 7);
        let failure = failure(|| assert_result!(expected, actual, message));
        assert_eq!(failure.unwrap().0, said);
    }
}

#[test]
fn failure_is_at_the_line_of_the_call() {
    let (_, location) = failure(|| {
        assert_result!(Ok::<_, ()>(1), Ok::<_, ()>(2), "message");
    })
    .unwrap();
    let call = line!() - 3;
    assert!(
        location.ends_with(&format!("tests/assert_result.rs:{call}")),
        "{location}"
    );
}

#[test]
fn each_argument_is_evaluated_once() {
    let evaluated = Cell::new((0, 0, 0));
    let expected = |result: Result<i32, &'static str>| {
        let (e, a, m) = evaluated.get();
        evaluated.set((e + 1, a, m));
        result
    };
    let actual = |result: Result<i32, &'static str>| {
        let (e, a, m) = evaluated.get();
        evaluated.set((e, a + 1, m));
        result
    };
    let message = || {
        let (e, a, m) = evaluated.get();
        evaluated.set((e, a, m + 1));
        "message"
    };
    for (n, result) in [Ok(1), Err("no")].into_iter().enumerate() {
        assert_result!(expected(result), actual(result), message());
        let times = n + 1;
        assert_eq!(evaluated.get(), (times, times, times), "{result:?}");
    }
    assert!(failure(|| assert_result!(expected(Ok(1)), actual(Err("")), message())).is_some());
    assert_eq!(evaluated.get(), (3, 3, 3));
}

#[test]
fn expected_is_borrowed_from_any_place_and_the_message_is_kept() {
    struct TestData {
        result: Result<String, NotFound>,
    }
    let tests = &[
        TestData {
            result: Ok("a".to_owned()),
        },
        TestData {
            result: Err(NotFound),
        },
    ];
    for (d, actual) in tests.iter().zip([Ok("a"), Err(NotFound)]) {
        let msg = String::from("row");
        assert_result!(d.result, actual, msg);
        assert_eq!(msg, "row");
    }
    let local: Result<i32, ()> = Ok(1);
    assert_result!(local, local, 7);
    assert_result!(&local, Ok::<i32, ()>(1), 'c',);
}
