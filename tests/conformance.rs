//! docs/CONFORMANCE.md tells the truth: every function, callback and rule has its rows, and every
//! test that is named there exists. The rules are those of docs/RULES.md.

#[path = "conformance/citations.rs"]
mod citations;

use std::collections::BTreeSet;
use std::path::Path;

const FUNCTIONS: [&str; 17] = [
    "MgmRegisterMProtocol",
    "MgmDeRegisterMProtocol",
    "MgmTakeInterfaceOwnership",
    "MgmReleaseInterfaceOwnership",
    "MgmGetProtocolOnInterface",
    "MgmAddGroupMembershipEntry",
    "MgmDeleteGroupMembershipEntry",
    "MgmGetMfe",
    "MgmGetFirstMfe",
    "MgmGetNextMfe",
    "MgmGetMfeStats",
    "MgmGetFirstMfeStats",
    "MgmGetNextMfeStats",
    "MgmSetMfe",
    "MgmGroupEnumerationStart",
    "MgmGroupEnumerationGetNext",
    "MgmGroupEnumerationEnd",
];

const CALLBACKS: [&str; 9] = [
    "PMGM_RPF_CALLBACK",
    "PMGM_CREATION_ALERT_CALLBACK",
    "PMGM_PRUNE_ALERT_CALLBACK",
    "PMGM_JOIN_ALERT_CALLBACK",
    "PMGM_WRONG_IF_CALLBACK",
    "PMGM_LOCAL_JOIN_CALLBACK",
    "PMGM_LOCAL_LEAVE_CALLBACK",
    "PMGM_DISABLE_IGMP_CALLBACK",
    "PMGM_ENABLE_IGMP_CALLBACK",
];

/// What stands at a rule in place of tests while the library does not do yet what the rule says.
const NOT_BUILT: &str = "Not built yet.";

fn read(path: &str) -> String {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&full).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A letter and a number: "D7".
fn is_rule_name(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next().is_some_and(|first| first.is_ascii_uppercase())
        && (2..=3).contains(&word.len())
        && letters.all(|other| other.is_ascii_digit())
}

/// The rules of docs/RULES.md, in its order: the name in the heading, and the text below it.
fn rules() -> Vec<(String, String)> {
    let document = read("docs/RULES.md");
    let mut rules: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in document.lines() {
        if let Some(heading) = line.strip_prefix('#') {
            let name = heading.trim_start_matches('#').split(['.', ' ']).find(|s| !s.is_empty());
            inside = name.is_some_and(is_rule_name);
            if inside {
                rules.push((name.unwrap().to_owned(), String::new()));
            }
        } else if let Some((_, text)) = rules.last_mut().filter(|_| inside) {
            *text += line;
            *text += "\n";
        }
    }
    rules
}

fn rule_names() -> BTreeSet<String> {
    rules().into_iter().map(|(name, _)| name).collect()
}

/// What docs/CONFORMANCE.md says of one rule.
#[derive(Default)]
struct Rule {
    name: String,
    rust: Vec<String>,
    c: Vec<String>,
    not_built: bool,
}

/// The rules of docs/CONFORMANCE.md: a heading for each, and lists of tests below it.
fn tested_rules(document: &str) -> Vec<Rule> {
    let (_, section) = document.split_once("\n## Rules\n").expect("the rules' section");
    let mut rules = Vec::new();
    for part in section.split("\n### ").skip(1) {
        let mut lines = part.lines();
        let mut rule = Rule { name: lines.next().unwrap().to_owned(), ..Rule::default() };
        let mut in_c = None;
        for line in lines.filter(|line| !line.is_empty()) {
            match (line, in_c) {
                ("In Rust:", _) => in_c = Some(false),
                ("In C:", _) => in_c = Some(true),
                (NOT_BUILT, None) => rule.not_built = true,
                (_, Some(in_c)) if line.starts_with("- `") && line.ends_with('`') => {
                    let tests = if in_c { &mut rule.c } else { &mut rule.rust };
                    tests.push(line[3..line.len() - 1].to_owned());
                }
                _ => panic!("docs/CONFORMANCE.md: {}: {line}", rule.name),
            }
        }
        rules.push(rule);
    }
    rules
}

/// The rows of the tables of functions and callbacks: their cells, without the tables' heads.
fn rows(document: &str) -> Vec<Vec<String>> {
    document
        .lines()
        .filter(|line| line.starts_with("| ") && !line.ends_with("tests |"))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

/// The tests that a cell names.
fn tests_in(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// How a program in C runs a test.
const RUNS: [&str; 2] = ["RUN(", "RUN_IN_ONE_PROCESS("];

fn exists(name: &str) -> Result<(), String> {
    let (file, test) = name.split_once(':').unwrap_or((name, ""));
    let text = read(file);
    let defined = match Path::new(file).extension().and_then(|ending| ending.to_str()) {
        _ if test.is_empty() => text.contains("#[test]"),
        Some("rs") => text.contains(&format!("fn {test}(")),
        Some("c" | "cpp") => RUNS.iter().any(|run| text.contains(&format!("{run}{test})"))),
        Some("sh") => text.contains(&format!("\n{test}() {{")),
        _ => false,
    };
    if defined { Ok(()) } else { Err(format!("{name}: there is no such test")) }
}

#[test]
fn every_row_and_every_rule_names_tests_that_exist() {
    let document = read("docs/CONFORMANCE.md");
    let rows = rows(&document);
    assert!(rows.len() > 80, "the tables were not found");
    let mut wrong = Vec::new();
    for row in &rows {
        let tests: Vec<&str> = row.iter().flat_map(|cell| tests_in(cell)).collect();
        if tests.is_empty() {
            wrong.push(format!("{}: no test", row[0]));
        }
        wrong.extend(tests.into_iter().filter_map(|test| exists(test).err()));
    }
    for rule in tested_rules(&document) {
        for (tests, language) in [(&rule.rust, "Rust"), (&rule.c, "C")] {
            if tests.is_empty() != rule.not_built {
                let what = if rule.not_built { "not built, and has a" } else { "no" };
                wrong.push(format!("{}: {what} test in {language}", rule.name));
            }
            wrong.extend(tests.iter().filter_map(|test| exists(test).err()));
        }
    }
    assert!(wrong.is_empty(), "docs/CONFORMANCE.md:\n{}", wrong.join("\n"));
}

/// What the README and the manual promise beside the rules: each line names its tests.
#[test]
fn every_promise_names_tests_that_exist() {
    let document = read("docs/CONFORMANCE.md");
    let (_, section) = document.split_once("\n## Promises").expect("the promises' section");
    let section = section.split("\n## ").next().unwrap();
    let promises: Vec<&str> = section.lines().filter(|line| line.starts_with("- ")).collect();
    assert!(promises.len() >= 15, "the promises were not found");
    let mut wrong = Vec::new();
    for promise in promises {
        if tests_in(promise).is_empty() {
            wrong.push(format!("{promise}: no test"));
        }
        wrong.extend(tests_in(promise).into_iter().filter_map(|test| exists(test).err()));
    }
    assert!(wrong.is_empty(), "docs/CONFORMANCE.md:\n{}", wrong.join("\n"));
}

/// docs/SECURITY.md: each statement about what somebody can or cannot do, but for those that say what is not
/// guarded at all, names its tests.
#[test]
fn every_statement_on_security_names_tests_that_exist() {
    let document = read("docs/SECURITY.md");
    let tests: Vec<&str> = tests_in(&document)
        .into_iter()
        .filter(|word| word.contains(".rs") || word.contains(".c:"))
        .collect();
    assert!(tests.len() > 30, "the tests were not found");
    let wrong: Vec<String> = tests
        .into_iter()
        .filter(|test| !test.ends_with("conformance.rs"))
        .filter_map(|test| exists(test).err())
        .collect();
    assert!(wrong.is_empty(), "docs/SECURITY.md:\n{}", wrong.join("\n"));
    let statements = document
        .split("\n- ")
        .skip(1)
        .filter(|statement| !statement.contains(".rs:") && !statement.contains(".c:"));
    // What others can do, which no test can deny.
    assert!(statements.count() <= 3, "a statement without a test");
}

#[test]
fn nothing_is_left_out() {
    let document = read("docs/CONFORMANCE.md");
    let named: BTreeSet<String> = rows(&document).into_iter().map(|row| row[0].clone()).collect();
    let all: BTreeSet<String> =
        FUNCTIONS.iter().chain(&CALLBACKS).map(|&name| name.into()).collect();
    assert_eq!(named, all, "the functions and callbacks of docs/CONFORMANCE.md against mgm.h's");
    let tested: Vec<String> = tested_rules(&document).into_iter().map(|rule| rule.name).collect();
    let rules: Vec<String> = rules().into_iter().map(|(name, _)| name).collect();
    let differ: Vec<&String> = rules.iter().filter(|rule| !tested.contains(rule)).collect();
    assert!(differ.is_empty(), "docs/CONFORMANCE.md lacks the rules {differ:?}");
    let differ: Vec<&String> = tested.iter().filter(|rule| !rules.contains(rule)).collect();
    assert!(differ.is_empty(), "docs/RULES.md lacks the rules {differ:?}");
    assert_eq!(tested, rules, "the order, and each once");
}

/// Numbers are names that others cite: a rule that goes leaves its heading behind, with a word on
/// what became of it.
#[test]
fn the_rules_are_numbered_without_a_gap_and_name_their_sources() {
    let rules = rules();
    let letters: String =
        rules.iter().filter(|(name, _)| &name[1..] == "1").map(|r| &r.0[..1]).collect();
    assert_eq!(letters, "ABCDEFGHP");
    for pair in rules.windows(2) {
        let number = |name: &str| name[1..].parse::<u32>().unwrap();
        let (before, name) = (&pair[0].0, &pair[1].0);
        let follows = name[..1] == before[..1] && number(name) == number(before) + 1;
        assert!(follows || number(name) == 1, "docs/RULES.md: {name} stands after {before}");
    }
    for (name, text) in rules {
        let source = text.lines().find_map(|line| line.strip_prefix("Source: "));
        assert!(source.is_some(), "docs/RULES.md: {name} names no source");
    }
}

/// The codes that mgm.h documents for a function: the names in the part of its comment that
/// begins with "@return".
fn documented_codes(header: &str, function: &str) -> BTreeSet<String> {
    let declaration = format!("\nDWORD {function}(");
    let end = header.find(&declaration).unwrap_or_else(|| panic!("mgm.h lacks {function}"));
    let comment = &header[header[..end].rfind("/**").unwrap_or(end)..end];
    let returned = comment.split("@return").nth(1).unwrap_or("");
    let returned = returned.split("@pre").next().unwrap_or("");
    let mut words = returned.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let is_code = |word: &&str| *word == "NO_ERROR" || word.starts_with("ERROR_");
    let mut codes: BTreeSet<String> = words.clone().filter(is_code).map(str::to_owned).collect();
    // "as MgmGetMfe": the same ones.
    let same_as = words.find(|word| FUNCTIONS.contains(word) && *word != function);
    if let Some(other) = same_as.filter(|_| returned.trim_start().starts_with("as ")) {
        codes.extend(documented_codes(header, other));
    }
    codes
}

#[test]
fn every_documented_code_has_its_row() {
    let header = read("include/mgm.h");
    let document = read("docs/CONFORMANCE.md");
    let rows = rows(&document);
    let mut wrong = Vec::new();
    for function in FUNCTIONS {
        let documented = documented_codes(&header, function);
        assert!(documented.len() > 1, "{function}: no codes were found in mgm.h");
        let of_function = rows.iter().filter(|row| row[0] == function && row.len() == 3);
        let named: BTreeSet<String> = of_function.map(|row| row[1].clone()).collect();
        wrong.extend(documented.difference(&named).map(|code| format!("{function}: no {code}")));
        wrong
            .extend(named.difference(&documented).map(|code| format!("{function}: {code} is new")));
    }
    assert!(wrong.is_empty(), "docs/CONFORMANCE.md against mgm.h:\n{}", wrong.join("\n"));
}

/// The tests of a file: those marked so, the scenarios, and those that a C program runs.
fn tests_of(path: &str) -> Vec<String> {
    let text = read(path);
    let mut marked = false;
    let mut tests = Vec::new();
    for line in text.lines().map(str::trim_start) {
        let begins = if path.ends_with(".c") {
            RUNS.iter().find_map(|run| line.strip_prefix(run))
        } else if path.starts_with("tests/scenarios/") {
            line.strip_prefix("pub fn ")
        } else {
            line.strip_prefix("fn ").filter(|_| marked)
        };
        tests.extend(begins.and_then(|rest| rest.split(['(', ')']).next()).map(str::to_owned));
        marked = line.starts_with("#[test]") || marked && line.starts_with("#[");
    }
    tests
}

/// Tests are called after their rule: "d7_first_join_alerts_all_others". Each stands at that rule,
/// so that its list is the whole list.
#[test]
fn every_test_that_is_called_after_a_rule_is_listed_there() {
    let rules = tested_rules(&read("docs/CONFORMANCE.md"));
    let (mut wrong, mut found) = (Vec::new(), 0);
    let files = ["src", "tests", "c-tests"].into_iter().flat_map(citations::files_under);
    for path in files.filter(|path| path.ends_with(".rs") || path.ends_with(".c")) {
        for test in tests_of(&path) {
            let rule = test.split('_').next().unwrap_or("").to_uppercase();
            if !is_rule_name(&rule) {
                continue;
            }
            found += 1;
            let name = format!("{path}:{test}");
            match rules.iter().find(|listed| listed.name == rule) {
                None => wrong.push(format!("{name}: there is no rule {rule}")),
                Some(rule) if rule.rust.contains(&name) || rule.c.contains(&name) => {}
                Some(_) => wrong.push(format!("{name}: not listed at {rule}")),
            }
        }
    }
    assert!(found > 300, "only {found} tests were found");
    assert!(wrong.is_empty(), "docs/CONFORMANCE.md:\n{}", wrong.join("\n"));
}

#[test]
fn a_test_that_does_not_exist_is_found() {
    assert!(exists("tests/conformance.rs:nothing_is_left_out").is_ok());
    assert!(exists("tests/conformance.rs:no_such_test").is_err());
    assert!(exists("c-tests/t_mfe.c:no_such_test").is_err());
    assert!(exists("c-tests/test_router.sh:no_such_test").is_err());
}
