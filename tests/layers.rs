//! Every import points down the floors of src, as the table of src/lib.rs has them. What still points up
//! stands in `KNOWN_UP`: the list may only get shorter.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The floors, the ground first. A file belongs to the last line that its path begins with.
const FLOORS: [&str; 11] = [
    "types.rs",
    "sys/",
    "log.rs",
    "error.rs",
    "handle.rs",
    "core/",
    "control/",
    "forwarder/",
    "shell/",
    "remote/",
    "ffi/",
];

/// The floors of the core.
const CORE: [&str; 4] = ["core/containers/", "core/state/", "core/rules/", "core/mod.rs"];

/// Imports that point up: none.
const KNOWN_UP: [(&str, &str); 0] = [];

fn files(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
            found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        }
    }
}

fn floor(file: &str) -> Option<usize> {
    FLOORS.iter().rposition(|floor| file.starts_with(floor))
}

/// The module that a file is, as `crate::` paths name it.
fn module(file: &str) -> String {
    let path = file.strip_suffix(".rs").unwrap();
    path.strip_suffix("/mod").unwrap_or(path).replace('/', "::")
}

/// The files that a file's `crate::` paths lead to, the tests at its end left out.
fn imports(file: &str, modules: &BTreeMap<String, String>) -> BTreeSet<String> {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file)).unwrap();
    let text = text.split("mod tests {").next().unwrap();
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for part in code.split("crate::").skip(1) {
        let path: String =
            part.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect();
        let mut path = path.trim_end_matches(':');
        loop {
            if let Some(target) = modules.get(path) {
                found.insert(target.clone());
                break;
            }
            match path.rsplit_once("::") {
                Some((shorter, _)) => path = shorter,
                None => break,
            }
        }
    }
    found.remove(file);
    found
}

#[test]
fn every_import_points_down() {
    let mut all = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    let modules: BTreeMap<_, _> = all.iter().map(|file| (module(file), file.clone())).collect();
    let (mut up, mut looked_at) = (BTreeSet::new(), 0);
    for file in all.iter().filter(|file| !file.contains("schedules") && *file != "lib.rs") {
        let own = floor(file).unwrap_or_else(|| panic!("src/{file} is on no floor"));
        for target in imports(file, &modules) {
            looked_at += 1;
            let Some(other) = floor(&target) else { continue };
            let in_core = |file: &str| CORE.iter().position(|floor| file.starts_with(floor));
            let up_in_core = match (in_core(file), in_core(&target)) {
                (Some(own), Some(other)) => other > own && target != "core/mod.rs",
                _ => false,
            };
            if other > own || up_in_core {
                up.insert((file.clone(), target));
            }
        }
    }
    assert!(looked_at > 300, "only {looked_at} imports were found");
    let known: BTreeSet<_> =
        KNOWN_UP.iter().map(|(file, target)| ((*file).to_owned(), (*target).to_owned())).collect();
    let new: Vec<_> = up.difference(&known).collect();
    assert!(new.is_empty(), "imports that point up: {new:#?}");
    let gone: Vec<_> = known.difference(&up).collect();
    assert!(gone.is_empty(), "these point up no more; take them out of KNOWN_UP: {gone:#?}");
}
