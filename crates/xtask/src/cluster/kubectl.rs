//! kubectl as the cluster's administrator.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::Value;

use crate::program::Program;

#[derive(Clone)]
pub(super) struct Kubectl {
    pub(super) program: PathBuf,
    pub(super) kubeconfig: PathBuf,
}

impl Kubectl {
    pub(super) async fn succeeds(&self, args: &[&str]) -> bool {
        self.stdout(args).await.is_ok()
    }

    /// What a command prints.
    pub(super) async fn stdout(&self, args: &[&str]) -> Result<String> {
        self.program(args).stdout().await
    }

    /// A command to run.
    pub(super) fn program(&self, args: &[&str]) -> Program {
        Program::new(&self.program)
            .env("KUBECONFIG", &self.kubeconfig)
            .args(args)
    }

    /// Creates or changes objects.
    pub(super) async fn apply(&self, objects: &[Value]) -> Result<()> {
        let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), list.to_string())?;
        let filename = format!("--filename={}", file.path().display());
        self.stdout(&["apply", "--server-side", "--force-conflicts", &filename])
            .await
            .map(drop)
    }

    /// Changes the status of an object, which is given by kind, name and, if it has one, its namespace.
    pub(super) async fn patch_status(&self, object: &[&str], status: &Value) -> Result<()> {
        let patch = format!("--patch={}", serde_json::json!({ "status": status }));
        let command = ["patch", "--subresource=status", "--type=merge", &patch];
        self.stdout(&[&command, object].concat()).await.map(drop)
    }
}
