//! What sources and documents cite is there: each rule in docs/RULES.md.

use super::{is_rule_name, read, rule_names};
use std::path::Path;

/// Standards of C, and nothing else, look like rules in running text.
const STANDARDS: [&str; 4] = ["C11", "C17", "C23", "C99"];

/// Every file under a directory of the repository, by its path from the root.
pub fn files_under(directory: &str) -> Vec<String> {
    let mut found = Vec::new();
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    for entry in std::fs::read_dir(&full).unwrap_or_else(|error| panic!("{directory}: {error}")) {
        let entry = entry.unwrap();
        let path = format!("{directory}/{}", entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_under(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The part of a line that is a comment or the text of a string, where rules are cited; all of a
/// document's line.
fn prose<'a>(path: &str, line: &'a str) -> &'a str {
    let begins: &[&str] = match Path::new(path).extension().and_then(|ending| ending.to_str()) {
        Some("rs") => &["//", "\""],
        Some("c" | "h" | "in") => &["/*", "//", "\"", " * "],
        Some("sh" | "toml" | "supp" | "py") => &["#", "\""],
        _ => return line,
    };
    let at = begins.iter().filter_map(|begin| line.find(begin)).min();
    at.map_or("", |at| &line[at..])
}

/// The names of rules in a line of prose. "G3" may be a group of a test's, unless the line speaks of
/// rules.
fn cited(prose: &str) -> Vec<&str> {
    let words = || prose.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let of_rules = words().any(|word| matches!(word, "rule" | "rules" | "Rule" | "Rules"));
    let is_citation = |word: &&str| {
        is_rule_name(word)
            && matches!(word.as_bytes()[0], b'A'..=b'H' | b'P')
            && !STANDARDS.contains(word)
            && (of_rules || !word.starts_with('G'))
    };
    words().filter(is_citation).collect()
}

#[test]
fn every_rule_that_is_cited_is_there() {
    let rules = rule_names();
    let (mut wrong, mut found) = (Vec::new(), 0);
    let directories = ["src", "tests", "c-tests", "include", "fuzz/targets", "benches", "tools"];
    let documents = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "fuzz/README.md"];
    let files = directories.into_iter().chain(["docs"]).flat_map(files_under);
    // Tables of measurements, pictures, and this file's own examples.
    let skipped = [".tsv", ".svg", "conformance/citations.rs"];
    for path in files.chain(documents.map(str::to_owned)) {
        if skipped.iter().any(|ending| path.ends_with(ending)) {
            continue;
        }
        for (number, line) in read(&path).lines().enumerate() {
            for rule in cited(prose(&path, line)) {
                found += 1;
                if !rules.contains(rule) {
                    wrong.push(format!("{path}:{}: {rule}", number + 1));
                }
            }
        }
    }
    assert!(found > 700, "only {found} citations were found");
    assert!(wrong.is_empty(), "docs/RULES.md does not have\n{}", wrong.join("\n"));
}

#[test]
fn citations_are_found() {
    assert_eq!(cited("// Brings them up to date (rules D4, E6): E4's alerts"), ["D4", "E6", "E4"]);
    assert_eq!(cited("rule G7 and C99"), ["G7"]);
    assert_eq!(cited("G3 joins, 0xA1, S1, A_1, A123"), [] as [&str; 0]);
    assert_eq!(prose("a.rs", "let g3 = G3; // rule Z9"), "// rule Z9");
    assert_eq!(prose("a.c", "    add(G3);"), "");
    assert_eq!(prose("a.md", "rule Z9"), "rule Z9");
}
