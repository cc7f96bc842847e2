//! The command line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
usage: create-container [OPTION…]

Follows one container from an OCI bundle to the agent in the guest, through all crates of this
workspace, and shows what happened at each stage. Nothing of this machine is changed, but the hooks
of the bundle are run, as a runtime would.

  --bundle DIR        bundle to read (default: one that is built into this program)
  --config FILE       configuration.toml to use, with the drop-ins in config.d beside it
                      (default: one that is built in)
  --annotation K=V    annotation of the pod, as if it stood in config.json; may be repeated
  --fake-root DIR     look for devices, mounts and memory management in DIR/proc, DIR/sys and
                      DIR/dev instead of this machine
  --id ID             container id (default: the name of the bundle directory)
  --json              one JSON object instead of text
  --help              this text

Exit status: 0 the container was created, 1 it was not, for the reason given, 2 wrong usage.
";

/// What the command line asks for.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) bundle: Option<PathBuf>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) fake_root: Option<PathBuf>,
    pub(crate) id: Option<String>,
    pub(crate) format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
}

impl Options {
    /// `None` asks for the usage text.
    pub(crate) fn parse(
        mut arguments: impl Iterator<Item = OsString>,
    ) -> Result<Option<Self>, String> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            let name = argument.to_str().unwrap_or_default();
            let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
            match name {
                "--bundle" => options.bundle = Some(value()?.into()),
                "--config" => options.config = Some(value()?.into()),
                "--annotation" => {
                    let text = utf8(name, value()?)?;
                    let (key, value) = text
                        .split_once('=')
                        .filter(|(key, _)| !key.is_empty())
                        .ok_or(format!("--annotation {text:?} is not KEY=VALUE"))?;
                    options.annotations.insert(key.to_owned(), value.to_owned());
                }
                "--fake-root" => options.fake_root = Some(value()?.into()),
                "--id" => options.id = Some(utf8(name, value()?)?),
                "--json" => options.format = Format::Json,
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("unknown argument {argument:?}")),
            }
        }
        Ok(Some(options))
    }
}

fn utf8(name: &str, value: OsString) -> Result<String, String> {
    value
        .into_string()
        .map_err(|value| format!("{name} {value:?} is not UTF-8"))
}
