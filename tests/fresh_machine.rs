//! `tools/rust.sh` and `tools/install-deps.sh` on machines that lack something: each is a directory
//! with the few commands that the scripts use, and made-up ones in place of rustc, apt and id.

#[path = "common/run.rs"]
mod running;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const LINE: &str = "apt-get install -y --no-install-recommends --no-remove";

struct Machine(PathBuf);

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Machine {
    /// With all that `make test` needs but Rust.
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("mgm-{name}-{}", std::process::id()));
        fs::create_dir_all(root.join("bin")).unwrap();
        let machine = Self(root);
        for real in ["bash", "sh", "cat", "sed", "sort", "tr", "dirname", "chmod", "touch"] {
            let path = ["/bin", "/usr/bin"].map(|directory| Path::new(directory).join(real));
            let path = path.iter().find(|path| path.exists()).unwrap();
            symlink(path, machine.0.join("bin").join(real)).unwrap();
        }
        let needed = "cc gcc g++ make ip unshare nsenter pkg-config nm setpriv mandoc ping";
        needed.split(' ').for_each(|name| machine.command("bin", name, ""));
        machine.is_user(1000);
        machine
    }

    /// Makes a command that is a shell script.
    fn command(&self, directory: &str, name: &str, script: &str) {
        let path = self.0.join(directory).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn is_user(&self, uid: u32) {
        self.command("bin", "id", &format!("echo {uid}"));
    }

    fn has_rust(&self, directory: &str, version: &str) {
        self.command(directory, "cargo", "");
        self.command(directory, "rustc", &format!("echo 'rustc {version} (a hash and a day)'"));
    }

    /// apt, and the newest version that it has of each package.
    fn has_apt(&self, packages: &[(&str, &str)]) {
        let known: String = packages
            .iter()
            .map(|(name, version)| format!("{name}) echo '  Candidate: {version}' ;;\n"))
            .collect();
        let names: Vec<_> = packages.iter().map(|(name, _)| *name).collect();
        let script = format!(
            "case $1 in pkgnames) for n in {}; do case $n in $2*) echo $n ;; esac; done ;;
             policy) case $2 in {known} esac ;; esac",
            names.join(" "),
        );
        self.command("bin", "apt-cache", &script);
        // What it is told to do can be read afterwards.
        let log = self.0.join("apt.log");
        self.command("bin", "apt-get", &format!("echo \"apt-get $*\" >>{}", log.display()));
    }

    fn run(&self, script: &str, argument: &str) -> (bool, String) {
        let done = Command::new("bash")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join(script))
            .arg(argument)
            .env_clear()
            .env("PATH", self.0.join("bin"))
            .env("HOME", &self.0)
            .output()
            .unwrap();
        let text = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8(text).unwrap())
    }

    fn path(&self) -> String {
        self.run("rust.sh", "path").1.trim().to_owned()
    }

    fn directory(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

/// A newer Rust of Ubuntu's on this very machine would be found as well.
fn has_versioned_packages(test: &str) -> bool {
    let mut directories = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().file_name());
    let found = directories.any(|name| name.to_string_lossy().starts_with("rust-"));
    if found {
        running::skipped(test, "this machine has /usr/lib/rust-*");
    }
    found
}

#[test]
fn a_rust_that_is_new_enough_is_found() {
    if has_versioned_packages("a_rust_that_is_new_enough_is_found") {
        return;
    }
    let machine = Machine::new("rust");
    let [bin, rustup] = [machine.directory("bin"), machine.directory(".cargo/bin")];
    assert_eq!(machine.path(), bin, "none");
    machine.has_rust(".cargo/bin", "1.100.0");
    assert_eq!(machine.path(), format!("{rustup}:{bin}"), "not on PATH");
    machine.has_rust("bin", "1.63.0");
    assert_eq!(machine.path(), format!("{rustup}:{bin}"), "an old one is on PATH");
    machine.has_rust("bin", "1.97.0-nightly");
    assert_eq!(machine.path(), bin, "the one on PATH comes first");
    machine.has_rust("bin", "1.87.9");
    machine.has_rust(".cargo/bin", "1.9.0");
    assert_eq!(machine.path(), bin, "both are old");
    machine.command(".cargo/bin", "rustc", "echo 'error: no toolchain is chosen' >&2; exit 1");
    assert_eq!(machine.path(), bin, "rustup without a toolchain");
}

#[test]
fn what_is_missing_is_named_in_one_line() {
    if has_versioned_packages("what_is_missing_is_named_in_one_line") {
        return;
    }
    let machine = Machine::new("line");
    let rustup = "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh";
    let (done, text) = machine.run("install-deps.sh", "test");
    assert!(!done && text.contains(rustup) && !text.contains("apt-get"), "{text}");
    machine.has_apt(&[("cargo", "0.66.0+ds1-1"), ("cargo-web", "1.85.0+dfsg3-1~deb12u3")]);
    let (done, text) = machine.run("install-deps.sh", "test");
    assert!(!done && text.contains(rustup) && !text.contains(LINE), "{text}");
    fs::remove_file(machine.0.join("bin/g++")).unwrap();
    let (done, text) = machine.run("install-deps.sh", "test");
    assert!(!done && text.contains(&format!("sudo {LINE} g++ && {rustup}")), "{text}");
    // Debian 12, and Ubuntu 24.04.
    for (packages, wanted) in [
        (
            &[("cargo", "0.66.0+ds1-1"), ("cargo-web", "1.96.0+dfsg1-1~deb12u2")][..],
            "cargo-web rustc-web",
        ),
        (
            &[
                ("cargo", "1.75.0"),
                ("cargo-1.85", "1.85.0"),
                ("cargo-1.89", "1.89.0+dfsg0ubuntu1"),
                ("cargo-1.9", "1.9"),
            ],
            "cargo-1.89 rustc-1.89",
        ),
        (&[("cargo", "1.88.0+dfsg1"), ("cargo-web", "1.96.0")], "cargo rustc"),
    ] {
        machine.has_apt(packages);
        let (done, text) = machine.run("install-deps.sh", "test");
        assert!(
            !done && text.contains(&format!("sudo {LINE} g++ {wanted} ca-certificates\n")),
            "{text}"
        );
    }
    // The demonstration needs no C++.
    let (_, text) = machine.run("install-deps.sh", "demo");
    assert!(text.contains(&format!("{LINE} cargo rustc ca-certificates\n")), "{text}");
    // Nobody but root installs.
    assert!(!machine.0.join("apt.log").exists());
    machine.has_rust("bin", "1.88.0");
    machine.command("bin", "g++", "");
    assert_eq!(machine.run("install-deps.sh", "test"), (true, String::new()));
}

#[test]
fn root_installs_what_is_missing() {
    if has_versioned_packages("root_installs_what_is_missing") {
        return;
    }
    let machine = Machine::new("root");
    machine.is_user(0);
    machine.has_apt(&[("cargo-web", "1.96.0")]);
    // apt says that all is well, and still there is no Rust.
    let (done, text) = machine.run("install-deps.sh", "test");
    assert!(!done && text.contains("Still missing after the installation: Rust 1.88"), "{text}");
    let told = fs::read_to_string(machine.0.join("apt.log")).unwrap();
    assert_eq!(
        told,
        format!("apt-get update -qq\n{LINE} cargo-web rustc-web ca-certificates -qq\n")
    );

    machine.command("bin", "apt-get", "[ $1 = update ] || exit 100");
    let (done, text) = machine.run("install-deps.sh", "test");
    assert!(!done && text.contains("That failed."), "{text}");

    let rustc = machine.directory("bin/rustc");
    let cargo = machine.directory("bin/cargo");
    let script = format!(
        "[ $1 = update ] || {{ touch {cargo}; echo 'echo rustc 1.96.0' >{rustc}; chmod +x {cargo} {rustc}; }}"
    );
    machine.command("bin", "apt-get", &script);
    let (done, text) = machine.run("install-deps.sh", "test");
    assert!(done, "{text}");
}
