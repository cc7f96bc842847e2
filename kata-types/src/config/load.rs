//! From files to a [`TomlConfig`].

use std::io;
use std::path::{Path, PathBuf};

use super::default::DEFAULT_RUNTIME_CONFIGURATIONS;
use super::diagnostics::ConfigDiagnostic;
use super::loader::{ConfigLoader, LoadedConfig};
use super::origins::ConfigOrigins;
use super::toml_tree::Sources;
use super::{TomlConfig, path};

impl TomlConfig {
    /// Loads a file and the drop-ins beside it, and [adjusts](Self::adjust_config) the result.
    /// Does not validate it.
    ///
    /// Returns the configuration and the canonical path of the file. Drop-ins are the files in the
    /// directory `config.d` beside that path: they change parts of the configuration, in the order
    /// of their names. The empty path stands for the
    /// [default file](Self::get_default_config_file).
    ///
    /// What is [remarkable](Self::load_from_file_with_diagnostics) about the configuration is
    /// logged, with file and line.
    ///
    /// # Errors
    ///
    /// As [`load_raw_from_file`](Self::load_raw_from_file) and
    /// [`adjust_config`](Self::adjust_config); the message names the file and, where one is at
    /// fault, the value: `file:line:column: key: reason`.
    ///
    /// ```
    /// use kata_types::config::TomlConfig;
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let file = dir.path().join("configuration.toml");
    /// # std::fs::write(&file, "[runtime]\nenable_debug = false\n")?;
    /// # std::fs::create_dir(dir.path().join("config.d"))?;
    /// # std::fs::write(dir.path().join("config.d/10-debug"), "runtime.enable_debug = true")?;
    /// let (config, path) = TomlConfig::load_from_file(&file)?;
    /// assert!(config.runtime.debug); // set in config.d/10-debug
    /// assert_eq!(config.runtime.internetworking_model, "tcfilter"); // adjusted
    /// assert_eq!(path, file.canonicalize()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn load_from_file<P: AsRef<Path>>(config_file: P) -> io::Result<(TomlConfig, PathBuf)> {
        let mut loaded = ConfigLoader::new(config_file).read()?;
        loaded.adjust_and_log()?;
        Ok((loaded.config, loaded.path))
    }

    /// [`load_from_file`](Self::load_from_file) without adjusting.
    ///
    /// # Errors
    ///
    /// - the file or a drop-in cannot be read: the kind is that of the operating system, such as
    ///   [`NotFound`](io::ErrorKind::NotFound)
    /// - it is not a regular file, or too large (8 MiB each, 1024 drop-ins, 64 MiB of drop-ins, 16384
    ///   names in `config.d`): [`InvalidInput`](io::ErrorKind::InvalidInput)
    /// - it is not TOML in UTF-8, nested deeper than 128 levels, or a value is of the wrong type:
    ///   [`InvalidData`](io::ErrorKind::InvalidData); [`LoadError`](super::LoadError) has all
    ///   problems
    pub fn load_raw_from_file<P: AsRef<Path>>(config_file: P) -> io::Result<(TomlConfig, PathBuf)> {
        let loaded = ConfigLoader::new(config_file).read()?;
        loaded.log();
        Ok((loaded.config, loaded.path))
    }

    /// Loads the [default file](Self::get_default_config_file) without adjusting.
    ///
    /// # Errors
    ///
    /// There is no default file, or as [`load_raw_from_file`](Self::load_raw_from_file).
    pub fn load_from_default() -> io::Result<(TomlConfig, PathBuf)> {
        TomlConfig::load_raw_from_file("")
    }

    /// Parses and [adjusts](Self::adjust_config) a text. No file is read for it.
    ///
    /// # Errors
    ///
    /// As [`load_from_file`](Self::load_from_file); the message has no file name.
    ///
    /// ```
    /// use kata_types::config::TomlConfig;
    ///
    /// let config = TomlConfig::load("[agent.kata]\ncreate_container_timeout = 60")?;
    /// assert_eq!(config.agent["kata"].request_timeout_ms, 60_000);
    ///
    /// let error = TomlConfig::load("[agent.kata]\nserver_port = -1").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "2:15: agent.kata.server_port: invalid value: integer `-1`, expected u32",
    /// );
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn load(content: &str) -> io::Result<TomlConfig> {
        let mut sources = Sources::default();
        sources.push(PathBuf::new(), content.to_owned());
        let mut loaded = LoadedConfig::convert(PathBuf::new(), sources, Vec::new())?;
        loaded.adjust_and_log()?;
        Ok(loaded.config)
    }

    /// [`load_from_file`](Self::load_from_file), returning what it would log: keys that are
    /// unknown, misspelt, renamed, in the wrong section or without effect, values that were
    /// limited, files that were skipped, and so on.
    ///
    /// # Errors
    ///
    /// As [`load_from_file`](Self::load_from_file).
    ///
    /// ```
    /// use kata_types::config::{DiagnosticKind, TomlConfig};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let file = dir.path().join("configuration.toml");
    /// # std::fs::write(&file, "[runtime]\n\nenable_pporf = true\n")?;
    /// let (_config, path, diagnostics) = TomlConfig::load_from_file_with_diagnostics(&file)?;
    /// let misspelt = &diagnostics[0];
    /// assert_eq!(misspelt.kind, DiagnosticKind::Misspelt);
    /// assert_eq!(misspelt.file, path);
    /// assert_eq!(misspelt.line, Some(3));
    /// assert_eq!(misspelt.key, "runtime.enable_pporf");
    /// assert_eq!(misspelt.suggestion.as_deref(), Some("enable_pprof"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn load_from_file_with_diagnostics<P: AsRef<Path>>(
        config_file: P,
    ) -> io::Result<(TomlConfig, PathBuf, Vec<ConfigDiagnostic>)> {
        let mut loaded = ConfigLoader::new(config_file).read()?;
        loaded.adjust()?;
        let diagnostics = loaded.diagnostics();
        Ok((loaded.config, loaded.path, diagnostics))
    }

    /// [`load_from_file`](Self::load_from_file), with the origin of every value.
    ///
    /// # Errors
    ///
    /// As [`load_from_file`](Self::load_from_file).
    ///
    /// ```
    /// use kata_types::config::{Origin, TomlConfig};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let file = dir.path().join("configuration.toml");
    /// # std::fs::write(&file, "[runtime]\nenable_debug = true\n")?;
    /// let (_config, path, origins) = TomlConfig::load_from_file_with_origins(&file)?;
    /// assert_eq!(
    ///     origins.origin_of("runtime.enable_debug"),
    ///     Some(&Origin::BaseFile { file: path, line: 2, column: 1 }),
    /// );
    /// assert_eq!(origins.origin_of("runtime.log_level"), Some(&Origin::Default));
    /// assert_eq!(origins.origin_of("runtime.no_such_key"), None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn load_from_file_with_origins<P: AsRef<Path>>(
        config_file: P,
    ) -> io::Result<(TomlConfig, PathBuf, ConfigOrigins)> {
        let mut loaded = ConfigLoader::new(config_file).read()?;
        loaded.adjust_and_log()?;
        let origins = loaded.origins();
        Ok((loaded.config, loaded.path, origins))
    }

    /// Canonical path of the first file of
    /// [`get_default_config_file_list`](Self::get_default_config_file_list) that exists.
    ///
    /// # Errors
    ///
    /// None of them exists, or can be reached: of kind [`NotFound`](io::ErrorKind::NotFound), with
    /// the reason for each.
    pub fn get_default_config_file() -> io::Result<PathBuf> {
        first_file(&TomlConfig::get_default_config_file_list())
    }

    /// The places where a configuration file is looked for, in this order.
    ///
    /// ```
    /// let files = kata_types::config::TomlConfig::get_default_config_file_list();
    /// assert!(files[0].starts_with("/etc/kata-containers"));
    /// ```
    pub fn get_default_config_file_list() -> Vec<PathBuf> {
        DEFAULT_RUNTIME_CONFIGURATIONS
            .iter()
            .map(PathBuf::from)
            .collect()
    }
}

/// The first of `candidates` that exists, as canonical path.
fn first_file(candidates: &[PathBuf]) -> io::Result<PathBuf> {
    let mut reasons = Vec::new();
    for candidate in candidates {
        match path::canonical(candidate) {
            Ok(found) => return Ok(found),
            Err(e) => {
                if e.kind() != io::ErrorKind::NotFound {
                    slog::warn!(
                        slog_scope::logger(),
                        "skipping default configuration file {}: {e}",
                        candidate.display()
                    );
                }
                reasons.push(format!("{}: {e}", candidate.display()));
            }
        }
    }
    let message = format!("no configuration file found: {}", reasons.join("; "));
    Err(io::Error::new(io::ErrorKind::NotFound, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_default_file_that_exists_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        let [first, second] = ["first", "second"].map(|name| dir.path().join(name));
        std::fs::write(&second, "").unwrap();
        let candidates = [missing.clone(), first.clone(), second.clone()];
        assert_eq!(
            first_file(&candidates).unwrap(),
            second.canonicalize().unwrap()
        );
        std::fs::write(&first, "").unwrap();
        assert_eq!(
            first_file(&candidates).unwrap(),
            first.canonicalize().unwrap()
        );
    }

    #[test]
    fn without_default_file_every_candidate_is_listed_with_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let candidates = [dir.path().join("missing"), file.join("below")];
        let error = first_file(&candidates).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(
            error.to_string(),
            format!(
                "no configuration file found: {}: No such file or directory (os error 2); \
                 {}: Not a directory (os error 20)",
                candidates[0].display(),
                candidates[1].display()
            )
        );
    }
}
