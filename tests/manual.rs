//! The manual's pages of functions are what the headers' comments say, and their examples run.
//!
//! The comments in src/ffi are the one source: the headers are made of them (tests/header.rs), and the
//! pages in docs/man/Mgm*.3 are made of the headers, with the examples of c-tests/examples.
//! `UPDATE_MANUAL=1 cargo test --test manual pages_match` (`make manual`) writes them anew.

#[path = "manual/comment.rs"]
mod comment;
#[path = "manual/page.rs"]
mod page;

use comment::{Function, Record};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const MEND: &str = "make manual   (or: UPDATE_MANUAL=1 cargo test --test manual pages_match)";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn headers() -> (Vec<Function>, Vec<Record>) {
    let mut functions = Vec::new();
    let mut records = Vec::new();
    for header in ["mgm.h", "mgm_host.h"] {
        let text = read(&format!("include/{header}"));
        functions.extend(comment::functions(header, &text));
        records.extend(comment::records(&text));
    }
    (functions, records)
}

fn example(function: &str) -> String {
    read(&format!("c-tests/examples/{function}.c"))
}

#[test]
fn pages_match_the_comments() {
    let (functions, records) = headers();
    assert_eq!(functions.len(), 25);
    let names: Vec<_> = functions.iter().map(|function| function.name.as_str()).collect();
    let update = std::env::var_os("UPDATE_MANUAL").is_some();
    for function in &functions {
        let wanted = page::page(function, &records, &names, &example(&function.name));
        let name = format!("docs/man/{}.3", function.name);
        if update {
            fs::write(root().join(&name), &wanted).expect("docs/man can be written");
        }
        let found = fs::read_to_string(root().join(&name)).unwrap_or_default();
        let differs = found.lines().zip(wanted.lines()).find(|(is, should)| is != should);
        assert!(found == wanted, "{name} is out of date: {differs:?}. Mend it with: {MEND}");
    }
    // No page is left of a function that has gone.
    let pages: BTreeSet<_> = fs::read_dir(root().join("docs/man"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| Some(name.strip_suffix(".3")?.to_owned()))
        .filter(|name| name.starts_with("Mgm"))
        .collect();
    assert_eq!(pages, names.iter().map(|name| (*name).to_owned()).collect());
}

#[test]
fn comments_say_all_that_a_page_needs() {
    let (functions, _) = headers();
    for function in &functions {
        let Function { name, parameters, comment, .. } = function;
        let described: Vec<_> = comment.parameters.iter().flat_map(|(names, _)| names).collect();
        let declared: Vec<_> = parameters.iter().map(|parameter| &parameter.name).collect();
        assert_eq!(described, declared, "{name}: @param, in the order of the parameters");
        assert!(!comment.callbacks.is_empty(), "{name}: @par Callbacks and threads");
        assert!(comment.codes.len() > 1, "{name}: the codes, one by one");
        for (code, cause) in &comment.codes {
            let known = page::cause_of_all(code, &comment.codes).is_some();
            assert!(known || !cause.is_empty(), "{name}: the cause of {code}");
        }
        for parameter in parameters {
            let text = comment.text_of(&parameter.name);
            let address =
                ["Addr", "Mask", "dwNetwork"].iter().any(|part| parameter.name.contains(part));
            if address && parameter.kind == "DWORD" {
                assert!(text.contains("network byte order"), "{name}: {}", parameter.name);
            } else if parameter.name.ends_with("Index") {
                assert!(text.contains("host order"), "{name}: {}", parameter.name);
            }
        }
    }
}

/// A directory for programs, with the library that cargo built together with this test.
struct Build(PathBuf);

impl Build {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("mgm-manual-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let build = Self(path);
        let library = std::env::current_exe().unwrap().with_file_name("libmgm.so");
        assert!(library.exists(), "{} is missing: cargo builds it", library.display());
        for link in ["libmgm.so", "libmgm.so.1"] {
            std::os::unix::fs::symlink(&library, build.0.join(link)).unwrap();
        }
        build
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        // Left behind it does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn examples_compile_and_print_what_the_pages_say() {
    let (functions, _) = headers();
    let build = Build::new();
    let build = &build.0;
    let compile = |function: &Function| {
        Command::new("cc")
            .args(["-std=c99", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-Iinclude"])
            .arg(format!("c-tests/examples/{}.c", function.name))
            .arg("-L")
            .arg(build)
            .args(["-lmgm", "-pthread", "-o"])
            .arg(build.join(&function.name))
            .current_dir(root())
            .spawn()
            .expect("a C compiler")
    };
    let compilers: Vec<_> = functions.iter().map(compile).collect();
    for (function, mut compiler) in functions.iter().zip(compilers) {
        let name = &function.name;
        assert!(compiler.wait().unwrap().success(), "{name} does not compile");
        let source = example(name);
        assert!(page::code(&source).contains(&format!("{name}(")), "{name} is not in its example");
        let done = Command::new("timeout")
            .arg("60")
            .arg(build.join(name))
            .env_clear()
            .env("LD_LIBRARY_PATH", build)
            .env("PATH", std::env::var_os("PATH").unwrap())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{name}: {}\n{errors}", done.status);
        let printed = String::from_utf8(done.stdout).unwrap();
        assert_eq!(printed, page::printed(&source).unwrap_or_default(), "what {name} prints");
    }
}
