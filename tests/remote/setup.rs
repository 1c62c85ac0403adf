//! How hosts and clients find each other, and what is said where they do not.

use crate::stage::{Puppet, path};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

const A: &str = "2147418113 1";

#[test]
fn p6_the_socket_has_mode_0660_and_goes_with_its_host() {
    let path = path();
    let host = Puppet::host(&path, 0);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660, "{mode:o}");
    assert_eq!(host.ask("stop"), "0");
    assert!(!path.exists());
}

#[test]
fn without_a_host_every_call_says_what_to_do() {
    let path = path();
    let a = Puppet::client(&path);
    assert_eq!(a.ask(&format!("register {A}")), "1003 0");
    a.says_once("MGM_HOST");
    assert_eq!(a.ask("owner 1"), "1003 0 0");
    let _host = Puppet::host(&path, 0);
    assert_eq!(a.ask(&format!("register {A}")), "0 0");
}

#[test]
fn a_stale_file_is_replaced_and_a_live_one_is_not() {
    let path = path();
    let mut first = Puppet::host(&path, 0);
    let second = Puppet::with(&[]);
    assert_eq!(second.ask(&format!("start memory {} 0", path.display())), "1003");
    second.says_once("another process serves it");
    first.kill();
    assert!(path.exists(), "a killed host leaves its file");
    assert_eq!(second.ask(&format!("start memory {} 0", path.display())), "0");
    let a = Puppet::client(&path);
    assert_eq!(a.ask(&format!("register {A}")), "0 0");
}

#[test]
fn a_path_that_is_too_long_or_no_socket() {
    let host = Puppet::with(&[]);
    let long = format!("/tmp/{}", "x".repeat(104));
    assert_eq!(host.ask(&format!("start memory {long} 0")), "1003");
    host.says_once("too long");
    let file = path();
    std::fs::write(&file, "mine").unwrap();
    assert_eq!(host.ask(&format!("start memory {} 0", file.display())), "1003");
    host.says_once("no socket");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    std::fs::remove_file(file).unwrap();
    // All of the 108 octets that bind(2) takes.
    let fits = format!("/tmp/{:0>103}", std::process::id());
    assert_eq!(fits.len(), 108);
    assert_eq!(host.ask(&format!("start memory {fits} 0")), "0");
    let a = Puppet::client(std::path::Path::new(&fits));
    assert_eq!(a.ask(&format!("register {A}")), "0 0");
    assert_eq!(host.ask("stop"), "0");
}

#[test]
fn a_client_whose_path_is_too_long_or_a_stale_file() {
    let long = format!("/tmp/{}", "x".repeat(104));
    let a = Puppet::client(std::path::Path::new(&long));
    assert_eq!(a.ask(&format!("register {A}")), "1003 0");
    a.says_once("too long");
    let path = path();
    let mut host = Puppet::host(&path, 0);
    host.kill();
    assert!(path.exists());
    let a = Puppet::client(&path);
    assert_eq!(a.ask(&format!("register {A}")), "1003 0");
    a.says_once("start one there, mgmd for example");
}

/// Without the capability that lets root into every file.
#[test]
fn without_permission_neither_side_gets_far() {
    let path = path();
    let host = Puppet::host(&path, 0);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).unwrap();
    let a = Puppet::powerless(&[("MGM_HOST", path.to_str().unwrap())]);
    assert_eq!(a.ask(&format!("register {A}")), "1003 0");
    a.says_once("Permission denied");
    // It may have come back.
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o660)).unwrap();
    assert_eq!(a.ask(&format!("register {A}")), "0 0");
    drop(host);
    let closed = path.with_extension("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o555)).unwrap();
    let host = Puppet::powerless(&[]);
    assert_eq!(host.ask(&format!("start memory {} 0", closed.join("socket").display())), "1003");
    host.says_once("Permission denied");
    std::fs::remove_dir(closed).unwrap();
}

#[test]
fn another_programs_socket_is_no_host() {
    let path = path();
    let _stream = UnixListener::bind(&path).unwrap();
    let a = Puppet::client(&path);
    assert_eq!(a.ask(&format!("register {A}")), "1003 0");
    a.says_once("MGM_HOST");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn mgm_host_beside_a_hosts_variables_is_an_error() {
    let path = path();
    let host = path.to_str().unwrap();
    for other in ["MGM_FORWARDER", "MGM_MAX_MFES", "MGM_CONTROL", "MGM_SERVE", "MGM_HOLD"] {
        let a = Puppet::with(&[("MGM_HOST", host), (other, "1")]);
        assert_eq!(a.ask(&format!("register {A}")), "1003 0");
        a.says_once(other);
    }
    let a = Puppet::with(&[("MGM_HOST", "")]);
    assert_eq!(a.ask(&format!("register {A}")), "1003 0");
    a.says_once("MGM_HOST");
    // And a client process can be no host.
    let a = Puppet::client(&path);
    assert_eq!(a.ask(&format!("start memory {host}x 0")), "1003");
    a.says_once("MGM_HOST is set");
}

#[test]
fn a_host_from_the_environment() {
    let path = path();
    let host = Puppet::with(&[("MGM_SERVE", path.to_str().unwrap()), ("MGM_HOLD", "1")]);
    assert_eq!(host.ask(&format!("register {A}")), "0 0");
    let a = Puppet::client(&path);
    assert_eq!(a.ask("register 2147418114 1"), "0 0");
    assert!(a.ask("state").contains("\"clients\":2"));
    for (hold, what) in [("x", "seconds"), ("-1", "seconds")] {
        let bad = Puppet::with(&[("MGM_SERVE", "/tmp/x"), ("MGM_HOLD", hold)]);
        assert_eq!(bad.ask(&format!("register {A}")), "1003 0");
        bad.says_once(what);
    }
    let bad = Puppet::with(&[("MGM_HOLD", "1")]);
    assert_eq!(bad.ask(&format!("register {A}")), "1003 0");
    bad.says_once("MGM_SERVE");
}
