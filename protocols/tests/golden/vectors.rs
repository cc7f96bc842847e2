//! Reads `vectors.jsonl`; `generate.py` says what is in it.

use std::sync::LazyLock;

use protobuf::MessageFull;
use serde_json::Value;

/// One line of the file.
#[derive(Clone)]
pub(crate) struct Vector {
    pub(crate) message: String,
    pub(crate) case: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) text: Option<String>,
    pub(crate) json: String,
}

pub(crate) fn vectors() -> &'static [Vector] {
    static VECTORS: LazyLock<Vec<Vector>> =
        LazyLock::new(|| include_str!("vectors.jsonl").lines().map(vector).collect());
    &VECTORS
}

/// The vectors of one case.
pub(crate) fn of_case(case: &str) -> impl Iterator<Item = &'static Vector> {
    vectors().iter().filter(move |vector| vector.case == case)
}

/// The message of type `M` with every field set.
pub(crate) fn full<M: MessageFull>() -> M {
    let descriptor = M::descriptor();
    let name = descriptor.full_name();
    let vector = of_case("full").find(|vector| vector.message == name);
    let vector = vector.unwrap_or_else(|| panic!("no golden vector of {name}"));
    M::parse_from_bytes(&vector.bytes).unwrap()
}

fn vector(line: &str) -> Vector {
    let line: Value = serde_json::from_str(line).unwrap();
    let field = |name: &str| {
        line.get(name)
            .map(|value| value.as_str().unwrap().to_owned())
    };
    let hex = field("bytes").unwrap();
    let byte =
        |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
    Vector {
        message: field("message").unwrap(),
        case: field("case").unwrap(),
        bytes: hex.as_bytes().chunks(2).map(byte).collect(),
        text: field("text"),
        json: field("json").unwrap(),
    }
}
