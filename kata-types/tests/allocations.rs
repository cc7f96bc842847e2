//! Memory that untrusted input can make the library take.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kata_types::config::ConfigLoader;
use kata_types::cpu::CpuSet;
use kata_types::gpt_disk::{ErofsLayer, generate_gpt_metadata};
use kata_types::initdata::{decode_initdata, parse_initdata};
use test_utils::allocation::{CountingAllocator, allocated_by};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// The peak above the start, and the sum, of the bytes allocated by an action.
fn measure(action: impl FnOnce()) -> (usize, usize) {
    let ((), allocated) = allocated_by(action);
    (allocated.peak, allocated.total)
}

fn annotation(bytes: &[u8]) -> String {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    STANDARD.encode(encoder.finish().unwrap())
}

#[test]
fn decompression_stays_below_its_cap() {
    // More than 16 MiB in a few KiB of annotation.
    let bomb = annotation(&vec![b'a'; 17 << 20]);
    assert!(bomb.len() < 32 << 10);
    let (peak, _) = measure(|| assert!(decode_initdata(&bomb).is_err()));
    assert!(peak < 17 << 20, "{peak} bytes");
}

#[test]
fn large_document_needs_twice_its_size() {
    let size = 4 << 20;
    let text = format!(
        "version = '0.1.0'\nalgorithm = 'sha256'\n\n[data]\nk = '{}'\n",
        "v".repeat(size)
    );
    let annotation = annotation(text.as_bytes());
    let (peak, _) = measure(|| assert!(decode_initdata(&annotation).is_ok()));
    // The decompressed text may have been given twice the room it needs.
    assert!(peak < 13 << 20, "{peak} bytes");
}

#[test]
fn number_of_values_is_bounded_before_they_are_built() {
    let head = "version = '0.1.0'\nalgorithm = 'sha256'\n";
    let text = format!("{head}x = [{}]\n[data]\n", "1,".repeat(200_000));
    let (peak, _) = measure(|| assert!(parse_initdata(&text).is_err()));
    assert!(peak < 16 << 10, "{peak} bytes");
}

const HEAD: &str = "version = '0.1.0'\nalgorithm = 'sha256'\n";

#[test]
fn blank_text_takes_no_memory() {
    let size = 1 << 19;
    for (what, line) in [
        ("line ends", "\n"),
        ("CRLF", "\r\n"),
        ("short comments", "#\n"),
        ("comments", "# a comment as people write them\n"),
        ("long comments", &format!("#{}\n", "c".repeat(1 << 17))),
        ("blanks", " \t \n"),
        ("indented comments", "\t#\n\n"),
    ] {
        let blanks = line.repeat(size / line.len());
        for text in [
            format!("{blanks}{HEAD}[data]\n"),
            format!("{HEAD}[data]\n{blanks}"),
            format!("{HEAD}x = [\n{blanks}]\n[data]\n"),
        ] {
            let (peak, _) = measure(|| drop(parse_initdata(&text).unwrap()));
            assert!(peak < 64 << 10, "{what}: {peak} bytes");
        }
    }
}

#[test]
fn large_text_takes_at_most_eight_times_its_size() {
    let size = 1 << 19;
    for (what, value) in [
        ("string", format!("\"{}\"", "v".repeat(size))),
        ("escapes", format!("\"{}\"", "\\u00e9".repeat(size / 6))),
        ("lines", format!("\"\"\"{}\"\"\"", "v\n".repeat(size / 2))),
        (
            "comments in a string",
            format!("'''{}'''", "#\r\n".repeat(size / 3)),
        ),
    ] {
        // Any comment keeps the fast reader away; of many, the text is rid before it is parsed.
        for comments in [0, 1, size / 200, size / 64] {
            let comments = "# c\n".repeat(comments);
            let text = format!("{comments}{HEAD}\n[data]\nk = {value}\n");
            let (peak, _) = measure(|| drop(parse_initdata(&text).unwrap()));
            assert!(peak <= 8 * text.len(), "{what}: {peak} bytes");
        }
    }
}

#[test]
fn small_text_takes_at_most_24_mebibytes() {
    let values =
        |value: &str, count: usize| format!("{HEAD}x = [{}]\n[data]\n", value.repeat(count));
    let lines = |form: &str, count: usize| {
        let lines: String = (0..count)
            .map(|n| form.replace('@', &n.to_string()))
            .collect();
        format!("{HEAD}\n[data]\n{lines}")
    };
    for (what, text) in [
        ("numbers", values("1,", 16_000)),
        ("arrays", values("[],", 10_000)),
        ("tables", values("{a=1},", 5_000)),
        (
            "dotted keys",
            values(&format!("{{{}a=1}},", "a.".repeat(60)), 250),
        ),
        ("headers", lines("[x@]\n", 10_000)),
        ("arrays of tables", lines("[[x]]\n", 6_000)),
        (
            "dotted headers",
            lines(&format!("[x@{}]\n", ".a".repeat(60)), 250),
        ),
        ("entries", lines("k@='v'\n", 10_000)),
        ("canonical entries", lines("k@ = 'v'\n", 1 << 16)),
        ("compact entries", lines("k@ = \"v\"\n", 1 << 16)),
    ] {
        let mut error = None;
        let (peak, _) = measure(|| error = parse_initdata(&text).err());
        assert!(error.is_none(), "{what}: {error:?}");
        assert!(peak <= 24 << 20, "{what}: {peak} bytes");
    }
}

#[test]
fn refused_lists_are_not_expanded() {
    for list in ["0-4294967295", "0-1048576"] {
        let (peak, _) = measure(|| assert!(list.parse::<CpuSet>().is_err()));
        assert!(peak < 1 << 10, "{peak} bytes");
    }
}

#[test]
fn deep_documents_are_refused_before_they_are_built() {
    let text = format!("x = {}", "[".repeat(1 << 20));
    let (peak, _) = measure(|| assert!(parse_initdata(&text).is_err()));
    assert!(peak < 16 << 10, "{peak} bytes");
}

/// Bytes that loading a configuration file takes, and whether it could be loaded.
fn load_peak(text: &str) -> (usize, bool) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("configuration.toml");
    std::fs::write(&file, text).unwrap();
    let mut loaded = false;
    let (peak, _) = measure(|| {
        if let Ok(mut config) = ConfigLoader::new(&file).read() {
            loaded = config.adjust().is_ok();
        }
    });
    (peak, loaded)
}

#[test]
fn a_configuration_of_nothing_takes_less_than_twice_its_size() {
    let size = 1 << 20;
    for piece in [
        "# a comment as long as usual\n",
        "#\n",
        "\n",
        "\r\n",
        "  \t\n",
        "# é \t\r\n",
        " ",
    ] {
        let (peak, loaded) = load_peak(&piece.repeat(size / piece.len()));
        assert!(loaded, "{piece:?}");
        assert!(peak < 2 * size, "{piece:?}: {peak} bytes");
    }
    let comments = "# a comment as long as usual, in the largest file there can be\n";
    let (peak, loaded) = load_peak(&comments.repeat((8 << 20) / comments.len()));
    assert!(loaded && peak < 16 << 20, "{peak} bytes");
}

const FIRECRACKER: &str = "[hypervisor.firecracker]\nkernel = '/dev/null'\n";

#[test]
fn a_configuration_takes_less_than_eight_times_its_size() {
    let size = 1 << 20;
    for (start, piece, end) in [
        ("[agent.kata]\npolicy = '''\n", "allow if true\n", "'''\n"),
        ("[agent.kata]\npolicy = \"\"\"\n", "allow\\t\n", "\"\"\"\n"),
        ("[agent.kata]\npolicy = \"", "\\n", "\"\n"),
        (&format!("{FIRECRACKER}initdata = \""), "H4sI", "\"\n"),
        (&format!("{FIRECRACKER}initdata = \""), "\\u00e9", "\"\n"),
        ("[agent.kata]\n", "# x\n  \n", "policy = 'x' # y"),
        ("unknown = \"", "\\q", "\"\n"),
    ] {
        let text = format!("{start}{}{end}", piece.repeat(size / piece.len()));
        let (peak, loaded) = load_peak(&text);
        println!("{start:?} {piece:?}: {peak} bytes for {}", text.len());
        assert_eq!(loaded, !start.starts_with("unknown"), "{start:?}");
        assert!(peak < 8 * text.len(), "{start:?}: {peak} bytes");
    }
}

#[test]
fn a_configuration_of_many_small_things_takes_a_limited_amount() {
    let numbered =
        |line: &dyn Fn(usize) -> String, number| -> String { (0..number).map(line).collect() };
    let patterns = |list: String| format!("{FIRECRACKER}enable_annotations = [{list}]");
    for (name, text) in [
        ("words", format!("x = [{}]", "1,".repeat(130_000))),
        (
            "shared mounts",
            format!("[runtime]\nshared_mounts = [{}]", "{},".repeat(1 << 16)),
        ),
        (
            "tables of shared mounts",
            "[[runtime.shared_mounts]]\n".repeat(40_000),
        ),
        (
            "texts",
            format!("[agent.kata]\nkernel_modules = [{}]", "'',".repeat(1 << 16)),
        ),
        ("keys", numbered(&|n| format!("k{n}=1\n"), 80_000)),
        ("sections", numbered(&|n| format!("[agent.a{n}]\n"), 1024)),
        (
            "many patterns",
            patterns(numbered(&|n| format!("'.{{9}}{n}',"), 20_000)),
        ),
        (
            "expensive patterns",
            patterns(numbered(&|n| format!("'\\w{{4}}{n}',"), 20)),
        ),
        (
            "too expensive patterns",
            patterns(numbered(&|n| format!("'\\w{{200}}{n}',"), 20)),
        ),
        ("too many words", " a".repeat(1 << 20)),
    ] {
        let (peak, _) = load_peak(&text);
        println!("{name}: {peak} bytes for {}", text.len());
        assert!(peak < 8 * text.len() + (64 << 20), "{name}: {peak} bytes");
    }
}

#[test]
fn gpt_heads_need_no_buffer_of_their_size() {
    let dir = tempfile::tempdir().unwrap();
    for (count, limit) in [(2, 2 << 10), (32, 8 << 10), (128, 32 << 10)] {
        let layers: Vec<ErofsLayer> = (0..count)
            .map(|n| ErofsLayer {
                path: format!("/snapshots/{n}/layer.erofs"),
                size_sectors: 1000,
                snapshot_id: n.to_string(),
            })
            .collect();
        let (_, total) = measure(|| {
            generate_gpt_metadata("sandbox", "container", layers, dir.path()).unwrap();
        });
        assert!(total <= limit, "{total} bytes for {count} layers");
    }
}
