//! mgmd as a process: it serves, tells what is wrong, and ends in order.

use mgm::ffi::entry::{MgmDeRegisterMProtocol, MgmRegisterMProtocol, MgmTakeInterfaceOwnership};
use mgm::ffi::types::{_ROUTING_PROTOCOL_CONFIG, HANDLE};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(30);

/// A directory of this test alone.
fn directory(name: &str) -> PathBuf {
    let place = std::env::temp_dir().join(format!("mgmd-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&place);
    place
}

fn mgmd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mgmd"));
    command.args(arguments).env_clear().stdin(Stdio::null()).stderr(Stdio::piped());
    command
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn terminate(mut child: Child) -> (bool, String) {
    let sent = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(sent.success());
    let status = child.wait().unwrap();
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    (status.success(), log)
}

fn failure(arguments: &[&str]) -> String {
    let Output { status, stderr, .. } = mgmd(arguments).output().unwrap();
    assert!(!status.success(), "{arguments:?}");
    String::from_utf8(stderr).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn it_serves_a_client_and_ends_with_its_sockets() {
    let place = directory("serves");
    let (serve, control) = (place.join("mgm.sock"), place.join("control.sock"));
    let arguments = [
        "--forwarder",
        "memory",
        "--serve",
        text(&serve),
        "--control",
        text(&control),
        "--hold",
        "5",
    ];
    let child = mgmd(&arguments).spawn().unwrap();
    wait_for("no socket", || serve.exists());
    // SAFETY: this is the only test of this program that uses the library, and no other thread of it
    // reads the environment at this time.
    unsafe { std::env::set_var("MGM_HOST", &serve) };
    // SAFETY: all its functions may be null.
    let mut callbacks: _ROUTING_PROTOCOL_CONFIG = unsafe { std::mem::zeroed() };
    let mut handle: HANDLE = std::ptr::null_mut();
    // SAFETY: both outlive the call.
    wait_for("no registration", || unsafe {
        MgmRegisterMProtocol(&raw mut callbacks, 77, 1, &raw mut handle) == 0
    });
    assert_eq!(MgmTakeInterfaceOwnership(handle, 1, 0), 0);
    let (ended_well, log) = terminate(child);
    assert!(ended_well, "{log}");
    assert!(log.contains("started with the memory forwarder"), "{log}");
    assert!(!serve.exists() && !control.exists());
    assert_eq!(MgmDeRegisterMProtocol(handle), 1003);
    std::fs::remove_dir_all(place).unwrap();
}

#[test]
fn what_makes_no_sense_is_said() {
    assert!(failure(&["--forwarder", "dpdk"]).contains("memory"));
    assert!(failure(&["--forwarder", "memory", "--log", "loud"]).contains("warn"));
    assert!(failure(&["--hold", "soon"]).contains("--hold"));
    assert!(failure(&["--config", "/nonexistent/mgmd.toml"]).contains("mgmd.toml"));
    let place = directory("sense");
    std::fs::create_dir(&place).unwrap();
    let file = place.join("mgmd.toml");
    std::fs::write(&file, "holt = 3\n").unwrap();
    assert!(failure(&["--config", text(&file)]).contains("holt"));
    std::fs::write(place.join("mine"), "mine").unwrap();
    let log = failure(&[
        "--forwarder",
        "memory",
        "--serve",
        text(&place.join("mine")),
        "--control",
        text(&place.join("control")),
    ]);
    assert!(log.contains("no socket"), "{log}");
    std::fs::remove_dir_all(place).unwrap();
}
