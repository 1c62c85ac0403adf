//! What sources and documents cite is there: each rule in docs/RULES.md, each decision in
//! docs/DESIGN.md, and each document in the repository.

use super::{is_rule_name, read, rule_names};
use std::collections::BTreeSet;
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

/// Every line of prose in the sources and documents: file, number, text.
fn each_line(mut visit: impl FnMut(&str, usize, &str)) {
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
            visit(&path, number + 1, prose(&path, line));
        }
    }
}

#[test]
fn every_rule_that_is_cited_is_there() {
    let rules = rule_names();
    let (mut wrong, mut found) = (Vec::new(), 0);
    each_line(|path, number, prose| {
        for rule in cited(prose) {
            found += 1;
            if !rules.contains(rule) {
                wrong.push(format!("{path}:{number}: {rule}"));
            }
        }
    });
    assert!(found > 700, "only {found} citations were found");
    assert!(wrong.is_empty(), "docs/RULES.md does not have\n{}", wrong.join("\n"));
}

/// The numbers of docs/DESIGN.md: of the decisions, and those that are not in use any more.
fn decisions() -> (Vec<u32>, Vec<u32>, u32) {
    let design = read("docs/DESIGN.md");
    let number = |text: &str| text.split(['*', ' ', ',']).next().and_then(|word| word.parse().ok());
    let used = design.lines().filter_map(|line| line.strip_prefix("- **").and_then(number));
    let (_, rest) = design.split_once("### Numbers that are not in use\n").expect("the section");
    let gone = rest.split("\n## ").next().unwrap_or("");
    let gone = gone.split([',', '\n']).filter_map(|part| number(part.trim_start()));
    let (_, next) = design.split_once("next free number is **").expect("the next free number");
    (used.collect(), gone.collect(), number(next).expect("a number"))
}

#[test]
fn a_decisions_number_is_used_once() {
    let (used, gone, next) = decisions();
    assert!(used.len() > 50 && gone.len() > 4, "{used:?} {gone:?}");
    let mut all: Vec<u32> = used.into_iter().chain(gone).collect();
    all.sort_unstable();
    assert_eq!(all, (1..next).collect::<Vec<_>>(), "docs/DESIGN.md: each number once");
}

/// The numbers of decisions in a line of prose: "decisions 3, 4 and 5", "DESIGN 6".
fn cited_decisions(prose: &str) -> Vec<u32> {
    let mut numbers = Vec::new();
    let mut in_list = false;
    for word in prose.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        let number = word.parse::<u32>().ok().filter(|_| in_list);
        numbers.extend(number);
        let begins = matches!(word, "decision" | "decisions" | "Decision" | "Decisions" | "DESIGN");
        in_list = begins || number.is_some() || in_list && matches!(word, "and" | "to");
    }
    numbers
}

#[test]
fn every_decision_that_is_cited_is_there() {
    let used: BTreeSet<u32> = decisions().0.into_iter().collect();
    let (mut wrong, mut found) = (Vec::new(), 0);
    each_line(|path, number, prose| {
        for decision in cited_decisions(prose) {
            found += 1;
            if !used.contains(&decision) {
                wrong.push(format!("{path}:{number}: decision {decision}"));
            }
        }
    });
    assert!(found > 60, "only {found} citations were found");
    assert!(wrong.is_empty(), "docs/DESIGN.md does not have\n{}", wrong.join("\n"));
}

/// A reader can open what a line refers to.
#[test]
fn every_document_that_is_named_is_there() {
    let documents = files_under("docs");
    let names: BTreeSet<&str> =
        documents.iter().filter_map(|path| path.rsplit('/').next()).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut wrong, mut found) = (Vec::new(), 0);
    each_line(|path, number, prose| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        for word in prose.split(|c| !is_part(c)).map(|word| word.trim_end_matches('.')) {
            if !word.ends_with(".md") || word == ".md" || word.contains("//") {
                continue;
            }
            found += 1;
            let beside = Path::new(path).parent().unwrap().join(word);
            if !names.contains(word) && !root.join(word).exists() && !root.join(beside).exists() {
                wrong.push(format!("{path}:{number}: {word}"));
            }
        }
    });
    assert!(found > 30, "only {found} documents are named");
    assert!(wrong.is_empty(), "there is no such document\n{}", wrong.join("\n"));
}

#[test]
fn citations_are_found() {
    assert_eq!(cited("// Brings them up to date (rules D4, E6): E4's alerts"), ["D4", "E6", "E4"]);
    assert_eq!(cited("rule G7 and C99"), ["G7"]);
    assert_eq!(cited("G3 joins, 0xA1, S1, A_1, A123"), [] as [&str; 0]);
    assert_eq!(prose("a.rs", "let g3 = G3; // rule Z9"), "// rule Z9");
    assert_eq!(prose("a.c", "    add(G3);"), "");
    assert_eq!(prose("a.md", "rule Z9"), "rule Z9");
    assert_eq!(
        cited_decisions("Rule E4, decisions 16 to 18 and 3; 5 s (decision 7)"),
        [16, 18, 3, 5, 7]
    );
    assert_eq!(cited_decisions("/* DESIGN 26 */ if (x == 7)"), [26]);
}
