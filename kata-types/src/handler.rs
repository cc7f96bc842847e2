//! A registry of handlers by name: of [devices](crate::device) and of
//! [storage](crate::mount::StorageHandlerManager).

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

/// Maps names to handlers; the agent keeps its device and storage drivers in one each.
///
/// ```
/// use kata_types::handler::HandlerManager;
///
/// let mut handlers = HandlerManager::new();
/// handlers.add_handler(&["blk", "blk-ccw"], 1)?;
/// handlers.add_handler(&["scsi"], 2)?;
/// assert_eq!(handlers.handler("blk-ccw"), Some(&1));
/// assert_eq!(handlers.handler("nvdimm"), None);
/// assert_eq!(handlers.get_handlers(), ["blk", "blk-ccw", "scsi"]);
/// # Ok::<(), anyhow::Error>(())
/// ```
pub struct HandlerManager<H> {
    handlers: BTreeMap<String, H>,
}

impl<H> Default for HandlerManager<H>
where
    H: Clone,
{
    fn default() -> Self {
        Self::new()
    }
}

impl<H> HandlerManager<H>
where
    H: Clone,
{
    /// An empty registry.
    ///
    /// ```
    /// let handlers = kata_types::handler::HandlerManager::<fn()>::new();
    /// assert!(handlers.get_handlers().is_empty());
    /// ```
    pub fn new() -> Self {
        Self {
            handlers: BTreeMap::new(),
        }
    }

    /// Registers a clone of `handler` under each of `ids`: all of them, or none on error.
    ///
    /// # Errors
    /// `handler for {id} already exists` when an id is registered already or occurs twice.
    ///
    /// ```
    /// let mut handlers = kata_types::handler::HandlerManager::new();
    /// handlers.add_handler(&["scsi"], ())?;
    /// let error = handlers.add_handler(&["blk", "scsi"], ()).unwrap_err();
    /// assert_eq!(error.to_string(), "handler for scsi already exists");
    /// assert_eq!(handlers.handler("blk"), None);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn add_handler(&mut self, ids: &[&str], handler: H) -> Result<()> {
        let mut seen = BTreeSet::new();
        for id in ids {
            if self.handlers.contains_key(*id) || !seen.insert(*id) {
                bail!("handler for {id} already exists");
            }
        }
        self.handlers
            .extend(ids.iter().map(|id| (id.to_string(), handler.clone())));
        Ok(())
    }

    /// The handler registered under exactly this name.
    ///
    /// ```
    /// let mut handlers = kata_types::handler::HandlerManager::new();
    /// handlers.add_handler(&["scsi"], 1)?;
    /// assert_eq!(handlers.handler("scsi"), Some(&1));
    /// assert_eq!(handlers.handler("SCSI"), None);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn handler(&self, id: &str) -> Option<&H> {
        self.handlers.get(id)
    }

    /// All registered names, sorted.
    ///
    /// ```
    /// let mut handlers = kata_types::handler::HandlerManager::new();
    /// handlers.add_handler(&["scsi", "blk"], 1)?;
    /// assert_eq!(handlers.get_handlers(), ["blk", "scsi"]);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn get_handlers(&self) -> Vec<String> {
        self.handlers.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicate_registers_nothing_and_names_the_id() {
        let mut handlers = HandlerManager::new();
        handlers.add_handler(&["b"], 1).unwrap();
        let error = handlers.add_handler(&["a", "b", "c"], 2).unwrap_err();
        assert_eq!(error.to_string(), "handler for b already exists");
        assert_eq!(handlers.get_handlers(), ["b"]);
        let error = handlers.add_handler(&["x", "y", "x"], 2).unwrap_err();
        assert_eq!(error.to_string(), "handler for x already exists");
        assert_eq!(handlers.get_handlers(), ["b"]);
        assert_eq!(handlers.handler("b"), Some(&1));
    }

    #[test]
    fn no_ids_is_accepted() {
        let mut handlers = HandlerManager::default();
        handlers.add_handler(&[], 1).unwrap();
        assert!(handlers.get_handlers().is_empty());
    }

    #[test]
    fn names_are_sorted_and_matched_exactly() {
        let mut handlers = HandlerManager::new();
        handlers.add_handler(&["z", "a", "M"], 1).unwrap();
        assert_eq!(handlers.get_handlers(), ["M", "a", "z"]);
        assert_eq!(handlers.handler("m"), None);
        assert_eq!(handlers.handler("a "), None);
    }

    #[test]
    fn registry_is_shareable_when_its_handlers_are() {
        fn shareable<T: Send + Sync>() {}
        shareable::<HandlerManager<std::sync::Arc<dyn Fn() + Send + Sync>>>();
    }
}
