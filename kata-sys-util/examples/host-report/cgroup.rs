//! Which version of cgroups is mounted ([`cgroups(7)`](https://man7.org/linux/man-pages/man7/cgroups.7.html)).

use std::path::Path;

use serde::Serialize;

use crate::reader::Reader;
use crate::report::{Row, row};

#[derive(Serialize)]
pub(crate) struct Cgroup {
    version: Version,
    controllers: Vec<String>,
}

#[derive(Serialize)]
enum Version {
    #[serde(rename = "v2")]
    V2,
    /// Controllers of version 1, and version 2 in `unified` without them.
    #[serde(rename = "hybrid")]
    Hybrid,
    #[serde(rename = "v1")]
    V1,
    #[serde(rename = "none")]
    None,
}

impl Cgroup {
    pub(crate) fn read(reader: &mut Reader) -> Self {
        let mount = reader.root.sys.join("fs/cgroup");
        // Only version 2 has this file in its topmost group.
        if let Some(controllers) = reader.text(&mount.join("cgroup.controllers")) {
            return Self {
                version: Version::V2,
                controllers: controllers.split_whitespace().map(str::to_owned).collect(),
            };
        }
        let names = reader.names(&mount).unwrap_or_default();
        let is_v1 = |name: &String| is_group(&mount.join(name)) && name != "unified";
        let controllers: Vec<String> = names.iter().filter(|name| is_v1(name)).cloned().collect();
        let version = match (controllers.is_empty(), is_group(&mount.join("unified"))) {
            (_, true) => Version::Hybrid,
            (false, false) => Version::V1,
            (true, false) => Version::None,
        };
        Self {
            version,
            controllers,
        }
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        let version = match self.version {
            Version::V2 => "2 (unified)",
            Version::Hybrid => "1, with version 2 beside it (hybrid)",
            Version::V1 => "1 (legacy)",
            Version::None => "none is mounted",
        };
        let mut rows = vec![row("version", version)];
        if !self.controllers.is_empty() {
            rows.push(row("controllers", self.controllers.join(" ")));
        }
        rows
    }
}

fn is_group(directory: &Path) -> bool {
    directory.join("cgroup.procs").exists()
}
