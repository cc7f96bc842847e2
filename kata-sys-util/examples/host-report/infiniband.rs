//! InfiniBand devices that containers could be given.

use kata_sys_util::infiniband::{
    InfinibandRoots, list_infiniband_devices_in, snapshot_infiniband_in,
};
use serde::Serialize;

use crate::reader::Reader;
use crate::report::{Row, row};

#[derive(Serialize)]
pub(crate) struct Infiniband {
    devices: Vec<Device>,
    /// A summary in one line, as it is in logs.
    snapshot: String,
}

#[derive(Serialize)]
struct Device {
    name: String,
    major: i64,
    minor: i64,
    /// Octal, such as `0666`.
    mode: String,
    uid: u32,
    gid: u32,
}

impl Infiniband {
    pub(crate) fn read(reader: &mut Reader) -> Self {
        let roots = InfinibandRoots {
            dev_dir: reader.root.dev.join("infiniband"),
            ib_class_dir: reader.root.sys.join("class/infiniband"),
            verbs_class_dir: reader.root.sys.join("class/infiniband_verbs"),
            ..InfinibandRoots::default()
        };
        let devices = list_infiniband_devices_in(&roots);
        let devices = reader.found(&roots.dev_dir, devices).unwrap_or_default();
        let devices = devices.into_iter().map(|device| Device {
            name: device.name,
            major: device.major,
            minor: device.minor,
            mode: format!("{:04o}", device.mode),
            uid: device.uid,
            gid: device.gid,
        });
        Self {
            devices: devices.collect(),
            snapshot: snapshot_infiniband_in(&roots),
        }
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        let devices = self.devices.iter().map(|device| {
            let Device {
                major,
                minor,
                mode,
                uid,
                gid,
                ..
            } = device;
            row(
                &device.name,
                format!("{major}:{minor}, mode {mode}, owner {uid}:{gid}"),
            )
        });
        let mut rows: Vec<Row> = devices.collect();
        rows.push(row("snapshot", &self.snapshot));
        rows
    }
}
