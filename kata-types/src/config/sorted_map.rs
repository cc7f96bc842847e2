//! Maps are written in the order of their keys, so that equal configurations have equal texts.

use std::collections::{BTreeMap, HashMap};

use serde::{Serialize, Serializer};

pub(crate) fn serialize<V: Serialize, S: Serializer>(
    map: &HashMap<String, V>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(map.iter().collect::<BTreeMap<_, _>>())
}
