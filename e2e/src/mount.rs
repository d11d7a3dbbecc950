//! A Secret as files, as the kubelet mounts it: changes come late, and all of a Secret's files at once, by one symbolic link.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use tokio::task::JoinHandle;

/// How often the Secret is read. The kubelet does so about once a minute.
const INTERVAL: Duration = Duration::from_millis(250);

/// A folder that follows a Secret until this is dropped.
#[derive(Debug)]
pub struct Mount(JoinHandle<()>);

impl Mount {
    /// Follows the Secret of this name from now on.
    #[must_use]
    pub fn start(namespace: &str, secret: &str, folder: PathBuf) -> Self {
        let (namespace, secret) = (namespace.to_owned(), secret.to_owned());
        Self(tokio::spawn(async move {
            let api = Api::<Secret>::namespaced(crate::client().await, &namespace);
            let (mut seen, mut version) = (BTreeMap::new(), 0);
            loop {
                // One that can't be read changes nothing.
                if let Ok(Some(secret)) = api.get_opt(&secret).await {
                    let data = secret.data.unwrap_or_default();
                    if data != seen {
                        write(&folder, &data, version);
                        (seen, version) = (data, version + 1);
                    }
                }
                tokio::time::sleep(INTERVAL).await;
            }
        }))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Writes the files into a folder of their own, and makes that the current one.
fn write(folder: &Path, data: &BTreeMap<String, ByteString>, version: usize) {
    let name = format!("..{version}");
    std::fs::create_dir_all(folder.join(&name)).expect("a folder can be made");
    for (file, ByteString(bytes)) in data {
        std::fs::write(folder.join(&name).join(file), bytes).expect("a file can be written");
        // It may be there: then it leads to the current one already.
        let _ = symlink(Path::new("..data").join(file), folder.join(file));
    }
    let new = folder.join("..data_new");
    symlink(&name, &new).expect("a link can be made");
    std::fs::rename(new, folder.join("..data")).expect("a link can be replaced");
}
