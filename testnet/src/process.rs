//! Child processes of the demo: started with their own log file, killed hard or stopped gently, never left behind.
//! Leaves out: what the children are (`committee`, `market`, `demo`).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::process::{Child, Command};

/// A running child; killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `program` with `arguments`, both streams into `<logs>/<name>.log` (appended, so a restart keeps its history).
    ///
    /// # Errors
    /// When the log cannot be opened or the program not be started.
    pub fn start(name: &str, program: &Path, arguments: &[&str], logs: &Path) -> Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let file =
            File::options().create(true).append(true).open(&log).with_context(|| format!("open {}", log.display()))?;
        let child = orphan_proof(program)
            .args(arguments)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            // A group of its own: Ctrl-C in the terminal reaches the orchestrator alone, which then stops the children.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {name}: {}", program.display()))?;
        Ok(Self { name: name.to_owned(), log, child })
    }

    /// Its name in logs and messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Fails, naming the process and showing the end of its log, if it has ended.
    ///
    /// # Errors
    /// When the process is no longer running.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended early ({status}); the end of its log:\n{}", self.name, tail(&self.log, 15)),
        }
    }

    /// kill -9 and reap.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("kill -9 {}", self.name))
    }

    /// Asks it to stop (SIGTERM), and kills it after `patience`.
    ///
    /// # Errors
    /// When it can be neither stopped nor killed.
    pub async fn stop(&mut self, patience: Duration) -> Result<()> {
        let Some(id) = self.child.id() else { return Ok(()) };
        let asked = Command::new("kill").args(["-TERM", &id.to_string()]).status().await;
        if asked.is_err() || tokio::time::timeout(patience, self.child.wait()).await.is_err() {
            self.kill().await?;
        }
        Ok(())
    }
}

/// A command for `program` whose process the kernel kills when this one ends, however that happens: `setpriv` of
/// util-linux asks for it and becomes the program. Without `setpriv`, only an orderly end stops the children.
fn orphan_proof(program: &Path) -> Command {
    static SETPRIV: OnceLock<Option<PathBuf>> = OnceLock::new();
    let setpriv = SETPRIV.get_or_init(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join("setpriv")).find(|file| file.is_file())
    });
    match setpriv {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// The last lines of a file, for error messages.
#[must_use]
pub fn tail(path: &Path, lines: usize) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all.iter().skip(all.len().saturating_sub(lines)).map(|line| format!("    {line}\n")).collect()
}

/// A TCP or UDP port on loopback that was free a moment ago.
///
/// # Errors
/// When loopback has none.
pub fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("find a free port on loopback")?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_that_ends_early_is_named_with_its_log() {
        let dir = std::env::temp_dir().join(format!("plumbline-process-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let mut child = Process::start("echo", Path::new("/bin/sh"), &["-c", "echo last words"], &dir).unwrap();
        child.child.wait().await.unwrap();
        let error = child.check().unwrap_err().to_string();
        assert!(error.contains("echo ended early") && error.contains("last words"), "{error}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
