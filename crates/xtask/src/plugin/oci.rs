//! The plugin as an OCI image of one layer, in the form that Istio's agent and image tools alike accept: a tar in gzip that holds
//! `plugin.wasm`. Nothing in it depends on the time, the machine or the user.

use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::bufread::GzEncoder;
use serde_json::json;
use sha2::{Digest, Sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Where Istio's agent looks for the module, in any folder of the last layer.
const MODULE: &str = "plugin.wasm";

/// Tar's unit.
const BLOCK: usize = 512;

/// A blob and how an image names it.
pub(super) struct Blob {
    pub(super) media_type: &'static str,
    pub(super) bytes: Vec<u8>,
}

impl Blob {
    pub(super) fn digest(&self) -> String {
        digest(&self.bytes)
    }

    fn descriptor(&self) -> serde_json::Value {
        json!({ "mediaType": self.media_type, "digest": self.digest(), "size": self.bytes.len() })
    }
}

/// An image: its blobs, and the manifest that names them.
pub(super) struct Image {
    pub(super) config: Blob,
    pub(super) layer: Blob,
    pub(super) manifest: Blob,
}

impl Image {
    pub(super) fn new(module: &[u8]) -> Result<Self> {
        let tar = tar(&[(MODULE, module)])?;
        let mut bytes = Vec::new();
        GzEncoder::new(&tar[..], Compression::best()).read_to_end(&mut bytes)?;
        let layer = Blob {
            media_type: LAYER,
            bytes,
        };
        // Tools that know of no wasm take it for an image of the commonest platform, as those that `docker build` makes of it.
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": [digest(&tar)] },
        });
        let config = Blob {
            media_type: CONFIG,
            bytes: config.to_string().into_bytes(),
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(),
            "layers": [layer.descriptor()],
            "annotations": { "module.wasm.image/variant": "compat", "org.opencontainers.image.title": "coraza-plugin" },
        });
        let manifest = Blob {
            media_type: MANIFEST,
            bytes: manifest.to_string().into_bytes(),
        };
        Ok(Self {
            config,
            layer,
            manifest,
        })
    }

    /// The manifest's digest, which names the image.
    pub(super) fn digest(&self) -> String {
        self.manifest.digest()
    }

    /// Writes it as a layout and as an archive of that.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [self.manifest.descriptor()] });
        let mut files = vec![
            ("index.json".to_owned(), index.to_string().into_bytes()),
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ];
        for blob in [&self.config, &self.layer, &self.manifest] {
            files.push((format!("blobs/{}", blob.digest().replace(':', "/")), blob.bytes.clone()));
        }
        let layout = folder.join("oci");
        if layout.exists() {
            std::fs::remove_dir_all(&layout)?;
        }
        std::fs::create_dir_all(layout.join("blobs/sha256"))?;
        for (name, bytes) in &files {
            std::fs::write(layout.join(name), bytes).with_context(|| format!("failed to write {name}"))?;
        }
        let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
        std::fs::write(folder.join("coraza-plugin.tar"), tar(&files)?)?;
        Ok(())
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

/// A tar of regular files (POSIX ustar), of nobody's and of no time.
fn tar(files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let mut tar = Vec::new();
    for (name, bytes) in files {
        let mut header = [0; BLOCK];
        let mut field = |at: usize, text: &str| header.get_mut(at..).unwrap_or_default().write_all(text.as_bytes());
        field(0, name)?;
        field(100, "0000644\0")?;
        field(108, "0000000\0")?;
        field(116, "0000000\0")?;
        field(124, &format!("{:011o}\0", bytes.len()))?;
        field(136, "00000000000\0")?;
        // The checksum is made with spaces in its own place.
        field(148, "        ")?;
        field(156, "0")?;
        field(257, "ustar\x0000")?;
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header
            .get_mut(148..)
            .unwrap_or_default()
            .write_all(format!("{sum:06o}\0 ").as_bytes())?;
        tar.extend_from_slice(&header);
        tar.extend_from_slice(bytes);
        tar.resize(tar.len().next_multiple_of(BLOCK), 0);
    }
    tar.resize(tar.len() + 2 * BLOCK, 0);
    Ok(tar)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;

    #[test]
    fn the_same_module_makes_the_same_image() {
        let image = Image::new(b"\0asm").unwrap();
        assert_eq!(image.digest(), Image::new(b"\0asm").unwrap().digest());
        assert_ne!(image.digest(), Image::new(b"\0asn").unwrap().digest());
    }

    #[test]
    fn the_layer_is_a_tar_that_tar_reads() {
        let image = Image::new(b"\0asm and more").unwrap();
        let folder = tempfile::tempdir().unwrap();
        image.write(folder.path()).unwrap();
        let mut tar = Vec::new();
        GzDecoder::new(&image.layer.bytes[..]).read_to_end(&mut tar).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&image.config.bytes).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], digest(&tar));
        std::fs::write(folder.path().join("layer.tar"), tar).unwrap();
        let listed = |file: &str| {
            let output = std::process::Command::new("tar")
                .arg("-tvf")
                .arg(folder.path().join(file))
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let layer = listed("layer.tar");
        assert!(
            layer.starts_with("-rw-r--r-- 0/0") && layer.trim_end().ends_with(" plugin.wasm"),
            "{layer}"
        );
        assert_eq!(listed("coraza-plugin.tar").lines().count(), 5);
        let index: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.path().join("oci/index.json")).unwrap()).unwrap();
        assert_eq!(index["manifests"][0]["digest"], image.digest());
        let manifest = folder.path().join("oci/blobs").join(image.digest().replace(':', "/"));
        assert_eq!(std::fs::read(manifest).unwrap(), image.manifest.bytes);
    }
}
