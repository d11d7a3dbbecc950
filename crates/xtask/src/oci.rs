//! OCI images of one layer, as layouts and archives: the plugin's, and those of our programs. The same files make the same image: nothing in it
//! depends on the time, the machine or the user.

mod push;
mod tar;

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, Result};
pub(crate) use flate2::Compression;
use flate2::bufread::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(crate) use self::push::push;
pub(crate) use self::tar::Tar;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What containerd calls an image by when an archive is imported.
const NAME: &str = "io.containerd.image.name";

/// A blob and how an image names it.
struct Blob {
    media_type: &'static str,
    bytes: Vec<u8>,
}

impl Blob {
    fn json(media_type: &'static str, value: &Value) -> Self {
        Self {
            media_type,
            bytes: value.to_string().into_bytes(),
        }
    }

    fn digest(&self) -> String {
        digest(&self.bytes)
    }

    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest(), "size": self.bytes.len() })
    }
}

/// What an image is made of.
pub(crate) struct Recipe<'a> {
    /// Go's name of the machine that its programs are for: `amd64`.
    pub(crate) architecture: &'a str,
    /// How a container of it is run, as the image specification has it.
    pub(crate) config: Value,
    /// Of the manifest.
    pub(crate) annotations: Value,
    /// What is pulled once may be large; what is pulled everywhere should be small, whatever that takes to make.
    pub(crate) compression: Compression,
    /// Its files.
    pub(crate) files: Tar,
}

/// An image: its blobs, and the manifest that names them.
pub(crate) struct Image {
    architecture: String,
    config: Blob,
    layer: Blob,
    manifest: Blob,
}

impl Image {
    pub(crate) fn new(recipe: Recipe<'_>) -> Result<Self> {
        let tar = recipe.files.finish();
        let mut bytes = Vec::new();
        GzEncoder::new(&tar[..], recipe.compression).read_to_end(&mut bytes)?;
        let layer = Blob {
            media_type: LAYER,
            bytes,
        };
        let config = json!({
            "architecture": recipe.architecture,
            "os": "linux",
            "config": recipe.config,
            "rootfs": { "type": "layers", "diff_ids": [digest(&tar)] },
        });
        let config = Blob::json(CONFIG, &config);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(),
            "layers": [layer.descriptor()],
            "annotations": recipe.annotations,
        });
        Ok(Self {
            architecture: recipe.architecture.to_owned(),
            config,
            layer,
            manifest: Blob::json(MANIFEST, &manifest),
        })
    }

    /// The bytes that a machine pulls that has nothing of it.
    pub(crate) fn pulled_bytes(&self) -> usize {
        self.config.bytes.len() + self.layer.bytes.len() + self.manifest.bytes.len()
    }

    fn descriptor(&self) -> Value {
        let platform = json!({ "architecture": self.architecture, "os": "linux" });
        with(self.manifest.descriptor(), "platform", platform)
    }
}

/// What a tag stands for: an image, or one for each of several machines.
pub(crate) struct Tagged {
    images: Vec<Image>,
    /// Only where there are several.
    index: Option<Blob>,
}

impl Tagged {
    pub(crate) fn new(images: Vec<Image>) -> Self {
        let index = (images.len() > 1).then(|| {
            let manifests: Vec<Value> = images.iter().map(Image::descriptor).collect();
            let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
            Blob::json(INDEX, &index)
        });
        Self { images, index }
    }

    /// What the tag points at, if there is an image.
    fn top(&self) -> Option<&Blob> {
        self.index.as_ref().or(self.images.first().map(|image| &image.manifest))
    }

    /// The digest that names it.
    pub(crate) fn digest(&self) -> String {
        self.top().map(Blob::digest).unwrap_or_default()
    }

    /// The bytes that a machine pulls that has nothing of it, of the kind that pulls most.
    pub(crate) fn pulled_bytes(&self) -> usize {
        self.images.iter().map(Image::pulled_bytes).max().unwrap_or_default()
    }

    /// All blobs, each before what names it.
    fn blobs(&self) -> impl Iterator<Item = &Blob> {
        let of_images = self
            .images
            .iter()
            .flat_map(|image| [&image.config, &image.layer, &image.manifest]);
        of_images.chain(&self.index)
    }

    /// Writes it as a layout, `oci/`, and as an archive of that, `<name>.tar`. With a reference, it is called so where the archive is imported.
    pub(crate) fn write(&self, folder: &Path, name: &str, reference: Option<&str>) -> Result<()> {
        let mut top = self.top().context("there is no image to write")?.descriptor();
        if let Some(reference) = reference {
            let tag = reference.rsplit(':').next().unwrap_or_default();
            let names = json!({ NAME: reference, "org.opencontainers.image.ref.name": tag });
            top = with(top, "annotations", names);
        }
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [top] });
        let mut files = vec![
            ("index.json".to_owned(), index.to_string().into_bytes()),
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ];
        for blob in self.blobs() {
            files.push((format!("blobs/{}", blob.digest().replace(':', "/")), blob.bytes.clone()));
        }
        let layout = folder.join("oci");
        if layout.exists() {
            std::fs::remove_dir_all(&layout)?;
        }
        std::fs::create_dir_all(layout.join("blobs/sha256"))?;
        let mut archive = Tar::default();
        for (path, bytes) in &files {
            std::fs::write(layout.join(path), bytes).with_context(|| format!("failed to write {path}"))?;
            archive.file(path, 0o644, bytes)?;
        }
        let path = folder.join(format!("{name}.tar"));
        std::fs::write(&path, archive.finish()).with_context(|| format!("failed to write {}", path.display()))
    }
}

/// An object with one more field.
fn with(mut object: Value, field: &str, value: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
    object
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;

    fn image(architecture: &str, contents: &[u8]) -> Image {
        let mut files = Tar::default();
        files.file("program", 0o755, contents).unwrap();
        Image::new(Recipe {
            architecture,
            config: json!({"User": "65532:65532"}),
            annotations: json!({"org.opencontainers.image.title": "program"}),
            compression: Compression::fast(),
            files,
        })
        .unwrap()
    }

    #[test]
    fn the_same_files_make_the_same_image() {
        let digest = |contents| Tagged::new(vec![image("amd64", contents)]).digest();
        assert_eq!(digest(b"one"), digest(b"one"));
        assert_ne!(digest(b"one"), digest(b"two"));
    }

    #[test]
    fn the_layer_is_what_the_configuration_says() {
        let image = image("amd64", b"contents");
        let mut tar = Vec::new();
        GzDecoder::new(&image.layer.bytes[..]).read_to_end(&mut tar).unwrap();
        let config: Value = serde_json::from_slice(&image.config.bytes).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], digest(&tar));
        assert_eq!(config["config"]["User"], "65532:65532");
    }

    /// What a layout has at a digest.
    fn blob(folder: &Path, digest: &Value) -> Value {
        let path = digest.as_str().unwrap().replace(':', "/");
        serde_json::from_slice(&std::fs::read(folder.join("oci/blobs").join(path)).unwrap()).unwrap()
    }

    #[test]
    fn a_layout_leads_from_its_index_to_each_image() {
        let folder = tempfile::tempdir().unwrap();
        let written = |tagged: &Tagged| -> Value {
            tagged
                .write(folder.path(), "program", Some("example.com/program:v1"))
                .unwrap();
            let index: Value =
                serde_json::from_slice(&std::fs::read(folder.path().join("oci/index.json")).unwrap()).unwrap();
            let top = &index["manifests"][0];
            assert_eq!(top["digest"], tagged.digest());
            assert_eq!(top["annotations"][NAME], "example.com/program:v1");
            top.clone()
        };
        let top = written(&Tagged::new(vec![image("amd64", b"x")]));
        assert_eq!(top["mediaType"], MANIFEST);
        assert_eq!(blob(folder.path(), &top["digest"])["layers"][0]["mediaType"], LAYER);

        let top = written(&Tagged::new(vec![image("amd64", b"x"), image("arm64", b"y")]));
        assert_eq!(top["mediaType"], INDEX);
        for (number, architecture) in ["amd64", "arm64"].into_iter().enumerate() {
            let entry = &blob(folder.path(), &top["digest"])["manifests"][number];
            assert_eq!(entry["platform"]["architecture"], architecture);
            let config = blob(
                folder.path(),
                &blob(folder.path(), &entry["digest"])["config"]["digest"],
            );
            assert_eq!(config["architecture"], architecture);
        }
    }
}
