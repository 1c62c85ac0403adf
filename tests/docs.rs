//! The README and the manual say what is true: their code compiles and runs, their prototypes and
//! codes are the headers', every member of the state is described.

#[allow(dead_code, reason = "shared with other tests; each uses its own part")]
mod common;
#[path = "common/run.rs"]
mod running;

use common::{MULTICAST, NoCallbacks, group, host, interface, join, packet, started};
use mgm::types::SourceGroup;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What the README says, and what it leaves to documents for those who write programs or run routers.
const GUIDES: [&str; 3] = ["README.md", "docs/PROGRAMMING.md", "docs/RUNNING.md"];

/// The code blocks of the guides that follow a comment `<!-- KIND... FILE -->`, by file.
fn blocks(kind: &str) -> BTreeMap<String, String> {
    let guides: String = GUIDES.iter().map(|name| read(name)).collect();
    let mut found = BTreeMap::new();
    for part in guides.split("<!-- ").skip(1) {
        let (comment, rest) = part.split_once(" -->\n```").expect("a block follows the comment");
        let (_, rest) = rest.split_once('\n').expect("the block's first line");
        let (block, _) = rest.split_once("```").expect("the block's end");
        if let Some(file) = comment.strip_prefix(kind) {
            found.insert(file.trim().to_owned(), block.to_owned());
        }
    }
    found
}

/// A directory with what `make build` puts into build/lib; goes with the test.
struct Build(PathBuf);

impl Build {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mgm-docs-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let build = Self(path);
        let library = std::env::current_exe().unwrap().with_file_name("libmgm.so");
        assert!(library.exists(), "{} is missing: cargo builds it", library.display());
        for link in ["libmgm.so", "libmgm.so.1"] {
            std::os::unix::fs::symlink(&library, build.0.join(link)).unwrap();
        }
        build
    }

    /// Compiles an example with the README's own line, and gives the program.
    fn compile(&self, file: &str) -> PathBuf {
        let line = blocks("compile ").remove(file).expect("a line that compiles it");
        let (line, output) = line.trim().rsplit_once(" -o ").expect("an output");
        let program = self.0.join(output);
        let build = self.0.to_str().unwrap();
        let line = line.replace("$PWD/build/lib", build).replace("build/lib", build);
        let line = format!("{line} -Wall -Wextra -Werror -o {}", program.display());
        let done = Command::new("sh").args(["-c", &line]).current_dir(root()).output().unwrap();
        assert!(done.status.success(), "{line}\n{}", String::from_utf8_lossy(&done.stderr));
        program
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        // Left behind it does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_readme_s_code_is_what_is_compiled() {
    let code = blocks("c-tests/");
    let parts = blocks("part of c-tests/");
    let lines = blocks("compile c-tests/");
    assert_eq!(code.keys().collect::<Vec<_>>(), ["readme_host.c", "readme_protocol.c"]);
    assert_eq!(parts.keys().collect::<Vec<_>>(), ["readme_loop.c"]);
    assert!(lines.keys().eq(["readme_host.c", "readme_loop.c", "readme_protocol.c"]));
    for (file, block) in code {
        assert!(block == read(&format!("c-tests/{file}")), "what is printed differs from {file}");
    }
    for (file, block) in parts {
        assert!(block.lines().count() <= 20, "{file}");
        assert!(
            read(&format!("c-tests/{file}")).contains(&block),
            "what is printed differs from {file}"
        );
    }
}

#[test]
fn the_readme_s_host_runs() {
    let build = Build::new("host");
    let program = build.compile("c-tests/readme_host.c");
    let done = Command::new(program).env_clear().output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success() && done.stderr.is_empty(), "{done:?}", done = done.status);
    let (first, state) = text.split_once('\n').unwrap();
    assert_eq!(first, "28 octets leave interface 2 with TTL 15");
    let state: Value = serde_json::from_str(state).unwrap();
    assert_eq!(state["mfes"][0]["packets"], 1);
}

/// The protocol, on the kernel forwarder, in a namespace of its own with real devices: it hears
/// of a source that sends, and ends in order.
#[test]
fn the_readme_s_protocol_runs() {
    let build = Build::new("protocol");
    let program = build.compile("c-tests/readme_protocol.c");
    let usage = Command::new(&program).env_clear().stderr(Stdio::null()).status().unwrap();
    assert_eq!(usage.code(), Some(2));

    let devices = "set -e; PATH=$PATH:/usr/sbin:/sbin
        ip link add in0 type veth peer name peer0; ip link add out0 type veth peer name peer1
        ip link set lo up
        for d in in0 peer0 out0 peer1; do ip link set $d up; done
        ip address add 10.9.0.1/24 dev in0; ip route add 239.0.0.0/8 dev in0";
    let probe = Command::new("unshare").args(["-Urn", "bash", "-c", devices]).output().unwrap();
    if !probe.status.success() {
        let reason = String::from_utf8_lossy(&probe.stderr).trim().to_owned();
        return running::skipped(
            "README's protocol",
            &format!("no network namespaces here: {reason}"),
        );
    }
    let control = build.0.join("control");
    // Packets until the program has ended, for a minute at most.
    let script = format!(
        "{devices}
        (n=0; while [ $n -lt 600 ] && kill -0 $$ 2>/dev/null; do
            echo packet >/dev/udp/239.1.1.1/5000; n=$((n + 1)); sleep 0.1
        done) >/dev/null 2>&1 </dev/null &
        exec env MGM_FORWARDER=kernel MGM_CONTROL={} {} 239.1.1.1 out0 in0",
        control.display(),
        program.display()
    );
    let mut child = Command::new("unshare")
        .args(["-Urn", "bash", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    // The entry is made when the callbacks have returned.
    let deadline = Instant::now() + Duration::from_secs(60);
    let state = loop {
        match ask(&control, "state") {
            Some(state) if state["mfes"][0]["packets"].as_u64() > Some(0) => break state,
            state => {
                let go_on = Instant::now() < deadline && !first.is_empty();
                assert!(go_on, "there is no entry that carries packets: {first:?} {state:?}");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    };
    assert_eq!(state["forwarder"], "kernel");
    assert_eq!(state["counters"]["forwarder"]["malformed_reports"], 0);
    drop(child.stdin.take());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    let status = wait(&mut child);
    assert!(status.success(), "{status} {first}{rest}{errors}");
    assert!(first.starts_with("new source 10.9.0.1, from interface "), "{first:?}{rest:?}{errors}");
    assert!(rest.contains("source 10.9.0.1 group 239.1.1.1: "), "{rest}");
    assert!(rest.contains(" packets to 1 interfaces"), "{rest}");
}

/// What the control socket answers; None where it is not served.
fn ask(path: &Path, request: &str) -> Option<Value> {
    let mut client = UnixStream::connect(path).ok()?;
    writeln!(client, "{request}").ok()?;
    let mut answer = String::new();
    client.read_to_string(&mut answer).ok()?;
    serde_json::from_str(&answer).ok()
}

fn wait(child: &mut std::process::Child) -> std::process::ExitStatus {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status,
            None if Instant::now() > deadline => {
                child.kill().unwrap();
                panic!("the program does not end");
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

#[test]
fn the_links_lead_somewhere() {
    for name in GUIDES {
        let guide = read(name);
        let links: Vec<_> =
            guide.split("](").skip(1).map(|rest| rest.split_once(')').unwrap().0).collect();
        assert!(links.len() > 3, "{name}");
        let place = root().join(name);
        for link in links.iter().filter(|link| !link.starts_with("http")) {
            assert!(place.parent().unwrap().join(link).exists(), "{name}: {link}");
        }
    }
}

/// Every block of code is run, compiled or compared by some test, or is one of these.
#[test]
fn no_block_is_without_a_test() {
    let untested =
        ["make demo", "sudo MGM_FORWARDER=kernel ./protocol", "$ echo interfaces", "mgm: error: "];
    for name in GUIDES {
        let guide = read(name);
        // Every second part is a block's inside.
        let parts: Vec<_> = guide.split("```").collect();
        for (before, block) in parts.iter().zip(&parts[1..]).step_by(2) {
            let marked = before.trim_end_matches('\n').ends_with(" -->");
            let (_, text) = block.split_once('\n').unwrap();
            let picture = text.contains("+---");
            let known = untested.iter().any(|start| text.starts_with(start));
            assert!(marked || picture || known, "{name}: which test runs this? {text}");
        }
    }
}

#[test]
fn every_environment_variable_is_described() {
    let settings = read("src/shell/settings.rs");
    let (code, _) = settings.split_once("#[cfg(test)]").unwrap();
    let names: BTreeSet<_> =
        code.split("get(\"").skip(1).map(|rest| rest.split_once('"').unwrap().0).collect();
    assert_eq!(names.len(), 8, "{names:?}");
    for name in names {
        let guide = read("docs/RUNNING.md");
        assert!(guide.contains(&format!("| `{name}` |")), "RUNNING.md: {name}");
        assert!(read("docs/man/mgm.7").contains(&format!(".It Ev {name}\n")), "mgm.7: {name}");
    }
}

// ---- the manual ----

fn pages() -> Vec<(String, String)> {
    let mut pages: Vec<_> = fs::read_dir(root().join("docs/man"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .map(|name| (name.clone(), read(&format!("docs/man/{name}"))))
        .collect();
    pages.sort();
    pages
}

#[test]
fn mandoc_finds_nothing_wrong_with_the_manual() {
    // Whether other pages are installed, and the conventions of systems that mandoc is part of.
    let elsewhere = [
        "referenced manual not found",
        "outdated mandoc.db",
        "operating system explicitly specified",
    ];
    let mut mandoc = Command::new("mandoc");
    mandoc.arg("-Tlint");
    mandoc.args(pages().iter().map(|(name, _)| root().join("docs/man").join(name)));
    let done = match mandoc.output() {
        Ok(done) => done,
        Err(error) => return running::skipped("the manual's form", &format!("mandoc: {error}")),
    };
    assert!(done.status.code().is_some_and(|code| code < 3), "{done:?}");
    let found = String::from_utf8_lossy(&done.stdout);
    let wrong: Vec<_> =
        found.lines().filter(|line| !elsewhere.iter().any(|other| line.contains(other))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A C text without comments and with single blanks, `( ` and ` )` closed up.
fn plain(text: &str) -> String {
    let mut code = String::new();
    for (at, part) in text.split("/*").enumerate() {
        code += if at == 0 { part } else { part.split_once("*/").map_or("", |(_, rest)| rest) };
    }
    code.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(").replace(" )", ")")
}

/// Every prototype of the headers, callback types included: the name as it stands before the
/// parameters, and these.
fn prototypes() -> BTreeMap<String, String> {
    let text = plain(&read("include/mgm.h")) + &plain(&read("include/mgm_host.h"));
    let mut found = BTreeMap::new();
    for statement in text.split(';') {
        // What stands before the declaration (preprocessor lines) does not matter.
        let Some(at) =
            ["DWORD Mgm", "DWORD (*PMGM_"].iter().find_map(|start| statement.find(start))
        else {
            continue;
        };
        let declaration = &statement[at + "DWORD ".len()..];
        let (name, parameters) = declaration.rsplit_once('(').unwrap();
        found.insert(name.to_owned(), parameters.trim_end_matches(')').to_owned());
    }
    found
}

/// The prototypes of a page: `.Fo`, `.Fa`, `.Fc`.
fn prototypes_of(page: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for block in page.split("\n.Fo ").skip(1) {
        let (block, _) = block.split_once("\n.Fc").unwrap();
        let (name, arguments) = block.split_once('\n').unwrap();
        let arguments: Vec<_> = arguments
            .lines()
            .map(|line| line.strip_prefix(".Fa ").unwrap().trim_matches('"'))
            .collect();
        found.insert(name.to_owned(), arguments.join(", "));
    }
    found
}

#[test]
fn the_manual_s_prototypes_are_the_headers() {
    let mut described = BTreeMap::new();
    for (name, page) in pages() {
        for (function, parameters) in prototypes_of(&page) {
            let before = described.insert(function.clone(), parameters);
            assert_eq!(before, None, "{function} is described twice, the second time in {name}");
            if !function.starts_with('(') {
                let names = page.split_once(".Sh NAME").unwrap().1.split_once(".Nd").unwrap().0;
                assert!(
                    names
                        .lines()
                        .any(|line| line.trim_end_matches(" ,") == format!(".Nm {function}")),
                    "{name} does not have {function} among its names"
                );
            }
        }
    }
    let mut declared = prototypes();
    // The host's own functions are documented in mgm_host.h; the manual says so.
    declared.retain(|name, _| !name.starts_with("(*PMGM_HOST_"));
    assert_eq!(declared.len(), 25 + 9, "{:?}", declared.keys());
    assert_eq!(described, declared);
}

/// The ERROR_* names in a text.
fn codes(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'))
        .filter(|word| word.starts_with("ERROR_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_manual_s_codes_are_the_headers() {
    let headers = read("include/mgm.h") + &read("include/mgm_host.h");
    let mut looked_at = 0;
    for (name, page) in pages() {
        let mut documented = BTreeSet::new();
        for function in prototypes_of(&page).keys().filter(|name| !name.starts_with('(')) {
            // The comment that stands before the declaration.
            let (before, _) = headers.split_once(&format!("\nDWORD {function}(")).unwrap();
            let (_, comment) = before.rsplit_once("/**").unwrap();
            documented.extend(codes(comment.split_once("@return").unwrap().1));
            looked_at += 1;
        }
        if let Some((_, values)) = page.split_once(".Sh RETURN VALUES") {
            let (values, _) = values.split_once(".Sh ").unwrap();
            assert_eq!(codes(values), documented, "{name}");
        } else {
            assert!(documented.is_empty(), "{name} has no return values");
        }
    }
    assert_eq!(looked_at, 25);
}

/// The names of all members of a JSON value.
fn members(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                found.insert(name.clone());
                members(value, found);
            }
        }
        Value::Array(rows) => rows.iter().for_each(|row| members(row, found)),
        _ => {}
    }
}

#[test]
fn every_member_of_the_state_is_described() {
    let mgm = started(host());
    let client = mgm.register(NoCallbacks, MULTICAST, 0).unwrap();
    for index in [1, 2] {
        mgm.take_interface(client, interface(index, 0)).unwrap();
    }
    join(mgm, client, SourceGroup::new([0, 0, 0, 0].into(), group(1)), interface(2, 0));
    mgm.receive(interface(1, 0), &packet([10, 0, 0, 1].into(), group(1))).unwrap();
    let mut text = Vec::new();
    mgm.write_state(&mut text).unwrap();
    mgm.stop().unwrap();
    let mut found = BTreeSet::new();
    members(&serde_json::from_slice(&text).unwrap(), &mut found);
    assert!(found.len() > 40 && found.contains("oifs"), "{found:?}");

    // The kernel forwarder has counters of its own.
    let kernel = read("src/forwarder/kernel/mod.rs");
    let before = found.len();
    found.extend(
        kernel.split("give(\"").skip(1).map(|rest| rest.split_once('"').unwrap().0.to_owned()),
    );
    assert!(found.len() > before);

    let page = read("docs/man/mgm_control.7");
    let words: BTreeSet<_> = page
        .lines()
        .filter(|line| line.starts_with(".Ql ") || line.starts_with(".It Ic "))
        .flat_map(str::split_whitespace)
        .collect();
    let missing: Vec<_> = found.iter().filter(|name| !words.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "mgm_control.7 does not describe {missing:?}");
}

#[test]
fn the_difference_between_the_two_daemons_is_as_the_page_shows_it() {
    let page = read("docs/PORTING.md");
    let (_, rest) = page.split_once("```diff\n").expect("a block of the difference");
    let (shown, _) = rest.split_once("\n```").expect("its end");
    let [old, new] = ["c-tests/port_mrt.c", "c-tests/port_mgm.c"];
    let diff = Command::new("diff")
        .args(["-U1", "--label", old, "--label", new, old, new])
        .current_dir(root())
        .output()
        .unwrap();
    let diff = String::from_utf8(diff.stdout).unwrap();
    assert!(
        shown == diff.trim_end_matches('\n'),
        "docs/PORTING.md ends with the output of: diff -U1 --label {old} --label {new} {old} {new}"
    );
}
