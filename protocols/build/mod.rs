//! From `.proto` files to Rust modules.
//!
//! 1. The pure-Rust parser of `protobuf-parse` reads every file, once.
//! 2. `protobuf-codegen` writes a module per file with the message types; [`messages`] tells it the
//!    documentation and the serde attributes of each item.
//! 3. [`bounded`] replaces the calls that would trust an announced length.
//! 4. [`accessors`] adds the documentation of the items that the generator does not ask about.
//! 5. [`stubs`] writes the ttrpc clients and service traits from the same parse.
//! 6. `mod.rs` declares the modules.
//!
//! The documentation is that of the `.proto` files. The parser drops comments, so [`comments`]
//! reads them by itself and [`docs`] keeps them by declaration.

use std::fmt;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use protobuf::descriptor::FileDescriptorProto;
use protobuf_parse::{ParsedAndTypechecked, ProtoPathBuf};

pub(crate) mod accessors;
pub(crate) mod bounded;
pub(crate) mod comments;
pub(crate) mod docs;
pub(crate) mod example;
pub(crate) mod messages;
pub(crate) mod rustdoc;
pub(crate) mod stubs;

use docs::{Docs, outer};

/// One `.proto` file and what is made of it.
pub(crate) struct Input {
    /// Path below the proto folder, as in an `import`.
    pub(crate) path: &'static str,
    /// Whether users of the crate see the messages.
    pub(crate) public: bool,
    /// Whether the services get ttrpc stubs.
    pub(crate) stubs: bool,
}

/// The compiled files. `google/protobuf/descriptor.proto` is only imported: its Rust types are
/// those of the `protobuf` crate.
#[rustfmt::skip]
pub(crate) const INPUTS: &[Input] = &[
    Input { path: "agent.proto", public: true, stubs: true },
    Input { path: "confidential_data_hub.proto", public: true, stubs: true },
    Input { path: "cri-api/api.proto", public: true, stubs: false },
    Input { path: "csi.proto", public: true, stubs: false },
    Input { path: "gogo/protobuf/gogoproto/gogo.proto", public: false, stubs: false },
    Input { path: "google/protobuf/empty.proto", public: true, stubs: false },
    Input { path: "health.proto", public: true, stubs: true },
    Input { path: "oci.proto", public: true, stubs: false },
    Input { path: "remote.proto", public: true, stubs: true },
    Input { path: "runtimeoptions.proto", public: true, stubs: false },
    Input { path: "types.proto", public: true, stubs: false },
];

/// Lints that generated code need not keep. `missing_docs` is not among them.
const EXEMPT: &str = "#[allow(clippy::all, clippy::nursery, clippy::pedantic, clippy::restriction, \
     rust_2018_idioms, unreachable_pub, unused_qualifications, reason = \"generated code\")]";

/// Why a file could not be turned into modules.
#[derive(Debug)]
pub(crate) struct Error {
    file: PathBuf,
    message: String,
}

impl Error {
    pub(crate) fn new(file: impl Into<PathBuf>, message: impl fmt::Display) -> Self {
        Error {
            file: file.into(),
            message: message.to_string(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.message)
    }
}

impl std::error::Error for Error {}

/// Generates the modules of `inputs`, which lie below `protos`, and `mod.rs` into the folder `out`.
///
/// # Errors
///
/// The file that is missing, is not valid or cannot be written, and why.
pub(crate) fn generate(inputs: &[Input], protos: &Path, out: &Path) -> Result<(), Error> {
    let sources = || inputs.iter().map(|input| protos.join(input.path));
    let parsed = protobuf_parse::Parser::new()
        .pure()
        .include(protos)
        .inputs(sources())
        .parse_and_typecheck()
        .map_err(|error| {
            // Below the name of the parser stands the error with the file, its causes repeat it.
            let cause = error.chain().nth(1).map(ToString::to_string);
            Error::new(protos, cause.unwrap_or_else(|| error.to_string()))
        })?;
    let docs = Docs::read(sources())?;

    generate_messages(inputs, &parsed, &docs, protos, out)?;

    let mut modules = String::new();
    for input in inputs {
        let source = protos.join(input.path);
        let failed = |message: String| Error::new(&source, message);
        let descriptor = find(&parsed, input.path).map_err(failed)?;
        let target = out.join(format!("{}.rs", module_name(input.path)));
        let code = fs::read_to_string(&target).map_err(|error| Error::new(&target, error))?;
        let code = bounded::bound(&code)
            .and_then(|code| accessors::document(&code, descriptor, &docs))
            .map_err(failed)?;
        write(&target, &code)?;
        modules.push_str(&message_module(input, docs.file(&source)));

        for flavour in stubs::FLAVOURS.iter().filter(|_| input.stubs) {
            let code = stubs::generate(flavour, descriptor, &parsed.file_descriptors, &docs);
            let name = format!("{}{}", module_name(input.path), flavour.suffix);
            write(&out.join(format!("{name}.rs")), &code.map_err(failed)?)?;
            modules.push_str(&stub_module(&name, flavour, descriptor));
        }
    }
    write(&out.join("mod.rs"), &modules)
}

/// Lets `protobuf-codegen` write the message modules.
fn generate_messages(
    inputs: &[Input],
    parsed: &ParsedAndTypechecked,
    docs: &Docs,
    protos: &Path,
    out: &Path,
) -> Result<(), Error> {
    for input in inputs {
        let checked = find(parsed, input.path).and_then(messages::check);
        checked.map_err(|message| Error::new(protos.join(input.path), message))?;
    }
    let generate = |names: &[ProtoPathBuf]| {
        let write = || {
            protobuf_codegen::gen_and_write::gen_and_write(
                &parsed.file_descriptors,
                &parsed.parser,
                names,
                out,
                &messages::customize(),
                &messages::Attributes::new(docs.clone()),
            )
        };
        // The generator asserts where it could return an error.
        catch_unwind(AssertUnwindSafe(write))
            .map_err(|_panic| "the generator of protobuf panicked, see above".to_owned())?
            .map_err(|error| format!("{error:#}"))
    };
    if generate(&parsed.relative_paths).is_err() {
        // The error does not tell in which file.
        for (input, name) in inputs.iter().zip(&parsed.relative_paths) {
            generate(std::slice::from_ref(name))
                .map_err(|error| Error::new(protos.join(input.path), error))?;
        }
    }
    Ok(())
}

fn find<'a>(
    parsed: &'a ParsedAndTypechecked,
    path: &str,
) -> Result<&'a FileDescriptorProto, String> {
    let mut files = parsed.file_descriptors.iter();
    files
        .find(|file| file.name() == path)
        .ok_or_else(|| "the parser lost the file".to_owned())
}

/// Name of the message module of a proto file, which `protobuf-codegen` decides.
pub(crate) fn module_name(path: &str) -> String {
    let file = protobuf_codegen::proto_name_to_rs(path);
    file.trim_end_matches(".rs").to_owned()
}

fn message_module(input: &Input, docs: Vec<String>) -> String {
    let name = module_name(input.path);
    let visibility = if input.public { "pub " } else { "" };
    format!("{}{EXEMPT}\n{visibility}mod {name};\n\n", outer(&docs, ""))
}

fn stub_module(name: &str, flavour: &stubs::Flavour, file: &FileDescriptorProto) -> String {
    let services: Vec<String> = file
        .service
        .iter()
        .map(|service| format!("`{}.{}`", file.package(), service.name()))
        .collect();
    let mut docs = vec![format!(
        "ttrpc stubs of {}: {} client and service trait, with the messages of [`{}`].",
        services.join(", "),
        flavour.word,
        module_name(file.name()),
    )];
    let mut gate = String::new();
    if let Some(feature) = flavour.feature {
        docs.extend([String::new(), format!("Needs the feature `{feature}`.")]);
        gate = format!("#[cfg(feature = \"{feature}\")]\n");
    }
    format!("{}{gate}{EXEMPT}\npub mod {name};\n\n", outer(&docs, ""))
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|error| Error::new(path, error))
}
