//! The C headers are what cbindgen makes of the declarations today, and every compiler takes them
//! without a warning.
//!
//! `UPDATE_HEADERS=1 cargo test --test header headers_match` (`make header`) writes them anew: alone, so
//! that no compiler reads them meanwhile.

#[path = "common/run.rs"]
mod running;

use running::compilers;
use std::path::Path;
use std::process::Command;

const MEND: &str = "make header   (or: UPDATE_HEADERS=1 cargo test --test header headers_match)";

/// The names of the types that a file declares: cbindgen leaves out those that no function of the
/// same file uses.
fn types_in(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("pub struct ").or(line.strip_prefix("pub type ")))
        .filter_map(|rest| rest.split([' ', '=']).next())
        .map(str::to_owned)
        .collect()
}

/// cbindgen's C for the declarations of one file.
fn declarations(root: &Path, source: &str) -> String {
    let mut config =
        cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml");
    config.export.include = types_in(&std::fs::read_to_string(root.join(source)).expect(source));
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_src(root.join(source))
        .generate()
        .unwrap_or_else(|error| panic!("cbindgen cannot read {source}: {error}"));
    let mut text = Vec::new();
    bindings.write(&mut text);
    let text = String::from_utf8(text).expect("cbindgen writes UTF-8");
    // What Rust calls safety is a precondition to C.
    one_line_comments(text.trim()).replace(" * # Safety\n * ", " * @pre ")
}

/// Puts comments of one line onto one line.
fn one_line_comments(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = Vec::new();
    let mut rest = lines.as_slice();
    while let [first, tail @ ..] = rest {
        match tail {
            [comment, end, ..] if first.trim() == "/**" && end.trim() == "*/" => {
                let indent = &first[..first.len() - 3];
                let words = comment.trim().trim_start_matches("* ");
                out.push(format!("{indent}/** {words} */"));
                rest = &tail[2..];
            }
            _ => {
                out.push((*first).to_owned());
                rest = tail;
            }
        }
    }
    out.join("\n")
}

/// A template with each line `@file@` replaced by the declarations of that file.
fn header(root: &Path, template: &str) -> String {
    let text = std::fs::read_to_string(root.join(template)).expect(template);
    let mut header = String::new();
    for line in text.lines() {
        match line.strip_prefix('@').and_then(|rest| rest.strip_suffix('@')) {
            Some(source) => header.push_str(&declarations(root, source)),
            None => header.push_str(line),
        }
        header.push('\n');
    }
    header
}

#[test]
fn headers_match_the_declarations() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let update = std::env::var_os("UPDATE_HEADERS").is_some();
    for name in ["mgm.h", "mgm_host.h"] {
        let path = root.join("include").join(name);
        let wanted = header(root, &format!("src/ffi/{name}.in"));
        if update {
            std::fs::write(&path, &wanted).expect("include/ can be written");
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        if let Some((number, (is, should))) = found
            .lines()
            .chain(std::iter::repeat("<end>"))
            .zip(wanted.lines().chain(["<end>"]))
            .enumerate()
            .find(|(_, (is, should))| is != should)
        {
            panic!(
                "include/{name} is out of date. Mend it with: {MEND}\n\
                 line {}: is      {is}\n\
                 line {}: must be {should}",
                number + 1,
                number + 1,
            );
        }
        assert!(found == wanted, "include/{name} is out of date. Mend it with: {MEND}");
    }
}

/// The programs that include the headers in one way or another.
const PROGRAMS: [&str; 5] =
    ["abi.c", "badargs.c", "headers_alone.c", "headers_windows.c", "headers_all.c"];

fn compiles(compiler: &str, options: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for program in PROGRAMS {
        let done = Command::new(compiler)
            .args(["-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only"])
            .args(["-Iinclude", "-Iinclude/compat", "-Ic-tests"])
            .args(options)
            .arg(Path::new("c-tests").join(program))
            .current_dir(root)
            .output()
            .unwrap_or_else(|error| panic!("{compiler} is needed: {error}"));
        let messages = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{compiler} {options:?} {program}:\n{messages}");
    }
}

#[test]
fn headers_compile_as_c_without_a_warning() {
    for compiler in compilers(["gcc", "clang"]) {
        for standard in ["-std=c99", "-std=c11"] {
            compiles(compiler, &["-Wstrict-prototypes", standard]);
        }
    }
}

#[test]
fn headers_compile_as_cpp_without_a_warning() {
    for compiler in compilers(["g++", "clang++"]) {
        for standard in ["-std=c++11", "-std=c++17"] {
            compiles(compiler, &["-x", "c++", standard]);
        }
    }
}

/// What a real windows.h leaves behind for mgm.h, in Wine's way: types of its own, recognised by its
/// guard, codes with another type, numbers as enumerators of a header that may come later.
const REAL_WINDOWS_H: &str = "
#ifndef GUARD
#define GUARD
typedef unsigned char BYTE, *PBYTE, UCHAR;
typedef unsigned short USHORT, *PUSHORT;
typedef int INT, *PINT, BOOL, *PBOOL;
typedef unsigned int UINT, *PUINT, DWORD, *PDWORD, ULONG, *PULONG;
typedef unsigned long ULONGLONG;
typedef void *PVOID, *HANDLE, **PHANDLE;
typedef struct _FILETIME { DWORD dwLowDateTime, dwHighDateTime; } FILETIME, *PFILETIME;
#define NO_ERROR 0L
#define ERROR_NOT_FOUND 1168L
#define FALSE 0
#define TRUE 1
#endif";
const REAL_NLDEF_H: &str = "
#ifndef __WINE_NLDEF_H
#define __WINE_NLDEF_H
#define BOTH(name, value) MIB_IPPROTO_##name = value, PROTO_IP_##name = value
typedef enum { BOTH(OTHER, 1), BOTH(RIP, 8), BOTH(NT_STATIC, 10006) } NL_ROUTE_PROTOCOL;
#endif";

#[test]
fn a_real_windows_h_is_used_where_it_comes_first() {
    let directory = std::env::temp_dir().join(format!("mgm-real-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("nldef.h"), REAL_NLDEF_H).unwrap();
    let real_first = "#include <windows.h>\n#include <nldef.h>\n#include <mgm_host.h>\n";
    let real_last = "#include <windows.h>\n#include <mgm_host.h>\n#include <nldef.h>\n";
    let others = "#include <iphlpapi.h>\n#include <iprtrmib.h>\n#include <routprot.h>\n\
        #include <rtmv2.h>\n#include <mgm.h>\n\
        int main(void) { return MIB_IPPROTO_RIP - PROTO_IP_RIP + NO_ERROR; }\n";
    for (name, order, guard) in
        [("first.c", real_first, "__WINE_WINDEF_H"), ("last.c", real_last, "_WINDEF_")]
    {
        let real = REAL_WINDOWS_H.replace("GUARD", guard);
        std::fs::write(directory.join("windows.h"), real).unwrap();
        let program = directory.join(name);
        std::fs::write(&program, format!("{order}{others}")).unwrap();
        for compiler in compilers(["gcc", "clang", "g++", "clang++"]) {
            let done = Command::new(compiler)
                .args(["-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I"])
                .arg(&directory)
                .args(["-Iinclude", "-Iinclude/compat"])
                .args(if compiler.ends_with("++") { &["-x", "c++"][..] } else { &[] })
                .arg(&program)
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .output()
                .unwrap_or_else(|error| panic!("{compiler} is needed: {error}"));
            let messages = String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success(), "{compiler} {name}:\n{messages}");
        }
    }
    let _ = std::fs::remove_dir_all(&directory);
}
