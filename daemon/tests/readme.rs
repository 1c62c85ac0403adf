//! The poll loop of docs/PROGRAMMING.md, compiled with the line there and run as a client of mgmd.

use mgm::ffi::entry::{
    MgmAddGroupMembershipEntry, MgmRegisterMProtocol, MgmTakeInterfaceOwnership,
};
use mgm::ffi::types::{_ROUTING_PROTOCOL_CONFIG, HANDLE};
use rustix::fs::{FlockOperation, flock};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

mod common;
use common::{directory, goes_with_the_test, mgmd, terminate, text, wait_for};

/// Compiles a program of that document's with the line that follows its name there.
fn compile(file: &str, place: &Path) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let document = std::fs::read_to_string(root.join("docs/PROGRAMMING.md")).unwrap();
    let (_, after) = document.split_once(&format!("<!-- compile {file} -->\n```\n")).unwrap();
    let (line, output) = after.lines().next().unwrap().rsplit_once(" -o ").unwrap();
    let library = std::env::current_exe().unwrap().with_file_name("libmgm.so");
    for link in ["libmgm.so", "libmgm.so.1"] {
        std::os::unix::fs::symlink(&library, place.join(link)).unwrap();
    }
    let line = line.replace("$PWD/build/lib", text(place)).replace("build/lib", text(place));
    let program = place.join(output);
    let line = format!("{line} -Wall -Wextra -Werror -o {}", program.display());
    let done = Command::new("sh").args(["-c", &line]).current_dir(root).output().unwrap();
    assert!(done.status.success(), "{line}\n{}", String::from_utf8_lossy(&done.stderr));
    program
}

/// The program's port is the same for all that run on this machine: they wait for each other.
fn port_alone() -> File {
    let path = std::env::temp_dir().join("mgm-test-port-5100");
    // Whose file it is does not matter.
    let _ = File::create_new(&path);
    let file = File::open(path).unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    file
}

/// Whether somebody serves at the path: its file is there a moment before.
fn is_served(path: &Path) -> bool {
    let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    connect(&socket, &SocketAddrUnix::new(path).unwrap()).is_ok()
}

#[test]
fn the_readme_s_loop_runs() {
    let _alone = port_alone();
    let place = directory("loop");
    std::fs::create_dir(&place).unwrap();
    let program = compile("c-tests/readme_loop.c", &place);
    let (serve, control) = (place.join("mgm.sock"), place.join("control.sock"));
    let host =
        mgmd(&["--forwarder", "memory", "--serve", text(&serve), "--control", text(&control)])
            .spawn()
            .unwrap();
    wait_for("no host", || is_served(&serve));
    let mut program = Command::new(program);
    program.env_clear().env("MGM_HOST", &serve).arg("lo");
    goes_with_the_test(&mut program);
    let mut child = program.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let (send, lines) = channel();
    let output = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        output.lines().map_while(Result::ok).for_each(|line| drop(send.send(line)));
    });
    let wait_for_line = |wanted: &str| {
        while lines.recv_timeout(Duration::from_secs(30)).expect(wanted) != wanted {}
    };
    // The timer: so the loop runs.
    wait_for_line("a second has passed");
    let neighbour = UdpSocket::bind("127.0.0.1:0").unwrap();
    neighbour.send_to(b"hello", "127.0.0.1:5100").unwrap();
    wait_for_line("a neighbour says hello");
    // Another client: this process.
    // SAFETY: no other thread of this process reads the environment at this time.
    unsafe { std::env::set_var("MGM_HOST", &serve) };
    // SAFETY: all its functions may be null.
    let mut callbacks: _ROUTING_PROTOCOL_CONFIG = unsafe { std::mem::zeroed() };
    let mut handle: HANDLE = std::ptr::null_mut();
    // SAFETY: both outlive the call.
    let code = unsafe { MgmRegisterMProtocol(&raw mut callbacks, 77, 1, &raw mut handle) };
    assert_eq!((code, MgmTakeInterfaceOwnership(handle, 1000, 0)), (0, 0));
    let group = u32::from_ne_bytes([239, 1, 1, 1]);
    assert_eq!(MgmAddGroupMembershipEntry(handle, 0, 0, group, u32::MAX, 1000, 0, 1), 0);
    wait_for_line("group 239.1.1.1 is wanted");
    let (ended_well, log) = terminate(host);
    assert!(ended_well, "{log}");
    wait_for_line("the host has gone");
    assert_eq!(child.wait().unwrap().code(), Some(1));
    std::fs::remove_dir_all(place).unwrap();
}
