//! What the shared library shows to programs: its functions, its name, and nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;

const FUNCTIONS: [&str; 25] = [
    "MgmAddGroupMembershipEntry",
    "MgmDeRegisterMProtocol",
    "MgmDeleteGroupMembershipEntry",
    "MgmGetFirstMfe",
    "MgmGetFirstMfeStats",
    "MgmGetMfe",
    "MgmGetMfeStats",
    "MgmGetNextMfe",
    "MgmGetNextMfeStats",
    "MgmGetProtocolOnInterface",
    "MgmGroupEnumerationEnd",
    "MgmGroupEnumerationGetNext",
    "MgmGroupEnumerationStart",
    "MgmHostDispatch",
    "MgmHostGetClientFd",
    "MgmHostGetState",
    "MgmHostInterfaceDown",
    "MgmHostReceive",
    "MgmHostRouteChanged",
    "MgmHostStart",
    "MgmHostStop",
    "MgmRegisterMProtocol",
    "MgmReleaseInterfaceOwnership",
    "MgmSetMfe",
    "MgmTakeInterfaceOwnership",
];

/// The shared library that cargo built together with this test.
fn library() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    // target/PROFILE/deps/exports-HASH: the library is in target/PROFILE/deps too.
    let library = test.with_file_name("libmgm.so");
    assert!(library.exists(), "{} is missing: run `cargo build` first", library.display());
    library
}

fn output(program: &str, arguments: &[&str], file: &Path) -> String {
    let done = Command::new(program).args(arguments).arg(file).output();
    let done = done.unwrap_or_else(|error| panic!("{program} (binutils) is needed: {error}"));
    assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("binutils write UTF-8")
}

#[test]
fn only_the_documented_functions_are_exported() {
    let symbols = output("nm", &["-D", "--defined-only", "--format=posix"], &library());
    let mut found: Vec<(&str, &str)> = symbols
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, rest)| (name, &rest[..1]))
        .collect();
    found.sort_unstable();
    assert_eq!(found, FUNCTIONS.map(|name| (name, "T")));
}

#[test]
fn the_library_has_its_versioned_name_and_stays_loaded() {
    let dynamic = output("readelf", &["--dynamic", "--wide"], &library());
    assert!(dynamic.contains("Library soname: [libmgm.so.1]"), "{dynamic}");
    let flags: Vec<&str> = dynamic.lines().filter(|line| line.contains("FLAGS_1")).collect();
    assert!(flags.iter().any(|line| line.contains("NODELETE")), "{flags:?}");
}

#[test]
fn the_header_declares_what_is_exported() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let mut declared: Vec<String> = Vec::new();
    for header in ["mgm.h", "mgm_host.h"] {
        let text = std::fs::read_to_string(root.join(header)).expect(header);
        declared.extend(
            text.lines()
                .filter_map(|line| line.strip_prefix("DWORD Mgm"))
                .filter_map(|rest| rest.split_once('('))
                .map(|(name, _)| format!("Mgm{name}")),
        );
    }
    declared.sort_unstable();
    assert_eq!(declared, FUNCTIONS);
}
