//! mgmd as a process: it serves, tells what is wrong, and ends in order.

use mgm::ffi::entry::{MgmDeRegisterMProtocol, MgmRegisterMProtocol, MgmTakeInterfaceOwnership};
use mgm::ffi::types::{_ROUTING_PROTOCOL_CONFIG, HANDLE};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};

mod common;
use common::{DEADLINE, directory, mgmd, terminate, text, wait_for};

fn failure(arguments: &[&str]) -> String {
    let Output { status, stderr, .. } = mgmd(arguments).output().unwrap();
    assert!(!status.success(), "{arguments:?}");
    String::from_utf8(stderr).unwrap()
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
    // It is known by its process.
    let shown = Command::new(env!("CARGO_BIN_EXE_mgmctl"))
        .args(["--control", text(&control), "show", "clients"])
        .output()
        .unwrap();
    let (shown, process) =
        (String::from_utf8(shown.stdout).unwrap(), std::process::id().to_string());
    let name = std::fs::read_to_string("/proc/self/comm").unwrap();
    let row: Vec<_> = shown.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((row[0], row[1], row[2], row[6]), (name.trim(), "0x4d", "1", &*process), "{shown}");
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

/// An address that is free, with a port below those that the kernel gives to whoever asks for any.
fn free_address() -> String {
    let ports = (0..10_000).map(|n| 20_000 + (std::process::id() + n) % 10_000);
    let mut addresses = ports.map(|port| format!("127.0.0.1:{port}"));
    addresses.find(|address| TcpListener::bind(address).is_ok()).unwrap()
}

/// The answer to an HTTP request.
fn http(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn metrics_are_served_where_they_are_asked_for() {
    let place = directory("metrics");
    let (serve, control) = (place.join("mgm.sock"), place.join("control.sock"));
    let sockets = ["--serve", text(&serve), "--control", text(&control)];
    let address = free_address();
    let port = address.rsplit(':').next().unwrap();
    let arguments = [&["--forwarder", "memory", "--metrics", port][..], &sockets].concat();
    let child = mgmd(&arguments).spawn().unwrap();
    wait_for("no metrics", || TcpStream::connect(&address).is_ok());
    // Clients that say nothing, or only begin, hold up nobody else.
    let silent: Vec<_> = (0..4).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let open = "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text\r\n\r\n";
    let answer = http(&address, open);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    assert!(body.contains("mgm_clients 0\n") && body.ends_with("# EOF\n"), "{body}");
    let old = http(&address, "GET /metrics HTTP/1.0\r\n\r\n");
    assert!(old.contains("Content-Type: text/plain; version=0.0.4") && !old.contains("EOF"));
    assert!(http(&address, "HEAD /metrics HTTP/1.0\r\n\r\n").ends_with("\r\n\r\n"));
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
        ("\r\n\r\n", "405"),
        ("\u{0}\u{1b}[2J /metrics\r\n\r\n", "405"),
    ] {
        assert!(http(&address, request).starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}");
    }
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(8 << 10));
    assert!(http(&address, &long[..8 << 10]).starts_with("HTTP/1.1 431 "));
    drop(silent);
    // The same names for everybody: one process's view is mgmctl's.
    let printed = Command::new(env!("CARGO_BIN_EXE_mgmctl"))
        .args(["--control", text(&control), "metrics", "--form", "prometheus"])
        .output()
        .unwrap();
    let names = |text: &str| {
        let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let (_, body) = old.split_once("\r\n\r\n").unwrap();
    assert_eq!(names(&String::from_utf8(printed.stdout.clone()).unwrap()), names(body));
    assert_eq!(names(body).len(), 13, "{body}");
    promtool(&printed.stdout);
    // The port is taken.
    let log = failure(&["--forwarder", "memory", "--metrics", &address]);
    assert!(log.contains("--metrics 127.0.0.1:"), "{log}");
    assert!(terminate(child).0);
    std::fs::remove_dir_all(place).unwrap();
    assert!(failure(&["--metrics", "localhost"]).contains("127.0.0.1:9760"));
}

/// Prometheus' own judgement of names and form, where it is installed.
fn promtool(metrics: &[u8]) {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut child) = promtool.stderr(Stdio::piped()).spawn() else {
        eprintln!("promtool is not installed");
        return;
    };
    child.stdin.take().unwrap().write_all(metrics).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let told = String::from_utf8([stdout, stderr].concat()).unwrap();
    assert!(status.success() && told.is_empty(), "{told}");
}

/// What the dashboard asks for is what there is.
#[test]
fn the_dashboard_knows_the_names() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/grafana/mgm.json");
    let dashboard = std::fs::read_to_string(file).unwrap();
    serde_json::from_str::<serde_json::Value>(&dashboard).unwrap();
    let source = include_str!("../src/metrics.rs");
    let mut asked = 0;
    for rest in dashboard.split("mgm_").skip(1) {
        let name = rest.split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap();
        let family = name.trim_end_matches("_total").trim_end_matches("_bucket");
        assert!(source.contains(&format!("\"mgm_{family}\"")), "mgm_{name}");
        asked += 1;
    }
    assert!(asked > 10, "{asked}");
}
