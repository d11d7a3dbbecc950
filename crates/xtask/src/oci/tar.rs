//! Tar archives (POSIX ustar) of nobody's and of no time: the same files make the same bytes. No IO.

use std::io::Write as _;

use anyhow::{Result, ensure};

/// Tar's unit.
const BLOCK: usize = 512;

/// The longest name that a header has room for; a longer one would be cut, and be another file's.
const LONGEST_NAME: usize = 100;

/// The octal digits that a header has room for: 8 GiB.
const LARGEST_FILE: usize = (1 << 33) - 1;

/// An archive that is being written.
#[derive(Default)]
pub(crate) struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    /// Adds a regular file: its path in the archive, its permissions, its contents.
    pub(crate) fn file(&mut self, name: &str, mode: u16, contents: &[u8]) -> Result<()> {
        ensure!(
            name.len() <= LONGEST_NAME && contents.len() <= LARGEST_FILE,
            "{name}: this doesn't fit into a tar"
        );
        let mut header = [0; BLOCK];
        let mut field = |at: usize, text: &str| header.get_mut(at..).unwrap_or_default().write_all(text.as_bytes());
        field(0, name)?;
        field(100, &format!("{mode:07o}\0"))?;
        field(108, "0000000\0")?;
        field(116, "0000000\0")?;
        field(124, &format!("{:011o}\0", contents.len()))?;
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
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(contents);
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK), 0);
        Ok(())
    }

    /// The archive, whole.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 2 * BLOCK, 0);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tar_reads_it() {
        let mut tar = Tar::default();
        tar.file("plugin.wasm", 0o644, b"\0asm").unwrap();
        tar.file("coraza-cache", 0o755, &[7; 1000]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("layer.tar");
        std::fs::write(&path, tar.finish()).unwrap();
        let output = std::process::Command::new("tar")
            .arg("-tvf")
            .arg(&path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let listed = String::from_utf8(output.stdout).unwrap();
        let mut lines = listed.lines();
        for (begin, end) in [("-rw-r--r-- 0/0", " plugin.wasm"), ("-rwxr-xr-x 0/0", " coraza-cache")] {
            let line = lines.next().unwrap();
            assert!(line.starts_with(begin) && line.ends_with(end), "{listed}");
        }
        assert_eq!(lines.next(), None);
    }

    #[test]
    fn a_name_that_would_be_cut_is_refused() {
        assert!(Tar::default().file(&"x".repeat(101), 0o644, b"").is_err());
        assert!(Tar::default().file(&"x".repeat(100), 0o644, b"").is_ok());
    }
}
