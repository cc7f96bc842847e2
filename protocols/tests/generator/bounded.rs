//! Generated code trusts no announced length.

use std::fs;
use std::path::Path;

use crate::generator::bounded::{TRUSTING, bound};
use crate::generator::{INPUTS, Input, generate};

#[test]
fn no_generated_module_trusts_an_announced_length() {
    let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("protos");
    let out = tempfile::tempdir().unwrap();
    generate(INPUTS, &protos, out.path()).unwrap();
    let (mut lists, mut elements) = (0, 0);
    for entry in fs::read_dir(out.path()).unwrap() {
        let path = entry.unwrap().path();
        let code = fs::read_to_string(&path).unwrap();
        let mut before = "";
        for line in code.lines() {
            let text = line.trim_start();
            if let Some((list, _)) = text.split_once(".push(").filter(|_| text.contains("(is")) {
                let room = format!("crate::bounded::grow(is, &mut shown, &mut {list})?;");
                assert_eq!(before, room, "{path:?}: {text}");
                elements += 1;
            }
            before = text;
            lists += usize::from(text.starts_with("crate::bounded::packed("));
            let trusts = TRUSTING.iter().any(|name| text.contains(name));
            assert!(text.starts_with("//") || !trusts, "{path:?}: {text}");
        }
    }
    assert_eq!((lists, elements), (8, 123));
}

#[test]
fn every_type_has_a_bounded_call() {
    let types = [
        "bool", "double", "fixed32", "fixed64", "float", "int32", "int64", "sfixed32", "sfixed64",
        "sint32", "sint64", "uint32", "uint64", "E",
    ];
    let fields: String = (1..)
        .zip(types)
        .map(|(number, name)| format!("repeated {name} f_{name} = {number};\n"))
        .collect();
    let text = format!(
        "syntax = \"proto3\";\nmessage M {{\n{fields}\
         string type = 20;\nrepeated bytes b = 21;\nmap<string, bytes> m = 22;\n\
         oneof o {{ string s = 23; }}\n}}\nenum E {{ Z = 0; }}"
    );
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("small.proto"), text).unwrap();
    let input = Input {
        path: "small.proto",
        public: true,
        stubs: false,
    };
    generate(&[input], folder.path(), folder.path()).unwrap();
    let code = fs::read_to_string(folder.path().join("small.rs")).unwrap();
    assert_eq!(code.matches("crate::bounded::packed(").count(), types.len());
    assert_eq!(code.matches("crate::bounded::string(is)?").count(), 3);
    assert_eq!(code.matches("crate::bounded::bytes(is)?").count(), 2);
    assert_eq!(code.matches("crate::bounded::unknown(tag, is, ").count(), 1);
    assert_eq!(code.matches("let mut shown = ").count(), 1);
    for call in [
        "grow(is, &mut shown, &mut self.f_uint32)?;",
        "grow(is, &mut shown, &mut self.b)?;",
        "(is, &mut shown, &mut self.f_uint32, ::protobuf::CodedInputStream::read_uint32, \
         crate::bounded::varints)?;",
        "(is, &mut shown, &mut self.f_float, ::protobuf::CodedInputStream::read_float, \
         |bytes: &[u8]| bytes.len() / 4)?;",
        "(is, &mut shown, &mut self.f_E, ::protobuf::CodedInputStream::read_enum_or_unknown, \
         crate::bounded::varints)?",
    ] {
        assert!(code.contains(call), "{call}\n{code}");
    }
}

#[test]
fn call_that_is_not_understood_is_refused() {
    for line in [
        "is.read_repeated_packed_uint32_into(&mut self.f)?.extend();",
        "is.read_repeated_packed_uint32_into(&mut list)?;",
        "is.read_repeated_packed_uint128_into(&mut self.f)?;",
        "input.read_repeated_packed_uint32_into(&mut self.f)?;",
        "let list = is.read_repeated_packed_uint32()?;",
        "protobuf::rt::read_repeated_packed_enum_or_unknown_into(is, &mut self.f)?",
        "is.read_string_into(&mut self.f)?;",
        "is.read_bytes_into(&mut self.f)?;",
        "self.f = is.read_tokio_bytes()?;",
        "rt::read_unknown_or_skip_group(tag, is, fields)?;",
        "list.push(is.read_message()?);",
        "self.list.inner.push(is.read_message()?);",
    ] {
        let error = bound(&format!("first\n    {line}\nlast")).unwrap_err();
        assert!(error.contains(line) && error.contains("bounded"), "{error}");
    }
}

#[test]
fn other_lines_are_kept() {
    let code =
        "    /// `is.read_string()?` of read_repeated_packed_.\n\tself.f = is.read_bool()?;\n\n";
    assert_eq!(bound(code).unwrap(), code);
}
