//! What the tests of mgmd share: directories of their own, mgmd as a process, its end.

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const DEADLINE: Duration = Duration::from_secs(30);

/// A directory of this test alone.
pub fn directory(name: &str) -> PathBuf {
    let place = std::env::temp_dir().join(format!("mgmd-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&place);
    place
}

pub fn mgmd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mgmd"));
    command.args(arguments).env_clear().stdin(Stdio::null()).stderr(Stdio::piped());
    goes_with_the_test(&mut command);
    command
}

/// A test that fails leaves it to nobody: it would keep what reads the test's output waiting.
pub fn goes_with_the_test(command: &mut Command) {
    // SAFETY: between fork and exec it makes only a system call.
    unsafe {
        command.pre_exec(|| {
            set_parent_process_death_signal(Some(Signal::KILL)).map_err(std::io::Error::from)
        });
    }
}

pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Ends it as systemd does. Whether its status was 0, and its log.
pub fn terminate(mut child: Child) -> (bool, String) {
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let status = child.wait().unwrap();
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    (status.success(), log)
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
