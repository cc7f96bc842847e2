//! Initdata. The first byte of an input says what the rest is.
//!
//! * `a`, an annotation: what decodes is written as an annotation that decodes to the same.
//! * `z`, a text, compressed here: as above, and the text comes back byte for byte.
//! * `d`, sections `=== NAME` of a new document: it survives annotation and both text forms.
//! * else a text: accepted texts mean to us what they mean to the `toml` crate.
#![no_main]

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use kata_libs_fuzz::{newer_toml, sections};
use kata_types::initdata::{
    InitData, ProtectedPlatform, add_hypervisor_initdata_overrides, calculate_initdata_digest,
    decode_initdata, encode_initdata, parse_initdata,
};
use libfuzzer_sys::fuzz_target;

fn assert_same(a: &InitData, b: &InitData) {
    assert_eq!(a.algorithm(), b.algorithm());
    assert_eq!(a.version(), b.version());
    assert_eq!(a.data(), b.data());
}

fn survives(document: &InitData) {
    let annotation = encode_initdata(document);
    let text = document.to_string().expect("a text");
    let arrived = add_hypervisor_initdata_overrides(&annotation).expect("decoded");
    assert_eq!(arrived, text);
    // Not all can be read: there are limits for the number of words.
    let Ok(decoded) = decode_initdata(&annotation) else {
        assert!(parse_initdata(&text).is_err());
        assert!(document.validate().is_err() || document.data().len() > 1000);
        return;
    };
    assert_same(&decoded, document);
    assert_eq!(encode_initdata(&decoded), annotation);
    let compact = String::from_utf8(document.to_vec().expect("a text")).expect("UTF-8");
    assert_same(&parse_initdata(&compact).expect("read again"), document);
    let read: InitData = toml::from_str(&text).expect("TOML");
    assert_same(&read, document);
}

fn check_annotation(annotation: &str) {
    let text = add_hypervisor_initdata_overrides(annotation);
    match decode_initdata(annotation) {
        Ok(document) => {
            document.validate().expect("it was validated");
            assert_same(
                &parse_initdata(&text.expect("decoded")).expect("parsed"),
                &document,
            );
            survives(&document);
        }
        Err(error) => assert!(!format!("{error:#}").is_empty()),
    }
}

fn check_text(text: &str) {
    for platform in [
        ProtectedPlatform::Tdx,
        ProtectedPlatform::Snp,
        ProtectedPlatform::NoProtection,
    ] {
        let _ = calculate_initdata_digest(text, platform);
    }
    if let Ok(document) = parse_initdata(text) {
        let read: InitData = toml::from_str(&newer_toml(text)).expect("TOML");
        assert_same(&read, &document);
        survives(&document);
    } else if text.len() < 1000
        && let Ok(read) = toml::from_str::<InitData>(text)
    {
        assert!(read.validate().is_err(), "refused, but good");
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(rest);
    match kind {
        b'a' => check_annotation(&text),
        b'z' => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(text.as_bytes()).expect("to memory");
            let annotation = STANDARD.encode(encoder.finish().expect("to memory"));
            let decoded = add_hypervisor_initdata_overrides(&annotation).expect("decoded");
            assert_eq!(decoded, text);
            check_annotation(&annotation);
        }
        b'd' => {
            let mut document = InitData::new("sha384", "0.1.0");
            for (name, content) in sections(&text) {
                document.insert_data(name, content);
            }
            survives(&document);
        }
        _ => check_text(&String::from_utf8_lossy(data)),
    }
});
