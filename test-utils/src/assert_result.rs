//! Comparison of an expected with an actual result.

use std::fmt::{self, Debug, Display};

/// Compares two `Result`s of a table test and panics with both if they differ.
///
/// - An expected `Ok` matches an actual `Ok` with an equal value.
/// - An expected `Err` matches an actual `Err` that prints the same with `{:?}`. The two error
///   types may differ. A captured backtrace, which [`anyhow`](https://docs.rs/anyhow) errors print
///   after `Stack backtrace:`, is not compared.
///
/// The arguments are `assert_result!(expected, actual, message)`. `expected` is a
/// `Result<T1, E1>` and only borrowed, `actual` a `Result<T2, E2>` and consumed, `message` anything
/// that implements `Display`, and borrowed. `T1` must implement `PartialEq<T2>`, and all four
/// `Debug`. Each argument is evaluated once.
///
/// # Panics
///
/// If the results differ: at the line of the call, with the message and both results.
///
/// ```
/// use std::num::ParseIntError;
/// use test_utils::assert_result;
///
/// struct TestData<'a> {
///     text: &'a str,
///     result: Result<u8, ParseIntError>,
/// }
///
/// let tests = [
///     TestData { text: "7", result: Ok(7) },
///     TestData { text: "256", result: "1000".parse::<u8>() },
/// ];
///
/// for (i, d) in tests.iter().enumerate() {
///     let msg = format!("test[{i}]: {}", d.text);
///     let result = d.text.parse::<u8>();
///     assert_result!(d.result, result, msg);
/// }
/// ```
///
/// ```should_panic
/// use test_utils::assert_result;
///
/// assert_result!(Ok::<i32, ()>(1), Ok::<i32, ()>(2), "one is not two");
/// ```
// `as_ref` borrows a `Result` in any place, also behind a reference, without moving it.
#[macro_export]
macro_rules! assert_result {
    ($expected:expr, $actual:expr, $msg:expr $(,)?) => {
        $crate::__private::compare($expected.as_ref(), $actual, &$msg)
    };
}

/// What [`assert_result!`] does once its arguments are evaluated.
///
/// # Panics
///
/// If the results differ.
#[track_caller]
#[expect(clippy::panic, reason = "failing the test is its purpose")]
pub fn compare<T1, E1, T2, E2, M>(expected: Result<&T1, &E1>, actual: Result<T2, E2>, message: &M)
where
    T1: PartialEq<T2> + Debug,
    T2: Debug,
    E1: Debug,
    E2: Debug,
    M: Display + ?Sized,
{
    let equal = match (&expected, &actual) {
        (Ok(expected), Ok(actual)) => *expected == actual,
        (Err(expected), Err(actual)) => ErrorText::of(expected) == ErrorText::of(actual),
        _ => false,
    };
    if !equal {
        panic!(
            "{message}\n  expected: {:?}\n    actual: {:?}",
            expected.map_err(ErrorText::of),
            actual.map_err(ErrorText::of),
        );
    }
}

/// An error's `{:?}` form without a backtrace.
#[derive(PartialEq)]
struct ErrorText(String);

impl ErrorText {
    fn of<E: Debug>(error: E) -> Self {
        let text = format!("{error:?}");
        Self(match text.split_once("\n\nStack backtrace:\n") {
            Some((text, _)) => text.to_owned(),
            None => text,
        })
    }
}

impl Debug for ErrorText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
