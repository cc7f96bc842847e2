//! Golden vectors: document → annotation → digest for each platform.
//!
//! They were made by an independent program (Python's zlib, hashlib and base64), so that other
//! components can be checked against them without running a VM. For each document there is its text,
//! its annotation, and one digest per platform. The compressed bytes of an annotation depend on the
//! deflate implementation and are not contractual; what they decompress to is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kata_types::initdata::{
    InitData, ProtectedPlatform, add_hypervisor_initdata_overrides, calculate_initdata_digest,
    decode_initdata, encode_initdata, parse_initdata,
};

struct Vector {
    name: &'static str,
    text: &'static str,
    annotation: &'static str,
    digests: &'static str,
    document: fn() -> InitData,
}

macro_rules! vector {
    ($name:literal, $document:expr) => {
        Vector {
            name: $name,
            text: include_str!(concat!("data/initdata/", $name, ".toml")),
            annotation: include_str!(concat!("data/initdata/", $name, ".annotation")),
            digests: include_str!(concat!("data/initdata/", $name, ".digests")),
            document: $document,
        }
    };
}

const VECTORS: [Vector; 3] = [
    vector!("sha256-minimal", || document("sha256", &[])),
    vector!("sha384-guest", || document(
        "sha384",
        &[
            (
                "policy.rego",
                "package agent_policy\n\ndefault CreateContainerRequest := false\n\
                 default ExecProcessRequest := false\n\nCreateContainerRequest if {\n\
                 \tinput.OCI.Version == \"1.1.0\"\n}\n"
            ),
            (
                "cdh.toml",
                "socket = 'unix:///run/confidential-containers/cdh.sock'\ncredentials = []\n\n\
                 [kbc]\nname = 'cc_kbc'\nurl = 'http://127.0.0.1:8080'"
            ),
            (
                "aa.toml",
                "[token_configs]\n[token_configs.coco_kbs]\nurl = \"http://127.0.0.1:8080\"\n"
            ),
        ]
    )),
    vector!("sha512-spellings", || document(
        "sha512",
        &[
            ("é", "grüße 😀"),
            ("a.b", "ends with '"),
            ("a", "it's"),
            ("B", ""),
            ("", "empty key"),
            ("a_b-C9", "tab\there \"and\" \\\\back"),
            ("control", "\0\u{8}\u{c}\r\u{1f}\u{7f}"),
            ("crlf", "one\r\ntwo"),
            ("quotes", "three ''' in a row"),
        ]
    )),
];

fn document(algorithm: &str, data: &[(&str, &str)]) -> InitData {
    let mut document = InitData::new(algorithm, "0.1.0");
    for (key, value) in data {
        document.insert_data(*key, *value);
    }
    document
}

#[test]
fn documents_are_written_and_read() {
    for vector in VECTORS {
        let document = (vector.document)();
        assert_eq!(
            document.to_string().unwrap(),
            vector.text,
            "{}",
            vector.name
        );
        let parsed = parse_initdata(vector.text).unwrap();
        assert_eq!(parsed.algorithm(), document.algorithm());
        assert_eq!(parsed.data(), document.data(), "{}", vector.name);
    }
}

#[test]
fn annotations_decode_to_the_text() {
    for vector in VECTORS {
        let annotation = vector.annotation.trim_end();
        assert_eq!(
            add_hypervisor_initdata_overrides(annotation).unwrap(),
            vector.text,
            "{}",
            vector.name
        );
        let decoded = decode_initdata(annotation).unwrap();
        assert_eq!(decoded.data(), (vector.document)().data());
    }
}

#[test]
fn encoded_documents_have_the_header_and_the_text_of_the_vector() {
    for vector in VECTORS {
        let annotation = encode_initdata(&(vector.document)());
        let ours = STANDARD.decode(&annotation).unwrap();
        let theirs = STANDARD.decode(vector.annotation.trim_end()).unwrap();
        assert_eq!(ours[..10], theirs[..10], "{}", vector.name);
        // CRC-32 and length of the text.
        assert_eq!(ours[ours.len() - 8..], theirs[theirs.len() - 8..]);
        let mut text = String::new();
        flate2::read::GzDecoder::new(ours.as_slice())
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, vector.text);
        assert_eq!(annotation, encode_initdata(&(vector.document)()));
    }
}

#[test]
fn digests_are_those_of_the_vector_on_each_platform() {
    for vector in VECTORS {
        let mut lines = vector.digests.lines();
        for (name, platform) in [
            ("Tdx", ProtectedPlatform::Tdx),
            ("Snp", ProtectedPlatform::Snp),
            ("Cca", ProtectedPlatform::Cca),
            ("Se", ProtectedPlatform::Se),
            ("NoProtection", ProtectedPlatform::NoProtection),
        ] {
            let digest = calculate_initdata_digest(vector.text, platform).unwrap();
            assert_eq!(
                lines.next().unwrap(),
                format!("{name} {digest}"),
                "{}",
                vector.name
            );
        }
        assert_eq!(lines.next(), None);
    }
}

#[test]
fn errors_do_not_grow_with_what_they_are_about() {
    let annotation = |text: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text).unwrap();
        STANDARD.encode(gzip.finish().unwrap())
    };
    let long = "x".repeat(1 << 20);
    let tail = "\n\n[data]\n";
    for text in [
        format!("version = '{long}'\nalgorithm = 'sha256'{tail}").into_bytes(),
        format!("version = '0.1.0'\nalgorithm = '{long}'{tail}").into_bytes(),
        format!("version = '0.1.0'\nalgorithm = 'sha256'\ndata = '{long}'").into_bytes(),
        format!("version = '0.1.0'\nalgorithm = 'sha256'{tail}{long} = ''\n{long} = ''")
            .into_bytes(),
        format!("version = '0.1.0'\nalgorithm = 'sha256'{tail}{long} = 1").into_bytes(),
        [0xff; 1 << 20].to_vec(),
    ] {
        let error = decode_initdata(&annotation(&text)).unwrap_err();
        for shown in [format!("{error:#}"), format!("{error:?}")] {
            assert!(shown.len() < 8192, "{} bytes: {shown:.200}", shown.len());
        }
        let typed = error.downcast_ref::<kata_types::initdata::Error>().unwrap();
        assert!(format!("{typed:?}").len() < 8192);
    }
}
