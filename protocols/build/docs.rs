//! The comments of all `.proto` files, by declaration.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::comments::{self, Comments};
use super::{Error, rustdoc};

/// Documentation of the generated items. Clones share the text.
#[derive(Clone, Default)]
pub(crate) struct Docs {
    texts: Rc<BTreeMap<String, String>>,
    files: Rc<BTreeMap<PathBuf, String>>,
}

impl Docs {
    /// Reads the comments of the `.proto` files at `paths`.
    pub(crate) fn read(paths: impl IntoIterator<Item = PathBuf>) -> Result<Docs, Error> {
        let mut texts = BTreeMap::new();
        let mut files = BTreeMap::new();
        for path in paths {
            let text = fs::read_to_string(&path).map_err(|error| Error::new(&path, error))?;
            let Comments { file, declarations } =
                comments::read(&text).map_err(|error| Error::new(&path, error))?;
            rustdoc::check(&file)
                .and_then(|()| {
                    declarations
                        .iter()
                        .try_for_each(|d| rustdoc::check(&d.comment))
                })
                .map_err(|error| Error::new(&path, error))?;
            texts.extend(declarations.into_iter().map(|d| (d.path, d.comment)));
            files.insert(path, file);
        }
        Ok(Docs {
            texts: Rc::new(texts),
            files: Rc::new(files),
        })
    }

    /// Rustdoc lines of the declaration `path` (`grpc.Health.Check`); none without a comment.
    pub(crate) fn lines(&self, path: &str) -> Vec<String> {
        self.texts
            .get(path)
            .map(|text| rustdoc::lines(text))
            .unwrap_or_default()
    }

    /// First paragraph of the comment of `path` on one line; empty without a comment.
    pub(crate) fn summary(&self, path: &str) -> String {
        self.texts
            .get(path)
            .map(|text| rustdoc::summary(text))
            .unwrap_or_default()
    }

    /// Rustdoc lines about the `.proto` file `path`.
    pub(crate) fn file(&self, path: &Path) -> Vec<String> {
        self.files
            .get(path)
            .map(|text| rustdoc::lines(text))
            .unwrap_or_default()
    }
}

/// Rustdoc lines as outer doc comments, one per line, at `indent`.
pub(crate) fn outer(lines: &[String], indent: &str) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(format!("{indent}/// {line}").trim_end());
        text.push('\n');
    }
    text
}
