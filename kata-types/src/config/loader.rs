//! Loading step by step: read, adjust, validate, and ask what there was to say.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, Deserializer};

use super::TomlConfig;
use super::adjust::{AdjustNote, AdjustReport};
use super::bounded_file::{self, Content};
use super::diagnostics::{ConfigDiagnostic, Flaw, Severity, Walk, report};
use super::dotted_key::shown_key;
use super::drop_in::{self, Absent, Skipped};
use super::load_error::{LoadError, LoadProblem};
use super::origins::ConfigOrigins;
use super::toml_tree::Sources;

/// Loading of a configuration file step by step.
///
/// The functions of [`TomlConfig`] are made of this. It is for programs that need more: another
/// drop-in directory, all diagnostics and origins at once, or a look between the steps.
///
/// ```
/// use kata_types::config::ConfigLoader;
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("configuration.toml");
/// # std::fs::write(&path, "[agent.kata]\n[runtime]\nagent_name = 'kata'\nkeep_abnormall = true\n")?;
/// let mut loaded = ConfigLoader::new(&path).read()?;
/// loaded.adjust()?;
/// loaded.validate()?;
/// for diagnostic in loaded.diagnostics() {
///     assert!(diagnostic.message.contains("did you mean `keep_abnormal`?"));
/// }
/// assert_eq!(loaded.config.agent["kata"].server_port, 1024);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConfigLoader {
    path: PathBuf,
    more_drop_ins: Vec<PathBuf>,
}

/// A configuration with all that is known about its files; see [`ConfigLoader`].
#[derive(Debug)]
pub struct LoadedConfig {
    /// The configuration; it may be changed between the steps.
    pub config: TomlConfig,
    pub(super) path: PathBuf,
    sources: Arc<Sources>,
    walk: Arc<Walk>,
    skipped: Vec<Skipped>,
    notes: Vec<AdjustNote>,
    /// The configuration as it is in the files.
    raw: Arc<TomlConfig>,
}

impl ConfigLoader {
    /// Prepares loading of a file; the empty path stands for the
    /// [default file](TomlConfig::get_default_config_file).
    pub fn new<P: AsRef<Path>>(config_file: P) -> Self {
        ConfigLoader {
            path: config_file.as_ref().to_owned(),
            more_drop_ins: Vec::new(),
        }
    }

    /// Also uses the files of another directory, after those in `config.d` and those of directories
    /// named before. Unlike `config.d`, it must exist.
    pub fn drop_in_dir<P: AsRef<Path>>(mut self, dir: P) -> Self {
        self.more_drop_ins.push(dir.as_ref().to_owned());
        self
    }

    /// Reads, merges and converts the files.
    ///
    /// # Errors
    ///
    /// As [`TomlConfig::load_raw_from_file`], and a [named directory](Self::drop_in_dir) that does
    /// not exist, with kind [`NotFound`](io::ErrorKind::NotFound).
    pub fn read(self) -> io::Result<LoadedConfig> {
        let (path, content) = if self.path.as_os_str().is_empty() {
            bounded_file::read_canonical(&TomlConfig::get_default_config_file()?)?
        } else {
            bounded_file::read_canonical(&self.path)?
        };
        slog::info!(
            slog_scope::logger(),
            "load configuration from: {}",
            path.display()
        );
        let invalid = |reason| LoadError::about_file(io::ErrorKind::InvalidInput, &path, reason);
        let Some(parent) = path.parent() else {
            return Err(invalid("base cfg file path too short".to_owned()));
        };
        let mut sources = Sources::default();
        match content {
            Content::Text(text) => sources.push(path.clone(), text),
            Content::Special(what) => {
                return Err(invalid(format!("not a regular file but {what}")));
            }
            Content::Directory => {
                return Err(invalid("not a regular file but a directory".to_owned()));
            }
        }
        let mut skipped = Vec::new();
        let beside = parent.join(drop_in::DIRECTORY);
        let named = self.more_drop_ins.iter().map(|dir| (dir, Absent::Mistake));
        for (dir, absent) in std::iter::once((&beside, Absent::NoFiles)).chain(named) {
            let found = drop_in::read(dir, absent)?;
            skipped.extend(found.skipped);
            for (path, text) in found.files {
                sources.push(path, text);
            }
        }
        LoadedConfig::convert(path, sources, skipped)
    }
}

impl LoadedConfig {
    /// Canonical path of the base file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that the configuration was made of: the base file, then the drop-ins in the order
    /// of their use.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.sources.paths()
    }

    /// [Adjusts](TomlConfig::adjust_config) the configuration; what that changes becomes part of the
    /// diagnostics and origins.
    ///
    /// # Errors
    ///
    /// As [`TomlConfig::adjust_config`]; the message says where the value was set.
    pub fn adjust(&mut self) -> io::Result<()> {
        let mut report = AdjustReport::default();
        let result = self.config.adjust_with(&mut report);
        self.finish(result, report)
    }

    /// [Validates](TomlConfig::validate) the configuration.
    ///
    /// # Errors
    ///
    /// As [`TomlConfig::validate`]; the message says where the value was set.
    pub fn validate(&mut self) -> io::Result<()> {
        let mut report = AdjustReport::default();
        let result = self.config.validate_with(&mut report);
        self.finish(result, report)
    }

    /// Everything that there is to say about the files and values so far, by file and line.
    pub fn diagnostics(&self) -> Vec<ConfigDiagnostic> {
        report(&self.sources, &self.walk, &self.skipped, &self.notes)
    }

    /// Where each value comes from, as the configuration is now.
    pub fn origins(&self) -> ConfigOrigins {
        ConfigOrigins::new(
            &self.sources,
            &self.walk,
            &self.notes,
            &self.raw,
            &self.config,
        )
    }

    /// Converts files that have been read.
    pub(super) fn convert(
        path: PathBuf,
        mut sources: Sources,
        skipped: Vec<Skipped>,
    ) -> io::Result<Self> {
        let tree = sources.parse()?;
        let walk = Walk::over(&tree);
        let config = typed(tree, &walk, &sources, &skipped)?;
        sources.forget_extracts();
        Ok(LoadedConfig {
            raw: Arc::new(config.clone()),
            config,
            path,
            sources: Arc::new(sources),
            walk: Arc::new(walk),
            skipped,
            notes: Vec::new(),
        })
    }

    /// Takes over what a step has to say.
    fn finish(&mut self, result: io::Result<()>, report: AdjustReport) -> io::Result<()> {
        for note in report.notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        result.map_err(|error| {
            let key = report.failed_key.unwrap_or_default();
            let shown = shown_key(&key);
            let problem = match self.walk.find(&key) {
                Some(at) => {
                    let place = self.sources.locator().locate(at);
                    LoadProblem::at(&self.sources, place, &shown, &error)
                }
                None => LoadProblem::in_file(&self.path, &shown, &error),
            };
            LoadError::of_kind(error.kind(), vec![problem], self.diagnostics())
        })
    }

    /// Writes one log line per diagnostic.
    pub(super) fn log(&self) {
        let logger = slog_scope::logger();
        for diagnostic in self.diagnostics() {
            let suggestion = diagnostic.suggestion.as_deref().unwrap_or_default();
            match diagnostic.severity {
                Severity::Info => slog::info!(logger, "{diagnostic}"; "suggestion" => suggestion),
                _ => slog::warn!(logger, "{diagnostic}"; "suggestion" => suggestion),
            }
        }
    }

    /// Adjusts, and writes log lines.
    pub(super) fn adjust_and_log(&mut self) -> io::Result<()> {
        let result = self.adjust();
        self.log();
        result?;
        // Redacted by the implementations of `Debug` (D9).
        slog::info!(slog_scope::logger(), "get kata config: {:?}", self.config);
        Ok(())
    }
}

/// Converts a merged tree. Problems are those that the walk found, all of them; serde only has to
/// say what is left.
fn typed(
    tree: DeTable<'_>,
    walk: &Walk,
    sources: &Sources,
    skipped: &[Skipped],
) -> io::Result<TomlConfig> {
    let problems = if walk.flaws.is_empty() {
        let tree = Spanned::new(0..0, tree);
        let error = match TomlConfig::deserialize(Deserializer::from(tree)) {
            Ok(config) => return Ok(config),
            Err(error) => error,
        };
        let at = error.span().map_or(0, |span| span.start);
        let place = sources.locator().locate(at);
        let key = walk.key_at(at);
        vec![LoadProblem::at(sources, place, &key, error.message())]
    } else {
        let mut flaws: Vec<&Flaw> = walk.flaws.iter().collect();
        flaws.sort_by_key(|flaw| flaw.at);
        let mut locator = sources.locator();
        flaws
            .into_iter()
            .map(|flaw| LoadProblem::at(sources, locator.locate(flaw.at), &flaw.key, &flaw.reason))
            .collect()
    };
    let remarks = report(sources, walk, skipped, &[]);
    Err(LoadError::of_kind(
        io::ErrorKind::InvalidData,
        problems,
        remarks,
    ))
}
