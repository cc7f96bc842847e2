//! A document to its annotation and back, and its digest. The baseline does the same to the text
//! alone: gzip, base64, base64, gunzip, SHA-384, without reading or writing TOML.
#![allow(clippy::unwrap_used, missing_docs, reason = "benchmark")]

use std::hint::black_box;
use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use kata_types::initdata::{
    InitData, ProtectedPlatform, calculate_initdata_digest, decode_initdata, encode_initdata,
};
use sha2::{Digest, Sha384};

/// A document of about `size` bytes with a policy and two configuration files, as deployed.
fn document(size: usize) -> InitData {
    let mut policy =
        "package agent_policy\n\ndefault CreateContainerRequest := false\n".to_string();
    for n in 0.. {
        if policy.len() >= size {
            break;
        }
        let hash = Sha384::digest(format!("layer {n}"));
        policy.push_str(&format!("layer_{n} := \"{}\"\n", STANDARD.encode(hash)));
    }
    let mut document = InitData::new("sha384", "0.1.0");
    document.insert_data("policy.rego", policy);
    document.insert_data(
        "aa.toml",
        "[token_configs.kbs]\nurl = 'http://127.0.0.1:8080'\n",
    );
    document.insert_data(
        "cdh.toml",
        "socket = 'unix:///run/cdh.sock'\ncredentials = []\n",
    );
    document
}

fn round_trip(document: &InitData, text: &str) -> (InitData, String) {
    let annotation = encode_initdata(document);
    let decoded = decode_initdata(&annotation).unwrap();
    let digest = calculate_initdata_digest(text, ProtectedPlatform::Tdx).unwrap();
    (decoded, digest)
}

fn baseline(text: &str) -> (String, String) {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    let annotation = STANDARD.encode(encoder.finish().unwrap());
    let mut decoded = String::new();
    GzDecoder::new(STANDARD.decode(annotation).unwrap().as_slice())
        .read_to_string(&mut decoded)
        .unwrap();
    let digest = STANDARD.encode(Sha384::digest(text));
    (decoded, digest)
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("initdata");
    for size in [1usize << 10, 32 << 10, 512 << 10] {
        let document = document(size);
        let text = document.to_string().unwrap();
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(BenchmarkId::new("round trip", size), |b| {
            b.iter(|| round_trip(black_box(&document), black_box(&text)));
        });
        group.bench_function(BenchmarkId::new("baseline", size), |b| {
            b.iter(|| baseline(black_box(&text)));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
