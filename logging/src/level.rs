//! The names of the six levels, as configuration files and command lines spell them.

use slog::Level;

/// One row per level, least severe first.
const LEVELS: [(&str, Level); 6] = [
    ("trace", Level::Trace),
    ("debug", Level::Debug),
    ("info", Level::Info),
    ("warn", Level::Warning),
    ("error", Level::Error),
    ("critical", Level::Critical),
];

/// The names of all levels: `trace`, `debug`, `info`, `warn`, `error`, `critical`.
///
/// Meant for the list of possible values of a command-line option.
///
/// ```
/// assert_eq!(
///     logging::get_log_levels(),
///     ["trace", "debug", "info", "warn", "error", "critical"]
/// );
/// ```
pub fn get_log_levels() -> Vec<&'static str> {
    LEVELS.iter().map(|(name, _)| *name).collect()
}

/// The level of that name. Case matters.
///
/// # Errors
///
/// `invalid level name` if the name is not one of [`get_log_levels`].
///
/// ```
/// use slog::Level;
///
/// assert_eq!(logging::level_name_to_slog_level("warn"), Ok(Level::Warning));
/// assert_eq!(
///     logging::level_name_to_slog_level("warning"),
///     Err("invalid level name".to_owned())
/// );
/// ```
pub fn level_name_to_slog_level(level_name: &str) -> Result<Level, String> {
    LEVELS
        .iter()
        .find(|(name, _)| *name == level_name)
        .map(|(_, level)| *level)
        .ok_or_else(|| "invalid level name".to_owned())
}

/// The name of a level: the inverse of [`level_name_to_slog_level`].
///
/// # Errors
///
/// None: every level has a name. The signature is kept for compatibility.
///
/// ```
/// use slog::Level;
///
/// assert_eq!(logging::slog_level_to_level_name(Level::Critical), Ok("critical"));
/// ```
pub fn slog_level_to_level_name(level: Level) -> Result<&'static str, &'static str> {
    LEVELS
        .iter()
        .find(|(_, known)| *known == level)
        .map(|(name, _)| *name)
        .ok_or("invalid slog level")
}

/// `0` for the most severe level, `5` for the least: an index into a table of six.
pub(crate) fn index(level: Level) -> usize {
    level.as_usize().saturating_sub(1)
}

/// How many levels there are.
pub(crate) const COUNT: usize = LEVELS.len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_levels_are_inverse() {
        for (name, level) in LEVELS {
            assert_eq!(level_name_to_slog_level(name), Ok(level));
            assert_eq!(slog_level_to_level_name(level), Ok(name));
        }
    }

    #[test]
    fn other_spellings_are_invalid() {
        for name in ["", "warning", "Info", "INFO", "info ", "err", "crit", "off"] {
            assert_eq!(
                level_name_to_slog_level(name),
                Err("invalid level name".to_owned()),
                "{name:?}"
            );
        }
    }

    #[test]
    fn index_orders_from_critical_to_trace() {
        let indices = LEVELS.map(|(_, level)| index(level));
        assert_eq!(indices, [5, 4, 3, 2, 1, 0]);
    }
}
