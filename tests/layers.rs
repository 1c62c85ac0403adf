//! Every import points down the floors of src, as the table of src/lib.rs has them, and no two files
//! import each other, directly or through others. (A folder's mod.rs puts its files together, and may
//! name them; they may import what it defines.) The same holds for the programs in C that consist of
//! several files with one header: no two files use each other. And one name means one thing: no two types
//! of src share theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The floors, the ground first. A file belongs to the last line that its path begins with.
const FLOORS: [&str; 11] = [
    "types.rs",
    "sys/",
    "log.rs",
    "handle.rs",
    "error.rs",
    "core/",
    "control/",
    "forwarder/",
    "shell/",
    "remote/",
    "ffi/",
];

/// The floors of the core.
const CORE: [&str; 4] = ["core/containers/", "core/state/", "core/rules/", "core/mod.rs"];

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

/// The files that a file's `crate::` and `super::` paths lead to, the tests at its end left out.
fn imports(file: &str, modules: &BTreeMap<String, String>) -> BTreeSet<String> {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file)).unwrap();
    let text = text.split("mod tests {").next().unwrap();
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n");
    // Whom something is visible to is no import.
    let code = code.replace("in crate::", "");
    let mut found = BTreeSet::new();
    for part in code.split("crate::").skip(1) {
        found.extend(named(part).iter().filter_map(|path| lookup(path, modules)));
    }
    let own = module(file);
    for part in code.split("super::").skip(1) {
        let parent = own.rsplit_once("::").map_or("", |(parent, _)| parent);
        let inside = |path: &String| format!("{parent}::{path}");
        found.extend(named(part).iter().filter_map(|path| lookup(&inside(path), modules)));
    }
    found.remove(file);
    found
}

/// The paths that a use tree names: `a::{b, c::d}` names `a::b` and `a::c::d`.
fn named(tree: &str) -> Vec<String> {
    let path: String =
        tree.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect();
    match tree[path.len()..].strip_prefix('{') {
        Some(list) => {
            let list = list.split('}').next().unwrap();
            list.split(',').map(|item| format!("{path}{}", item.trim())).collect()
        }
        None => vec![path],
    }
}

/// The file of the module that a path leads into.
fn lookup(path: &str, modules: &BTreeMap<String, String>) -> Option<String> {
    let path = path.trim_end_matches(':');
    let known = || modules.get(path).cloned();
    known().or_else(|| lookup(path.rsplit_once("::")?.0, modules))
}

/// The files of src, with the files that each imports.
fn graph() -> BTreeMap<String, BTreeSet<String>> {
    let mut all = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    let modules: BTreeMap<_, _> = all.iter().map(|file| (module(file), file.clone())).collect();
    let looked_at = all.into_iter().filter(|file| !file.contains("schedules") && file != "lib.rs");
    let graph: BTreeMap<_, _> =
        looked_at.map(|file| (file.clone(), imports(&file, &modules))).collect();
    let count: usize = graph.values().map(BTreeSet::len).sum();
    assert!(count > 300, "only {count} imports were found");
    graph
}

#[test]
fn every_import_points_down() {
    let mut up = Vec::new();
    for (file, targets) in graph() {
        let own = floor(&file).unwrap_or_else(|| panic!("src/{file} is on no floor"));
        for target in targets {
            let Some(other) = floor(&target) else { continue };
            let in_core = |file: &str| CORE.iter().position(|floor| file.starts_with(floor));
            let up_in_core = match (in_core(&file), in_core(&target)) {
                (Some(own), Some(other)) => other > own,
                _ => false,
            };
            if other > own || up_in_core {
                up.push((file.clone(), target));
            }
        }
    }
    assert!(up.is_empty(), "imports that point up: {up:#?}");
}

/// The type that a line of code defines.
fn defined(line: &str) -> Option<&str> {
    let code = line.trim_start();
    let code = match code.strip_prefix("pub") {
        Some(code) if code.starts_with('(') => code.split_once(") ")?.1,
        Some(code) => code.trim_start(),
        None => code,
    };
    let (keyword, rest) = code.strip_prefix("unsafe ").unwrap_or(code).split_once(' ')?;
    let defines = match keyword {
        "struct" | "enum" | "union" | "trait" => true,
        // An indented one belongs to a trait, and has its name from there.
        "type" => !line.starts_with(' '),
        _ => false,
    };
    defines.then(|| rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap())
}

/// The scheduler's stand-in for a type has the name of the type (`sys/sync.rs`).
const STAND_IN: [&str; 1] = ["Thread"];

#[test]
fn no_two_types_share_a_name() {
    let mut all = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    let is_test = |file: &String| file.contains("schedules") || file.ends_with("tests.rs");
    let mut where_defined = BTreeMap::<String, Vec<String>>::new();
    for file in all.into_iter().filter(|file| !is_test(file)) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(&file);
        let text = fs::read_to_string(path).unwrap();
        for name in text.split("mod tests {").next().unwrap().lines().filter_map(defined) {
            where_defined.entry(name.to_owned()).or_default().push(file.clone());
        }
    }
    assert!(where_defined.len() > 250, "only {} types were found", where_defined.len());
    where_defined.retain(|name, files| files.len() > 1 && !STAND_IN.contains(&name.as_str()));
    assert!(where_defined.is_empty(), "types that share a name: {where_defined:#?}");
}

/// The headers of programs in C. Each has a section for what each file offers: `/* ---- file.c ---- */`.
const PROGRAMS: [&str; 2] = ["c-tests/router.h", "benches/kernel/kernel.h"];

/// The names in a text in C, without those in comments and strings.
fn words(text: &str) -> BTreeSet<String> {
    let mut code = String::new();
    for (at, part) in text.split("/*").enumerate() {
        let part = if at == 0 { part } else { part.split_once("*/").map_or("", |(_, code)| code) };
        // Every other part between quotation marks is a string.
        code.extend(part.split('"').step_by(2).flat_map(|code| [code, " "]));
    }
    let word = |c: char| c.is_alphanumeric() || c == '_';
    code.split(|c| !word(c)).map(str::to_owned).collect()
}

/// What a section of a header declares: functions and variables.
fn declared(section: &str) -> BTreeSet<String> {
    let named = |declaration: &str| {
        let declaration = declaration.trim();
        let end = declaration.find(['(', '[']).unwrap_or(declaration.len());
        let name = declaration[..end].rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next();
        let counts = declaration[..end].contains(' ') && !declaration.contains('}');
        name.filter(|name| counts && !name.is_empty()).map(str::to_owned)
    };
    let lines = section.lines().map(|line| line.split("/*").next().unwrap());
    let lines: String = lines.filter(|line| !line.starts_with([' ', '#', '}'])).collect();
    lines.split(';').filter_map(named).collect()
}

/// The files of a program in C, with the files that each uses.
fn graph_of_c(header: &str) -> BTreeMap<String, BTreeSet<String>> {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join(header);
    let text = fs::read_to_string(&header).unwrap();
    let sections: BTreeMap<String, BTreeSet<String>> = text
        .split("/* ---- ")
        .skip(1)
        .map(|section| section.split_once(" ---- */").unwrap())
        .map(|(file, section)| (file.to_owned(), declared(section)))
        .collect();
    assert!(sections.values().all(|names| !names.is_empty()), "{sections:?}");
    let uses = |file: &String| {
        let words = words(&fs::read_to_string(header.with_file_name(file)).unwrap());
        let others = sections.iter().filter(|(other, _)| *other != file);
        let used = others.filter(|(_, names)| !names.is_disjoint(&words));
        used.map(|(other, _)| other.clone()).collect()
    };
    sections.keys().map(|file| (file.clone(), uses(file))).collect()
}

#[test]
fn no_two_files_of_a_program_in_c_use_each_other() {
    for header in PROGRAMS {
        let graph = graph_of_c(header);
        assert!(graph.values().map(BTreeSet::len).sum::<usize>() > 1, "{header}: {graph:?}");
        has_no_circle(&graph);
    }
}

#[test]
fn no_two_files_import_each_other() {
    has_no_circle(&graph());
}

fn has_no_circle(graph: &BTreeMap<String, BTreeSet<String>>) {
    for file in graph.keys() {
        let (mut reached, mut next) = (BTreeMap::new(), vec![file]);
        while let Some(from) = next.pop() {
            for to in graph.get(from).into_iter().flatten() {
                if !reached.contains_key(to) {
                    reached.insert(to, from);
                    next.push(to);
                }
            }
        }
        if reached.contains_key(file) {
            let mut path = vec![file];
            while path.len() == 1 || path[path.len() - 1] != file {
                path.push(reached[path[path.len() - 1]]);
            }
            panic!("a circle of imports, from the end: {path:#?}");
        }
    }
}
