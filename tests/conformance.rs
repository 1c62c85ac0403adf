//! docs/CONFORMANCE.md tells the truth: every function, callback and rule has its rows, and every
//! test that is named there exists.

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

/// The rules of the specification: letter and last number.
const RULES: [(char, u32); 7] =
    [('A', 10), ('B', 2), ('C', 5), ('D', 9), ('E', 13), ('F', 4), ('G', 2)];

fn read(path: &str) -> String {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&full).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The rows of all tables: their cells, without the tables' heads.
fn rows(document: &str) -> Vec<Vec<String>> {
    document
        .lines()
        .filter(|line| line.starts_with("| ") && !line.ends_with("tests |"))
        .filter(|line| !line.ends_with("tests in C |"))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

/// The tests that a cell names.
fn tests_in(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn exists(name: &str) -> Result<(), String> {
    let (file, test) = name.split_once(':').unwrap_or((name, ""));
    let text = read(file);
    let defined = match Path::new(file).extension().and_then(|ending| ending.to_str()) {
        _ if test.is_empty() => text.contains("#[test]"),
        Some("rs") => text.contains(&format!("fn {test}(")),
        Some("c") => text.contains(&format!("RUN({test})")),
        Some("sh") => text.contains(&format!("\n{test}() {{")),
        _ => false,
    };
    if defined { Ok(()) } else { Err(format!("{name}: there is no such test")) }
}

#[test]
fn every_row_names_tests_that_exist() {
    let document = read("docs/CONFORMANCE.md");
    let rows = rows(&document);
    assert!(rows.len() > 100, "the tables were not found");
    let mut wrong = Vec::new();
    for row in &rows {
        let tests: Vec<&str> = row.iter().flat_map(|cell| tests_in(cell)).collect();
        if tests.is_empty() {
            wrong.push(format!("{}: no test", row[0]));
        }
        wrong.extend(tests.into_iter().filter_map(|test| exists(test).err()));
    }
    assert!(wrong.is_empty(), "docs/CONFORMANCE.md:\n{}", wrong.join("\n"));
}

#[test]
fn nothing_is_left_out() {
    let document = read("docs/CONFORMANCE.md");
    let rows = rows(&document);
    let named: BTreeSet<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    let rules =
        RULES.iter().flat_map(|(letter, last)| (1..=*last).map(move |n| format!("{letter}{n}")));
    let all = FUNCTIONS.iter().chain(&CALLBACKS).map(|name| (*name).to_owned()).chain(rules);
    let missing: Vec<String> = all.filter(|name| !named.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "docs/CONFORMANCE.md has no row for {missing:?}");
}

#[test]
fn every_rule_is_tested_in_rust_and_in_c() {
    let document = read("docs/CONFORMANCE.md");
    let mut wrong = Vec::new();
    for row in rows(&document) {
        let is_rule =
            row[0].len() <= 3 && row[0].starts_with(|first: char| first.is_ascii_uppercase());
        if !is_rule {
            continue;
        }
        assert_eq!(row.len(), 3, "{row:?}");
        if tests_in(&row[1]).is_empty() {
            wrong.push(format!("{}: no test in Rust", row[0]));
        }
        if tests_in(&row[2]).is_empty() {
            wrong.push(format!("{}: no test in C", row[0]));
        }
    }
    assert!(wrong.is_empty(), "docs/CONFORMANCE.md:\n{}", wrong.join("\n"));
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

/// Tests are called after their rule: "d7_first_join_alerts_all_others". Each stands in the row of
/// that rule, so that the row tells all there is.
#[test]
fn every_test_that_is_called_after_a_rule_is_in_its_row() {
    let document = read("docs/CONFORMANCE.md");
    let rows = rows(&document);
    let mut wrong = Vec::new();
    let mut found = 0;
    for (directory, begins) in [("tests/scenarios", "pub fn "), ("c-tests", "    RUN(")] {
        let listed = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(directory));
        for file in listed.unwrap().map(|entry| entry.unwrap().file_name()) {
            let path = format!("{directory}/{}", file.to_str().unwrap());
            for line in read(&path).lines().filter_map(|line| line.strip_prefix(begins)) {
                let test = line.split(['(', ')']).next().unwrap_or("");
                let rule = test.split('_').next().unwrap_or("").to_uppercase();
                let Some(row) = rows.iter().find(|row| row[0] == rule) else { continue };
                found += 1;
                let name = format!("{path}:{test}");
                if !row.iter().any(|cell| tests_in(cell).contains(&name.as_str())) {
                    wrong.push(format!("{rule}: {name}"));
                }
            }
        }
    }
    assert!(found > 200, "only {found} tests were found");
    assert!(wrong.is_empty(), "docs/CONFORMANCE.md does not name\n{}", wrong.join("\n"));
}

#[test]
fn a_test_that_does_not_exist_is_found() {
    assert!(exists("tests/conformance.rs:nothing_is_left_out").is_ok());
    assert!(exists("tests/conformance.rs:no_such_test").is_err());
    assert!(exists("c-tests/t_mfe.c:no_such_test").is_err());
    assert!(exists("c-tests/test_router.sh:no_such_test").is_err());
}
