//! Partition tables for root file systems of several
//! [EROFS](https://docs.kernel.org/filesystems/erofs.html) layers.
//!
//! Each layer becomes one partition of a virtual disk, which is put together from extents (for
//! instance by a VMDK descriptor): the *head* with the GUID partition table, then the layer files,
//! with padding files between them. Only the head and the padding are written here; layer files are
//! never opened. There is deliberately no backup table: the disk ends with the last layer.
//!
//! Sectors have 512 bytes. A guest whose block devices have logical sectors of 4,096 bytes would look
//! for the table elsewhere and not find it.
//!
//! Source: section 5, [*GUID Partition Table (GPT) Disk Layout*], of the UEFI specification 2.10.
//!
//! [*GUID Partition Table (GPT) Disk Layout*]: https://uefi.org/specs/UEFI/2.10/05_GUID_Partition_Table_Format.html

mod guid;
mod head;
mod layout;

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use slog::info;

use crate::atomic_file::TemporaryFile;
use layout::{SECTOR_SIZE, lay_out};

pub use layout::calculate_gpt_layout;

const HEAD_NAME: &str = "gpt_meta_head.img";

/// Sectors of the head: 1 MiB, so that the first partition is aligned.
const HEAD_SECTORS: u64 = 2048;

/// Hypervisors may run as another user, who must be able to read the disk.
const FILE_MODE: u32 = 0o644;

/// One layer of a root file system.
#[derive(Debug, Clone)]
pub struct ErofsLayer {
    /// Path of the layer file on the host.
    pub path: String,
    /// Size of the layer, in sectors of 512 bytes; not zero.
    pub size_sectors: u64,
    /// Id of the snapshot that the layer belongs to; see [`extract_snapshot_id`].
    pub snapshot_id: String,
}

/// Where a layer lies on the disk.
#[derive(Debug, Clone)]
pub struct PartitionLayout {
    /// The layer.
    pub layer: ErofsLayer,
    /// Number of the partition, from 1.
    pub partition_number: u32,
    /// First sector, a multiple of 2,048.
    pub start_lba: u64,
    /// Last sector, inclusive.
    pub end_lba: u64,
    /// Name in the partition table: at most 36 UTF-16 code units.
    pub name: String,
}

/// The partitions of a disk.
#[derive(Debug, Clone)]
pub struct GptDiskLayout {
    /// The partitions, in the order of the layers.
    pub partitions: Vec<PartitionLayout>,
    /// Size of the disk, in sectors.
    pub total_sectors: u64,
    /// Size of a sector, in bytes: 512.
    pub lb_size: u64,
}

/// The files that [`generate_gpt_metadata`] wrote.
#[derive(Debug)]
pub struct GptMetadataFiles {
    /// The head, which holds the partition table.
    pub head_path: PathBuf,
    /// Size of the head, in sectors: 2,048.
    pub head_sectors: u64,
    /// Padding files between layers, for the caller to fill in; see [`generate_padding_file`].
    pub pad_paths: Vec<PathBuf>,
}

/// The id of the snapshot that a layer file belongs to: the name of its directory, or `unknown`.
///
/// ```
/// use kata_types::gpt_disk::extract_snapshot_id;
/// assert_eq!(extract_snapshot_id("/var/lib/snapshots/35/layer.erofs"), "35");
/// assert_eq!(extract_snapshot_id("layer.erofs"), "unknown");
/// ```
pub fn extract_snapshot_id(source: &str) -> String {
    Path::new(source)
        .parent()
        .and_then(Path::file_name)
        .map_or_else(
            || "unknown".to_string(),
            |name| name.to_string_lossy().into_owned(),
        )
}

/// The size of a layer file, in bytes. Symbolic links are followed.
///
/// # Errors
/// When the file cannot be examined.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("layer.erofs");
/// # std::fs::write(&path, [0; 4096])?;
/// # let path = path.to_str().unwrap();
/// assert_eq!(kata_types::gpt_disk::get_erofs_layer_size(path)?, 4096);
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn get_erofs_layer_size(path: &str) -> Result<u64> {
    let metadata =
        fs::metadata(path).with_context(|| format!("failed to stat EROFS file: {path}"))?;
    Ok(metadata.len())
}

/// Writes the head of a container's disk to `<container_dir>/gpt_meta_head.img`, replacing an earlier
/// one.
///
/// The bytes depend on the arguments alone: the GUID of the disk is derived from the sandbox id `sid`
/// and the container id `cid`, those of the partitions from these and from index, path, size and
/// place of the layer. The layout is that of [`calculate_gpt_layout`], with `total_sectors` being the
/// end of the last layer.
///
/// # Errors
/// The errors of [`calculate_gpt_layout`], and when the file cannot be written; the directory is then
/// as it was.
///
/// ```
/// use kata_types::gpt_disk::{ErofsLayer, generate_gpt_metadata};
/// # let dir = tempfile::tempdir()?;
/// # let container_dir = dir.path();
/// let layers = vec![ErofsLayer {
///     path: "/snapshots/35/layer.erofs".to_string(),
///     size_sectors: 100,
///     snapshot_id: "35".to_string(),
/// }];
/// let (layout, files) = generate_gpt_metadata("sandbox", "container", layers, container_dir)?;
/// assert_eq!(layout.total_sectors, 2048 + 100);
/// assert_eq!(std::fs::metadata(files.head_path)?.len(), 1 << 20);
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn generate_gpt_metadata(
    sid: &str,
    cid: &str,
    erofs_layers: Vec<ErofsLayer>,
    container_dir: &Path,
) -> Result<(GptDiskLayout, GptMetadataFiles)> {
    if erofs_layers.is_empty() {
        bail!("no EROFS layers provided for GPT metadata generation");
    }
    let mut layout = lay_out(erofs_layers)?;
    let last_lba = layout.partitions.last().map_or(0, |last| last.end_lba);
    // Without a backup table the disk ends with the last layer.
    layout.total_sectors = last_lba.saturating_add(1);

    let head_path = container_dir.join(HEAD_NAME);
    let head = head::compose(sid, cid, &layout.partitions, last_lba);
    write_sparse(
        container_dir,
        &head_path,
        &head,
        HEAD_SECTORS.saturating_mul(SECTOR_SIZE),
    )
    .with_context(|| format!("failed to write GPT head file: {}", head_path.display()))?;
    info!(sl!(), "Generated GPT head file: {}", head_path.display());

    let files = GptMetadataFiles {
        head_path,
        head_sectors: HEAD_SECTORS,
        pad_paths: Vec::new(),
    };
    Ok((layout, files))
}

/// Writes a sparse file of zeros, to fill the space between two layers, replacing an earlier one.
/// Returns its size in sectors.
///
/// # Errors
/// When the size is zero or too large, or the file cannot be written.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// let path = dir.path().join("pad-1.img");
/// assert_eq!(kata_types::gpt_disk::generate_padding_file(&path, 3)?, 3);
/// assert_eq!(std::fs::read(&path)?, [0; 3 * 512]);
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn generate_padding_file(output_path: &Path, size_sectors: u64) -> Result<u64> {
    if size_sectors == 0 {
        bail!("cannot create zero-size padding file");
    }
    let size = size_sectors
        .checked_mul(SECTOR_SIZE)
        .filter(|size| i64::try_from(*size).is_ok())
        .with_context(|| format!("padding of {size_sectors} sectors exceeds the largest file"))?;
    let directory = match output_path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    write_sparse(directory, output_path, &[], size)
        .with_context(|| format!("failed to write padding file: {}", output_path.display()))?;
    info!(sl!(), "Generated padding file: {}", output_path.display());
    Ok(size_sectors)
}

/// A file of `size` bytes that starts with `content` and is zero from there on.
fn write_sparse(directory: &Path, target: &Path, content: &[u8], size: u64) -> io::Result<()> {
    if target.file_name().is_none() {
        return Err(ErrorKind::InvalidInput.into());
    }
    let mut temporary = TemporaryFile::create_in(directory, "gpt", FILE_MODE)?;
    temporary.file.write_all(content)?;
    temporary.file.set_len(size)?;
    temporary.rename_to(target)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;
    use crate::testing::names;

    fn layer(path: &str, size_sectors: u64) -> ErofsLayer {
        ErofsLayer {
            path: path.to_string(),
            size_sectors,
            snapshot_id: extract_snapshot_id(path),
        }
    }

    #[test]
    fn snapshot_id_is_the_name_of_the_directory() {
        for (source, id) in [
            ("/var/snapshots/35/layer.erofs", "35"),
            ("35/layer.erofs", "35"),
            ("/35//layer.erofs", "35"),
            ("layer.erofs", "unknown"),
            ("/layer.erofs", "unknown"),
            ("", "unknown"),
            ("/", "unknown"),
            ("/a/../layer.erofs", "unknown"),
        ] {
            assert_eq!(extract_snapshot_id(source), id, "{source}");
        }
    }

    #[test]
    fn layer_size_is_in_bytes_and_follows_links() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("layer"), dir.path().join("link"));
        fs::write(&file, [0; 1000]).unwrap();
        symlink("layer", &link).unwrap();
        assert_eq!(get_erofs_layer_size(link.to_str().unwrap()).unwrap(), 1000);
        let error = get_erofs_layer_size("/no/layer").unwrap_err();
        assert_eq!(error.to_string(), "failed to stat EROFS file: /no/layer");
    }

    #[test]
    fn head_is_one_sparse_mebibyte_and_the_only_file() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "keep").unwrap();
        symlink(&victim, dir.path().join(HEAD_NAME)).unwrap();
        for _ in 0..2 {
            let layers = vec![layer("/s/1/l", 3000), layer("/s/2/l", 8)];
            let (layout, files) = generate_gpt_metadata("s", "c", layers, dir.path()).unwrap();
            assert_eq!(layout.partitions.len(), 2);
            assert_eq!(layout.total_sectors, layout.partitions[1].end_lba + 1);
            assert_eq!(files.head_path, dir.path().join("gpt_meta_head.img"));
            assert_eq!(files.head_sectors, 2048);
            assert!(files.pad_paths.is_empty());
            let metadata = fs::symlink_metadata(&files.head_path).unwrap();
            assert!(metadata.is_file());
            assert_eq!(metadata.len(), 1 << 20);
            assert!(metadata.blocks() * 512 < 1 << 20, "not sparse");
            assert_eq!(names(dir.path()), ["gpt_meta_head.img", "victim"]);
        }
        assert_eq!(fs::read_to_string(&victim).unwrap(), "keep");
    }

    #[test]
    fn failure_leaves_the_directory_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let error = generate_gpt_metadata("s", "c", vec![], dir.path()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no EROFS layers provided for GPT metadata generation"
        );
        assert!(generate_gpt_metadata("s", "c", vec![layer("l", 0)], dir.path()).is_err());
        // The name is taken by a directory, so that the last step fails.
        fs::create_dir(dir.path().join(HEAD_NAME)).unwrap();
        let error = generate_gpt_metadata("s", "c", vec![layer("l", 1)], dir.path()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("failed to write GPT head file: ")
        );
        assert_eq!(names(dir.path()), [HEAD_NAME]);
        let missing = dir.path().join("missing");
        assert!(generate_gpt_metadata("s", "c", vec![layer("l", 1)], &missing).is_err());
    }

    #[test]
    fn padding_is_zeros_of_the_given_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pad-0.img");
        fs::write(&path, "old").unwrap();
        assert_eq!(generate_padding_file(&path, 5).unwrap(), 5);
        assert_eq!(fs::read(&path).unwrap(), [0; 5 * 512]);
        assert_eq!(names(dir.path()), ["pad-0.img"]);
        // However large, it takes no space.
        assert_eq!(generate_padding_file(&path, 1 << 20).unwrap(), 1 << 20);
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.len(), 512 << 20);
        assert!(metadata.blocks() < 1 << 10, "not sparse");
    }

    #[test]
    fn impossible_padding_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pad-0.img");
        let error = generate_padding_file(&path, 0).unwrap_err();
        assert_eq!(error.to_string(), "cannot create zero-size padding file");
        for sectors in [u64::MAX, 1 << 55, 1 << 54] {
            let error = generate_padding_file(&path, sectors).unwrap_err();
            assert!(error.to_string().contains("exceeds the largest file"));
        }
        for path in ["", "/", ".."] {
            assert!(generate_padding_file(Path::new(path), 1).is_err());
        }
        assert!(names(dir.path()).is_empty());
    }
}
