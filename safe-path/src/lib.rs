#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod error;
mod lexical;
mod pinned_path_buf;
mod procfs;
mod resolver;
mod scoped;
mod scoped_dir_builder;
mod scoped_root;
mod sys;

#[cfg(test)]
mod tests;

pub use error::PathError;
pub use pinned_path_buf::PinnedPathBuf;
pub use scoped::{scoped_join, scoped_resolve};
pub use scoped_dir_builder::ScopedDirBuilder;
pub use scoped_root::ScopedRoot;
