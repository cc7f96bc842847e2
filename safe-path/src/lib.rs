// The README's links lead to source files, where there is no rustdoc; here, these come before them.
//! [`PathError::Changed`]: PathError::Changed
//! [`PathError::Raced`]: PathError::Raced
//! [`PathError::TooManySymlinks`]: PathError::TooManySymlinks
//! [`PathError`]: PathError
//! [`PinnedPathBuf::as_path`]: PinnedPathBuf::as_path
//! [`PinnedPathBuf::from_path`]: PinnedPathBuf::from_path
//! [`PinnedPathBuf::mkdir`]: PinnedPathBuf::mkdir
//! [`PinnedPathBuf::new`]: PinnedPathBuf::new
//! [`PinnedPathBuf::open_child`]: PinnedPathBuf::open_child
//! [`PinnedPathBuf::path_fd`]: PinnedPathBuf::path_fd
//! [`PinnedPathBuf::try_clone`]: PinnedPathBuf::try_clone
//! [`ScopedDirBuilder::create_with_unscoped_path`]: ScopedDirBuilder::create_with_unscoped_path
//! [`ScopedDirBuilder`]: ScopedDirBuilder
//! [`ScopedRoot::join_child`]: ScopedRoot::join_child
//! [`ScopedRoot::open_file`]: ScopedRoot::open_file
//! [`ScopedRoot`]: ScopedRoot
//! [`scoped_join`]: scoped_join
//! [`scoped_resolve`]: scoped_resolve
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
